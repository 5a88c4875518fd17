//! What is reported of a source that is not in the cluster's API.

use api_types::condition::SOURCE_READY;

use super::*;
use crate::source::ReadFailure;

/// What runs, and a newest state of the source that cannot be read.
fn unread_source(reason: ProcessReason, class: ErrorClass, expected: Expected) -> Case {
    let mut case = case("source is not read", expected).runs();
    let problem = Problem::new(reason, class, "why");
    case.observed.source_failure = Some(ReadFailure { problem, revision: Some("b2".into()) });
    case
}

pub(super) fn unread_sources() -> Vec<Case> {
    use ProcessPhase::Deployed;
    use Readiness::{Ready, Stalled};
    let lasting = [
        Reason::ProviderMissing,
        Reason::SourceAccessDenied,
        Reason::SourceAddressRefused,
        Reason::SourceCertificateRefused,
        Reason::SourceCredentialsMissing,
        Reason::SourceInvalid,
        Reason::SourceMalformed,
        Reason::SourceMissing,
        Reason::SourceNotReady,
        Reason::SourceRevisionMissing,
        Reason::SourceTooLarge,
    ];
    let lasting = lasting.map(|reason| {
        unread_source(
            reason,
            ErrorClass::Denied,
            (Deployed, Stalled, reason, "v3 stays deployed: why", SETTLED),
        )
    });
    let deployed = (Deployed, Ready, Reason::Deployed, "Deployed v3 (key=2251799813685250)", SETTLED);
    let passing = unread_source(Reason::SourceUnreachable, ErrorClass::Transient, deployed);
    lasting.into_iter().chain([passing, read_at("a1")]).collect()
}

/// What runs is from this commit.
fn read_at(commit: &str) -> Case {
    let mut case = case("read", cases().remove(0).expected).runs();
    if let SourceView::Document(document) = &mut case.observed.source {
        document.revision = Some(commit.to_owned());
    }
    case
}

#[test]
fn the_status_names_what_runs_and_what_was_tried() {
    let revisions = |case: &Case| {
        let status = case.status();
        let ready = find(&status.conditions, SOURCE_READY).cloned();
        let ready = ready.map(|ready| (ready.status, ready.reason, ready.message));
        (status.source_revision, status.attempted_revision, ready)
    };
    let source_ready = |status: &str, reason: &str, message: &str| {
        Some((status.to_owned(), reason.to_owned(), message.to_owned()))
    };
    let (a1, b2) = (Some("a1".to_owned()), Some("b2".to_owned()));
    let mut case = read_at("a1");
    assert_eq!(revisions(&case), (a1.clone(), None, source_ready("True", "SourceReady", "read at a1")));
    case.process.status = Some(case.status());
    let problem = Problem::new(Reason::SourceMissing, ErrorClass::Denied, "why");
    case.observed.source_failure = Some(ReadFailure { problem, revision: b2.clone() });
    assert_eq!(revisions(&case), (a1.clone(), b2, source_ready("False", "SourceMissing", "why")));
    // A new controller reads it for the first time.
    case.observed.source_failure = None;
    case.observed.source = SourceView::Pending;
    assert_eq!(revisions(&case), (a1, None, source_ready("True", "SourceReady", "read at a1")));
    // The spec names a document in the cluster now.
    let mut case = Case { process: case.process, ..cases().remove(0) };
    case.process.metadata.generation = Some(2);
    assert_eq!(revisions(&case), (None, None, None));
}
