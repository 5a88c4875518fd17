//! A small model of Kubernetes' StatefulSet controller (of 1.34; `Parallel`, `RollingUpdate`) for property tests. A revision is
//! named by the image of its template; an image with `bad` in its name makes pods that never become ready.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::PodTemplateSpec;

/// A pod of the set.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ModelPod {
    pub(crate) revision: String,
    pub(crate) ready: bool,
    pub(crate) since: Timestamp,
}

/// Names the revision of a template.
pub(crate) fn revision_of(template: &PodTemplateSpec) -> String {
    template.spec.as_ref().unwrap().containers[0].image.clone().unwrap()
}

/// The set as an apply of `desired` leaves it.
pub(crate) fn applied(mut desired: StatefulSet, former: Option<StatefulSet>) -> StatefulSet {
    let generation = former.as_ref().and_then(|set| set.metadata.generation).unwrap_or_default();
    let is_changed = former.as_ref().is_none_or(|former| former.spec != desired.spec);
    desired.metadata.uid = Some("uid-set".to_owned());
    desired.status = former.and_then(|former| former.status);
    desired.metadata.generation = Some(generation + i64::from(is_changed));
    desired
}

/// `updateStatefulSet` of the StatefulSet controller; then pods of good templates become ready.
pub(crate) fn sync(set: &mut StatefulSet, pods: &mut BTreeMap<i32, ModelPod>, now: Timestamp) {
    let spec = set.spec.clone().unwrap();
    let (replicas, update) = (spec.replicas.unwrap(), revision_of(&spec.template));
    let partition = spec.update_strategy.unwrap().rolling_update.unwrap().partition.unwrap();
    let former = set.status.clone().unwrap_or_default();
    // A status that was lost begins with the latest revision.
    let current = former.current_revision.unwrap_or_else(|| update.clone());
    for ordinal in 0..replicas {
        let revision = if ordinal < partition { &current } else { &update };
        let made = ModelPod { revision: revision.clone(), ready: false, since: now };
        pods.entry(ordinal).or_insert(made);
    }
    pods.retain(|ordinal, _| *ordinal < replicas);
    for ordinal in (partition..replicas).rev() {
        let found = &pods[&ordinal];
        if found.revision != update {
            pods.remove(&ordinal);
            break;
        }
        if !found.ready {
            break;
        }
    }
    for found in pods.values_mut() {
        found.ready = !found.revision.contains("bad");
    }
    let count = |is: &dyn Fn(&ModelPod) -> bool| {
        i32::try_from(pods.values().filter(|found| is(found)).count()).unwrap()
    };
    let (all, ready) = (count(&|_| true), count(&|found| found.ready));
    let updated = count(&|found| found.revision == update);
    let is_complete = [all, ready, updated] == [replicas; 3];
    let status = set.status.get_or_insert_default();
    status.observed_generation = set.metadata.generation;
    (status.replicas, status.ready_replicas, status.updated_replicas) = (all, Some(ready), Some(updated));
    status.current_revision = Some(if is_complete { update.clone() } else { current });
    status.update_revision = Some(update);
}
