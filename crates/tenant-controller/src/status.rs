//! What the user is reported, and when to look again. Pure.

pub mod clients;

use std::time::Duration;

use api_types::WorkflowTenant;
use api_types::condition::{CLIENT_ACCESS, PAUSED, SYNCED, WITHIN_QUOTA};
use api_types::reason::{CommonReason, Reason as _};
use api_types::tenant::TenantReason as Reason;
use api_types::tenant::{TenantDeletionPolicy, TenantPhase, TenantReason, WorkflowTenantStatus};
use controller_kit::condition::{ConditionStatus, DesiredCondition, Readiness, find, merge, summary};
use controller_kit::events::{Event, EventType};
use controller_kit::message::bounded;
use controller_kit::outcome::{ErrorClass, Next};
use controller_kit::reference::Unasked;
use controller_kit::status::event_of_ready;
use engine_client::model::{PutOutcome, QuotaKind, TenantDeletion, TenantUsage};
use engine_client::{EngineError, ErrorClass as EngineClass};
use jiff::Timestamp;
use kube::ResourceExt as _;

use crate::cleanup::is_forced;
use crate::execute::{Applied, Failure};
use crate::observe::{EngineView, Observed, is_deleting};
use crate::plan::Plan;
use crate::validate::Verdict;
use clients::build_client_event;

/// Usage and engine-side drift are looked at this often.
pub const USAGE_INTERVAL: Duration = Duration::from_secs(30);
/// Each look lets the engine delete for some seconds; it goes on by itself as well.
pub const PURGE_RECHECK: Duration = Duration::from_secs(5);

/// Safety net: the cluster is watched.
const RECHECK_CLUSTER: Duration = Duration::from_mins(1);
/// RoleBindings and Secrets are not watched.
const RECHECK_CLIENTS: Duration = Duration::from_mins(1);

/// The pass in one judgement: status and next look both follow from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Assessment {
    /// Where the tenant is in its life.
    pub phase: TenantPhase,
    /// Ready, in progress or stalled.
    pub readiness: Readiness,
    /// Why.
    pub reason: TenantReason,
    /// The same for people.
    pub message: String,
    /// When to look again.
    pub next: Next,
}

/// Judges a pass; what comes first counts.
#[must_use]
pub fn assess(
    tenant: &WorkflowTenant,
    observed: &Observed,
    verdict: &Verdict,
    plan: &Plan,
    applied: &Applied,
) -> Assessment {
    if is_deleting(tenant) {
        return assess_deletion(observed, plan, applied);
    }
    let judged = |phase, readiness, reason, message: String, next| Assessment {
        phase,
        readiness,
        reason,
        message,
        next,
    };
    if let Err(violation) = verdict {
        let next = Next::Failed(ErrorClass::Invalid);
        return judged(TenantPhase::Failed, Readiness::Stalled, Reason::InvalidSpec, violation.clone(), next);
    }
    if let Err(refused) = &observed.cluster {
        let reason = Reason::ReferenceNotPermittedOrMissing;
        let next = Next::Failed(ErrorClass::Invalid);
        return judged(TenantPhase::Pending, Readiness::Stalled, reason, refused.to_string(), next);
    }
    if let Some(failure) = &applied.failure {
        return assess_failure(failure);
    }
    let settled = Next::Settled { resync: USAGE_INTERVAL };
    if tenant.spec.is_paused() {
        let message = "spec.paused is true: nothing is written to the engine".to_owned();
        let held = matches!(&observed.engine, EngineView::Answered { tenant: Some(_), .. });
        let (phase, readiness) = if held {
            (TenantPhase::Active, Readiness::Ready)
        } else {
            (TenantPhase::Pending, Readiness::InProgress)
        };
        return judged(phase, readiness, Reason::Paused, message, settled);
    }
    if let Some(wait) = &plan.wait {
        let next = Next::Wait { recheck: wait.recheck };
        return judged(TenantPhase::Pending, Readiness::InProgress, wait.reason, wait.message.clone(), next);
    }
    match &observed.engine {
        EngineView::NotAsked | EngineView::Unasked(_) => {
            let message = "the engine was not asked".to_owned();
            judged(
                TenantPhase::Pending,
                Readiness::InProgress,
                Reason::Reconciling,
                message,
                Next::Failed(ErrorClass::Transient),
            )
        }
        EngineView::NotReady(error) => {
            let next = Next::Failed(error.class());
            judged(
                TenantPhase::Pending,
                Readiness::InProgress,
                Reason::EngineCredentialsMissing,
                error.message(),
                next,
            )
        }
        EngineView::Failed(error) => assess_engine_error(error),
        EngineView::Answered { .. } if tenant.spec.is_suspended() => {
            let message = "spec.suspended is true: no new instances and no jobs; nothing is lost".to_owned();
            judged(TenantPhase::Suspended, Readiness::Ready, Reason::Suspended, message, settled)
        }
        EngineView::Answered { .. } => {
            let message = format!("tenant {} is in the engine as the spec says", tenant.name_any());
            judged(TenantPhase::Active, Readiness::Ready, Reason::Synced, message, settled)
        }
    }
}

fn assess_deletion(observed: &Observed, plan: &Plan, applied: &Applied) -> Assessment {
    let deleting = |reason, message: String, class| Assessment {
        phase: TenantPhase::Deleting,
        readiness: Readiness::InProgress,
        reason,
        message,
        next: Next::Failed(class),
    };
    let blocked = |message, class| deleting(Reason::DeletionBlocked, message, class);
    match (&applied.failure, &observed.engine) {
        (Some(Failure::Write(error)), _) if error.class() != ErrorClass::Conflict => {
            blocked(error.message(), error.class())
        }
        (Some(Failure::Engine(error)), _) if runs_still(error) => {
            blocked(format!("{WHAT_RUNS}: {}", error.message()), deletion_class(error))
        }
        (Some(Failure::Engine(error)), _) | (None, EngineView::Failed(error)) => {
            blocked(format!("the engine cannot delete the tenant: {error}"), deletion_class(error))
        }
        (None, EngineView::NotReady(error)) => {
            blocked(format!("the engine cannot be called: {}", error.message()), error.class())
        }
        (None, EngineView::Unasked(Unasked::NoEndpoint { cluster })) => {
            let message = format!(
                "WorkflowCluster {cluster} has no endpoint, so its engine cannot be asked; correct or delete that cluster"
            );
            let next = Next::Wait { recheck: RECHECK_CLUSTER };
            Assessment { next, ..blocked(message, ErrorClass::Transient) }
        }
        (None, EngineView::Unasked(Unasked::Unread { problem, class })) => blocked(problem.clone(), *class),
        _ if applied.deleted == Some(TenantDeletion::Purging) => {
            let message =
                "the engine is deleting what the tenant has; the object goes when nothing is left".to_owned();
            let next = Next::Wait { recheck: PURGE_RECHECK };
            Assessment { next, ..deleting(Reason::Deleting, message, ErrorClass::Conflict) }
        }
        _ if let Some(wait) = &plan.wait => {
            let next = Next::Wait { recheck: wait.recheck };
            Assessment { next, ..deleting(wait.reason, wait.message.clone(), ErrorClass::Transient) }
        }
        _ => {
            let message = "the tenant is deleted, the object goes next".to_owned();
            deleting(Reason::Deleting, message, ErrorClass::Conflict)
        }
    }
}

/// What to do comes first: of many processes the message names as many as fit.
const WHAT_RUNS: &str = "resolve or cancel what runs, or set spec.deletionPolicy to Purge";

/// Is the tenant kept because instances run?
fn runs_still(error: &EngineError) -> bool {
    matches!(error.class(), EngineClass::Precondition { reason } if reason == "INSTANCES_ACTIVE")
}

/// A deletion is never given up, whatever the engine says.
fn deletion_class(error: &EngineError) -> ErrorClass {
    match ErrorClass::of_engine(error) {
        ErrorClass::Invalid => ErrorClass::Denied,
        class => class,
    }
}

fn assess_failure(failure: &Failure) -> Assessment {
    match failure {
        Failure::Engine(error) => assess_engine_error(error),
        Failure::Write(error) => Assessment {
            phase: TenantPhase::Pending,
            readiness: match error.class() {
                ErrorClass::Transient | ErrorClass::Conflict => Readiness::InProgress,
                ErrorClass::Invalid | ErrorClass::Denied | ErrorClass::Contested | ErrorClass::Defect => {
                    Readiness::Stalled
                }
            },
            reason: error.class().reason().into(),
            message: error.message(),
            next: Next::Failed(error.class()),
        },
    }
}

fn assess_engine_error(error: &EngineError) -> Assessment {
    /// Another object owns the tenant's name. Nothing tells us when it gives it up.
    const RECHECK_OWNER: Next = Next::Wait { recheck: std::time::Duration::from_mins(5) };
    let failed = Next::Failed(ErrorClass::of_engine(error));
    let (phase, readiness, reason, next) = match error.class() {
        EngineClass::Unavailable | EngineClass::Stale => {
            (TenantPhase::Degraded, Readiness::InProgress, Reason::EngineUnreachable, failed)
        }
        EngineClass::AlreadyOwned => {
            (TenantPhase::Failed, Readiness::Stalled, CommonReason::NameTaken.into(), RECHECK_OWNER)
        }
        // What a former tenant of this name left is still being deleted.
        EngineClass::Precondition { reason } if reason == "TENANT_BEING_DELETED" => {
            let next = Next::Wait { recheck: PURGE_RECHECK };
            (TenantPhase::Pending, Readiness::InProgress, Reason::Reconciling, next)
        }
        EngineClass::Denied => {
            (TenantPhase::Degraded, Readiness::Stalled, Reason::EngineCredentialsMissing, failed)
        }
        EngineClass::Unsupported => {
            (TenantPhase::Failed, Readiness::Stalled, Reason::NotSupportedByEngine, failed)
        }
        EngineClass::Invalid
        | EngineClass::NotFound
        | EngineClass::Precondition { .. }
        | EngineClass::QuotaExceeded { .. } => {
            (TenantPhase::Failed, Readiness::Stalled, Reason::RejectedByEngine, failed)
        }
        EngineClass::Corrupt | EngineClass::Internal => {
            (TenantPhase::Degraded, Readiness::Stalled, Reason::InternalError, failed)
        }
    };
    let what_to_do = match error.class() {
        EngineClass::AlreadyOwned => {
            "; a WorkflowTenant of this name uses the same engine: delete that one, or rename this one"
        }
        _ => "",
    };
    Assessment { phase, readiness, reason, message: format!("{error}{what_to_do}"), next }
}

/// The whole status.
#[must_use]
pub fn build_status(
    tenant: &WorkflowTenant,
    observed: &Observed,
    assessment: &Assessment,
    now: Timestamp,
) -> WorkflowTenantStatus {
    let former = tenant.status.clone().unwrap_or_default();
    let generation = tenant.metadata.generation;
    // An engine that is away does not undo what it holds; else an outage would rewrite every status twice.
    if assessment.reason == Reason::EngineUnreachable
        && former.ready
        && former.observed_generation == generation
    {
        return former;
    }
    let Assessment { phase, readiness, reason, message, .. } = assessment;
    let mut wanted = summary(*readiness, *reason, message);
    if tenant.spec.is_paused() {
        wanted.push(DesiredCondition::new(
            PAUSED,
            ConditionStatus::True,
            Reason::Paused,
            "spec.paused is true",
        ));
    }
    let synced = *readiness == Readiness::Ready;
    let synced_reason = if synced { Reason::Synced } else { *reason };
    wanted.push(DesiredCondition::new(
        SYNCED,
        if synced { ConditionStatus::True } else { ConditionStatus::False },
        synced_reason,
        message,
    ));
    let usage = match &observed.engine {
        EngineView::Answered { usage, .. } => usage.as_ref(),
        _ => None,
    };
    wanted.extend(usage.map(build_within_quota));
    let used = |read: fn(&TenantUsage) -> u64, former: Option<i64>| {
        usage.map_or(former, |usage| Some(steady(former, read(usage))))
    };
    WorkflowTenantStatus {
        observed_generation: generation,
        phase: Some(*phase),
        ready: synced,
        message: Some(bounded(message)),
        conditions: merge(&former.conditions, wanted, generation, now),
        current_instances: used(|usage| usage.active_instances, former.current_instances),
        current_jobs_per_minute: used(|usage| usage.jobs_last_minute, former.current_jobs_per_minute),
        client_key_id: former.client_key_id,
        current_storage_gb: usage
            .map_or(former.current_storage_gb, |usage| Some(gigabytes(usage.storage_bytes))),
        client_namespaces: former.client_namespaces,
    }
}

/// The former figure while the new one is within five percent of it: usage moves all the time, and a status that moves
/// with it would be a write per interval and tenant. Zero is always told.
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
pub fn build_events(tenant: &WorkflowTenant, status: &WorkflowTenantStatus, applied: &Applied) -> Vec<Event> {
    let former = tenant.status.clone().unwrap_or_default();
    let mut reported: Vec<Event> =
        event_of_ready::<TenantReason>(&former.conditions, &status.conditions).into_iter().collect();
    let was_settled = former.ready && former.observed_generation == tenant.metadata.generation;
    if applied.put.is_some_and(|put| put.adopted) {
        reported.push(Event {
            type_: EventType::Normal,
            reason: Reason::Adopted.as_str().to_owned(),
            note: format!(
                "tenant {} was in the engine already; this object manages it now",
                tenant.name_any()
            ),
        });
    } else if was_settled && applied.put.is_some_and(|put| put.outcome != PutOutcome::Unchanged) {
        reported.push(Event {
            type_: EventType::Normal,
            reason: Reason::DriftCorrected.as_str().to_owned(),
            note: "the tenant in the engine differed from the spec and was corrected".to_owned(),
        });
    }
    reported.extend(build_client_event(&former, status));
    reported.extend(build_way_out(tenant, &former, status));
    let is_over = |status: &WorkflowTenantStatus| {
        controller_kit::condition::find(&status.conditions, WITHIN_QUOTA)
            .filter(|c| c.status == "False")
            .map(|c| c.message.clone())
    };
    if let Some(message) = is_over(status)
        && is_over(&former).is_none()
    {
        reported.push(Event {
            type_: EventType::Warning,
            reason: Reason::QuotaExceeded.as_str().to_owned(),
            note: format!("QuotaExceeded: {message}"),
        });
    }
    reported
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

/// The news of an object whose last step removed its finalizer.
#[must_use]
pub fn build_last_events(tenant: &WorkflowTenant, observed: &Observed, applied: &Applied) -> Option<Event> {
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
    let (reason, what) = match (tenant.spec.deletion_policy(), applied.deleted.as_ref()?) {
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
