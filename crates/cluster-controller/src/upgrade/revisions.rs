//! Which template the engine's pods were made from. The truth is on the pods: the StatefulSet's own revisions are equal
//! again as soon as its template is a former one, whatever its pods run, and its status may be lost.

use k8s_openapi::api::apps::v1::StatefulSet;

use crate::observe::Observed;
use crate::observe::children::{Children, is_observed};
use crate::observe::pods::PodView;

/// The revision that every pod shall have; `None` until Kubernetes has seen the latest template.
#[must_use]
pub fn wanted_revision(set: &StatefulSet) -> Option<&str> {
    set.status.as_ref().filter(|_| is_observed(set))?.update_revision.as_deref()
}

/// A pod that is lost is made anew with the wanted revision, at any ordinal.
#[must_use]
pub fn restores_wanted(set: &StatefulSet) -> bool {
    let current = set.status.as_ref().and_then(|status| status.current_revision.as_deref());
    wanted_revision(set).is_some_and(|wanted| current == Some(wanted))
}

/// Kubernetes has not seen the latest template yet, or some pod is not of it, or a lost pod would not be.
#[must_use]
pub fn is_rolling(set: &StatefulSet, pods: &[PodView]) -> bool {
    !restores_wanted(set) || !is_uniform(set, pods)
}

/// Kubernetes has seen the latest template, and every pod that is there is of it, ready or not.
#[must_use]
pub fn is_uniform(set: &StatefulSet, pods: &[PodView]) -> bool {
    let Some(wanted) = wanted_revision(set) else { return false };
    let replicas = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let is_foreign = |pod: &PodView| {
        pod.ordinal.is_some_and(|ordinal| ordinal < replicas) && pod.revision.as_deref() != Some(wanted)
    };
    !pods.iter().any(is_foreign)
}

/// Every pod is there, of the wanted revision and ready, and there is no other one.
#[must_use]
pub fn is_rolled_out(children: &Children, pods: &[PodView], replicas: i32) -> bool {
    let Some(set) = children.stateful_set() else { return false };
    let Some(wanted) = wanted_revision(set).filter(|_| !is_rolling(set, pods)) else { return false };
    let engines = || pods.iter().filter(|pod| pod.ordinal.is_some());
    let mut ordinals: Vec<_> = engines().filter_map(|pod| pod.ordinal).collect();
    ordinals.sort_unstable();
    set.spec.as_ref().and_then(|spec| spec.replicas) == Some(replicas)
        && set.status.as_ref().is_some_and(|status| status.replicas == replicas)
        && children.ready_replicas() == replicas
        && ordinals.into_iter().eq(0..replicas)
        && engines().all(|pod| pod.is_good(wanted))
}

impl PodView {
    /// Of this revision, ready, and not on its way out.
    #[must_use]
    pub fn is_good(&self, revision: &str) -> bool {
        self.revision.as_deref() == Some(revision) && self.health.is_ready() && !self.terminating
    }
}

impl Observed {
    /// The engine's pods, without those of migrations.
    pub fn engine_pods(&self) -> impl Iterator<Item = &PodView> {
        self.pods.iter().filter(|pod| pod.ordinal.is_some())
    }

    /// See [`is_rolled_out`].
    #[must_use]
    pub fn is_rolled_out(&self, replicas: i32) -> bool {
        is_rolled_out(&self.children, &self.pods, replicas)
    }

    /// How many pods have the wanted revision.
    #[must_use]
    pub fn replaced_pods(&self) -> usize {
        let set = self.children.stateful_set();
        let Some(wanted) = set.and_then(wanted_revision) else { return 0 };
        self.engine_pods().filter(|pod| pod.revision.as_deref() == Some(wanted) && !pod.terminating).count()
    }

    /// The version that every pod runs, by the pods' own labels; `None` while they differ, or while there is no pod.
    #[must_use]
    pub fn running_version(&self) -> Option<&str> {
        let mut versions = self.engine_pods().map(|pod| pod.version.as_deref());
        let first = versions.next()??;
        versions.all(|version| version == Some(first)).then_some(first)
    }
}

#[cfg(test)]
mod tests;
