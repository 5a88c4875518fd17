use rstest::rstest;

use super::{Sink, quoted};
use crate::limits::{MAX_MESSAGE_CHARS, MAX_QUOTED_CHARS};
use crate::{Finding, Rule, Severity};

#[test]
fn findings_are_sorted_by_place_without_duplicates() {
    let mut sink = Sink::default();
    sink.report_at(Rule::XmlMalformed, 4, "second");
    sink.report_at(Rule::XmlMalformed, 0, "first");
    sink.report_at(Rule::XmlMalformed, 4, "second");
    let finding = |line, column, message: &str| Finding {
        rule: Rule::XmlMalformed,
        severity: Severity::Error,
        element_id: None,
        line,
        column,
        message: message.to_owned(),
    };
    // Columns count characters: the umlaut is two bytes.
    assert_eq!(sink.into_findings("a\nüb"), (vec![finding(1, 1, "first"), finding(2, 2, "second")], false));
}

#[test]
fn messages_are_printable_and_bounded() {
    let mut sink = Sink::default();
    sink.report_at(Rule::XmlMalformed, usize::MAX, format!("a\nb\u{202e}\u{1b}{}", "x".repeat(1_000)));
    let (findings, _) = sink.into_findings("");
    assert_eq!(findings[0].message.chars().count(), MAX_MESSAGE_CHARS);
    assert!(findings[0].message.starts_with("a\u{fffd}b\u{fffd}\u{fffd}xxx"));
    assert!(findings[0].message.ends_with('…'));
}

#[rstest]
#[case("Task_charge", "Task_charge".to_owned())]
#[case(&"x".repeat(MAX_QUOTED_CHARS), "x".repeat(MAX_QUOTED_CHARS))]
#[case(&"x".repeat(MAX_QUOTED_CHARS + 1), "x".repeat(MAX_QUOTED_CHARS - 1) + "…")]
fn quoted_names_are_truncated(#[case] name: &str, #[case] expected: String) {
    assert_eq!(quoted(name), expected);
}
