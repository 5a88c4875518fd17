use engine_api::{ErrorClass, refusal};
use rstest::rstest;
use tonic::Status;

use super::{EngineError, MAX_MESSAGE_CHARS, Operation};

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
    let refusal = |said: &str| refusal::read(&Status::resource_exhausted(said));
    let error = EngineError::refused(Operation::DeployProcess, refusal("disk\nfull"));
    assert_eq!(error.to_string(), "deploy process: engine is overloaded: disk full");
    let silent = EngineError::refused(Operation::DeployProcess, refusal(" "));
    assert_eq!(silent.to_string(), "deploy process: engine is overloaded");
}
