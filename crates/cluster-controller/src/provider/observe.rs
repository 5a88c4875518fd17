//! All reads of a managed Postgres.

use api_types::WorkflowCluster;
use api_types::cluster::{ClusterReason, ManagedPostgres};
use controller_kit::optional_kind::{Reading, read};
use controller_kit::problem::Problem;
use controller_kit::run::chain;
use engine_access::grant::{NamespaceRole, missing_permission};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt as _;
use kube::api::{Api, DynamicObject, ListParams};

use super::archive::{StoresView, observe_failed_recovery, observe_stores};
use super::leftovers::observe_leftovers;
use super::{ProviderView, provider_of};
use crate::context::Context;

/// What was read of a managed Postgres.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The provider's object.
    pub view: ProviderView,
    /// The `StorageClass` of the volumes, if it does not let them grow.
    pub fixed_class: Option<String>,
    /// The plugin's objects.
    pub stores: StoresView,
    /// The pod that could not recover the base backup.
    pub failed_recovery: Option<String>,
    /// Volume claims of a former one, while there is none.
    pub leftovers: Vec<String>,
}

/// Reads a managed Postgres.
pub async fn observe_managed(
    context: &Context,
    cluster: &WorkflowCluster,
    managed: &ManagedPostgres,
) -> Result<Found, Problem<ClusterReason>> {
    let (view, stores) = futures::join!(
        observe_provider(context, cluster, managed),
        observe_stores(context, cluster, managed)
    );
    let (fixed_class, failed_recovery) = futures::join!(
        observe_fixed_class(context, cluster, managed, &view),
        observe_failed_recovery(context, cluster, managed, &view)
    );
    let leftovers = observe_leftovers(context, cluster, managed, &view).await?;
    Ok(Found { view, fixed_class, stores, failed_recovery, leftovers })
}

/// Asks by name, at each pass: the watch only begins passes, see [`super::trigger`].
pub async fn observe_provider(
    context: &Context,
    cluster: &WorkflowCluster,
    managed: &ManagedPostgres,
) -> ProviderView {
    let provider = provider_of(managed);
    let (name, namespace) =
        (provider.object_name(&cluster.name_any()), cluster.namespace().unwrap_or_default());
    let resource = provider.resource();
    let api: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), &namespace, &resource);
    match read(&api, &name).await {
        Ok(Reading::Found(found)) => ProviderView::Known(Some(Box::new(found))),
        Ok(Reading::Absent) => ProviderView::Known(None),
        Ok(Reading::KindMissing) => ProviderView::CrdMissing,
        Err(error) => {
            let object = format!("{} {namespace}/{name}", resource.kind);
            let missing = missing_permission(&error, NamespaceRole::Cluster);
            ProviderView::Unread(Problem::unread(&object, &error, missing))
        }
    }
}

/// The `StorageClass` of the volumes, if it does not let them grow; asked only when a person raised the size: the provider would
/// take it, and then never look at its object again.
async fn observe_fixed_class(
    context: &Context,
    cluster: &WorkflowCluster,
    managed: &ManagedPostgres,
    view: &ProviderView,
) -> Option<String> {
    let live = view.live()?;
    let size = live.data.pointer("/spec/storage/size")?;
    if *size == serde_json::to_value(managed.storage_size()).ok()? {
        return None;
    }
    let classes: Api<StorageClass> = Api::all(context.client.clone());
    let found = match &managed.storage_class_name {
        Some(name) => classes.get_opt(name).await,
        None => classes.list(&ListParams::default()).await.map(|all| all.items.into_iter().find(is_default)),
    };
    match found {
        Ok(Some(class)) => (class.allow_volume_expansion != Some(true)).then(|| class.name_any()),
        Ok(None) => Some(managed.storage_class_name.clone().unwrap_or_else(|| "default".to_owned())),
        Err(error) => {
            tracing::warn!(cluster = cluster.name_any(), error = %chain(&error), "the StorageClass could not be read: the volumes keep their size");
            Some(managed.storage_class_name.clone().unwrap_or_else(|| "default".to_owned()))
        }
    }
}

fn is_default(class: &StorageClass) -> bool {
    class
        .annotations()
        .get("storageclass.kubernetes.io/is-default-class")
        .is_some_and(|value| value == "true")
}
