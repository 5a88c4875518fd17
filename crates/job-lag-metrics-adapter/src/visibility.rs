//! Which series the namespace of a request may see: exactly what an object in that namespace could refer to. The
//! rules are those of references; this room only asks them about every tenant at hand.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use api_types::{
    WorkflowCluster, WorkflowTenant, labels,
    reference::{ClusterRef, TenantRef},
};
use controller_kit::reference::{CachedDirectory, Directory, Referrer, resolve, resolve_tenant};
use kube::ResourceExt as _;

use crate::store::ClusterKey;

/// What of a cluster may be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything, also work without a tenant.
    All,
    /// Only these tenants.
    Tenants(BTreeSet<String>),
}

impl Scope {
    pub fn includes(&self, tenant: &Option<String>) -> bool {
        match (self, tenant) {
            (Self::All, _) => true,
            (Self::Tenants(_), None) => false,
            (Self::Tenants(tenants), Some(tenant)) => tenants.contains(tenant),
        }
    }
}

/// What one namespace may see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View(BTreeMap<ClusterKey, Scope>);

impl View {
    pub fn iter(&self) -> impl Iterator<Item = (&ClusterKey, &Scope)> {
        self.0.iter()
    }
}

impl FromIterator<(ClusterKey, Scope)> for View {
    fn from_iter<I: IntoIterator<Item = (ClusterKey, Scope)>>(scopes: I) -> Self {
        Self(scopes.into_iter().collect())
    }
}

/// Who sees what, for any namespace.
pub trait Visibility: Send + Sync + 'static {
    /// `None` while the clusters, tenants and namespaces are not known yet.
    fn view(&self, namespace: &str) -> Option<View>;
}

/// The watched clusters, tenants and namespaces.
pub struct WatchedVisibility {
    directory: CachedDirectory,
    cluster_namespace: String,
}

impl WatchedVisibility {
    pub fn new(directory: CachedDirectory, cluster_namespace: String) -> Self {
        Self { directory, cluster_namespace }
    }

    fn is_synced(&self) -> bool {
        use futures::FutureExt as _;
        let CachedDirectory { clusters, tenants, namespaces } = &self.directory;
        clusters.wait_until_ready().now_or_never().is_some_and(|ready| ready.is_ok())
            && tenants.wait_until_ready().now_or_never().is_some_and(|ready| ready.is_ok())
            && namespaces.wait_until_ready().now_or_never().is_some_and(|ready| ready.is_ok())
    }
}

impl Visibility for WatchedVisibility {
    fn view(&self, namespace: &str) -> Option<View> {
        self.is_synced().then(|| {
            let (clusters, tenants) = (self.directory.clusters.state(), self.directory.tenants.state());
            build_view(&self.directory, &self.cluster_namespace, namespace, &clusters, &tenants)
        })
    }
}

/// Pure: the view of `namespace` over the clusters and tenants that exist.
pub fn build_view(
    directory: &dyn Directory,
    cluster_namespace: &str,
    namespace: &str,
    clusters: &[Arc<WorkflowCluster>],
    tenants: &[Arc<WorkflowTenant>],
) -> View {
    let mut scopes: BTreeMap<ClusterKey, Scope> = clusters
        .iter()
        .filter(|cluster| cluster.metadata.namespace.as_deref() == Some(namespace))
        .map(|cluster| (key_of(cluster), Scope::All))
        .collect();
    let granted = directory.namespace_labels(namespace).remove(labels::TENANT);
    for tenant in tenants.iter().filter(|tenant| may_concern(tenant, namespace, granted.as_deref())) {
        let Ok(cluster) = resolve_tenant(directory, cluster_namespace, tenant) else { continue };
        if !may_refer(directory, cluster_namespace, namespace, tenant, &cluster) {
            continue;
        }
        let scope = scopes.entry(key_of(&cluster)).or_insert_with(|| Scope::Tenants(BTreeSet::new()));
        if let Scope::Tenants(tenants) = scope {
            tenants.insert(tenant.name_any());
        }
    }
    View(scopes)
}

/// Cheap and generous: spares the resolver the tenants that have nothing to do with the namespace.
fn may_concern(tenant: &WorkflowTenant, namespace: &str, granted: Option<&str>) -> bool {
    tenant.metadata.namespace.as_deref() == Some(namespace)
        || granted.is_some() && granted == tenant.metadata.name.as_deref()
        || tenant.spec.namespaces.iter().any(|listed| listed == namespace)
}

fn may_refer(
    directory: &dyn Directory,
    cluster_namespace: &str,
    namespace: &str,
    tenant: &WorkflowTenant,
    cluster: &WorkflowCluster,
) -> bool {
    let cluster = ClusterRef { name: cluster.name_any(), namespace: cluster.namespace() };
    let tenant = TenantRef { name: tenant.name_any(), namespace: tenant.namespace() };
    resolve(directory, cluster_namespace, Referrer { namespace, cluster: &cluster, tenant: Some(&tenant) })
        .is_ok()
}

pub fn key_of(cluster: &WorkflowCluster) -> ClusterKey {
    ClusterKey { namespace: cluster.namespace().unwrap_or_default(), name: cluster.name_any() }
}

#[cfg(test)]
mod tests;
