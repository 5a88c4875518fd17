//! Another version of the engine, and the way back.

use std::time::Duration;

use api_types::cluster::{ClusterPhase, UpgradeStage, WorkflowClusterStatus};
use api_types::{WorkflowCluster, WorkflowProcess};
use k8s_openapi::api::batch::v1::Job;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use test_support::wait::{await_condition, eventually};

use crate::deletion::ALL;
use crate::fixture::{EDIT, api, named_cluster};
use crate::lane::Lane;

/// An upgrade of an engine of two pods, with all that it waits for.
const UPGRADE: Duration = Duration::from_mins(5);

/// Its image does not exist: the migration waits for it, and must not begin when it turns up some day.
#[tokio::test]
async fn a_version_that_is_called_off_leaves_no_migration_behind() {
    let Some(cluster) = named_cluster("a_version_that_is_called_off").await else { return };
    let lane = Lane::fresh(&cluster, "called-off").await;
    lane.apply().await;
    lane.await_ready().await;
    let clusters: Api<WorkflowCluster> = api(&cluster, ALL);
    let jobs: Api<Job> = api(&cluster, ALL);
    let of_this = ListParams::default().labels("workflow.example.com/cluster=called-off");
    let set_version = async |version: &str| set_version(&clusters, &lane, version).await;
    let migrations = async || {
        let listed = jobs.list(&of_this).await.map_err(|error| error.to_string())?;
        Ok::<Vec<String>, String>(listed.items.iter().map(ResourceExt::name_any).collect())
    };

    // tests/e2e/values.yaml denies it.
    set_version("1.3.66").await;
    await_condition(&clusters, &lane.name, EDIT, "refuses 1.3.66", |it: &WorkflowCluster| {
        let message = it.status.as_ref().and_then(|status| status.message.as_deref());
        message == Some("spec.version 1.3.66 must not be used: it is denied by the test; use 1.3.0")
    })
    .await;
    set_version("1.3.9").await;
    eventually("a migration to 1.3.9 is made", EDIT, async || {
        let names = migrations().await?;
        if names.iter().any(|name| name.contains("v1-3-9")) { Ok(()) } else { Err(format!("{names:?}")) }
    })
    .await;
    set_version("1.3.0").await;
    eventually("the migration to 1.3.9 is gone", Duration::from_mins(2), async || {
        let names = migrations().await?;
        if names.iter().any(|name| name.contains("v1-3-9")) { Err(format!("{names:?}")) } else { Ok(()) }
    })
    .await;
    await_condition(&clusters, &lane.name, EDIT, "runs 1.3.0", |it: &WorkflowCluster| {
        it.status.as_ref().is_some_and(|status| {
            status.ready && status.version.as_deref() == Some("1.3.0") && status.accepts_deployments
        })
    })
    .await;
    lane.remove().await;
}

pub(crate) async fn set_version(clusters: &Api<WorkflowCluster>, lane: &Lane, version: &str) {
    let spec = json!({"spec": {"version": version}});
    clusters.patch(&lane.name, &PatchParams::default(), &Patch::Merge(&spec)).await.expect("should patch");
}

/// Waits for this stage of the upgrade to this version, and gives the status.
pub(crate) async fn await_stage(
    clusters: &Api<WorkflowCluster>,
    lane: &Lane,
    stage: UpgradeStage,
    to: &str,
) -> WorkflowClusterStatus {
    let what = format!("is {} of {to}", stage.as_str());
    let found = await_condition(clusters, &lane.name, UPGRADE, &what, |it: &WorkflowCluster| {
        let upgrade = it.status.as_ref().and_then(|status| status.upgrade.as_ref());
        upgrade.is_some_and(|upgrade| upgrade.stage == stage && upgrade.to.as_deref() == Some(to))
    })
    .await;
    found.status.expect("should have a status")
}

/// From 1.2.3, which is built from its commit, to 1.3.0, which has steps that expand and contract the schema; then to a
/// version that says that it is well and completes no job, which is taken back.
#[tokio::test]
async fn an_upgrade_reaches_every_pod_and_a_sick_version_goes_back_by_itself() {
    let Some(cluster) = named_cluster("an_upgrade_reaches_every_pod").await else { return };
    let lane = Lane::fresh(&cluster, "upgraded").await.with_engine("1.2.3", 2);
    lane.apply().await;
    lane.await_ready().await;
    let clusters: Api<WorkflowCluster> = api(&cluster, ALL);

    set_version(&clusters, &lane, "1.3.0").await;
    let canary = await_stage(&clusters, &lane, UpgradeStage::Canary, "1.3.0").await.upgrade.expect("is one");
    assert_eq!((canary.from.as_deref(), canary.rollbackable), (Some("1.2.3"), true), "{canary:?}");
    let done = await_stage(&clusters, &lane, UpgradeStage::Done, "1.3.0").await;
    assert_eq!((done.version.as_deref(), done.schema_version), (Some("1.3.0"), Some(3)), "{done:?}");
    let processes: Api<WorkflowProcess> = api(&cluster, ALL);
    let process = processes.get(&lane.name).await.expect("should read").status.expect("should have a status");
    assert_eq!(process.confirmed_by_version.as_deref(), Some("1.3.0"));
    lane.await_ready().await;

    let failure = fail_to_upgrade(&clusters, &lane, "1.3.1").await;
    let expected = "engine pod upgraded-engine-1 is ready, but it fails to complete the job: ";
    assert!(failure.starts_with(expected), "{failure}");
    set_version(&clusters, &lane, "1.3.0").await;
    lane.await_ready().await;
    lane.remove().await;
}

/// More ways to be bad; each costs a minute or two.
#[tokio::test]
#[ignore = "takes minutes: `./dev nightly`"]
async fn versions_that_crash_never_get_ready_or_are_slow_go_back_by_themselves() {
    let Some(cluster) = named_cluster("versions_that_crash").await else { return };
    let lane = Lane::fresh(&cluster, "bad-versions").await.with_engine("1.3.0", 2);
    lane.apply().await;
    lane.await_ready().await;
    let clusters: Api<WorkflowCluster> = api(&cluster, ALL);
    let bad: [(&str, &[&str]); 3] = [
        ("1.3.2", &["CrashLoopBackOff", "its container ended"]),
        ("1.3.3", &["does not become ready"]),
        ("1.3.4", &["works, but takes 1"]),
    ];
    for (version, expected) in bad {
        let failure = fail_to_upgrade(&clusters, &lane, version).await;
        assert!(failure.starts_with("engine pod bad-versions-engine-1"), "{failure}");
        assert!(expected.iter().any(|words| failure.contains(words)), "{failure}");
        set_version(&clusters, &lane, "1.3.0").await;
        lane.await_ready().await;
    }
    lane.remove().await;
}

/// The version is taken back while 1.3.0 serves; why.
async fn fail_to_upgrade(clusters: &Api<WorkflowCluster>, lane: &Lane, version: &str) -> String {
    set_version(clusters, lane, version).await;
    let back = await_stage(clusters, lane, UpgradeStage::RolledBack, version).await;
    assert_eq!((back.ready, back.version.as_deref()), (false, Some("1.3.0")));
    let failure = back.upgrade.and_then(|upgrade| upgrade.last_failure).expect("should say why");
    assert_eq!(failure.stage, UpgradeStage::Canary, "{failure:?}");
    failure.message
}

/// One field, both ways; the process stays deployed, and as many pods come back.
#[tokio::test]
async fn a_stopped_engine_starts_again_with_what_it_had() {
    let Some(cluster) = named_cluster("a_stopped_engine_starts_again").await else { return };
    let lane = Lane::fresh(&cluster, "stopped").await.with_engine("1.3.0", 2);
    lane.apply().await;
    lane.await_ready().await;
    let clusters: Api<WorkflowCluster> = api(&cluster, ALL);
    let key_of_process = async || {
        let processes: Api<WorkflowProcess> = api(&cluster, ALL);
        let status =
            processes.get(&lane.name).await.expect("should read").status.expect("should have a status");
        (status.ready, status.process_definition_key)
    };
    let deployed = key_of_process().await;
    let set_stopped = async |stopped: bool| {
        let spec = json!({"spec": {"stopped": stopped}});
        clusters
            .patch(&lane.name, &PatchParams::default(), &Patch::Merge(&spec))
            .await
            .expect("should patch");
    };

    set_stopped(true).await;
    let stopped = await_condition(&clusters, &lane.name, EDIT, "is stopped", |it: &WorkflowCluster| {
        let status = it.status.as_ref();
        status.is_some_and(|status| status.phase == Some(ClusterPhase::Stopped) && status.ready)
    })
    .await;
    assert_eq!((stopped.spec.replicas, stopped.status.and_then(|status| status.replicas)), (2, Some(0)));
    assert_eq!(key_of_process().await, deployed);

    set_stopped(false).await;
    await_condition(&clusters, &lane.name, Duration::from_mins(2), "runs again", |it: &WorkflowCluster| {
        let status = it.status.as_ref();
        status.is_some_and(|status| {
            status.phase == Some(ClusterPhase::Running) && status.ready && status.ready_replicas == Some(2)
        })
    })
    .await;
    assert_eq!(key_of_process().await, deployed);
    lane.remove().await;
}
