//! What the user is told, and when to look again. Pure.

use std::time::Duration;

use api_types::condition::{DEPLOYED, PAUSED, SUPPORTED, VALID, WORKERS_AVAILABLE};
use api_types::process::ProcessReason as Reason;
use api_types::process::{ProcessPhase, ProcessReason, WorkflowProcessStatus};
use api_types::reason::Reason as _;
use api_types::{MAX_MESSAGE_CHARS, WorkflowProcess};
use controller_kit::condition::{Standing, Truth, Wanted, merge, summary};
use controller_kit::events::{EventType, News};
use controller_kit::message::bounded;
use controller_kit::outcome::{ErrorClass, Next};
use controller_kit::status::news;
use engine_client::model::{DeployOutcome, DeployResult, Finding, ProcessDefinition, Severity};
use engine_client::{EngineError, ErrorClass as EngineClass};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::cleanup::is_forced;
use crate::controller::RESYNC;
use crate::execute::{Applied, Failure};
use crate::observe::{EngineView, Observed, SourceView};
use crate::plan::Plan;
use crate::validate::Verdict;

/// Another object owns the process id. It may give it up, and nothing tells us when it does.
const RECHECK_OWNER: Duration = Duration::from_mins(5);
/// A quota may become free without any object changing.
const RECHECK_QUOTA: Duration = Duration::from_mins(1);

/// The pass in one judgement: status and next look both follow from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Assessment {
    /// Where the process is in its life.
    pub phase: ProcessPhase,
    /// Ready, in progress or stalled.
    pub standing: Standing,
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
    if process.metadata.deletion_timestamp.is_some() {
        return assess_deletion(observed, applied);
    }
    let definition = running_definition(process, observed, verdict, applied);
    let judged = |phase, standing, reason, message: String, next| Assessment {
        phase,
        standing,
        reason,
        message,
        next,
        definition: definition.clone(),
    };
    if let SourceView::Unread { problem, class } = &observed.source {
        return judged(
            ProcessPhase::Pending,
            Standing::InProgress,
            class.reason().into(),
            problem.clone(),
            Next::Failed(*class),
        );
    }
    if let Some(Err(refusal)) = verdict {
        let phase = if refusal.reason == Reason::SourceMissing {
            ProcessPhase::Pending
        } else {
            ProcessPhase::Failed
        };
        return judged(
            phase,
            Standing::Stalled,
            refusal.reason,
            refusal.message.clone(),
            Next::Failed(ErrorClass::Invalid),
        );
    }
    if let Err(refused) = &observed.references {
        let reason = Reason::ReferenceNotPermittedOrMissing;
        return judged(
            ProcessPhase::Pending,
            Standing::Stalled,
            reason,
            refused.to_string(),
            Next::Failed(ErrorClass::Invalid),
        );
    }
    if let Some(failure) = &applied.failure {
        return assess_failure(failure, definition);
    }
    if let Some(DeployResult::Rejected { findings, .. }) = &applied.deployed {
        let next = Next::Failed(ErrorClass::Invalid);
        return judged(
            ProcessPhase::Failed,
            Standing::Stalled,
            Reason::RejectedByEngine,
            told_rejection(findings),
            next,
        );
    }
    if process.spec.is_paused() {
        let message = "spec.paused is true: nothing is deployed".to_owned();
        let phase = if definition.is_some() { ProcessPhase::Deployed } else { ProcessPhase::Pending };
        let standing = if definition.is_some() { Standing::Ready } else { Standing::InProgress };
        return judged(phase, standing, Reason::Paused, message, Next::Settled { resync: RESYNC });
    }
    if let Some(wait) = &plan.wait {
        let (phase, standing) = match wait.reason {
            Reason::TenantSuspended => (ProcessPhase::Blocked, Standing::Stalled),
            _ => (ProcessPhase::Pending, Standing::InProgress),
        };
        return judged(
            phase,
            standing,
            wait.reason,
            wait.message.clone(),
            Next::Wait { recheck: wait.recheck },
        );
    }
    match (&observed.engine, definition.clone()) {
        (EngineView::NotReady(error), definition) => Assessment {
            phase: ProcessPhase::Pending,
            standing: Standing::InProgress,
            reason: Reason::EngineCredentialsMissing,
            message: error.to_string(),
            next: Next::Failed(error.class()),
            definition,
        },
        (EngineView::Failed(error), definition) => assess_engine_error(error, definition),
        (_, Some(definition)) => {
            let message = format!("Deployed v{} (key={})", definition.version, definition.key);
            judged(
                ProcessPhase::Deployed,
                Standing::Ready,
                Reason::Deployed,
                message,
                Next::Settled { resync: RESYNC },
            )
        }
        (_, None) => {
            let message = "the engine has not confirmed the definition".to_owned();
            judged(
                ProcessPhase::Validating,
                Standing::InProgress,
                Reason::Validating,
                message,
                Next::Failed(ErrorClass::Transient),
            )
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
    let is_ours = latest.owner == process.metadata.uid;
    let is_current = latest.definition.content_sha256 == deployable.document.sha256
        && latest.definition.version_tag == process.spec.version_tag;
    (is_ours && is_current).then(|| latest.definition.clone())
}

fn assess_deletion(observed: &Observed, applied: &Applied) -> Assessment {
    let blocked = |message: String, class| Assessment {
        phase: ProcessPhase::Deleting,
        standing: Standing::InProgress,
        reason: Reason::DeletionBlocked,
        message,
        next: Next::Failed(class),
        definition: None,
    };
    match (&applied.failure, &observed.engine) {
        (Some(Failure::Write(error)), _) => blocked(error.told(), error.class()),
        (Some(Failure::Engine(error)), _) | (None, EngineView::Failed(error)) => {
            blocked(format!("the engine cannot retire the definition: {error}"), deletion_class(error))
        }
        (None, EngineView::NotReady(error)) => {
            blocked(format!("the engine cannot be called: {error}"), error.class())
        }
        (None, _) => blocked("the definition is being retired".to_owned(), ErrorClass::Transient),
    }
}

/// A deletion is never given up, whatever the engine says.
fn deletion_class(error: &EngineError) -> ErrorClass {
    match ErrorClass::of_engine(error) {
        ErrorClass::Invalid => ErrorClass::Denied,
        class => class,
    }
}

fn assess_failure(failure: &Failure, definition: Option<ProcessDefinition>) -> Assessment {
    match failure {
        Failure::Engine(error) => assess_engine_error(error, definition),
        Failure::Write(error) => Assessment {
            phase: ProcessPhase::Pending,
            standing: if error.class() == ErrorClass::Denied {
                Standing::Stalled
            } else {
                Standing::InProgress
            },
            reason: error.class().reason().into(),
            message: error.told(),
            next: Next::Failed(error.class()),
            definition,
        },
    }
}

fn assess_engine_error(error: &EngineError, definition: Option<ProcessDefinition>) -> Assessment {
    let failed = Next::Failed(ErrorClass::of_engine(error));
    let (phase, standing, reason, next) = match error.class() {
        EngineClass::Unavailable | EngineClass::Stale => {
            (ProcessPhase::Pending, Standing::InProgress, Reason::EngineUnreachable, failed)
        }
        EngineClass::QuotaExceeded { .. } => (
            ProcessPhase::Blocked,
            Standing::Stalled,
            Reason::QuotaExceeded,
            Next::Wait { recheck: RECHECK_QUOTA },
        ),
        EngineClass::AlreadyOwned => (
            ProcessPhase::Failed,
            Standing::Stalled,
            Reason::DuplicateProcessId,
            Next::Wait { recheck: RECHECK_OWNER },
        ),
        EngineClass::Precondition { .. } | EngineClass::NotFound => (
            ProcessPhase::Pending,
            Standing::InProgress,
            Reason::TenantNotReady,
            Next::Failed(ErrorClass::Transient),
        ),
        EngineClass::Denied => {
            (ProcessPhase::Pending, Standing::Stalled, Reason::EngineCredentialsMissing, failed)
        }
        EngineClass::Unsupported => {
            (ProcessPhase::Failed, Standing::Stalled, Reason::NotSupportedByEngine, failed)
        }
        EngineClass::Invalid => (ProcessPhase::Failed, Standing::Stalled, Reason::RejectedByEngine, failed),
        EngineClass::Corrupt | EngineClass::Internal => {
            (ProcessPhase::Pending, Standing::Stalled, Reason::InternalError, failed)
        }
    };
    Assessment { phase, standing, reason, message: error.to_string(), next, definition }
}

fn told_rejection(findings: &[Finding]) -> String {
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
    if keeps_former(process, &former, verdict, assessment) {
        return former;
    }
    let Assessment { phase, standing, reason, message, definition, .. } = assessment;
    let generation = process.metadata.generation;
    let mut wanted = summary(*standing, *reason, message);
    if process.spec.is_paused() {
        wanted.push(Wanted::new(PAUSED, Truth::True, Reason::Paused, "spec.paused is true"));
    }
    if *reason == Reason::FieldsNotActedOn {
        wanted.push(Wanted::new(SUPPORTED, Truth::False, *reason, message));
    }
    wanted.extend(build_valid(verdict, applied));
    let deployed = if definition.is_some() { Truth::True } else { Truth::False };
    wanted.push(Wanted::new(
        DEPLOYED,
        deployed,
        if definition.is_some() { Reason::Deployed } else { *reason },
        message,
    ));
    let job_types = definition
        .as_ref()
        .map_or_else(|| former.job_types.clone(), |definition| definition.job_types.clone());
    if definition.is_some() {
        wanted.push(build_workers_available(&job_types, observed));
    }
    let known = definition.as_ref();
    WorkflowProcessStatus {
        observed_generation: generation,
        phase: Some(*phase),
        ready: *standing == Standing::Ready,
        message: Some(bounded(message)),
        conditions: merge(&former.conditions, wanted, generation, now),
        // What ran last stays told while nothing newer is known: an outage does not undo a deployment.
        process_definition_key: known.map(|d| d.key).or(former.process_definition_key),
        bpmn_process_id: known.map(|d| d.process_id.clone()).or(former.bpmn_process_id),
        version: known.map(|d| i32::try_from(d.version).unwrap_or(i32::MAX)).or(former.version),
        deployed_at: known.map(|d| Time(d.deployed_at)).or(former.deployed_at),
        source_digest: known.map(|d| format!("sha256:{}", d.content_sha256)).or(former.source_digest),
        job_types: job_types.into_iter().take(256).collect(),
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
    let Some(Ok(deployable)) = verdict else { return false };
    passing
        && former.ready
        && former.observed_generation == process.metadata.generation
        && former.source_digest.as_deref() == Some(format!("sha256:{}", deployable.document.sha256).as_str())
}

fn build_valid(verdict: &Verdict, applied: &Applied) -> Option<Wanted<ProcessReason>> {
    if let Some(DeployResult::Rejected { findings, .. }) = &applied.deployed {
        return Some(Wanted::new(VALID, Truth::False, Reason::RejectedByEngine, told_rejection(findings)));
    }
    match verdict {
        None => None,
        Some(Ok(deployable)) => {
            let warnings = deployable.document.report.findings.len();
            let message = if warnings == 0 {
                "accepted".to_owned()
            } else {
                format!("accepted with {warnings} warnings")
            };
            Some(Wanted::new(VALID, Truth::True, Reason::Valid, message))
        }
        Some(Err(refusal)) => Some(Wanted::new(VALID, Truth::False, refusal.reason, refusal.message.clone())),
    }
}

fn build_workers_available(job_types: &[String], observed: &Observed) -> Wanted<ProcessReason> {
    let missing: Vec<&str> = job_types
        .iter()
        .filter(|needed| !observed.served_job_types.contains(*needed))
        .map(String::as_str)
        .collect();
    if missing.is_empty() {
        return Wanted::new(
            WORKERS_AVAILABLE,
            Truth::True,
            Reason::WorkersAvailable,
            "every job type has a WorkflowWorker",
        );
    }
    let message = format!("no WorkflowWorker serves {}", missing.join(", "));
    Wanted::new(WORKERS_AVAILABLE, Truth::False, Reason::WorkersMissing, message)
}

/// The events of a pass.
#[must_use]
pub fn build_news(process: &WorkflowProcess, status: &WorkflowProcessStatus, applied: &Applied) -> Vec<News> {
    let former = process.status.clone().unwrap_or_default();
    let mut told: Vec<News> =
        news::<ProcessReason>(&former.conditions, &status.conditions).into_iter().collect();
    if let Some(DeployResult::Deployed { outcome: DeployOutcome::Created, definition }) = &applied.deployed
        && former.ready
        && former.observed_generation == process.metadata.generation
        && former.source_digest == status.source_digest
    {
        told.push(News {
            type_: EventType::Normal,
            reason: Reason::Redeployed.as_str().to_owned(),
            note: format!("the engine had lost the definition; deployed it again as v{}", definition.version),
        });
    }
    told
}

/// The news of an object whose last step removed its finalizer.
#[must_use]
pub fn build_farewell(process: &WorkflowProcess, observed: &Observed) -> Option<News> {
    let process_id = process.status.as_ref().and_then(|status| status.bpmn_process_id.as_deref())?;
    if is_forced(process) && !matches!(observed.engine, EngineView::Answered { .. }) {
        return Some(News {
            type_: EventType::Warning,
            reason: Reason::DeletionForced.as_str().to_owned(),
            note: format!("DeletionForced: process {process_id} may still be in the engine"),
        });
    }
    let retained = process.spec.deletion_policy() == api_types::reference::DeletionPolicy::Retain;
    retained.then(|| News {
        type_: EventType::Normal,
        reason: Reason::Retained.as_str().to_owned(),
        note: format!("process {process_id} stays in the engine"),
    })
}

const _: () =
    assert!(MAX_MESSAGE_CHARS == controller_kit::message::MAX_CHARS, "status and schema must agree");

#[cfg(test)]
mod tests;
