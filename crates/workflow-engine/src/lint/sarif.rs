//! The findings as SARIF 2.1.0, which code scanning reads.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use bpmn::{Finding, Rule};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use serde_json::{Value, json};

use super::Findings;
use crate::release;

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
/// The directory to which the paths are relative. Readers put the one of their checkout in its place.
const ROOT: &str = "%SRCROOT%";

/// What a URI's path may have as it is, without a colon: in a first segment it would end a scheme.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// `directory` is the one in which the process runs.
pub(super) fn build_log(found: &Findings, directory: &Path) -> Value {
    let indices: BTreeMap<Rule, usize> =
        Rule::ALL.iter().enumerate().map(|(index, rule)| (*rule, index)).collect();
    let results: Vec<Value> = found
        .documents
        .iter()
        .flat_map(|document| document.report.findings.iter().map(|finding| (&document.path, finding)))
        .map(|(path, finding)| build_result(finding, indices[&finding.rule], path, directory))
        .collect();
    let unread = found.unread.iter().map(|unread| {
        json!({
            "level": "error",
            "message": { "text": unread.to_string() },
            "locations": [{ "physicalLocation": { "artifactLocation": build_location(&unread.path, directory) } }],
        })
    });
    let truncated = found.documents.iter().filter(|document| document.report.truncated).map(|document| {
        json!({
            "level": "warning",
            "message": { "text": "more findings are not listed" },
            "locations": [{ "physicalLocation": { "artifactLocation": build_location(&document.path, directory) } }],
        })
    });
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "workflow-engine",
                "semanticVersion": release::version(),
                "rules": Rule::ALL.iter().map(|rule| build_rule(*rule)).collect::<Vec<_>>(),
            } },
            "invocations": [{
                "executionSuccessful": found.unread.is_empty(),
                "toolExecutionNotifications": unread.chain(truncated).collect::<Vec<_>>(),
            }],
            "originalUriBaseIds": { ROOT: { "description": { "text": "The directory in which the linter ran." } } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn build_rule(rule: Rule) -> Value {
    json!({
        "id": rule.id(),
        "shortDescription": { "text": rule.summary() },
        "fullDescription": { "text": rule.summary() },
        "help": { "text": format!("{} Class {}, see docs/spec/bpmn-rules.md.", rule.summary(), rule.class().as_str()) },
        "defaultConfiguration": { "level": rule.severity().as_str() },
        "properties": { "tags": [rule.class().as_str()] },
    })
}

fn build_result(finding: &Finding, rule_index: usize, path: &Path, directory: &Path) -> Value {
    let mut place = json!({ "artifactLocation": build_location(path, directory) });
    if finding.line > 0 {
        place["region"] = json!({ "startLine": finding.line, "startColumn": finding.column.max(1) });
    }
    json!({
        "ruleId": finding.rule_id(),
        "ruleIndex": rule_index,
        "level": finding.severity.as_str(),
        "message": { "text": finding.to_string() },
        "locations": [{ "physicalLocation": place }],
    })
}

/// Relative to the directory of the run, so that it is the same on every machine; a file outside of it has an absolute URI.
fn build_location(path: &Path, directory: &Path) -> Value {
    let path = without_dots(&directory.join(path));
    match path.strip_prefix(directory) {
        Ok(below) if below.as_os_str().is_empty() => json!({ "uri": "./", "uriBaseId": ROOT }),
        Ok(below) => json!({ "uri": encoded(below), "uriBaseId": ROOT }),
        Err(_) => json!({ "uri": format!("file://{}", encoded(&path)) }),
    }
}

fn encoded(path: &Path) -> String {
    percent_encode(path.as_os_str().as_bytes(), ENCODED).to_string()
}

/// The path without `.` and `..`, which readers of SARIF compare as they are.
fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests;
