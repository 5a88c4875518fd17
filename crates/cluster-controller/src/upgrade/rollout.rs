//! How a new template reaches the pods: one pod at a time by the StatefulSet's partition, each step only while every pod
//! that has the template is ready and the engine answers that it is healthy. Readiness is a pod's own judgement of itself;
//! that answer is the same of whichever pod gave it, over the way that callers go. A canary is the same with a longer look
//! at the first step.

use controller_kit::plan::Deletion;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ApiResource;
use semver::Version;

use super::migration::Migration;
use super::revisions::{is_rolling, restores_wanted, wanted_revision};
use crate::children::BuildInput;
use crate::children::stateful_set::{self, changes_template, version_of};
use crate::observe::Observed;
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
    /// Pods of another template that do not serve, and that Kubernetes would make anew from the wanted one.
    pub stuck: Vec<Deletion>,
    /// Some pod is not of the wanted template.
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
pub fn plan_rollout(input: &BuildInput<'_>, observed: &Observed, migration: &Migration) -> Rollout {
    let live = observed.children.stateful_set();
    let target = &input.target.version;
    let version = if migration.admits_target() { Some(target.clone()) } else { live.and_then(version_of) };
    let replicas = input.cluster.spec.replicas;
    let (Some(version), Some(live)) = (version.clone(), live) else {
        return Rollout {
            version,
            partition: replicas,
            stuck: Vec::new(),
            is_rolling: false,
            change: Change::default(),
        };
    };
    let template = changes_template(&stateful_set::build(input, &version, replicas), live);
    let former = live.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let replaces = template || replicas > former;
    Rollout {
        version: Some(version),
        // Pods that are added in the middle of a roll begin with the former template, as all others did.
        partition: if replaces { replicas } else { next_partition(replicas, live, observed) },
        stuck: if template { Vec::new() } else { stuck_pods(replicas, live, observed) },
        is_rolling: template || is_rolling(live, &observed.pods),
        change: Change { scale: (former != replicas).then_some((former, replicas)), template },
    }
}

/// One step down when every pod that has the wanted template is good and the engine is healthy. A step goes to the
/// highest pod that needs one: those that have the wanted template already, for instance on the way back to it, are left
/// alone.
fn next_partition(replicas: i32, live: &StatefulSet, observed: &Observed) -> i32 {
    let current = partition_of(live).min(replicas);
    let Some(wanted) = wanted_revision(live) else { return current };
    if !is_rolling(live, &observed.pods) {
        return replicas;
    }
    if !matches!(observed.postgres, PostgresView::Reachable(_)) {
        return current;
    }
    if !observed.engine_pods().any(|pod| pod.health.is_ready()) {
        // Nobody serves: there is nothing to protect, and waiting for health would be waiting for ever.
        return 0;
    }
    let pod_at = |ordinal: i32| observed.engine_pods().find(|pod| pod.ordinal == Some(ordinal));
    let needs_step = |ordinal: &i32| match pod_at(*ordinal) {
        Some(pod) if pod.revision.as_deref() != Some(wanted) => true,
        // What is made below the partition is of the former template, unless that is the wanted one again.
        Some(pod) => pod.terminating && !restores_wanted(live),
        None => !restores_wanted(live),
    };
    let Some(next) = (0..current).rev().find(needs_step) else { return current };
    let has_wanted = |pod: &&PodView| pod.revision.as_deref() == Some(wanted);
    let is_done = (current..replicas).all(|ordinal| pod_at(ordinal).is_some_and(|pod| pod.is_good(wanted)))
        && observed.engine_pods().filter(has_wanted).all(|pod| pod.is_good(wanted));
    let serves = pod_at(next).is_some_and(|pod| pod.health.is_ready());
    if is_done && (observed.engine.is_serving() || !serves) { next } else { current }
}

/// Kubernetes waits for such a pod for ever in some versions and settings, even after its template was corrected, and
/// below the partition in all of them.
fn stuck_pods(replicas: i32, live: &StatefulSet, observed: &Observed) -> Vec<Deletion> {
    let Some(wanted) = wanted_revision(live) else { return Vec::new() };
    // While Postgres is away, pods that are not ready are not stuck.
    let is_reachable = matches!(observed.postgres, PostgresView::Reachable(_));
    let is_stuck = |pod: &&PodView| {
        !pod.health.is_ready() && !pod.terminating && (is_reachable || pod.problem.is_some())
    };
    let partition = if restores_wanted(live) { 0 } else { partition_of(live) };
    observed
        .engine_pods()
        .filter(|pod| pod.ordinal.is_some_and(|ordinal| (partition..replicas).contains(&ordinal)))
        .filter(|pod| pod.revision.as_deref() != Some(wanted))
        .filter(is_stuck)
        .map(|pod| Deletion {
            resource: ApiResource::erase::<Pod>(&()),
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            uid: pod.uid.clone(),
        })
        .collect()
}

fn partition_of(live: &StatefulSet) -> i32 {
    let strategy = live.spec.as_ref().and_then(|spec| spec.update_strategy.as_ref());
    strategy
        .and_then(|strategy| strategy.rolling_update.as_ref())
        .and_then(|rolling| rolling.partition)
        .unwrap_or(0)
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
