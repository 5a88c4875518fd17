use api_types::cluster::{ClusterPhase, PostgresStatus};
use api_types::cluster::{ClusterReason as Reason, WorkflowClusterStatus};
use api_types::engine_access::{Access, access_secret_name};
use controller_kit::condition::find;
use controller_kit::outcome::ErrorClass;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::ObjectMeta;
use serde_json::json;
use test_support::crash::survives_crash_at_every_write;

use api_types::WorkflowCluster;
use controller_kit::controller::Reconciler as _;
use controller_kit::outcome::Next;

use crate::children::service_monitor::ServiceMonitor;
use crate::observe::postgres::{PostgresProblem, PostgresView};
use crate::status::RESYNC;
use crate::testing::kubernetes::World;
use crate::testing::{MINIMAL, SEED, days, reachable};
use kube::ResourceExt as _;

mod deletion;
mod rotation;
mod upgrade;

const IMAGE: &str = "ghcr.io/example/workflow-engine";

fn status(world: &World) -> WorkflowClusterStatus {
    world.cluster().status.unwrap_or_default()
}

/// Phase, reason of `Ready`, message.
fn reported(world: &World) -> (Option<ClusterPhase>, String, String) {
    let status = status(world);
    let reason = find(&status.conditions, "Ready").map(|ready| ready.reason.clone()).unwrap_or_default();
    (status.phase, reason, status.message.unwrap_or_default())
}

fn phase(phase: ClusterPhase, reason: Reason, message: &str) -> (Option<ClusterPhase>, String, String) {
    (Some(phase), reason.to_string(), message.to_owned())
}

fn down() -> PostgresView {
    PostgresView::Unusable(PostgresProblem {
        reason: Reason::PostgresUnreachable,
        cause: "connection refused (postgres:5432)".to_owned(),
    })
}

async fn running(yaml: &str) -> World {
    let world = World::new(yaml);
    world.settle().await;
    assert!(status(&world).ready, "{:?}", status(&world));
    world.apiserver.forget_requests();
    world
}

fn minimal(replicas: i32) -> String {
    MINIMAL.replace("replicas: 1", &format!("replicas: {replicas}"))
}

#[tokio::test]
async fn a_new_cluster_comes_up_and_then_costs_nothing() {
    let world = World::new(SEED);
    world.apiserver.without_api::<ServiceMonitor>();
    world.settle().await;
    let found = status(&world);
    let conditions: Vec<_> =
        found.conditions.iter().map(|c| (c.type_.as_str(), c.status.as_str(), c.reason.as_str())).collect();
    assert_eq!(
        conditions,
        [
            ("Available", "True", "EngineAvailable"),
            ("Migrated", "True", "SchemaCurrent"),
            ("PostgresEncrypted", "True", "PostgresServerVerified"),
            ("PostgresReachable", "True", "PostgresReachable"),
            ("Ready", "True", "Running"),
            ("Supported", "False", "FieldsNotActedOn"),
            ("UpgradeComplete", "True", "RolledOut"),
        ]
    );
    assert_eq!(
        find(&found.conditions, "Supported").unwrap().message,
        "not acted on: spec.authentication.oidc (use the token in Secret <tenant>-client of each tenant), \
         spec.observability.tracing (no OTLP is sent yet; use the metrics), \
         spec.observability.metrics.serviceMonitor (install the CRDs of monitoring.coreos.com/v1)"
    );
    assert_eq!(
        WorkflowClusterStatus { conditions: Vec::new(), ..found },
        WorkflowClusterStatus {
            observed_generation: Some(1),
            phase: Some(ClusterPhase::Running),
            ready: true,
            message: Some("3 engine pods serve at version 1.2.3".to_owned()),
            conditions: Vec::new(),
            replicas: Some(3),
            ready_replicas: Some(3),
            selector: Some(
                "app.kubernetes.io/component=engine,app.kubernetes.io/instance=prod-east,app.kubernetes.io/name=workflow-engine"
                    .to_owned()
            ),
            version: Some("1.2.3".to_owned()),
            version_key: Some("v1-2-3".to_owned()),
            schema_version: Some(1),
            postgres_status: Some(PostgresStatus::Healthy),
            endpoint: Some(api_types::cluster::Endpoint {
                host: "prod-east-engine.workflow-system.svc".to_owned(),
                port: 26500,
                url: "https://prod-east-engine.workflow-system.svc:26500".to_owned(),
            }),
            accepts_deployments: true,
            access_key_ids: Some(rotation::key_ids(&world, "workflow-system", "prod-east")),
        }
    );
    world.apiserver.forget_requests();
    for _ in 0..5 {
        let pass = world.reconcile(world.apiserver.client()).await;
        assert_eq!(pass.next, Next::Settled { resync: RESYNC });
    }
    assert_eq!(world.apiserver.mutations(), []);
}

#[tokio::test]
async fn a_settled_cluster_costs_reads_by_name_and_one_list_of_pods_per_resync() {
    let world = running(MINIMAL).await;
    let reconciler = world.reconciler(world.apiserver.client());
    let cluster = std::sync::Arc::new(world.cluster());
    reconciler.reconcile(cluster.clone()).await;
    for _ in 0..5 {
        world.apiserver.forget_requests();
        assert_eq!(reconciler.reconcile(cluster.clone()).await.next, Next::Settled { resync: RESYNC });
        let requests = world.apiserver.requests().into_iter();
        let mut requests: Vec<_> = requests.map(|it| format!("{} {}", it.method, it.path)).collect();
        requests.sort();
        let grants = ["rolebindings", "roles"].map(|kind| {
            Access::ALL.map(|access| {
                let name = access_secret_name("dev", access);
                format!("GET /apis/rbac.authorization.k8s.io/v1/namespaces/acme/{kind}/{name}")
            })
        });
        let mut grants = grants.concat();
        grants.sort();
        let reads = [
            "pods",
            "secrets/db",
            "secrets/dev-engine-ca-key",
            "secrets/dev-engine-client-key",
            "secrets/dev-engine-controller-token",
            "secrets/dev-engine-monitor-token",
            "secrets/dev-engine-tls",
            "secrets/dev-engine-worker-key",
        ];
        let reads = reads.map(|read| format!("GET /api/v1/namespaces/acme/{read}"));
        assert_eq!(requests, [reads.as_slice(), &grants].concat());
    }
}

#[tokio::test]
async fn a_crash_between_any_two_writes_ends_where_no_crash_ends() {
    let report = survives_crash_at_every_write(
        async || World::new(&minimal(2)),
        async |world, faults| world.settle_behind(faults).await,
        async |world| world.end_state(),
    )
    .await;
    let count = |words: &str| report.writes.iter().filter(|write| write.contains(words)).count();
    assert_eq!(
        (count("/jobs"), count("/secrets/"), count("/configmaps/")),
        (1, 6, 1),
        "{:#?}",
        report.writes
    );
}

#[tokio::test]
async fn a_database_that_is_away_is_reported_and_found_again() {
    let world = World::new(MINIMAL);
    world.set_postgres(down());
    world.settle().await;
    assert_eq!(
        reported(&world),
        phase(ClusterPhase::Pending, Reason::PostgresUnreachable, "connection refused (postgres:5432)")
    );
    assert_eq!(
        world.events(),
        ["Warning PostgresUnreachable PostgresUnreachable: connection refused (postgres:5432)"]
    );
    assert_eq!(status(&world).postgres_status, Some(PostgresStatus::Unreachable));
    assert!(world.apiserver.get::<StatefulSet>("acme", "dev-engine").is_none());
    world.set_postgres(reachable(None));
    world.settle().await;
    assert_eq!(
        reported(&world),
        phase(ClusterPhase::Running, Reason::Running, "1 engine pod serves at version 1.2.3")
    );
}

#[tokio::test]
async fn a_database_is_asked_less_often_the_longer_it_is_away() {
    let world = World::new(MINIMAL);
    world.set_postgres(down());
    let mut rechecks = Vec::new();
    for minutes in [0, 0, 1, 1, 60] {
        world.pass_time(jiff::SignedDuration::from_mins(minutes));
        world.settle().await;
        let pass = world.reconcile(world.apiserver.client()).await;
        let Next::Wait { recheck } = pass.next else { panic!("{:?}", pass.next) };
        rechecks.push(recheck.as_secs());
    }
    assert_eq!(rechecks, [5, 5, 30, 60, 60]);
}

#[tokio::test]
async fn a_running_engine_is_degraded_while_its_database_is_away() {
    let world = running(MINIMAL).await;
    world.set_postgres(down());
    world.settle().await;
    assert_eq!(
        reported(&world),
        phase(ClusterPhase::Degraded, Reason::PostgresUnreachable, "connection refused (postgres:5432)")
    );
    let found = status(&world);
    assert_eq!(
        (found.accepts_deployments, found.version.as_deref(), found.schema_version),
        (true, Some("1.2.3"), Some(1))
    );
}

#[tokio::test]
async fn a_missing_secret_is_named_and_its_creation_is_enough() {
    let world = World::new(MINIMAL);
    let login = world.apiserver.get::<Secret>("acme", "db").unwrap();
    world.apiserver.remove::<Secret>("acme", "db");
    world.settle().await;
    let message = "spec.postgres.externalRef.databaseSecret: Secret db does not exist in this namespace";
    assert_eq!(reported(&world), phase(ClusterPhase::Pending, Reason::PostgresSecretMissing, message));
    world.apiserver.seed(&login);
    world.settle().await;
    assert!(status(&world).ready);
}

#[tokio::test]
async fn scaling_is_reported_in_two_events() {
    let world = running(&minimal(3)).await;
    world.edit(|cluster| cluster["spec"]["replicas"] = json!(5));
    world.settle().await;
    assert_eq!(
        world.events(),
        [
            "Normal ScalingUp Reconciling cluster, replicas 3 → 5",
            "Normal StatefulSetUpdated StatefulSet updated successfully",
            "Normal Running 5 engine pods serve at version 1.2.3",
        ]
    );
    assert_eq!(status(&world).ready_replicas, Some(5));
}

#[tokio::test]
async fn an_engine_without_replicas_is_stopped_and_starts_again() {
    let world = running(&minimal(2)).await;
    world.edit(|cluster| cluster["spec"]["replicas"] = json!(0));
    world.settle().await;
    let message = "spec.replicas is 0: no engine pod runs, the data is kept";
    assert_eq!(reported(&world), phase(ClusterPhase::Stopped, Reason::Stopped, message));
    let found = status(&world);
    assert_eq!((found.ready, found.accepts_deployments, found.replicas), (true, false, Some(0)));
    assert!(world.apiserver.get::<PodDisruptionBudget>("acme", "dev-engine").is_none());
    world.edit(|cluster| cluster["spec"]["replicas"] = json!(2));
    world.settle().await;
    assert_eq!(
        reported(&world),
        phase(ClusterPhase::Running, Reason::Running, "2 engine pods serve at version 1.2.3")
    );
}

#[tokio::test]
async fn deleted_children_are_made_again_with_the_keys_that_are_left() {
    let world = running(MINIMAL).await;
    let credentials = || world.apiserver.get::<Secret>("acme", "dev-engine-worker-key").unwrap().data;
    let before = credentials();
    let paths = world.end_state().into_keys().collect::<Vec<_>>();
    world.apiserver.remove::<Service>("acme", "dev-engine");
    world.apiserver.remove::<ConfigMap>("acme", "dev-engine-ca");
    world.apiserver.remove::<StatefulSet>("acme", "dev-engine");
    world.apiserver.remove::<Secret>("acme", "dev-engine-tls");
    world.settle().await;
    assert_eq!(world.end_state().into_keys().collect::<Vec<_>>(), paths);
    assert_eq!(credentials(), before);
    assert!(status(&world).ready);
    world.apiserver.remove::<Secret>("acme", "dev-engine-worker-key");
    world.settle().await;
    assert_ne!(credentials(), before);
}

#[tokio::test]
async fn a_certificate_is_renewed_in_time_and_reported() {
    let world = running(MINIMAL).await;
    let certificate = || world.apiserver.get::<Secret>("acme", "dev-engine-tls").unwrap().data;
    let before = certificate();
    world.pass_time(days(59));
    world.settle().await;
    assert_eq!(certificate(), before);
    world.pass_time(days(2));
    world.settle().await;
    assert_ne!(certificate(), before);
    let note = "Normal CertificateRotated the engine's certificate was renewed; its pods take it over without a restart";
    assert_eq!(world.events(), [note]);
}

#[tokio::test]
async fn an_object_of_somebody_else_is_refused_and_left_alone() {
    let world = World::new(MINIMAL);
    let metadata = ObjectMeta {
        name: Some("dev-engine".into()),
        namespace: Some("acme".into()),
        ..ObjectMeta::default()
    };
    world.apiserver.seed(&Service { metadata, ..Service::default() });
    let foreign = world.apiserver.get::<Service>("acme", "dev-engine");
    world.settle().await;
    let message = "Service acme/dev-engine exists and belongs to something else: delete or rename it";
    assert_eq!(reported(&world), phase(ClusterPhase::Degraded, Reason::NameTaken, message));
    assert_eq!(world.apiserver.get::<Service>("acme", "dev-engine"), foreign);
    world.apiserver.remove::<Service>("acme", "dev-engine");
    world.settle().await;
    assert!(status(&world).ready);
}

#[tokio::test]
async fn one_refused_step_does_not_keep_the_others_from_being_done() {
    let world = World::new(MINIMAL);
    world.apiserver.intercept(|request| {
        (request.method == "PATCH" && request.path.contains("/networkpolicies/")).then(|| {
            test_support::reply::forbidden(
                "networkpolicies.networking.k8s.io",
                "dev-engine",
                "quota exceeded",
            )
            .into()
        })
    });
    let pass = world.reconcile(world.apiserver.client()).await;
    assert_eq!(pass.next, Next::Failed(ErrorClass::Denied));
    for _ in 0..5 {
        world.answer();
        world.reconcile(world.apiserver.client()).await;
    }
    assert_eq!(reported(&world).1, "Denied");
    assert!(world.apiserver.get::<StatefulSet>("acme", "dev-engine").is_some());
}

#[tokio::test]
async fn a_namespace_without_rights_is_reported() {
    let world = World::new(MINIMAL);
    world.apiserver.intercept(|request| {
        let is_read = request.method == "GET" && request.path.contains("/secrets/");
        is_read.then(|| test_support::reply::forbidden("secrets", "db", "no RBAC policy matched").into())
    });
    let pass = world.reconcile(world.apiserver.client()).await;
    assert_eq!(pass.next, Next::Failed(ErrorClass::Denied));
    let (phase, reason, message) = reported(&world);
    assert_eq!((phase, reason.as_str()), (Some(ClusterPhase::Pending), "Denied"));
    assert!(message.starts_with("failed to read Secret acme/"), "{message}");
}

#[tokio::test]
async fn an_api_server_that_does_not_answer_for_a_moment_changes_no_ready_status() {
    let world = running(MINIMAL).await;
    let before = status(&world);
    world.apiserver.intercept(|request| {
        let is_read = request.method == "GET" && request.path.contains("/secrets/");
        is_read.then(|| test_support::reply::failure(503, "ServiceUnavailable", "try again").into())
    });
    let pass = world.reconcile(world.apiserver.client()).await;
    assert_eq!((pass.next, status(&world)), (Next::Failed(ErrorClass::Transient), before));
}

#[tokio::test]
async fn a_paused_cluster_is_reported_and_not_written() {
    let world = running(MINIMAL).await;
    world.edit(|cluster| {
        cluster["spec"]["paused"] = json!(true);
        cluster["spec"]["replicas"] = json!(3);
    });
    world.settle().await;
    let written: Vec<_> = world
        .apiserver
        .mutations()
        .iter()
        .map(|r| r.path.clone())
        .filter(|p| !p.contains("/events"))
        .collect();
    assert_eq!(written, ["/apis/workflow.example.com/v1alpha1/namespaces/acme/workflowclusters/dev/status"]);
    let found = status(&world);
    assert!(find(&found.conditions, "Paused").is_some_and(|paused| paused.status == "True"));
    world.edit(|cluster| cluster["spec"]["paused"] = json!(false));
    world.settle().await;
    assert_eq!(status(&world).ready_replicas, Some(3));
}

#[tokio::test]
async fn an_invalid_spec_is_reported_and_nothing_is_touched() {
    let world = running(MINIMAL).await;
    world.edit(|cluster| cluster["spec"]["version"] = json!("latest"));
    let pass = world.reconcile(world.apiserver.client()).await;
    assert_eq!(pass.next, Next::Failed(ErrorClass::Invalid));
    let (phase, reason, _) = reported(&world);
    assert_eq!((phase, reason.as_str()), (Some(ClusterPhase::Failed), "InvalidSpec"));
    assert_eq!(world.pods_reported(), [(format!("{IMAGE}:1.2.3"), true)]);
}

#[tokio::test]
async fn a_cluster_on_its_way_out_is_reported_and_nothing_is_made_anew() {
    let world = running(MINIMAL).await;
    world.apiserver.remove::<Service>("acme", "dev-engine");
    world.edit(|cluster| {
        cluster["metadata"]["deletionTimestamp"] = json!("2026-06-01T12:00:00Z");
        cluster["metadata"]["finalizers"] = json!(["foregroundDeletion"]);
    });
    let pass = world.reconcile(world.apiserver.client()).await;
    assert_eq!((pass.next, reported(&world).0), (Next::Gone, Some(ClusterPhase::Deleting)));
    assert!(world.apiserver.get::<Service>("acme", "dev-engine").is_none());
}

#[tokio::test]
async fn a_service_monitor_appears_with_its_crd() {
    let world = World::new(
        &SEED
            .replace("authentication:", "ignored:")
            .replace("tracing: {enabled: true", "tracing: {enabled: false"),
    );
    let crd = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let installed = crd.clone();
    world.apiserver.intercept(move |request| {
        let missing = request.path.contains("/monitoring.coreos.com/")
            && !installed.load(std::sync::atomic::Ordering::Relaxed);
        missing.then(test_support::reply::Reply::no_such_api)
    });
    world.settle().await;
    let supported = find(&status(&world).conditions, "Supported").map(|found| found.reason.clone());
    assert_eq!((status(&world).ready, supported.as_deref()), (true, Some("ServiceMonitorCrdMissing")));
    let note = "Warning ServiceMonitorCrdMissing ServiceMonitorCrdMissing: not acted on: \
                spec.observability.metrics.serviceMonitor (install the CRDs of monitoring.coreos.com/v1)";
    assert!(world.events().contains(&note.to_owned()), "{:#?}", world.events());
    crd.store(true, std::sync::atomic::Ordering::Relaxed);
    world.settle().await;
    assert!(world.apiserver.get::<ServiceMonitor>("workflow-system", "prod-east-engine").is_some());
    assert!(find(&status(&world).conditions, "Supported").is_none());
}
