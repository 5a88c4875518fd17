//! The children of a cluster as they are.

use std::sync::Arc;

use api_types::WorkflowCluster;
use api_types::cluster::ClusterReason;
use controller_kit::children::{LiveChildren, ReadError, observe_children as observe_live};
use controller_kit::plan::is_controlled_by;
use controller_kit::problem::Problem;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Service;
use kube::{Resource as _, ResourceExt as _};

use super::unread;
use crate::children::ClusterChildren;
use crate::children::service::ClientService;
use crate::children::stateful_set::EnginePods;
use crate::context::Context;
use crate::recovery::is_restore;

/// The children of one cluster.
#[derive(Clone, Debug, Default)]
pub struct Children {
    /// Those of the list.
    pub live: LiveChildren<ClusterChildren>,
    /// Every migration Job of this cluster.
    pub jobs: Vec<Arc<Job>>,
}

/// Looks them up.
pub async fn observe_children(
    context: &Context,
    cluster: &WorkflowCluster,
) -> Result<Children, Problem<ClusterReason>> {
    let live = observe_live(&context.client, &context.caches, cluster)
        .await
        .map_err(|ReadError { object, source }| unread(&object, &source))?;
    Ok(Children { live, jobs: observe_jobs(context, cluster) })
}

/// The migration Jobs of this cluster, by name. They are always watched.
#[must_use]
pub fn observe_jobs(context: &Context, cluster: &WorkflowCluster) -> Vec<Arc<Job>> {
    let (uid, namespace) = (cluster.uid().unwrap_or_default(), cluster.namespace());
    let is_ours = |job: &Arc<Job>| {
        job.namespace() == namespace && is_controlled_by(job.meta(), &uid) && !is_restore(job)
    };
    let mut jobs: Vec<_> = context.jobs.state().into_iter().filter(is_ours).collect();
    jobs.sort_by_key(|job| job.name_any());
    jobs
}

/// Nothing of it runs any more, or will.
#[must_use]
pub fn is_finished(job: &Job) -> bool {
    let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions
        .filter(|condition| condition.status == "True")
        .any(|condition| condition.type_ == "Complete" || condition.type_ == "Failed")
}

impl Children {
    /// The StatefulSet of the engine's pods.
    #[must_use]
    pub fn stateful_set(&self) -> Option<&StatefulSet> {
        self.live.get(&EnginePods)
    }

    /// The Service that callers connect to.
    #[must_use]
    pub fn client_service(&self) -> Option<&Service> {
        self.live.get(&ClientService)
    }

    /// Engine pods that are ready.
    #[must_use]
    pub fn ready_replicas(&self) -> i32 {
        let status = self.stateful_set().and_then(|set| set.status.as_ref());
        status.and_then(|status| status.ready_replicas).unwrap_or(0)
    }
}

/// Kubernetes has seen the latest spec: its counts and revisions speak of it.
#[must_use]
pub fn is_observed(set: &StatefulSet) -> bool {
    set.status.as_ref().is_some_and(|status| status.observed_generation >= set.metadata.generation)
}
