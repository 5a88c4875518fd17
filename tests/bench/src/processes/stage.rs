//! What a run needs and removes again: two namespaces, a tenant, and a second custom resource definition.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use api_types::{WorkflowProcess, WorkflowTenant};
use e2e::cluster::Cluster;
use e2e::sample::{CLUSTER, SYSTEM_NAMESPACE};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DeleteParams, ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, CustomResourceExt as _, ResourceExt as _};
use serde_json::{Value, json};

use super::api::Kind;
use super::wait_until;
use crate::local::Processes;

/// Of the objects that are deployed.
pub(crate) const TENANT: &str = "bench";
const NAMESPACE: &str = "bench";
const BARE_NAMESPACE: &str = "bench-bare";
const BARE_GROUP: &str = "bench.workflow.example.com";
const SETUP: Duration = Duration::from_mins(2);

pub(crate) struct Stage {
    pub(crate) client: Client,
    pub(crate) ours: Kind,
    pub(crate) bare: Kind,
    api_server: String,
    status: Mutex<Option<Value>>,
}

impl Stage {
    pub(crate) async fn build(cluster: &Cluster) -> anyhow::Result<Self> {
        let client = cluster.client.clone();
        let options = KubeConfigOptions::default();
        let config =
            Config::from_custom_kubeconfig(Kubeconfig::read_from(&cluster.kubeconfig)?, &options).await?;
        let ours = ApiResource::erase::<WorkflowProcess>(&());
        let bare = ApiResource {
            group: BARE_GROUP.to_owned(),
            api_version: format!("{BARE_GROUP}/{}", ours.version),
            ..ours.clone()
        };
        let kind = |resource, namespace: &str| Kind {
            client: client.clone(),
            resource,
            namespace: namespace.to_owned(),
        };
        let stage = Self {
            ours: kind(ours, NAMESPACE),
            bare: kind(bare, BARE_NAMESPACE),
            api_server: config.cluster_url.host().unwrap_or_default().to_owned(),
            status: Mutex::default(),
            client,
        };
        stage.apply_namespaces().await?;
        stage.apply_bare_definition().await?;
        stage.apply_tenant().await?;
        Ok(stage)
    }

    async fn apply_namespaces(&self) -> anyhow::Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        for name in [NAMESPACE, BARE_NAMESPACE] {
            let body = json!({
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": name, "labels": {"workflow.example.com/tenant": TENANT}},
            });
            namespaces.patch(name, &PatchParams::apply("bench").force(), &Patch::Apply(&body)).await?;
        }
        Ok(())
    }

    /// The same schema and the same rules, so that the API server has the same work.
    async fn apply_bare_definition(&self) -> anyhow::Result<()> {
        let mut definition = WorkflowProcess::crd();
        let name = format!("{}.{BARE_GROUP}", definition.spec.names.plural);
        definition.metadata.name = Some(name.clone());
        BARE_GROUP.clone_into(&mut definition.spec.group);
        definition.spec.names.short_names = None;
        definition.spec.names.categories = None;
        let definitions: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let params = PatchParams::apply("bench").force();
        definitions.patch(&name, &params, &Patch::Apply(&definition)).await?;
        wait_until("the bare definition is established", SETUP, || async {
            let found = definitions.get(&name).await?;
            let conditions = found.status.and_then(|status| status.conditions).unwrap_or_default();
            Ok(conditions
                .iter()
                .any(|condition| condition.type_ == "Established" && condition.status == "True"))
        })
        .await
    }

    async fn apply_tenant(&self) -> anyhow::Result<()> {
        let tenants: Api<WorkflowTenant> = Api::namespaced(self.client.clone(), SYSTEM_NAMESPACE);
        let body = json!({
            "apiVersion": "workflow.example.com/v1alpha1",
            "kind": "WorkflowTenant",
            "metadata": {"name": TENANT},
            "spec": {"clusterRef": {"name": CLUSTER}},
        });
        tenants.patch(TENANT, &PatchParams::apply("bench").force(), &Patch::Apply(&body)).await?;
        wait_until("tenant bench is ready", SETUP, || async {
            Ok(tenants.get(TENANT).await?.status.is_some_and(|status| status.ready))
        })
        .await
    }

    /// Whose processor time is reported.
    pub(crate) async fn parts(&self) -> anyhow::Result<Vec<(&'static str, Processes)>> {
        let api_server = Processes::of_program("kube-apiserver", &[&self.api_server]);
        let etcd = api_server.flag("--etcd-servers").map_or_else(Processes::default, |servers| {
            Processes::of_program("etcd", &["--listen-client-urls", &servers])
        });
        let pods = async |label: &str| self.pods(SYSTEM_NAMESPACE, label).await;
        Ok(vec![
            ("kube-apiserver", api_server),
            ("etcd", etcd),
            ("process-controller", pods("app.kubernetes.io/name=process-controller").await?),
            ("workflow-engine", pods("app.kubernetes.io/name=workflow-engine").await?),
            ("PostgreSQL", self.pods("workflow", "").await?),
            ("this client", Processes::own()),
        ])
    }

    pub(crate) async fn controller(&self) -> anyhow::Result<Processes> {
        self.pods(SYSTEM_NAMESPACE, "app.kubernetes.io/name=process-controller").await
    }

    async fn pods(&self, namespace: &str, label: &str) -> anyhow::Result<Processes> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let found = pods.list(&ListParams::default().labels(label)).await?;
        Ok(Processes::of_pods(&found.items.iter().filter_map(kube::ResourceExt::uid).collect::<Vec<_>>()))
    }

    /// Keeps what the controller wrote, for the bare client to write the same.
    pub(crate) fn remember_status(&self, status: Option<Value>) {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }

    pub(crate) fn status_of_a_deployed_object(&self) -> anyhow::Result<Value> {
        let status = self.status.lock().unwrap_or_else(PoisonError::into_inner).clone();
        status.context("the controller has deployed nothing yet")
    }

    /// Leaves nothing behind, also after a run that failed half-way.
    pub(crate) async fn clear(&self) -> anyhow::Result<()> {
        self.ours.delete_all().await?;
        wait_until("all processes of tenant bench are gone", SETUP, || async {
            Ok(self.ours.names().await?.is_empty())
        })
        .await?;
        let background = DeleteParams::background();
        let definitions: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        for name in self.bare.names().await? {
            self.bare.remove_finalizers(&name).await?;
        }
        definitions.delete(&format!("{}.{BARE_GROUP}", self.bare.resource.plural), &background).await?;
        let tenants: Api<WorkflowTenant> = Api::namespaced(self.client.clone(), SYSTEM_NAMESPACE);
        tenants.delete(TENANT, &background).await?;
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        for name in [NAMESPACE, BARE_NAMESPACE] {
            namespaces.delete(name, &background).await?;
        }
        wait_until("namespaces and tenant are gone", SETUP, || async {
            let list = namespaces.list_metadata(&ListParams::default()).await?;
            let left = list
                .items
                .iter()
                .any(|namespace| [NAMESPACE, BARE_NAMESPACE].contains(&namespace.name_any().as_str()));
            Ok(!left && tenants.get_opt(TENANT).await?.is_none())
        })
        .await
    }
}
