//! One object of each kind beside the sample, on a database of their own: several such lanes do not notice each other.

use std::fmt::Debug;
use std::time::Duration;

use api_types::{WorkflowCluster, WorkflowProcess, WorkflowTenant, WorkflowWorker};
use e2e::cluster::Cluster;
use e2e::postgres;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use test_support::wait::{await_condition, await_gone, eventually};

use crate::deletion::ALL;
use crate::fixture::{START, api, apply, bpmn};

/// A kind of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Cluster,
    Tenant,
    Process,
    Worker,
}

/// The cluster first, as in a manifest.
pub(crate) const KINDS: [Kind; 4] = [Kind::Cluster, Kind::Tenant, Kind::Process, Kind::Worker];

/// A cluster, a tenant, a process and a worker of this name.
pub(crate) struct Lane {
    pub(crate) name: String,
    cluster: Cluster,
    image: Option<String>,
    version: &'static str,
    replicas: i32,
}

impl Lane {
    /// None of the objects, and an empty database. The sample's must not notice.
    pub(crate) async fn fresh(cluster: &Cluster, name: &str) -> Self {
        let engines: Api<WorkflowCluster> = api(cluster, e2e::sample::SYSTEM_NAMESPACE);
        let sample = engines.get(e2e::sample::CLUSTER).await.expect("should read the sample's cluster");
        // `spec.image` is a repository, without a tag.
        let lane = Self {
            name: name.to_owned(),
            cluster: cluster.clone(),
            image: sample.spec.image,
            version: "1.3.0",
            replicas: 1,
        };
        lane.remove().await;
        postgres::recreate(cluster, &lane.database()).await.expect("should make the database anew");
        lane
    }

    /// With this version of the engine, and with as many pods.
    pub(crate) fn with_engine(self, version: &'static str, replicas: i32) -> Self {
        Self { version, replicas, ..self }
    }

    fn database(&self) -> String {
        format!("e2e_{}", self.name.replace('-', "_"))
    }

    fn object(&self, kind: &str, spec: &Value) -> Value {
        json!({
            "apiVersion": "workflow.example.com/v1alpha1", "kind": kind,
            "metadata": {"name": self.name, "namespace": ALL}, "spec": spec,
        })
    }

    /// The same manifests every time.
    pub(crate) async fn apply(&self) {
        let (cluster, name) = (&self.cluster, self.name.as_str());
        let secret = format!("{name}-db");
        let login = postgres::read_login(cluster).await.expect("should read the sample's login");
        let login = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": secret, "namespace": ALL},
            "data": login.data});
        apply::<Secret>(cluster, ALL, &secret, &login).await;
        let postgres = json!({"externalRef": {"host": postgres::HOST, "database": self.database(),
            "databaseSecret": secret}});
        let engine = json!({"version": self.version, "replicas": self.replicas, "postgres": postgres, "image": self.image,
            "upgrade": {"canary": {"healthSeconds": 5}},
            "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}}});
        apply::<WorkflowCluster>(cluster, ALL, name, &self.object("WorkflowCluster", &engine)).await;
        let reference = json!({"name": name});
        let tenant = json!({"clusterRef": reference, "quotas": {"maxActiveInstances": 10}});
        apply::<WorkflowTenant>(cluster, ALL, name, &self.object("WorkflowTenant", &tenant)).await;
        let source = json!({"bpmn": bpmn(&format!("{name}-flow"), "charge-payment")});
        let process = json!({"clusterRef": reference, "tenantRef": reference, "source": source});
        apply::<WorkflowProcess>(cluster, ALL, name, &self.object("WorkflowProcess", &process)).await;
        let worker = json!({"clusterRef": reference, "tenantRef": reference, "image": "ghcr.io/example/workflow-operator/sample-worker:1.2.3",
            "jobTypes": ["charge-payment"], "replicas": 1,
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}}});
        apply::<WorkflowWorker>(cluster, ALL, name, &self.object("WorkflowWorker", &worker)).await;
    }

    /// Cluster, tenant and process do what their specs ask for, and the worker is known to its controller.
    pub(crate) async fn await_ready(&self) {
        let name = &self.name;
        let clusters: Api<WorkflowCluster> = self.api();
        await_condition(&clusters, name, START, "is ready", |it: &WorkflowCluster| {
            it.status.as_ref().is_some_and(|status| status.ready)
        })
        .await;
        let tenants: Api<WorkflowTenant> = self.api();
        await_condition(&tenants, name, START, "is ready", |it: &WorkflowTenant| {
            it.status.as_ref().is_some_and(|status| status.ready)
        })
        .await;
        let processes: Api<WorkflowProcess> = self.api();
        await_condition(&processes, name, START, "is deployed", |it: &WorkflowProcess| {
            it.status.as_ref().is_some_and(|status| status.ready)
        })
        .await;
        let workers: Api<WorkflowWorker> = self.api();
        await_condition(&workers, name, START, "is known", |it: &WorkflowWorker| {
            let seen = it.status.as_ref().and_then(|status| status.observed_generation);
            seen.is_some_and(|generation| generation != api_types::UNSEEN_GENERATION)
        })
        .await;
    }

    /// Deletes one of them and does not wait.
    pub(crate) async fn delete(&self, kind: Kind) {
        match kind {
            Kind::Cluster => self.delete_one::<WorkflowCluster>().await,
            Kind::Tenant => self.delete_one::<WorkflowTenant>().await,
            Kind::Process => self.delete_one::<WorkflowProcess>().await,
            Kind::Worker => self.delete_one::<WorkflowWorker>().await,
        }
    }

    /// Gives up what it has in the engine.
    pub(crate) async fn force(&self, kind: Kind) {
        match kind {
            Kind::Cluster => self.force_one::<WorkflowCluster>().await,
            Kind::Tenant => self.force_one::<WorkflowTenant>().await,
            Kind::Process => self.force_one::<WorkflowProcess>().await,
            Kind::Worker => self.force_one::<WorkflowWorker>().await,
        }
    }

    /// All four are gone, and what the cluster consisted of.
    pub(crate) async fn await_gone(&self, patience: Duration) {
        await_gone(&self.api::<WorkflowWorker>(), &self.name, patience).await;
        await_gone(&self.api::<WorkflowProcess>(), &self.name, patience).await;
        await_gone(&self.api::<WorkflowTenant>(), &self.name, patience).await;
        await_gone(&self.api::<WorkflowCluster>(), &self.name, patience).await;
        let engine = api_types::engine_access::engine_name(&self.name);
        let sets: Api<k8s_openapi::api::apps::v1::StatefulSet> = api(&self.cluster, ALL);
        await_gone(&sets, &engine, patience).await;
    }

    /// Deletes all four in order, and waits until they are gone. Not there is as good as gone.
    pub(crate) async fn remove(&self) {
        for kind in [Kind::Worker, Kind::Process, Kind::Tenant, Kind::Cluster] {
            self.delete(kind).await;
        }
        self.await_gone(Duration::from_mins(7)).await;
    }

    /// Whether tenant and process took over what objects of their names had left in the engine: by the events about them as
    /// they are now, not about those that were deleted. Events may be a moment behind the status.
    pub(crate) async fn adopted(&self) -> (bool, bool) {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let (tenant, process) = (self.uid::<WorkflowTenant>().await, self.uid::<WorkflowProcess>().await);
        (self.has_event(&tenant, "Adopted").await, self.has_event(&process, "Adopted").await)
    }

    async fn has_event(&self, uid: &str, reason: &str) -> bool {
        let events: Api<Event> = api(&self.cluster, ALL);
        let is_it = |event: &Event| {
            event.reason.as_deref() == Some(reason)
                && event.regarding.as_ref().and_then(|about| about.uid.as_deref()) == Some(uid)
        };
        let found = eventually("events can be listed", Duration::from_mins(1), async || {
            events.list(&ListParams::default()).await
        })
        .await;
        found.items.iter().any(is_it)
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        api(&self.cluster, ALL)
    }

    async fn uid<K>(&self) -> String
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        self.api::<K>().get(&self.name).await.expect("should be there").uid().unwrap_or_default()
    }

    async fn delete_one<K>(&self)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned
            + Serialize,
    {
        let deleted = self.api::<K>().delete(&self.name, &DeleteParams::default()).await;
        let is_gone = matches!(&deleted, Err(kube::Error::Api(status)) if status.code == 404);
        assert!(deleted.is_ok() || is_gone, "{} {}: {:?}", K::kind(&()), self.name, deleted.err());
    }

    async fn force_one<K>(&self)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        let force = json!({"metadata": {"annotations": {"workflow.example.com/force-delete": "true"}}});
        let params = PatchParams::default();
        self.api::<K>().patch(&self.name, &params, &Patch::Merge(&force)).await.expect("should annotate");
    }
}
