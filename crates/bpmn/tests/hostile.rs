//! For any bytes: no panic, bounded time, and a report within its limits.

use std::time::{Duration, Instant};

use bpmn::limits::{MAX_BYTES, MAX_FINDINGS, MAX_IDENTIFIER_CHARS, MAX_MESSAGE_CHARS, MAX_QUOTED_CHARS};
use bpmn::{Mode, Report, feel, lint, parse};
use proptest::prelude::*;

const ORDER: &str = include_str!("../testdata/order.bpmn");
/// Far more than a debug build on a busy machine needs, and far less than anything quadratic would need.
const LIMIT: Duration = Duration::from_secs(10);

fn checked(bytes: &[u8]) -> Report {
    let started = Instant::now();
    let report = lint(bytes, Mode::Strict);
    let elapsed = started.elapsed();
    assert!(elapsed < LIMIT, "{} bytes took {elapsed:?}", bytes.len());
    assert!(report.findings.len() <= MAX_FINDINGS);
    for finding in &report.findings {
        assert!(finding.message.chars().count() <= MAX_MESSAGE_CHARS);
        assert!(!finding.to_string().chars().any(char::is_control));
        assert!(finding.element_id.as_ref().is_none_or(|id| id.chars().count() <= MAX_QUOTED_CHARS));
    }
    for name in report.process_ids.iter().chain(&report.job_types).chain(&report.version_tags) {
        assert!(name.chars().count() <= MAX_IDENTIFIER_CHARS);
    }
    assert_eq!(parse(bytes).is_ok(), lint(bytes, Mode::Lenient).is_deployable());
    report
}

/// Text with a special meaning for one of the parsers.
fn fragment() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("<".to_owned()),
        Just("</".to_owned()),
        Just("/>".to_owned()),
        Just("\"".to_owned()),
        Just("&#0;".to_owned()),
        Just("&amp;".to_owned()),
        Just("<![CDATA[".to_owned()),
        Just("]]>".to_owned()),
        Just("<!--".to_owned()),
        Just("<!DOCTYPE a>".to_owned()),
        Just(" xmlns:x='y'".to_owned()),
        Just("<bpmn:task id='t'/>".to_owned()),
        Just("<bpmn:subProcess id='s'><bpmn:startEvent id='q'/></bpmn:subProcess>".to_owned()),
        Just("=if a then".to_owned()),
        Just("\u{feff}".to_owned()),
        "\\PC{0,8}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_end_in_a_report(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        checked(&bytes);
    }

    #[test]
    fn mutated_documents_end_in_a_report(edits in prop::collection::vec((0..ORDER.len(), 0..64_usize, fragment()), 1..6)) {
        let mut document = ORDER.to_owned();
        for (place, removed, inserted) in edits {
            let boundary = |place: usize| (0..=place.min(document.len())).rev().find(|at| document.is_char_boundary(*at)).unwrap();
            let range = boundary(place)..boundary(place + removed);
            document.replace_range(range, &inserted);
        }
        checked(document.as_bytes());
    }

    #[test]
    fn flipped_bytes_end_in_a_report(flips in prop::collection::vec((0..ORDER.len(), any::<u8>()), 1..20)) {
        let mut document = ORDER.as_bytes().to_vec();
        for (place, byte) in flips {
            document[place] = byte;
        }
        checked(&document);
    }

    #[test]
    fn arbitrary_expressions_end(text in "[a-z0-9 .()\\[\\]{}\"=<>+*/@`-]{0,200}") {
        if let Ok(expr) = feel::parse(&text) {
            feel::evaluate(&expr, &serde_json::json!({"a": 1, "b": {"c": "d"}}));
        }
    }
}

/// Fills a document up to its budget with numbered repetitions.
fn filled(before: &str, repeat: impl Fn(usize) -> String, after: &str) -> String {
    let mut document = before.to_owned();
    for number in 0.. {
        let next = repeat(number);
        if document.len() + next.len() + after.len() > MAX_BYTES {
            break;
        }
        document.push_str(&next);
    }
    document + after
}

const OPEN: &str = r#"<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" targetNamespace="t"><process id="P" isExecutable="true"><startEvent id="S"/>"#;
const CLOSE: &str = "</process></definitions>";

#[test]
fn largest_documents_of_every_shape_end_quickly() {
    let shapes: [(&str, String); 9] = [
        ("tasks", filled(OPEN, |n| format!("<serviceTask id=\"t{n}\"/>"), CLOSE)),
        ("same id", filled(OPEN, |_| "<task id=\"t\"/>".to_owned(), CLOSE)),
        (
            "flows of one gateway",
            filled(
                &format!("{OPEN}<exclusiveGateway id=\"X\"/>"),
                |n| format!("<sequenceFlow id=\"f{n}\" sourceRef=\"X\" targetRef=\"S\"/>"),
                CLOSE,
            ),
        ),
        (
            "boundary events of one task",
            filled(
                &format!("{OPEN}<task id=\"T\"/>"),
                |n| {
                    format!(
                        "<boundaryEvent id=\"b{n}\" attachedToRef=\"T\"><compensateEventDefinition/></boundaryEvent>"
                    )
                },
                CLOSE,
            ),
        ),
        (
            "associations and boundary events",
            filled(
                &format!("{OPEN}<task id=\"T\"/>"),
                |n| {
                    format!(
                        "<boundaryEvent id=\"b{n}\" attachedToRef=\"T\"><compensateEventDefinition/></boundaryEvent>\
                         <association sourceRef=\"T\" targetRef=\"b{n}\"/>"
                    )
                },
                CLOSE,
            ),
        ),
        (
            "a loop of tasks",
            filled(
                OPEN,
                |n| {
                    format!(
                        "<task id=\"t{n}\"/><sequenceFlow id=\"f{n}\" sourceRef=\"t{n}\" targetRef=\"t{}\"/>",
                        n / 2
                    )
                },
                CLOSE,
            ),
        ),
        ("unexpected elements", filled(OPEN, |_| "<x/>".to_owned(), CLOSE)),
        ("text", filled(OPEN, |_| "x ".to_owned(), CLOSE)),
        ("namespaces", filled("<a xmlns:a='a'>", |n| format!("<b xmlns:n{n}='u'/>"), "</a>")),
    ];
    for (name, document) in shapes {
        let started = Instant::now();
        checked(document.as_bytes());
        println!("{name}: {} bytes in {:?}", document.len(), started.elapsed());
    }
}

#[test]
fn long_condition_ends_quickly() {
    let condition = format!("={}", "(".repeat(500_000));
    let document = format!(
        "{OPEN}<endEvent id=\"E\"/><exclusiveGateway id=\"X\"/><sequenceFlow id=\"f\" sourceRef=\"X\" targetRef=\"E\">\
         <conditionExpression>{condition}</conditionExpression></sequenceFlow>{CLOSE}"
    );
    assert!(!checked(document.as_bytes()).is_deployable());
}
