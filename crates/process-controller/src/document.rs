//! From the bytes of a source to what the linter says of them. It computes and reads nothing.

mod reports;

use std::fmt;
use std::sync::Arc;

use api_types::process::{ProcessReason, Validation};
use bpmn::{Mode, Report};
use controller_kit::outcome::ErrorClass;
use controller_kit::problem::Problem;
use tokio::sync::Semaphore;

use crate::source::Fetched;
use reports::Reports;

/// Documents that are linted at the same time. It is work for the processor, so that more would not be faster; each takes a
/// multiple of its document's memory, on a thread with a heap of its own that keeps its size.
const AT_ONCE: usize = 2;

/// The source, judged as far as it can be without the engine.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceView {
    /// Read and linted.
    Document(Document),
    /// What the spec names does not exist.
    Missing(String),
    /// It exists and cannot be a document.
    Invalid(String),
    /// The spec is refused, or the object is being deleted: its source does not matter.
    NotRead,
    /// It is being fetched.
    Pending,
    /// It could not be read.
    Unread(Problem<ProcessReason>),
}

/// Bytes and what the linter says of them. These bytes are deployed, no others.
#[derive(Clone, PartialEq)]
pub struct Document {
    /// As read.
    pub bytes: Arc<[u8]>,
    /// Lower-case hex SHA-256 of the bytes.
    pub sha256: String,
    /// Findings, process ids, job types.
    pub report: Report,
    /// The commit or the artifact that the bytes are from, if they are from one.
    pub revision: Option<String>,
}

/// Whole documents never reach a log.
impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document")
            .field("bytes", &self.bytes.len())
            .field("sha256", &self.sha256)
            .field("report", &self.report)
            .field("revision", &self.revision)
            .finish()
    }
}

impl Document {
    /// The digest as the status reports it.
    #[must_use]
    pub fn digest_text(&self) -> String {
        format!("sha256:{}", self.sha256)
    }
}

/// Lints documents on threads of their own: linting is not for the reactor that serves all other passes. A document that did
/// not change is not linted by every pass again.
pub struct Linter {
    permits: Semaphore,
    reports: Arc<Reports>,
}

impl Default for Linter {
    fn default() -> Self {
        Self { permits: Semaphore::new(AT_ONCE), reports: Arc::default() }
    }
}

impl Linter {
    /// Judges what a source gave.
    pub async fn judge(&self, fetched: Fetched, validation: Validation) -> SourceView {
        match fetched {
            Fetched::Document { bytes, .. } if bytes.is_empty() => {
                SourceView::Invalid("spec.source: the document is empty; expected BPMN 2.0 XML".to_owned())
            }
            Fetched::Document { bytes, revision } => self.lint(bytes, revision, validation).await,
            Fetched::Missing(message) => SourceView::Missing(message),
            Fetched::Pending => SourceView::Pending,
            Fetched::Unread(problem) => SourceView::Unread(problem),
        }
    }

    async fn lint(&self, bytes: Arc<[u8]>, revision: Option<String>, validation: Validation) -> SourceView {
        let _permit = self.permits.acquire().await;
        let mode = match validation {
            Validation::Strict => Mode::Strict,
            Validation::Lenient => Mode::Lenient,
        };
        let reports = self.reports.clone();
        let linted = tokio::task::spawn_blocking(move || {
            let sha256 = bpmn::digest(&bytes);
            let report = reports.get_or_lint(&sha256, mode, || bpmn::lint(&bytes, mode));
            Document { bytes, sha256, report, revision }
        });
        let linted = linted.await;
        linted.map_or_else(
            |error| {
                let message = format!("the linter ended: {error}");
                SourceView::Unread(Problem::new(ProcessReason::InternalError, ErrorClass::Defect, message))
            },
            SourceView::Document,
        )
    }
}
