//! The findings as one JSON document, for programs. Its shape is in `docs/spec/engine.md`: fields are added, not renamed.

use std::num::NonZeroU32;

use bpmn::Severity;
use serde::Serialize;

use super::{Findings, shown};
use crate::release;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JsonReport<'f> {
    engine_version: &'static str,
    mode: &'static str,
    files: Vec<File<'f>>,
    findings: Vec<Finding<'f>>,
    unread: Vec<Unread>,
    summary: Counts,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File<'f> {
    path: String,
    deployable: bool,
    process_id: Option<&'f str>,
    truncated: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Finding<'f> {
    path: String,
    line: Option<NonZeroU32>,
    column: Option<NonZeroU32>,
    element: Option<&'f str>,
    rule_id: &'static str,
    severity: &'static str,
    message: &'f str,
}

#[derive(Serialize)]
struct Unread {
    path: String,
    reason: String,
}

#[derive(Serialize)]
struct Counts {
    files: usize,
    refused: usize,
    unread: usize,
    errors: usize,
    warnings: usize,
}

pub(super) fn build_report(found: &Findings) -> JsonReport<'_> {
    let files: Vec<File<'_>> = found
        .documents
        .iter()
        .map(|document| File {
            path: shown(&document.path),
            deployable: document.is_accepted(),
            process_id: document.report.deployable_process(),
            truncated: document.report.truncated,
        })
        .collect();
    let findings: Vec<Finding<'_>> = found
        .documents
        .iter()
        .flat_map(|document| document.report.findings.iter().map(|finding| (&document.path, finding)))
        .map(|(path, finding)| Finding {
            path: shown(path),
            line: NonZeroU32::new(finding.line),
            column: NonZeroU32::new(finding.column),
            element: finding.element_id.as_deref(),
            rule_id: finding.rule_id(),
            severity: finding.severity.as_str(),
            message: &finding.message,
        })
        .collect();
    let unread: Vec<Unread> = found
        .unread
        .iter()
        .map(|unread| Unread { path: shown(&unread.path), reason: unread.reason.to_string() })
        .collect();
    let of = |severity: Severity| findings.iter().filter(|found| found.severity == severity.as_str()).count();
    let summary = Counts {
        files: files.len(),
        refused: files.iter().filter(|file| !file.deployable).count(),
        unread: unread.len(),
        errors: of(Severity::Error),
        warnings: of(Severity::Warning),
    };
    JsonReport {
        engine_version: release::version(),
        mode: found.mode.as_str(),
        files,
        findings,
        unread,
        summary,
    }
}

#[cfg(test)]
mod tests;
