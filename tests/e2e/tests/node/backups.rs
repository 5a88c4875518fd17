//! A backup to a real S3 service, and a cluster that begins with it after the first one is gone.

use std::time::Duration;

use api_types::{WorkflowBackup, WorkflowCluster, WorkflowProcess, WorkflowTenant};
use e2e::postgres::{self, Place};
use e2e::progress::Progress;
use e2e::sample::{CLUSTER, PLAYGROUND, SYSTEM_NAMESPACE};
use e2e::testbed::{Data, Shape, Testbed};
use k8s_openapi::api::core::v1::Secret;
use kube::api::DeleteParams;
use serde_json::json;
use test_support::wait::{await_condition, await_gone};

use crate::contents::{
    copy_secrets, count_leases, destination, follow, is_complete, keep_in_database, lease_jobs, object,
    observe_contents, start_instances,
};
use crate::fixture::{START, api, apply, await_event, named_cluster, remove};

/// Source, tenant and process.
const SOURCE: &str = "backup-source";
const TARGET: &str = "backup-target";
const TARGET_DATABASE: &str = "backup_target";
const BACKUP: &str = "before-the-move";
const JOB: Duration = Duration::from_mins(3);
const INSTANCES: usize = 20;
/// Of which workers hold the jobs.
const LEASED: u32 = 3;

#[tokio::test]
#[ignore = "takes minutes: `./dev nightly`"]
async fn a_cluster_goes_on_from_a_backup_after_the_first_one_is_gone() {
    let Some(cluster) = named_cluster("a_cluster_goes_on_from_a_backup").await else { return };
    let progress = Progress::default();
    remove::<WorkflowBackup>(&cluster, PLAYGROUND, BACKUP).await;
    remove::<WorkflowCluster>(&cluster, PLAYGROUND, TARGET).await;
    let shape = Shape::small(SOURCE, Data::Shared);
    let source = Testbed::build(&cluster, shape, progress).await.expect("should be ready");
    start_instances(&cluster, SOURCE, "order", INSTANCES).await;
    lease_jobs(&cluster, SOURCE, "pass-on", LEASED).await;
    copy_secrets(&cluster).await;

    let spec = json!({"clusterRef": {"name": SOURCE}, "destination": destination("e2e/moves")});
    apply::<WorkflowBackup>(&cluster, PLAYGROUND, BACKUP, &object("WorkflowBackup", BACKUP, &spec)).await;
    let backups = api::<WorkflowBackup>(&cluster, PLAYGROUND);
    let backup = await_condition(&backups, BACKUP, JOB, "is complete", is_complete).await;
    let status = backup.status.unwrap();
    assert!(status.ready && status.size_bytes.is_some_and(|bytes| bytes > 1000), "{status:?}");
    assert_eq!(
        (status.engine_version.as_deref(), status.leased_jobs, status.backup_name.as_deref()),
        (Some("1.3.0"), Some(i64::from(LEASED)), Some(BACKUP))
    );
    let id = status.backup_id.unwrap();
    assert_eq!(status.destination.unwrap(), format!("s3://backups/e2e/moves/{id}"));

    let before = observe_contents(&cluster, Place::Demo("backup_source"), SOURCE).await;
    assert_eq!(before.lines().count(), 1 + 2 * INSTANCES, "{before}");
    keep_in_database(&cluster, SOURCE).await;
    source.remove(progress).await.expect("should be gone");

    postgres::recreate(&cluster, TARGET_DATABASE).await.expect("should be made");
    let login = postgres::read_login(&cluster).await.expect("should be there").data;
    let login = json!({"apiVersion": "v1", "kind": "Secret", "data": login,
        "metadata": {"name": "backup-target-db", "namespace": PLAYGROUND}});
    apply::<Secret>(&cluster, PLAYGROUND, "backup-target-db", &login).await;
    let sample: WorkflowCluster = api(&cluster, SYSTEM_NAMESPACE).get(CLUSTER).await.unwrap();
    let spec = json!({"version": "1.3.0", "replicas": 1, "image": sample.spec.image,
        "postgres": {"externalRef": {"host": postgres::HOST, "database": TARGET_DATABASE, "databaseSecret": "backup-target-db"}},
        "bootstrap": {"recovery": {"backupRef": {"name": BACKUP}}},
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}}});
    apply::<WorkflowCluster>(&cluster, PLAYGROUND, TARGET, &object("WorkflowCluster", TARGET, &spec)).await;
    let clusters = api::<WorkflowCluster>(&cluster, PLAYGROUND);
    let target = await_condition(&clusters, TARGET, START, "is restored", |it: &WorkflowCluster| {
        it.status.as_ref().is_some_and(|status| status.ready && status.recovery.is_some())
    })
    .await;
    let recovery = target.status.unwrap().recovery.unwrap();
    assert_eq!(
        (recovery.backup_id.as_str(), recovery.definitions, recovery.active_instances, recovery.leased_jobs),
        (id.as_str(), Some(1), Some(i64::try_from(INSTANCES).unwrap()), Some(i64::from(LEASED)))
    );
    assert_eq!(
        observe_contents(&cluster, Place::Demo(TARGET_DATABASE), SOURCE).await,
        before,
        "the same keys, instances and jobs"
    );
    assert_eq!(
        count_leases(&cluster, Place::Demo(TARGET_DATABASE), SOURCE).await,
        "0",
        "what workers held is handed out again"
    );

    // Tenant and process follow by their clusterRef, and find what they had.
    let key = follow(&cluster, SOURCE, TARGET).await;
    assert!(before.contains(&format!("definition|{SOURCE}-flow|{key}|1|")), "{key} in {before}");

    backups.delete(BACKUP, &DeleteParams::default()).await.expect("should be deleted");
    await_gone(&backups, BACKUP, JOB).await;
    await_event(&cluster, PLAYGROUND, BACKUP, "ArtefactDeleted", "").await;

    remove::<WorkflowProcess>(&cluster, PLAYGROUND, SOURCE).await;
    remove::<WorkflowTenant>(&cluster, PLAYGROUND, SOURCE).await;
    remove::<WorkflowCluster>(&cluster, PLAYGROUND, TARGET).await;
    postgres::drop_database(&cluster, TARGET_DATABASE).await.expect("should be dropped");
}
