//! What a cluster or tenant lacks before the passes of its dependants can continue: the message for their status, or
//! `None`. Pure.

use api_types::{WorkflowCluster, WorkflowTenant};
use kube::{Resource, ResourceExt as _};

use crate::engine::has_engine;

/// The engine of the cluster takes nothing new: see [`has_engine`].
#[must_use]
pub fn cluster_without_engine(cluster: &WorkflowCluster) -> Option<String> {
    (!has_engine(cluster)).then(|| format!("{} has no endpoint yet or is being deleted", named(cluster)))
}

/// The engine of the cluster is stopped: nobody is called before it runs again.
#[must_use]
pub fn cluster_stopped(cluster: &WorkflowCluster) -> Option<String> {
    let is_stopped = cluster.spec.engine_pods() == 0;
    is_stopped.then(|| format!("{} is stopped; this goes on when its engine runs again", named(cluster)))
}

/// The engine of the cluster takes no definitions now.
#[must_use]
pub fn cluster_updating(cluster: &WorkflowCluster) -> Option<String> {
    let accepts = cluster.status.as_ref().is_some_and(|status| status.accepts_deployments);
    (!accepts).then(|| {
        format!("{} does not accept deployments now; the deployment follows by itself", named(cluster))
    })
}

/// The deletion of the tenant has begun.
#[must_use]
pub fn tenant_being_deleted(tenant: &WorkflowTenant) -> Option<String> {
    tenant.metadata.deletion_timestamp.is_some().then(|| format!("{} is being deleted", named(tenant)))
}

/// The tenant starts nothing new, because `spec.suspended` is true.
#[must_use]
pub fn tenant_suspended(tenant: &WorkflowTenant) -> Option<String> {
    tenant
        .spec
        .is_suspended()
        .then(|| format!("{} is suspended; set its spec.suspended to false", named(tenant)))
}

/// The engine does not hold the tenant as its spec says.
#[must_use]
pub fn tenant_not_ready(tenant: &WorkflowTenant) -> Option<String> {
    let is_ready = tenant.status.as_ref().is_some_and(|status| status.ready);
    (!is_ready).then(|| format!("{} is not ready", named(tenant)))
}

/// `Kind namespace/name`.
fn named<K: Resource<DynamicType = ()>>(object: &K) -> String {
    format!("{} {}/{}", K::kind(&()), object.namespace().unwrap_or_default(), object.name_any())
}
