//! What the user is reported, and when to look again. Pure.

pub mod clients;

use std::time::Duration;

use api_types::WorkflowTenant;
use api_types::condition::{CLIENT_ACCESS, SYNCED, WITHIN_QUOTA};
use api_types::reason::{CommonReason, Reason as _};
use api_types::tenant::TenantReason as Reason;
use api_types::tenant::{TenantDeletionPolicy, TenantPhase, TenantReason, WorkflowTenantStatus};
use controller_kit::condition::{ConditionStatus, DesiredCondition, Readiness, find};
use controller_kit::events::{Event, EventType};
use controller_kit::outcome::{ErrorClass, Next};
use controller_kit::pass::{OwnStatus, is_deleting};
use controller_kit::problem::Problem;
use controller_kit::status::event_of_ready;
use engine_access::reference::Unasked;
use engine_client::model::{PutOutcome, QuotaKind, TenantDeletion, TenantUsage};
use jiff::Timestamp;
use kube::ResourceExt as _;

use crate::cleanup::is_forced;
use crate::error::{WHAT_RUNS, of_engine, of_engine_deletion};
use crate::execute::Results;
use crate::kind::Tenants;
use crate::observe::{EngineView, Observed};
use crate::plan::Plan;
use clients::{ClientsAssessment, build_client_event, build_clients_status, build_secrets_left};

/// Usage and engine-side drift are looked at this often.
pub const USAGE_INTERVAL: Duration = Duration::from_secs(30);
/// Each look lets the engine delete for some seconds; it goes on by itself as well.
pub const PURGE_RECHECK: Duration = Duration::from_secs(5);

/// Safety net: the cluster is watched.
const RECHECK_CLUSTER: Duration = Duration::from_mins(1);
/// RoleBindings and Secrets are not watched.
const RECHECK_CLIENTS: Duration = Duration::from_mins(1);
/// Another object owns the tenant's name. Nothing reports when it gives it up.
const RECHECK_OWNER: Duration = Duration::from_mins(5);

/// A pass in one value.
pub type Assessment = controller_kit::assessment::Assessment<TenantPhase, TenantReason, Facts>;

/// What the status fields and events of a tenant are made from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// What the engine says that the tenant uses.
    pub usage: Option<TenantUsage>,
    /// The Secrets of clients, if they were read.
    pub clients: Option<ClientsAssessment>,
    /// The tenant was in the engine already, without an owner.
    pub adopted: bool,
    /// The engine held another tenant than the spec says, and it was corrected.
    pub corrected: bool,
}

/// Judges a pass; what comes first counts.
#[must_use]
pub fn assess(
    tenant: &WorkflowTenant,
    spec: &Result<(), Problem<TenantReason>>,
    observed: &Observed,
    plan: &Plan,
    failures: &[Problem<TenantReason>],
    results: &Results,
) -> Assessment {
    if is_deleting(tenant) {
        return assess_deletion(observed, plan, failures, results);
    }
    let usage = match &observed.engine {
        EngineView::Answered { usage, .. } => usage.clone(),
        _ => None,
    };
    let facts = Facts {
        usage,
        clients: clients::assess_clients(tenant, observed, failures, results),
        adopted: results.put.is_some_and(|put| put.adopted),
        corrected: results.put.is_some_and(|put| put.outcome != PutOutcome::Unchanged),
    };
    Assessment { facts, ..assess_tenant(tenant, spec, observed, plan, failures) }
}

fn assess_tenant(
    tenant: &WorkflowTenant,
    spec: &Result<(), Problem<TenantReason>>,
    observed: &Observed,
    plan: &Plan,
    failures: &[Problem<TenantReason>],
) -> Assessment {
    if let Err(problem) = spec {
        return Assessment::of_problem(TenantPhase::Failed, problem);
    }
    if let Err(refused) = &observed.cluster {
        let reason = Reason::ReferenceNotPermittedOrMissing;
        let problem = Problem::new(reason, ErrorClass::Invalid, refused.to_string());
        return Assessment::of_problem(TenantPhase::Pending, &problem);
    }
    if let Some(problem) = failures.first() {
        return assess_problem(problem);
    }
    let settled = |phase, readiness, reason, message: &str| Assessment {
        phase,
        readiness,
        reason,
        message: message.to_owned(),
        next: Next::Settled { resync: USAGE_INTERVAL },
        facts: Facts::default(),
    };
    if tenant.spec.is_paused() {
        let message = "spec.paused is true: nothing is written to the engine";
        let held = matches!(&observed.engine, EngineView::Answered { tenant: Some(_), .. });
        let (phase, readiness) = if held {
            (TenantPhase::Active, Readiness::Ready)
        } else {
            (TenantPhase::Pending, Readiness::InProgress)
        };
        return settled(phase, readiness, Reason::Paused, message);
    }
    if let Some(wait) = &plan.wait {
        return Assessment::of_wait(TenantPhase::Pending, wait);
    }
    match &observed.engine {
        EngineView::NotAsked | EngineView::Unasked(_) => {
            let message = "the engine was not asked";
            let problem = Problem::new(Reason::Reconciling, ErrorClass::Transient, message);
            Assessment::of_problem(TenantPhase::Pending, &problem)
        }
        EngineView::NotReady(error) => {
            let problem = Problem::new(Reason::EngineCredentialsMissing, error.class(), error.message());
            let readiness = Readiness::InProgress;
            Assessment { readiness, ..Assessment::of_problem(TenantPhase::Pending, &problem) }
        }
        EngineView::Failed(error) => assess_problem(&of_engine(error)),
        EngineView::Answered { .. } if tenant.spec.is_suspended() => {
            let message = "spec.suspended is true: no new instances and no jobs; nothing is lost";
            settled(TenantPhase::Suspended, Readiness::Ready, Reason::Suspended, message)
        }
        EngineView::Answered { .. } => {
            let message = format!("tenant {} is in the engine as the spec says", tenant.name_any());
            settled(TenantPhase::Active, Readiness::Ready, Reason::Synced, &message)
        }
    }
}

/// A step that failed, or an engine that did not answer.
fn assess_problem(problem: &Problem<TenantReason>) -> Assessment {
    let phase = match problem.reason {
        Reason::EngineUnreachable | Reason::EngineCredentialsMissing | Reason::InternalError => {
            TenantPhase::Degraded
        }
        Reason::NameTaken | Reason::NotSupportedByEngine | Reason::RejectedByEngine => TenantPhase::Failed,
        _ => TenantPhase::Pending,
    };
    let judged = Assessment::of_problem(phase, problem);
    match problem.reason {
        Reason::NameTaken => Assessment { next: Next::Wait { recheck: RECHECK_OWNER }, ..judged },
        Reason::Reconciling => Assessment { next: Next::Wait { recheck: PURGE_RECHECK }, ..judged },
        // Also one that is tried again: a person has to change the tenant, or what it needs.
        Reason::RejectedByEngine => Assessment { readiness: Readiness::Stalled, ..judged },
        _ => judged,
    }
}

fn assess_deletion(
    observed: &Observed,
    plan: &Plan,
    failures: &[Problem<TenantReason>],
    results: &Results,
) -> Assessment {
    let deleting = |reason, message: String, next| Assessment {
        phase: TenantPhase::Deleting,
        readiness: Readiness::InProgress,
        reason,
        message,
        next,
        facts: Facts::default(),
    };
    let blocked = |problem: &Problem<TenantReason>| {
        deleting(Reason::DeletionBlocked, problem.to_string(), Next::Failed(problem.class))
    };
    // The object changed in between: the next pass sees what it is now.
    let failure = failures.first().filter(|problem| problem.reason != Reason::Conflict);
    match (failure, &observed.engine) {
        (Some(problem), _) | (None, EngineView::Unasked(Unasked::Unread(problem))) => blocked(problem),
        (None, EngineView::Failed(error)) => blocked(&of_engine_deletion(error)),
        (None, EngineView::NotReady(error)) => {
            let message = format!("the engine cannot be called: {}", error.message());
            deleting(Reason::DeletionBlocked, message, Next::Failed(error.class()))
        }
        (None, EngineView::Unasked(Unasked::Stopped { cluster })) => {
            let message = format!(
                "WorkflowCluster {cluster} is stopped, so its engine cannot be asked; start it, or delete that cluster"
            );
            deleting(Reason::ClusterStopped, message, Next::Wait { recheck: RECHECK_CLUSTER })
        }
        (None, EngineView::Unasked(Unasked::NoEndpoint { cluster })) => {
            let message = format!(
                "WorkflowCluster {cluster} has no endpoint, so its engine cannot be asked; correct or delete that cluster"
            );
            deleting(Reason::DeletionBlocked, message, Next::Wait { recheck: RECHECK_CLUSTER })
        }
        _ if results.deleted == Some(TenantDeletion::Purging) => {
            let message = "the engine is deleting what the tenant has; the object goes when nothing is left";
            deleting(Reason::Deleting, message.to_owned(), Next::Wait { recheck: PURGE_RECHECK })
        }
        _ if let Some(wait) = &plan.wait => {
            deleting(wait.reason, wait.message.clone(), Next::Wait { recheck: wait.recheck })
        }
        _ => {
            let message = "the tenant is deleted, the object goes next".to_owned();
            deleting(Reason::Deleting, message, Next::Failed(ErrorClass::Conflict))
        }
    }
}

/// An engine that is away or stopped does not undo what it holds; else an outage would rewrite every status twice.
#[must_use]
pub fn keep_status(
    tenant: &WorkflowTenant,
    former: &WorkflowTenantStatus,
    assessment: &Assessment,
    now: Timestamp,
) -> Option<WorkflowTenantStatus> {
    let is_kept = matches!(assessment.reason, Reason::EngineUnreachable | Reason::ClusterStopped)
        && former.ready
        && former.observed_generation == tenant.metadata.generation;
    is_kept.then(|| clients::update_clients(tenant, former, assessment, now))
}

/// What a tenant has beside the head of its status.
#[must_use]
pub fn build_own_status(
    tenant: &WorkflowTenant,
    former: &WorkflowTenantStatus,
    assessment: &Assessment,
) -> OwnStatus<Tenants> {
    let Assessment { readiness, reason, message, facts, .. } = assessment;
    let (status, synced_reason) = match readiness {
        Readiness::Ready => (ConditionStatus::True, Reason::Synced),
        _ => (ConditionStatus::False, *reason),
    };
    let mut conditions = vec![DesiredCondition::new(SYNCED, status, synced_reason, message)];
    let usage = facts.usage.as_ref();
    conditions.extend(usage.map(build_within_quota));
    let used = |read: fn(&TenantUsage) -> u64, former: Option<i64>| {
        usage.map_or(former, |usage| Some(steady(former, read(usage))))
    };
    let clients = build_clients_status(tenant, former, facts.clients.as_ref());
    conditions.extend(clients.desired);
    OwnStatus {
        fields: WorkflowTenantStatus {
            current_instances: used(|usage| usage.active_instances, former.current_instances),
            current_jobs_per_minute: used(|usage| usage.jobs_last_minute, former.current_jobs_per_minute),
            current_storage_gb: usage
                .map_or(former.current_storage_gb, |usage| Some(gigabytes(usage.storage_bytes))),
            client_namespaces: clients.namespaces,
            client_key_id: clients.key_id,
            ..WorkflowTenantStatus::default()
        },
        conditions,
        kept: clients.kept.into_iter().collect(),
    }
}

/// The former figure while the new one is within five percent of it: usage moves all the time, and a status that moves
/// with it would be a write per interval and tenant. Zero is always reported.
fn steady(former: Option<i64>, current: u64) -> i64 {
    let current = i64::try_from(current).unwrap_or(i64::MAX);
    match former {
        Some(former) if current != 0 && former.abs_diff(current) <= former.unsigned_abs() / 20 => former,
        _ => current,
    }
}

/// Gigabytes with one decimal; what is smaller than that is below the quota's grain.
fn gigabytes(bytes: u64) -> f64 {
    let tenths = bytes / 100_000_000;
    f64::from(u32::try_from(tenths).unwrap_or(u32::MAX)) / 10.0
}

fn build_within_quota(usage: &TenantUsage) -> DesiredCondition<TenantReason> {
    if usage.over.is_empty() {
        return DesiredCondition::new(
            WITHIN_QUOTA,
            ConditionStatus::True,
            Reason::WithinQuota,
            "usage is below every quota",
        );
    }
    let over: Vec<_> = usage.over.iter().map(|quota| field_of(*quota)).collect();
    let message = format!("used up: {}; raise it, or let the tenant use less", over.join(", "));
    DesiredCondition::new(WITHIN_QUOTA, ConditionStatus::False, Reason::QuotaExceeded, message)
}

const fn field_of(quota: QuotaKind) -> &'static str {
    match quota {
        QuotaKind::ActiveInstances => "spec.quotas.maxActiveInstances",
        QuotaKind::JobsPerMinute => "spec.quotas.maxJobsPerMinute",
        QuotaKind::Storage => "spec.quotas.maxStorageGB",
        QuotaKind::JobTypes => "job types",
    }
}

/// When to look again. What nothing tells of (a RoleBinding, a Secret that is still to be deleted) is looked at after a while,
/// also where the tenant itself awaits a change.
#[must_use]
pub fn plan_next(assessment: &Assessment, status: &WorkflowTenantStatus) -> Next {
    let lacks = find(&status.conditions, CLIENT_ACCESS).is_some_and(|access| access.status == "False");
    match assessment.next {
        Next::Failed(ErrorClass::Invalid) if lacks => Next::Wait { recheck: RECHECK_CLIENTS },
        next => next,
    }
}

/// The events of a pass.
#[must_use]
pub fn build_events(
    tenant: &WorkflowTenant,
    former: &WorkflowTenantStatus,
    status: &WorkflowTenantStatus,
    assessment: &Assessment,
) -> Vec<Event> {
    let mut events: Vec<Event> =
        event_of_ready::<TenantReason>(&former.conditions, &status.conditions).into_iter().collect();
    let was_settled = former.ready && former.observed_generation == tenant.metadata.generation;
    if assessment.facts.adopted {
        events.push(Event {
            type_: EventType::Normal,
            reason: Reason::Adopted.as_str().to_owned(),
            note: format!(
                "tenant {} was in the engine already; this object manages it now",
                tenant.name_any()
            ),
        });
    } else if was_settled && assessment.facts.corrected {
        events.push(Event {
            type_: EventType::Normal,
            reason: Reason::DriftCorrected.as_str().to_owned(),
            note: "the tenant in the engine differed from the spec and was corrected".to_owned(),
        });
    }
    events.extend(build_client_event(former, status));
    events.extend(build_way_out(tenant, former, status));
    let is_over = |status: &WorkflowTenantStatus| {
        find(&status.conditions, WITHIN_QUOTA).filter(|c| c.status == "False").map(|c| c.message.clone())
    };
    if let Some(message) = is_over(status)
        && is_over(former).is_none()
    {
        events.push(Event {
            type_: EventType::Warning,
            reason: Reason::QuotaExceeded.as_str().to_owned(),
            note: format!("QuotaExceeded: {message}"),
        });
    }
    events
}

/// How to delete what runs, once: when the deletion begins to wait for it.
fn build_way_out(
    tenant: &WorkflowTenant,
    former: &WorkflowTenantStatus,
    status: &WorkflowTenantStatus,
) -> Option<Event> {
    let waits = |status: &WorkflowTenantStatus| {
        status.message.as_ref().is_some_and(|message| message.starts_with(WHAT_RUNS))
    };
    if waits(former) || !waits(status) {
        return None;
    }
    let (namespace, name) = (tenant.namespace().unwrap_or_default(), tenant.name_any());
    Some(Event {
        type_: EventType::Warning,
        reason: TenantReason::from(CommonReason::DeletionBlocked).as_str().to_owned(),
        note: format!(
            "DeletionBlocked: to cancel it all: \
             kubectl -n {namespace} patch wft {name} --type merge -p '{{\"spec\":{{\"deletionPolicy\":\"Purge\"}}}}'"
        ),
    })
}

/// The events of an object that has just been released.
#[must_use]
pub fn build_last_events(tenant: &WorkflowTenant, observed: &Observed, results: &Results) -> Vec<Event> {
    let of_tenant = build_last_event(tenant, observed, results);
    of_tenant.into_iter().chain(build_secrets_left(tenant, observed, results)).collect()
}

fn build_last_event(tenant: &WorkflowTenant, observed: &Observed, results: &Results) -> Option<Event> {
    if matches!(&observed.engine, EngineView::Unasked(Unasked::ClusterGone)) {
        let reason = Reason::LeftInDatabase;
        return Some(Event {
            type_: EventType::Warning,
            reason: reason.as_str().to_owned(),
            note: format!(
                "{reason}: tenant {} may still be in the database of its cluster, which is gone; the same object applied again takes it over",
                tenant.name_any()
            ),
        });
    }
    if is_forced(tenant) {
        let held = !matches!(&observed.engine, EngineView::Answered { tenant: None, .. });
        return held.then(|| Event {
            type_: EventType::Warning,
            reason: Reason::DeletionForced.as_str().to_owned(),
            note: format!("DeletionForced: tenant {} may still be in the engine", tenant.name_any()),
        });
    }
    let (reason, what) = match (tenant.spec.deletion_policy(), results.deleted.as_ref()?) {
        (TenantDeletionPolicy::Retain, TenantDeletion::Kept) => (Reason::Retained, "stays in the engine"),
        (TenantDeletionPolicy::Purge, TenantDeletion::Deleted) => {
            (Reason::Purged, "was deleted from the engine with everything that ran")
        }
        _ => return None,
    };
    Some(Event {
        type_: EventType::Normal,
        reason: reason.as_str().to_owned(),
        note: format!("tenant {} {what}", tenant.name_any()),
    })
}

#[cfg(test)]
mod tests;
