//! The pods of a cluster.

use api_types::WorkflowCluster;
use api_types::cluster::ClusterReason;
use api_types::labels::{Component, VERSION, selector, selector_text};
use backup_format::Outcome;
use controller_kit::plan::is_controlled_by;
use controller_kit::problem::Problem;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};

use super::children::{Children, is_finished};
use super::unread;
use crate::context::Context;

/// What the plan needs to know of a pod.
#[derive(Clone, Debug, PartialEq)]
pub struct PodView {
    /// Name.
    pub name: String,
    /// Namespace.
    pub namespace: String,
    /// The uid that was seen.
    pub uid: String,
    /// Place in the StatefulSet; `None` for a pod of a migration.
    pub ordinal: Option<i32>,
    /// Revision of the template that it was made from.
    pub revision: Option<String>,
    /// Version of what it runs.
    pub version: Option<String>,
    /// Its health, as it says itself.
    pub health: PodHealth,
    /// It is being deleted.
    pub terminating: bool,
    /// Why it cannot start, if Kubernetes says so: `ImagePullBackOff`, `Unschedulable`, …
    pub problem: Option<String>,
    /// How often its containers ended.
    pub restarts: i32,
}

/// What a pod says of itself. That is its readiness, as Kubernetes asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodHealth {
    /// Ready to serve.
    Ready,
    /// It does not serve.
    Unready {
        /// Since when, if that is known.
        since: Option<Timestamp>,
    },
}

impl PodHealth {
    /// Is it ready to serve?
    #[must_use]
    pub const fn is_ready(self) -> bool {
        matches!(self, Self::Ready)
    }
}

/// Lists the engine's pods, always: the StatefulSet's counts do not tell what each of them runs. The pods of migrations
/// only while a Job is not finished.
pub async fn observe_pods(
    context: &Context,
    cluster: &WorkflowCluster,
    children: &Children,
) -> Result<Vec<PodView>, Problem<ClusterReason>> {
    let (engine, migration) = futures::try_join!(
        async {
            let Some(set) = children.stateful_set() else { return Ok(Vec::new()) };
            list(context, cluster, Component::Engine, |pod| may_own(set, pod)).await
        },
        async {
            if children.jobs.iter().all(|job| is_finished(job)) {
                return Ok(Vec::new());
            }
            list(context, cluster, Component::Migration, |_| true).await
        },
    )?;
    Ok(engine.into_iter().chain(migration).collect())
}

async fn list(
    context: &Context,
    cluster: &WorkflowCluster,
    component: Component,
    belongs: impl Fn(&Pod) -> bool,
) -> Result<Vec<PodView>, Problem<ClusterReason>> {
    let namespace = cluster.namespace().unwrap_or_default();
    let api: Api<Pod> = Api::namespaced(context.client.clone(), &namespace);
    let labels = selector_text(&selector(component, &cluster.name_any()));
    let listed = api.list(&ListParams::default().labels(&labels)).await;
    let listed = listed.map_err(|error| unread(&format!("Pods {labels} in {namespace}"), &error))?;
    let mut pods: Vec<PodView> = listed.items.iter().filter(|pod| belongs(pod)).map(view).collect();
    pods.sort_by(|a, b| (a.ordinal, &a.name).cmp(&(b.ordinal, &b.name)));
    Ok(pods)
}

/// The pod of the newest attempt of a restore, while it is there, and what the last attempt that ended left.
pub async fn observe_restore_pods(
    context: &Context,
    cluster: &WorkflowCluster,
    job: &Job,
) -> Result<(Option<PodView>, Option<Outcome>), Problem<ClusterReason>> {
    let namespace = cluster.namespace().unwrap_or_default();
    let api: Api<Pod> = Api::namespaced(context.client.clone(), &namespace);
    let labels = selector_text(&selector(Component::Restore, &cluster.name_any()));
    let listed = api.list(&ListParams::default().labels(&labels)).await;
    let mut pods = listed.map_err(|error| unread(&format!("Pods {labels} in {namespace}"), &error))?.items;
    pods.retain(|pod| is_controlled_by(&pod.metadata, &job.uid().unwrap_or_default()));
    pods.sort_by_key(|pod| (pod.creation_timestamp().map(|time| time.0), pod.name_any()));
    let outcome = pods.iter().rev().find_map(|pod| {
        let mut containers = pod.status.as_ref()?.container_statuses.iter().flatten();
        let ended = containers.find_map(|container| container.state.as_ref()?.terminated.as_ref())?;
        serde_json::from_str(ended.message.as_deref()?).ok()
    });
    let is_ended = |pod: &&Pod| {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        matches!(phase, Some("Succeeded" | "Failed"))
    };
    Ok((pods.last().filter(|pod| !is_ended(pod)).map(view), outcome))
}

/// Reads one pod.
#[must_use]
pub fn view(pod: &Pod) -> PodView {
    let name = pod.name_any();
    let labels = pod.labels();
    let is_engine = labels.contains_key("apps.kubernetes.io/pod-index")
        || labels.contains_key("controller-revision-hash");
    PodView {
        ordinal: if is_engine {
            name.rsplit('-').next().and_then(|ordinal| ordinal.parse().ok())
        } else {
            None
        },
        namespace: pod.namespace().unwrap_or_default(),
        uid: pod.uid().unwrap_or_default(),
        revision: labels.get("controller-revision-hash").cloned(),
        version: labels.get(VERSION).cloned(),
        health: health(pod),
        terminating: pod.metadata.deletion_timestamp.is_some(),
        problem: problem(pod),
        restarts: restarts(pod),
        name,
    }
}

fn health(pod: &Pod) -> PodHealth {
    let since = match condition(pod, "Ready") {
        Some(ready) if ready.status == "True" => return PodHealth::Ready,
        Some(ready) => ready.last_transition_time.as_ref(),
        None => pod.metadata.creation_timestamp.as_ref(),
    };
    PodHealth::Unready { since: since.map(|time| time.0) }
}

fn condition<'a>(pod: &'a Pod, type_: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.iter().flatten().find(|condition| condition.type_ == type_)
}

fn restarts(pod: &Pod) -> i32 {
    let containers = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    containers.map(|container| container.restart_count).sum()
}

/// Kubernetes' word for a pod that fits on no node.
pub const UNSCHEDULABLE: &str = "Unschedulable";
/// Kubernetes' words for a container that is being created.
const PASSING: [&str; 2] = ["ContainerCreating", "PodInitializing"];

fn problem(pod: &Pod) -> Option<String> {
    let unschedulable = condition(pod, "PodScheduled").filter(|scheduled| scheduled.status == "False");
    if let Some(scheduled) = unschedulable {
        return Some(scheduled.reason.clone().unwrap_or_else(|| UNSCHEDULABLE.to_owned()));
    }
    let mut containers = pod.status.as_ref()?.container_statuses.iter().flatten();
    containers.find_map(problem_of_pod)
}

/// Kubernetes alternates between two words for a container that cannot start. Always the same one is reported, so that
/// the status does not alternate, too.
fn problem_of_pod(container: &ContainerStatus) -> Option<String> {
    match waiting_reason(container) {
        Some(reason) if reason == "ErrImagePull" => Some("ImagePullBackOff".to_owned()),
        Some(reason) if !PASSING.contains(&reason.as_str()) => Some(reason),
        _ if container.restart_count > 1 && !container.ready => Some("CrashLoopBackOff".to_owned()),
        _ => None,
    }
}

fn waiting_reason(container: &ContainerStatus) -> Option<String> {
    container.state.as_ref()?.waiting.as_ref()?.reason.clone()
}

/// Whether the StatefulSet may own this pod: it does, or nobody does yet.
#[must_use]
pub fn may_own(set: &StatefulSet, pod: &Pod) -> bool {
    let mut owners = pod.owner_references().iter();
    owners
        .find(|owner| owner.controller == Some(true))
        .is_none_or(|owner| set.uid().as_deref() == Some(&owner.uid))
}

#[cfg(test)]
mod tests;
