//! A namespace on a real API server with a cluster and a tenant in it, and passes whose watches are always up to date.

use std::ops::Deref;
use std::sync::Arc;

use api_types::WorkflowWorker;
use api_types::labels::WORKER_CONTROLLER;
use controller_kit::apply::Writer;
use controller_kit::clock::Clock;
use controller_kit::controller::{Pass, Reconciler as _};
use controller_kit::events::Publisher;
use controller_kit::outcome::{ErrorClass, Next};
use controller_kit::pass::Passes;
use controller_testing::caches::{children, directory};
use controller_testing::real::TestNamespace;
use engine_access::engine::{EngineConnector, EngineRole};
use engine_client::{EnginePool, Timeouts};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Client;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use test_support::apiserver::TestApiServer;
use worker_controller::children::WorkerChildren;
use worker_controller::context::Context;
use worker_controller::kind::Workers;

pub(crate) const SEED: &str = include_str!("../../../api-types/testdata/seeds/workflowworker.yaml");
pub(crate) const EVERY_FIELD: &str = include_str!("../../testdata/every-field.yaml");
pub(crate) const PASSED_ON: &str = include_str!("../../testdata/passed-on.yaml");
pub(crate) const CLUSTER: &str = "prod-east";
pub(crate) const WORKER: &str = "payment-worker";
/// The Secret with which the worker's pods reach the engine.
pub(crate) const ACCESS: &str = "payment-worker-engine-access";

pub(crate) fn parse<K: DeserializeOwned>(yaml: &str) -> K {
    serde_saphyr::from_str(yaml).unwrap()
}

/// One test's namespace, and a worker in it.
pub(crate) struct World(TestNamespace);

impl Deref for World {
    type Target = TestNamespace;

    fn deref(&self) -> &TestNamespace {
        &self.0
    }
}

impl World {
    /// With a cluster whose engine serves, and its tenant `acme`.
    pub(crate) async fn new(apiserver: &TestApiServer, prefix: &str) -> Self {
        let world = Self::empty(apiserver, prefix).await;
        let cluster = Box::pin(world.add_running_cluster(CLUSTER)).await;
        world.add_active_tenant(&cluster, "acme").await;
        world
    }

    /// Without anything.
    pub(crate) async fn empty(apiserver: &TestApiServer, prefix: &str) -> Self {
        Self(TestNamespace::create(apiserver, prefix).await)
    }

    /// Applies the worker of that manifest, changed, as `kubectl apply --server-side` does.
    pub(crate) async fn apply(&self, yaml: &str, change: impl FnOnce(&mut Value)) {
        let mut manifest: Value = parse(yaml);
        manifest["apiVersion"] = json!("workflow.example.com/v1alpha1");
        manifest["kind"] = json!("WorkflowWorker");
        manifest["metadata"] = json!({"name": WORKER, "namespace": self.name});
        change(&mut manifest);
        let params = PatchParams::apply("kubectl").force();
        self.api::<WorkflowWorker>().patch(WORKER, &params, &Patch::Apply(&manifest)).await.unwrap();
    }

    /// A controller that has just started, with watches that are up to date. It reaches the API server through `client`.
    async fn started(&self, client: &Client) -> Passes<Workers> {
        let clock = Clock::fixed("2026-01-01T00:00:00Z".parse().unwrap());
        let engines = Arc::new(EnginePool::new(Timeouts::default()));
        let context = Context {
            client: client.clone(),
            clock: clock.clone(),
            directory: Arc::new(directory(&self.client).await),
            cluster_namespace: "workflow-system".into(),
            engines: EngineConnector::new(client.clone(), engines, EngineRole::Monitor),
            caches: children::<WorkerChildren>(&self.client, &self.name).await,
        };
        Passes {
            kind: Workers { context },
            writer: Writer::new(client.clone(), WORKER_CONTROLLER.field_manager),
            publisher: Publisher::new(client.clone(), "worker-controller", "test".into(), clock.clone()),
            clock,
        }
    }

    /// One pass over the worker as it is, by a controller that reaches the API server through `client`.
    pub(crate) async fn pass(&self, client: &Client) -> Pass<WorkflowWorker> {
        let writer = Writer::new(client.clone(), WORKER_CONTROLLER.field_manager);
        self.pass_of(&writer, client).await
    }

    /// The same by a controller that has written before.
    pub(crate) async fn pass_of(&self, writer: &Writer, client: &Client) -> Pass<WorkflowWorker> {
        let worker = self.api::<WorkflowWorker>().get(WORKER).await.unwrap();
        let passes = Passes { writer: writer.clone(), ..self.started(client).await };
        Box::pin(passes.reconcile(Arc::new(worker))).await
    }

    /// A pass that must not fail. After a conflict with another controller's write it is repeated, as the queue does.
    pub(crate) async fn good_pass(&self, client: &Client) {
        for _ in 0..10 {
            match self.pass(client).await.next {
                Next::Failed(ErrorClass::Conflict) => {}
                next => return assert!(!matches!(next, Next::Failed(_)), "{next:?}"),
            }
        }
        panic!("ten conflicts in a row");
    }

    /// That many good passes.
    pub(crate) async fn passes(&self, number: usize) {
        for _ in 0..number {
            self.good_pass(&self.client).await;
        }
    }

    pub(crate) async fn deployment(&self) -> Deployment {
        self.api().get(WORKER).await.unwrap()
    }

    pub(crate) async fn replicas(&self) -> i32 {
        self.deployment().await.spec.and_then(|spec| spec.replicas).unwrap()
    }

    /// Sets the number of pods, as the HPA controller does.
    pub(crate) async fn scale(&self, replicas: i32) {
        let api = self.api::<Deployment>();
        let mut scale = api.get_scale(WORKER).await.unwrap();
        scale.spec.get_or_insert_default().replicas = Some(replicas);
        let params =
            PostParams { field_manager: Some("kube-controller-manager".into()), ..PostParams::default() };
        api.replace_scale(WORKER, &params, &scale).await.unwrap();
    }

    /// Reason of the worker's `Ready`.
    pub(crate) async fn ready_reason(&self) -> String {
        let status = self.api::<WorkflowWorker>().get(WORKER).await.unwrap().status.unwrap();
        status.conditions.into_iter().find(|condition| condition.type_ == "Ready").unwrap().reason
    }

    /// Type and text of the events about other writers.
    pub(crate) async fn conflicts(&self) -> Vec<(String, String)> {
        let events = self.events().await.into_iter();
        let conflicts = events.filter(|event| event.reason.as_deref() == Some("Conflict"));
        conflicts.map(|event| (event.type_.unwrap(), event.note.unwrap())).collect()
    }

    /// Versions of the worker and of its children.
    pub(crate) async fn written_versions(&self) -> Vec<String> {
        let versions = self.versions(&kinds()).await.into_iter();
        versions.filter(|version| version.contains(WORKER)).collect()
    }
}

/// The kinds that the controller writes.
pub(crate) fn kinds() -> [ApiResource; 5] {
    [
        ApiResource::erase::<WorkflowWorker>(&()),
        ApiResource::erase::<Secret>(&()),
        ApiResource::erase::<Deployment>(&()),
        ApiResource::erase::<HorizontalPodAutoscaler>(&()),
        ApiResource::erase::<PodDisruptionBudget>(&()),
    ]
}

/// An autoscaler from 2 to 20 pods.
pub(crate) fn autoscaling(worker: &mut Value) {
    worker["spec"]["autoscaling"] = json!({"minReplicas": 2, "maxReplicas": 20});
}

/// No autoscaler, and that many pods.
pub(crate) fn fixed(replicas: i32) -> impl Fn(&mut Value) {
    move |worker| {
        worker["spec"]["replicas"] = json!(replicas);
        worker["spec"].as_object_mut().unwrap().remove("autoscaling");
    }
}
