//! The plan of a tenant that is being deleted. Pure.

use api_types::WorkflowTenant;
use api_types::labels::FORCE_DELETE;
use api_types::tenant::TenantDeletionPolicy;
use engine_access::engine::owner_of;
use engine_access::reference::Unasked;
use engine_client::model::{Claim, DeleteTenant, DeleteTenantMode};
use engine_client::request_id;
use kube::ResourceExt as _;

use crate::observe::{EngineView, Observed};
use crate::plan::{Plan, Step, TenantStep};

/// Deletes the tenant in the engine, then removes the finalizer.
///
/// A tenant with running instances or managed processes is not deleted, unless the policy is `Purge`: the object waits
/// and says so. The finalizer is removed without asking the engine only when the cluster does not exist. With the
/// force-delete annotation it is removed, and the tenant stays in the engine.
#[must_use]
pub fn plan_cleanup(tenant: &WorkflowTenant, observed: &Observed) -> Plan {
    let release = Plan { steps: vec![Step::RemoveFinalizer], wait: None };
    let found = match &observed.engine {
        EngineView::Unasked(Unasked::ClusterGone) => return release,
        _ if is_forced(tenant) => return release,
        EngineView::Answered { tenant: found, .. } => found,
        _ => return Plan::converged(),
    };
    let owner = owner_of(tenant);
    let is_ours = found
        .as_ref()
        .is_some_and(|found| matches!(owner.claim(found.owner.as_ref()), Claim::Held | Claim::Inherited));
    if !is_ours {
        return release;
    }
    let mode = match tenant.spec.deletion_policy() {
        TenantDeletionPolicy::Delete => DeleteTenantMode::RefuseIfActive,
        TenantDeletionPolicy::Retain => DeleteTenantMode::Retain,
        TenantDeletionPolicy::Purge => DeleteTenantMode::Purge,
    };
    let delete = DeleteTenant {
        request_id: request_id(&owner.uid, tenant.metadata.generation.unwrap_or_default(), "delete"),
        tenant_id: tenant.name_any(),
        owner: Some(owner),
        mode,
    };
    Plan { steps: vec![Step::Own(TenantStep::Delete(delete)), Step::RemoveFinalizer], wait: None }
}

/// Does a person give up what the engine still has?
#[must_use]
pub fn is_forced(tenant: &WorkflowTenant) -> bool {
    tenant.annotations().get(FORCE_DELETE).is_some_and(|value| value == "true")
}

#[cfg(test)]
mod tests;
