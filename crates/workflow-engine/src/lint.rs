//! `workflow-engine lint`: checks a file as a deployment would, for people and build pipelines.

use std::io::{self, Write};
use std::path::Path;

use bpmn::{Mode, Report};

use crate::args::{LintArgs, LintMode};

/// Writes one line per finding; true when the document would be deployed.
pub fn run(args: &LintArgs, out: &mut impl Write) -> io::Result<bool> {
    let content = std::fs::read(&args.file)?;
    let mode = match args.mode {
        LintMode::Strict => Mode::Strict,
        LintMode::Lenient => Mode::Lenient,
    };
    let report = bpmn::lint(&content, mode);
    write_report(&args.file, &report, out)?;
    Ok(report.deployable_process().is_some())
}

fn write_report(file: &Path, report: &Report, out: &mut impl Write) -> io::Result<()> {
    for finding in &report.findings {
        writeln!(
            out,
            "{}:{}:{}: {}: {finding} [{}]",
            file.display(),
            finding.line,
            finding.column,
            finding.severity.as_str(),
            finding.rule_id()
        )?;
    }
    if report.truncated {
        writeln!(out, "{}: more findings are not listed", file.display())?;
    }
    Ok(())
}
