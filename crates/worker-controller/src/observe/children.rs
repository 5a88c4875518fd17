//! The children of a worker.

use std::fmt::Debug;
use std::sync::Arc;

use api_types::WorkflowWorker;
use api_types::engine_access::worker_access_secret_name;
use api_types::worker::WorkerReason;
use controller_kit::problem::Problem;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::unread;
use crate::context::Context;
use crate::plan::disruption_budget;
use crate::status::lag::{is_over_target, read_job_types, read_lag_seconds, step_of};

/// The watch caches. They hold only objects with our `managed-by` label, and never a Secret.
pub struct Caches {
    /// Fleets.
    pub deployments: Store<Deployment>,
    /// Autoscalers.
    pub autoscalers: Store<HorizontalPodAutoscaler>,
    /// PodDisruptionBudgets.
    pub disruption_budgets: Store<PodDisruptionBudget>,
}

/// The children of one worker as they are. An object that has the name of a child and belongs to somebody else is here
/// too: the plan refuses it.
#[derive(Clone, Default)]
pub struct Children {
    /// Token and CA.
    pub access_secret: Option<Arc<Secret>>,
    /// The fleet.
    pub deployment: Option<Arc<Deployment>>,
    /// Its autoscaler.
    pub autoscaler: Option<Arc<HorizontalPodAutoscaler>>,
    /// Its budget.
    pub disruption_budget: Option<Arc<PodDisruptionBudget>>,
}

/// A child that is wanted and not in the cache is asked for by name: it may be a foreign object without our label, or
/// one that we made a moment ago.
pub async fn observe_children(
    context: &Context,
    worker: &WorkflowWorker,
    namespace: &str,
) -> Result<Children, Problem<WorkerReason>> {
    let (name, caches) = (worker.name_any(), &context.caches);
    let secret_name = worker_access_secret_name(&name);
    let place = Place { client: &context.client, namespace };
    let (access_secret, deployment, autoscaler, disruption_budget) = futures::try_join!(
        place.read(&secret_name),
        place.find(&caches.deployments, &name, true),
        place.find(&caches.autoscalers, &name, worker.spec.autoscaling.is_some()),
        place.find(&caches.disruption_budgets, &name, disruption_budget::is_useful(&worker.spec)),
    )?;
    Ok(Children { access_secret, deployment, autoscaler, disruption_budget })
}

/// What of an autoscaler can make a pass do something. It writes its status at every sync, and most of that is the lag
/// moving a little.
#[must_use]
pub fn autoscaler_concern(autoscaler: &HorizontalPodAutoscaler) -> serde_json::Value {
    let HorizontalPodAutoscaler { metadata, spec, status } = autoscaler;
    let conditions = status.iter().flat_map(|status| status.conditions.iter().flatten());
    let conditions: Vec<_> =
        conditions.map(|condition| (&condition.type_, &condition.status, &condition.reason)).collect();
    json!({
        "labels": metadata.labels,
        "annotations": metadata.annotations,
        "owners": metadata.owner_references,
        "goes": metadata.deletion_timestamp.is_some(),
        "spec": spec,
        "conditions": conditions,
        "lag": read_lag_seconds(autoscaler).map(step_of),
        "overTarget": is_over_target(autoscaler),
        "jobTypes": read_job_types(autoscaler),
    })
}

struct Place<'a> {
    client: &'a Client,
    namespace: &'a str,
}

impl Place<'_> {
    async fn find<K>(
        &self,
        cache: &Store<K>,
        name: &str,
        wanted: bool,
    ) -> Result<Option<Arc<K>>, Problem<WorkerReason>>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        let cached = cache.get(&ObjectRef::new(name).within(self.namespace));
        if cached.is_some() || !wanted { Ok(cached) } else { self.read(name).await }
    }

    async fn read<K>(&self, name: &str) -> Result<Option<Arc<K>>, Problem<WorkerReason>>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), self.namespace);
        let found = api.get_opt(name).await;
        let found =
            found.map_err(|error| unread(&format!("{} {}/{name}", K::kind(&()), self.namespace), &error))?;
        Ok(found.map(Arc::new))
    }
}

#[cfg(test)]
mod tests;
