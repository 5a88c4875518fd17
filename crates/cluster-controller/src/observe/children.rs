//! The children that are watched.

use std::collections::BTreeMap;
use std::sync::Arc;

use api_types::WorkflowCluster;
use api_types::cluster::ClusterReason;
use api_types::engine_access::{
    Access, access_secret_name, ca_config_map_name, engine_name, headless_service_name,
};
use controller_kit::plan::is_controlled_by;
use controller_kit::problem::Problem;
use futures::future::try_join_all;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use super::unread;
use crate::context::Context;

/// The watch caches. They hold only objects with our `managed-by` label.
pub struct Caches {
    /// Engines.
    pub stateful_sets: Store<StatefulSet>,
    /// Client and headless Services.
    pub services: Store<Service>,
    /// Public CA bundles.
    pub config_maps: Store<ConfigMap>,
    /// PodDisruptionBudgets.
    pub budgets: Store<PodDisruptionBudget>,
    /// NetworkPolicies.
    pub network_policies: Store<NetworkPolicy>,
    /// Ingresses.
    pub ingresses: Store<Ingress>,
    /// Migration Jobs.
    pub jobs: Store<Job>,
}

/// The children of one cluster as they are. An object that has the name of a child and belongs to somebody else is
/// here too: the plan refuses it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Children {
    /// The engine's pods.
    pub stateful_set: Option<Arc<StatefulSet>>,
    /// Gives the pods their names.
    pub headless_service: Option<Arc<Service>>,
    /// What callers connect to.
    pub service: Option<Arc<Service>>,
    /// The public CA bundle.
    pub ca_bundle: Option<Arc<ConfigMap>>,
    /// Keeps node drains from stopping the engine.
    pub budget: Option<Arc<PodDisruptionBudget>>,
    /// Who may reach the pods.
    pub network_policy: Option<Arc<NetworkPolicy>>,
    /// Access from outside.
    pub ingress: Option<Arc<Ingress>>,
    /// Who may read which of the engine's tokens and keys. Read by name, so that no right to list Roles is needed.
    pub grants: BTreeMap<Access, Grant>,
    /// Every migration Job of this cluster.
    pub jobs: Vec<Arc<Job>>,
}

/// The permission to read one Secret.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grant {
    /// Names the Secret.
    pub role: Option<Role>,
    /// Names the ServiceAccounts.
    pub binding: Option<RoleBinding>,
}

/// A child that is wanted and not in the cache is asked for by name: it may be a foreign object without our label, or
/// one that we made a moment ago.
pub async fn observe_children(
    context: &Context,
    cluster: &WorkflowCluster,
) -> Result<Children, Problem<ClusterReason>> {
    let caches = &context.caches;
    let name = cluster.name_any();
    let (engine, headless, ca_bundle) =
        (engine_name(&name), headless_service_name(&name), ca_config_map_name(&name));
    let place = Place { client: &context.client, namespace: cluster.namespace().unwrap_or_default() };
    let grants = Access::ALL.map(async |access| {
        let name = access_secret_name(&name, access);
        let (role, binding) = futures::try_join!(place.get(&name), place.get(&name))?;
        Ok((access, Grant { role, binding }))
    });
    let (stateful_set, headless_service, service, ca_bundle, budget, network_policy, ingress, grants) = futures::try_join!(
        place.find(&caches.stateful_sets, &engine, true),
        place.find(&caches.services, &headless, true),
        place.find(&caches.services, &engine, true),
        place.find(&caches.config_maps, &ca_bundle, true),
        place.find(&caches.budgets, &engine, cluster.spec.replicas > 1),
        place.find(&caches.network_policies, &engine, true),
        place.find(&caches.ingresses, &engine, cluster.spec.enabled_ingress().is_some()),
        try_join_all(grants),
    )?;
    Ok(Children {
        stateful_set,
        headless_service,
        service,
        ca_bundle,
        budget,
        network_policy,
        ingress,
        grants: grants.into_iter().collect(),
        jobs: observe_jobs(context, cluster),
    })
}

/// The migration Jobs of this cluster, by name. They are always watched.
#[must_use]
pub fn observe_jobs(context: &Context, cluster: &WorkflowCluster) -> Vec<Arc<Job>> {
    let (uid, namespace) = (cluster.uid().unwrap_or_default(), cluster.namespace());
    let is_ours = |job: &Arc<Job>| job.namespace() == namespace && is_controlled_by(job.meta(), &uid);
    let mut jobs: Vec<_> = context.caches.jobs.state().into_iter().filter(is_ours).collect();
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

struct Place<'a> {
    client: &'a Client,
    namespace: String,
}

impl Place<'_> {
    async fn find<K>(
        &self,
        cache: &Store<K>,
        name: &str,
        wanted: bool,
    ) -> Result<Option<Arc<K>>, Problem<ClusterReason>>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        let cached = cache.get(&ObjectRef::new(name).within(&self.namespace));
        if cached.is_some() || !wanted {
            return Ok(cached);
        }
        Ok(self.get(name).await?.map(Arc::new))
    }

    async fn get<K>(&self, name: &str) -> Result<Option<K>, Problem<ClusterReason>>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), &self.namespace);
        let found = api.get_opt(name).await;
        found.map_err(|error| unread(&format!("{} {}/{name}", K::kind(&()), self.namespace), &error))
    }
}

impl Children {
    /// Engine pods that are ready.
    #[must_use]
    pub fn ready_replicas(&self) -> i32 {
        let status = self.stateful_set.as_ref().and_then(|set| set.status.as_ref());
        status.and_then(|status| status.ready_replicas).unwrap_or(0)
    }
}

/// Kubernetes has seen the latest spec: its counts and revisions speak of it.
#[must_use]
pub fn is_observed(set: &StatefulSet) -> bool {
    set.status.as_ref().is_some_and(|status| status.observed_generation >= set.metadata.generation)
}
