//! From the source that was read to something deployable, or the one thing that stands in its way. Pure.

use api_types::WorkflowProcess;
use api_types::process::ProcessReason as Reason;
use controller_kit::outcome::ErrorClass;
use controller_kit::problem::Problem;
use engine_client::model::ProcessDefinition;

use crate::document::{Document, SourceView};

/// What may be deployed.
#[derive(Clone, Debug, PartialEq)]
pub struct Deployable {
    /// The bytes and what is known of them.
    pub document: Document,
    /// The one executable process in it.
    pub process_id: String,
    /// What the engine keeps as the version's tag.
    pub version_tag: Option<String>,
}

impl Deployable {
    /// The engine has this very version of it.
    #[must_use]
    pub fn is_version(&self, definition: &ProcessDefinition) -> bool {
        definition.content_sha256 == self.document.sha256 && definition.version_tag == self.version_tag
    }
}

/// What can be deployed, or why nothing can before spec or source change; `None` when the source could not be read, or does
/// not matter.
pub type Verdict = Option<Result<Deployable, Problem<Reason>>>;

/// Judges spec and source; the first problem is reported.
#[must_use]
pub fn judge_source(
    process: &WorkflowProcess,
    spec: &Result<(), Problem<Reason>>,
    source: &SourceView,
) -> Verdict {
    let refuse = |reason, message: &str| Some(Err(Problem::new(reason, ErrorClass::Invalid, message)));
    if let Err(problem) = spec {
        return Some(Err(problem.clone()));
    }
    match source {
        SourceView::Document(document) => Some(judge_document(process, document)),
        SourceView::Missing(message) => refuse(Reason::SourceMissing, message),
        SourceView::Invalid(message) => refuse(Reason::SourceInvalid, message),
        SourceView::Unread(_) | SourceView::NotRead | SourceView::Pending => None,
    }
}

fn judge_document(process: &WorkflowProcess, document: &Document) -> Result<Deployable, Problem<Reason>> {
    match document.report.deployable_process() {
        Some(process_id) => {
            let version_tag = document.report.version_tag(process.spec.version_tag.as_deref());
            Ok(Deployable {
                document: document.clone(),
                process_id: process_id.to_owned(),
                version_tag: version_tag.map(str::to_owned),
            })
        }
        None => Err(Problem::new(Reason::ValidationFailed, ErrorClass::Invalid, build_message(document))),
    }
}

/// The first error in full, with its place; the number of the others.
fn build_message(document: &Document) -> String {
    let mut errors = document.report.errors();
    let Some(first) = errors.next() else { return "the document was refused".to_owned() };
    let more = match errors.count() {
        0 => String::new(),
        others => format!(" and {others} more"),
    };
    format!("{first} ({}, line {}, column {}){more}", first.rule_id(), first.line, first.column)
}

#[cfg(test)]
mod tests;
