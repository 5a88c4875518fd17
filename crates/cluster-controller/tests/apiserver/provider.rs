//! A Postgres of another operator, whose kind is installed while the controller runs, and goes again. Each test has an API server
//! of its own: on a shared one the kind would come and go for others, too.

use std::time::Duration;

use api_types::WorkflowCluster;
use api_types::cluster::ClusterReason;
use api_types::labels::{CLUSTER as CLUSTER_LABEL, MANAGED_BY, OPERATOR};
use cluster_controller::provider::{PROVIDERS, Provider, trigger};
use controller_kit::clock::Clock;
use controller_kit::controller::{Queue, QueueEnd};
use controller_kit::events::Publisher;
use controller_kit::metrics::Metrics;
use controller_kit::watch::{LOCAL_CLUSTER, Progress, WatchContext, watch_optional};
use controller_testing::permissions::{Scope, chart_rules, permit_everywhere};
use controller_testing::running::RunningController;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use test_support::apiserver::{ApiServerOptions, TestApiServer};
use test_support::wait::{await_condition, await_gone, eventually};

use crate::world::{CLUSTER, World, read};

const POSTGRES: &str = "prod-east-postgres";
const CRD: &str = "clusters.postgresql.cnpg.io";
const WITHIN: Duration = Duration::from_mins(1);

/// As much of CloudNativePG's as a watch needs.
pub(crate) fn definition() -> CustomResourceDefinition {
    read(json!({
        "metadata": {"name": CRD},
        "spec": {
            "group": "postgresql.cnpg.io",
            "scope": "Namespaced",
            "names": {"kind": "Cluster", "plural": "clusters", "singular": "cluster"},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            }],
        },
    }))
}

async fn remove_definition(client: &Client) {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    definitions.delete(CRD, &DeleteParams::default()).await.unwrap();
    await_gone(&definitions, CRD, WITHIN).await;
}

fn provider() -> &'static dyn Provider {
    PROVIDERS[0]
}

/// The provider's objects.
fn objects(client: &Client, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, &provider().resource())
}

async fn report(objects: &Api<DynamicObject>, name: &str, status: Value) {
    let patch = Patch::Merge(json!({"status": status}));
    objects.patch_status(name, &PatchParams::default(), &patch).await.unwrap();
}

/// As a later number, so that what is counted meanwhile is counted.
fn calls(metrics: &str) -> u64 {
    let counts = metrics.lines().filter(|line| line.starts_with("operator_api_call_duration_seconds_count{"));
    counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

fn reports(cluster: &WorkflowCluster, reason: ClusterReason, begin: &str) -> bool {
    let status = cluster.status.as_ref();
    let is_reason = |status: &&api_types::cluster::WorkflowClusterStatus| {
        let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
        ready.is_some_and(|ready| ready.reason == reason.to_string())
    };
    let message = status.filter(is_reason).and_then(|status| status.message.as_deref());
    message.is_some_and(|message| message.starts_with(begin))
}

#[tokio::test]
async fn a_controller_runs_well_without_the_provider_and_goes_on_by_itself_when_it_is_installed() {
    let Some(apiserver) = TestApiServer::start(ApiServerOptions::default()).await else { return };
    let home = Box::pin(World::new(&apiserver, "provider")).await;
    home.apply(|cluster| cluster["spec"]["postgres"] = json!({"managed": {"replicas": 1}})).await;
    let (kubeconfig, namespace) = (apiserver.kubeconfig_for(&home.user(), &[]), home.name.clone());
    let settings = home.settings();
    let running = RunningController::start("cluster-controller", &home.name, &kubeconfig, move |service| {
        service.args.pod_namespace = namespace;
        cluster_controller::controller::start(service, settings);
    });
    let running = Box::pin(running).await;
    let clusters = home.api::<WorkflowCluster>();
    let missing =
        "spec.postgres.managed needs CloudNativePG, which is not installed: helm upgrade --install cnpg";
    let await_reported = async |reason: ClusterReason, begin: &str| {
        let what = format!("reports {reason}: {begin}");
        let is_it = |cluster: &WorkflowCluster| reports(cluster, reason, begin);
        Box::pin(await_condition(&clusters, CLUSTER, WITHIN, &what, is_it)).await;
    };
    await_reported(ClusterReason::ProviderMissing, missing).await;
    running.probe().expect("a kind that is not installed is no fault of the controller");

    Box::pin(apiserver.apply_crds(&[definition()])).await;
    let postgres = objects(&home.client, &home.name);
    Box::pin(await_condition(&postgres, POSTGRES, WITHIN, "is made", |_: &DynamicObject| true)).await;
    await_reported(ClusterReason::PostgresProvisioning, "Cluster prod-east-postgres is on its way").await;
    report(&postgres, POSTGRES, json!({"phase": "Waiting for user action"})).await;
    await_reported(ClusterReason::PostgresFailed, "Cluster prod-east-postgres waits for a person").await;

    Box::pin(remove_definition(&home.client)).await;
    await_reported(ClusterReason::ProviderMissing, missing).await;
    let before = calls(&running.metrics());
    tokio::time::sleep(Duration::from_secs(5)).await;
    let made = calls(&running.metrics()) - before;
    assert!(made < 200, "{made} calls in five seconds");
    running.probe().expect("a kind that is gone is no fault of the controller");
    let metrics = running.metrics();
    assert!(
        !metrics.contains(r#"watch_errors_total{kubernetes_cluster="local",watch="CloudNativePG"}"#),
        "{metrics}"
    );
    running.stop().await;
}

/// A watch as the controller has it, with the rights of its chart.
async fn watch_as_controller(apiserver: &TestApiServer) -> (QueueEnd<WorkflowCluster>, Metrics) {
    let admin = apiserver.client().await;
    permit_everywhere(&admin, "watcher", &chart_rules("cluster-controller", Scope::Everywhere)).await;
    let (client, clock) = (apiserver.client_for("watcher", &[]).await, Clock::system());
    let all: Api<DynamicObject> = Api::all_with(client.clone(), &provider().resource());
    Box::pin(eventually("the rights arrive", WITHIN, async || {
        match all.list(&ListParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    }))
    .await;
    let context = WatchContext {
        publisher: Publisher::new(client.clone(), "cluster-controller", "test".into(), clock),
        client,
        metrics: Metrics::new(),
        progress: Progress::of(LOCAL_CLUSTER),
    };
    let (queue, end) = Queue::new();
    let watch = watch_optional(
        &context,
        trigger::watched(provider()),
        queue,
        |live| provider().fingerprint(live),
        |live: &DynamicObject| trigger::cluster_of(live).into_iter().collect(),
    );
    tokio::spawn(watch.task);
    (end, context.metrics)
}

/// Without an owner, as `deletionPolicy: Retain` leaves it.
fn postgres_of(cluster: &str) -> DynamicObject {
    read(json!({
        "apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster",
        "metadata": {"name": format!("{cluster}-postgres"), "labels": {(MANAGED_BY): OPERATOR, (CLUSTER_LABEL): cluster}},
        "spec": {"instances": 3},
    }))
}

fn status(ready: i32, primary: &str, seen_at: &str) -> Value {
    json!({
        "phase": "Cluster in healthy state", "instances": 3, "readyInstances": ready,
        "currentPrimary": primary, "targetPrimary": primary, "certificates": {"expirations": {"ca": seen_at}},
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": seen_at, "message": seen_at}],
    })
}

#[tokio::test]
async fn a_change_of_a_managed_postgres_begins_a_pass_and_what_the_provider_only_notes_does_not() {
    let Some(apiserver) = TestApiServer::start(ApiServerOptions::default()).await else { return };
    let (mut end, metrics) = Box::pin(watch_as_controller(&apiserver)).await;
    let (client, namespace) = (apiserver.client().await, apiserver.namespace("trigger").await);
    let mut next = async || {
        let cluster = tokio::time::timeout(WITHIN, end.next()).await.expect("a pass should be requested");
        let cluster = cluster.unwrap();
        assert_eq!(cluster.namespace.as_deref(), Some(&*namespace));
        cluster.name
    };
    // Both before and after its first removal.
    for _ in 0..2 {
        Box::pin(apiserver.apply_crds(&[definition()])).await;
        let objects = objects(&client, &namespace);
        let mut foreign = postgres_of("foreign");
        foreign.metadata.labels = Some([(CLUSTER_LABEL.to_owned(), "foreign".to_owned())].into());
        objects.create(&PostParams::default(), &foreign).await.unwrap();
        for cluster in ["east", "west"] {
            objects.create(&PostParams::default(), &postgres_of(cluster)).await.unwrap();
            assert_eq!(next().await, cluster, "it was made");
        }
        report(&objects, "east-postgres", status(3, "east-postgres-1", "2026-11-28T05:00:00Z")).await;
        assert_eq!(next().await, "east");
        // Neither a repetition nor what somebody else owns: the next request is that of the last change.
        report(&objects, "east-postgres", status(3, "east-postgres-1", "2026-11-28T05:01:00Z")).await;
        report(&objects, "foreign-postgres", status(3, "foreign-postgres-1", "2026-11-28T05:01:00Z")).await;
        report(&objects, "west-postgres", status(2, "west-postgres-1", "2026-11-28T05:01:00Z")).await;
        assert_eq!(next().await, "west");
        report(&objects, "east-postgres", status(2, "east-postgres-1", "2026-11-28T05:02:00Z")).await;
        assert_eq!(next().await, "east", "an instance is missing");
        report(&objects, "east-postgres", status(2, "east-postgres-2", "2026-11-28T05:02:00Z")).await;
        assert_eq!(next().await, "east", "another instance is the primary");
        let more = Patch::Merge(json!({"spec": {"instances": 5}}));
        objects.patch("west-postgres", &PatchParams::default(), &more).await.unwrap();
        assert_eq!(next().await, "west", "somebody changed its spec");
        objects.delete("west-postgres", &DeleteParams::default()).await.unwrap();
        assert_eq!(next().await, "west", "it is gone");
        Box::pin(remove_definition(&client)).await;
        assert_eq!(next().await, "east", "it is gone with its kind");
    }
    let text = metrics.encode().unwrap();
    assert!(!text.contains("operator_watch_errors_total{"), "{text}");
}
