//! The writes that only backups have.

use api_types::WorkflowBackup;
use api_types::backup::BackupReason;
use api_types::labels::BACKUP_CONTROLLER;
use controller_kit::apply::WriteError;
use controller_kit::outcome::ErrorClass;
use controller_kit::pass::{Flow, Kind, Scene, problem_of};
use controller_kit::plan::{Desired, is_controlled_by};
use controller_kit::problem::Problem;
use kube::api::{Api, DynamicObject, PostParams};
use kube::{Resource as _, ResourceExt as _};

use crate::cleanup::is_overdue;
use crate::context::Context;
use crate::kind::{Applied, Backups};
use crate::plan::BackupStep;

/// Executes one step.
pub async fn execute_step(
    context: &Context,
    scene: &Scene<'_, Backups>,
    step: &BackupStep,
    applied: &mut Applied,
) -> Result<Flow, Problem<BackupReason>> {
    match step {
        BackupStep::CreateJob(desired) | BackupStep::CreateBaseBackup(desired) => {
            create(context, scene.object, desired).await.map_err(|refused| refused.problem)?;
        }
        BackupStep::CreateDeleteJob(desired) => match create(context, scene.object, desired).await {
            Ok(()) => {}
            Err(refused) if refused.is_namespace_ending || is_overdue(scene.object, scene.now) => {
                tracing::warn!(problem = %refused.problem, "what the backup left cannot be deleted");
                return release(context, scene.object, applied).await;
            }
            Err(refused) => return Err(refused.problem),
        },
        BackupStep::WithdrawJob(job) => context
            .writer
            .delete_behind_dependants(job)
            .await
            .map_err(|error| problem_of::<Backups>(&error))?,
        BackupStep::TellCluster(cluster, event) => {
            context.publisher.publish(&**cluster, event.clone()).await;
        }
    }
    Ok(Flow::GoOn)
}

async fn release(
    context: &Context,
    backup: &WorkflowBackup,
    applied: &mut Applied,
) -> Result<Flow, Problem<BackupReason>> {
    let finalizer = Backups::FINALIZER.unwrap_or_default();
    let written = context.writer.remove_finalizer(backup, finalizer).await;
    applied.object = written.map_err(|error| problem_of::<Backups>(&error))?;
    applied.released = true;
    Ok(Flow::End)
}

/// Why an object was not created.
struct Refused {
    problem: Problem<BackupReason>,
    /// Nothing can be created in the namespace any more.
    is_namespace_ending: bool,
}

/// Created, never applied: a Job's template cannot change, and a `Backup` of CloudNativePG is acted on once. One of ours that
/// the cache does not show yet is fine.
async fn create(context: &Context, backup: &WorkflowBackup, desired: &Desired) -> Result<(), Refused> {
    let failed = |operation, source: kube::Error| {
        let is_namespace_ending = is_namespace_ending(&source);
        let error = WriteError { operation, object: desired.display(), source };
        Refused { problem: problem_of::<Backups>(&error), is_namespace_ending }
    };
    let api: Api<DynamicObject> =
        Api::namespaced_with(context.client.clone(), &desired.namespace, &desired.resource);
    let params = PostParams {
        field_manager: Some(BACKUP_CONTROLLER.field_manager.to_owned()),
        ..PostParams::default()
    };
    let object = serde_json::from_value(desired.body.clone())
        .map_err(|source| failed("build", kube::Error::SerdeError(source)))?;
    match api.create(&params, &object).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 409 && !is_namespace_status(&status) => {
            let live = api.get(&desired.name).await.map_err(|source| failed("read", source))?;
            if is_controlled_by(live.meta(), &backup.uid().unwrap_or_default()) {
                return Ok(());
            }
            let message = format!("{} exists and belongs to something else: delete it", desired.display());
            let problem = Problem::new(BackupReason::NameTaken, ErrorClass::Denied, message);
            Err(Refused { problem, is_namespace_ending: false })
        }
        Err(source) => Err(failed("create", source)),
    }
}

fn is_namespace_ending(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if is_namespace_status(status))
}

/// The API server gives this cause, and the message, to every creation in a namespace that is being deleted.
fn is_namespace_status(status: &kube::core::Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
        || status.message.contains("because it is being terminated")
}
