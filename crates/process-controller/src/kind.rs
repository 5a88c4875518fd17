//! What the pass calls for a WorkflowProcess, room by room.

use api_types::WorkflowProcess;
use api_types::labels::PROCESS_CONTROLLER;
use api_types::process::{ProcessPhase, ProcessReason, WorkflowProcessStatus};
use controller_kit::events::Event;
use controller_kit::pass::{Applied, Flow, Kind, OwnStatus, Scene, is_deleting};
use controller_kit::problem::Problem;
use jiff::Timestamp;
use kube::ResourceExt as _;

use crate::context::Context;
use crate::document::SourceView;
use crate::execute::{Results, execute_step};
use crate::observe::{Observed, observe, observe_source};
use crate::plan::{Plan, ProcessStep, plan};
use crate::source::Reading;
use crate::status::{
    Assessment, Facts, assess, build_events, build_last_events, build_own_status, keep_status,
};
use crate::validate::validate;

/// WorkflowProcesses, as the pass sees them.
pub struct Processes {
    /// What it works with.
    pub context: Context,
}

impl Kind for Processes {
    type Object = WorkflowProcess;
    type Status = WorkflowProcessStatus;
    type Phase = ProcessPhase;
    type Reason = ProcessReason;
    type Spec = ();
    type Observed = Observed;
    type OwnStep = ProcessStep;
    type Plan = Plan;
    type Results = Results;
    type Facts = Facts;

    const FINALIZER: Option<&'static str> = Some(PROCESS_CONTROLLER.finalizer);

    fn validate(process: &WorkflowProcess) -> Result<(), Problem<ProcessReason>> {
        validate(process)
    }

    async fn observe(
        &self,
        process: &WorkflowProcess,
        spec: &Result<(), Problem<ProcessReason>>,
    ) -> Result<Observed, Problem<ProcessReason>> {
        let context = &self.context;
        let (source, failure) = if spec.is_ok() && !is_deleting(process) {
            let Reading { latest, failure } = observe_source(context, process).await;
            // Computed, not read: but which process the engine is asked about is known after it.
            (context.linter.judge(latest, process.spec.validation()).await, failure)
        } else {
            self.forget(process);
            (SourceView::NotRead, None)
        };
        Ok(observe(context, process, source, failure).await)
    }

    fn plan(&self, scene: &Scene<'_, Self>) -> Plan {
        plan(scene.object, scene.spec, scene.observed)
    }

    async fn execute_step(
        &self,
        scene: &Scene<'_, Self>,
        step: &ProcessStep,
        applied: &mut Applied<Self>,
    ) -> Result<Flow, Problem<ProcessReason>> {
        execute_step(&self.context, scene, step, applied).await
    }

    fn assess(scene: &Scene<'_, Self>, plan: &Plan, applied: &Applied<Self>) -> Assessment {
        assess(scene.object, scene.spec, scene.observed, plan, &applied.failures, &applied.results)
    }

    fn assess_unread(_process: &WorkflowProcess, problem: &Problem<ProcessReason>) -> Assessment {
        Assessment::of_problem(ProcessPhase::Pending, problem)
    }

    fn is_paused(process: &WorkflowProcess) -> bool {
        process.spec.is_paused()
    }

    fn keep_status(
        process: &WorkflowProcess,
        former: &WorkflowProcessStatus,
        assessment: &Assessment,
        now: Timestamp,
    ) -> Option<WorkflowProcessStatus> {
        keep_status(process, former, assessment, now)
    }

    fn build_own_status(
        _process: &WorkflowProcess,
        former: &WorkflowProcessStatus,
        assessment: &Assessment,
        now: Timestamp,
    ) -> OwnStatus<Self> {
        build_own_status(former, assessment, now)
    }

    fn build_events(
        process: &WorkflowProcess,
        former: &WorkflowProcessStatus,
        status: &WorkflowProcessStatus,
        assessment: &Assessment,
    ) -> Vec<Event> {
        build_events(process, former, status, assessment)
    }

    fn forget(&self, process: &WorkflowProcess) {
        self.context.forget_sources(&process.uid().unwrap_or_default(), None);
    }

    fn build_last_events(scene: &Scene<'_, Self>, applied: &Applied<Self>) -> Vec<Event> {
        build_last_events(scene.object, scene.observed, &applied.results).into_iter().collect()
    }
}
