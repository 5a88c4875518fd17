use super::{lint, parse};
use crate::{Class, Finding, Mode, Report, Rule, Severity};

const ORDER: &str = include_str!("../../testdata/order.bpmn");
const MISSING_TASK_DEFINITION: &str = include_str!("../../testdata/missing-task-definition.bpmn");

#[test]
fn executable_process_is_clean_in_both_modes() {
    let expected = Report {
        findings: Vec::new(),
        truncated: false,
        process_ids: vec!["order".to_owned()],
        job_types: vec!["charge-payment".to_owned(), "refund-payment".to_owned()],
        version_tags: vec!["v1.2.3".to_owned()],
    };
    assert_eq!(lint(ORDER.as_bytes(), Mode::Lenient), expected);
    assert_eq!(lint(ORDER.as_bytes(), Mode::Strict), expected);
}

#[test]
fn finding_reads_like_the_event_and_tells_its_place() {
    let report = lint(MISSING_TASK_DEFINITION.as_bytes(), Mode::Strict);
    let expected = Finding {
        rule: Rule::MissingTaskDefinition,
        severity: Severity::Error,
        element_id: Some("Task_charge".to_owned()),
        line: 15,
        column: 5,
        message: "missing taskDefinition".to_owned(),
    };
    assert_eq!(report.findings, [expected]);
    assert_eq!(report.findings[0].to_string(), "missing taskDefinition on Task_charge");
    assert_eq!(report.findings[0].rule_id(), "missing-task-definition");
    assert_eq!(report.findings[0].class(), Class::Bpmn);
    assert!(!report.is_deployable());
}

#[test]
fn parse_refuses_what_lint_finds_and_ignores_style() {
    assert_eq!(
        parse(MISSING_TASK_DEFINITION.as_bytes()),
        Err(lint(MISSING_TASK_DEFINITION.as_bytes(), Mode::Lenient))
    );
    let untidy = ORDER.replace("name=\"Charge payment\"", "").replace(
        "<bpmn:sequenceFlow id=\"Flow_3\"",
        "<bpmn:sequenceFlow id=\"Flow_4\" sourceRef=\"Task_charge\" targetRef=\"Task_refund\"/><bpmn:sequenceFlow id=\"Flow_3\"",
    );
    assert!(!lint(untidy.as_bytes(), Mode::Strict).is_deployable());
    assert!(parse(untidy.as_bytes()).is_ok());
}

#[test]
fn byte_order_mark_and_line_endings_do_not_matter() {
    let windows = format!("\u{feff}{}", ORDER.replace('\n', "\r\n"));
    assert_eq!(parse(windows.as_bytes()), parse(ORDER.as_bytes()));
}

#[test]
fn warnings_never_refuse_a_document() {
    let unnamed = ORDER.replace("name=\"Charge payment\"", "");
    let report = lint(unnamed.as_bytes(), Mode::Strict);
    let found: Vec<(Rule, Severity)> =
        report.findings.iter().map(|finding| (finding.rule, finding.severity)).collect();
    assert_eq!(found, [(Rule::StyleLabel, Severity::Warning)]);
    assert!(report.is_deployable());
}

#[test]
fn findings_are_bounded_and_in_the_order_of_the_text() {
    let tasks: Vec<String> = (0..20_000).map(|number| format!("<serviceTask id=\"T{number}\"/>")).collect();
    let tasks = tasks.join("\n");
    let document = format!(
        "<definitions xmlns=\"http://www.omg.org/spec/BPMN/20100524/MODEL\" targetNamespace=\"t\">\
         <process id=\"P\" isExecutable=\"true\"><startEvent id=\"S\"/>{tasks}</process></definitions>"
    );
    let report = lint(document.as_bytes(), Mode::Lenient);
    assert!(report.truncated);
    assert_eq!(report.findings.len(), crate::limits::MAX_FINDINGS);
    let lines: Vec<u32> = report.findings.iter().map(|finding| finding.line).collect();
    assert!(lines.is_sorted());
    assert_eq!(lint(document.as_bytes(), Mode::Lenient), report);
}

#[test]
fn place_of_malformed_xml_is_told() {
    let report = lint(b"<definitions>\n  <process\n</definitions>", Mode::Lenient);
    let found: Vec<(Rule, u32)> =
        report.findings.iter().map(|finding| (finding.rule, finding.line)).collect();
    assert_eq!(found, [(Rule::XmlMalformed, 2)]);
}
