//! From spec and source to something deployable, or the one thing that stands in its way. Pure.

use api_types::WorkflowProcess;
use api_types::process::ProcessReason;
use api_types::process::ProcessReason as Reason;
use engine_client::model::ProcessDefinition;

use crate::observe::{Document, Observed, SourceView};

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

/// Why nothing can be deployed. Nothing is tried before spec or source change.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// The condition's reason.
    pub reason: ProcessReason,
    /// What is wrong, where, and what was expected.
    pub message: String,
}

/// Result of the validation; `None` when the source could not be read for reasons that pass.
pub type Verdict = Option<Result<Deployable, Refusal>>;

/// Checks in order; the first that fails is reported.
#[must_use]
pub fn validate(process: &WorkflowProcess, observed: &Observed) -> Verdict {
    let refuse = |reason, message: &str| Some(Err(Refusal { reason, message: message.to_owned() }));
    // The schema says so too, but objects can be older than the schema.
    if let Some(violation) = api_types::violations(process).first() {
        return refuse(Reason::InvalidSpec, &violation.message);
    }
    match &observed.source {
        SourceView::Document(document) => Some(validate_document(process, document)),
        SourceView::Missing(message) => refuse(Reason::SourceMissing, message),
        SourceView::Invalid(message) => refuse(Reason::SourceInvalid, message),
        SourceView::NotActedOn => refuse(
            Reason::FieldsNotActedOn,
            "spec.source.gitRef is stored but not acted on by this version; use spec.source.configMapRef or spec.source.bpmn",
        ),
        SourceView::Unread { .. } | SourceView::NotRead => None,
    }
}

fn validate_document(process: &WorkflowProcess, document: &Document) -> Result<Deployable, Refusal> {
    match document.report.deployable_process() {
        Some(process_id) => {
            let version_tag = document.report.version_tag(process.spec.version_tag.as_deref());
            Ok(Deployable {
                document: document.clone(),
                process_id: process_id.to_owned(),
                version_tag: version_tag.map(str::to_owned),
            })
        }
        None => Err(Refusal { reason: Reason::ValidationFailed, message: findings_message(document) }),
    }
}

/// The first error in full, with its place; the number of the others.
fn findings_message(document: &Document) -> String {
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
