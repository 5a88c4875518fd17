//! A cluster from its creation on, run until nothing is written any more.

use std::sync::Arc;

use api_types::cluster::{ClusterPhase, ClusterReason as Reason, PostgresStatus, WorkflowClusterStatus};
use api_types::engine_access::{Access, access_secret_name};
use controller_kit::condition::find;
use controller_kit::controller::Reconciler as _;
use controller_kit::outcome::{ErrorClass, Next};
use controller_testing::World as _;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::ObjectMeta;
use serde_json::json;

use super::rotation;
use crate::children::service_monitor::ServiceMonitor;
use crate::status::RESYNC;
use crate::testing::world::{IMAGE, World, as_reported};
use crate::testing::{MINIMAL, SEED, days, minimal_with, reachable, unreachable};

#[tokio::test]
async fn a_new_cluster_comes_up_and_then_costs_nothing() {
    let world = World::new(SEED);
    world.apiserver.without_api::<ServiceMonitor>();
    world.settle("prod-east").await;
    let found = world.status("prod-east");
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
    let stable = found.last_stable.clone();
    assert_eq!(stable.as_ref().map(|stable| stable.version.as_str()), Some("1.2.3"));
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
                external_host: Some("wf.example.com".to_owned()),
                external_url: Some("https://wf.example.com".to_owned()),
            }),
            stalled: false,
            observed_request: None,
            accepts_deployments: true,
            access_key_ids: Some(rotation::key_ids(&world, "workflow-system", "prod-east")),
            upgrade: None,
            last_stable: stable,
            last_backup: None,
            last_drill: None,
            recovery: None,
        }
    );
    world.apiserver.forget_requests();
    for _ in 0..5 {
        let next = world.pass("prod-east").await;
        assert_eq!(next, Next::Settled { resync: RESYNC });
    }
    assert_eq!(world.apiserver.mutations(), []);
}

#[tokio::test]
async fn a_settled_cluster_costs_reads_by_name_and_one_list_of_pods_per_resync() {
    let world = World::running(MINIMAL).await;
    let reconciler = world.started();
    let cluster = Arc::new(world.object("dev").unwrap());
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
async fn a_database_that_is_away_is_reported_and_found_again() {
    let world = World::new(MINIMAL);
    world.set_postgres(unreachable());
    world.settle("dev").await;
    assert_eq!(
        world.reported(),
        as_reported(ClusterPhase::Pending, Reason::PostgresUnreachable, "connection refused (postgres:5432)")
    );
    assert_eq!(
        world.event_lines("dev"),
        ["Warning PostgresUnreachable PostgresUnreachable: connection refused (postgres:5432)"]
    );
    assert_eq!(world.status("dev").postgres_status, Some(PostgresStatus::Unreachable));
    assert!(world.apiserver.get::<StatefulSet>("acme", "dev-engine").is_none());
    world.set_postgres(reachable(None));
    world.settle("dev").await;
    assert_eq!(
        world.reported(),
        as_reported(ClusterPhase::Running, Reason::Running, "1 engine pod serves at version 1.2.3")
    );
}

#[tokio::test]
async fn a_database_is_asked_less_often_the_longer_it_is_away() {
    let world = World::new(MINIMAL);
    world.set_postgres(unreachable());
    let mut rechecks = Vec::new();
    for minutes in [0, 0, 1, 1, 60] {
        world.pass_time(jiff::SignedDuration::from_mins(minutes));
        world.settle("dev").await;
        let next = world.pass("dev").await;
        let Next::Wait { recheck } = next else { panic!("{next:?}") };
        rechecks.push(recheck.as_secs());
    }
    assert_eq!(rechecks, [5, 5, 30, 60, 60]);
}

#[tokio::test]
async fn a_running_engine_is_degraded_while_its_database_is_away() {
    let world = World::running(MINIMAL).await;
    world.set_postgres(unreachable());
    world.settle("dev").await;
    assert_eq!(
        world.reported(),
        as_reported(
            ClusterPhase::Degraded,
            Reason::PostgresUnreachable,
            "connection refused (postgres:5432)"
        )
    );
    let found = world.status("dev");
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
    world.settle("dev").await;
    let message = "spec.postgres.externalRef.databaseSecret: Secret db does not exist in this namespace";
    assert_eq!(world.reported(), as_reported(ClusterPhase::Pending, Reason::PostgresSecretMissing, message));
    world.apiserver.seed(&login);
    world.settle("dev").await;
    assert!(world.status("dev").ready);
}

#[tokio::test]
async fn scaling_is_reported_in_two_events() {
    let world = World::running(&minimal_with(3)).await;
    world.edit("dev", |cluster| cluster["spec"]["replicas"] = json!(5));
    world.settle("dev").await;
    assert_eq!(
        world.event_lines("dev"),
        [
            "Normal ScalingUp Reconciling cluster, replicas 3 → 5",
            "Normal StatefulSetUpdated StatefulSet updated successfully",
            "Normal Running 5 engine pods serve at version 1.2.3",
        ]
    );
    assert_eq!(world.status("dev").ready_replicas, Some(5));
}

#[tokio::test]
async fn an_engine_without_replicas_is_stopped_and_starts_again() {
    let world = World::running(&minimal_with(2)).await;
    world.edit("dev", |cluster| cluster["spec"]["replicas"] = json!(0));
    world.settle("dev").await;
    let message = "spec.replicas is 0: no engine pod runs, the data is kept";
    assert_eq!(world.reported(), as_reported(ClusterPhase::Stopped, Reason::Stopped, message));
    let found = world.status("dev");
    assert_eq!((found.ready, found.accepts_deployments, found.replicas), (true, false, Some(0)));
    assert!(world.apiserver.get::<PodDisruptionBudget>("acme", "dev-engine").is_none());
    world.edit("dev", |cluster| cluster["spec"]["replicas"] = json!(2));
    world.settle("dev").await;
    assert_eq!(
        world.reported(),
        as_reported(ClusterPhase::Running, Reason::Running, "2 engine pods serve at version 1.2.3")
    );
}

#[tokio::test]
async fn a_stopped_engine_keeps_everything_but_its_pods_and_starts_with_as_many() {
    let world = World::running(&minimal_with(3)).await;
    let without_pods = || {
        let mut state = world.end_state();
        state.retain(|key, _| !key.contains("statefulsets") && !key.contains("workflowclusters"));
        state
    };
    let (before, former) = (without_pods(), world.status("dev"));
    world.edit("dev", |cluster| cluster["spec"]["stopped"] = json!(true));
    world.settle("dev").await;
    let message = "spec.stopped is true: no engine pod runs, the data is kept";
    assert_eq!(world.reported(), as_reported(ClusterPhase::Stopped, Reason::Stopped, message));
    let stopped = world.status("dev");
    assert_eq!((stopped.ready, stopped.accepts_deployments, stopped.replicas), (true, false, Some(0)));
    assert_eq!((&stopped.version, &stopped.endpoint), (&former.version, &former.endpoint));
    assert_eq!(world.object("dev").unwrap().spec.replicas, 3);
    assert_eq!(without_pods(), before);
    world.converge("dev").await;

    world.edit("dev", |cluster| cluster["spec"]["stopped"] = json!(false));
    world.settle("dev").await;
    assert_eq!(
        world.reported(),
        as_reported(ClusterPhase::Running, Reason::Running, "3 engine pods serve at version 1.2.3")
    );
    assert_eq!(world.status("dev").upgrade, former.upgrade, "a stop is no upgrade");
}

#[tokio::test]
async fn scaling_in_takes_one_pod_after_the_other() {
    let world = World::running(&minimal_with(4)).await;
    world.edit("dev", |cluster| cluster["spec"]["replicas"] = json!(1));
    world.settle("dev").await;
    let steps: Vec<_> =
        world.event_lines("dev").into_iter().filter(|line| line.contains("ScalingDown")).collect();
    assert_eq!(
        steps,
        [
            "Normal ScalingDown Reconciling cluster, replicas 4 → 3",
            "Normal ScalingDown Reconciling cluster, replicas 3 → 2",
            "Normal ScalingDown Reconciling cluster, replicas 2 → 1",
        ]
    );
    assert!(world.status("dev").ready);
}

#[tokio::test]
async fn deleted_children_are_made_again_with_the_keys_that_are_left() {
    let world = World::running(MINIMAL).await;
    let credentials = || world.apiserver.get::<Secret>("acme", "dev-engine-worker-key").unwrap().data;
    let before = credentials();
    let paths = world.end_state().into_keys().collect::<Vec<_>>();
    world.apiserver.remove::<Service>("acme", "dev-engine");
    world.apiserver.remove::<ConfigMap>("acme", "dev-engine-ca");
    world.apiserver.remove::<StatefulSet>("acme", "dev-engine");
    world.apiserver.remove::<Secret>("acme", "dev-engine-tls");
    world.settle("dev").await;
    assert_eq!(world.end_state().into_keys().collect::<Vec<_>>(), paths);
    assert_eq!(credentials(), before);
    assert!(world.status("dev").ready);
    world.apiserver.remove::<Secret>("acme", "dev-engine-worker-key");
    world.settle("dev").await;
    assert_ne!(credentials(), before);
}

#[tokio::test]
async fn a_certificate_is_renewed_in_time_and_reported() {
    let world = World::running(MINIMAL).await;
    let certificate = || world.apiserver.get::<Secret>("acme", "dev-engine-tls").unwrap().data;
    let before = certificate();
    world.pass_time(days(59));
    world.settle("dev").await;
    assert_eq!(certificate(), before);
    world.pass_time(days(2));
    world.settle("dev").await;
    assert_ne!(certificate(), before);
    let note = "Normal CertificateRotated the engine's certificate was renewed; its pods take it over without a restart";
    assert_eq!(world.event_lines("dev"), [note]);
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
    world.settle("dev").await;
    let message = "Service acme/dev-engine exists and belongs to something else: delete or rename it";
    assert_eq!(world.reported(), as_reported(ClusterPhase::Degraded, Reason::NameTaken, message));
    assert_eq!(world.apiserver.get::<Service>("acme", "dev-engine"), foreign);
    world.apiserver.remove::<Service>("acme", "dev-engine");
    world.settle("dev").await;
    assert!(world.status("dev").ready);
}

#[tokio::test]
async fn an_api_server_that_does_not_answer_for_a_moment_changes_no_ready_status() {
    let world = World::running(MINIMAL).await;
    let before = world.status("dev");
    world.apiserver.intercept(|request| {
        let is_read = request.method == "GET" && request.path.contains("/secrets/");
        is_read.then(|| test_support::reply::failure(503, "ServiceUnavailable", "try again").into())
    });
    let next = world.pass("dev").await;
    assert_eq!((next, world.status("dev")), (Next::Failed(ErrorClass::Transient), before));
}

#[tokio::test]
async fn a_paused_cluster_is_reported_and_not_written() {
    let world = World::running(MINIMAL).await;
    world.edit("dev", |cluster| {
        cluster["spec"]["paused"] = json!(true);
        cluster["spec"]["replicas"] = json!(3);
    });
    world.settle("dev").await;
    let written: Vec<_> = world
        .apiserver
        .mutations()
        .iter()
        .map(|r| r.path.clone())
        .filter(|p| !p.contains("/events"))
        .collect();
    assert_eq!(written, ["/apis/workflow.example.com/v1alpha1/namespaces/acme/workflowclusters/dev/status"]);
    let found = world.status("dev");
    assert!(find(&found.conditions, "Paused").is_some_and(|paused| paused.status == "True"));
    world.edit("dev", |cluster| cluster["spec"]["paused"] = json!(false));
    world.settle("dev").await;
    assert_eq!(world.status("dev").ready_replicas, Some(3));
}

#[tokio::test]
async fn an_invalid_spec_is_reported_and_nothing_is_touched() {
    let world = World::running(MINIMAL).await;
    world.edit("dev", |cluster| cluster["spec"]["version"] = json!("latest"));
    let next = world.pass("dev").await;
    assert_eq!(next, Next::Failed(ErrorClass::Invalid));
    let (phase, reason, _) = world.reported();
    assert_eq!((phase, reason.as_str()), (Some(ClusterPhase::Failed), "InvalidSpec"));
    assert_eq!(world.pods_reported(), [(format!("{IMAGE}:1.2.3"), true)]);
}

#[tokio::test]
async fn a_service_monitor_appears_with_its_crd() {
    let world = World::new(
        &SEED
            .replace("authentication:", "ignored:")
            .replace("tracing: {enabled: true", "tracing: {enabled: false"),
    );
    let crd = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let installed = crd.clone();
    world.apiserver.intercept(move |request| {
        let missing = request.path.contains("/monitoring.coreos.com/")
            && !installed.load(std::sync::atomic::Ordering::Relaxed);
        missing.then(test_support::reply::Reply::no_such_api)
    });
    world.settle("prod-east").await;
    let supported =
        find(&world.status("prod-east").conditions, "Supported").map(|found| found.reason.clone());
    assert_eq!(
        (world.status("prod-east").ready, supported.as_deref()),
        (true, Some("ServiceMonitorCrdMissing"))
    );
    let note = "Warning ServiceMonitorCrdMissing ServiceMonitorCrdMissing: not acted on: \
                spec.observability.metrics.serviceMonitor (install the CRDs of monitoring.coreos.com/v1)";
    assert!(
        world.event_lines("prod-east").contains(&note.to_owned()),
        "{:#?}",
        world.event_lines("prod-east")
    );
    crd.store(true, std::sync::atomic::Ordering::Relaxed);
    world.settle("prod-east").await;
    assert!(world.apiserver.get::<ServiceMonitor>("workflow-system", "prod-east-engine").is_some());
    assert!(find(&world.status("prod-east").conditions, "Supported").is_none());
}
