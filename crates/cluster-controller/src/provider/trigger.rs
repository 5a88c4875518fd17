//! Which change of a provider's object begins a pass, and of which WorkflowCluster. The pass reads the object by name: only that
//! read tells an object that is not there from a kind that is not installed.

use api_types::WorkflowCluster;
use api_types::labels::{CLUSTER, MANAGED_BY, OPERATOR};
use controller_kit::watch::OptionalKind;
use kube::ResourceExt as _;
use kube::api::DynamicObject;
use kube::runtime::reflector::ObjectRef;

use super::Provider;

/// What is watched of a provider: the objects that we made.
#[must_use]
pub fn watched(provider: &dyn Provider) -> OptionalKind {
    OptionalKind {
        name: provider.name(),
        resource: provider.resource(),
        labels: format!("{MANAGED_BY}={OPERATOR}"),
    }
}

/// By its label: with `deletionPolicy: Retain` it has no owner.
#[must_use]
pub fn cluster_of(live: &DynamicObject) -> Option<ObjectRef<WorkflowCluster>> {
    Some(ObjectRef::new(live.labels().get(CLUSTER)?).within(&live.namespace()?))
}
