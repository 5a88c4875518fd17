//! References between objects, and who grants them. Every `clusterRef` and `tenantRef` of every kind goes through
//! [`resolve`]; there is no other way to reach an object in another namespace.
//!
//! Rules (`docs/spec/references.md`):
//! - a `clusterRef` without namespace means the referrer's own namespace, then the installation's cluster namespace;
//! - a `tenantRef` without namespace means the namespace of the resolved cluster, then the referrer's own;
//! - inside one namespace every reference is allowed;
//! - across namespaces a grant by whoever owns the target is needed: the referrer's *Namespace* carries the label
//!   `workflow.example.com/tenant: <tenant>`, or the tenant lists the namespace in `spec.namespaces` (and is itself
//!   entitled to its cluster);
//! - what is missing and what is not granted cannot be told apart.

mod candidates;
mod deletion;

pub use candidates::cluster_candidates;
pub use deletion::{Unasked, observe_cluster_of_deleted};

use std::collections::BTreeMap;
use std::sync::Arc;

use api_types::labels::TENANT;
use api_types::reference::{ClusterRef, TenantRef};
use api_types::{WorkflowCluster, WorkflowTenant};
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

/// Who refers, and to what.
#[derive(Clone, Copy, Debug)]
pub struct Referrer<'a> {
    /// The referrer's namespace.
    pub namespace: &'a str,
    /// `spec.clusterRef`.
    pub cluster: &'a ClusterRef,
    /// `spec.tenantRef`.
    pub tenant: Option<&'a TenantRef>,
}

/// What the references lead to.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// The cluster.
    pub cluster: Arc<WorkflowCluster>,
    /// The tenant, if one was named.
    pub tenant: Option<Arc<WorkflowTenant>>,
}

/// A reference that leads nowhere, or not for this referrer: the two are one on purpose.
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
    let refused = || refuse(&referrer);
    let cluster = find_cluster(directory, cluster_namespace, referrer.namespace, referrer.cluster)
        .ok_or_else(refused)?;
    let cluster_home = cluster.namespace().unwrap_or_default();
    let Some(tenant_ref) = referrer.tenant else {
        return if cluster_home == referrer.namespace {
            Ok(Resolved { cluster, tenant: None })
        } else {
            Err(refused())
        };
    };
    let tenant = find_tenant(directory, &cluster_home, referrer.namespace, tenant_ref).ok_or_else(refused)?;
    let tenant_home = tenant.namespace().unwrap_or_default();
    let entitled = tenant_is_entitled(directory, cluster_namespace, &tenant, &cluster);
    let inside_one = tenant_home == referrer.namespace && cluster_home == referrer.namespace;
    let granted = is_labelled(directory, referrer.namespace, &tenant.name_any())
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
        .ok_or_else(|| refuse(&referrer))?;
    if tenant_is_entitled(directory, cluster_namespace, tenant, &cluster) {
        Ok(cluster)
    } else {
        Err(refuse_tenant(&referrer, &tenant.name_any()))
    }
}

/// Does this tenant itself lead, lawfully, to this cluster? Without this question a tenant made in a foreign namespace
/// could grant itself access by listing that namespace.
fn tenant_is_entitled(
    directory: &dyn Directory,
    cluster_namespace: &str,
    tenant: &WorkflowTenant,
    cluster: &WorkflowCluster,
) -> bool {
    let home = tenant.namespace().unwrap_or_default();
    let leads_there = find_cluster(directory, cluster_namespace, &home, &tenant.spec.cluster_ref)
        .is_some_and(|found| found.uid() == cluster.uid());
    leads_there
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

/// Where the cluster that a reference from the namespace `own` names can be, in the order of the search.
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

/// Where the tenant that a referrer names can be.
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
    directory.namespace_labels(namespace).get(TENANT).is_some_and(|granted| granted == tenant)
}

fn refuse(referrer: &Referrer<'_>) -> Refused {
    match referrer.tenant {
        Some(tenant) => refuse_tenant(referrer, &tenant.name),
        None => Refused(format!(
            "spec.clusterRef {}: not found or not permitted from namespace {}; from another namespace than the cluster's, spec.tenantRef is needed",
            told(&referrer.cluster.name, referrer.cluster.namespace.as_deref()),
            referrer.namespace,
        )),
    }
}

fn refuse_tenant(referrer: &Referrer<'_>, tenant: &str) -> Refused {
    let named = referrer
        .tenant
        .map(|tenant| format!(", spec.tenantRef {}", told(&tenant.name, tenant.namespace.as_deref())));
    Refused(format!(
        "spec.clusterRef {}{}: not found or not permitted from namespace {}; grant: label that Namespace {TENANT}={tenant}",
        told(&referrer.cluster.name, referrer.cluster.namespace.as_deref()),
        named.unwrap_or_default(),
        referrer.namespace,
    ))
}

fn told(name: &str, namespace: Option<&str>) -> String {
    namespace.map_or_else(|| name.to_owned(), |namespace| format!("{namespace}/{name}"))
}

#[cfg(test)]
mod tests;
