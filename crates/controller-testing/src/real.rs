//! One test's namespace on a real API server.

use std::fmt::Debug;
use std::time::Duration;

use api_types::labels::TENANT;
use api_types::{WorkflowCluster, WorkflowTenant};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::object::HasStatus;
use kube::{Api, Client, CustomResourceExt, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use test_support::apiserver::TestApiServer;
use test_support::builders;
use test_support::wait::eventually;

/// A namespace that no other test has, and every right in it.
pub struct TestNamespace {
    /// With every right.
    pub client: Client,
    /// Its name.
    pub name: String,
}

impl TestNamespace {
    /// Creates it. Our CRDs are installed, too.
    pub async fn create(apiserver: &TestApiServer, prefix: &str) -> Self {
        Box::pin(apiserver.apply_crds(&api_types::crds())).await;
        Self { client: apiserver.client().await, name: apiserver.namespace(prefix).await }
    }

    /// The objects of one kind in it.
    #[must_use]
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// Creates an object.
    pub async fn add<K>(&self, object: &K)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + Serialize
            + DeserializeOwned,
    {
        let created = self.api::<K>().create(&PostParams::default(), object).await;
        created.unwrap_or_else(|error| panic!("{} should be created: {error}", object.name_any()));
    }

    /// Writes a status, as the controller of that kind does.
    pub async fn write_status<K: Resource<DynamicType = ()>>(&self, name: &str, status: &impl Serialize) {
        let kind = ApiResource::erase::<K>(&());
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.name, &kind);
        let patch = Patch::Merge(json!({"status": status}));
        api.patch_status(name, &PatchParams::default(), &patch).await.expect("a status should be written");
    }

    /// Changes fields of an object's spec.
    pub async fn patch_spec<K>(&self, name: &str, spec: Value)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        let patch = Patch::Merge(json!({"spec": spec}));
        let patched = self.api::<K>().patch(name, &PatchParams::default(), &patch).await;
        patched.expect("a spec should be patched");
    }

    /// A WorkflowCluster whose engine serves, with its CA, tokens and keys. The object as it was created.
    pub async fn add_running_cluster(&self, name: &str) -> WorkflowCluster {
        let running = builders::running_cluster(&self.name, name);
        let (ca, secrets) = builders::engine_access(&running);
        self.add(&ca).await;
        for secret in &secrets {
            self.add(secret).await;
        }
        self.add(&builders::cluster(&self.name, name)).await;
        self.write_status::<WorkflowCluster>(name, &running.status().cloned()).await;
        running
    }

    /// A WorkflowTenant of that cluster that is ready.
    pub async fn add_active_tenant(&self, cluster: &WorkflowCluster, name: &str) {
        let active = builders::active_tenant(&self.name, name, cluster);
        self.add(&builders::tenant(&self.name, name, cluster)).await;
        self.write_status::<WorkflowTenant>(name, &active.status).await;
    }

    /// Changes the spec of a cluster, which begins a pass over the objects that refer to it and changes nothing for them. `n` must
    /// be another one each time.
    pub async fn touch_cluster(&self, name: &str, n: usize) {
        self.patch_spec::<WorkflowCluster>(name, json!({"replicas": 4 + n % 7})).await;
    }

    /// Labels the namespace with a tenant.
    pub async fn grant(&self, tenant: &str) {
        self.label(json!({TENANT: tenant})).await;
    }

    /// Takes that label away.
    pub async fn revoke(&self) {
        self.label(json!({TENANT: null})).await;
    }

    async fn label(&self, labels: Value) {
        let label = Patch::Merge(json!({"metadata": {"labels": labels}}));
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let labelled = namespaces.patch(&self.name, &PatchParams::default(), &label).await;
        labelled.expect("a namespace should be labelled");
    }

    /// The events in it.
    pub async fn events(&self) -> Vec<Event> {
        let events = self.api::<Event>().list(&ListParams::default()).await;
        events.expect("events should be listed").items
    }

    /// The first event with this reason, awaited for a minute.
    pub async fn await_event(&self, reason: &str) -> Event {
        let find = async || self.events().await.into_iter().find(|it| it.reason.as_deref() == Some(reason));
        eventually(&format!("there is an event {reason}"), Duration::from_mins(1), find).await
    }

    /// Kind, name and version of every object of these kinds.
    pub async fn versions(&self, kinds: &[ApiResource]) -> Vec<String> {
        let mut versions = Vec::new();
        for kind in kinds {
            let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.name, kind);
            for object in api.list(&ListParams::default()).await.expect("should be listed") {
                let version = object.resource_version().unwrap_or_default();
                versions.push(format!("{} {} {version}", kind.kind, object.name_any()));
            }
        }
        versions
    }
}

/// Lets every object of a kind in, as a former version of its CRD might have done.
pub async fn accept_everything<K: CustomResourceExt>(client: &Client) {
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let mut crd = K::crd();
    let anything = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    for version in &mut crd.spec.versions {
        let schema = version.schema.as_mut().expect("a version should have a schema");
        schema.open_api_v3_schema = serde_json::from_value(anything.clone()).expect("should be a schema");
    }
    let params = PatchParams::apply("test-support").force();
    crds.patch(&crd.name_any(), &params, &Patch::Apply(&crd)).await.expect("a CRD should be applied");
}
