//! The running controller, with its watches, against a real apiserver and fake engines.

use std::sync::Arc;
use std::time::Duration;

use api_types::labels::TENANT;
use api_types::{WorkflowCluster, WorkflowTenant};
use clap::Parser as _;
use controller_kit::Service;
use controller_kit::lease::Fence;
use controller_kit::metrics::Metrics;
use controller_kit::run::RunError;
use engine_client::Operation;
use engine_fake::{FakeEngine, FakeEngines};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use test_support::wait::{await_condition, await_gone, eventually};
use test_support::{TestApiServer, builders, require_controller_manager};
use tokio::sync::{Mutex, MutexGuard};
use tokio_util::sync::CancellationToken;

use crate::args::Args;

/// A controller watches all namespaces: one test at a time has one running.
static TURN: Mutex<()> = Mutex::const_new(());

const SOON: Duration = Duration::from_mins(1);

/// A controller that runs, and a ready cluster in its namespace.
struct World {
    client: Client,
    home: String,
    engine: FakeEngine,
    metrics: Metrics,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), RunError>>,
    _turn: MutexGuard<'static, ()>,
}

impl World {
    async fn start(apiserver: &TestApiServer) -> Self {
        let turn = TURN.lock().await;
        Box::pin(apiserver.apply_crds(&api_types::crds())).await;
        let client = apiserver.client().await;
        let home = apiserver.namespace("home").await;
        let cluster = builders::running_cluster(&home, "prod");
        furnish(&client, &home, &cluster).await;

        let engines = FakeEngines::new();
        let engine = engines.at(&cluster.status.unwrap().endpoint.unwrap().host, 26500);
        // What `run` does once per process; more than one test of this binary comes here.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let kubeconfig = Kubeconfig::read_from(permitted(apiserver, &client, &home).await).unwrap();
        let config =
            kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        let args = Args::parse_from(["tenant-controller", "--cluster-namespace", &home]);
        let mut service = Service::new("tenant-controller", args.service, config, Fence::open()).unwrap();
        crate::controller::start(&mut service, Arc::new(engines));
        let (metrics, stop) = (service.metrics.clone(), service.stop.clone());
        let task = tokio::spawn(async move { service.attend().await });
        Self { client, home, engine, metrics, stop, task, _turn: turn }
    }

    /// Ends the controller as SIGTERM does.
    async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(Duration::from_secs(10), self.task).await.unwrap().unwrap().unwrap();
    }

    /// Passes that ended settled.
    fn settled(&self) -> u64 {
        let text = self.metrics.encode().unwrap();
        let line = r#"operator_reconciliations_total{kind="WorkflowTenant",outcome="settled"} "#;
        let count = text.lines().find_map(|found| found.strip_prefix(line));
        count.map_or(0, |count| count.parse().unwrap())
    }

    fn tenants(&self, namespace: &str) -> Api<WorkflowTenant> {
        Api::namespaced(self.client.clone(), namespace)
    }

    async fn apply(&self, namespace: &str, name: &str) {
        let cluster = builders::cluster(&self.home, "prod");
        let tenant = builders::tenant(namespace, name, &cluster);
        self.tenants(namespace).create(&PostParams::default(), &tenant).await.unwrap();
    }

    async fn await_active(&self, namespace: &str, name: &str) -> WorkflowTenant {
        // With its usage: the status of a new tenant is complete only then.
        let is_active = |tenant: &WorkflowTenant| {
            tenant.status.as_ref().is_some_and(|status| status.ready && status.current_instances.is_some())
        };
        await_condition(&self.tenants(namespace), name, SOON, "is active", is_active).await
    }

    async fn poke(&self, n: usize) {
        let clusters: Api<WorkflowCluster> = Api::namespaced(self.client.clone(), &self.home);
        let patch = json!({"spec": {"replicas": 4 + n % 7}});
        clusters.patch("prod", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    async fn label(&self, namespace: &str, labels: Value) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let patch = json!({"metadata": {"labels": labels}});
        namespaces.patch(namespace, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }
}

/// A kubeconfig of the controller's own, with exactly the permissions of `docs/spec/workflowtenant.md`.
async fn permitted(apiserver: &TestApiServer, client: &Client, home: &str) -> std::path::PathBuf {
    let group = api_types::GROUP;
    let everywhere = json!([
        {"apiGroups": [group], "resources": ["workflowtenants"], "verbs": ["list", "watch", "patch"]},
        {"apiGroups": [group], "resources": ["workflowtenants/status"], "verbs": ["patch"]},
        {"apiGroups": [group], "resources": ["workflowtenants/finalizers"], "verbs": ["update"]},
        {"apiGroups": [group], "resources": ["workflowclusters"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create"]},
    ]);
    let near_clusters = json!([
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": ["prod-engine-controller-token", "prod-engine-client-key"]},
    ]);
    let subject = json!([{"kind": "ServiceAccount", "name": "tenant-controller", "namespace": home}]);
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
    for (kind, object) in objects {
        let namespace = if kind.starts_with("Cluster") { None } else { Some(home) };
        create_rbac(client, kind, home, namespace, object).await;
    }
    apiserver.kubeconfig_for(&format!("system:serviceaccount:{home}:tenant-controller"), &[])
}

async fn create_rbac(client: &Client, kind: &str, name: &str, namespace: Option<&str>, mut object: Value) {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("rbac.authorization.k8s.io", "v1", kind));
    object["metadata"] = json!({"name": name});
    object["apiVersion"] = json!(kind.api_version);
    object["kind"] = json!(kind.kind);
    let api: Api<DynamicObject> = match namespace {
        None => Api::all_with(client.clone(), &kind),
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &kind),
    };
    let object: DynamicObject = serde_json::from_value(object).unwrap();
    api.create(&PostParams::default(), &object).await.unwrap();
}

/// What a namespace does to opt in: `docs/spec/workflowtenant.md`.
async fn opt_in(client: &Client, home: &str, namespace: &str) {
    let name = "tenant-controller-workload-namespace";
    let rules =
        json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "create", "patch", "delete"]}]);
    create_rbac(client, "Role", name, Some(namespace), json!({"rules": rules})).await;
    let binding = json!({
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "tenant-controller", "namespace": home}],
    });
    create_rbac(client, "RoleBinding", name, Some(namespace), binding).await;
}

async fn furnish(client: &Client, home: &str, cluster: &WorkflowCluster) {
    let (ca, credentials) = builders::engine_access(cluster);
    let config_maps: Api<ConfigMap> = Api::namespaced(client.clone(), home);
    let secrets: Api<Secret> = Api::namespaced(client.clone(), home);
    let clusters: Api<WorkflowCluster> = Api::namespaced(client.clone(), home);
    let params = PostParams::default();
    config_maps.create(&params, &ca).await.unwrap();
    for secret in &credentials {
        secrets.create(&params, secret).await.unwrap();
    }
    clusters.create(&params, &builders::cluster(home, "prod")).await.unwrap();
    let patch = json!({"status": cluster.status});
    clusters.patch_status("prod", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_settled_tenant_is_not_written_over_fifty_passes() {
    let apiserver = require_controller_manager!();
    let world = World::start(apiserver).await;
    world.apply(&world.home, "acme").await;
    // The second look after the upsert reads the usage back.
    eventually("the tenant is there", SOON, async || world.engine.tenant("acme")).await;
    world.poke(100).await;
    let before = world.await_active(&world.home, "acme").await.resource_version();
    for n in 0..50 {
        let passes = world.settled();
        world.poke(n).await;
        eventually("the poke causes a pass", SOON, async || (world.settled() > passes).then_some(())).await;
    }
    let after = world.tenants(&world.home).get("acme").await.unwrap().resource_version();
    assert_eq!(after, before);
    assert_eq!(world.engine.count(Operation::PutTenant), 1);
    assert!(world.engine.count(Operation::ListTenants) <= 4, "passes within one interval share a look");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_tenant_is_reported_and_stops_nobody() {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
    use kube::CustomResourceExt as _;

    let apiserver = require_controller_manager!();
    let world = World::start(apiserver).await;
    let crds: Api<CustomResourceDefinition> = Api::all(world.client.clone());
    let mut loose = WorkflowTenant::crd();
    for version in &mut loose.spec.versions {
        let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        version.schema.as_mut().unwrap().open_api_v3_schema = serde_json::from_value(any).unwrap();
    }
    let params = PatchParams::apply("test-support").force();
    crds.patch(&loose.name_any(), &params, &Patch::Apply(&loose)).await.unwrap();
    let broken: DynamicObject = serde_json::from_value(json!({
        "apiVersion": "workflow.example.com/v1alpha1",
        "kind": "WorkflowTenant",
        "metadata": {"name": "broken", "namespace": world.home},
        "spec": {"clusterRef": "prod"},
    }))
    .unwrap();
    let kind = ApiResource::erase::<WorkflowTenant>(&());
    let objects: Api<DynamicObject> = Api::namespaced_with(world.client.clone(), &world.home, &kind);
    eventually("the loosened schema accepts the broken object", SOON, async || {
        objects.create(&PostParams::default(), &broken).await
    })
    .await;
    Box::pin(apiserver.apply_crds(&[WorkflowTenant::crd()])).await;

    let events: Api<Event> = Api::namespaced(world.client.clone(), &world.home);
    let reported = eventually("the unreadable object is reported", SOON, async || {
        let all = events.list(&ListParams::default()).await.ok()?;
        all.items.into_iter().find(|event| event.reason.as_deref() == Some("Unreadable"))
    })
    .await;
    assert_eq!(reported.regarding.unwrap().name.as_deref(), Some("broken"));
    world.apply(&world.home, "acme").await;
    eventually("the other tenant is there", SOON, async || world.engine.tenant("acme")).await;
    objects.delete("broken", &DeleteParams::default()).await.unwrap();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_in_a_namespace_of_its_own_follows_the_grant_and_ends_with_its_namespace() {
    let apiserver = require_controller_manager!();
    let world = World::start(apiserver).await;
    let own = apiserver.namespace("acme-home").await;
    world.apply(&own, "acme").await;
    let refused = |tenant: &WorkflowTenant| {
        let status = tenant.status.as_ref();
        status.is_some_and(|status| {
            !status.ready
                && status
                    .conditions
                    .iter()
                    .any(|condition| condition.reason == "ReferenceNotPermittedOrMissing")
        })
    };
    await_condition(&world.tenants(&own), "acme", SOON, "is refused", refused).await;
    assert_eq!(world.engine.calls(), []);
    world.label(&own, json!({TENANT: "acme"})).await;
    let is_ready = |tenant: &WorkflowTenant| tenant.status.as_ref().is_some_and(|status| status.ready);
    await_condition(&world.tenants(&own), "acme", SOON, "is ready", is_ready).await;
    world.label(&own, json!({TENANT: null})).await;
    await_condition(&world.tenants(&own), "acme", SOON, "is refused again", refused).await;

    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    namespaces.delete(&own, &DeleteParams::default()).await.unwrap();
    await_gone(&namespaces, &own, SOON).await;
    assert_eq!(world.engine.tenant("acme"), None);
    world.end().await;
}

/// What condition `ClientAccess` says.
fn client_access(tenant: &WorkflowTenant) -> Option<(String, String)> {
    let conditions = &tenant.status.as_ref()?.conditions;
    controller_kit::condition::find(conditions, api_types::condition::CLIENT_ACCESS)
        .map(|reported| (reported.reason.clone(), reported.message.clone()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn applications_get_their_secret_where_the_namespace_opted_in_and_lose_it_with_the_grant() {
    let apiserver = require_controller_manager!();
    let world = World::start(apiserver).await;
    let (team, other) = (apiserver.namespace("client-team").await, apiserver.namespace("client-other").await);
    opt_in(&world.client, &world.home, &other).await;
    world.label(&other, json!({TENANT: "acme"})).await;
    world.apply(&world.home, "acme").await;
    world.await_active(&world.home, "acme").await;
    let secrets = |namespace: &str| Api::<Secret>::namespaced(world.client.clone(), namespace);
    let found = eventually("the opted-in namespace has it", SOON, async || {
        secrets(&other).get_opt("acme-client").await.unwrap()
    })
    .await;
    assert_eq!(found.type_.as_deref(), Some("Opaque"));

    // Listed, and not opted in: the reason, and what to do.
    let list = json!({"spec": {"namespaces": [team]}});
    world.tenants(&world.home).patch("acme", &PatchParams::default(), &Patch::Merge(list)).await.unwrap();
    let hint = format!(
        "no permission in namespace {team}: create a RoleBinding there of ClusterRole \
         tenant-controller-workload-namespace to ServiceAccount {}/tenant-controller",
        world.home
    );
    let reported = ("ClientSecretNotPermitted".to_owned(), controller_kit::message::bounded(&hint));
    let is_reported = |tenant: &WorkflowTenant| client_access(tenant).as_ref() == Some(&reported);
    let tenant =
        await_condition(&world.tenants(&world.home), "acme", SOON, "says what lacks", is_reported).await;
    assert!(tenant.status.unwrap().ready);
    assert_eq!(secrets(&team).get_opt("acme-client").await.unwrap(), None);

    // Opted in: any change begins a look at once, else a minute does.
    opt_in(&world.client, &world.home, &team).await;
    world.label(&team, json!({TENANT: "acme"})).await;
    let patch = json!({"spec": {"displayName": "Acme"}});
    world.tenants(&world.home).patch("acme", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    let both = vec![team.clone(), other.clone()].into_iter().collect::<std::collections::BTreeSet<_>>();
    let has_both = |tenant: &WorkflowTenant| {
        let status = tenant.status.as_ref();
        status.is_some_and(|status| both == status.client_namespaces.iter().cloned().collect())
    };
    let longer = Duration::from_mins(3);
    await_condition(&world.tenants(&world.home), "acme", longer, "is in both", has_both).await;
    assert!(secrets(&team).get_opt("acme-client").await.unwrap().is_some());

    // A Secret that somebody made anew under the name is not ours.
    secrets(&other).delete("acme-client", &DeleteParams::default()).await.unwrap();
    let theirs: Secret = serde_json::from_value(json!({"metadata": {"name": "acme-client"}})).unwrap();
    secrets(&other).create(&PostParams::default(), &theirs).await.unwrap();
    world.label(&other, json!({TENANT: null})).await;
    let only_team = |tenant: &WorkflowTenant| {
        tenant.status.as_ref().is_some_and(|status| status.client_namespaces == [team.clone()])
    };
    await_condition(&world.tenants(&world.home), "acme", SOON, "is in one", only_team).await;
    assert!(secrets(&other).get_opt("acme-client").await.unwrap().is_some());

    world.tenants(&world.home).delete("acme", &DeleteParams::default()).await.unwrap();
    await_gone(&world.tenants(&world.home), "acme", SOON).await;
    assert_eq!(secrets(&team).get_opt("acme-client").await.unwrap(), None);
    world.end().await;
}
