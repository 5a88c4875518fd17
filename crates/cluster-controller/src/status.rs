//! What the user is reported, and when to look again. Pure.

mod assess;
mod facts;

use std::time::Duration;

pub use assess::{
    assess, assess_cleanup, assess_deletion, assess_pass, assess_refusal, assess_stuck_deletion,
    assess_unread,
};
pub use facts::Facts;

use api_types::cluster::{ClusterPhase, ClusterReason, WorkflowClusterStatus};
use api_types::condition::{
    PAUSED, POSTGRES_ENCRYPTED, READY, RECONCILING, ROTATING_CREDENTIALS, STALLED, SUPPORTED,
};
use api_types::labels::{Component, REQUEST, selector, selector_text};
use api_types::reason::Reason as _;
use api_types::{WorkflowCluster, grammar, names};
use controller_kit::condition::{Readiness, find};
use controller_kit::events::{Event, EventType};
use controller_kit::outcome::{ErrorClass, Next};
use controller_kit::pass::OwnStatus;
use controller_kit::status::{event_of_condition, event_of_ready};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt as _;

use crate::kind::Clusters;

/// What no watch shows is found after this time: a database that went away, a rotated Secret, a new CRD.
pub const RESYNC: Duration = Duration::from_mins(1);

/// A pass in one value; its facts are `None` when nothing was seen, and what is known stays.
pub type Assessment = controller_kit::assessment::Assessment<ClusterPhase, ClusterReason, Option<Facts>>;

/// What a cluster has beside the head of its status.
#[must_use]
pub fn build_own_status(
    cluster: &WorkflowCluster,
    former: &WorkflowClusterStatus,
    assessment: &Assessment,
) -> OwnStatus<Clusters> {
    let mut own: OwnStatus<Clusters> = match &assessment.facts {
        Some(facts) => {
            OwnStatus { fields: facts.fields(former), conditions: facts.conditions.clone(), kept: Vec::new() }
        }
        None => OwnStatus {
            fields: WorkflowClusterStatus { accepts_deployments: false, ..former.clone() },
            conditions: Vec::new(),
            kept: former.conditions.iter().filter(|condition| is_domain(condition)).cloned().collect(),
        },
    };
    own.fields.selector = Some(selector_text(&selector(Component::Engine, &cluster.name_any())));
    own.fields.stalled = assessment.readiness == Readiness::Stalled;
    own.fields.observed_request = observed_request(cluster);
    own.fields.version_key = own.fields.version.as_deref().map(names::version_key);
    own
}

/// What is no word of the schema is not repeated.
fn observed_request(cluster: &WorkflowCluster) -> Option<String> {
    let request = cluster.annotations().get(REQUEST)?;
    (!request.is_empty() && grammar::is_label_value(request)).then(|| request.clone())
}

fn is_domain(condition: &Condition) -> bool {
    ![READY, RECONCILING, STALLED, PAUSED, SUPPORTED].contains(&condition.type_.as_str())
}

/// A Kubernetes API that does not answer for a moment says nothing about the engine, and neither does a claim that is being
/// written for one that runs: it was made without one before.
#[must_use]
pub fn keep_status(
    cluster: &WorkflowCluster,
    former: &WorkflowClusterStatus,
    assessment: &Assessment,
) -> Option<WorkflowClusterStatus> {
    let says_nothing = match &assessment.facts {
        None => assessment.next == Next::Failed(ErrorClass::Transient),
        Some(facts) => facts.claims_database && matches!(assessment.next, Next::Wait { .. }),
    };
    let is_kept = says_nothing && former.ready && former.observed_generation == cluster.metadata.generation;
    is_kept.then(|| former.clone())
}

/// The events of a pass.
#[must_use]
pub fn build_events(
    former: &WorkflowClusterStatus,
    status: &WorkflowClusterStatus,
    assessment: &Assessment,
) -> Vec<Event> {
    // Whom a deletion waits for changes by the second: that it waits is reported once.
    let is_known = |event: &Event| {
        assessment.reason == ClusterReason::AwaitingDependants
            && find(&former.conditions, READY).is_some_and(|ready| ready.reason == event.reason)
    };
    let mut events: Vec<Event> = event_of_ready::<ClusterReason>(&former.conditions, &status.conditions)
        .into_iter()
        .filter(|event| !is_known(event))
        .collect();
    events.extend(assessment.facts.iter().flat_map(|facts| &facts.events).cloned());
    events.extend(build_rotation_event(&former.conditions, &status.conditions));
    for type_ in [SUPPORTED, POSTGRES_ENCRYPTED] {
        let event = event_of_condition::<ClusterReason>(type_, &former.conditions, &status.conditions);
        events.extend(event.filter(|event| !events.iter().any(|other| other.reason == event.reason)));
    }
    events
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

#[cfg(test)]
mod tests;
