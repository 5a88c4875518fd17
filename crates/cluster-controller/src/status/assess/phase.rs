//! The phase of a cluster that serves, changes, or has a problem.

use api_types::WorkflowCluster;
use api_types::cluster::ClusterPhase;

use super::Judge;

impl Judge<'_> {
    /// Pods are missing or not ready.
    pub(super) fn missing_pods_phase(&self) -> ClusterPhase {
        if has_run(self.cluster) && !self.is_upgrading() {
            ClusterPhase::Degraded
        } else {
            self.moving_phase()
        }
    }

    fn is_upgrading(&self) -> bool {
        let record = self.plan.upgrade.record.as_ref();
        let is_on_its_way =
            record.is_some_and(|record| record.from != record.to && record.stage.is_on_its_way());
        let former = self.cluster.status.as_ref().and_then(|status| status.version.as_ref());
        is_on_its_way || former.is_some_and(|former| *former != self.cluster.spec.version)
    }

    pub(super) fn settled_phase(&self) -> ClusterPhase {
        if self.cluster.spec.engine_pods() == 0 { ClusterPhase::Stopped } else { ClusterPhase::Running }
    }

    /// Something changes, and nothing is wrong with that.
    pub(super) fn moving_phase(&self) -> ClusterPhase {
        if !has_run(self.cluster) {
            ClusterPhase::Provisioning
        } else if self.is_upgrading() {
            ClusterPhase::Upgrading
        } else if self.observed.children.ready_replicas() > 0 {
            ClusterPhase::Running
        } else if self.cluster.spec.engine_pods() == 0 {
            ClusterPhase::Stopped
        } else if self.is_starting() {
            ClusterPhase::Provisioning
        } else {
            ClusterPhase::Degraded
        }
    }

    /// The engine was stopped before, and no pod has been ready since.
    fn is_starting(&self) -> bool {
        let former = self.cluster.status.as_ref().and_then(|status| status.phase);
        matches!(former, Some(ClusterPhase::Stopped | ClusterPhase::Provisioning))
    }

    /// Something is wrong; `never_ran` unless the engine served before.
    pub(super) fn problem_phase(&self, never_ran: ClusterPhase) -> ClusterPhase {
        match (has_run(self.cluster), never_ran) {
            (true, ClusterPhase::Failed) if self.observed.children.ready_replicas() == 0 => {
                ClusterPhase::Failed
            }
            (true, _) => ClusterPhase::Degraded,
            (false, never_ran) => never_ran,
        }
    }
}

pub(super) fn has_run(cluster: &WorkflowCluster) -> bool {
    cluster.status.as_ref().is_some_and(|status| status.version.is_some())
}
