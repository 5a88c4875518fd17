//! What the pass calls for a WorkflowCluster, room by room.

use api_types::WorkflowCluster;
use api_types::cluster::{ClusterPhase, ClusterReason, WorkflowClusterStatus};
use api_types::labels::CLUSTER_CONTROLLER;
use controller_kit::events::Event;
use controller_kit::pass::{Flow, Kind, OwnStatus, Scene};
use controller_kit::problem::{MissingPermission, Problem};
use engine_access::grant::{NamespaceRole, missing_permission};
use jiff::Timestamp;
use kube::ResourceExt as _;

use crate::cleanup::build_left_event;
use crate::context::Context;
use crate::execute::{Results, execute_step};
use crate::observe::{View, observe};
use crate::plan::{ClusterPlan, ClusterStep, Step, plan_pass};
use crate::status::{
    Assessment, Facts, assess_deletion, assess_pass, assess_unread, build_events, build_own_status,
    keep_status,
};
use crate::validate::{Target, validate};

/// WorkflowClusters, as the pass sees them.
pub struct Clusters {
    /// What it works with.
    pub context: Context,
}

/// The result of a plan.
pub type Applied = controller_kit::pass::Applied<Clusters>;

impl Kind for Clusters {
    type Object = WorkflowCluster;
    type Status = WorkflowClusterStatus;
    type Phase = ClusterPhase;
    type Reason = ClusterReason;
    type Spec = Target;
    type Observed = View;
    type OwnStep = ClusterStep;
    type Plan = ClusterPlan;
    type Results = Results;
    type Facts = Option<Facts>;

    const FINALIZER: Option<&'static str> = Some(CLUSTER_CONTROLLER.finalizer);

    fn validate(cluster: &WorkflowCluster) -> Result<Target, Problem<ClusterReason>> {
        validate(cluster)
    }

    async fn observe(
        &self,
        cluster: &WorkflowCluster,
        spec: &Result<Target, Problem<ClusterReason>>,
    ) -> Result<View, Problem<ClusterReason>> {
        observe(&self.context, cluster, spec).await
    }

    fn plan(&self, scene: &Scene<'_, Self>) -> ClusterPlan {
        plan_pass(scene.object, scene.spec, &self.context.settings, scene.observed, scene.now)
    }

    fn is_independent(_step: &Step) -> bool {
        true
    }

    async fn execute_step(
        &self,
        scene: &Scene<'_, Self>,
        step: &ClusterStep,
        applied: &mut Applied,
    ) -> Result<Flow, Problem<ClusterReason>> {
        execute_step(&self.context, scene, step, applied).await
    }

    fn assess(scene: &Scene<'_, Self>, plan: &ClusterPlan, applied: &Applied) -> Assessment {
        assess_pass(scene, plan, applied)
    }

    fn assess_unread(cluster: &WorkflowCluster, problem: &Problem<ClusterReason>) -> Assessment {
        assess_unread(cluster, problem)
    }

    fn assess_released(_cluster: &WorkflowCluster) -> Option<Assessment> {
        Some(assess_deletion())
    }

    fn is_paused(cluster: &WorkflowCluster) -> bool {
        cluster.spec.is_paused()
    }

    fn keep_status(
        cluster: &WorkflowCluster,
        former: &WorkflowClusterStatus,
        assessment: &Assessment,
        _now: Timestamp,
    ) -> Option<WorkflowClusterStatus> {
        keep_status(cluster, former, assessment)
    }

    fn build_own_status(
        cluster: &WorkflowCluster,
        former: &WorkflowClusterStatus,
        assessment: &Assessment,
        _now: Timestamp,
    ) -> OwnStatus<Self> {
        build_own_status(cluster, former, assessment)
    }

    fn build_events(
        _cluster: &WorkflowCluster,
        former: &WorkflowClusterStatus,
        status: &WorkflowClusterStatus,
        assessment: &Assessment,
    ) -> Vec<Event> {
        build_events(former, status, assessment)
    }

    fn build_last_events(scene: &Scene<'_, Self>, _applied: &Applied) -> Vec<Event> {
        match scene.observed {
            View::Remains(remains) => {
                build_left_event(scene.object, remains, scene.now).into_iter().collect()
            }
            View::World(_) | View::Jobs(_) => Vec::new(),
        }
    }

    fn missing_permission(error: &kube::Error) -> Option<MissingPermission> {
        missing_permission(error, NamespaceRole::Cluster)
    }

    fn forget(&self, cluster: &WorkflowCluster) {
        self.context.postgres.forget(&cluster.uid().unwrap_or_default());
    }
}
