//! The running controller, with its watches, against a real apiserver and fake engines.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api_types::labels::TENANT;
use api_types::{WorkflowCluster, WorkflowProcess, WorkflowTenant};
use clap::Parser as _;
use controller_kit::lease::Fence;
use controller_kit::metrics::Metrics;
use controller_kit::run::RunError;
use controller_kit::{Service, message};
use engine_client::model::{Tenant, TenantQuotas};
use engine_fake::{FakeEngine, FakeEngines};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client, CustomResourceExt as _, Resource, ResourceExt as _};
use serde_json::{Value, json};
use test_support::apiserver::ApiServerOptions;
use test_support::wait::{await_condition, await_gone, eventually};
use test_support::{TestApiServer, builders, require_controller_manager};
use tokio::sync::{Mutex, MutexGuard};
use tokio_util::sync::CancellationToken;

use crate::args::Args;
use crate::testing::ORDER_FLOW;

/// A controller watches all namespaces: one test at a time has one running.
pub(super) static TURN: Mutex<()> = Mutex::const_new(());

const SOON: Duration = Duration::from_mins(1);

/// A controller that runs, with a ready cluster and tenant in one namespace and another namespace for processes.
struct World {
    client: Client,
    home: String,
    work: String,
    engine: FakeEngine,
    engines: FakeEngines,
    kubeconfig: std::path::PathBuf,
    controller: Option<Running>,
    _turn: MutexGuard<'static, ()>,
}

struct Running {
    metrics: Metrics,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), RunError>>,
}

impl World {
    async fn start(apiserver: &TestApiServer) -> Self {
        let turn = TURN.lock().await;
        Box::pin(apiserver.apply_crds(&api_types::crds())).await;
        let client = apiserver.client().await;
        let (home, work) = (apiserver.namespace("home").await, apiserver.namespace("work").await);
        let engines = FakeEngines::new();
        let cluster = builders::running_cluster(&home, "prod");
        let engine = engines.at(&cluster.status.as_ref().unwrap().endpoint.as_ref().unwrap().host, 26500);
        let held = Tenant {
            id: "acme".into(),
            display_name: String::new(),
            quotas: TenantQuotas::default(),
            rls: true,
            suspended: false,
            owner: None,
            generation: 1,
        };
        engine.set_tenant(held);
        let kubeconfig = permitted(apiserver, &client, &home).await;
        let mut world =
            Self { client, home, work, engine, engines, kubeconfig, controller: None, _turn: turn };
        world.furnish(&cluster).await;
        world.label_work(json!({TENANT: "acme"})).await;
        world.start_controller().await;
        world
    }

    async fn furnish(&self, cluster: &WorkflowCluster) {
        let (ca, credentials) = builders::engine_access(cluster);
        let config_maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.home);
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.home);
        let clusters: Api<WorkflowCluster> = Api::namespaced(self.client.clone(), &self.home);
        let tenants: Api<WorkflowTenant> = Api::namespaced(self.client.clone(), &self.home);
        let params = PostParams::default();
        config_maps.create(&params, &ca).await.unwrap();
        for secret in &credentials {
            secrets.create(&params, secret).await.unwrap();
        }
        clusters.create(&params, &builders::cluster(&self.home, "prod")).await.unwrap();
        tenants.create(&params, &builders::tenant(&self.home, "acme", cluster)).await.unwrap();
        let tenant = builders::active_tenant(&self.home, "acme", cluster);
        self.write_status::<WorkflowCluster>("prod", json!(cluster.status)).await;
        self.write_status::<WorkflowTenant>("acme", json!(tenant.status)).await;
    }

    /// As the controller of that kind does.
    async fn write_status<K: Resource<DynamicType = ()>>(&self, name: &str, status: Value) {
        let kind = ApiResource::erase::<K>(&());
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.home, &kind);
        let patch = json!({"status": status});
        api.patch_status(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    async fn start_controller(&mut self) {
        // More than one test of this binary comes here.
        let _ = rustls_provider();
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig).unwrap();
        let config =
            kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        let args = Args::parse_from(["process-controller", "--cluster-namespace", &self.home]);
        let mut service = Service::new("process-controller", args.service, config, Fence::open()).unwrap();
        crate::controller::start(&mut service, Arc::new(self.engines.clone()));
        let (metrics, stop) = (service.metrics.clone(), service.stop.clone());
        let task = tokio::spawn(async move { service.attend().await });
        self.controller = Some(Running { metrics, stop, task });
    }

    /// Passes that ended settled.
    fn settled(&self) -> u64 {
        let text = self.controller.as_ref().unwrap().metrics.encode().unwrap();
        let line = r#"operator_reconciliations_total{kind="WorkflowProcess",outcome="settled"} "#;
        let count = text.lines().find_map(|found| found.strip_prefix(line));
        count.map_or(0, |count| count.parse().unwrap())
    }

    /// Ends the controller as SIGTERM does.
    async fn stop_controller(&mut self) {
        let Running { stop, task, .. } = self.controller.take().unwrap();
        stop.cancel();
        tokio::time::timeout(Duration::from_secs(10), task).await.unwrap().unwrap().unwrap();
    }

    async fn label_work(&self, labels: Value) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let patch = json!({"metadata": {"labels": labels}});
        namespaces.patch(&self.work, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    fn processes(&self) -> Api<WorkflowProcess> {
        Api::namespaced(self.client.clone(), &self.work)
    }

    /// As a user applies it. Every process has an id of its own.
    async fn apply(&self, name: &str, source: Value) {
        let process: WorkflowProcess = serde_json::from_value(json!({
            "apiVersion": "workflow.example.com/v1alpha1",
            "kind": "WorkflowProcess",
            "metadata": {"name": name, "namespace": self.work},
            "spec": {
                "clusterRef": {"name": "prod", "namespace": self.home},
                "tenantRef": {"name": "acme", "namespace": self.home},
                "source": source,
            },
        }))
        .unwrap();
        self.processes().create(&PostParams::default(), &process).await.unwrap();
    }

    async fn await_reported(&self, name: &str, reported: &str) -> WorkflowProcess {
        let is_reported = |process: &WorkflowProcess| {
            process.status.as_ref().and_then(|status| status.message.as_deref()) == Some(reported)
        };
        await_condition(&self.processes(), name, SOON, &format!("says {reported:?}"), is_reported).await
    }

    async fn await_deployed(&self, name: &str) -> WorkflowProcess {
        let is_deployed =
            |process: &WorkflowProcess| process.status.as_ref().is_some_and(|status| status.ready);
        await_condition(&self.processes(), name, SOON, "is deployed", is_deployed).await
    }

    async fn put_config_map(&self, bpmn: &str) {
        let config_maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.work);
        let config_map = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "order-flow-bpmn"},
            "data": {"process.bpmn": bpmn},
        });
        let params = PatchParams::apply("user").force();
        config_maps.patch("order-flow-bpmn", &params, &Patch::Apply(config_map)).await.unwrap();
    }

    /// The cluster's spec changes, which begins a pass that has nothing to do. A change of its status would begin none.
    async fn poke(&self, n: usize) {
        let clusters: Api<WorkflowCluster> = Api::namespaced(self.client.clone(), &self.home);
        let patch = json!({"spec": {"replicas": 4 + n % 7}});
        clusters.patch("prod", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(running) = &self.controller {
            running.stop.cancel();
        }
    }
}

/// A kubeconfig of the controller's own, with exactly the permissions of `docs/spec/workflowprocess.md`.
async fn permitted(apiserver: &TestApiServer, client: &Client, home: &str) -> std::path::PathBuf {
    let group = api_types::GROUP;
    let everywhere = json!([
        {"apiGroups": [group], "resources": ["workflowprocesses"], "verbs": ["list", "watch", "patch"]},
        {"apiGroups": [group], "resources": ["workflowprocesses/status"], "verbs": ["patch"]},
        {"apiGroups": [group], "resources": ["workflowclusters", "workflowtenants", "workflowworkers"], "verbs": ["list", "watch"]},
        {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create"]},
    ]);
    let near_clusters = json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": ["prod-engine-controller-token"]}]);
    let subject = json!([{"kind": "ServiceAccount", "name": "process-controller", "namespace": home}]);
    let rbac = "rbac.authorization.k8s.io";
    let objects = [
        ("ClusterRole", json!({"rules": everywhere})),
        ("Role", json!({"rules": near_clusters})),
        (
            "ClusterRoleBinding",
            json!({
                "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": home},
                "subjects": subject,
            }),
        ),
        (
            "RoleBinding",
            json!({
                "roleRef": {"apiGroup": rbac, "kind": "Role", "name": home},
                "subjects": subject,
            }),
        ),
    ];
    for (kind, mut object) in objects {
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(rbac, "v1", kind));
        object["metadata"] = json!({"name": home});
        object["apiVersion"] = json!(kind.api_version);
        object["kind"] = json!(kind.kind);
        let api: Api<DynamicObject> = if kind.kind.starts_with("Cluster") {
            Api::all_with(client.clone(), &kind)
        } else {
            Api::namespaced_with(client.clone(), home, &kind)
        };
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        api.create(&PostParams::default(), &object).await.unwrap();
    }
    apiserver.kubeconfig_for(&format!("system:serviceaccount:{home}:process-controller"), &[])
}

fn bpmn_of(id: &str) -> String {
    ORDER_FLOW.replace("id=\"order-flow\"", &format!("id=\"{id}\""))
}

fn from_config_map() -> Value {
    json!({"configMapRef": {"name": "order-flow-bpmn", "key": "process.bpmn"}})
}

fn renamed_task() -> String {
    ORDER_FLOW.replace("Refund payment", "Give the money back")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_processes_become_deployed() {
    let apiserver = require_controller_manager!();
    let mut world = World::start(apiserver).await;
    let names: Vec<String> = (0..200).map(|n| format!("process-{n}")).collect();
    let began = std::time::Instant::now();
    for name in &names {
        world.apply(name, json!({"bpmn": bpmn_of(name)})).await;
    }
    for name in &names {
        world.await_deployed(name).await;
    }
    println!("200 processes in {:?}", began.elapsed());
    assert_eq!(world.engine.definitions("acme").len(), 200);
    assert_eq!(world.engine.count(engine_client::Operation::DeployProcess), 200);
    world.stop_controller().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_object_is_reported_and_stops_nobody() {
    let apiserver = require_controller_manager!();
    let mut world = World::start(apiserver).await;
    let broken = json!({
        "apiVersion": "workflow.example.com/v1alpha1",
        "kind": "WorkflowProcess",
        "metadata": {"name": "broken", "namespace": world.work},
        "spec": {"clusterRef": "prod", "source": {"bpmn": 7}},
    });
    let broken: DynamicObject = serde_json::from_value(broken).unwrap();
    let resource = ApiResource::erase::<WorkflowProcess>(&());
    let objects: Api<DynamicObject> = Api::namespaced_with(world.client.clone(), &world.work, &resource);
    loosen_schema(&world.client).await;
    eventually("the loosened schema accepts the broken object", SOON, async || {
        objects.create(&PostParams::default(), &broken).await
    })
    .await;
    Box::pin(apiserver.apply_crds(&[WorkflowProcess::crd()])).await;

    let events: Api<Event> = Api::namespaced(world.client.clone(), &world.work);
    let reported = eventually("the unreadable object is reported", SOON, async || {
        let all = events.list(&ListParams::default()).await.ok()?;
        all.items.into_iter().find(|event| event.reason.as_deref() == Some("Unreadable"))
    })
    .await;
    assert_eq!(reported.regarding.unwrap().name.as_deref(), Some("broken"));
    let note = reported.note.unwrap();
    assert!(note.starts_with("Unreadable: the object does not fit this version's schema ("), "{note}");
    assert!(note.chars().count() <= message::MAX_CHARS);

    world.apply("before", json!({"bpmn": bpmn_of("before")})).await;
    world.await_deployed("before").await;
    world.stop_controller().await;
    world.start_controller().await;
    world.apply("after", json!({"bpmn": bpmn_of("after")})).await;
    world.await_deployed("after").await;
    objects.delete("broken", &DeleteParams::default()).await.unwrap();
    world.stop_controller().await;
}

/// What a former version of the CRD might have let in.
async fn loosen_schema(client: &Client) {
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let mut crd = WorkflowProcess::crd();
    let loose = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    for version in &mut crd.spec.versions {
        version.schema.as_mut().unwrap().open_api_v3_schema = serde_json::from_value(loose.clone()).unwrap();
    }
    let params = PatchParams::apply("test-support").force();
    crds.patch(&crd.name_any(), &params, &Patch::Apply(&crd)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edited_config_map_is_seen_and_deployed() {
    let apiserver = require_controller_manager!();
    let mut world = World::start(apiserver).await;
    world.apply("order-flow", from_config_map()).await;
    let message =
        format!("spec.source.configMapRef.name: ConfigMap {}/order-flow-bpmn does not exist", world.work);
    world.await_reported("order-flow", &message).await;
    world.put_config_map(ORDER_FLOW).await;
    world.await_reported("order-flow", "Deployed v1 (key=1)").await;
    world.put_config_map(&renamed_task()).await;
    world.await_reported("order-flow", "Deployed v2 (key=2)").await;
    world.stop_controller().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_takes_effect_and_so_does_its_removal() {
    let apiserver = require_controller_manager!();
    let mut world = World::start(apiserver).await;
    world.label_work(json!({TENANT: null})).await;
    world.apply("order-flow", json!({"bpmn": ORDER_FLOW})).await;
    let refused = format!(
        "spec.clusterRef {home}/prod, spec.tenantRef {home}/acme: not found or not permitted from namespace {}; \
         grant: label that Namespace workflow.example.com/tenant=acme",
        world.work,
        home = world.home,
    );
    world.await_reported("order-flow", &refused).await;
    assert_eq!(world.engine.calls(), []);
    world.label_work(json!({TENANT: "acme"})).await;
    world.await_deployed("order-flow").await;
    world.label_work(json!({TENANT: null})).await;
    world.await_reported("order-flow", &refused).await;
    world.stop_controller().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_settled_process_is_not_written_over_fifty_passes() {
    let apiserver = require_controller_manager!();
    let mut world = World::start(apiserver).await;
    world.apply("order-flow", json!({"bpmn": ORDER_FLOW})).await;
    let before = world.await_deployed("order-flow").await.resource_version();
    for n in 0..50 {
        let passes = world.settled();
        world.poke(n).await;
        eventually("the poke causes a pass", SOON, async || (world.settled() > passes).then_some(())).await;
    }
    let after = world.processes().get("order-flow").await.unwrap().resource_version();
    assert_eq!(after, before);
    assert_eq!(world.engine.count(engine_client::Operation::DeployProcess), 1);
    world.stop_controller().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conditions_that_come_back_in_another_order_are_no_reason_to_write() {
    let apiserver = require_controller_manager!();
    let mut world = World::start(apiserver).await;
    world.apply("order-flow", json!({"bpmn": ORDER_FLOW})).await;
    world.await_deployed("order-flow").await;
    // A state with other conditions in between: the list comes back in another order than it is built in.
    let pause = |paused: bool| json!({"spec": {"paused": paused}});
    for paused in [true, false] {
        let generation = world.processes().get("order-flow").await.unwrap().metadata.generation;
        let patch = Patch::Merge(pause(paused));
        world.processes().patch("order-flow", &PatchParams::default(), &patch).await.unwrap();
        let seen = |process: &WorkflowProcess| {
            process.status.as_ref().and_then(|status| status.observed_generation) > generation
        };
        await_condition(&world.processes(), "order-flow", SOON, "is seen", seen).await;
    }
    let before = world.processes().get("order-flow").await.unwrap().resource_version();
    for n in 0..5 {
        let passes = world.settled();
        world.poke(n).await;
        eventually("the poke causes a pass", SOON, async || (world.settled() > passes).then_some(())).await;
    }
    assert_eq!(world.processes().get("order-flow").await.unwrap().resource_version(), before);
    world.stop_controller().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_namespace_ends() {
    let apiserver = require_controller_manager!();
    let mut world = World::start(apiserver).await;
    world.put_config_map(ORDER_FLOW).await;
    world.apply("order-flow", from_config_map()).await;
    world.apply("inline", json!({"bpmn": bpmn_of("inline")})).await;
    world.await_deployed("order-flow").await;
    world.await_deployed("inline").await;
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    namespaces.delete(&world.work, &DeleteParams::default()).await.unwrap();
    await_gone(&namespaces, &world.work, SOON).await;
    assert_eq!(world.engine.definitions("acme"), []);
    world.stop_controller().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_the_apiserver_is_survived_and_nothing_of_it_is_missed() {
    let Some(mut apiserver) = TestApiServer::start(ApiServerOptions::default()).await else { return };
    let mut world = World::start(&apiserver).await;
    world.put_config_map(ORDER_FLOW).await;
    world.apply("order-flow", from_config_map()).await;
    let before = world.await_deployed("order-flow").await;
    apiserver.stop();
    tokio::time::sleep(Duration::from_secs(3)).await;
    apiserver.start_again().await;
    world.put_config_map(&renamed_task()).await;
    world.await_reported("order-flow", "Deployed v2 (key=2)").await;
    world.apply("new", json!({"bpmn": bpmn_of("new")})).await;
    world.await_deployed("new").await;
    let reported: BTreeMap<_, _> =
        world.engine.definitions("acme").into_iter().map(|d| (d.process_id, d.version)).collect();
    assert_eq!(reported, BTreeMap::from([("new".to_owned(), 1), ("order-flow".to_owned(), 2)]));
    assert_eq!(before.status.unwrap().version, Some(1));
    world.stop_controller().await;
}

/// What `run` does once per process.
fn rustls_provider() -> Result<(), ()> {
    rustls::crypto::ring::default_provider().install_default().map_err(|_| ())
}
