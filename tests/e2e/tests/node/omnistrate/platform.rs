//! What a platform and a cloud do around the workflows.

use std::collections::BTreeMap;
use std::time::Duration;

use api_types::WorkflowCluster;
use e2e::cluster::Cluster;
use e2e::omnistrate::{Outputs, Runner, ServicePlan, Values, Verb};
use e2e::progress::Progress;
use k8s_openapi::api::core::v1::{Namespace, Node, Secret, Service};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use test_support::wait::await_gone;
use tokio::task::JoinSet;

use crate::fixture::api;

/// Of one workflow's task: an upgrade watches its pods for minutes, a new instance makes a Postgres first.
const PATIENCE: Duration = Duration::from_mins(12);
/// Postgres, engine, and backups that cannot be deleted any more.
const END: Duration = Duration::from_mins(10);
/// Of documentation only (RFC 5737): nobody answers there.
const ADDRESS: &str = "203.0.113.10";
const STORAGE: &str = "object-storage";
const MANAGED_BY: &str = "omnistrate.com/managed-by";
const RESOURCE: &str = "omnistrate.com/resource";
const REGION: &str = "topology.kubernetes.io/region";
const INSTANCE_TYPE: &str = "node.kubernetes.io/instance-type";

/// The platform, as long as the test lasts.
pub(crate) struct Platform {
    pub(crate) cluster: Cluster,
    runner: Runner,
    values: Values,
    prefix: String,
    /// Labels that the nodes did not have before.
    added: BTreeMap<String, Vec<String>>,
    _cloud: JoinSet<()>,
}

/// An instance, with the parameters that it has now.
#[derive(Clone)]
pub(crate) struct Instance {
    cluster: Cluster,
    runner: Runner,
    values: Values,
    id: String,
}

impl Platform {
    /// Labels the nodes as those of a customer, and knows the bucket's key.
    pub(crate) async fn start(cluster: &Cluster) -> Self {
        let plan = ServicePlan::of_repository().expect("should be a plan");
        let (added, labels) = label_nodes(&cluster.client).await;
        // Of this run: what a former one left in the bucket is another's.
        let prefix = format!("e2e/omnistrate-{}", std::process::id());
        let defaults = plan.service().expect("should have a service").api_parameters.iter();
        let defaults = defaults.filter_map(|parameter| {
            Some((format!("$var.{}", parameter.key), parameter.default_value.clone()?))
        });
        let values = defaults.collect::<Values>();
        let values = values
            .with("$var.numberOfPostgresInstances", "1")
            .with("$var.storageSize", "1Gi")
            .with("$var.backupBucket", "backups")
            .with("$var.backupPrefix", prefix.clone())
            .with("$var.backupEndpoint", format!("https://s3.{STORAGE}.svc"))
            .with("$var.backupRegion", "us-east-1")
            .with("$secret.backupAccessKeyId", entry(cluster, "s3-credentials", "accessKeyId").await)
            .with("$secret.backupSecretAccessKey", entry(cluster, "s3-credentials", "secretAccessKey").await)
            .with("$secret.backupAuthority", entry(cluster, "s3-ca", "ca.crt").await)
            .with("$sys.deploymentCell.publicSubnetIDs[*].id", "subnet-1,subnet-2")
            .with("$sys.deploymentCell.region", labels[REGION].clone())
            .with("$sys.compute.node.instanceType", labels[INSTANCE_TYPE].clone())
            .with("$sys.deployment.resourceID", labels[RESOURCE].clone());
        let mut cloud = JoinSet::new();
        cloud.spawn(give_addresses(cluster.client.clone()));
        let runner = Runner::new(cluster.client.clone(), plan, Progress::default());
        Self { cluster: cluster.clone(), runner, values, prefix, added, _cloud: cloud }
    }

    /// What the names of this run's objects in the bucket begin with.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A new instance in a namespace of its own, without anything that a former run left.
    pub(crate) async fn instance(&self, id: &str) -> Instance {
        let host = format!("{id}.example.com");
        let values = self.values.clone();
        let values = values
            .with("$sys.namespace", id)
            .with("$sys.instanceId", id)
            .with("$sys.targetInstanceId", id)
            .with("$sys.network.externalClusterEndpoint", host);
        let (cluster, runner) = (self.cluster.clone(), self.runner.clone());
        let instance = Instance { cluster, runner, values, id: id.to_owned() };
        instance.remove_namespace().await;
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": id,
            "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
        let namespaces: Api<Namespace> = Api::all(self.cluster.client.clone());
        let params = PatchParams::apply("omnistrate").force();
        namespaces.patch(id, &params, &Patch::Apply(&body)).await.expect("should make the namespace");
        instance
    }

    /// Takes the labels away again.
    pub(crate) async fn end(self) {
        let nodes: Api<Node> = Api::all(self.cluster.client.clone());
        for (node, labels) in self.added {
            let labels: BTreeMap<_, _> = labels.into_iter().map(|label| (label, Value::Null)).collect();
            let patch = Patch::Merge(json!({"metadata": {"labels": labels}}));
            nodes.patch(&node, &PatchParams::default(), &patch).await.expect("should patch the node");
        }
    }
}

impl Instance {
    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    pub(crate) fn id(&self) -> String {
        self.id.clone()
    }

    /// Named as the instance, as the platform does.
    pub(crate) fn namespace(&self) -> String {
        self.id.clone()
    }

    /// Under which a customer knows it.
    pub(crate) fn host(&self) -> String {
        self.values.get("$sys.network.externalClusterEndpoint").unwrap_or_default().to_owned()
    }

    /// The same with another parameter.
    pub(crate) fn with(self, parameter: &str, value: &str) -> Self {
        Self { values: self.values.with(format!("$var.{parameter}"), value), ..self }
    }

    /// The same while this snapshot of it is made or deleted.
    pub(crate) fn snapshot(&self, id: &str) -> Self {
        let values = self.values.clone().with("$sys.snapshot.id", id);
        Self { values: values.with("$sys.snapshot.time", "2026-06-01T12:00:00Z"), ..self.clone() }
    }

    /// The same while it is made from a snapshot. What the bucket's parameters are now does not matter.
    pub(crate) fn restored(self, metadata: &Outputs) -> Self {
        let mut values = self.values;
        for (name, value) in metadata {
            values = values.with(format!("$sys.restore.metadata.{name}"), value);
        }
        Self { values: values.with("$var.backupPrefix", "e2e/another"), ..self }
    }

    /// Runs a workflow.
    pub(crate) async fn run(&self, verb: Verb) -> anyhow::Result<Outputs> {
        self.runner.run(verb, &self.values, PATIENCE).await
    }

    /// Its WorkflowCluster.
    pub(crate) async fn live(&self) -> WorkflowCluster {
        let clusters: Api<WorkflowCluster> = api(&self.cluster, &self.namespace());
        clusters.get(&self.id).await.expect("should have a WorkflowCluster")
    }

    pub(crate) async fn remove_namespace(&self) {
        let namespaces: Api<Namespace> = Api::all(self.cluster.client.clone());
        match namespaces.delete(&self.id, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            deleted => drop(deleted.expect("should delete the namespace")),
        }
        await_gone(&namespaces, &self.id, END).await;
    }
}

async fn entry(cluster: &Cluster, secret: &str, key: &str) -> String {
    let secrets: Api<Secret> = api(cluster, STORAGE);
    let found = secrets.get_opt(secret).await.expect("should look for the S3 server's Secrets");
    assert!(found.is_some(), "there is no Secret {STORAGE}/{secret}: install the S3 server by `./dev s3`");
    let value = found.and_then(|found| found.data?.remove(key));
    assert!(value.is_some(), "Secret {STORAGE}/{secret} has no key {key}");
    String::from_utf8(value.unwrap_or_default().0).expect("should be text")
}

/// The labels by which the plan chooses nodes: those that the first node has, and all nodes get what they lack of them.
async fn label_nodes(client: &Client) -> (BTreeMap<String, Vec<String>>, BTreeMap<String, String>) {
    let nodes: Api<Node> = Api::all(client.clone());
    let found = nodes.list(&ListParams::default()).await.expect("should list the nodes").items;
    let of_first = found.first().expect("should have a node").labels().clone();
    let wanted: BTreeMap<String, String> =
        [(MANAGED_BY, "omnistrate"), (RESOURCE, "e2e"), (REGION, "local"), (INSTANCE_TYPE, "local")]
            .into_iter()
            .map(|(label, value)| {
                let present = of_first.get(label).filter(|_| label != MANAGED_BY);
                (label.to_owned(), present.cloned().unwrap_or_else(|| value.to_owned()))
            })
            .collect();
    let mut added = BTreeMap::new();
    for node in found {
        let lacks = |label: &&String| !node.labels().contains_key(label.as_str());
        let lacking: Vec<String> = wanted.keys().filter(lacks).cloned().collect();
        let labels: BTreeMap<_, _> = lacking.iter().map(|label| (label, &wanted[label])).collect();
        let patch = Patch::Merge(json!({"metadata": {"labels": labels}}));
        nodes.patch(&node.name_any(), &PatchParams::default(), &patch).await.expect("should label the node");
        added.insert(node.name_any(), lacking);
    }
    (added, wanted)
}

/// As a cloud does, a few seconds after the Service was made. A local node has none.
async fn give_addresses(client: Client) {
    let services: Api<Service> = Api::all(client.clone());
    let ours = ListParams::default().labels("app.kubernetes.io/managed-by=workflow-operator");
    loop {
        tokio::time::sleep(Duration::from_secs(5)).await;
        // The API server may be away for a moment: the next look finds them.
        for service in services.list(&ours).await.map(|list| list.items).unwrap_or_default() {
            let is_balanced =
                service.spec.as_ref().is_some_and(|spec| spec.type_.as_deref() == Some("LoadBalancer"));
            let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
            let has_address = balancer.is_some_and(|balancer| balancer.ingress.is_some());
            if !is_balanced || has_address {
                continue;
            }
            let api: Api<Service> = Api::namespaced(client.clone(), &service.namespace().unwrap_or_default());
            let given = json!({"status": {"loadBalancer": {"ingress": [{"ip": ADDRESS}]}}});
            let _ =
                api.patch_status(&service.name_any(), &PatchParams::default(), &Patch::Merge(given)).await;
        }
    }
}
