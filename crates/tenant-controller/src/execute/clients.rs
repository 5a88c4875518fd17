//! The writes of the Secrets of clients. One that fails holds up no other.

use api_types::{WorkflowTenant, WorkflowTenantStatus};
use controller_kit::apply::WriteError;
use kube::ResourceExt as _;

use crate::context::Context;
use crate::observe::clients::Problem;
use crate::plan::clients::{ClientsPlan, SecretWrite};

/// What became of the plan.
#[derive(Debug, Default)]
pub struct AppliedClients {
    /// The object as the write of its status returned it.
    pub written: Option<WorkflowTenant>,
    /// Writes that failed.
    pub failures: Vec<Problem>,
}

/// Executes `plan`. Nothing is made before the status remembers where.
pub async fn execute_clients(
    context: &Context,
    tenant: &WorkflowTenant,
    plan: &ClientsPlan,
) -> AppliedClients {
    let mut applied = AppliedClients::default();
    if let Some(record) = &plan.record {
        let former = tenant.status.as_ref();
        let status =
            WorkflowTenantStatus { client_namespaces: record.clone(), ..former.cloned().unwrap_or_default() };
        match context.writer.apply_status(tenant, former, &status).await {
            Ok(written) => applied.written = written,
            Err(error) => {
                applied.failures.push(Problem::of("", &error));
                return applied;
            }
        }
    }
    for (namespace, write) in &plan.writes {
        if let Err(error) = execute_write(context, write).await {
            tracing::warn!(
                tenant = tenant.name_any(),
                error = error.message(),
                "a client's Secret was not written"
            );
            applied.failures.push(Problem::of(namespace, &error));
        }
    }
    applied
}

async fn execute_write(context: &Context, write: &SecretWrite) -> Result<(), WriteError> {
    match write {
        SecretWrite::Create(desired) => context.writer.create(desired).await,
        SecretWrite::Update(desired) => context.writer.apply(desired).await.map(|_| ()),
        SecretWrite::Delete(deletion, version) => context.writer.delete_unchanged(deletion, version).await,
    }
}
