//! The engine runs, and none of its pods starts or ends, so that at most one is away at a time, also while a node is
//! drained. A pod that is not well is not waited for: the next template may be what mends it.

use api_types::cluster::UpgradeStage;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::ResourceExt as _;

use super::Scene;
use crate::observe::Observed;
use crate::observe::obstacles::PodOwner;
use crate::observe::pods::{PodView, UNSCHEDULABLE};
use crate::upgrade::health::has_time_to_start;

pub(super) fn closed(scene: &Scene<'_>) -> Option<String> {
    if scene.input.cluster.spec.engine_pods() == 0 {
        // A plan that has not begun does not wait for pods that shall not be there.
        let has_begun = matches!(scene.record.stage, UpgradeStage::Canary | UpgradeStage::Rolling);
        return has_begun.then(|| "the engine is started".to_owned());
    }
    let moving = scene.observed.engine_pods().find(|pod| is_moving(pod, scene.now));
    match moving {
        Some(pod) if pod.terminating => Some(format!("engine pod {} has ended", pod.name)),
        Some(pod) => Some(format!("engine pod {} is ready", pod.name)),
        None => missing_pod(scene.observed).map(|name| format!("engine pod {name} is made")),
    }
}

fn is_moving(pod: &PodView, now: Timestamp) -> bool {
    // Where a node is drained, another one may have room in a moment.
    let may_start = pod.problem.as_deref().is_none_or(|problem| problem == UNSCHEDULABLE);
    pod.terminating || (may_start && has_time_to_start(pod, now))
}

/// One that Kubernetes is about to make, and does not refuse to.
fn missing_pod(observed: &Observed) -> Option<String> {
    let set = observed.children.stateful_set()?;
    let name = set.name_any();
    if observed.obstacles.failed_create(PodOwner::StatefulSet, &name).is_some() {
        return None;
    }
    let is_there = |ordinal: &i32| observed.engine_pods().any(|pod| pod.ordinal == Some(*ordinal));
    (0..replicas_of(set)).find(|ordinal| !is_there(ordinal)).map(|ordinal| format!("{name}-{ordinal}"))
}

fn replicas_of(set: &StatefulSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}
