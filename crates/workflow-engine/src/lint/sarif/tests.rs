use std::ffi::OsStr;

use bpmn::Mode;
use rstest::rstest;

use super::super::tests::{document, finding, unread};
use super::*;

#[test]
fn log_has_the_rules_the_results_and_what_is_unread() {
    let mut cut = document("b.bpmn", vec![finding(Rule::XmlDoctype, 0, None)]);
    cut.report.truncated = true;
    let found = Findings {
        mode: Mode::Strict,
        documents: vec![document("flows/a.bpmn", vec![finding(Rule::StyleLabel, 3, Some("T"))]), cut],
        unread: vec![unread("/tmp/c.bpmn")],
    };
    let mut log = build_log(&found, Path::new("/src"));
    let rules = log["runs"][0]["tool"]["driver"]["rules"].take();
    let index_of = |rule: Rule| Rule::ALL.iter().position(|other| *other == rule).expect("is a rule");
    let file = |uri: &str| json!({ "uri": uri, "uriBaseId": "%SRCROOT%" });
    let expected = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "workflow-engine", "semanticVersion": env!("CARGO_PKG_VERSION"), "rules": null,
            } },
            "invocations": [{
                "executionSuccessful": false,
                "toolExecutionNotifications": [
                    {
                        "level": "error",
                        "message": { "text": "/tmp/c.bpmn is larger than 1024 KiB, the most that an engine takes" },
                        "locations": [{ "physicalLocation": { "artifactLocation": { "uri": "file:///tmp/c.bpmn" } } }],
                    },
                    {
                        "level": "warning",
                        "message": { "text": "more findings are not listed" },
                        "locations": [{ "physicalLocation": { "artifactLocation": file("b.bpmn") } }],
                    },
                ],
            }],
            "originalUriBaseIds": { "%SRCROOT%": { "description": { "text": "The directory in which the linter ran." } } },
            "columnKind": "unicodeCodePoints",
            "results": [
                {
                    "ruleId": "style-label",
                    "ruleIndex": index_of(Rule::StyleLabel),
                    "level": "warning",
                    "message": { "text": "style-label it is on T" },
                    "locations": [{ "physicalLocation": {
                        "artifactLocation": file("flows/a.bpmn"),
                        "region": { "startLine": 3, "startColumn": 7 },
                    } }],
                },
                {
                    "ruleId": "xml-doctype",
                    "ruleIndex": index_of(Rule::XmlDoctype),
                    "level": "error",
                    "message": { "text": "xml-doctype it is" },
                    "locations": [{ "physicalLocation": { "artifactLocation": file("b.bpmn") } }],
                },
            ],
        }],
    });
    assert_eq!(log, expected);

    let doctype = json!({
        "id": "xml-doctype",
        "shortDescription": { "text": "There is no DOCTYPE." },
        "fullDescription": { "text": "There is no DOCTYPE." },
        "help": { "text": "There is no DOCTYPE. Class xml, see docs/spec/bpmn-rules.md." },
        "defaultConfiguration": { "level": "error" },
        "properties": { "tags": ["xml"] },
    });
    assert_eq!(rules[index_of(Rule::XmlDoctype)], doctype);
    let ids: Vec<&str> =
        rules.as_array().into_iter().flatten().filter_map(|rule| rule["id"].as_str()).collect();
    assert_eq!(ids, Rule::ALL.iter().map(|rule| rule.id()).collect::<Vec<_>>());
}

#[rstest]
#[case::below("a/b.bpmn", Ok("a/b.bpmn"))]
#[case::with_dots("./a/../b//c.bpmn", Ok("b/c.bpmn"))]
#[case::absolute("/src/a.bpmn", Ok("a.bpmn"))]
#[case::directory_itself(".", Ok("./"))]
#[case::beside("../other/a.bpmn", Err("file:///other/a.bpmn"))]
#[case::of_a_similar_name("/srcs/a.bpmn", Err("file:///srcs/a.bpmn"))]
#[case::above_all("../../../a.bpmn", Err("file:///a.bpmn"))]
#[case::like_a_scheme("http:a.bpmn", Ok("http%3Aa.bpmn"))]
#[case::reserved("a b/100%?#[ü].bpmn", Ok("a%20b/100%25%3F%23%5B%C3%BC%5D.bpmn"))]
fn location_is_relative_to_the_directory(#[case] path: &str, #[case] expected: Result<&str, &str>) {
    let expected = match expected {
        Ok(uri) => json!({ "uri": uri, "uriBaseId": "%SRCROOT%" }),
        Err(uri) => json!({ "uri": uri }),
    };
    assert_eq!(build_location(Path::new(path), Path::new("/src")), expected);
}

#[test]
fn location_of_a_name_that_is_no_text_has_its_bytes() {
    let path = Path::new(OsStr::from_bytes(b"\xff\n.bpmn"));
    let expected = json!({ "uri": "%FF%0A.bpmn", "uriBaseId": "%SRCROOT%" });
    assert_eq!(build_location(path, Path::new("/src")), expected);
}
