//! Which series the namespace of a request may see: what it asked for itself, and was granted. The rules of the grants
//! are those of references. That a tenant lists a namespace is a grant, and that namespace has not asked for it. If a
//! grant were enough, everybody who may edit a tenant could change the scaling in any namespace by their own series.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use api_types::{
    WorkflowCluster, WorkflowTenant, WorkflowWorker, labels,
    reference::{ClusterRef, TenantRef},
};
use engine_access::reference::{CachedDirectory, Directory, Referrer, Resolved, resolve, resolve_tenant};
use kube::{ResourceExt as _, runtime::reflector::Store};

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

/// The watched clusters, tenants, namespaces and workers.
pub struct WatchedVisibility {
    directory: CachedDirectory,
    workers: Store<WorkflowWorker>,
    cluster_namespace: String,
}

impl WatchedVisibility {
    pub fn new(
        directory: CachedDirectory,
        workers: Store<WorkflowWorker>,
        cluster_namespace: String,
    ) -> Self {
        Self { directory, workers, cluster_namespace }
    }

    fn is_synced(&self) -> bool {
        let CachedDirectory { clusters, tenants, namespaces } = &self.directory;
        is_ready(clusters) && is_ready(tenants) && is_ready(namespaces) && is_ready(&self.workers)
    }
}

fn is_ready<K>(store: &Store<K>) -> bool
where
    K: kube::runtime::reflector::Lookup + Clone + 'static,
    K::DynamicType: Eq + std::hash::Hash + Clone,
{
    use futures::FutureExt as _;
    store.wait_until_ready().now_or_never().is_some_and(|ready| ready.is_ok())
}

impl Visibility for WatchedVisibility {
    fn view(&self, namespace: &str) -> Option<View> {
        self.is_synced().then(|| {
            let of_namespace =
                |worker: &Arc<WorkflowWorker>| worker.metadata.namespace.as_deref() == Some(namespace);
            let existing = Existing {
                clusters: self.directory.clusters.state(),
                tenants: self.directory.tenants.state(),
                workers: self.workers.state().into_iter().filter(of_namespace).collect(),
            };
            build_view(&self.directory, &self.cluster_namespace, namespace, &existing)
        })
    }
}

/// What there is to see, and who asks for it.
#[derive(Clone, Debug, Default)]
pub struct Existing {
    pub clusters: Vec<Arc<WorkflowCluster>>,
    pub tenants: Vec<Arc<WorkflowTenant>>,
    /// Of the namespace that asks.
    pub workers: Vec<Arc<WorkflowWorker>>,
}

/// Pure: the view of `namespace`. It sees all of its own clusters, the tenant that its label names, and those that its
/// workers refer to.
pub fn build_view(
    directory: &dyn Directory,
    cluster_namespace: &str,
    namespace: &str,
    existing: &Existing,
) -> View {
    let mut scopes: BTreeMap<ClusterKey, Scope> = existing
        .clusters
        .iter()
        .filter(|cluster| cluster.metadata.namespace.as_deref() == Some(namespace))
        .map(|cluster| (key_of(cluster), Scope::All))
        .collect();
    let follow = |cluster: &ClusterRef, tenant: Option<&TenantRef>| {
        resolve(directory, cluster_namespace, Referrer { namespace, cluster, tenant }).ok()
    };
    let labelled = directory.namespace_labels(namespace).remove(labels::TENANT);
    let of_label = existing.tenants.iter().filter_map(|tenant| {
        let name = labelled.as_ref().filter(|name| tenant.metadata.name.as_ref() == Some(name))?;
        let cluster = resolve_tenant(directory, cluster_namespace, tenant).ok()?;
        let cluster = ClusterRef { name: cluster.name_any(), namespace: cluster.namespace() };
        follow(&cluster, Some(&TenantRef { name: name.clone(), namespace: tenant.namespace() }))
    });
    let of_workers = existing
        .workers
        .iter()
        .filter_map(|worker| follow(&worker.spec.cluster_ref, worker.spec.tenant_ref.as_ref()));
    for Resolved { cluster, tenant } in of_label.chain(of_workers) {
        // Without a tenant the cluster is in this namespace, and seen as a whole.
        let Some(tenant) = tenant else { continue };
        let scope = scopes.entry(key_of(&cluster)).or_insert_with(|| Scope::Tenants(BTreeSet::new()));
        if let Scope::Tenants(tenants) = scope {
            tenants.insert(tenant.name_any());
        }
    }
    View(scopes)
}

pub fn key_of(cluster: &WorkflowCluster) -> ClusterKey {
    ClusterKey { namespace: cluster.namespace().unwrap_or_default(), name: cluster.name_any() }
}

#[cfg(test)]
mod tests;
