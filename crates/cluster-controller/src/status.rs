//! What the user is told, and when to look again. Pure.

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
use controller_kit::condition::{Standing, Truth, Wanted, find, merge, summary};
use controller_kit::events::{EventType, News};
use controller_kit::message::bounded;
use controller_kit::outcome::{ErrorClass, Next};
use controller_kit::status::{news, news_of};
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
    pub standing: Standing,
    /// Why.
    pub reason: ClusterReason,
    /// The same for people.
    pub message: String,
    /// When to look again.
    pub next: Next,
    /// What was seen; `None` when nothing was, and what is known stays.
    pub facts: Option<Facts>,
    /// What was done and is worth telling, beside the change of `Ready`.
    pub news: Vec<News>,
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
    let Assessment { phase, standing, reason, message, facts, .. } = assessment;
    let mut wanted = summary(*standing, *reason, message);
    if cluster.spec.is_paused() {
        wanted.push(Wanted::new(PAUSED, Truth::True, ClusterReason::Paused, "spec.paused is true"));
    }
    if *reason == ClusterReason::FieldsNotActedOn {
        wanted.push(Wanted::new(SUPPORTED, Truth::False, *reason, message));
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
    status.ready = *standing == Standing::Ready;
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
pub fn build_news(
    cluster: &WorkflowCluster,
    status: &WorkflowClusterStatus,
    assessment: &Assessment,
) -> Vec<News> {
    let former = cluster.status.clone().unwrap_or_default();
    // Whom a deletion waits for changes by the second: that it waits is told once.
    let is_told = |news: &News| {
        assessment.reason == ClusterReason::AwaitingDependants
            && find(&former.conditions, READY).is_some_and(|ready| ready.reason == news.reason)
    };
    let mut told: Vec<News> = news::<ClusterReason>(&former.conditions, &status.conditions)
        .into_iter()
        .filter(|news| !is_told(news))
        .collect();
    told.extend(assessment.news.iter().cloned());
    told.extend(tell_rotation(&former.conditions, &status.conditions));
    for type_ in [SUPPORTED, POSTGRES_ENCRYPTED] {
        let news = news_of::<ClusterReason>(type_, &former.conditions, &status.conditions);
        told.extend(news.filter(|news| !told.iter().any(|other| other.reason == news.reason)));
    }
    told
}

/// Where the replacement of tokens and keys is now, each stage once.
fn tell_rotation(former: &[Condition], current: &[Condition]) -> Option<News> {
    let reason_of = |conditions| find(conditions, ROTATING_CREDENTIALS).map(|found| found.reason.clone());
    if reason_of(former) == reason_of(current) {
        return None;
    }
    Some(match find(current, ROTATING_CREDENTIALS) {
        Some(found) if found.reason == ClusterReason::CredentialsHeld.as_str() => News {
            type_: EventType::Warning,
            note: format!("{}: {}", found.reason, found.message),
            reason: found.reason.clone(),
        },
        Some(found) => {
            News { type_: EventType::Normal, note: found.message.clone(), reason: found.reason.clone() }
        }
        None => News {
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
