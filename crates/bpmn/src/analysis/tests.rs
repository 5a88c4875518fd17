use std::collections::BTreeMap;

use rstest::rstest;

use super::{lint, lint_beside, parse};
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
fn finding_has_its_message_and_place() {
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
fn parse_refuses_what_lenient_lint_refuses_and_ignores_style() {
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
fn a_process_id_of_another_document_is_a_warning_in_strict_mode() {
    let of = |id: &str| BTreeMap::from([(id.to_owned(), "flows/paid\norder.bpmn".to_owned())]);
    let alone = lint(ORDER.as_bytes(), Mode::Strict);
    let shared = Finding {
        rule: Rule::StyleSharedProcessId,
        severity: Severity::Warning,
        element_id: Some("order".to_owned()),
        line: 9,
        column: 3,
        message: "same id as the process of flows/paid\u{fffd}order.bpmn".to_owned(),
    };
    let expected = Report { findings: vec![shared], ..alone.clone() };
    assert_eq!(lint_beside(ORDER.as_bytes(), Mode::Strict, &of("order")), expected);
    assert_eq!(lint_beside(ORDER.as_bytes(), Mode::Lenient, &of("order")), alone);
    assert_eq!(lint_beside(ORDER.as_bytes(), Mode::Strict, &of("refund")), alone);
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
fn place_of_malformed_xml_is_reported() {
    let report = lint(b"<definitions>\n  <process\n</definitions>", Mode::Lenient);
    let found: Vec<(Rule, u32)> =
        report.findings.iter().map(|finding| (finding.rule, finding.line)).collect();
    assert_eq!(found, [(Rule::XmlMalformed, 2)]);
}

/// A text encoded with `WIDTH` bytes per character.
fn wide<const WIDTH: usize>(text: &str, unit: fn(char) -> [u8; WIDTH]) -> Vec<u8> {
    text.chars().flat_map(unit).collect()
}

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

const DECLARED: &[u8] = b"<?xml version='1.0' encoding='ISO-8859-1'?>\n";
const MARK: &[u8] = b"\xef\xbb\xbf";

/// In every encoding, the place is the line and column that an editor shows, and the message says what to change.
#[rstest]
#[case::doctype(b"<?xml version='1.0'?>\n<!DOCTYPE a>\n<a/>".to_vec(),
    "2:1 xml-doctype: document has a DOCTYPE, which is never read; remove it")]
#[case::doctype_after_a_mark(joined(&[MARK, b"<?xml version='1.0'?>\n<!DOCTYPE a>\n<a/>"]),
    "2:1 xml-doctype: document has a DOCTYPE, which is never read; remove it")]
#[case::doctype_in_windows_lines(joined(&[MARK, b"<?xml version='1.0'?>\r\n\r\n  <!DOCTYPE a><a/>"]),
    "3:3 xml-doctype: document has a DOCTYPE, which is never read; remove it")]
#[case::doctype_with_carriage_returns(b"<?xml version='1.0'?>\r<!DOCTYPE a><a/>".to_vec(),
    "2:1 xml-doctype: document has a DOCTYPE, which is never read; remove it")]
#[case::malformed_after_a_mark(joined(&[MARK, "<ä>\n <b>ü</c></ä>".as_bytes()]),
    "2:6 xml-malformed: not well-formed XML: ill-formed document: expected `</b>`, but `</c>` was found")]
#[case::root_after_a_mark(joined(&[MARK, b"\n <a/>"]), "2:2 xml-root: root element is not definitions of BPMN 2.0")]
#[case::other_bytes(b"<a>\n  <b c='f\xfcr'/>\n</a>".to_vec(),
    "2:10 xml-encoding: document is not UTF-8: byte 0xFC is no character; save it as UTF-8")]
#[case::other_bytes_after_umlauts(joined(&[MARK, "<ä>\n  <ü ".as_bytes(), b"c='f\xfcr'/>"]),
    "2:10 xml-encoding: document is not UTF-8: byte 0xFC is no character; save it as UTF-8")]
#[case::declared_utf_8(b"<?xml version='1.0' encoding='UTF-8'?>\n<a>\x84</a>".to_vec(),
    "2:4 xml-encoding: document is not UTF-8: byte 0x84 is no character; save it as UTF-8")]
#[case::surrogate(b"<a>\xed\xa0\x80</a>".to_vec(),
    "1:4 xml-encoding: document is not UTF-8: byte 0xED is no character; save it as UTF-8")]
#[case::cut_off("<a>\n  größe".as_bytes()[..9].to_vec(),
    "2:5 xml-encoding: document ends within a character: it is cut off or not saved as UTF-8; save it whole as UTF-8")]
#[case::declared_and_used(joined(&[DECLARED, b"<a>\n\xe4</a>"]),
    "1:31 capability-encoding: document is encoded in ISO-8859-1; save it as UTF-8 and declare encoding=\"UTF-8\"")]
#[case::declared_and_not_used(joined(&[DECLARED, "<a>ä</a>".as_bytes()]),
    "1:31 capability-encoding: document declares ISO-8859-1 but its bytes are UTF-8; declare encoding=\"UTF-8\"")]
#[case::declared_after_a_mark(joined(&[MARK, DECLARED, "<a>ä</a>".as_bytes()]),
    "1:31 capability-encoding: document declares ISO-8859-1 but its bytes are UTF-8; declare encoding=\"UTF-8\"")]
#[case::utf_16_le_with_mark(joined(&[b"\xff\xfe", &wide("<a/>", |c| (c as u16).to_le_bytes())]),
    "1:1 capability-encoding: document is encoded in UTF-16; save it as UTF-8")]
#[case::utf_16_be_with_mark(joined(&[b"\xfe\xff", &wide("<ä/>", |c| (c as u16).to_be_bytes())]),
    "1:1 capability-encoding: document is encoded in UTF-16; save it as UTF-8")]
#[case::utf_16_le(wide("<?xml version='1.0'?>\n<a/>", |c| (c as u16).to_le_bytes()),
    "1:1 capability-encoding: document is encoded in UTF-16; save it as UTF-8")]
#[case::utf_16_be(wide("<?xml version='1.0'?>\n<a/>", |c| (c as u16).to_be_bytes()),
    "1:1 capability-encoding: document is encoded in UTF-16; save it as UTF-8")]
#[case::utf_32_le_with_mark(wide("\u{feff}<a/>", |c| (c as u32).to_le_bytes()),
    "1:1 capability-encoding: document is encoded in UTF-32; save it as UTF-8")]
#[case::utf_32_be_with_mark(wide("\u{feff}<a/>", |c| (c as u32).to_be_bytes()),
    "1:1 capability-encoding: document is encoded in UTF-32; save it as UTF-8")]
#[case::utf_32_le(wide("<a/>", |c| (c as u32).to_le_bytes()),
    "1:1 capability-encoding: document is encoded in UTF-32; save it as UTF-8")]
#[case::utf_32_be(wide("<a/>", |c| (c as u32).to_be_bytes()),
    "1:1 capability-encoding: document is encoded in UTF-32; save it as UTF-8")]
#[case::nul_at_the_begin(b"<\0a/>".to_vec(), "1:2 xml-malformed: character U+0000 is not allowed in XML; remove it")]
#[case::nul(joined(&[MARK, b"<a>\n <b/>\0</a>"]), "2:6 xml-malformed: character U+0000 is not allowed in XML; remove it")]
#[case::nul_in_an_attribute(b"<a>\n <b c='\0'/></a>".to_vec(),
    "2:8 xml-malformed: character U+0000 is not allowed in XML; remove it")]
#[case::control("<a>ü\u{8}</a>".as_bytes().to_vec(), "1:5 xml-malformed: character U+0008 is not allowed in XML; remove it")]
#[case::no_character("<a>\u{ffff}</a>".as_bytes().to_vec(),
    "1:4 xml-malformed: character U+FFFF is not allowed in XML; remove it")]
#[case::second_mark(joined(&[MARK, MARK, b"<a/>"]),
    "1:1 xml-malformed: second byte order mark (U+FEFF) before the document; remove it")]
#[case::blank_before_the_declaration(joined(&[MARK, b"\n<?xml version='1.0'?><a/>"]),
    "2:1 xml-malformed: not well-formed XML: unexpected XML declaration")]
fn place_and_advice_are_right_in_every_encoding(#[case] bytes: Vec<u8>, #[case] expected: &str) {
    let report = lint(&bytes, Mode::Strict);
    let reported: Vec<String> = report
        .findings
        .iter()
        .map(|finding| format!("{}:{} {}: {finding}", finding.line, finding.column, finding.rule_id()))
        .collect();
    assert_eq!(reported, [expected]);
}

/// A declared encoding does not matter while all bytes are ASCII, and `utf8` means UTF-8.
#[rstest]
#[case(DECLARED, "")]
#[case(b"<?xml version='1.0' encoding='utf-16'?>\n", "")]
#[case(b"<?xml version='1.0' encoding='utf8'?>\n", "ä")]
#[case(b"<?xml version = '1.0'   encoding = \"utf-8\" ?>\n", "ä")]
fn declaration_without_an_effect_is_accepted(#[case] declaration: &[u8], #[case] name: &str) {
    let (_, body) = ORDER.split_once("?>").unwrap();
    let body = body.replacen("Charge payment", &format!("Charge payment{name}"), 1);
    assert_eq!(lint(&joined(&[declaration, body.trim_start().as_bytes()]), Mode::Strict).findings, []);
}

const HEAD: &str = r#"<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" targetNamespace="t" xmlns:wf="http://workflow.example.com/schema/1.0">"#;

#[rstest]
#[case::two(&["a", "b"], "3:1 document has 2 executable processes, a and b; give each a document of its own")]
#[case::four(&["a", "b", "c", "d"], "3:1 document has 4 executable processes, a and b and 2 more; give each a document of its own")]
fn all_executable_processes_are_reported(#[case] ids: &[&str], #[case] expected: &str) {
    let processes: Vec<String> = ids
        .iter()
        .map(|id| format!("<process id=\"{id}\" isExecutable=\"true\"><startEvent id=\"{id}_S\"/></process>"))
        .collect();
    let report = lint(format!("{HEAD}\n{}</definitions>", processes.join("\n")).as_bytes(), Mode::Lenient);
    let [finding] = report.findings.as_slice() else { panic!("one finding, not {:?}", report.findings) };
    assert_eq!(format!("{}:{} {finding}", finding.line, finding.column), expected);
    assert_eq!(finding.rule, Rule::CapabilityOneProcess);
    assert_eq!(report.deployable_process(), None);
}

#[rstest]
#[case("charge ", r#"no WorkflowWorker can serve job type "charge ", which ends with a blank on T"#)]
#[case(
    "&#9;charge",
    r#"no WorkflowWorker can serve job type "\tcharge", which holds the control character U+0009 on T"#
)]
#[case("=&quot;&quot;", r#"no WorkflowWorker can serve job type "", which is empty on T"#)]
#[case("a&#x200b;b", r#"job type "a\u{200b}b" holds characters that cannot be seen on T"#)]
#[case("charge&#xa0;", r#"job type "charge\u{a0}" holds characters that cannot be seen on T"#)]
#[case(
    "charge&#x2003;payment",
    r#"job type "charge\u{2003}payment" holds characters that cannot be seen on T"#
)]
fn messages_show_invisible_characters_of_a_job_type(#[case] job_type: &str, #[case] expected: &str) {
    let document = format!(
        "{HEAD}<process id=\"P\" isExecutable=\"true\"><startEvent id=\"S\"/><serviceTask id=\"T\"><extensionElements>\n\
         <wf:taskDefinition type=\"{job_type}\"/></extensionElements></serviceTask></process></definitions>"
    );
    let report = lint(document.as_bytes(), Mode::Lenient);
    let reported: Vec<(u32, String)> =
        report.findings.iter().map(|finding| (finding.line, finding.to_string())).collect();
    assert_eq!(reported, [(2, expected.to_owned())]);
}
