//! An upgrade while something else happens: the spec changes, the controller or the database ends, a node is drained.

use std::time::Duration;

use api_types::WorkflowCluster;
use api_types::cluster::{UpgradeGateName, UpgradeStage, WorkflowClusterStatus};
use e2e::cluster::Cluster;
use e2e::sample::SYSTEM_NAMESPACE;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use test_support::wait::await_condition;
use tokio::process::Command;

use crate::deletion::ALL;
use crate::fixture::{EDIT, RECOVERY, api, named_cluster};
use crate::lane::Lane;
use crate::upgrades::{await_stage, set_version};

async fn patch(clusters: &Api<WorkflowCluster>, lane: &Lane, change: &Value) {
    clusters.patch(&lane.name, &PatchParams::default(), &Patch::Merge(change)).await.expect("should patch");
}

fn is_engine_of(lane: &Lane) -> ListParams {
    let labels = format!("app.kubernetes.io/component=engine,app.kubernetes.io/instance={}", lane.name);
    ListParams::default().labels(&labels)
}

/// Versions that the engine's pods run, each once.
async fn versions(cluster: &Cluster, lane: &Lane) -> Vec<String> {
    let pods: Api<Pod> = api(cluster, ALL);
    let pods = pods.list(&is_engine_of(lane)).await.expect("should list").items;
    let mut versions: Vec<String> =
        pods.iter().map(|pod| pod.labels()["app.kubernetes.io/version"].clone()).collect();
    versions.sort();
    versions.dedup();
    versions
}

async fn await_version(clusters: &Api<WorkflowCluster>, lane: &Lane, version: &str) -> WorkflowClusterStatus {
    let what = format!("is ready with {version}");
    let found = await_condition(clusters, &lane.name, RECOVERY, &what, |it: &WorkflowCluster| {
        it.status.as_ref().is_some_and(|status| {
            let stage = status.upgrade.as_ref().map(|upgrade| upgrade.stage);
            status.ready && status.version.as_deref() == Some(version) && stage == Some(UpgradeStage::Done)
        })
    })
    .await;
    found.status.expect("should have a status")
}

/// Two stages are held by a gate, so that they last: a maintenance window that is not open, and a backup that nobody makes.
#[tokio::test]
#[ignore = "takes minutes: `./dev nightly`"]
async fn a_spec_that_is_set_back_at_any_stage_is_taken_back() {
    let Some(cluster) = named_cluster("a_spec_that_is_set_back").await else { return };
    let lane = Lane::fresh(&cluster, "set-back").await.with_engine("1.2.3", 2);
    lane.apply().await;
    lane.await_ready().await;
    let clusters: Api<WorkflowCluster> = api(&cluster, ALL);

    let closed =
        json!({"days": [another_day(&cluster, &lane).await], "start": "00:00", "durationMinutes": 15});
    patch(&clusters, &lane, &json!({"spec": {"upgrade": {"maintenanceWindows": [closed]}}})).await;
    set_version(&clusters, &lane, "1.3.0").await;
    let held = await_gate(&clusters, &lane, UpgradeGateName::MaintenanceWindow).await;
    assert_eq!(held.upgrade.map(|upgrade| upgrade.stage), Some(UpgradeStage::Planned));
    set_version(&clusters, &lane, "1.2.3").await;
    await_version(&clusters, &lane, "1.2.3").await;
    let backup = json!({
        "metadata": {"annotations": {"workflow.example.com/backup-before-upgrade": "true"}},
        "spec": {"upgrade": {"maintenanceWindows": []}},
    });
    patch(&clusters, &lane, &backup).await;
    set_version(&clusters, &lane, "1.3.0").await;
    let held = await_gate(&clusters, &lane, UpgradeGateName::Backup).await;
    assert_eq!(versions(&cluster, &lane).await, ["1.2.3"]);
    set_version(&clusters, &lane, "1.2.3").await;
    await_version(&clusters, &lane, "1.2.3").await;

    // The plan is the same, so the backup of it counts from here on.
    let hash = held.upgrade.and_then(|upgrade| upgrade.plan_hash);
    let made = json!({"metadata": {"annotations": {"workflow.example.com/backup-completed": hash}}});
    patch(&clusters, &lane, &made).await;
    for stage in [UpgradeStage::Expanding, UpgradeStage::Canary, UpgradeStage::Rolling, UpgradeStage::Soaking]
    {
        set_version(&clusters, &lane, "1.3.0").await;
        await_stage(&clusters, &lane, stage, "1.3.0").await;
        set_version(&clusters, &lane, "1.2.3").await;
        let status = await_version(&clusters, &lane, "1.2.3").await;
        assert_eq!(versions(&cluster, &lane).await, ["1.2.3"], "{stage:?}");
        assert_eq!(status.last_stable.map(|stable| stable.version).as_deref(), Some("1.2.3"), "{stage:?}");
    }
    set_version(&clusters, &lane, "1.3.0").await;
    await_version(&clusters, &lane, "1.3.0").await;
    lane.remove().await;
}

/// Neither today nor tomorrow, by the cluster's clock: the lane's pods were just made.
async fn another_day(cluster: &Cluster, lane: &Lane) -> &'static str {
    let pods: Api<Pod> = api(cluster, ALL);
    let pods = pods.list(&is_engine_of(lane)).await.expect("should list").items;
    let newest = pods.iter().filter_map(ResourceExt::creation_timestamp).max().expect("should have a pod").0;
    let days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    // 1970-01-01 was a Thursday.
    let today = (newest.as_second() / 86_400 + 3) % 7;
    days[usize::try_from((today + 3) % 7).expect("should be a day")]
}

async fn await_gate(
    clusters: &Api<WorkflowCluster>,
    lane: &Lane,
    gate: UpgradeGateName,
) -> WorkflowClusterStatus {
    let what = format!("is held by {gate:?}");
    let found = await_condition(clusters, &lane.name, EDIT, &what, |it: &WorkflowCluster| {
        let upgrade = it.status.as_ref().and_then(|status| status.upgrade.as_ref());
        upgrade.and_then(|upgrade| upgrade.gate.as_ref()).is_some_and(|closed| closed.name == gate)
    })
    .await;
    found.status.expect("should have a status")
}

#[tokio::test]
#[ignore = "takes minutes: `./dev nightly`"]
async fn an_upgrade_goes_on_after_its_controller_was_killed_at_any_stage() {
    let Some(cluster) = named_cluster("an_upgrade_goes_on_after_its_controller").await else { return };
    let lane = Lane::fresh(&cluster, "killed-controller").await.with_engine("1.2.3", 2);
    lane.apply().await;
    lane.await_ready().await;
    let clusters: Api<WorkflowCluster> = api(&cluster, ALL);
    set_version(&clusters, &lane, "1.3.0").await;
    let stages = [
        UpgradeStage::Expanding,
        UpgradeStage::Canary,
        UpgradeStage::Rolling,
        UpgradeStage::Soaking,
        UpgradeStage::Contracting,
    ];
    for stage in stages {
        await_stage(&clusters, &lane, stage, "1.3.0").await;
        kill_controller(&cluster).await;
    }
    let status = await_version(&clusters, &lane, "1.3.0").await;
    assert_eq!((status.schema_version, versions(&cluster, &lane).await), (Some(3), vec!["1.3.0".to_owned()]));
    lane.await_ready().await;
    lane.remove().await;
}

async fn kill_controller(cluster: &Cluster) {
    let pods: Api<Pod> = api(cluster, SYSTEM_NAMESPACE);
    let controllers = ListParams::default().labels("app.kubernetes.io/name=cluster-controller");
    let killed = pods.list(&controllers).await.expect("should list").items;
    assert!(!killed.is_empty(), "expected a pod of the cluster-controller");
    for pod in killed {
        let at_once = DeleteParams::default().grace_period(0);
        // It may be one that went already.
        let _ = pods.delete(&pod.name_any(), &at_once).await;
    }
}

#[tokio::test]
#[ignore = "takes minutes: `./dev nightly`"]
async fn the_schema_is_expanded_though_postgres_restarts_meanwhile() {
    let Some(cluster) = named_cluster("the_schema_is_expanded_though").await else { return };
    let lane = Lane::fresh(&cluster, "postgres-restarts").await.with_engine("1.2.3", 2);
    lane.apply().await;
    lane.await_ready().await;
    let clusters: Api<WorkflowCluster> = api(&cluster, ALL);
    set_version(&clusters, &lane, "1.3.0").await;
    await_stage(&clusters, &lane, UpgradeStage::Expanding, "1.3.0").await;
    let postgres: Api<Pod> = api(&cluster, "workflow");
    postgres.delete("postgres-0", &DeleteParams::default().grace_period(0)).await.expect("should kill");
    let status = await_version(&clusters, &lane, "1.3.0").await;
    assert_eq!(status.schema_version, Some(3));
    lane.await_ready().await;
    lane.remove().await;
}

/// The pods of the lane are evicted from their node, which takes no others meanwhile, as the last node of a small cluster.
#[tokio::test]
#[ignore = "takes minutes: `./dev nightly`"]
async fn a_node_is_drained_in_the_middle_of_a_roll_and_the_engine_serves_on() {
    let Some(cluster) = named_cluster("a_node_is_drained").await else { return };
    let lane = Lane::fresh(&cluster, "drained-node").await.with_engine("1.2.3", 3);
    lane.apply().await;
    lane.await_ready().await;
    let clusters: Api<WorkflowCluster> = api(&cluster, ALL);
    patch(&clusters, &lane, &json!({"spec": {"upgrade": {"canary": {"healthSeconds": 20}}}})).await;
    set_version(&clusters, &lane, "1.3.0").await;
    await_condition(&clusters, &lane.name, RECOVERY, "watches its first pod", |it: &WorkflowCluster| {
        let upgrade = it.status.as_ref().and_then(|status| status.upgrade.as_ref());
        upgrade.is_some_and(|it| it.stage == UpgradeStage::Canary && it.healthy_since.is_some())
    })
    .await;
    let pods: Api<Pod> = api(&cluster, ALL);
    let first = pods.get(&format!("{}-engine-0", lane.name)).await.expect("should read");
    let node = first.spec.and_then(|spec| spec.node_name).expect("should be on a node");

    let selector = format!("--pod-selector={}", is_engine_of(&lane).label_selector.unwrap_or_default());
    let arguments = ["drain", &node, &selector, "--delete-emptydir-data", "--timeout=30s"];
    let drain = kubectl(&cluster, &arguments);
    let (drained, least) = tokio::join!(drain, least_ready(&pods, &lane, Duration::from_secs(40)));
    let uncordoned = kubectl(&cluster, &["uncordon", &node]).await;
    assert!(uncordoned, "{node} takes no pods: kubectl uncordon {node}");
    // The budget lets one pod go, and the others stay until that one is back.
    assert!(!drained, "all pods were evicted from the only node");
    assert!(least >= 2, "{least} of 3 pods were ready");
    await_version(&clusters, &lane, "1.3.0").await;
    assert_eq!(versions(&cluster, &lane).await, ["1.3.0"]);
    lane.remove().await;
}

/// The least ready pods of the engine at any moment of this time.
async fn least_ready(pods: &Api<Pod>, lane: &Lane, time: Duration) -> usize {
    let mut least = usize::MAX;
    let end = tokio::time::Instant::now() + time;
    while tokio::time::Instant::now() < end {
        let listed = pods.list(&is_engine_of(lane)).await.expect("should list").items;
        let is_ready = |pod: &&Pod| {
            let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
            let is_ready = conditions.filter(|it| it.type_ == "Ready").any(|it| it.status == "True");
            is_ready && pod.metadata.deletion_timestamp.is_none()
        };
        least = least.min(listed.iter().filter(is_ready).count());
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    least
}

async fn kubectl(cluster: &Cluster, arguments: &[&str]) -> bool {
    let kubectl =
        Command::new("kubectl").arg("--kubeconfig").arg(&cluster.kubeconfig).args(arguments).output();
    let output = kubectl.await.expect("should start kubectl");
    output.status.success()
}
