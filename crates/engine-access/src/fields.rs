//! What dependants read of an object. A watch of a referenced kind begins their passes only when this changes: most of
//! a status is of no interest to them, and changes every few seconds.
//!
//! When a controller begins to read another field of a referenced object, add it here. Else its passes see a change
//! only at their next resync. A change of the spec always counts: `metadata.generation` is part of it.

use api_types::cluster::AccessKeyIds;
use api_types::reference::ClusterRef;
use api_types::{WorkflowCluster, WorkflowTenant};
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt as _;
use kube::api::PartialObjectMeta;

use crate::reference::{Referrer, cluster_homes, labelled_tenant, meant_tenant, tenant_homes};

/// Of a WorkflowCluster: for tenants, processes and workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterFields {
    namespace: String,
    name: String,
    uid: Option<String>,
    generation: Option<i64>,
    is_deleting: bool,
    /// When an engine serves again, dependants that waited for it, or failed, can continue.
    is_ready: bool,
    accepts_deployments: bool,
    endpoint: Option<(String, i32)>,
    version: Option<String>,
    /// Tokens of another key than this must be minted again.
    access_key_ids: Option<AccessKeyIds>,
}

impl ClusterFields {
    /// The fields of `cluster`.
    #[must_use]
    pub fn of(cluster: &WorkflowCluster) -> Self {
        let status = cluster.status.as_ref();
        let endpoint = status.and_then(|status| status.endpoint.as_ref());
        Self {
            namespace: cluster.namespace().unwrap_or_default(),
            name: cluster.name_any(),
            uid: cluster.uid(),
            generation: cluster.metadata.generation,
            is_deleting: cluster.metadata.deletion_timestamp.is_some(),
            is_ready: status.is_some_and(|status| status.ready),
            accepts_deployments: status.is_some_and(|status| status.accepts_deployments),
            endpoint: endpoint.map(|endpoint| (endpoint.host.clone(), endpoint.port)),
            version: status.and_then(|status| status.version.clone()),
            access_key_ids: status.and_then(|status| status.access_key_ids.clone()),
        }
    }

    /// Could a reference from the namespace `own` mean this cluster? Also if it means another one at present: each
    /// can replace the other.
    #[must_use]
    pub fn is_meant_by(&self, own: &str, reference: &ClusterRef, cluster_namespace: &str) -> bool {
        reference.name == self.name
            && cluster_homes(reference, own, cluster_namespace).contains(&self.namespace.as_str())
    }
}

/// Of a WorkflowTenant: for processes and workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantFields {
    namespace: String,
    name: String,
    uid: Option<String>,
    generation: Option<i64>,
    is_deleting: bool,
    is_ready: bool,
}

impl TenantFields {
    /// The fields of `tenant`.
    #[must_use]
    pub fn of(tenant: &WorkflowTenant) -> Self {
        Self {
            namespace: tenant.namespace().unwrap_or_default(),
            name: tenant.name_any(),
            uid: tenant.uid(),
            generation: tenant.metadata.generation,
            is_deleting: tenant.metadata.deletion_timestamp.is_some(),
            is_ready: tenant.status.as_ref().is_some_and(|status| status.ready),
        }
    }

    /// Could this reference mean this tenant? Also if it means another one at present. `label` is the tenant that the
    /// referrer's Namespace is labelled with.
    #[must_use]
    pub fn is_meant_by(&self, referrer: &Referrer<'_>, label: Option<&str>, cluster_namespace: &str) -> bool {
        meant_tenant(referrer.tenant, label).is_some_and(|reference| {
            reference.name == self.name
                && tenant_homes(&reference, referrer, cluster_namespace).contains(&self.namespace.as_str())
        })
    }
}

/// Of a Namespace: the tenant that it is granted to, and that objects in it belong to if they name none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceFields {
    /// Its name.
    pub name: String,
    /// The label `workflow.example.com/tenant`.
    pub tenant: Option<String>,
}

impl NamespaceFields {
    /// The fields of `namespace`.
    #[must_use]
    pub fn of(namespace: &PartialObjectMeta<Namespace>) -> Self {
        Self { name: namespace.name_any(), tenant: labelled_tenant(namespace.labels()) }
    }
}

#[cfg(test)]
mod tests;
