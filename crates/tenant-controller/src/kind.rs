//! What the pass calls for a WorkflowTenant, room by room.

use api_types::WorkflowTenant;
use api_types::labels::TENANT_CONTROLLER;
use api_types::tenant::{TenantPhase, TenantReason, WorkflowTenantStatus};
use controller_kit::events::Event;
use controller_kit::outcome::Next;
use controller_kit::pass::{Applied, Flow, Kind, OwnStatus, Scene};
use controller_kit::problem::{MissingPermission, Problem};
use engine_access::grant::{NamespaceRole, missing_permission};
use jiff::Timestamp;
use kube::ResourceExt as _;

use crate::context::Context;
use crate::execute::{Results, execute_step};
use crate::observe::{Observed, observe};
use crate::plan::{Plan, Step, TenantStep, is_independent, plan};
use crate::status::{
    Assessment, Facts, assess, build_events, build_last_events, build_own_status, keep_status, plan_next,
};
use crate::validate::validate;

/// WorkflowTenants, as the pass sees them.
pub struct Tenants {
    /// What it works with.
    pub context: Context,
}

impl Kind for Tenants {
    type Object = WorkflowTenant;
    type Status = WorkflowTenantStatus;
    type Phase = TenantPhase;
    type Reason = TenantReason;
    type Spec = ();
    type Observed = Observed;
    type OwnStep = TenantStep;
    type Plan = Plan;
    type Results = Results;
    type Facts = Facts;

    const FINALIZER: Option<&'static str> = Some(TENANT_CONTROLLER.finalizer);

    fn validate(tenant: &WorkflowTenant) -> Result<(), Problem<TenantReason>> {
        validate(tenant)
    }

    async fn observe(
        &self,
        tenant: &WorkflowTenant,
        spec: &Result<(), Problem<TenantReason>>,
    ) -> Result<Observed, Problem<TenantReason>> {
        Ok(observe(&self.context, tenant, spec.is_ok()).await)
    }

    fn plan(&self, scene: &Scene<'_, Self>) -> Plan {
        plan(scene.object, scene.spec, scene.observed)
    }

    fn is_independent(step: &Step) -> bool {
        is_independent(step)
    }

    async fn execute_step(
        &self,
        scene: &Scene<'_, Self>,
        step: &TenantStep,
        applied: &mut Applied<Self>,
    ) -> Result<Flow, Problem<TenantReason>> {
        execute_step(&self.context, scene, step, applied).await
    }

    fn assess(scene: &Scene<'_, Self>, plan: &Plan, applied: &Applied<Self>) -> Assessment {
        assess(scene.object, scene.spec, scene.observed, plan, &applied.failures, &applied.results)
    }

    fn assess_unread(_tenant: &WorkflowTenant, problem: &Problem<TenantReason>) -> Assessment {
        Assessment::of_problem(TenantPhase::Pending, problem)
    }

    fn is_paused(tenant: &WorkflowTenant) -> bool {
        tenant.spec.is_paused()
    }

    fn keep_status(
        tenant: &WorkflowTenant,
        former: &WorkflowTenantStatus,
        assessment: &Assessment,
        now: Timestamp,
    ) -> Option<WorkflowTenantStatus> {
        keep_status(tenant, former, assessment, now)
    }

    fn build_own_status(
        tenant: &WorkflowTenant,
        former: &WorkflowTenantStatus,
        assessment: &Assessment,
        _now: Timestamp,
    ) -> OwnStatus<Self> {
        build_own_status(tenant, former, assessment)
    }

    fn build_events(
        tenant: &WorkflowTenant,
        former: &WorkflowTenantStatus,
        status: &WorkflowTenantStatus,
        assessment: &Assessment,
    ) -> Vec<Event> {
        build_events(tenant, former, status, assessment)
    }

    fn build_last_events(scene: &Scene<'_, Self>, applied: &Applied<Self>) -> Vec<Event> {
        build_last_events(scene.object, scene.observed, &applied.results)
    }

    fn plan_next(
        _tenant: &WorkflowTenant,
        assessment: &Assessment,
        status: &WorkflowTenantStatus,
        _now: Timestamp,
    ) -> Next {
        plan_next(assessment, status)
    }

    fn missing_permission(error: &kube::Error) -> Option<MissingPermission> {
        missing_permission(error, NamespaceRole::Workload)
    }

    fn remember(&self, scene: &Scene<'_, Self>, assessment: &Assessment) {
        if let Some(clients) = &assessment.facts.clients {
            self.context.client_checks.remember(&scene.object.uid().unwrap_or_default(), clients);
        }
    }
}
