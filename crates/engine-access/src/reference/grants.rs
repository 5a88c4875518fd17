//! The grants of a tenant: the namespaces in which its processes and workers may be.

use std::collections::BTreeSet;

use api_types::WorkflowTenant;
use api_types::labels::TENANT;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt as _;
use kube::api::PartialObjectMeta;
use kube::runtime::reflector::{ObjectRef, Store};

/// The existing namespaces: a watch cache in production, an API server in memory in tests.
pub trait Namespaces: Send + Sync {
    /// Is there one of this name?
    fn contains(&self, name: &str) -> bool;
    /// Those with the label of this tenant.
    fn labelled(&self, tenant: &str) -> Vec<String>;
}

impl Namespaces for Store<PartialObjectMeta<Namespace>> {
    fn contains(&self, name: &str) -> bool {
        self.get(&ObjectRef::new(name)).is_some()
    }

    fn labelled(&self, tenant: &str) -> Vec<String> {
        let carries = |namespace: &&std::sync::Arc<PartialObjectMeta<Namespace>>| {
            namespace.labels().get(TENANT).is_some_and(|granted| granted == tenant)
        };
        self.state().iter().filter(carries).map(|namespace| namespace.name_any()).collect()
    }
}

/// The namespaces from which [`resolve`](super::resolve) permits a reference to this tenant, provided that the tenant
/// itself may refer to its cluster: its own, those that it lists (also if they do not exist), those that are labelled
/// with its name. Each once, in this order.
#[must_use]
pub fn granted_namespaces(tenant: &WorkflowTenant, namespaces: &dyn Namespaces) -> Vec<String> {
    let mut labelled = namespaces.labelled(&tenant.name_any());
    labelled.sort();
    let mut seen = BTreeSet::new();
    let granted =
        tenant.namespace().into_iter().chain(tenant.spec.namespaces.iter().cloned()).chain(labelled);
    granted.filter(|namespace| seen.insert(namespace.clone())).collect()
}
