use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use bpmn::{Finding, Rule, Severity};
use rstest::rstest;

use super::*;

pub(super) fn document(path: &str, findings: Vec<Finding>) -> Document {
    let refused = findings.iter().any(|finding| finding.severity == Severity::Error);
    let process_ids = if refused { vec![] } else { vec!["order".to_owned()] };
    Document { path: path.into(), report: Report { findings, process_ids, ..Report::default() } }
}

pub(super) fn finding(rule: Rule, line: u32, element_id: Option<&str>) -> Finding {
    Finding {
        rule,
        severity: rule.severity(),
        element_id: element_id.map(str::to_owned),
        line,
        column: if line == 0 { 0 } else { 7 },
        message: format!("{} it is", rule.id()),
    }
}

pub(super) fn unread(path: &str) -> Unread {
    Unread { path: path.into(), reason: Unreadable::TooLarge }
}

#[rstest]
#[case::nothing_is_wrong(&[None], false, Verdict::Accepted)]
#[case::warnings(&[None, Some(Rule::StyleLabel)], false, Verdict::Accepted)]
#[case::an_error_in_one(&[Some(Rule::XmlDoctype), None], false, Verdict::Refused)]
#[case::one_unread(&[None], true, Verdict::Incomplete)]
#[case::an_error_and_one_unread(&[Some(Rule::XmlDoctype)], true, Verdict::Incomplete)]
fn verdict_is_that_of_all_files(
    #[case] rules: &[Option<Rule>],
    #[case] is_one_unread: bool,
    #[case] expected: Verdict,
) {
    let documents = rules
        .iter()
        .map(|rule| document("a.bpmn", rule.iter().map(|rule| finding(*rule, 1, None)).collect()))
        .collect();
    let unread = if is_one_unread { vec![unread("b.bpmn")] } else { vec![] };
    assert_eq!(Findings { mode: Mode::Strict, documents, unread }.verdict(), expected);
}

/// GitHub takes lines of a job's log for commands, and a terminal takes characters for them.
#[test]
fn a_path_is_shown_on_one_line() {
    let path = Path::new(OsStr::from_bytes(b"a\n::error::b\x1b[2J\xff/\xe2\x80\xae.bpmn"));
    assert_eq!(shown(path), "a\u{fffd}::error::b\u{fffd}[2J\u{fffd}/\u{fffd}.bpmn");
}

#[test]
fn text_has_a_line_per_finding() {
    let mut cut = document("flows/b.bpmn", vec![finding(Rule::XmlDoctype, 0, None)]);
    cut.report.truncated = true;
    let documents = [
        document("a.bpmn", vec![finding(Rule::StyleLabel, 3, Some("T"))]),
        document("good.bpmn", vec![]),
        cut,
    ];
    let mut out = Vec::new();
    text::write(&documents, &mut out).expect("should be written");
    let expected = "a.bpmn:3:7: warning: style-label it is on T [style-label]\n\
                    flows/b.bpmn:0:0: error: xml-doctype it is [xml-doctype]\n\
                    flows/b.bpmn: more findings are not listed\n";
    assert_eq!(String::from_utf8_lossy(&out), expected);
}
