//! What the pass calls for a WorkflowWorker, room by room.

use std::convert::Infallible;

use api_types::WorkflowWorker;
use api_types::worker::{WorkerPhase, WorkerReason, WorkflowWorkerStatus};
use controller_kit::outcome::Next;
use controller_kit::pass::{Flow, Kind, OwnStatus, Scene};
use controller_kit::problem::{MissingPermission, Problem};
use engine_access::grant::{NamespaceRole, missing_permission};
use jiff::Timestamp;

use crate::context::Context;
use crate::observe::{Observed, observe};
use crate::plan::{Plan, plan};
use crate::status::fleet::Facts;
use crate::status::{
    Assessment, assess, assess_unread, build_own_status, complete_status, keep_status, plan_next,
};
use crate::validate::{Fleet, validate};

/// WorkflowWorkers, as the pass sees them. When one is deleted, the garbage collector deletes its children.
pub struct Workers {
    /// What it works with.
    pub context: Context,
}

/// The result of a plan.
pub type Applied = controller_kit::pass::Applied<Workers>;

impl Kind for Workers {
    type Object = WorkflowWorker;
    type Status = WorkflowWorkerStatus;
    type Phase = WorkerPhase;
    type Reason = WorkerReason;
    type Spec = Fleet;
    type Observed = Observed;
    type OwnStep = Infallible;
    type Plan = Plan;
    type Results = ();
    type Facts = Option<Facts>;

    const FINALIZER: Option<&'static str> = None;

    fn validate(worker: &WorkflowWorker) -> Result<Fleet, Problem<WorkerReason>> {
        validate(worker)
    }

    async fn observe(
        &self,
        worker: &WorkflowWorker,
        _spec: &Result<Fleet, Problem<WorkerReason>>,
    ) -> Result<Observed, Problem<WorkerReason>> {
        observe(&self.context, worker).await
    }

    fn plan(&self, scene: &Scene<'_, Self>) -> Plan {
        plan(scene.object, scene.observed, scene.spec)
    }

    async fn execute_step(
        &self,
        _scene: &Scene<'_, Self>,
        step: &Infallible,
        _applied: &mut Applied,
    ) -> Result<Flow, Problem<WorkerReason>> {
        match *step {}
    }

    fn assess(scene: &Scene<'_, Self>, plan: &Plan, applied: &Applied) -> Assessment {
        assess(scene.object, scene.observed, scene.spec, plan, applied)
    }

    fn assess_unread(worker: &WorkflowWorker, problem: &Problem<WorkerReason>) -> Assessment {
        assess_unread(worker, problem)
    }

    fn is_paused(worker: &WorkflowWorker) -> bool {
        worker.spec.is_paused()
    }

    fn keep_status(
        worker: &WorkflowWorker,
        former: &WorkflowWorkerStatus,
        assessment: &Assessment,
        _now: Timestamp,
    ) -> Option<WorkflowWorkerStatus> {
        keep_status(worker, former, assessment)
    }

    fn build_own_status(
        worker: &WorkflowWorker,
        former: &WorkflowWorkerStatus,
        assessment: &Assessment,
        _now: Timestamp,
    ) -> OwnStatus<Self> {
        build_own_status(worker, former, assessment)
    }

    fn complete_status(
        worker: &WorkflowWorker,
        status: WorkflowWorkerStatus,
        assessment: &Assessment,
        now: Timestamp,
    ) -> WorkflowWorkerStatus {
        complete_status(worker, status, assessment, now)
    }

    fn plan_next(
        worker: &WorkflowWorker,
        assessment: &Assessment,
        status: &WorkflowWorkerStatus,
        now: Timestamp,
    ) -> Next {
        plan_next(worker, assessment, status, now)
    }

    fn missing_permission(error: &kube::Error) -> Option<MissingPermission> {
        missing_permission(error, NamespaceRole::Workload)
    }
}
