//! How a new template reaches the pods: one pod at a time by the StatefulSet's partition, each step only while every pod
//! that has the template is ready and the engine answers that it is healthy. Readiness is a pod's own judgement of itself;
//! that answer is the same of whichever pod gave it, over the way that callers go.

use api_types::cluster::{ClusterReason, StableTemplate};
use controller_kit::plan::Deletion;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use kube::api::ApiResource;
use semver::Version;

use super::revisions::{is_rolling, restores_wanted, wanted_revision};
use crate::children::BuildInput;
use crate::children::stateful_set::{self, applied_digest, changes_template, version_of};
use crate::observe::Observed;
use crate::observe::pods::PodView;
use crate::observe::postgres::PostgresView;

/// The pod template of the StatefulSet.
#[derive(Clone, Debug, PartialEq)]
pub enum EngineTemplate {
    /// As the spec says, at this version.
    Wanted(Version),
    /// As it was before an upgrade.
    Former {
        /// Version of the engine.
        version: Version,
        /// Digest under which it was applied.
        digest: String,
        /// The template itself; `None` = it is lost, and what the spec says at that version takes its place.
        template: Option<Box<PodTemplateSpec>>,
    },
}

impl EngineTemplate {
    /// The template that every pod had last: as its ControllerRevision holds it, or as it still is on the StatefulSet.
    #[must_use]
    pub fn of_stable(stable: &StableTemplate, observed: &Observed) -> Option<Self> {
        let is_live = |set: &&StatefulSet| applied_digest(set) == Some(stable.template_digest.as_str());
        let live = || {
            let set = observed.children.stateful_set().filter(is_live)?;
            set.spec.as_ref().map(|spec| spec.template.clone())
        };
        Some(Self::Former {
            version: stable.version.parse().ok()?,
            digest: stable.template_digest.clone(),
            template: observed.stable_template.clone().or_else(live).map(Box::new),
        })
    }

    /// The template as it is on the StatefulSet.
    #[must_use]
    pub fn of_live(set: &StatefulSet) -> Option<Self> {
        Some(Self::Former {
            version: version_of(set)?,
            digest: applied_digest(set)?.to_owned(),
            template: set.spec.as_ref().map(|spec| Box::new(spec.template.clone())),
        })
    }

    /// Version of the engine.
    #[must_use]
    pub fn version(&self) -> &Version {
        match self {
            Self::Wanted(version) | Self::Former { version, .. } => version,
        }
    }
}

/// Where the pods stand, and the next step.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollout {
    /// The pod template; `None` while there must be no StatefulSet yet.
    pub template: Option<EngineTemplate>,
    /// How many pods there shall be after this pass.
    pub size: i32,
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

/// Plans the next step of the roll. At most `limit` pods may get the template.
#[must_use]
pub fn plan_rollout(
    input: &BuildInput<'_>,
    observed: &Observed,
    template: Option<EngineTemplate>,
    limit: Option<i32>,
) -> Rollout {
    let wanted = input.cluster.spec.engine_pods();
    let (Some(template), Some(live)) = (&template, observed.children.stateful_set()) else {
        return Rollout {
            template,
            size: wanted,
            partition: wanted,
            stuck: Vec::new(),
            is_rolling: false,
            change: Change::default(),
        };
    };
    let former = live.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    // On a database that is another's no pod is added.
    let wanted = if is_anothers(&observed.postgres) { wanted.min(former) } else { wanted };
    let replicas = next_size(wanted, former, observed);
    let changes = changes_template(&stateful_set::build(input, template, replicas, replicas), live);
    let replaces = changes || replicas > former;
    let lowest = match limit {
        None => 0,
        // Where it is.
        Some(0) => partition_of(live),
        Some(pods) => (replicas - pods).max(0),
    };
    Rollout {
        size: replicas,
        // Pods that are added in the middle of a roll begin with the former template, as all others did.
        partition: if replaces { replicas } else { next_partition(replicas, live, observed).max(lowest) },
        stuck: if changes { Vec::new() } else { stuck_pods(replicas, live, observed) },
        is_rolling: changes || is_rolling(live, &observed.pods),
        change: Change { scale: (former != replicas).then_some((former, replicas)), template: changes },
        template: Some(template.clone()),
    }
}

fn is_anothers(postgres: &PostgresView) -> bool {
    matches!(postgres, PostgresView::Unusable(problem) if problem.reason == ClusterReason::DatabaseInUse)
}

/// Pods are taken away one by one, so that each hands over what it does before the next one ends. All end at once when
/// nobody shall serve. None begins before a managed Postgres is awake.
fn next_size(wanted: i32, former: i32, observed: &Observed) -> i32 {
    let is_reachable = matches!(observed.postgres, PostgresView::Reachable(_));
    if former == 0 && observed.managed.is_some() && !is_reachable {
        return 0;
    }
    if wanted == 0 || wanted >= former {
        return wanted;
    }
    let is_ending = |pod: &PodView| pod.terminating || pod.ordinal.is_some_and(|ordinal| ordinal >= former);
    if observed.engine_pods().any(is_ending) { former } else { former - 1 }
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
