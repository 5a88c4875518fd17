//! An engine cluster of its own beside the sample, on a database of its own, for what the sample must not go through. It has
//! a tenant without quotas and a process with one service task.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::Context as _;
use api_types::cluster::UpgradeStage;
use api_types::engine_access::{
    Access, CURRENT_KEY, GRPC_PORT, access_secret_name, engine_host, engine_name,
};
use api_types::{WorkflowCluster, WorkflowProcess, WorkflowTenant};
use engine_client::{Credential, EngineAccess, EngineAddress, EngineTls, TenantEpoch, TenantKey, TokenRole};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::engine::{ClientCredential, entry};
use crate::forwarder::Forwarder;
use crate::postgres::{self, Place};
use crate::progress::{Look, Progress};
use crate::sample::{CLUSTER, PLAYGROUND, SYSTEM_NAMESPACE};
use crate::traffic::{Audit, Ledger, Target};

/// Images, migration and start; or the end of everything.
const PATIENCE: Duration = Duration::from_mins(7);
const JOB_TYPE: &str = "pass-on";

/// What is wanted of it.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Of its objects and its database.
    pub name: &'static str,
    /// The engine's first version.
    pub version: String,
    /// The engine's pods.
    pub replicas: i32,
    /// `spec.upgrade.canary.healthSeconds`.
    pub health_seconds: u32,
    /// Where its data is.
    pub data: Data,
}

impl Shape {
    /// One pod of the newest version, whose upgrades are watched for a short time only.
    #[must_use]
    pub fn small(name: &'static str, data: Data) -> Self {
        Self { name, version: "1.3.0".to_owned(), replicas: 1, health_seconds: 5, data }
    }
}

/// Where an engine's data is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Data {
    /// In a database of its own in the demo's Postgres.
    #[default]
    Shared,
    /// In a Postgres of its own, with so many instances.
    Managed(i32),
}

/// Objects that are there.
#[derive(Clone)]
pub struct Testbed {
    cluster: Cluster,
    shape: Shape,
}

/// The engine cluster at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// Of the upgrade that runs, or the last one.
    pub stage: Option<UpgradeStage>,
    /// To which version.
    pub to: Option<String>,
    /// Pods with the template that the StatefulSet has now.
    pub new_pods: i32,
    /// Pods that are ready.
    pub ready_pods: i32,
    /// Whether every pod has that template and is ready.
    pub is_rolled: bool,
    /// What the status says.
    pub message: String,
}

impl Testbed {
    /// Removes what a former run left, and makes all of it anew.
    pub async fn build(cluster: &Cluster, shape: Shape, progress: Progress) -> anyhow::Result<Self> {
        let testbed = Self { cluster: cluster.clone(), shape };
        testbed.remove_objects(progress).await?;
        if testbed.shape.data == Data::Shared {
            postgres::recreate(cluster, &testbed.database()).await?;
        }
        testbed.apply().await?;
        testbed.await_ready(progress).await?;
        Ok(testbed)
    }

    /// Removes its objects and its database.
    pub async fn remove(self, progress: Progress) -> anyhow::Result<()> {
        self.remove_objects(progress).await?;
        match self.shape.data {
            Data::Shared => postgres::drop_database(&self.cluster, &self.database()).await,
            // It goes with the cluster.
            Data::Managed(_) => Ok(()),
        }
    }

    /// As a user asks for another version.
    pub async fn set_version(&self, version: &str) -> anyhow::Result<()> {
        self.patch_spec(json!({"version": version})).await
    }

    /// As a user takes the operator's hands off the cluster, and gives it back.
    pub async fn set_paused(&self, paused: bool) -> anyhow::Result<()> {
        self.patch_spec(json!({"paused": paused})).await
    }

    /// Changes the pod template of the StatefulSet without the operator: Kubernetes replaces all pods, one after another.
    pub async fn roll_plainly(&self) -> anyhow::Result<()> {
        let change = json!({"spec": {
            "updateStrategy": {"rollingUpdate": {"partition": 0}},
            "template": {"metadata": {"annotations": {"workflow.example.com/rolled-by": "bench"}}},
        }});
        let name = engine_name(self.shape.name);
        self.api::<StatefulSet>().patch(&name, &PatchParams::default(), &Patch::Merge(&change)).await?;
        Ok(())
    }

    /// Looks at the engine cluster.
    pub async fn look(&self) -> anyhow::Result<Sight> {
        let engine = self.api::<WorkflowCluster>().get(self.shape.name).await?;
        let set = self.api::<StatefulSet>().get(&engine_name(self.shape.name)).await?;
        let status = engine.status.unwrap_or_default();
        let upgrade = status.upgrade.as_ref();
        let pods = set.status.clone().unwrap_or_default();
        let wanted = Some(self.shape.replicas);
        // Until then the figures are about the former template.
        let is_seen = pods.observed_generation == set.metadata.generation;
        Ok(Sight {
            stage: upgrade.map(|upgrade| upgrade.stage),
            to: upgrade.and_then(|upgrade| upgrade.to.clone()),
            new_pods: pods.updated_replicas.filter(|_| is_seen).unwrap_or_default(),
            ready_pods: pods.ready_replicas.unwrap_or_default(),
            is_rolled: is_seen
                && pods.update_revision == pods.current_revision
                && (pods.ready_replicas, Some(pods.replicas)) == (wanted, wanted),
            message: status.message.unwrap_or_default(),
        })
    }

    /// Waits until cluster, tenant and process do what their specs ask for.
    pub async fn await_ready(&self, progress: Progress) -> anyhow::Result<()> {
        self.await_object(progress, |engine: &WorkflowCluster| {
            let status = engine.status.as_ref()?;
            let is_ready = status.ready && status.observed_generation == engine.metadata.generation;
            Some((is_ready, status.message.clone().unwrap_or_default()))
        })
        .await?;
        self.await_object(progress, |tenant: &WorkflowTenant| {
            let status = tenant.status.as_ref()?;
            Some((status.ready, status.message.clone().unwrap_or_default()))
        })
        .await?;
        self.await_object(progress, |process: &WorkflowProcess| {
            let status = process.status.as_ref()?;
            Some((status.ready, status.message.clone().unwrap_or_default()))
        })
        .await
    }

    /// Where traffic named `run` goes when it is sent to `host` and `port`, behind which the engine is.
    pub async fn target(&self, run: &str, (host, port): (String, u16)) -> anyhow::Result<Target> {
        let name = self.shape.name;
        let client = ClientCredential::read(&self.cluster, PLAYGROUND, name).await?;
        let key = self.api::<Secret>().get(&access_secret_name(name, Access::WorkerKey)).await?;
        let tenant = self.api::<WorkflowTenant>().get(name).await?;
        let life = TenantEpoch { tenant_id: name.to_owned(), epoch: tenant.uid().unwrap_or_default() };
        let worker = TenantKey::parse(&entry(&key, CURRENT_KEY)?)?.mint(TokenRole::Worker, &life);
        let tls = EngineTls { ca_pem: client.ca_pem, server_name: Some(engine_host(name, PLAYGROUND)) };
        let address = EngineAddress { host, port, tls: Some(tls) };
        let access = |credential| EngineAccess { address: address.clone(), credential };
        Ok(Target {
            tenant: name.to_owned(),
            process: process_id(name),
            job_type: JOB_TYPE.to_owned(),
            client: access(Credential::parse(&client.token)?),
            worker: access(worker),
            run: run.to_owned(),
        })
    }

    /// The engine's Service by its address, which the host of the local node reaches; a host elsewhere may not.
    pub async fn service_address(&self) -> anyhow::Result<(String, u16)> {
        let service = self.api::<Service>().get(&engine_name(self.shape.name)).await?;
        let address = service.spec.and_then(|spec| spec.cluster_ip).context("the Service has no address")?;
        Ok((address, GRPC_PORT))
    }

    /// The same through the API server, which works from anywhere.
    pub async fn forward(&self) -> anyhow::Result<Forwarder> {
        let service = engine_name(self.shape.name);
        Forwarder::start(&self.cluster, PLAYGROUND, &service, GRPC_PORT).await
    }

    /// Why the last upgrade failed, in the words of the status.
    pub async fn last_failure(&self) -> anyhow::Result<Option<String>> {
        let engine = self.api::<WorkflowCluster>().get(self.shape.name).await?;
        let upgrade = engine.status.and_then(|status| status.upgrade);
        Ok(upgrade.and_then(|upgrade| upgrade.last_failure).map(|failure| failure.message))
    }

    /// Holds what the traffic says against the engine's rows.
    pub async fn audit(&self, run: &str, ledger: &Ledger) -> anyhow::Result<Audit> {
        let database = self.database();
        let place = match self.shape.data {
            Data::Shared => Place::Demo(&database),
            Data::Managed(_) => Place::Managed { namespace: PLAYGROUND, cluster: self.shape.name },
        };
        Audit::of(&self.cluster, place, self.shape.name, run, ledger).await
    }

    fn database(&self) -> String {
        self.shape.name.replace('-', "_")
    }

    async fn apply(&self) -> anyhow::Result<()> {
        let Shape { name, version, replicas, health_seconds, data } = &self.shape;
        let sample: Api<WorkflowCluster> = Api::namespaced(self.cluster.client.clone(), SYSTEM_NAMESPACE);
        // `spec.image` is a repository, without a tag.
        let image = sample.get(CLUSTER).await.context("reading the sample's cluster")?.spec.image;
        let secret = format!("{name}-db");
        let login = postgres::read_login(&self.cluster).await?.data;
        let login = json!({"apiVersion": "v1", "kind": "Secret", "data": login,
            "metadata": {"name": secret, "namespace": PLAYGROUND}});
        self.apply_one::<Secret>(&secret, &login).await?;
        let postgres = match data {
            Data::Shared => json!({"externalRef": {"host": postgres::HOST, "database": self.database(),
                "databaseSecret": secret}}),
            Data::Managed(instances) => json!({"managed": {"replicas": instances, "storageSize": "1Gi",
                "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}}}),
        };
        let engine = json!({"version": version, "replicas": replicas, "postgres": postgres, "image": image,
            "upgrade": {"canary": {"healthSeconds": health_seconds}},
            "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}}});
        self.apply_one::<WorkflowCluster>(name, &self.object("WorkflowCluster", &engine)).await?;
        let reference = json!({"name": name});
        let tenant = json!({"clusterRef": reference});
        self.apply_one::<WorkflowTenant>(name, &self.object("WorkflowTenant", &tenant)).await?;
        let process = json!({"clusterRef": reference, "tenantRef": reference,
            "source": {"bpmn": bpmn(&process_id(name), JOB_TYPE)}});
        self.apply_one::<WorkflowProcess>(name, &self.object("WorkflowProcess", &process)).await
    }

    async fn remove_objects(&self, progress: Progress) -> anyhow::Result<()> {
        self.remove_one::<WorkflowProcess>(self.shape.name, progress).await?;
        self.give_up_work().await?;
        self.remove_one::<WorkflowTenant>(self.shape.name, progress).await?;
        self.remove_one::<WorkflowCluster>(self.shape.name, progress).await?;
        // The engine's pods may outlive the object that they belong to, and would hold on to the database.
        self.await_gone::<StatefulSet>(&engine_name(self.shape.name), progress).await?;
        self.remove_one::<Secret>(&format!("{}-db", self.shape.name), progress).await
    }

    /// Instances that a run left open would keep the tenant.
    async fn give_up_work(&self) -> anyhow::Result<()> {
        let purge = Patch::Merge(json!({"spec": {"deletionPolicy": "Purge"}}));
        let patched =
            self.api::<WorkflowTenant>().patch(self.shape.name, &PatchParams::default(), &purge).await;
        match patched {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            patched => patched.map(drop).context("giving up the tenant's instances"),
        }
    }

    fn object(&self, kind: &str, spec: &Value) -> Value {
        json!({"apiVersion": "workflow.example.com/v1alpha1", "kind": kind,
            "metadata": {"name": self.shape.name, "namespace": PLAYGROUND}, "spec": spec})
    }

    async fn patch_spec(&self, spec: Value) -> anyhow::Result<()> {
        let patch = Patch::Merge(json!({"spec": spec}));
        self.api::<WorkflowCluster>().patch(self.shape.name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.cluster.client.clone(), PLAYGROUND)
    }

    async fn apply_one<K>(&self, name: &str, body: &Value) -> anyhow::Result<()>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        let params = PatchParams::apply("testbed").force();
        let applied = self.api::<K>().patch(name, &params, &Patch::Apply(body)).await;
        applied.with_context(|| format!("applying {} {name}", K::kind(&()))).map(drop)
    }

    async fn remove_one<K>(&self, name: &str, progress: Progress) -> anyhow::Result<()>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        match self.api::<K>().delete(name, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(error).with_context(|| format!("deleting {} {name}", K::kind(&()))),
            Ok(_) => self.await_gone::<K>(name, progress).await,
        }
    }

    async fn await_gone<K>(&self, name: &str, progress: Progress) -> anyhow::Result<()>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        let (api, what) = (self.api::<K>(), format!("{} {name}", K::kind(&())));
        if api.get_metadata_opt(name).await?.is_none() {
            return Ok(());
        }
        let look = || async {
            let is_there = api.get_metadata_opt(name).await?.is_some();
            Ok(if is_there { Look::Waiting("is there".to_owned()) } else { Look::Done("gone".to_owned()) })
        };
        progress.wait_for(&what, PATIENCE, look).await.map(drop)
    }

    async fn await_object<K>(
        &self,
        progress: Progress,
        judge: impl Fn(&K) -> Option<(bool, String)>,
    ) -> anyhow::Result<()>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        let (api, judge) = (self.api::<K>(), &judge);
        let look = || async {
            Ok(match judge(&api.get(self.shape.name).await?) {
                Some((true, words)) => Look::Done(words),
                Some((false, words)) => Look::Waiting(words),
                None => Look::Waiting("no status yet".to_owned()),
            })
        };
        let what = format!("{} {}", K::kind(&()), self.shape.name);
        progress.wait_for(&what, PATIENCE, look).await.map(drop)
    }
}

fn process_id(name: &str) -> String {
    format!("{name}-flow")
}

/// A process with one service task under an id of its own.
#[must_use]
pub fn bpmn(process_id: &str, job_type: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<bpmn:definitions xmlns:bpmn="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:zeebe="http://camunda.org/schema/zeebe/1.0" id="Definitions_1" targetNamespace="http://workflow.example.com/e2e">
  <bpmn:process id="{process_id}" name="{process_id}" isExecutable="true">
    <bpmn:startEvent id="Start_1" name="Start"><bpmn:outgoing>Flow_1</bpmn:outgoing></bpmn:startEvent>
    <bpmn:serviceTask id="Task_charge" name="Charge">
      <bpmn:extensionElements><zeebe:taskDefinition type="{job_type}" /></bpmn:extensionElements>
      <bpmn:incoming>Flow_1</bpmn:incoming><bpmn:outgoing>Flow_2</bpmn:outgoing>
    </bpmn:serviceTask>
    <bpmn:endEvent id="End_1" name="End"><bpmn:incoming>Flow_2</bpmn:incoming></bpmn:endEvent>
    <bpmn:sequenceFlow id="Flow_1" sourceRef="Start_1" targetRef="Task_charge" />
    <bpmn:sequenceFlow id="Flow_2" sourceRef="Task_charge" targetRef="End_1" />
  </bpmn:process>
</bpmn:definitions>
"#
    )
}
