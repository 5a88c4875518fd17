//! Pods that do not start, and why: a Deployment tells that only after ten minutes, and not in detail.

use std::time::Duration;

use api_types::WorkflowWorker;
use api_types::labels::{Component, selector, selector_text};
use api_types::worker::WorkerReason;
use controller_kit::problem::Problem;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};

use super::unread;
use crate::context::Context;

/// A container that ended longer ago has left the kubelet's backoff, and its past is not reported.
const CRASH_MEMORY: Duration = Duration::from_mins(10);

/// The Deployment's own label for the pods of one template.
const TEMPLATE_HASH: &str = "pod-template-hash";

/// A pod that does not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StuckPod {
    /// Its name.
    pub pod: String,
    /// The kubelet's or the scheduler's word for it, for instance `ImagePullBackOff`; what is wrong with the pod's own
    /// configuration in the kubelet's words.
    pub state: String,
}

/// Looks at the pods only while some are missing.
pub async fn observe_stuck_pod(
    context: &Context,
    worker: &WorkflowWorker,
    namespace: &str,
    deployment: Option<&Deployment>,
) -> Result<Option<StuckPod>, Problem<WorkerReason>> {
    if deployment.is_none_or(is_complete) {
        return Ok(None);
    }
    let api: Api<Pod> = Api::namespaced(context.client.clone(), namespace);
    let own = selector_text(&selector(Component::Worker, &worker.name_any()));
    let pods = api.list(&ListParams::default().labels(&own)).await;
    let pods = pods.map_err(|error| unread(&format!("the pods {own} in {namespace}"), &error))?;
    Ok(find_stuck(&pods.items, context.clock.now()))
}

pub(super) fn is_complete(deployment: &Deployment) -> bool {
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let status = deployment.status.clone().unwrap_or_default();
    let (exist, available) = (status.replicas.unwrap_or(0), status.available_replicas.unwrap_or(0));
    exist == wanted && available == wanted
}

/// The first by name, so that the message stays the same while several are stuck. Pods of a former template do not
/// count: they are being replaced, and the current template may be the correction of what is wrong with them.
fn find_stuck(pods: &[Pod], now: Timestamp) -> Option<StuckPod> {
    let newest = pods.iter().max_by_key(|pod| pod.creation_timestamp())?;
    let is_current = |pod: &&Pod| {
        pod.metadata.deletion_timestamp.is_none()
            && pod.labels().get(TEMPLATE_HASH) == newest.labels().get(TEMPLATE_HASH)
    };
    let stuck = pods.iter().filter(is_current).filter_map(|pod| {
        let state = stuck_state(pod, now)?;
        Some(StuckPod { pod: pod.name_any(), state })
    });
    stuck.min_by(|a, b| a.pod.cmp(&b.pod))
}

fn stuck_state(pod: &Pod, now: Timestamp) -> Option<String> {
    let status = pod.status.as_ref()?;
    let unscheduled = status.conditions.iter().flatten().find(|condition| {
        condition.type_ == "PodScheduled" && condition.reason.as_deref() == Some("Unschedulable")
    });
    if unscheduled.is_some() {
        return Some("Unschedulable".to_owned());
    }
    status.container_statuses.iter().flatten().find_map(|container| container_state(container, now))
}

fn container_state(container: &ContainerStatus, now: Timestamp) -> Option<String> {
    let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
    let reported = waiting.and_then(|waiting| waiting.message.as_deref()).unwrap_or_default();
    match waiting.and_then(|waiting| waiting.reason.as_deref()) {
        Some("ContainerCreating" | "PodInitializing") => None,
        Some(reason @ "CreateContainerConfigError") => Some(format!("{reason}: {reported}")),
        // The kubelet alternates between the attempt and the pause after it: one word for both.
        Some("ErrImagePull") => Some("ImagePullBackOff".to_owned()),
        Some(reason) => Some(reason.to_owned()),
        None => is_crashing(container, now).then(|| "CrashLoopBackOff".to_owned()),
    }
}

/// Between two crashes a container runs, and looks well.
fn is_crashing(container: &ContainerStatus, now: Timestamp) -> bool {
    let last = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    let ended = last.and_then(|terminated| terminated.finished_at.as_ref());
    container.restart_count > 1
        && ended.is_some_and(|ended| now.duration_since(ended.0).unsigned_abs() < CRASH_MEMORY)
}

#[cfg(test)]
mod tests;
