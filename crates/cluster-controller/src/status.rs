//! What the user is reported, and when to look again. Pure.

mod assess;
mod facts;

use std::time::Duration;

pub use assess::{
    assess, assess_cleanup, assess_deletion, assess_refusal, assess_stuck_deletion, assess_unread,
};
pub use facts::Facts;

use api_types::cluster::{ClusterPhase, ClusterReason, WorkflowClusterStatus};
use api_types::condition::{
    PAUSED, POSTGRES_ENCRYPTED, READY, RECONCILING, ROTATING_CREDENTIALS, STALLED, SUPPORTED,
};
use api_types::labels::{Component, selector, selector_text};
use api_types::reason::Reason as _;
use api_types::{MAX_MESSAGE_CHARS, WorkflowCluster, names};
use controller_kit::condition::{ConditionStatus, DesiredCondition, Readiness, find, merge, summary};
use controller_kit::events::{Event, EventType};
use controller_kit::message::bounded;
use controller_kit::outcome::{ErrorClass, Next};
use controller_kit::status::{event_of_condition, event_of_ready};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt as _;

/// What no watch shows is found after this time: a database that went away, a rotated Secret, a new CRD.
pub const RESYNC: Duration = Duration::from_mins(1);

/// The pass in one judgement: status, events and next look follow from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Assessment {
    /// Where the cluster is in its life.
    pub phase: ClusterPhase,
    /// Ready, in progress or stalled.
    pub readiness: Readiness,
    /// Why.
    pub reason: ClusterReason,
    /// The same for people.
    pub message: String,
    /// When to look again.
    pub next: Next,
    /// What was seen; `None` when nothing was, and what is known stays.
    pub facts: Option<Facts>,
    /// What was done and is worth telling, beside the change of `Ready`.
    pub event: Vec<Event>,
}

/// The whole status.
#[must_use]
pub fn build_status(
    cluster: &WorkflowCluster,
    assessment: &Assessment,
    now: Timestamp,
) -> WorkflowClusterStatus {
    let former = cluster.status.clone().unwrap_or_default();
    if keeps_former(cluster, &former, assessment) {
        return former;
    }
    let generation = cluster.metadata.generation;
    let Assessment { phase, readiness, reason, message, facts, .. } = assessment;
    let mut wanted = summary(*readiness, *reason, message);
    if cluster.spec.is_paused() {
        wanted.push(DesiredCondition::new(
            PAUSED,
            ConditionStatus::True,
            ClusterReason::Paused,
            "spec.paused is true",
        ));
    }
    if *reason == ClusterReason::FieldsNotActedOn {
        wanted.push(DesiredCondition::new(SUPPORTED, ConditionStatus::False, *reason, message));
    }
    let mut status = match facts {
        Some(facts) => {
            wanted.extend(facts.conditions.iter().cloned());
            facts.fields(&former)
        }
        None => former.clone(),
    };
    status.conditions = merge(&former.conditions, wanted, generation, now);
    if facts.is_none() {
        status.conditions.extend(former.conditions.iter().filter(|condition| is_domain(condition)).cloned());
        status.conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
        status.conditions.dedup_by(|a, b| a.type_ == b.type_);
        status.accepts_deployments = false;
    }
    status.observed_generation = generation;
    status.phase = Some(*phase);
    status.ready = *readiness == Readiness::Ready;
    status.message = Some(bounded(message));
    status.selector = Some(selector_text(&selector(Component::Engine, &cluster.name_any())));
    status.version_key = status.version.as_deref().map(names::version_key);
    status
}

fn is_domain(condition: &Condition) -> bool {
    ![READY, RECONCILING, STALLED, PAUSED, SUPPORTED].contains(&condition.type_.as_str())
}

/// A Kubernetes API that does not answer for a moment says nothing about the engine.
fn keeps_former(cluster: &WorkflowCluster, former: &WorkflowClusterStatus, assessment: &Assessment) -> bool {
    assessment.facts.is_none()
        && assessment.next == Next::Failed(ErrorClass::Transient)
        && former.ready
        && former.observed_generation == cluster.metadata.generation
}

/// The events of a pass.
#[must_use]
pub fn build_events(
    cluster: &WorkflowCluster,
    status: &WorkflowClusterStatus,
    assessment: &Assessment,
) -> Vec<Event> {
    let former = cluster.status.clone().unwrap_or_default();
    // Whom a deletion waits for changes by the second: that it waits is reported once.
    let is_reported = |event: &Event| {
        assessment.reason == ClusterReason::AwaitingDependants
            && find(&former.conditions, READY).is_some_and(|ready| ready.reason == event.reason)
    };
    let mut reported: Vec<Event> = event_of_ready::<ClusterReason>(&former.conditions, &status.conditions)
        .into_iter()
        .filter(|event| !is_reported(event))
        .collect();
    reported.extend(assessment.event.iter().cloned());
    reported.extend(build_rotation_event(&former.conditions, &status.conditions));
    for type_ in [SUPPORTED, POSTGRES_ENCRYPTED] {
        let event = event_of_condition::<ClusterReason>(type_, &former.conditions, &status.conditions);
        reported.extend(event.filter(|event| !reported.iter().any(|other| other.reason == event.reason)));
    }
    reported
}

/// Where the replacement of tokens and keys is now, each stage once.
fn build_rotation_event(former: &[Condition], current: &[Condition]) -> Option<Event> {
    let reason_of = |conditions| find(conditions, ROTATING_CREDENTIALS).map(|found| found.reason.clone());
    if reason_of(former) == reason_of(current) {
        return None;
    }
    Some(match find(current, ROTATING_CREDENTIALS) {
        Some(found) if found.reason == ClusterReason::CredentialsHeld.as_str() => Event {
            type_: EventType::Warning,
            note: format!("{}: {}", found.reason, found.message),
            reason: found.reason.clone(),
        },
        Some(found) => {
            Event { type_: EventType::Normal, note: found.message.clone(), reason: found.reason.clone() }
        }
        None => Event {
            type_: EventType::Normal,
            reason: ClusterReason::CredentialsRetired.as_str().to_owned(),
            note: "the former tokens and keys are no longer accepted".to_owned(),
        },
    })
}

const _: () =
    assert!(MAX_MESSAGE_CHARS == controller_kit::message::MAX_CHARS, "status and schema must agree");

#[cfg(test)]
mod tests;
