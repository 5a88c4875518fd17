//! What the user is reported, and when to look again. Pure.

use std::time::Duration;

use api_types::condition::{DEPLOYED, PAUSED, READY, RECONCILING, SUPPORTED, VALID, WORKERS_AVAILABLE};
use api_types::process::ProcessReason as Reason;
use api_types::process::{ProcessPhase, ProcessReason, WorkflowProcessStatus};
use api_types::reason::Reason as _;
use api_types::reference::DeletionPolicy;
use api_types::{MAX_MESSAGE_CHARS, WorkflowProcess};
use controller_kit::condition::{ConditionStatus, DesiredCondition, Readiness, find, merge, summary};
use controller_kit::events::{Event, EventType};
use controller_kit::message::bounded;
use controller_kit::outcome::{ErrorClass, Next};
use controller_kit::reference::Unasked;
use controller_kit::status::event_of_ready;
use engine_client::model::{
    DeployOutcome, DeployResult, Finding, ProcessDefinition, ProcessDeletion, Severity,
};
use engine_client::{EngineError, ErrorClass as EngineClass};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::cleanup::is_forced;
use crate::execute::{Applied, Failure};
use crate::incidents::reported_incidents;
use crate::observe::{EngineView, Observed, SourceView, is_deleting};
use crate::plan::{Plan, engine_version, former_rejection, is_owned_by};
use crate::validate::{Refusal, Verdict};

/// Another object owns the process id. It may give it up, and nothing tells us when it does.
const RECHECK_OWNER: Duration = Duration::from_mins(5);
/// Safety net: the cluster is watched.
const RECHECK_CLUSTER: Duration = Duration::from_mins(1);
/// What a process waits for while everything around it starts, one after the other. To whom it matters it is one wait:
/// the event tells that it begins, the status names what is awaited.
const WAITS: [Reason; 4] =
    [Reason::ClusterNotReady, Reason::ClusterUpdating, Reason::TenantNotReady, Reason::EngineUnreachable];
/// So long the status of a wait names what was awaited when it began: a start in good order costs one write. The recheck
/// of a wait comes after the same time.
const STEADY_WAIT: SignedDuration = SignedDuration::from_mins(1);
/// A definition that the engine lost (a restored database) is found after this time.
pub const RESYNC: Duration = Duration::from_mins(10);
/// A quota may become free without any object changing.
const RECHECK_QUOTA: Duration = Duration::from_mins(1);

/// The pass in one judgement: status and next look both follow from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Assessment {
    /// Where the process is in its life.
    pub phase: ProcessPhase,
    /// Ready, in progress or stalled.
    pub readiness: Readiness,
    /// Why.
    pub reason: ProcessReason,
    /// The same for people.
    pub message: String,
    /// When to look again.
    pub next: Next,
    /// The definition that the engine runs for this object, if it is known to run one.
    pub definition: Option<ProcessDefinition>,
}

/// Judges a pass; what comes first counts.
#[must_use]
pub fn assess(
    process: &WorkflowProcess,
    observed: &Observed,
    verdict: &Verdict,
    plan: &Plan,
    applied: &Applied,
) -> Assessment {
    if is_deleting(process) {
        return assess_deletion(observed, applied);
    }
    let definition = running_definition(process, observed, verdict, applied);
    if let Some(refusal) = assess_refusal(process, observed, verdict, applied) {
        return Assessment { definition, ..refusal };
    }
    if process.spec.is_paused() {
        let (phase, readiness) = match definition {
            Some(_) => (ProcessPhase::Deployed, Readiness::Ready),
            None => (ProcessPhase::Pending, Readiness::InProgress),
        };
        let next = Next::Settled { resync: RESYNC };
        let paused =
            judge(phase, readiness, Reason::Paused, "spec.paused is true: nothing is deployed", next);
        return Assessment { definition, ..paused };
    }
    if let Some(wait) = &plan.wait {
        let (phase, readiness) = match wait.reason {
            Reason::TenantSuspended => (ProcessPhase::Blocked, Readiness::Stalled),
            _ => (ProcessPhase::Pending, Readiness::InProgress),
        };
        let next = Next::Wait { recheck: wait.recheck };
        return Assessment { definition, ..judge(phase, readiness, wait.reason, &wait.message, next) };
    }
    let judged = match (&observed.engine, &definition) {
        (EngineView::NotReady(error), _) => judge(
            ProcessPhase::Pending,
            Readiness::InProgress,
            Reason::EngineCredentialsMissing,
            &error.message(),
            Next::Failed(error.class()),
        ),
        (EngineView::Failed(error), _) => assess_engine_error(error),
        (_, Some(definition)) => judge(
            ProcessPhase::Deployed,
            Readiness::Ready,
            Reason::Deployed,
            &format!("Deployed v{} (key={})", definition.version, definition.key),
            Next::Settled { resync: RESYNC },
        ),
        (_, None) => judge(
            ProcessPhase::Validating,
            Readiness::InProgress,
            Reason::Validating,
            "the engine has not confirmed the definition",
            Next::Failed(ErrorClass::Transient),
        ),
    };
    Assessment { definition, ..judged }
}

fn judge(
    phase: ProcessPhase,
    readiness: Readiness,
    reason: ProcessReason,
    message: &str,
    next: Next,
) -> Assessment {
    Assessment { phase, readiness, reason, message: message.to_owned(), next, definition: None }
}

/// What stands in the way before any waiting begins: source, references, a failed step, the engine's refusal.
fn assess_refusal(
    process: &WorkflowProcess,
    observed: &Observed,
    verdict: &Verdict,
    applied: &Applied,
) -> Option<Assessment> {
    let until_changed = Next::Failed(ErrorClass::Invalid);
    if let SourceView::Unread { problem, class } = &observed.source {
        let reason = class.reason().into();
        let readiness = readiness_of(*class);
        return Some(judge(ProcessPhase::Pending, readiness, reason, problem, Next::Failed(*class)));
    }
    if let Some(Err(Refusal { reason, message })) = verdict {
        let phase = match reason {
            Reason::SourceMissing => ProcessPhase::Pending,
            _ => ProcessPhase::Failed,
        };
        return Some(judge(phase, Readiness::Stalled, *reason, message, until_changed));
    }
    if let Err(refused) = &observed.references {
        let reason = Reason::ReferenceNotPermittedOrMissing;
        let message = refused.to_string();
        return Some(judge(ProcessPhase::Pending, Readiness::Stalled, reason, &message, until_changed));
    }
    if let Some(conflict) = observed.tenancy.conflict() {
        let reason = Reason::DeployedForAnotherTenant;
        return Some(judge(ProcessPhase::Blocked, Readiness::Stalled, reason, &conflict, until_changed));
    }
    match &applied.failure {
        Some(Failure::Engine(error)) => return Some(assess_engine_error(error)),
        Some(Failure::Write(error)) => {
            let (readiness, reason) = (readiness_of(error.class()), error.class().reason().into());
            let next = Next::Failed(error.class());
            return Some(judge(ProcessPhase::Pending, readiness, reason, &error.message(), next));
        }
        None => {}
    }
    let rejection = rejection_message(process, observed, verdict, applied)?;
    let reason = Reason::RejectedByEngine;
    Some(judge(ProcessPhase::Failed, Readiness::Stalled, reason, &rejection, until_changed))
}

/// Does it pass by itself?
fn readiness_of(class: ErrorClass) -> Readiness {
    match class {
        ErrorClass::Transient | ErrorClass::Conflict => Readiness::InProgress,
        ErrorClass::Invalid | ErrorClass::Denied | ErrorClass::Contested | ErrorClass::Defect => {
            Readiness::Stalled
        }
    }
}

/// What the engine runs for this object: the answer to this pass's deploy, else what it had before, if that is ours and
/// still what the source says.
fn running_definition(
    process: &WorkflowProcess,
    observed: &Observed,
    verdict: &Verdict,
    applied: &Applied,
) -> Option<ProcessDefinition> {
    if let Some(DeployResult::Deployed { definition, .. }) = &applied.deployed {
        return Some(definition.clone());
    }
    let (EngineView::Answered { latest: Some(latest), .. }, Some(Ok(deployable))) =
        (&observed.engine, verdict)
    else {
        return None;
    };
    (is_owned_by(latest, process) && deployable.is_version(&latest.definition))
        .then(|| latest.definition.clone())
}

fn assess_deletion(observed: &Observed, applied: &Applied) -> Assessment {
    let blocked = |message: &str, class| {
        let next = Next::Failed(class);
        judge(ProcessPhase::Deleting, Readiness::InProgress, Reason::DeletionBlocked, message, next)
    };
    match (&applied.failure, &observed.engine) {
        (Some(Failure::Write(error)), _) if error.class() != ErrorClass::Conflict => {
            blocked(&error.message(), error.class())
        }
        (Some(Failure::Engine(error)), _) | (None, EngineView::Failed(error)) => {
            let message = format!("the engine cannot retire the definition: {error}");
            blocked(&message, deletion_class(error))
        }
        (None, EngineView::NotReady(error)) => {
            blocked(&format!("the engine cannot be called: {error}"), error.class())
        }
        (None, EngineView::Unasked(Unasked::NoEndpoint { cluster })) => {
            let message = format!(
                "WorkflowCluster {cluster} has no endpoint, so its engine cannot be asked; correct or delete that cluster"
            );
            let next = Next::Wait { recheck: RECHECK_CLUSTER };
            judge(ProcessPhase::Deleting, Readiness::InProgress, Reason::DeletionBlocked, &message, next)
        }
        (None, EngineView::Unasked(Unasked::Unread { problem, class })) => blocked(problem, *class),
        _ => {
            let next = Next::Failed(ErrorClass::Conflict);
            let message = "the definition is retired, the object goes next";
            judge(ProcessPhase::Deleting, Readiness::InProgress, Reason::Deleting, message, next)
        }
    }
}

/// A deletion is never given up, whatever the engine says.
fn deletion_class(error: &EngineError) -> ErrorClass {
    match ErrorClass::of_engine(error) {
        ErrorClass::Invalid => ErrorClass::Denied,
        class => class,
    }
}

fn assess_engine_error(error: &EngineError) -> Assessment {
    let failed = Next::Failed(ErrorClass::of_engine(error));
    let (phase, readiness, reason, next) = match error.class() {
        EngineClass::Unavailable | EngineClass::Stale => {
            (ProcessPhase::Pending, Readiness::InProgress, Reason::EngineUnreachable, failed)
        }
        EngineClass::QuotaExceeded { .. } => (
            ProcessPhase::Blocked,
            Readiness::Stalled,
            Reason::QuotaExceeded,
            Next::Wait { recheck: RECHECK_QUOTA },
        ),
        EngineClass::AlreadyOwned => (
            ProcessPhase::Failed,
            Readiness::Stalled,
            Reason::DuplicateProcessId,
            Next::Wait { recheck: RECHECK_OWNER },
        ),
        EngineClass::Precondition { .. } | EngineClass::NotFound => (
            ProcessPhase::Pending,
            Readiness::InProgress,
            Reason::TenantNotReady,
            Next::Failed(ErrorClass::Transient),
        ),
        EngineClass::Denied => {
            (ProcessPhase::Pending, Readiness::Stalled, Reason::EngineCredentialsMissing, failed)
        }
        EngineClass::Unsupported => {
            (ProcessPhase::Failed, Readiness::Stalled, Reason::NotSupportedByEngine, failed)
        }
        EngineClass::Invalid => (ProcessPhase::Failed, Readiness::Stalled, Reason::RejectedByEngine, failed),
        EngineClass::Corrupt | EngineClass::Internal => {
            (ProcessPhase::Pending, Readiness::Stalled, Reason::InternalError, failed)
        }
    };
    judge(phase, readiness, reason, &error.to_string(), next)
}

/// Why the engine refuses the document: now, or when it was asked about the same bytes before.
fn rejection_message(
    process: &WorkflowProcess,
    observed: &Observed,
    verdict: &Verdict,
    applied: &Applied,
) -> Option<String> {
    if let Some(DeployResult::Rejected { findings, .. }) = &applied.deployed {
        return Some(findings_message(findings));
    }
    let Some(Ok(deployable)) = verdict else { return None };
    former_rejection(process, observed, deployable)
}

fn findings_message(findings: &[Finding]) -> String {
    let mut errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
    errors.next().map_or_else(
        || "the engine refused the document without saying why".to_owned(),
        |first| {
            format!("{} ({}, line {}, column {})", first.message, first.rule_id, first.line, first.column)
        },
    )
}

/// The whole status.
#[must_use]
pub fn build_status(
    process: &WorkflowProcess,
    observed: &Observed,
    verdict: &Verdict,
    applied: &Applied,
    assessment: &Assessment,
    now: Timestamp,
) -> WorkflowProcessStatus {
    let former = process.status.clone().unwrap_or_default();
    let open_incidents = reported_incidents(former.open_incidents, observed.open_incidents);
    if keeps_former(process, &former, verdict, assessment)
        || goes_on_waiting(process, &former, assessment, now)
    {
        return WorkflowProcessStatus { open_incidents, ..former };
    }
    let Assessment { phase, readiness, reason, message, definition, .. } = assessment;
    let generation = process.metadata.generation;
    let mut wanted = summary(*readiness, *reason, message);
    if process.spec.is_paused() {
        wanted.push(DesiredCondition::new(
            PAUSED,
            ConditionStatus::True,
            Reason::Paused,
            "spec.paused is true",
        ));
    }
    if *reason == Reason::FieldsNotActedOn {
        wanted.push(DesiredCondition::new(SUPPORTED, ConditionStatus::False, *reason, message));
    }
    wanted.extend(build_valid(verdict, *reason, message));
    let deployed = if definition.is_some() { ConditionStatus::True } else { ConditionStatus::False };
    wanted.push(DesiredCondition::new(
        DEPLOYED,
        deployed,
        if definition.is_some() { Reason::Deployed } else { *reason },
        message,
    ));
    let known = definition.as_ref();
    let job_types = known.map_or_else(|| former.job_types.clone(), |known| known.job_types.clone());
    if known.is_some() {
        wanted.push(build_workers_available(&job_types, observed));
    }
    WorkflowProcessStatus {
        observed_generation: generation,
        phase: Some(*phase),
        ready: *readiness == Readiness::Ready,
        message: Some(bounded(message)),
        conditions: merge(&former.conditions, wanted, generation, now),
        refused_by_version: reported_refuser(&former, observed, *reason, applied),
        // What ran last stays told while nothing newer is known: an outage does not undo a deployment.
        process_definition_key: known.map(|d| d.key).or(former.process_definition_key),
        bpmn_process_id: reported_process_id(&former, known, applied),
        version: known.map(|d| i32::try_from(d.version).unwrap_or(i32::MAX)).or(former.version),
        version_tag: known.map_or(former.version_tag, |d| d.version_tag.clone()),
        deployed_at: known.map(|d| Time(d.deployed_at)).or(former.deployed_at.clone()),
        source_digest: reported_digest(verdict, *reason, known).or(former.source_digest),
        job_types: job_types.into_iter().take(256).collect(),
        open_incidents,
    }
}

/// Which version of the engine refused the document: this one now, or whoever did when it was asked.
fn reported_refuser(
    former: &WorkflowProcessStatus,
    observed: &Observed,
    reason: Reason,
    applied: &Applied,
) -> Option<String> {
    let was_asked = applied.deployed.is_some() || applied.failure.is_some();
    match reason {
        Reason::RejectedByEngine if was_asked => engine_version(observed).map(str::to_owned),
        Reason::RejectedByEngine => former.refused_by_version.clone(),
        _ => None,
    }
}

/// The former id stays told until what ran under it is retired: the plan finds it here.
fn reported_process_id(
    former: &WorkflowProcessStatus,
    known: Option<&ProcessDefinition>,
    applied: &Applied,
) -> Option<String> {
    let known = known.map(|definition| definition.process_id.clone());
    match &former.bpmn_process_id {
        Some(former) if applied.retired.is_none() => Some(former.clone()),
        _ => known,
    }
}

/// Digest of the bytes that the engine runs, or has just refused.
fn reported_digest(
    verdict: &Verdict,
    reason: ProcessReason,
    known: Option<&ProcessDefinition>,
) -> Option<String> {
    match verdict {
        Some(Ok(refused)) if reason == Reason::RejectedByEngine => Some(refused.document.digest_text()),
        _ => known.map(|definition| format!("sha256:{}", definition.content_sha256)),
    }
}

/// An engine that is away does not undo what it runs: the status of a process that is deployed as it should be stays,
/// else an outage would rewrite every status twice.
fn keeps_former(
    process: &WorkflowProcess,
    former: &WorkflowProcessStatus,
    verdict: &Verdict,
    assessment: &Assessment,
) -> bool {
    let passing = matches!(
        assessment.reason,
        Reason::EngineUnreachable
            | Reason::ClusterUpdating
            | Reason::ClusterNotReady
            | Reason::KubernetesUnavailable
    );
    let same_source = match verdict {
        Some(Ok(deployable)) => former.source_digest == Some(deployable.document.digest_text()),
        Some(Err(_)) => false,
        None => true,
    };
    passing && same_source && former.ready && former.observed_generation == process.metadata.generation
}

/// Does only the reason of a young wait change?
fn goes_on_waiting(
    process: &WorkflowProcess,
    former: &WorkflowProcessStatus,
    assessment: &Assessment,
    now: Timestamp,
) -> bool {
    let is_young = find(&former.conditions, RECONCILING)
        .is_some_and(|since| now.duration_since(since.last_transition_time.0) < STEADY_WAIT);
    is_young
        && is_wait(former)
        && WAITS.contains(&assessment.reason)
        && former.observed_generation == process.metadata.generation
}

/// Does this status tell of one of the [`WAITS`]?
fn is_wait(status: &WorkflowProcessStatus) -> bool {
    find(&status.conditions, READY)
        .is_some_and(|ready| WAITS.iter().any(|wait| wait.as_str() == ready.reason))
}

fn build_valid(
    verdict: &Verdict,
    reason: ProcessReason,
    message: &str,
) -> Option<DesiredCondition<ProcessReason>> {
    match verdict {
        Some(Ok(_)) if reason == Reason::RejectedByEngine => {
            Some(DesiredCondition::new(VALID, ConditionStatus::False, reason, message))
        }
        Some(Ok(deployable)) => {
            let warnings = deployable.document.report.findings.len();
            let message = if warnings == 0 {
                "accepted".to_owned()
            } else {
                format!("accepted with {warnings} warnings")
            };
            Some(DesiredCondition::new(VALID, ConditionStatus::True, Reason::Valid, message))
        }
        Some(Err(refusal)) => Some(DesiredCondition::new(
            VALID,
            ConditionStatus::False,
            refusal.reason,
            refusal.message.clone(),
        )),
        None => None,
    }
}

fn build_workers_available(job_types: &[String], observed: &Observed) -> DesiredCondition<ProcessReason> {
    let missing: Vec<String> = job_types
        .iter()
        .filter(|needed| !observed.served_job_types.contains(*needed))
        .map(|job_type| reported_job_type(job_type))
        .collect();
    if missing.is_empty() {
        return DesiredCondition::new(
            WORKERS_AVAILABLE,
            ConditionStatus::True,
            Reason::WorkersAvailable,
            "every job type has a WorkflowWorker",
        );
    }
    let message = format!("no WorkflowWorker serves {}", missing.join(", "));
    DesiredCondition::new(WORKERS_AVAILABLE, ConditionStatus::False, Reason::WorkersMissing, message)
}

/// One that looks like another type is quoted and escaped, so that blanks and what cannot be seen show.
fn reported_job_type(job_type: &str) -> String {
    let is_plain = |character: char| character.is_alphanumeric() || character.is_ascii_graphic();
    if job_type.chars().all(is_plain) { job_type.to_owned() } else { format!("{job_type:?}") }
}

/// The events of a pass. Another reason for the same wait is none.
#[must_use]
pub fn build_events(
    process: &WorkflowProcess,
    observed: &Observed,
    status: &WorkflowProcessStatus,
    applied: &Applied,
) -> Vec<Event> {
    let former = process.status.clone().unwrap_or_default();
    let mut reported: Vec<Event> = event_of_ready::<ProcessReason>(&former.conditions, &status.conditions)
        .into_iter()
        .filter(|_| !(is_wait(&former) && is_wait(status)))
        .collect();
    if let Some(DeployResult::Deployed { definition, adopted: true, .. }) = &applied.deployed {
        reported.push(Event {
            type_: EventType::Normal,
            reason: Reason::Adopted.as_str().to_owned(),
            note: format!(
                "process {} was in the engine already; this object manages it now, at v{}",
                definition.process_id, definition.version
            ),
        });
    }
    if let Some(DeployResult::Deployed { outcome: DeployOutcome::Created, definition, adopted: false }) =
        &applied.deployed
        && former.ready
        && former.observed_generation == process.metadata.generation
        && former.source_digest == status.source_digest
    {
        reported.push(Event {
            type_: EventType::Normal,
            reason: Reason::Redeployed.as_str().to_owned(),
            note: format!("the engine had lost the definition; deployed it again as v{}", definition.version),
        });
    }
    reported.extend(build_incident_event(&former, status, observed.tenancy.id()));
    reported
}

/// The first open incident is worth an event, however many follow.
fn build_incident_event(
    former: &WorkflowProcessStatus,
    status: &WorkflowProcessStatus,
    tenant: &str,
) -> Option<Event> {
    let open = status.open_incidents.filter(|open| *open > 0)?;
    if former.open_incidents.is_some_and(|open| open > 0) {
        return None;
    }
    let process_id = status.bpmn_process_id.as_deref().unwrap_or_default();
    Some(Event {
        type_: EventType::Warning,
        reason: Reason::IncidentsOpen.as_str().to_owned(),
        note: format!(
            "IncidentsOpen: {open} open. Resolve or cancel (docs/operations.md); list: GET \
             /api/v1/incidents?tenantId={tenant}&bpmnProcessId={process_id}"
        ),
    })
}

/// The news of an object whose last step removed its finalizer.
#[must_use]
pub fn build_last_events(process: &WorkflowProcess, observed: &Observed, applied: &Applied) -> Option<Event> {
    let reported = process.status.as_ref().and_then(|status| status.bpmn_process_id.clone());
    let (ids, is_certain) = match &observed.engine {
        EngineView::Holds { process_ids, .. } => (process_ids.join(", "), true),
        _ => (reported.unwrap_or_else(|| "of this object".to_owned()), false),
    };
    let warning = |reason: ProcessReason, note: String| {
        Some(Event {
            type_: EventType::Warning,
            reason: reason.as_str().to_owned(),
            note: format!("{reason}: {note}"),
        })
    };
    if matches!(&observed.engine, EngineView::Unasked(Unasked::ClusterGone)) {
        // Without a deployment there is nothing that could be left.
        return process.status.as_ref().and_then(|status| status.process_definition_key).and_then(|_| {
            warning(Reason::LeftInDatabase, format!(
                "process {ids} may still be in the database of its cluster, which is gone; the same object applied again takes it over"
            ))
        });
    }
    if is_forced(process) && !(is_certain && ids.is_empty()) {
        return warning(Reason::DeletionForced, format!("process {ids} may still be in the engine"));
    }
    let retained = process.spec.deletion_policy() == DeletionPolicy::Retain
        && matches!(applied.retired, Some(ProcessDeletion::Retired { .. }));
    retained.then(|| Event {
        type_: EventType::Normal,
        reason: Reason::Retained.as_str().to_owned(),
        note: format!("process {ids} stays in the engine"),
    })
}

const _: () =
    assert!(MAX_MESSAGE_CHARS == controller_kit::message::MAX_CHARS, "status and schema must agree");

#[cfg(test)]
mod tests;
