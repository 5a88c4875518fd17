use rstest::rstest;

use super::{EngineError, ErrorClass, MAX_MESSAGE_CHARS, Operation};

#[rstest]
#[case::plain("connection refused", "connection refused")]
#[case::lines_become_one("a\r\n\tb\0c", "a b c")]
#[case::escape_sequence_is_disarmed("\u{1b}[31mred", "[31mred")]
#[case::bidi_override_is_dropped("abc\u{202e}def", "abc def")]
#[case::nothing("", "")]
fn message_is_one_printable_line(#[case] said: &str, #[case] expected: &str) {
    let error = EngineError::new(Operation::GetInfo, ErrorClass::Internal, said);
    assert_eq!(error.message(), expected);
}

#[test]
fn long_message_is_cut_by_characters() {
    let error = EngineError::new(Operation::GetInfo, ErrorClass::Internal, "ß".repeat(10_000));
    assert_eq!(error.message().chars().count(), MAX_MESSAGE_CHARS);
    assert!(error.message().ends_with('…'));
    let exact = EngineError::new(Operation::GetInfo, ErrorClass::Internal, "ß".repeat(MAX_MESSAGE_CHARS));
    assert_eq!(exact.message(), "ß".repeat(MAX_MESSAGE_CHARS));
}

#[test]
fn our_words_come_first() {
    let error =
        EngineError::quoting(Operation::DeployProcess, ErrorClass::Unavailable, "try again", "disk\nfull");
    assert_eq!(error.to_string(), "deploy process: try again: disk full");
    let silent = EngineError::quoting(Operation::DeployProcess, ErrorClass::Unavailable, "try again", " ");
    assert_eq!(silent.to_string(), "deploy process: try again");
}
