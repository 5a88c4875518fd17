//! References between objects, and who grants them. Every `clusterRef` and `tenantRef` of every kind goes through
//! [`resolve`]; there is no other way to reach an object in another namespace.
//!
//! Rules (`docs/spec/references.md`):
//! - a `clusterRef` without namespace means the referrer's own namespace, then the installation's cluster namespace;
//! - a `tenantRef` without namespace means the namespace of the resolved cluster, then the referrer's own;
//! - an object without `tenantRef` belongs to the tenant that its *Namespace* is labelled with, as if it named it;
//! - inside one namespace every reference is allowed;
//! - across namespaces a grant by whoever owns the target is needed: the referrer's *Namespace* carries the label
//!   `workflow.example.com/tenant: <tenant>`, or the tenant lists the namespace in `spec.namespaces` (and is itself
//!   entitled to its cluster);
//! - a missing target and one that is not granted give the same message.

mod candidates;
mod deletion;
mod grants;

pub use candidates::cluster_candidates;
pub use deletion::{Unasked, observe_cluster_of_deleted};
pub use grants::{Namespaces, granted_namespaces};

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use api_types::labels::TENANT;
use api_types::reference::{ClusterRef, TenantRef};
use api_types::{WorkflowCluster, WorkflowTenant};
use engine_client::model::DEFAULT_TENANT;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt as _;
use kube::api::PartialObjectMeta;
use kube::runtime::reflector::{ObjectRef, Store};

/// Where referenced objects are looked up: watch caches in production, maps in tests.
pub trait Directory: Send + Sync {
    /// The cluster of this namespace and name.
    fn cluster(&self, namespace: &str, name: &str) -> Option<Arc<WorkflowCluster>>;
    /// The tenant of this namespace and name.
    fn tenant(&self, namespace: &str, name: &str) -> Option<Arc<WorkflowTenant>>;
    /// Labels of a namespace.
    fn namespace_labels(&self, namespace: &str) -> BTreeMap<String, String>;
}

/// The watch caches of a controller.
#[derive(Clone)]
pub struct CachedDirectory {
    /// All clusters.
    pub clusters: Store<WorkflowCluster>,
    /// All tenants.
    pub tenants: Store<WorkflowTenant>,
    /// Metadata of all namespaces.
    pub namespaces: Store<PartialObjectMeta<Namespace>>,
}

impl Directory for CachedDirectory {
    fn cluster(&self, namespace: &str, name: &str) -> Option<Arc<WorkflowCluster>> {
        self.clusters.get(&ObjectRef::new(name).within(namespace))
    }

    fn tenant(&self, namespace: &str, name: &str) -> Option<Arc<WorkflowTenant>> {
        self.tenants.get(&ObjectRef::new(name).within(namespace))
    }

    fn namespace_labels(&self, namespace: &str) -> BTreeMap<String, String> {
        self.namespaces
            .get(&ObjectRef::new(namespace))
            .map(|found| found.labels().clone())
            .unwrap_or_default()
    }
}

/// The tenant that a namespace is labelled with.
#[must_use]
pub fn tenant_label(directory: &dyn Directory, namespace: &str) -> Option<String> {
    labelled_tenant(&directory.namespace_labels(namespace))
}

/// The same from the watch of Namespaces alone.
#[must_use]
pub fn namespace_tenant(namespaces: &Store<PartialObjectMeta<Namespace>>, namespace: &str) -> Option<String> {
    namespaces.get(&ObjectRef::new(namespace)).and_then(|found| labelled_tenant(found.labels()))
}

/// The tenant in the labels of a Namespace. An empty value names none.
#[must_use]
pub fn labelled_tenant(labels: &BTreeMap<String, String>) -> Option<String> {
    labels.get(TENANT).filter(|tenant| !tenant.is_empty()).cloned()
}

/// The tenant that an object belongs to: the one that it names, else the one that its Namespace is labelled with.
#[must_use]
pub fn meant_tenant<'a>(named: Option<&'a TenantRef>, label: Option<&str>) -> Option<Cow<'a, TenantRef>> {
    let of_label = |name: &str| Cow::Owned(TenantRef { name: name.to_owned(), namespace: None });
    named.map(Cow::Borrowed).or_else(|| label.map(of_label))
}

/// Id of that tenant in the engine: the name of the WorkflowTenant, or the engine's default tenant.
#[must_use]
pub fn meant_tenant_id(named: Option<&TenantRef>, label: Option<&str>) -> String {
    named.map(|tenant| tenant.name.as_str()).or(label).unwrap_or(DEFAULT_TENANT).to_owned()
}

/// The namespace and the references of an object that refers to others.
#[derive(Clone, Copy, Debug)]
pub struct Referrer<'a> {
    /// The referrer's namespace.
    pub namespace: &'a str,
    /// `spec.clusterRef`.
    pub cluster: &'a ClusterRef,
    /// `spec.tenantRef`.
    pub tenant: Option<&'a TenantRef>,
}

/// The objects that the references mean.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// The cluster.
    pub cluster: Arc<WorkflowCluster>,
    /// The tenant, if one was named by the object or by the label of its Namespace.
    pub tenant: Option<Arc<WorkflowTenant>>,
}

impl Resolved {
    /// Id of the tenant in the engine; the engine's default tenant if there is none.
    #[must_use]
    pub fn tenant_id(&self) -> String {
        self.tenant.as_ref().map_or_else(|| DEFAULT_TENANT.to_owned(), |tenant| tenant.name_any())
    }
}

/// A reference whose target does not exist, or is not granted to this referrer. The two are not distinguished on
/// purpose.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(
    /// What was referred to, from where, and how access is granted.
    pub String,
);

/// Follows the references of a Process or a Worker.
pub fn resolve(
    directory: &dyn Directory,
    cluster_namespace: &str,
    referrer: Referrer<'_>,
) -> Result<Resolved, Refused> {
    let label = tenant_label(directory, referrer.namespace);
    let refused = || refuse(&referrer, label.as_deref());
    let cluster = find_cluster(directory, cluster_namespace, referrer.namespace, referrer.cluster)
        .ok_or_else(refused)?;
    let cluster_home = cluster.namespace().unwrap_or_default();
    let Some(tenant_ref) = meant_tenant(referrer.tenant, label.as_deref()) else {
        return if cluster_home == referrer.namespace {
            Ok(Resolved { cluster, tenant: None })
        } else {
            Err(refused())
        };
    };
    let tenant =
        find_tenant(directory, &cluster_home, referrer.namespace, &tenant_ref).ok_or_else(refused)?;
    let tenant_home = tenant.namespace().unwrap_or_default();
    let entitled = tenant_is_entitled(directory, cluster_namespace, &tenant, &cluster);
    let inside_one = tenant_home == referrer.namespace && cluster_home == referrer.namespace;
    let granted = label.as_deref() == Some(&tenant.name_any())
        || tenant.spec.namespaces.iter().any(|namespace| namespace == referrer.namespace);
    if entitled && (inside_one || granted) {
        Ok(Resolved { cluster, tenant: Some(tenant) })
    } else {
        Err(refused())
    }
}

/// Follows the reference of a Tenant: across namespaces its own Namespace must carry its name.
pub fn resolve_tenant(
    directory: &dyn Directory,
    cluster_namespace: &str,
    tenant: &WorkflowTenant,
) -> Result<Arc<WorkflowCluster>, Refused> {
    let namespace = tenant.namespace().unwrap_or_default();
    let referrer = Referrer { namespace: &namespace, cluster: &tenant.spec.cluster_ref, tenant: None };
    let cluster = find_cluster(directory, cluster_namespace, &namespace, &tenant.spec.cluster_ref)
        .ok_or_else(|| refuse(&referrer, None))?;
    if tenant_is_entitled(directory, cluster_namespace, tenant, &cluster) {
        Ok(cluster)
    } else {
        Err(refuse_tenant(&referrer, &tenant.name_any()))
    }
}

/// Whether the tenant's own `clusterRef` names this cluster and is permitted. Without this check, a user who may create
/// tenants in another namespace could get access by listing that namespace in `spec.namespaces`.
fn tenant_is_entitled(
    directory: &dyn Directory,
    cluster_namespace: &str,
    tenant: &WorkflowTenant,
    cluster: &WorkflowCluster,
) -> bool {
    let home = tenant.namespace().unwrap_or_default();
    let means_cluster = find_cluster(directory, cluster_namespace, &home, &tenant.spec.cluster_ref)
        .is_some_and(|found| found.uid() == cluster.uid());
    means_cluster
        && (cluster.namespace().as_ref() == Some(&home) || is_labelled(directory, &home, &tenant.name_any()))
}

fn find_cluster(
    directory: &dyn Directory,
    cluster_namespace: &str,
    own: &str,
    reference: &ClusterRef,
) -> Option<Arc<WorkflowCluster>> {
    let at = |candidate: ObjectRef<WorkflowCluster>| {
        directory.cluster(candidate.namespace.as_deref().unwrap_or_default(), &candidate.name)
    };
    cluster_candidates(cluster_namespace, own, reference).into_iter().find_map(at)
}

/// Namespaces in which the cluster that a reference from the namespace `own` means can be, in search order.
#[must_use]
pub fn cluster_homes<'a>(
    reference: &'a ClusterRef,
    own: &'a str,
    cluster_namespace: &'a str,
) -> Vec<&'a str> {
    match &reference.namespace {
        Some(namespace) => vec![namespace],
        None if own == cluster_namespace => vec![own],
        None => vec![own, cluster_namespace],
    }
}

/// Namespaces in which the tenant that a referrer means can be.
#[must_use]
pub fn tenant_homes<'a>(
    reference: &'a TenantRef,
    referrer: &Referrer<'a>,
    cluster_namespace: &'a str,
) -> Vec<&'a str> {
    if let Some(namespace) = &reference.namespace {
        return vec![namespace];
    }
    let mut homes = cluster_homes(referrer.cluster, referrer.namespace, cluster_namespace);
    homes.push(referrer.namespace);
    homes
}

fn find_tenant(
    directory: &dyn Directory,
    cluster_home: &str,
    own: &str,
    reference: &TenantRef,
) -> Option<Arc<WorkflowTenant>> {
    match &reference.namespace {
        Some(namespace) => directory.tenant(namespace, &reference.name),
        None => {
            directory.tenant(cluster_home, &reference.name).or_else(|| directory.tenant(own, &reference.name))
        }
    }
}

fn is_labelled(directory: &dyn Directory, namespace: &str, tenant: &str) -> bool {
    tenant_label(directory, namespace).is_some_and(|granted| granted == tenant)
}

fn refuse(referrer: &Referrer<'_>, label: Option<&str>) -> Refused {
    let cluster = reported(&referrer.cluster.name, referrer.cluster.namespace.as_deref());
    match (referrer.tenant, label) {
        (Some(tenant), _) => refuse_tenant(referrer, &tenant.name),
        (None, Some(label)) => Refused(format!(
            "spec.clusterRef {cluster}, tenant {label} (from label {TENANT} of Namespace {}): not found or not permitted there; create the WorkflowTenant, or correct the label",
            referrer.namespace,
        )),
        (None, None) => Refused(format!(
            "spec.clusterRef {cluster}: not found or not permitted from namespace {}; from another namespace than the cluster's, a tenant is needed: spec.tenantRef, or the label {TENANT} of that Namespace",
            referrer.namespace,
        )),
    }
}

fn refuse_tenant(referrer: &Referrer<'_>, tenant: &str) -> Refused {
    let named = referrer
        .tenant
        .map(|tenant| format!(", spec.tenantRef {}", reported(&tenant.name, tenant.namespace.as_deref())));
    Refused(format!(
        "spec.clusterRef {}{}: not found or not permitted from namespace {}; grant: label that Namespace {TENANT}={tenant}",
        reported(&referrer.cluster.name, referrer.cluster.namespace.as_deref()),
        named.unwrap_or_default(),
        referrer.namespace,
    ))
}

fn reported(name: &str, namespace: Option<&str>) -> String {
    namespace.map_or_else(|| name.to_owned(), |namespace| format!("{namespace}/{name}"))
}

#[cfg(test)]
mod tests;
