//! The writes that only tenants have: in the engine, and of the Secrets of clients.

use api_types::tenant::TenantReason;
use api_types::{WorkflowTenant, WorkflowTenantStatus};
use controller_kit::apply::WriteError;
use controller_kit::outcome::ErrorClass;
use controller_kit::pass::{Applied, Flow, Scene, problem_of};
use controller_kit::problem::Problem;
use engine_client::model::{PutTenant, TenantDeletion};
use engine_client::{EngineError, ErrorClass as EngineClass};
use kube::ResourceExt as _;

use crate::context::Context;
use crate::error::{of_engine, of_engine_deletion};
use crate::kind::Tenants;
use crate::observe::clients::NamespaceProblem;
use crate::observe::{EngineView, Observed};
use crate::plan::TenantStep;
use crate::plan::clients::SecretWrite;

/// What the engine and the namespaces of clients answered.
#[derive(Debug, Default)]
pub struct Results {
    /// The engine's answer to an upsert.
    pub put: Option<PutTenant>,
    /// The engine's answer to a deletion.
    pub deleted: Option<TenantDeletion>,
    /// Writes of Secrets of clients that failed. They are no failure of the tenant.
    pub client_failures: Vec<NamespaceProblem>,
    /// Where the Secret of clients could not be deleted for want of a permission.
    pub left_secrets: Vec<String>,
}

/// Executes one step.
pub async fn execute_step(
    context: &Context,
    scene: &Scene<'_, Tenants>,
    step: &TenantStep,
    applied: &mut Applied<Tenants>,
) -> Result<Flow, Problem<TenantReason>> {
    let observed = scene.observed;
    match step {
        TenantStep::Put(wanted) => {
            if let EngineView::Answered { engine, .. } = &observed.engine {
                // No request id: an upsert is its own repetition, and drift may have to be corrected with the same words.
                let result = engine.put_tenant("", wanted).await;
                forget(context, observed, result.as_ref().err());
                applied.results.put = Some(result.map_err(|error| of_engine(&error))?);
            }
        }
        TenantStep::Delete(request) => {
            if let EngineView::Answered { engine, .. } = &observed.engine {
                let result = engine.delete_tenant(request).await;
                forget(context, observed, result.as_ref().err());
                let deleted = result.map_err(|error| of_engine_deletion(&error))?;
                applied.results.deleted = Some(deleted);
                // The object stays until nothing of the tenant is left.
                if deleted == TenantDeletion::Purging {
                    return Ok(Flow::End);
                }
            }
        }
        TenantStep::DeleteSecret(deletion, version) => {
            match context.writer.delete_unchanged(deletion, version).await {
                Ok(()) => {}
                // Its token is worth nothing any more: no reason to hold the object for ever.
                Err(error) if error.class() == ErrorClass::Denied => {
                    applied.results.left_secrets.push(deletion.namespace.clone());
                }
                Err(error) => return Err(problem_of::<Tenants>(&error)),
            }
        }
        TenantStep::RecordSecrets(namespaces) => {
            let tenant = applied.object.as_ref().unwrap_or(scene.object);
            match record_secrets(context, tenant, namespaces).await {
                Ok(written) => applied.object = written.or(applied.object.take()),
                Err(error) => {
                    applied.results.client_failures.push(NamespaceProblem::of("", &error));
                    return Ok(Flow::End);
                }
            }
        }
        TenantStep::WriteSecret(namespace, write) => {
            if let Err(error) = write_secret(context, write).await {
                tracing::warn!(error = error.message(), "a client's Secret was not written");
                applied.results.client_failures.push(NamespaceProblem::of(namespace, &error));
            }
        }
    }
    Ok(Flow::GoOn)
}

async fn record_secrets(
    context: &Context,
    tenant: &WorkflowTenant,
    namespaces: &[String],
) -> Result<Option<WorkflowTenant>, WriteError> {
    let former = tenant.status.as_ref();
    let status = WorkflowTenantStatus {
        client_namespaces: namespaces.to_vec(),
        ..former.cloned().unwrap_or_default()
    };
    context.writer.apply_status(tenant, former, &status).await
}

async fn write_secret(context: &Context, write: &SecretWrite) -> Result<(), WriteError> {
    match write {
        SecretWrite::Create(desired) => context.writer.create(desired).await,
        SecretWrite::Update(desired) => context.writer.apply(desired).await.map(|_| ()),
        SecretWrite::Delete(deletion, version) => context.writer.delete_unchanged(deletion, version).await,
    }
}

/// After a call that may have changed the engine the listing is outdated; after a refusal the credential may be.
fn forget(context: &Context, observed: &Observed, error: Option<&EngineError>) {
    let Ok(cluster) = &observed.cluster else { return };
    context.listings.forget(&cluster.uid().unwrap_or_default());
    if error.is_some_and(|error| *error.class() == EngineClass::Denied) {
        context.engines.forget(cluster);
    }
}
