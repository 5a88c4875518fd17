//! A Postgres that CloudNativePG makes: it fails over while work goes on, gets another password, sleeps and wakes.

use std::time::Duration;

use api_types::WorkflowCluster;
use api_types::cluster::{ClusterPhase, PostgresStatus};
use e2e::cluster::Cluster;
use e2e::postgres::read_primary;
use e2e::progress::Progress;
use e2e::sample::PLAYGROUND;
use e2e::testbed::{Data, Shape, Testbed};
use e2e::traffic::{Plan, Traffic};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;
use test_support::wait::{await_condition, eventually};

use crate::fixture::{RECOVERY, START, api, is_settled, named_cluster};

const NAME: &str = "managed";
const RATE: u32 = 50;
const CALM: Duration = Duration::from_secs(10);

async fn set_stopped(cluster: &Cluster, stopped: bool) {
    let patch = Patch::Merge(json!({"spec": {"stopped": stopped}}));
    let clusters = api::<WorkflowCluster>(cluster, PLAYGROUND);
    clusters.patch(NAME, &PatchParams::default(), &patch).await.expect("should be patched");
}

/// Name and start of each engine pod.
async fn observe_engine_pods(cluster: &Cluster) -> Vec<(String, String)> {
    let labels = format!("app.kubernetes.io/component=engine,app.kubernetes.io/instance={NAME}");
    let pods = api::<Pod>(cluster, PLAYGROUND).list(&ListParams::default().labels(&labels)).await;
    let pods = pods.expect("should be listed");
    let started = |pod: &Pod| {
        let status = pod.status.clone().unwrap_or_default();
        let restarts: i32 = status.container_statuses.iter().flatten().map(|it| it.restart_count).sum();
        (pod.metadata.uid.clone().unwrap_or_default(), restarts.to_string())
    };
    pods.items.iter().map(started).collect()
}

#[tokio::test]
#[ignore = "takes minutes: `./dev nightly`"]
async fn a_managed_postgres_fails_over_under_load_gets_another_password_sleeps_and_wakes() {
    let Some(cluster) = named_cluster("a_managed_postgres_fails_over").await else { return };
    let progress = Progress::default();
    let shape = Shape {
        name: NAME,
        version: "1.3.0".to_owned(),
        replicas: 2,
        health_seconds: 5,
        data: Data::Managed(3),
    };
    let testbed = Testbed::build(&cluster, shape, progress).await.expect("should be ready");
    let pods = observe_engine_pods(&cluster).await;

    // The primary's pod goes while work goes on.
    let forwarder = testbed.forward().await.expect("should be reached");
    let target = testbed.target("failover", forwarder.address()).await.expect("should have credentials");
    let traffic = Traffic::begin(Plan { clients: 2, workers: 4, ..Plan::at(RATE) }, target).unwrap();
    tokio::time::sleep(CALM).await;
    let former = read_primary(&cluster, PLAYGROUND, NAME).await.expect("should have a primary");
    let lost_at = traffic.record().elapsed();
    api::<Pod>(&cluster, PLAYGROUND).delete(&former, &DeleteParams::default()).await.expect("should go");
    let next = eventually("another instance is the primary", RECOVERY, async || {
        let primary = read_primary(&cluster, PLAYGROUND, NAME).await.map_err(|error| error.to_string())?;
        if primary == former { Err(format!("{former} still is")) } else { Ok(primary) }
    })
    .await;
    let promoted_after = traffic.record().elapsed().saturating_sub(lost_at);
    tokio::time::sleep(CALM * 2).await;
    let ledger = traffic.finish().await.expect("should end");
    let audit = testbed.audit("failover", &ledger).await.expect("should read the rows");
    let worst = ledger.latencies(&(lost_at..lost_at + CALM * 2)).last().copied().unwrap_or_default();
    progress.say(&format!(
        "{next} took over {:.1} s after {former} was deleted; the slowest job took {:.1} s; {} of {} calls failed after the client's repetitions",
        promoted_after.as_secs_f64(),
        worst.as_secs_f64(),
        ledger.failures.len(),
        ledger.orders.len(),
    ));
    assert_eq!((audit.lost, audit.doubled), (0, 0), "{audit:?}");
    assert!(audit.started > usize::try_from(RATE).unwrap() * 10, "{audit:?}");
    let clusters = api::<WorkflowCluster>(&cluster, PLAYGROUND);
    await_condition(&clusters, NAME, RECOVERY, "is complete again", |it: &WorkflowCluster| {
        is_settled(it, ClusterPhase::Running)
    })
    .await;

    // CloudNativePG takes the new password from its Secret, and so does the engine.
    let secret = format!("{NAME}-postgres-app");
    let patch = Patch::Merge(json!({"stringData": {"password": "another-password-0123456789"}}));
    api::<Secret>(&cluster, PLAYGROUND).patch(&secret, &PatchParams::default(), &patch).await.unwrap();
    let primary = next.clone();
    api::<Pod>(&cluster, PLAYGROUND).delete(&primary, &DeleteParams::default()).await.expect("should go");
    // New connections, of the operator and of the engine, need it.
    eventually("another instance is the primary", RECOVERY, async || {
        let now = read_primary(&cluster, PLAYGROUND, NAME).await.map_err(|error| error.to_string())?;
        if now == primary { Err(format!("{primary} still is")) } else { Ok(()) }
    })
    .await;
    await_condition(&clusters, NAME, RECOVERY, "works with the other password", |it: &WorkflowCluster| {
        is_settled(it, ClusterPhase::Running)
    })
    .await;
    assert_eq!(observe_engine_pods(&cluster).await, pods, "no engine pod was replaced or restarted");

    set_stopped(&cluster, true).await;
    let stopped = await_condition(&clusters, NAME, RECOVERY, "is stopped", |it: &WorkflowCluster| {
        is_settled(it, ClusterPhase::Stopped)
            && it.status.as_ref().and_then(|status| status.postgres_status)
                == Some(PostgresStatus::Hibernated)
    })
    .await;
    let message = stopped.status.unwrap().message.unwrap();
    assert_eq!(message, "spec.stopped is true: no engine pod runs and Postgres sleeps, the data is kept");
    let labels = ListParams::default().labels(&format!("cnpg.io/cluster={NAME}-postgres"));
    assert_eq!(api::<Pod>(&cluster, PLAYGROUND).list(&labels).await.unwrap().items.len(), 0);

    set_stopped(&cluster, false).await;
    await_condition(&clusters, NAME, START, "runs again", |it: &WorkflowCluster| {
        is_settled(it, ClusterPhase::Running)
    })
    .await;
    let again = testbed.audit("failover", &ledger).await.expect("should read the rows");
    assert_eq!(again, audit, "the data outlived the sleep");
    testbed.remove(progress).await.expect("should be gone");
}
