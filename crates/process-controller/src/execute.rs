//! All writes but the status, in the order of the plan; the first failure ends them.

use api_types::WorkflowProcess;
use api_types::labels::{DEPLOYED_FOR, PROCESS_CONTROLLER};
use controller_kit::apply::WriteError;
use engine_client::model::{DeployResult, ProcessDeletion};
use engine_client::{EngineError, ErrorClass};

use crate::context::Context;
use crate::observe::Observed;
use crate::plan::{Plan, Step};

/// What became of the steps.
#[derive(Debug, Default)]
pub struct Applied {
    /// The object as the last write returned it.
    pub written: Option<WorkflowProcess>,
    /// The object is gone.
    pub gone: bool,
    /// The engine's answer to a deploy.
    pub deployed: Option<DeployResult>,
    /// The engine's answer to a retirement.
    pub retired: Option<ProcessDeletion>,
    /// What ended the execution early.
    pub failure: Option<Failure>,
}

/// A step that failed.
#[derive(Debug)]
pub enum Failure {
    /// The Kubernetes API.
    Write(WriteError),
    /// The engine.
    Engine(EngineError),
}

/// Executes `plan`.
pub async fn execute(
    context: &Context,
    process: &WorkflowProcess,
    observed: &Observed,
    plan: &Plan,
) -> Applied {
    let mut applied = Applied::default();
    for step in &plan.steps {
        if let Err(failure) = execute_step(context, process, observed, step, &mut applied).await {
            applied.failure = Some(failure);
            break;
        }
        // What the engine refuses replaces nothing.
        if matches!(applied.deployed, Some(DeployResult::Rejected { .. })) {
            break;
        }
    }
    applied
}

async fn execute_step(
    context: &Context,
    process: &WorkflowProcess,
    observed: &Observed,
    step: &Step,
    applied: &mut Applied,
) -> Result<(), Failure> {
    match step {
        Step::AddFinalizer { deployed_for } => {
            let (writer, finalizer) = (&context.writer, PROCESS_CONTROLLER.finalizer);
            let written = match deployed_for {
                Some(tenant) => {
                    writer.add_finalizer_and_note(process, finalizer, (DEPLOYED_FOR, tenant)).await
                }
                None => writer.add_finalizer(process, finalizer).await,
            };
            applied.written = Some(written.map_err(Failure::Write)?);
        }
        Step::Deploy(request) => {
            if let Some((_, engine)) = observed.engine.answering() {
                let result = engine
                    .deploy_process(request)
                    .await
                    .map_err(|error| refused(context, observed, error))?;
                applied.deployed = Some(result);
            }
        }
        Step::Retire(request) => {
            if let Some((_, engine)) = observed.engine.answering() {
                let result = engine
                    .delete_process(request)
                    .await
                    .map_err(|error| refused(context, observed, error))?;
                applied.retired = Some(result);
            }
        }
        Step::RemoveFinalizer => {
            let removed = context.writer.remove_finalizer(process, PROCESS_CONTROLLER.finalizer).await;
            removed.map_err(Failure::Write)?;
            applied.gone = true;
        }
    }
    Ok(())
}

/// A refused credential is read anew by the next pass.
fn refused(context: &Context, observed: &Observed, error: EngineError) -> Failure {
    if let (ErrorClass::Denied, Some((cluster, _))) = (error.class(), observed.engine.answering()) {
        context.engines.forget(cluster);
    }
    Failure::Engine(error)
}
