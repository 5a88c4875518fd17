//! What to do. Pure.

pub mod client_secret;
pub mod clients;

use std::time::Duration;

use api_types::WorkflowTenant;
use api_types::labels::TENANT_CONTROLLER;
use api_types::tenant::TenantReason;
use controller_kit::engine::{is_callable, owner_of};
use controller_kit::plan::{Deletion, Wait};
use engine_client::model::{DeleteTenant, Tenant, TenantQuotas};
use kube::ResourceExt as _;

use crate::observe::{EngineView, Observed};
use crate::validate::Verdict;

/// Safety net: what is awaited is watched.
const RECHECK_WATCHED: Duration = Duration::from_mins(1);
/// `maxStorageGB` counts powers of ten, as disks do.
const BYTES_PER_GB: u64 = 1_000_000_000;

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Before anything exists in the engine, so that it cannot be forgotten there.
    AddFinalizer,
    /// Makes the tenant what it should be.
    Put(Tenant),
    /// Deletes it, or gives up its ownership.
    Delete(DeleteTenant),
    /// Deletes exactly this version of a client's Secret.
    DeleteSecret(Deletion, String),
    /// The end of the object.
    RemoveFinalizer,
}

/// Ordered steps, then what is awaited.
pub type Plan = controller_kit::plan::Plan<Step, TenantReason>;

/// The plan of a tenant that is to live.
#[must_use]
pub fn plan(tenant: &WorkflowTenant, observed: &Observed, verdict: &Verdict) -> Plan {
    if verdict.is_err() || tenant.spec.is_paused() {
        return Plan::converged();
    }
    let Ok(cluster) = &observed.cluster else { return Plan::converged() };
    if !is_callable(cluster) {
        let named =
            format!("WorkflowCluster {}/{}", cluster.namespace().unwrap_or_default(), cluster.name_any());
        let message = format!("{named} has no endpoint yet or is being deleted");
        let wait = Wait { reason: TenantReason::ClusterNotReady, message, recheck: RECHECK_WATCHED };
        return Plan { steps: Vec::new(), wait: Some(wait) };
    }
    let EngineView::Answered { tenant: found, .. } = &observed.engine else { return Plan::converged() };
    let mut steps = Vec::new();
    if !tenant.finalizers().iter().any(|finalizer| finalizer == TENANT_CONTROLLER.finalizer) {
        steps.push(Step::AddFinalizer);
    }
    let wanted = build_tenant(tenant);
    if found.as_ref() != Some(&wanted) {
        steps.push(Step::Put(wanted));
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
