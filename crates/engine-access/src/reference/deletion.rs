//! The cluster whose engine must be called before the finalizer of a deleted object is removed.
//!
//! The cluster is gone, it cannot be read, and its engine cannot be called now: these are three different results. Only
//! in the first case is the finalizer removed without a call. Otherwise what the object owns in the engine would be
//! left behind.

use std::sync::Arc;

use api_types::WorkflowCluster;
use api_types::reason::{CommonReason, Reason};
use api_types::reference::ClusterRef;
use controller_kit::outcome::ErrorClass;
use controller_kit::problem::Problem;
use kube::{Api, Client, ResourceExt as _};

use super::{Directory, cluster_candidates, find_cluster};
use crate::grant::{NamespaceRole, missing_permission};

/// Why no engine can be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unasked<R> {
    /// No such cluster exists: the Kubernetes API answered so in this call.
    ClusterGone,
    /// The cluster exists and has no endpoint yet.
    NoEndpoint {
        /// `namespace/name`.
        cluster: String,
    },
    /// The engine of the cluster is stopped.
    Stopped {
        /// `namespace/name`.
        cluster: String,
    },
    /// It is not known whether the cluster exists, or what its status is.
    Unread(Problem<R>),
}

/// The cluster that a reference names, whether or not the referrer may use it: a deletion removes only what the engine
/// records as owned by the object. A cluster that is being deleted too is returned as well: it waits for its
/// dependants.
///
/// A cluster that is not in the cache is read from the API server. The cache may be out of date, and lacks objects that
/// this version cannot decode.
pub async fn observe_cluster_of_deleted<R: Reason>(
    client: &Client,
    directory: &dyn Directory,
    cluster_namespace: &str,
    own: &str,
    reference: &ClusterRef,
) -> Result<Arc<WorkflowCluster>, Unasked<R>> {
    if let Some(cluster) = find_cluster(directory, cluster_namespace, own, reference) {
        let has_endpoint = cluster.status.as_ref().is_some_and(|status| status.endpoint.is_some());
        let named = format!("{}/{}", cluster.namespace().unwrap_or_default(), cluster.name_any());
        return if !has_endpoint {
            Err(Unasked::NoEndpoint { cluster: named })
        } else if cluster.spec.engine_pods() == 0 {
            Err(Unasked::Stopped { cluster: named })
        } else {
            Ok(cluster)
        };
    }
    for candidate in cluster_candidates(cluster_namespace, own, reference) {
        let home = candidate.namespace.unwrap_or_default();
        let named = format!("WorkflowCluster {home}/{}", reference.name);
        let api: Api<WorkflowCluster> = Api::namespaced(client.clone(), &home);
        match api.get_metadata_opt(&reference.name).await {
            Ok(None) => {}
            Ok(Some(_)) => {
                let (reason, class) = (CommonReason::KubernetesUnavailable, ErrorClass::Transient);
                let message = format!("{named} exists, and this controller has not read it yet or cannot");
                return Err(Unasked::Unread(Problem::new(reason, class, message)));
            }
            Err(error) => {
                let missing = missing_permission(&error, NamespaceRole::Cluster);
                return Err(Unasked::Unread(Problem::unread(&named, &error, missing)));
            }
        }
    }
    Err(Unasked::ClusterGone)
}

#[cfg(test)]
mod tests;
