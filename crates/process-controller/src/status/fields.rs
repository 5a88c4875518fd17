//! The fields and conditions of a process beside the head of its status. Pure.

use api_types::WorkflowProcess;
use api_types::condition::{DEPLOYED, READY, RECONCILING, SOURCE_READY, VALID, WORKERS_AVAILABLE};
use api_types::process::ProcessReason as Reason;
use api_types::process::{ProcessReason, SourceChange, WorkflowProcessStatus};
use api_types::reason::Reason as _;
use controller_kit::condition::{ConditionStatus, DesiredCondition, find};
use controller_kit::pass::OwnStatus;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Assessment, STEADY_WAIT, WAITS};
use crate::document::{Document, SourceView};
use crate::incidents::reported_incidents;
use crate::kind::Processes;
use crate::observe::Observed;
use crate::plan::document::Verdict;

/// The status fields. What ran last stays while nothing newer is known: an outage does not undo a deployment.
#[must_use]
pub fn build_own_status(
    former: &WorkflowProcessStatus,
    assessment: &Assessment,
    now: Timestamp,
) -> OwnStatus<Processes> {
    let Assessment { reason, message, facts, .. } = assessment;
    let known = facts.definition.as_ref();
    let (deployed, deployed_reason) = match known {
        Some(_) => (ConditionStatus::True, Reason::Deployed),
        None => (ConditionStatus::False, *reason),
    };
    let mut conditions: Vec<_> = facts.valid.clone().into_iter().collect();
    conditions.extend(facts.source_ready.clone());
    conditions.push(DesiredCondition::new(DEPLOYED, deployed, deployed_reason, message));
    conditions.extend(facts.workers.clone());
    let job_types = known.map_or(&former.job_types, |known| &known.job_types);
    let version = known.map(|known| i32::try_from(known.version).unwrap_or(i32::MAX));
    let fields = WorkflowProcessStatus {
        refused_by_version: facts.refused_by_version.clone(),
        process_definition_key: known.map(|known| known.key).or(former.process_definition_key),
        bpmn_process_id: known
            .map(|known| known.process_id.clone())
            .or_else(|| former.bpmn_process_id.clone()),
        retiring: facts.retiring.clone().unwrap_or_else(|| former.retiring.clone()),
        version: version.or(former.version),
        version_tag: known.map_or_else(|| former.version_tag.clone(), |known| known.version_tag.clone()),
        deployed_at: known.map(|known| Time(known.deployed_at)).or_else(|| former.deployed_at.clone()),
        source_digest: facts.source_digest.clone().or_else(|| former.source_digest.clone()),
        source_revision: facts.source_revision.clone(),
        attempted_revision: facts.attempted_revision.clone(),
        confirmed_by_version: facts
            .confirmed_by_version
            .clone()
            .or_else(|| former.confirmed_by_version.clone()),
        source_change: reported_change(former, assessment, now),
        job_types: job_types.iter().take(256).cloned().collect(),
        open_incidents: reported_incidents(former.open_incidents, facts.open_incidents),
        ..WorkflowProcessStatus::default()
    };
    // What was known of it stays while it is read for the first time by a new controller.
    let kept = find(&former.conditions, SOURCE_READY).filter(|_| facts.is_source_pending).cloned();
    OwnStatus { fields, conditions, kept: kept.into_iter().collect() }
}

/// What the current version changes. One that this pass deployed is noted, and compared by the next.
fn reported_change(
    former: &WorkflowProcessStatus,
    assessment: &Assessment,
    now: Timestamp,
) -> Option<SourceChange> {
    let facts = &assessment.facts;
    if let Some(change) = &facts.change {
        return Some(SourceChange { compared_at: Some(Time(now)), ..change.clone() });
    }
    let Some(known) = &facts.definition else { return former.source_change.clone() };
    let version = i32::try_from(known.version).unwrap_or(i32::MAX);
    if former.bpmn_process_id.as_ref() == Some(&known.process_id)
        && let Some(from_version) = former.version.filter(|former| *former < version)
    {
        return Some(SourceChange { from_version, to_version: version, ..SourceChange::default() });
    }
    former.source_change.clone().filter(|change| change.to_version == version)
}

/// The former status, with the open incidents of now, while a passing trouble or a young wait changes nothing else.
#[must_use]
pub fn keep_status(
    process: &WorkflowProcess,
    former: &WorkflowProcessStatus,
    assessment: &Assessment,
    now: Timestamp,
) -> Option<WorkflowProcessStatus> {
    let open_incidents = reported_incidents(former.open_incidents, assessment.facts.open_incidents);
    let is_kept =
        is_passing(process, former, assessment) || goes_on_waiting(process, former, assessment, now);
    is_kept.then(|| WorkflowProcessStatus { open_incidents, ..former.clone() })
}

/// An engine that is away or stopped does not undo what it runs: the status of a process that is deployed as it should be stays,
/// else an outage would rewrite every status twice. The same holds for a document that a new controller has to fetch again.
fn is_passing(process: &WorkflowProcess, former: &WorkflowProcessStatus, assessment: &Assessment) -> bool {
    let is_judged = assessment.facts.valid.is_some();
    let passes = match assessment.reason {
        Reason::EngineUnreachable
        | Reason::ClusterUpdating
        | Reason::ClusterNotReady
        | Reason::ClusterStopped
        | Reason::KubernetesUnavailable => true,
        Reason::Validating => !is_judged,
        _ => false,
    };
    passes
        && assessment.facts.is_same_source
        && former.ready
        && former.observed_generation == process.metadata.generation
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

/// Does this status report one of the [`WAITS`]?
pub(super) fn is_wait(status: &WorkflowProcessStatus) -> bool {
    find(&status.conditions, READY)
        .is_some_and(|ready| WAITS.iter().any(|wait| wait.as_str() == ready.reason))
}

/// The condition `Valid`.
pub(super) fn build_valid(
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
        Some(Err(problem)) => {
            let message = problem.to_string();
            Some(DesiredCondition::new(VALID, ConditionStatus::False, problem.reason, message))
        }
        None => None,
    }
}

/// The condition `SourceReady`. A document without a revision is in the cluster itself: there is nothing to report.
pub(super) fn build_source_ready(observed: &Observed) -> Option<DesiredCondition<ProcessReason>> {
    let build = |status, reason, message| DesiredCondition::new(SOURCE_READY, status, reason, message);
    match (&observed.source_failure, &observed.source) {
        (Some(failure), _) => {
            let problem = &failure.problem;
            Some(build(ConditionStatus::False, problem.reason, problem.to_string()))
        }
        (None, SourceView::Document(Document { revision: Some(revision), .. })) => {
            Some(build(ConditionStatus::True, Reason::SourceReady, format!("read at {revision}")))
        }
        _ => None,
    }
}

/// The condition `WorkersAvailable`.
pub(super) fn build_workers_available(
    job_types: &[String],
    observed: &Observed,
) -> DesiredCondition<ProcessReason> {
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
