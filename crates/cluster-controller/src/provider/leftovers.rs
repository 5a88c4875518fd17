//! What is left of a former Postgres of the same name. CloudNativePG would take its volumes for those of the new one, and give
//! up for good.

use api_types::WorkflowCluster;
use api_types::cluster::{ClusterReason, ManagedPostgres};
use controller_kit::message::listed;
use controller_kit::problem::Problem;
use engine_access::grant::{NamespaceRole, missing_permission};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{Api, ListParams};
use kube::{Resource as _, ResourceExt as _};

use super::archive::Beginning;
use super::{ProviderView, provider_of};
use crate::context::Context;

/// Characters for the names in a message.
const ROOM_FOR_NAMES: usize = 80;

/// Names of volume claims that carry the name of an object which does not exist. The object was read before: claims that are there
/// now are not those of one that was just made.
pub(super) async fn observe_leftovers(
    context: &Context,
    cluster: &WorkflowCluster,
    managed: &ManagedPostgres,
    view: &ProviderView,
) -> Result<Vec<String>, Problem<ClusterReason>> {
    if *view != ProviderView::Known(None) {
        return Ok(Vec::new());
    }
    let labels = provider_of(managed).volume_labels(&cluster.name_any());
    let namespace = cluster.namespace().unwrap_or_default();
    let api: Api<PersistentVolumeClaim> = Api::namespaced(context.client.clone(), &namespace);
    let listed = api.list_metadata(&ListParams::default().labels(&labels)).await.map_err(|error| {
        let object = format!("{} of {namespace}", PersistentVolumeClaim::plural(&()));
        Problem::unread(&object, &error, missing_permission(&error, NamespaceRole::Cluster))
    })?;
    let mut names: Vec<_> = listed.items.iter().map(kube::ResourceExt::name_any).collect();
    names.sort();
    Ok(names)
}

/// Nothing is made while something is left.
pub(super) fn hold_for(leftovers: &[String], beginning: Beginning) -> Beginning {
    if leftovers.is_empty() {
        return beginning;
    }
    let message = format!(
        "PersistentVolumeClaims of a former Postgres of this name are still there: {}; they go by themselves if it was just deleted, else delete them",
        listed(leftovers, ROOM_FOR_NAMES)
    );
    Beginning::Held(ClusterReason::PostgresProvisioning, message)
}
