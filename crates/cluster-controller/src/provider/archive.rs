//! Where a managed Postgres archives its WAL, and the base backup that it begins with. Both are objects of a provider's plugin,
//! which may not be installed. Pure, but for [`observe_stores`].

use std::collections::BTreeMap;

use api_types::WorkflowCluster;
use api_types::backup::S3Destination;
use api_types::cluster::{ClusterReason, ManagedPostgres};
use backup_format::PhysicalId;
use controller_kit::optional_kind::{Reading, read};
use controller_kit::plan::{ChildVerdict, is_controlled_by, is_converged};
use controller_kit::problem::Problem;
use controller_kit::run::chain;
use engine_access::grant::{NamespaceRole, missing_permission};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, DynamicObject, ListParams};

use super::{Order, ProviderView, is_ours, provider_of};
use crate::context::Context;

/// A base backup, and how far its WAL is replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Which.
    pub id: PhysicalId,
    /// Where it is.
    pub s3: S3Destination,
    /// The point in time to recover to; the end of the base backup when absent.
    pub target_time: Option<String>,
}

/// What a managed Postgres begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// An empty database.
    Empty,
    /// A base backup.
    Recovered(Box<Origin>),
    /// That is not known yet, or cannot be: nothing is made, because a Postgres begins once.
    Held(ClusterReason, String),
}

/// The plugin's objects, as they are.
#[derive(Clone, Debug, PartialEq)]
pub enum StoresView {
    /// The plugin is not installed.
    KindMissing,
    /// They could not be read.
    Unread(Problem<ClusterReason>),
    /// Those that exist, by name; nothing when none is needed.
    Known(BTreeMap<String, DynamicObject>),
}

/// Reads the plugin's objects by name, when a cluster may need them: a kind that may not exist cannot be watched.
pub async fn observe_stores(
    context: &Context,
    cluster: &WorkflowCluster,
    managed: &ManagedPostgres,
) -> StoresView {
    let provider = provider_of(managed);
    let (resource, namespace) = (provider.store_resource(), cluster.namespace().unwrap_or_default());
    let api: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), &namespace, &resource);
    let is_needed = [cluster.spec.wal_archive().is_some(), cluster.spec.recovery().is_some()];
    let names = provider.store_names(&cluster.name_any());
    let mut found = BTreeMap::new();
    for name in names.into_iter().zip(is_needed).filter_map(|(name, is_needed)| is_needed.then_some(name)) {
        match read(&api, &name).await {
            Ok(Reading::Found(store)) => drop(found.insert(name, store)),
            Ok(Reading::Absent) => {}
            Ok(Reading::KindMissing) => return StoresView::KindMissing,
            Err(error) => {
                let object = format!("{} {namespace}/{name}", resource.kind);
                let missing = missing_permission(&error, NamespaceRole::Cluster);
                return StoresView::Unread(Problem::unread(&object, &error, missing));
            }
        }
    }
    StoresView::Known(found)
}

/// The last pod that could not recover the base backup, while there is no instance yet: the provider says nothing of it and tries
/// again.
pub async fn observe_failed_recovery(
    context: &Context,
    cluster: &WorkflowCluster,
    managed: &ManagedPostgres,
    view: &ProviderView,
) -> Option<String> {
    let labels = provider_of(managed).recovering_pods(view.live()?)?;
    let namespace = cluster.namespace().unwrap_or_default();
    let api: Api<Pod> = Api::namespaced(context.client.clone(), &namespace);
    let mut pods = match api.list(&ListParams::default().labels(&labels)).await {
        Ok(pods) => pods.items,
        Err(error) => {
            tracing::warn!(cluster = cluster.name_any(), error = %chain(&error), "how far the recovery is cannot be seen");
            return None;
        }
    };
    pods.retain(|pod| pod.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Failed")));
    pods.sort_by_key(|pod| (pod.creation_timestamp().map(|time| time.0), pod.name_any()));
    pods.last().map(ResourceExt::name_any)
}

/// What is to be done about the plugin's objects. They come before what refers to them.
#[must_use]
pub fn plan_stores(order: &Order<'_>, stores: &StoresView) -> Vec<ChildVerdict> {
    let StoresView::Known(found) = stores else { return Vec::new() };
    let owner = order.cluster.uid().unwrap_or_default();
    let plan = |desired: controller_kit::plan::Desired| match found.get(&desired.name) {
        Some(live) if !is_controlled_by(&live.metadata, &owner) && !is_ours(order, live) => {
            ChildVerdict::NameTaken { object: desired.display() }
        }
        Some(live) if is_converged(&desired, live) => ChildVerdict::Converged,
        Some(_) | None => ChildVerdict::Apply(desired),
    };
    provider_of(order.managed).build_stores(order).into_iter().map(plan).collect()
}

#[cfg(test)]
mod tests;
