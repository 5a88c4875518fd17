//! The program itself, with its watches, and no more rights than the chart grants.

use api_types::WorkflowBackup;
use api_types::backup::BackupPhase as Phase;
use backup_format::{BackupReport, DeleteReport, Failure, Outcome, Reason, Totals};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams};
use serde_json::json;
use test_support::wait::{await_gone, eventually};

use crate::world::{CLUSTER, Controller, PATIENCE, World, turn};

fn report(id: &str) -> Outcome {
    let at = "2026-06-01T12:00:00Z".parse().unwrap();
    let totals = Totals { definitions: 1, active_instances: 2, jobs: 3, leased_jobs: 1, rows: 9 };
    Outcome::Backup(BackupReport {
        backup_id: id.parse().unwrap(),
        location: format!("s3://backups/{id}"),
        size_bytes: 4711,
        started_at: at,
        snapshot_at: at,
        completed_at: at,
        engine_version: "1.2.3".to_owned(),
        schema_version: 7,
        digest: "ab".repeat(32),
        totals,
        encrypted: true,
        existed: false,
    })
}

fn failure(reason: Reason) -> Outcome {
    Outcome::Failure(Failure::new(reason, format!("the agent says {reason:?}")))
}

async fn delete(home: &World, name: &str) {
    home.api::<WorkflowBackup>().delete(name, &DeleteParams::default()).await.unwrap();
}

#[tokio::test]
async fn a_backup_is_made_and_deleted_with_the_rights_of_the_chart() {
    let apiserver = test_support::require_controller_manager!();
    let _turn = turn().await;
    let home = World::new(apiserver, "backup-life").await;
    let controller = Controller::start(apiserver, &home).await;
    home.back_up("nightly").await;
    let pod = home.await_pod("nightly", "backup").await;
    let id = World::variable(&pod, "WORKFLOW_BACKUP_ID").unwrap();
    // A controller that is killed now finds everything again.
    controller.kill();
    home.end_pod(&pod, 0, &report(&id)).await;
    let controller = Controller::start_again(apiserver, &home);
    let backup = home.await_reason("nightly", "BackupCompleted").await;
    let status = backup.status.unwrap();
    assert_eq!((status.phase, status.size_bytes), (Some(Phase::Completed), Some(4711)));
    assert_eq!(status.destination.unwrap(), format!("s3://backups/{id}"));
    eventually("the Job goes", PATIENCE, async || {
        home.api::<Job>().list(&ListParams::default()).await.unwrap().items.is_empty().then_some(())
    })
    .await;

    delete(&home, "nightly").await;
    let pod = home.await_pod("nightly", "delete").await;
    let deleted = DeleteReport { backup_id: id.parse().unwrap(), deleted_objects: 2 };
    home.end_pod(&pod, 0, &Outcome::Delete(deleted)).await;
    await_gone(&home.api::<WorkflowBackup>(), "nightly", PATIENCE).await;
    let event = home.await_event("ArtefactDeleted").await;
    assert_eq!(event.note.unwrap(), format!("s3://backups/{id} was deleted"));
    drop(controller);
}

#[tokio::test]
async fn what_would_fail_again_is_not_tried_again() {
    let apiserver = test_support::require_controller_manager!();
    let _turn = turn().await;
    let home = World::new(apiserver, "backup-fails").await;
    let _controller = Controller::start(apiserver, &home).await;
    home.back_up("nightly").await;
    // Kubernetes starts another pod after what may pass.
    let first = home.await_pod("nightly", "backup").await;
    home.end_pod(&first, 1, &failure(Reason::DatabaseUnreachable)).await;
    home.await_reason("nightly", "DatabaseUnreachable").await;
    let second = home.await_pod("nightly", "backup").await;
    assert_ne!(first.metadata.name, second.metadata.name);
    home.end_pod(&second, 2, &failure(Reason::BucketMissing)).await;
    let backup = home.await_reason("nightly", "BucketMissing").await;
    let status = backup.status.unwrap();
    assert_eq!(status.phase, Some(Phase::Failed));
    assert_eq!(status.message.as_deref(), Some("the agent says BucketMissing"));
}

#[tokio::test]
async fn a_deletion_ends_the_backup_first() {
    let apiserver = test_support::require_controller_manager!();
    let _turn = turn().await;
    let home = World::new(apiserver, "backup-ends").await;
    let _controller = Controller::start(apiserver, &home).await;
    home.back_up("nightly").await;
    let pod = home.await_pod("nightly", "backup").await;
    delete(&home, "nightly").await;
    let deleting = home.await_pod("nightly", "delete").await;
    assert_eq!(home.api::<Pod>().get_opt(pod.metadata.name.as_deref().unwrap()).await.unwrap(), None);
    home.end_pod(&deleting, 2, &failure(Reason::CredentialsRefused)).await;
    home.await_reason("nightly", "DeletionBlocked").await;
    let again = home.await_pod("nightly", "delete").await;
    let id = World::variable(&again, "WORKFLOW_BACKUP_ID").unwrap();
    let deleted = DeleteReport { backup_id: id.parse().unwrap(), deleted_objects: 0 };
    home.end_pod(&again, 0, &Outcome::Delete(deleted)).await;
    await_gone(&home.api::<WorkflowBackup>(), "nightly", PATIENCE).await;
}

#[tokio::test]
async fn an_upgrade_that_waits_for_a_backup_gets_one() {
    let apiserver = test_support::require_controller_manager!();
    let _turn = turn().await;
    let home = World::new(apiserver, "backup-upgrade").await;
    let _controller = Controller::start(apiserver, &home).await;
    let upgrade = json!({
        "stage": "BackingUp", "planHash": "0123456789abcdef", "from": "1.2.3", "to": "1.3.0", "rollbackable": true,
    });
    home.set_cluster_status(&json!({"upgrade": upgrade})).await;
    let name = format!("{CLUSTER}-before-0123456789abcdef");
    let pod = home.await_pod(&name, "backup").await;
    home.end_pod(&pod, 0, &report(&World::variable(&pod, "WORKFLOW_BACKUP_ID").unwrap())).await;
    let backup = home.await_reason(&name, "BackupCompleted").await;
    let annotations = backup.metadata.annotations.unwrap();
    assert_eq!(annotations["workflow.example.com/plan-hash"], "0123456789abcdef");
}

#[tokio::test]
async fn with_its_namespace_a_backup_goes_at_once() {
    let apiserver = test_support::require_controller_manager!();
    let _turn = turn().await;
    let home = World::new(apiserver, "backup-namespace").await;
    let _controller = Controller::start(apiserver, &home).await;
    home.back_up("nightly").await;
    let pod = home.await_pod("nightly", "backup").await;
    home.end_pod(&pod, 0, &report(&World::variable(&pod, "WORKFLOW_BACKUP_ID").unwrap())).await;
    home.await_reason("nightly", "BackupCompleted").await;
    let namespaces: kube::Api<k8s_openapi::api::core::v1::Namespace> = kube::Api::all(home.client.clone());
    namespaces.delete(&home.name, &DeleteParams::default()).await.unwrap();
    await_gone(&namespaces, &home.name, PATIENCE).await;
}
