use bpmn::{Mode, Rule};
use serde_json::json;

use super::super::tests::{document, finding, unread};
use super::*;

#[test]
fn report_has_files_findings_what_is_unread_and_counts() {
    let mut cut = document("b\n.bpmn", vec![finding(Rule::XmlDoctype, 0, None)]);
    cut.report.truncated = true;
    let found = Findings {
        mode: Mode::Lenient,
        documents: vec![document("flows/a.bpmn", vec![finding(Rule::StyleLabel, 3, Some("T"))]), cut],
        unread: vec![unread("c.bpmn")],
    };
    let expected = json!({
        "engineVersion": env!("CARGO_PKG_VERSION"),
        "mode": "lenient",
        "files": [
            { "path": "flows/a.bpmn", "deployable": true, "processId": "order", "truncated": false },
            { "path": "b\u{fffd}.bpmn", "deployable": false, "processId": null, "truncated": true },
        ],
        "findings": [
            {
                "path": "flows/a.bpmn", "line": 3, "column": 7, "element": "T", "ruleId": "style-label",
                "severity": "warning", "message": "style-label it is",
            },
            {
                "path": "b\u{fffd}.bpmn", "line": null, "column": null, "element": null, "ruleId": "xml-doctype",
                "severity": "error", "message": "xml-doctype it is",
            },
        ],
        "unread": [{ "path": "c.bpmn", "reason": "is larger than 1024 KiB, the most that an engine takes" }],
        "summary": { "files": 2, "refused": 1, "unread": 1, "errors": 1, "warnings": 1 },
    });
    assert_eq!(serde_json::to_value(build_report(&found)).expect("should be JSON"), expected);
}
