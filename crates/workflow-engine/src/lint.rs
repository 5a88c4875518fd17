//! `workflow-engine lint`: checks files as a deployment would, for people and build pipelines.

mod files;
mod json;
mod sarif;
mod text;

use std::collections::BTreeMap;
use std::env;
use std::fmt;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bpmn::{Mode, Report};
use plain_text::is_printable;
use serde::Serialize;

use crate::args::{LintArgs, LintFormat};
use files::Unreadable;

/// What a run says of all its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Every document would be deployed.
    Accepted,
    /// At least one would be refused.
    Refused,
    /// Not every file could be judged, whatever was found in the others.
    Incomplete,
}

impl From<Verdict> for ExitCode {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Accepted => Self::SUCCESS,
            Verdict::Refused => Self::from(1),
            // What clap exits with when the arguments are wrong.
            Verdict::Incomplete => Self::from(2),
        }
    }
}

/// What was found in the files of one run, in the order in which they were named.
#[derive(Debug)]
struct Findings {
    mode: Mode,
    documents: Vec<Document>,
    unread: Vec<Unread>,
}

#[derive(Debug)]
struct Document {
    path: PathBuf,
    report: Report,
}

impl Document {
    fn is_accepted(&self) -> bool {
        self.report.deployable_process().is_some()
    }
}

/// A path that was named, or lies below one, and could not be judged.
#[derive(Debug)]
struct Unread {
    path: PathBuf,
    reason: Unreadable,
}

impl fmt::Display for Unread {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", shown(&self.path), self.reason)
    }
}

impl Findings {
    fn verdict(&self) -> Verdict {
        if !self.unread.is_empty() {
            Verdict::Incomplete
        } else if self.documents.iter().all(Document::is_accepted) {
            Verdict::Accepted
        } else {
            Verdict::Refused
        }
    }
}

/// Writes the findings to `out`, and what could not be read to `err`.
pub fn run(args: &LintArgs, out: &mut impl Write, err: &mut impl Write) -> io::Result<Verdict> {
    let findings = observe_findings(&args.paths, args.mode.into());
    for unread in &findings.unread {
        writeln!(err, "{unread}")?;
    }
    let mut out = BufWriter::new(out);
    match args.format {
        LintFormat::Text => text::write(&findings.documents, &mut out)?,
        LintFormat::Json => write_json(&json::build_report(&findings), &mut out)?,
        LintFormat::Sarif => write_json(&sarif::build_log(&findings, &env::current_dir()?), &mut out)?,
    }
    out.flush()?;
    Ok(findings.verdict())
}

fn write_json(value: &impl Serialize, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}

fn observe_findings(paths: &[PathBuf], mode: Mode) -> Findings {
    let (files, mut unread) = files::observe_files(paths);
    let mut documents = Vec::new();
    let mut process_ids = BTreeMap::new();
    for path in files {
        match files::observe_content(&path) {
            Ok(content) => {
                let report = bpmn::lint_beside(&content, mode, &process_ids);
                for id in &report.process_ids {
                    process_ids.entry(id.clone()).or_insert_with(|| shown(&path));
                }
                documents.push(Document { path, report });
            }
            Err(reason) => unread.push(Unread { path, reason }),
        }
    }
    // Directories are listed in no order.
    unread.sort_by(|one, other| one.path.cmp(&other.path));
    Findings { mode, documents, unread }
}

/// A path as a line can hold it: a name may have line ends, and bytes that are no characters.
fn shown(path: &Path) -> String {
    let name = path.to_string_lossy();
    name.chars().map(|character| if is_printable(character) { character } else { '\u{fffd}' }).collect()
}

#[cfg(test)]
mod tests;
