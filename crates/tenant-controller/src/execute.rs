//! All writes but the status, in the order of the plan; the first failure ends them.

pub mod clients;

use api_types::WorkflowTenant;
use api_types::labels::TENANT_CONTROLLER;
use controller_kit::apply::WriteError;
use controller_kit::outcome::ErrorClass;
use engine_client::model::{PutTenant, TenantDeletion};
use engine_client::{EngineError, ErrorClass as EngineClass};
use kube::ResourceExt as _;

use crate::context::Context;
use crate::observe::{EngineView, Observed};
use crate::plan::{Plan, Step};

/// What became of the steps.
#[derive(Debug, Default)]
pub struct Applied {
    /// The object as the last write returned it.
    pub written: Option<WorkflowTenant>,
    /// The object is gone.
    pub gone: bool,
    /// The engine's answer to an upsert.
    pub put: Option<PutTenant>,
    /// The engine's answer to a deletion.
    pub deleted: Option<TenantDeletion>,
    /// Where the Secret of clients could not be deleted for want of a permission.
    pub left_secrets: Vec<String>,
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
    tenant: &WorkflowTenant,
    observed: &Observed,
    plan: &Plan,
) -> Applied {
    let mut applied = Applied::default();
    for step in &plan.steps {
        if let Err(failure) = execute_step(context, tenant, observed, step, &mut applied).await {
            applied.failure = Some(failure);
            break;
        }
        // The object stays until nothing of the tenant is left.
        if applied.deleted == Some(TenantDeletion::Purging) {
            break;
        }
    }
    applied
}

async fn execute_step(
    context: &Context,
    tenant: &WorkflowTenant,
    observed: &Observed,
    step: &Step,
    applied: &mut Applied,
) -> Result<(), Failure> {
    match step {
        Step::AddFinalizer => {
            let written = context.writer.add_finalizer(tenant, TENANT_CONTROLLER.finalizer).await;
            applied.written = Some(written.map_err(Failure::Write)?);
        }
        Step::Put(wanted) => {
            if let EngineView::Answered { engine, .. } = &observed.engine {
                // No request id: an upsert is its own repetition, and drift may have to be corrected with the same words.
                let result = engine.put_tenant("", wanted).await;
                forget(context, observed, result.as_ref().err());
                applied.put = Some(result.map_err(Failure::Engine)?);
            }
        }
        Step::Delete(request) => {
            if let EngineView::Answered { engine, .. } = &observed.engine {
                let result = engine.delete_tenant(request).await;
                forget(context, observed, result.as_ref().err());
                applied.deleted = Some(result.map_err(Failure::Engine)?);
            }
        }
        Step::DeleteSecret(deletion, version) => {
            match context.writer.delete_unchanged(deletion, version).await {
                Ok(()) => {}
                // Its token is worth nothing any more: no reason to hold the object for ever.
                Err(error) if error.class() == ErrorClass::Denied => {
                    applied.left_secrets.push(deletion.namespace.clone());
                }
                Err(error) => return Err(Failure::Write(error)),
            }
        }
        Step::RemoveFinalizer => {
            context
                .writer
                .remove_finalizer(tenant, TENANT_CONTROLLER.finalizer)
                .await
                .map_err(Failure::Write)?;
            applied.gone = true;
        }
    }
    Ok(())
}

/// After a call that may have changed the engine the census is outdated; after a refusal the credential may be.
fn forget(context: &Context, observed: &Observed, error: Option<&EngineError>) {
    let Ok(cluster) = &observed.cluster else { return };
    context.censuses.forget(&cluster.uid().unwrap_or_default());
    if error.is_some_and(|error| *error.class() == EngineClass::Denied) {
        context.engines.forget(cluster);
    }
}
