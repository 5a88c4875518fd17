//! What the user is reported, and when to look again. Pure.

mod events;
mod fields;

use std::time::Duration;

use api_types::WorkflowProcess;
use api_types::cluster::UpgradeStage;
use api_types::process::ProcessReason as Reason;
use api_types::process::{MAX_RETIRING, ProcessPhase, ProcessReason, SourceChange};
use controller_kit::assessment::readiness_of;
use controller_kit::condition::{DesiredCondition, Readiness};
use controller_kit::outcome::{ErrorClass, Next};
use controller_kit::pass::is_deleting;
use controller_kit::plan::Wait;
use controller_kit::problem::Problem;
use engine_access::reference::Unasked;
use engine_client::model::{DeployResult, Finding, ProcessDefinition, Severity};
use jiff::SignedDuration;

use crate::change::awaited_change;
use crate::document::{Document, SourceView};
use crate::error::{of_engine, of_engine_deletion};
use crate::execute::Results;
use crate::observe::{EngineView, Observed};
use crate::plan::document::{Verdict, judge_source};
use crate::plan::{Plan, engine_version, foreign_owner, former_rejection, is_owned_by};

pub use events::{build_events, build_last_events};
pub use fields::{build_own_status, keep_status};

/// Another object owns the process id. It may give the id up, and no watch shows when it does.
const RECHECK_OWNER: Duration = Duration::from_mins(5);
/// Safety net: the cluster is watched.
const RECHECK_CLUSTER: Duration = Duration::from_mins(1);
/// What a process waits for while everything around it starts, one after the other. For a user it is one wait: the
/// event says that it begins, the status names what is awaited.
const WAITS: [Reason; 4] =
    [Reason::ClusterNotReady, Reason::ClusterUpdating, Reason::TenantNotReady, Reason::EngineUnreachable];
/// So long the status of a wait names what was awaited when it began: a start in good order costs one write. The recheck
/// of a wait comes after the same time.
const STEADY_WAIT: SignedDuration = SignedDuration::from_mins(1);
/// For drift that neither a watch nor the survey of engines finds.
pub const RESYNC: Duration = Duration::from_mins(10);
/// Right after the deployment: its own status has to be there.
const COMPARE_SOON: Duration = Duration::from_secs(1);
/// A quota may become free without any object changing.
const RECHECK_QUOTA: Duration = Duration::from_mins(1);

/// A pass in one value.
pub type Assessment = controller_kit::assessment::Assessment<ProcessPhase, ProcessReason, Facts>;

/// What the status fields and events of a process are made from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// The definition that the engine runs for this object, if it is known to run one.
    pub definition: Option<ProcessDefinition>,
    /// The engine's answer to this pass's deploy.
    pub deployed: Option<DeployResult>,
    /// Former process ids that are still to be retired, if the engine was asked.
    pub retiring: Option<Vec<String>>,
    /// The condition `Valid`, if the source was judged.
    pub valid: Option<DesiredCondition<ProcessReason>>,
    /// The condition `WorkersAvailable`, once something runs.
    pub workers: Option<DesiredCondition<ProcessReason>>,
    /// Digest of the bytes that the engine runs, or has just refused.
    pub source_digest: Option<String>,
    /// The condition `SourceReady`, if the source is one that is looked at again and again, and was.
    pub source_ready: Option<DesiredCondition<ProcessReason>>,
    /// Whether the source is being read for the first time.
    pub is_source_pending: bool,
    /// Where the bytes that the engine runs are from.
    pub source_revision: Option<String>,
    /// What was tried last, if it is not what the engine runs.
    pub attempted_revision: Option<String>,
    /// Nothing is known of a newer source than the status names.
    pub is_same_source: bool,
    /// Which version of the engine refused the document.
    pub refused_by_version: Option<String>,
    /// Version of the engine that has the definition, unless it is being changed.
    pub confirmed_by_version: Option<String>,
    /// Open incidents, if the engine was asked.
    pub open_incidents: Option<u64>,
    /// What the version that runs changes, if that was to be found out.
    pub change: Option<SourceChange>,
    /// Whose the definitions are.
    pub tenant_id: String,
}

/// Judges a pass; what comes first counts.
#[must_use]
pub fn assess(
    process: &WorkflowProcess,
    spec: &Result<(), Problem<ProcessReason>>,
    observed: &Observed,
    plan: &Plan,
    failures: &[Problem<ProcessReason>],
    results: &Results,
) -> Assessment {
    if is_deleting(process) {
        let judged = assess_deletion(observed, failures);
        let known = Known { process, observed, verdict: &None, definition: None };
        let facts = read_facts(known, &judged, failures, results);
        return Assessment { facts, ..judged };
    }
    let verdict = judge_source(process, spec, &observed.source);
    let definition = running_definition(process, observed, &verdict, results);
    let judged = None
        .or_else(|| assess_source(observed, &verdict, definition.as_ref()))
        .or_else(|| assess_references(observed))
        .or_else(|| failures.first().map(assess_problem))
        .or_else(|| assess_owner(process, observed, &verdict))
        .or_else(|| assess_rejection(process, observed, &verdict, results))
        .or_else(|| assess_paused(process, definition.as_ref()))
        .or_else(|| assess_wait(plan))
        .unwrap_or_else(|| assess_engine(observed, definition.as_ref()));
    let judged = add_source_failure(judged, process, observed, definition.as_ref());
    let judged = look_at_change(judged, process, observed, definition.as_ref());
    let known = Known { process, observed, verdict: &verdict, definition };
    let facts = read_facts(known, &judged, failures, results);
    Assessment { facts, ..judged }
}

fn assess_source(
    observed: &Observed,
    verdict: &Verdict,
    definition: Option<&ProcessDefinition>,
) -> Option<Assessment> {
    match (&observed.source, verdict) {
        (SourceView::Unread(problem), _) if definition.is_none() || observed.source_failure.is_none() => {
            Some(Assessment::of_problem(ProcessPhase::Pending, problem))
        }
        (SourceView::Pending, _) => Some(Assessment::of_wait(ProcessPhase::Validating, &fetching())),
        (_, Some(Err(problem))) => Some(assess_problem(problem)),
        _ => None,
    }
}

/// The task that fetches requests a pass when it is done.
fn fetching() -> Wait<ProcessReason> {
    let message = "the source is being fetched".to_owned();
    Wait { reason: Reason::Validating, message, recheck: RECHECK_CLUSTER }
}

fn assess_references(observed: &Observed) -> Option<Assessment> {
    let problem = match (&observed.references, observed.tenancy.conflict()) {
        (Err(refused), _) => {
            let reason = Reason::ReferenceNotPermittedOrMissing;
            Problem::new(reason, ErrorClass::Invalid, refused.to_string())
        }
        (Ok(_), Some(conflict)) => {
            Problem::new(Reason::DeployedForAnotherTenant, ErrorClass::Invalid, conflict)
        }
        (Ok(_), None) => return None,
    };
    Some(assess_problem(&problem))
}

/// Another object deployed the process id before.
fn assess_owner(process: &WorkflowProcess, observed: &Observed, verdict: &Verdict) -> Option<Assessment> {
    let (EngineView::Answered { latest: Some(latest), .. }, Some(Ok(deployable))) =
        (&observed.engine, verdict)
    else {
        return None;
    };
    let owner = foreign_owner(latest, process)?;
    let message = format!(
        "process id {} is deployed by {} already; delete one of the two, or change the process id",
        deployable.process_id, owner.id
    );
    Some(assess_problem(&Problem::new(Reason::DuplicateProcessId, ErrorClass::Invalid, message)))
}

fn assess_rejection(
    process: &WorkflowProcess,
    observed: &Observed,
    verdict: &Verdict,
    results: &Results,
) -> Option<Assessment> {
    let rejection = rejection_message(process, observed, verdict, results)?;
    let problem = Problem::new(Reason::RejectedByEngine, ErrorClass::Invalid, rejection);
    Some(assess_problem(&problem))
}

fn assess_paused(process: &WorkflowProcess, definition: Option<&ProcessDefinition>) -> Option<Assessment> {
    let (phase, readiness) = match definition {
        Some(_) => (ProcessPhase::Deployed, Readiness::Ready),
        None => (ProcessPhase::Pending, Readiness::InProgress),
    };
    process.spec.is_paused().then(|| Assessment {
        phase,
        readiness,
        reason: Reason::Paused,
        message: "spec.paused is true: nothing is deployed".to_owned(),
        next: Next::Settled { resync: RESYNC },
        facts: Facts::default(),
    })
}

fn assess_wait(plan: &Plan) -> Option<Assessment> {
    let wait = plan.wait.as_ref()?;
    Some(match wait.reason {
        Reason::TenantSuspended => {
            Assessment { readiness: Readiness::Stalled, ..Assessment::of_wait(ProcessPhase::Blocked, wait) }
        }
        _ => Assessment::of_wait(ProcessPhase::Pending, wait),
    })
}

fn assess_engine(observed: &Observed, definition: Option<&ProcessDefinition>) -> Assessment {
    match (&observed.engine, definition) {
        (EngineView::NotReady(error), _) => {
            let problem = Problem::new(Reason::EngineCredentialsMissing, error.class(), error.message());
            let readiness = Readiness::InProgress;
            Assessment { readiness, ..Assessment::of_problem(ProcessPhase::Pending, &problem) }
        }
        (EngineView::Failed(error), _) => assess_problem(&of_engine(error)),
        (_, Some(definition)) => Assessment {
            phase: ProcessPhase::Deployed,
            readiness: Readiness::Ready,
            reason: Reason::Deployed,
            message: format!("Deployed v{} (key={})", definition.version, definition.key),
            next: Next::Settled { resync: RESYNC },
            facts: Facts::default(),
        },
        (_, None) => {
            let message = "the engine has not confirmed the definition";
            let problem = Problem::new(Reason::Validating, ErrorClass::Transient, message);
            Assessment::of_problem(ProcessPhase::Validating, &problem)
        }
    }
}

/// What runs stays when the newest state of its source cannot be read. A failure that ends by itself does not even make the process
/// unready, if this spec's source was read before: condition `SourceReady` reports it.
fn add_source_failure(
    judged: Assessment,
    process: &WorkflowProcess,
    observed: &Observed,
    definition: Option<&ProcessDefinition>,
) -> Assessment {
    let (Some(failure), Some(definition)) = (&observed.source_failure, definition) else { return judged };
    let class = failure.problem.class;
    if judged.readiness != Readiness::Ready
        || class == ErrorClass::Transient && was_source_read(process, observed)
    {
        return judged;
    }
    Assessment {
        readiness: readiness_of(class),
        reason: failure.problem.reason,
        message: format!("v{} stays deployed: {}", definition.version, failure.problem),
        ..judged
    }
}

/// By this controller, or by the one that reported it ready in this generation.
fn was_source_read(process: &WorkflowProcess, observed: &Observed) -> bool {
    let is_reported = process
        .status
        .as_ref()
        .is_some_and(|status| status.ready && status.observed_generation == process.metadata.generation);
    matches!(observed.source, SourceView::Document(_)) || is_reported
}

/// A new version is compared with the one before it by the next pass.
fn look_at_change(
    judged: Assessment,
    process: &WorkflowProcess,
    observed: &Observed,
    definition: Option<&ProcessDefinition>,
) -> Assessment {
    let former = process.status.as_ref().and_then(|status| status.version);
    let is_new = definition
        .is_some_and(|known| former.is_some_and(|former| i64::from(former) < i64::from(known.version)));
    let is_awaited = definition.is_some_and(|known| awaited_change(process, known.version).is_some());
    if matches!(judged.next, Next::Settled { .. }) && (is_new || is_awaited && observed.change.is_none()) {
        let recheck = if is_new { COMPARE_SOON } else { RECHECK_CLUSTER };
        return Assessment { next: Next::Wait { recheck }, ..judged };
    }
    judged
}

/// The phase and the next look follow from the reason.
fn assess_problem(problem: &Problem<ProcessReason>) -> Assessment {
    let phase = match problem.reason {
        Reason::InvalidSpec
        | Reason::SourceInvalid
        | Reason::ValidationFailed
        | Reason::DuplicateProcessId
        | Reason::NotSupportedByEngine
        | Reason::RejectedByEngine => ProcessPhase::Failed,
        Reason::QuotaExceeded | Reason::DeployedForAnotherTenant => ProcessPhase::Blocked,
        _ => ProcessPhase::Pending,
    };
    let judged = Assessment::of_problem(phase, problem);
    match problem.reason {
        Reason::QuotaExceeded => Assessment { next: Next::Wait { recheck: RECHECK_QUOTA }, ..judged },
        Reason::DuplicateProcessId => Assessment { next: Next::Wait { recheck: RECHECK_OWNER }, ..judged },
        _ => judged,
    }
}

fn assess_deletion(observed: &Observed, failures: &[Problem<ProcessReason>]) -> Assessment {
    let deleting = |reason, message: &str, next| Assessment {
        phase: ProcessPhase::Deleting,
        readiness: Readiness::InProgress,
        reason,
        message: message.to_owned(),
        next,
        facts: Facts::default(),
    };
    let blocked = |message: &str, class| deleting(Reason::DeletionBlocked, message, Next::Failed(class));
    let of_problem = |problem: &Problem<ProcessReason>| blocked(&problem.to_string(), problem.class);
    // The object changed in between: the next pass sees what it is now.
    let failure = failures.first().filter(|problem| problem.reason != Reason::Conflict);
    match (failure, &observed.engine) {
        (Some(problem), _) | (None, EngineView::Unasked(Unasked::Unread(problem))) => of_problem(problem),
        (None, EngineView::Failed(error)) => of_problem(&of_engine_deletion(error)),
        (None, EngineView::NotReady(error)) => {
            blocked(&format!("the engine cannot be called: {error}"), error.class())
        }
        (None, EngineView::Unasked(Unasked::Stopped { cluster })) => {
            let message = format!(
                "WorkflowCluster {cluster} is stopped, so its engine cannot be asked; start it, or delete that cluster"
            );
            deleting(Reason::ClusterStopped, &message, Next::Wait { recheck: RECHECK_CLUSTER })
        }
        (None, EngineView::Unasked(Unasked::NoEndpoint { cluster })) => {
            let message = format!(
                "WorkflowCluster {cluster} has no endpoint, so its engine cannot be asked; correct or delete that cluster"
            );
            deleting(Reason::DeletionBlocked, &message, Next::Wait { recheck: RECHECK_CLUSTER })
        }
        _ => {
            let message = "the definition is retired, the object goes next";
            deleting(Reason::Deleting, message, Next::Failed(ErrorClass::Conflict))
        }
    }
}

/// What the engine runs for this object: the answer to this pass's deploy, else what it had before, if that is ours and
/// still what the source says.
fn running_definition(
    process: &WorkflowProcess,
    observed: &Observed,
    verdict: &Verdict,
    results: &Results,
) -> Option<ProcessDefinition> {
    if let Some(DeployResult::Deployed { definition, .. }) = &results.deployed {
        return Some(definition.clone());
    }
    let EngineView::Answered { latest: Some(latest), .. } = &observed.engine else { return None };
    let is_current = match (verdict, &observed.source) {
        (Some(Ok(deployable)), _) => deployable.is_version(&latest.definition),
        // The document cannot be had now; what was deployed from it before still runs.
        (None, SourceView::Unread(_)) if observed.source_failure.is_some() => {
            let reported = process.status.as_ref().and_then(|status| status.source_digest.clone());
            reported == Some(format!("sha256:{}", latest.definition.content_sha256))
        }
        _ => false,
    };
    (is_owned_by(latest, process) && is_current).then(|| latest.definition.clone())
}

/// Why the engine refuses the document: now, or when it was asked about the same bytes before.
fn rejection_message(
    process: &WorkflowProcess,
    observed: &Observed,
    verdict: &Verdict,
    results: &Results,
) -> Option<String> {
    if let Some(DeployResult::Rejected { findings, .. }) = &results.deployed {
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

/// What is known of a process, before the pass is judged.
struct Known<'a> {
    process: &'a WorkflowProcess,
    observed: &'a Observed,
    verdict: &'a Verdict,
    definition: Option<ProcessDefinition>,
}

fn read_facts(
    known: Known<'_>,
    judged: &Assessment,
    failures: &[Problem<ProcessReason>],
    results: &Results,
) -> Facts {
    let Known { process, observed, verdict, definition } = known;
    let former = process.status.as_ref();
    let Assessment { reason, message, .. } = judged;
    let is_asked = results.deployed.is_some() || !failures.is_empty();
    let document = match &observed.source {
        SourceView::Document(document) => Some(document),
        _ => None,
    };
    let runs = |document: &&Document| {
        definition.as_ref().is_some_and(|definition| definition.content_sha256 == document.sha256)
    };
    let source_revision = match document.filter(runs) {
        Some(document) => document.revision.clone(),
        None => former.and_then(|former| former.source_revision.clone()),
    };
    let tried = match &observed.source_failure {
        Some(failure) => failure.revision.clone(),
        None => document.and_then(|document| document.revision.clone()),
    };
    Facts {
        source_ready: fields::build_source_ready(observed),
        is_source_pending: observed.source == SourceView::Pending,
        attempted_revision: tried.filter(|tried| source_revision.as_ref() != Some(tried)),
        source_revision,
        deployed: results.deployed.clone(),
        retiring: still_to_retire(observed, results),
        valid: fields::build_valid(verdict, *reason, message),
        workers: definition.as_ref().map(|known| fields::build_workers_available(&known.job_types, observed)),
        source_digest: match verdict {
            Some(Ok(refused)) if *reason == Reason::RejectedByEngine => Some(refused.document.digest_text()),
            _ => definition.as_ref().map(|known| format!("sha256:{}", known.content_sha256)),
        },
        is_same_source: match verdict {
            Some(Ok(deployable)) => {
                let digest = former.and_then(|former| former.source_digest.as_ref());
                digest == Some(&deployable.document.digest_text())
            }
            Some(Err(_)) => false,
            None => true,
        },
        // This one now, or whichever did when it was asked.
        refused_by_version: match reason {
            Reason::RejectedByEngine if is_asked => engine_version(observed).map(str::to_owned),
            Reason::RejectedByEngine => former.and_then(|former| former.refused_by_version.clone()),
            _ => None,
        },
        confirmed_by_version: definition.as_ref().and_then(|_| settled_version(observed)),
        open_incidents: observed.open_incidents,
        change: observed.change.clone(),
        tenant_id: observed.tenancy.id().to_owned(),
        definition,
    }
}

/// What this object owned under former ids, without what this pass retired.
fn still_to_retire(observed: &Observed, results: &Results) -> Option<Vec<String>> {
    let EngineView::Answered { former_ids, .. } = &observed.engine else { return None };
    let is_left = |id: &&String| results.retired.iter().all(|(retired, _)| retired != *id);
    Some(former_ids.iter().filter(is_left).take(MAX_RETIRING).cloned().collect())
}

/// While an upgrade can still go back, or changes the schema, the engine's answer is not the last word.
fn settled_version(observed: &Observed) -> Option<String> {
    let status = observed.references.as_ref().ok()?.cluster.status.as_ref()?;
    let stage = status.upgrade.as_ref().map(|upgrade| upgrade.stage);
    let is_settled = stage.is_none_or(|stage| !stage.is_on_its_way() || stage == UpgradeStage::Verifying);
    status.version.clone().filter(|_| is_settled)
}

#[cfg(test)]
mod tests;
