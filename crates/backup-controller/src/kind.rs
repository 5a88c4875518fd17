//! What the pass calls for a WorkflowBackup, room by room.

use api_types::WorkflowBackup;
use api_types::backup::{BackupPhase, BackupReason, WorkflowBackupStatus};
use api_types::labels::BACKUP_CONTROLLER;
use controller_kit::events::Event;
use controller_kit::pass::{Flow, Kind, OwnStatus, Scene};
use controller_kit::problem::{MissingPermission, Problem};
use engine_access::grant::{NamespaceRole, missing_permission};
use jiff::Timestamp;

use crate::cleanup::build_last_event;
use crate::context::Context;
use crate::execute::execute_step;
use crate::observe::{Observed, observe};
use crate::plan::{BackupPlan, BackupStep, plan_pass};
use crate::status::{Assessment, Facts, assess, assess_unread, build_events, build_own_status};
use crate::validate::validate;

/// WorkflowBackups, as the pass sees them.
pub struct Backups {
    /// What it works with.
    pub context: Context,
}

/// The result of a plan.
pub type Applied = controller_kit::pass::Applied<Backups>;

impl Kind for Backups {
    type Object = WorkflowBackup;
    type Status = WorkflowBackupStatus;
    type Phase = BackupPhase;
    type Reason = BackupReason;
    type Spec = ();
    type Observed = Observed;
    type OwnStep = BackupStep;
    type Plan = BackupPlan;
    type Results = ();
    type Facts = Facts;

    const FINALIZER: Option<&'static str> = Some(BACKUP_CONTROLLER.finalizer);

    fn validate(backup: &WorkflowBackup) -> Result<(), Problem<BackupReason>> {
        validate(backup)
    }

    async fn observe(
        &self,
        backup: &WorkflowBackup,
        _spec: &Result<(), Problem<BackupReason>>,
    ) -> Result<Observed, Problem<BackupReason>> {
        observe(&self.context, backup).await
    }

    fn plan(&self, scene: &Scene<'_, Self>) -> BackupPlan {
        plan_pass(scene.object, scene.spec, scene.observed, &self.context.settings, scene.now)
    }

    async fn execute_step(
        &self,
        scene: &Scene<'_, Self>,
        step: &BackupStep,
        applied: &mut Applied,
    ) -> Result<Flow, Problem<BackupReason>> {
        execute_step(&self.context, scene, step, applied).await
    }

    fn assess(scene: &Scene<'_, Self>, plan: &BackupPlan, applied: &Applied) -> Assessment {
        assess(scene.object, plan, applied)
    }

    fn assess_unread(backup: &WorkflowBackup, problem: &Problem<BackupReason>) -> Assessment {
        assess_unread(backup, problem)
    }

    fn is_paused(backup: &WorkflowBackup) -> bool {
        backup.spec.is_paused()
    }

    fn build_own_status(
        backup: &WorkflowBackup,
        former: &WorkflowBackupStatus,
        assessment: &Assessment,
        now: Timestamp,
    ) -> OwnStatus<Self> {
        build_own_status(backup, former, assessment, now)
    }

    fn build_events(
        backup: &WorkflowBackup,
        former: &WorkflowBackupStatus,
        status: &WorkflowBackupStatus,
        _assessment: &Assessment,
    ) -> Vec<Event> {
        build_events(backup, former, status)
    }

    fn build_last_events(scene: &Scene<'_, Self>, _applied: &Applied) -> Vec<Event> {
        build_last_event(scene.object, scene.observed, scene.now).into_iter().collect()
    }

    fn missing_permission(error: &kube::Error) -> Option<MissingPermission> {
        missing_permission(error, NamespaceRole::Cluster)
    }
}
