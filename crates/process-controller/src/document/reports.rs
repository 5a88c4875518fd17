//! What the linter said of documents, by their digest. It depends on nothing but the bytes and the mode.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bpmn::{Finding, Mode, Report};

/// Bytes of reports that are kept. A report of a usual document has less than one KiB.
const ROOM: usize = 4 * 1024 * 1024;

#[derive(Default)]
pub(super) struct Reports(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    reports: HashMap<(String, Mode), Report>,
    used: usize,
}

impl Reports {
    /// The report of the document with this digest; `lint` is called if it is not kept.
    pub(super) fn get_or_lint(&self, sha256: &str, mode: Mode, lint: impl FnOnce() -> Report) -> Report {
        let key = (sha256.to_owned(), mode);
        if let Some(report) = self.lock().reports.get(&key) {
            return report.clone();
        }
        // Not under the lock: other documents are linted at the same time.
        let report = lint();
        self.lock().keep(key, &report);
        report
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Begins anew when the room is used up: documents that are still deployed come back with their next pass.
    fn keep(&mut self, key: (String, Mode), report: &Report) {
        let size = key.0.len() + size_of_report(report);
        if size > ROOM {
            return;
        }
        if self.used + size > ROOM {
            *self = Self::default();
        }
        if self.reports.insert(key, report.clone()).is_none() {
            self.used += size;
        }
    }
}

fn size_of_report(report: &Report) -> usize {
    let of_text = |text: &String| size_of::<String>() + text.len();
    let of_finding = |finding: &Finding| {
        size_of::<Finding>() + finding.message.len() + finding.element_id.as_ref().map_or(0, String::len)
    };
    let texts = report.process_ids.iter().chain(&report.job_types).chain(&report.version_tags);
    size_of::<Report>()
        + texts.map(of_text).sum::<usize>()
        + report.findings.iter().map(of_finding).sum::<usize>()
}

#[cfg(test)]
mod tests;
