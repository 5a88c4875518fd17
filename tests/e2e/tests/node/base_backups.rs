//! Base backups by CloudNativePG: the WAL is archived, and clusters begin with a base backup at its end and at a later time, after
//! the first one is gone.

use std::time::Duration;

use api_types::backup::BackupMethod;
use api_types::cluster::ClusterPhase;
use api_types::{WorkflowBackup, WorkflowCluster, WorkflowProcess, WorkflowTenant};
use e2e::cluster::Cluster;
use e2e::postgres::Place;
use e2e::progress::Progress;
use e2e::sample::{CLUSTER, PLAYGROUND, SYSTEM_NAMESPACE};
use e2e::testbed::{Data, Shape, Testbed};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use test_support::wait::{await_condition, await_gone, eventually};

use crate::contents::{
    copy_secrets, count_leases, destination, follow, is_complete, keep_in_database, lease_jobs, object,
    observe_contents, start_instances,
};
use crate::fixture::{START, api, apply, await_event, is_settled, named_cluster, remove};

/// Source, tenant and process.
const SOURCE: &str = "base-source";
/// Goes on at a time after the base backup.
const LATER: &str = "base-later";
/// Asks for a time that no archive has.
const TOO_LATE: &str = "base-too-late";
/// Goes on at the end of the base backup.
const AT_END: &str = "base-at-end";
const BACKUP: &str = "base-first";
const PATIENCE: Duration = Duration::from_mins(5);
const INSTANCES: usize = 20;
const MORE: usize = 5;
const LEASED: u32 = 3;

fn place(name: &str) -> Place<'_> {
    Place::Managed { namespace: PLAYGROUND, cluster: name }
}

/// As the superuser of the primary.
async fn ask(cluster: &Cluster, name: &str, statement: &str) -> String {
    place(name).run(cluster, &[statement]).await.expect("should answer").trim().to_owned()
}

/// Until what was written so far is in the archive.
async fn await_archived(cluster: &Cluster, name: &str) {
    let wal = ask(cluster, name, "select pg_walfile_name(pg_switch_wal())").await;
    let archived = format!("select coalesce(last_archived_wal, '') >= '{wal}' from pg_stat_archiver");
    eventually("the WAL is archived", PATIENCE, async || {
        let answer = ask(cluster, name, &archived).await;
        if answer == "t" { Ok(()) } else { Err(format!("{wal} is not")) }
    })
    .await;
}

fn is_running(engine: &WorkflowCluster) -> bool {
    is_settled(engine, ClusterPhase::Running)
}

/// The reason of `Ready`.
fn reason_of(engine: &WorkflowCluster) -> Option<String> {
    let conditions = &engine.status.as_ref()?.conditions;
    conditions.iter().find(|condition| condition.type_ == "Ready").map(|ready| ready.reason.clone())
}

/// A cluster that shall begin with the base backup.
async fn begin(cluster: &Cluster, name: &str, recovery: &Value) {
    let sample: WorkflowCluster = api(cluster, SYSTEM_NAMESPACE).get(CLUSTER).await.expect("should be there");
    let spec = json!({"version": "1.3.0", "replicas": 1, "image": sample.spec.image,
        "postgres": {"managed": {"replicas": 1, "storageSize": "1Gi",
            "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}}},
        "bootstrap": {"recovery": recovery},
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}}});
    apply::<WorkflowCluster>(cluster, PLAYGROUND, name, &object("WorkflowCluster", name, &spec)).await;
}

/// A cluster that has begun with the base backup.
async fn recover(cluster: &Cluster, name: &str, recovery: &Value) -> WorkflowCluster {
    begin(cluster, name, recovery).await;
    let clusters = api::<WorkflowCluster>(cluster, PLAYGROUND);
    await_condition(&clusters, name, START, "is restored", |it: &WorkflowCluster| {
        is_running(it) && it.status.as_ref().is_some_and(|status| status.recovery.is_some())
    })
    .await
}

#[tokio::test]
#[ignore = "takes minutes: `./dev nightly`"]
async fn clusters_go_on_from_a_base_backup_at_its_end_and_at_a_later_time() {
    let Some(cluster) = named_cluster("clusters_go_on_from_a_base_backup").await else { return };
    let progress = Progress::default();
    remove::<WorkflowBackup>(&cluster, PLAYGROUND, BACKUP).await;
    remove::<WorkflowCluster>(&cluster, PLAYGROUND, LATER).await;
    remove::<WorkflowCluster>(&cluster, PLAYGROUND, AT_END).await;
    remove::<WorkflowCluster>(&cluster, PLAYGROUND, TOO_LATE).await;
    copy_secrets(&cluster).await;
    let shape = Shape::small(SOURCE, Data::Managed(1));
    let source = Testbed::build(&cluster, shape, progress).await.expect("should be ready");

    let backup = json!({"method": "CloudNativePG", "destination": destination("e2e/base")});
    let patch = Patch::Merge(json!({"spec": {"backup": backup}}));
    let clusters = api::<WorkflowCluster>(&cluster, PLAYGROUND);
    clusters.patch(SOURCE, &PatchParams::default(), &patch).await.expect("should be patched");
    await_condition(&clusters, SOURCE, START, "archives its WAL", is_running).await;
    start_instances(&cluster, SOURCE, "order", INSTANCES).await;
    lease_jobs(&cluster, SOURCE, "pass-on", LEASED).await;
    let at_end = observe_contents(&cluster, place(SOURCE), SOURCE).await;
    assert_eq!(at_end.lines().count(), 1 + 2 * INSTANCES, "{at_end}");

    let spec = json!({"clusterRef": {"name": SOURCE}});
    apply::<WorkflowBackup>(&cluster, PLAYGROUND, BACKUP, &object("WorkflowBackup", BACKUP, &spec)).await;
    let backups = api::<WorkflowBackup>(&cluster, PLAYGROUND);
    let backup = await_condition(&backups, BACKUP, PATIENCE, "is complete", is_complete).await;
    let status = backup.status.unwrap();
    assert!(status.ready && status.size_bytes.is_some_and(|bytes| bytes > 1_000_000), "{status:?}");
    let artefact = status.artefact.unwrap();
    assert_eq!(artefact.method, BackupMethod::CloudNativePg);
    let (id, server) = (status.backup_id.unwrap(), artefact.server_name.unwrap());
    let base =
        id.strip_prefix(&format!("{server}-")).expect("should begin with the server's name").to_uppercase();
    assert_eq!(status.destination.unwrap(), format!("s3://backups/e2e/base/{server}/base/{base}"));

    // Some work before the time to go back to, some after it.
    start_instances(&cluster, SOURCE, "later", MORE).await;
    let later = observe_contents(&cluster, place(SOURCE), SOURCE).await;
    let time = "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
    let time = ask(&cluster, SOURCE, time).await;
    start_instances(&cluster, SOURCE, "lost", MORE).await;
    await_archived(&cluster, SOURCE).await;

    keep_in_database(&cluster, SOURCE).await;
    source.remove(progress).await.expect("should be gone");

    let recovery = json!({"backupRef": {"name": BACKUP}, "targetTime": "2099-01-01T00:00:00Z"});
    begin(&cluster, TOO_LATE, &recovery).await;
    await_condition(&clusters, TOO_LATE, PATIENCE, "says that it cannot", |it: &WorkflowCluster| {
        reason_of(it).as_deref() == Some("RestoreFailed")
    })
    .await;
    remove::<WorkflowCluster>(&cluster, PLAYGROUND, TOO_LATE).await;

    let recovery = json!({"backupRef": {"name": BACKUP}, "targetTime": time});
    let target = Box::pin(recover(&cluster, LATER, &recovery)).await;
    let recovery = target.status.unwrap().recovery.unwrap();
    let instances = i64::try_from(INSTANCES + MORE).unwrap();
    assert_eq!(
        (recovery.backup_id.as_str(), recovery.definitions, recovery.active_instances, recovery.leased_jobs),
        (id.as_str(), Some(1), Some(instances), Some(i64::from(LEASED)))
    );
    assert_eq!(observe_contents(&cluster, place(LATER), SOURCE).await, later, "what was there at {time}");
    assert_eq!(
        count_leases(&cluster, place(LATER), SOURCE).await,
        "0",
        "what workers held is handed out again"
    );

    // Tenant and process follow by their clusterRef, and find what they had.
    let key = follow(&cluster, SOURCE, LATER).await;
    assert!(later.contains(&format!("definition|{SOURCE}-flow|{key}|1|")), "{key} in {later}");
    remove::<WorkflowProcess>(&cluster, PLAYGROUND, SOURCE).await;
    remove::<WorkflowTenant>(&cluster, PLAYGROUND, SOURCE).await;
    remove::<WorkflowCluster>(&cluster, PLAYGROUND, LATER).await;

    // By its id alone, and to its end.
    let recovery = json!({"backupId": id, "destination": destination("e2e/base")});
    Box::pin(recover(&cluster, AT_END, &recovery)).await;
    assert_eq!(observe_contents(&cluster, place(AT_END), SOURCE).await, at_end, "what was there at the end");
    remove::<WorkflowCluster>(&cluster, PLAYGROUND, AT_END).await;

    backups.delete(BACKUP, &DeleteParams::default()).await.expect("should be deleted");
    await_gone(&backups, BACKUP, PATIENCE).await;
    await_event(&cluster, PLAYGROUND, BACKUP, "ArtefactDeleted", "").await;
}
