mod bpmn;
mod capability;
mod style;
mod xml;

use std::collections::{BTreeMap, BTreeSet};

use super::Rule;
use crate::{Class, Mode, Report, lint};

/// A document, and the rules that it breaks.
struct Case {
    /// The rule or the violation, as a phrase.
    name: &'static str,
    source: Source,
    /// `rule-id` or `rule-id element`, in the order of the report.
    expected: &'static [&'static str],
}

enum Source {
    /// The content of an executable process with the id `P`.
    Process(&'static str),
    /// The content of `definitions`.
    Definitions(&'static str),
    /// A whole document.
    Document(&'static str),
}

impl Source {
    fn document(&self) -> String {
        let body = match self {
            Self::Process(body) => format!(r#"<process id="P" isExecutable="true">{body}</process>"#),
            Self::Definitions(body) => (*body).to_owned(),
            Self::Document(document) => return (*document).to_owned(),
        };
        format!(
            r#"<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" targetNamespace="urn:test"
                 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
                 xmlns:bpmndi="http://www.omg.org/spec/BPMN/20100524/DI"
                 xmlns:dc="http://www.omg.org/spec/DD/20100524/DC"
                 xmlns:wf="http://workflow.example.com/schema/1.0">{body}</definitions>"#
        )
    }
}

/// Checks the findings of the given classes for each case.
fn check(cases: &[Case], mode: Mode, classes: &[Class]) {
    let mut failures = Vec::new();
    for case in cases {
        let report = lint(case.source.document().as_bytes(), mode);
        let found = found(&report, classes);
        if found != case.expected {
            failures.push(format!("{}\n  expected {:?}\n  found    {found:?}", case.name, case.expected));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn found(report: &Report, classes: &[Class]) -> Vec<String> {
    report
        .findings
        .iter()
        .filter(|finding| classes.contains(&finding.class()))
        .map(|finding| match &finding.element_id {
            Some(id) => format!("{} {id}", finding.rule_id()),
            None => finding.rule_id().to_owned(),
        })
        .collect()
}

#[test]
fn every_rule_has_a_unique_id_and_a_summary() {
    let ids: BTreeSet<&str> = Rule::ALL.iter().map(|rule| rule.id()).collect();
    assert_eq!(ids.len(), Rule::ALL.len());
    for rule in Rule::ALL {
        assert!(rule.id().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{rule:?}");
        assert!(rule.summary().ends_with('.'), "{rule:?}");
    }
}

#[test]
fn every_rule_is_broken_by_some_case() {
    let groups = [xml::CASES, capability::CASES, style::CASES].into_iter().chain(bpmn::GROUPS);
    let mut uncovered: BTreeSet<&str> = Rule::ALL.iter().map(|rule| rule.id()).collect();
    for expected in groups.flatten().flat_map(|case| case.expected) {
        uncovered.remove(expected.split(' ').next().unwrap());
    }
    // Other tests cover them, with generated documents or more than one.
    for elsewhere in [
        Rule::XmlTooLarge,
        Rule::XmlTooDeep,
        Rule::XmlTooManyAttributes,
        Rule::XmlNameTooLong,
        Rule::XmlTooManyNamespaces,
        Rule::XmlTooManyNodes,
        Rule::XmlEncoding,
        Rule::CapabilityEncoding,
        Rule::CapabilityJobTypes,
        Rule::StyleSharedProcessId,
    ] {
        uncovered.remove(elsewhere.id());
    }
    assert_eq!(uncovered, BTreeSet::new());
}

/// With `UPDATE_DOCS=1` the tables are written instead of compared.
#[test]
fn documented_rules_equal_the_implemented_rules() {
    const START: &str = "<!-- rules -->\n";
    const END: &str = "<!-- end of rules -->";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/spec/bpmn-rules.md");
    let document = std::fs::read_to_string(path).expect("the rules' document");
    let (before, rest) = document.split_once(START).expect("a mark before the tables");
    let (_, after) = rest.split_once(END).expect("a mark after the tables");

    let mut classes: BTreeMap<Class, Vec<String>> = BTreeMap::new();
    for rule in Rule::ALL {
        let line = format!("| `{}` | {} | {} |", rule.id(), rule.severity().as_str(), rule.summary());
        classes.entry(rule.class()).or_default().push(line);
    }
    let tables: Vec<String> = classes
        .into_iter()
        .map(|(class, lines)| {
            format!(
                "\n### {}\n\n| rule id | severity | what it asks for |\n|---|---|---|\n{}\n",
                class.as_str(),
                lines.join("\n")
            )
        })
        .collect();
    let expected = format!("{before}{START}{}\n{END}{after}", tables.concat());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, expected).expect("the document is written");
    } else {
        assert_eq!(document, expected, "run the test with UPDATE_DOCS=1");
    }
}
