//! What to do. Pure.

pub mod client_secret;
pub mod clients;

use std::time::Duration;

use api_types::WorkflowTenant;
use api_types::labels::TENANT_CONTROLLER;
use api_types::tenant::TenantReason;
use controller_kit::pass::is_deleting;
use controller_kit::plan::{Deletion, Wait};
use controller_kit::problem::Problem;
use engine_access::awaited::{cluster_stopped, cluster_without_engine};
use engine_access::engine::owner_of;
use engine_client::model::{DeleteTenant, Tenant, TenantQuotas};
use kube::ResourceExt as _;

use crate::cleanup::plan_cleanup;
use crate::observe::{EngineView, Observed};
use clients::{ClientsPlan, SecretWrite, plan_clients, plan_release};

/// Safety net: what is awaited is watched.
const RECHECK_WATCHED: Duration = Duration::from_mins(1);
/// `maxStorageGB` counts powers of ten, as disks do.
const BYTES_PER_GB: u64 = 1_000_000_000;

/// One write that only tenants have.
#[derive(Clone, Debug, PartialEq)]
pub enum TenantStep {
    /// Makes the tenant in the engine what it should be.
    Put(Tenant),
    /// Deletes it there, or gives up its ownership.
    Delete(DeleteTenant),
    /// Notes in the status where Secrets of clients are, before the first one is made: nothing else would remember it.
    RecordSecrets(Vec<String>),
    /// A Secret of clients in this namespace.
    WriteSecret(String, SecretWrite),
    /// Deletes exactly this version of a client's Secret, before the object goes.
    DeleteSecret(Deletion, String),
}

/// One write.
pub type Step = controller_kit::plan::Step<TenantStep>;

/// Ordered steps, then what is awaited.
pub type Plan = controller_kit::plan::Plan<Step, TenantReason>;

/// Everything that a pass does. The Secrets of clients come behind the tenant: what the engine does not hold as this tenant
/// gets no credential.
#[must_use]
pub fn plan(tenant: &WorkflowTenant, spec: &Result<(), Problem<TenantReason>>, observed: &Observed) -> Plan {
    if is_deleting(tenant) {
        return plan_release(tenant, plan_cleanup(tenant, observed), observed.clients.as_ref());
    }
    let Plan { mut steps, wait } = plan_tenant(tenant, spec.is_ok(), observed);
    if let Some(view) = &observed.clients {
        let ClientsPlan { record, writes, .. } = plan_clients(tenant, view);
        let record = record.map(TenantStep::RecordSecrets);
        let writes = writes.into_iter().map(|(namespace, write)| TenantStep::WriteSecret(namespace, write));
        steps.extend(record.into_iter().chain(writes).map(Step::Own));
    }
    Plan { steps, wait }
}

/// What takes a Secret away does not depend on the engine's answer.
#[must_use]
pub fn is_independent(step: &Step) -> bool {
    matches!(step, Step::Own(TenantStep::WriteSecret(_, SecretWrite::Delete(..))))
}

/// The plan of a tenant that is not being deleted, without the Secrets of its clients.
#[must_use]
pub fn plan_tenant(tenant: &WorkflowTenant, is_valid: bool, observed: &Observed) -> Plan {
    if !is_valid || tenant.spec.is_paused() {
        return Plan::converged();
    }
    let Ok(cluster) = &observed.cluster else { return Plan::converged() };
    if let Some(message) = cluster_without_engine(cluster) {
        let wait = Wait { reason: TenantReason::ClusterNotReady, message, recheck: RECHECK_WATCHED };
        return Plan { steps: Vec::new(), wait: Some(wait) };
    }
    if let Some(message) = cluster_stopped(cluster) {
        let wait = Wait { reason: TenantReason::ClusterStopped, message, recheck: RECHECK_WATCHED };
        return Plan { steps: Vec::new(), wait: Some(wait) };
    }
    let EngineView::Answered { tenant: found, .. } = &observed.engine else { return Plan::converged() };
    let mut steps = Vec::new();
    if !tenant.finalizers().iter().any(|finalizer| finalizer == TENANT_CONTROLLER.finalizer) {
        steps.push(Step::AddFinalizer { annotation: None });
    }
    let wanted = build_tenant(tenant);
    if found.as_ref() != Some(&wanted) {
        steps.push(Step::Own(TenantStep::Put(wanted)));
    }
    Plan { steps, wait: None }
}

/// The tenant as the engine shall have it.
#[must_use]
pub fn build_tenant(tenant: &WorkflowTenant) -> Tenant {
    let quotas = tenant.spec.quotas.clone().unwrap_or_default();
    let limit = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
    Tenant {
        id: tenant.name_any(),
        display_name: tenant.spec.display_name.clone().unwrap_or_else(|| tenant.name_any()),
        quotas: TenantQuotas {
            max_active_instances: limit(quotas.max_active_instances),
            max_jobs_per_minute: limit(quotas.max_jobs_per_minute),
            max_storage_bytes: limit(quotas.max_storage_gb).map(|gb| gb.saturating_mul(BYTES_PER_GB)),
        },
        rls: true,
        suspended: tenant.spec.is_suspended(),
        owner: Some(owner_of(tenant)),
        generation: tenant.metadata.generation.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests;
