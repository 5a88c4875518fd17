//! What the user is reported, and when to look again. Pure.

pub mod fleet;
pub mod lag;

use std::time::Duration;

use api_types::condition::{METRICS_AVAILABLE, ROLLOUT_COMPLETE};
use api_types::labels::{Component, selector, selector_text};
use api_types::worker::{WorkerPhase, WorkerReason as Reason, WorkflowWorkerStatus};
use api_types::{UNSEEN_GENERATION, WorkflowWorker};
use controller_kit::condition::{ConditionStatus, DesiredCondition, Readiness};
use controller_kit::outcome::{ErrorClass, Next};
use controller_kit::pass::OwnStatus;
use controller_kit::problem::Problem;
use jiff::Timestamp;
use kube::ResourceExt as _;

use crate::kind::{Applied, Workers};
use crate::observe::{AccessView, Missing, Observed, References};
use crate::plan::Plan;
use crate::validate::Fleet;
use fleet::{Facts, MetricsView, Rollout, read_facts};

/// What no watch shows is found after this time: a rotated worker key, a Secret that somebody changed.
pub const RESYNC: Duration = Duration::from_mins(5);
/// Pods that fail to start do not show in their Deployment.
const RECHECK_PODS: Duration = Duration::from_secs(10);
/// ServiceAccounts and Secrets are not watched.
const RECHECK_MISSING: Duration = Duration::from_secs(30);
/// Safety net: what is awaited is watched.
const RECHECK_WATCHED: Duration = Duration::from_mins(1);
const SETTLED: Next = Next::Settled { resync: RESYNC };
const ROLLING_OUT: &str = "pods are being started or replaced";
const NOT_REPORTED: &str = "the autoscaler has not reported yet";

/// A pass in one value; its facts are `None` when nothing was read.
pub type Assessment = controller_kit::assessment::Assessment<WorkerPhase, Reason, Option<Facts>>;

/// Judges a pass; what comes first counts.
#[must_use]
pub fn assess(
    worker: &WorkflowWorker,
    observed: &Observed,
    spec: &Result<Fleet, Problem<Reason>>,
    plan: &Plan,
    applied: &Applied,
) -> Assessment {
    let facts = read_facts(worker, observed, applied);
    let judged = None
        .or_else(|| assess_failure(applied, &facts))
        .or_else(|| assess_references(observed, &facts))
        .or_else(|| assess_spec(worker, spec, &facts))
        .or_else(|| assess_neighbours(worker, observed, plan, &facts))
        .or_else(|| assess_rollout(&facts))
        .unwrap_or_else(|| assess_metrics(&facts));
    Assessment { facts: Some(facts), ..judged }
}

fn judged(
    phase: WorkerPhase,
    readiness: Readiness,
    reason: Reason,
    message: impl Into<String>,
    next: Next,
) -> Assessment {
    Assessment { phase, readiness, reason, message: message.into(), next, facts: None }
}

/// The phase while something stands in the way: pods that run are worth telling.
fn hindered(facts: &Facts) -> WorkerPhase {
    if facts.ready_replicas > 0 { WorkerPhase::Degraded } else { WorkerPhase::Pending }
}

fn assess_failure(applied: &Applied, facts: &Facts) -> Option<Assessment> {
    let problem = applied.failures.first()?;
    let judged = Assessment::of_problem(hindered(facts), problem);
    // A child that the spec makes invalid is mended by another spec. Until then everything else is still looked after.
    Some(if problem.class == ErrorClass::Invalid { Assessment { next: SETTLED, ..judged } } else { judged })
}

fn assess_references(observed: &Observed, facts: &Facts) -> Option<Assessment> {
    match &observed.references {
        References::Resolved(_) => None,
        References::Refused(refused) => Some(judged(
            WorkerPhase::Pending,
            Readiness::Stalled,
            Reason::ReferenceNotPermittedOrMissing,
            refused,
            Next::Failed(ErrorClass::Invalid),
        )),
        References::Unreadable => Some(judged(
            hindered(facts),
            Readiness::InProgress,
            Reason::ClusterNotReady,
            "the cluster or tenant of this worker cannot be read now; the fleet is left as it is",
            Next::Wait { recheck: RECHECK_WATCHED },
        )),
    }
}

fn assess_spec(
    worker: &WorkflowWorker,
    spec: &Result<Fleet, Problem<Reason>>,
    facts: &Facts,
) -> Option<Assessment> {
    if let Err(problem) = spec {
        return Some(Assessment::of_problem(hindered(facts), problem));
    }
    if !worker.spec.is_paused() {
        return None;
    }
    let (phase, readiness) = match facts.rollout {
        Rollout::Complete => (WorkerPhase::Running, Readiness::Ready),
        Rollout::Stopped => (WorkerPhase::Stopped, Readiness::Ready),
        _ => (hindered(facts), Readiness::InProgress),
    };
    let message = "spec.paused is true: no owned object is written";
    Some(judged(phase, readiness, Reason::Paused, message, SETTLED))
}

/// Cluster, tenant, foreign objects, and what the spec names in the own namespace.
fn assess_neighbours(
    worker: &WorkflowWorker,
    observed: &Observed,
    plan: &Plan,
    facts: &Facts,
) -> Option<Assessment> {
    if let Some(wait) = &plan.wait {
        let (phase, readiness) = match wait.reason {
            Reason::NameTaken => (WorkerPhase::Failed, Readiness::Stalled),
            _ => (hindered(facts), Readiness::InProgress),
        };
        let next = Next::Wait { recheck: wait.recheck };
        return Some(judged(phase, readiness, wait.reason, &wait.message, next));
    }
    if let AccessView::NotReady(error) = &observed.access {
        let (reason, next) = (Reason::EngineCredentialsMissing, Next::Failed(error.class()));
        return Some(judged(hindered(facts), Readiness::InProgress, reason, error.message(), next));
    }
    let (reason, message) =
        missing_message(observed.missing.first()?, &worker.namespace().unwrap_or_default());
    let next = Next::Wait { recheck: RECHECK_MISSING };
    Some(judged(hindered(facts), Readiness::Stalled, reason, message, next))
}

fn assess_rollout(facts: &Facts) -> Option<Assessment> {
    let pods_awaited = Next::Wait { recheck: RECHECK_PODS };
    match &facts.rollout {
        Rollout::Complete => None,
        Rollout::Absent | Rollout::RollingOut => Some(judged(
            WorkerPhase::Progressing,
            Readiness::InProgress,
            Reason::RollingOut,
            ROLLING_OUT,
            pods_awaited,
        )),
        Rollout::Failed(message) => {
            let phase = if facts.ready_replicas > 0 { WorkerPhase::Degraded } else { WorkerPhase::Failed };
            Some(judged(phase, Readiness::Stalled, Reason::RolloutFailed, message, pods_awaited))
        }
        Rollout::Stopped => Some(judged(
            WorkerPhase::Stopped,
            Readiness::Ready,
            Reason::Stopped,
            "spec.replicas is 0: no worker pod runs",
            SETTLED,
        )),
    }
}

/// The pods are as they shall be.
fn assess_metrics(facts: &Facts) -> Assessment {
    if let Some(kept) = facts.kept_replicas {
        let message =
            format!("{kept} pods run, as the autoscaler left them; change spec.replicas to set their number");
        return judged(WorkerPhase::Running, Readiness::Ready, Reason::Running, message, SETTLED);
    }
    match &facts.metrics {
        MetricsView::Disabled | MetricsView::Available => judged(
            WorkerPhase::Running,
            Readiness::Ready,
            Reason::Running,
            "the fleet runs as the spec says",
            SETTLED,
        ),
        MetricsView::Awaited => judged(
            WorkerPhase::Progressing,
            Readiness::InProgress,
            Reason::Reconciling,
            NOT_REPORTED,
            Next::Wait { recheck: RECHECK_WATCHED },
        ),
        MetricsView::Unavailable(message) => {
            judged(WorkerPhase::Degraded, Readiness::InProgress, Reason::MetricsUnavailable, message, SETTLED)
        }
        MetricsView::Conflict(message) => {
            judged(WorkerPhase::Degraded, Readiness::Stalled, Reason::AutoscalerConflict, message, SETTLED)
        }
    }
}

/// Judges a pass that could not read what it needs.
#[must_use]
pub fn assess_unread(worker: &WorkflowWorker, problem: &Problem<Reason>) -> Assessment {
    let former = worker.status.clone().unwrap_or_default();
    let runs = former.ready_replicas.is_some_and(|ready| ready > 0);
    Assessment::of_problem(if runs { WorkerPhase::Degraded } else { WorkerPhase::Pending }, problem)
}

fn missing_message(missing: &Missing, namespace: &str) -> (Reason, String) {
    match missing {
        Missing::ServiceAccount { name } => (
            Reason::ServiceAccountMissing,
            format!("spec.authentication.serviceAccount: ServiceAccount {namespace}/{name} does not exist"),
        ),
        Missing::PullSecret { name, found: None } => (
            Reason::PullSecretMissing,
            format!("spec.imagePullSecrets: Secret {namespace}/{name} does not exist"),
        ),
        Missing::PullSecret { name, found: Some(type_) } => (
            Reason::PullSecretMissing,
            format!(
                "spec.imagePullSecrets: Secret {namespace}/{name} is of type {type_}, expected kubernetes.io/dockerconfigjson"
            ),
        ),
        Missing::SecretKey { name, key } => (
            Reason::EnvSecretMissing,
            format!("spec.env: Secret {namespace}/{name} has no key {key} or does not exist"),
        ),
    }
}

/// What a worker has beside the head of its status.
#[must_use]
pub fn build_own_status(
    worker: &WorkflowWorker,
    former: &WorkflowWorkerStatus,
    assessment: &Assessment,
) -> OwnStatus<Workers> {
    let Assessment { reason, message, facts, .. } = assessment;
    let mut conditions = Vec::new();
    if let Some(facts) = facts {
        conditions.push(build_rollout_complete(&facts.rollout, *reason, message));
        conditions.push(build_metrics_available(&facts.metrics));
    }
    let own_pods = selector(Component::Worker, &worker.name_any());
    let known = facts.as_ref();
    let fields = WorkflowWorkerStatus {
        replicas: known.map(|facts| facts.replicas).or(former.replicas),
        ready_replicas: known.map(|facts| facts.ready_replicas).or(former.ready_replicas),
        selector: Some(selector_text(&own_pods)),
        current_lag_seconds: former.current_lag_seconds,
        access_key_id: known.map_or(former.access_key_id.clone(), |facts| facts.token_key_id.clone()),
        ..WorkflowWorkerStatus::default()
    };
    OwnStatus { fields, conditions, kept: Vec::new() }
}

/// Puts the lag into a status that is complete but for it and holds the former one.
#[must_use]
pub fn complete_status(
    worker: &WorkflowWorker,
    mut status: WorkflowWorkerStatus,
    assessment: &Assessment,
    now: Timestamp,
) -> WorkflowWorkerStatus {
    let former = status.current_lag_seconds;
    let seen = assessment.facts.as_ref().map_or(former, |facts| facts.lag_seconds);
    status.current_lag_seconds = lag::settle(worker, &status, seen, now);
    status
}

/// A write that came first is over with the next pass, and an apiserver that is away for a moment does not undo what runs.
#[must_use]
pub fn keep_status(
    worker: &WorkflowWorker,
    former: &WorkflowWorkerStatus,
    assessment: &Assessment,
) -> Option<WorkflowWorkerStatus> {
    let is_kept = match assessment.reason {
        Reason::Conflict if assessment.next == Next::Failed(ErrorClass::Conflict) => {
            former.observed_generation.is_some_and(|seen| seen != UNSEEN_GENERATION)
        }
        Reason::KubernetesUnavailable => {
            former.ready && former.observed_generation == worker.metadata.generation
        }
        _ => false,
    };
    is_kept.then(|| former.clone())
}

fn build_rollout_complete(rollout: &Rollout, reason: Reason, message: &str) -> DesiredCondition<Reason> {
    let wanted =
        |status, reason, message: &str| DesiredCondition::new(ROLLOUT_COMPLETE, status, reason, message);
    match rollout {
        Rollout::Absent => wanted(ConditionStatus::False, reason, message),
        Rollout::RollingOut => wanted(ConditionStatus::False, Reason::RollingOut, ROLLING_OUT),
        Rollout::Failed(reported) => wanted(ConditionStatus::False, Reason::RolloutFailed, reported),
        Rollout::Stopped => wanted(ConditionStatus::True, Reason::Stopped, "no pod is wanted and none runs"),
        Rollout::Complete => wanted(
            ConditionStatus::True,
            Reason::RolloutComplete,
            "every pod runs the current template and is ready",
        ),
    }
}

fn build_metrics_available(metrics: &MetricsView) -> DesiredCondition<Reason> {
    let wanted =
        |status, reason, message: &str| DesiredCondition::new(METRICS_AVAILABLE, status, reason, message);
    match metrics {
        MetricsView::Disabled => {
            wanted(ConditionStatus::Unknown, Reason::AutoscalingDisabled, "spec.autoscaling is not set")
        }
        MetricsView::Awaited => wanted(ConditionStatus::Unknown, Reason::Reconciling, NOT_REPORTED),
        MetricsView::Available => wanted(
            ConditionStatus::True,
            Reason::MetricsAvailable,
            "the autoscaler gets the lag of every job type",
        ),
        MetricsView::Unavailable(reported) => {
            wanted(ConditionStatus::False, Reason::MetricsUnavailable, reported)
        }
        MetricsView::Conflict(reported) => {
            wanted(ConditionStatus::False, Reason::AutoscalerConflict, reported)
        }
    }
}

/// When to look again at what no watch shows: pods that may fail to start, and a lag that waits for its quiet time.
#[must_use]
pub fn plan_next(
    worker: &WorkflowWorker,
    assessment: &Assessment,
    status: &WorkflowWorkerStatus,
    now: Timestamp,
) -> Next {
    let Some(facts) = &assessment.facts else { return assessment.next };
    let is_held_back = lag::is_worth_a_write(worker, status.current_lag_seconds, facts.lag_seconds);
    match assessment.next {
        Next::Settled { .. } if facts.ready_replicas < facts.replicas => Next::Wait { recheck: RECHECK_PODS },
        Next::Settled { .. } if is_held_back => Next::Wait { recheck: lag::quiet_time_left(worker, now) },
        next => next,
    }
}

#[cfg(test)]
mod tests;
