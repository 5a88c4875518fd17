//! How a new template reaches the pods: one pod at a time by the StatefulSet's partition, each step only while the
//! engine as a whole is healthy. A canary is the same with a longer look at the first step.

use controller_kit::plan::Doomed;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ApiResource;
use semver::Version;

use super::Blueprint;
use super::migration::Migration;
use super::stateful_set::{self, changes_template, version_of};
use crate::observe::Observed;
use crate::observe::children::{is_observed, is_rolling};
use crate::observe::pods::PodView;
use crate::observe::postgres::PostgresView;

/// Where the pods stand, and the next step.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollout {
    /// Version of the pod template; `None` while there must be no StatefulSet yet.
    pub version: Option<Version>,
    /// Pods below this ordinal keep the former template. Equal to the replicas when nothing is rolled: a new template
    /// then begins with nobody.
    pub partition: i32,
    /// Pods that are stuck on a former template although their turn has come.
    pub stuck: Vec<Doomed>,
    /// Some pod is not of the latest template.
    pub is_rolling: bool,
    /// What this plan changes on a StatefulSet that exists.
    pub change: Change,
}

/// What a plan changes on a StatefulSet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Replicas from and to.
    pub scale: Option<(i32, i32)>,
    /// The pod template.
    pub template: bool,
}

/// Plans the next step of the roll.
#[must_use]
pub fn plan_rollout(blueprint: &Blueprint<'_>, observed: &Observed, migration: &Migration) -> Rollout {
    let live = observed.children.stateful_set.as_deref();
    let target = &blueprint.target.version;
    let version = if migration.admits_target() { Some(target.clone()) } else { live.and_then(version_of) };
    let replicas = blueprint.cluster.spec.replicas;
    let (Some(version), Some(live)) = (version.clone(), live) else {
        return Rollout {
            version,
            partition: replicas,
            stuck: Vec::new(),
            is_rolling: false,
            change: Change::default(),
        };
    };
    let template = changes_template(&stateful_set::build(blueprint, &version, replicas), live);
    let former = live.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let partition = if template { replicas } else { next_partition(replicas, live, observed) };
    Rollout {
        version: Some(version),
        partition,
        stuck: if template { Vec::new() } else { stuck_pods(live, &observed.pods) },
        is_rolling: template || is_rolling(live),
        change: Change { scale: (former != replicas).then_some((former, replicas)), template },
    }
}

/// One step down when everything above it is done and the engine is healthy.
fn next_partition(replicas: i32, live: &StatefulSet, observed: &Observed) -> i32 {
    let current = partition_of(live).min(replicas);
    if !is_observed(live) {
        return current;
    }
    if !is_rolling(live) {
        return replicas;
    }
    if !matches!(observed.postgres, PostgresView::Reachable(_)) {
        return current;
    }
    let pods = || observed.pods.iter().filter(|pod| pod.ordinal.is_some());
    if !pods().any(|pod| pod.ready) {
        // Nobody serves: there is nothing to protect, and waiting for health would be waiting for ever.
        return 0;
    }
    let revision = update_revision(live);
    let is_done = |ordinal: i32| {
        pods().any(|pod| {
            pod.ordinal == Some(ordinal)
                && pod.ready
                && !pod.terminating
                && pod.revision.as_deref() == revision
        })
    };
    if (current..replicas).all(is_done) && observed.engine.is_serving() {
        (current - 1).max(0)
    } else {
        current
    }
}

/// Kubernetes waits for such a pod for ever in some versions and settings, even after its template was corrected.
fn stuck_pods(live: &StatefulSet, pods: &[PodView]) -> Vec<Doomed> {
    if !is_observed(live) || !is_rolling(live) {
        return Vec::new();
    }
    let (partition, revision) = (partition_of(live), update_revision(live));
    pods.iter()
        .filter(|pod| pod.ordinal.is_some_and(|ordinal| ordinal >= partition))
        .filter(|pod| !pod.ready && !pod.terminating && pod.revision.as_deref() != revision)
        .map(|pod| Doomed {
            resource: ApiResource::erase::<Pod>(&()),
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            uid: pod.uid.clone(),
        })
        .collect()
}

fn update_revision(live: &StatefulSet) -> Option<&str> {
    live.status.as_ref()?.update_revision.as_deref()
}

fn partition_of(live: &StatefulSet) -> i32 {
    let strategy = live.spec.as_ref().and_then(|spec| spec.update_strategy.as_ref());
    strategy
        .and_then(|strategy| strategy.rolling_update.as_ref())
        .and_then(|rolling| rolling.partition)
        .unwrap_or(0)
}

#[cfg(test)]
mod tests;
