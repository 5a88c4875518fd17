//! The end of a backup, and of what it left at its destination.

use api_types::backup::BackupPhase as Phase;
use api_types::{WorkflowBackup, WorkflowCluster};
use backup_format::Reason;
use controller_kit::outcome::Next;
use controller_testing::World as _;
use jiff::SignedDuration;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Namespace;
use rstest::rstest;
use serde_json::json;

use crate::children::Task;
use crate::testing::world::{Answer, BACKUP_JOB, DELETE_JOB, HOME, NAME, World, waiting};
use crate::testing::{BACKUP, CLUSTER, MANAGED};

const LOCATION: &str = "s3://backups/prod/nightly-b1b2b3b4";

fn is_there(world: &World) -> bool {
    world.apiserver.get::<WorkflowBackup>(HOME, NAME).is_some()
}

fn last_event(world: &World) -> String {
    world.event_lines(NAME).pop().unwrap_or_default()
}

#[tokio::test]
async fn a_job_deletes_what_is_at_the_destination() {
    let world = World::complete(CLUSTER, BACKUP).await;
    // The cluster is gone since.
    world.apiserver.remove::<WorkflowCluster>(HOME, "dev");
    world.delete(NAME).await;
    world.set_answer(Task::Delete, Answer::Never);
    world.settle(NAME).await;
    let (phase, reason, message) = world.reported();
    assert_eq!((phase, reason.as_str()), (Some(Phase::Deleting), "ArtefactDeleting"));
    assert_eq!(message, format!("Job {DELETE_JOB} deletes it"));
    let env = world.env(DELETE_JOB);
    assert_eq!(env["WORKFLOW_BACKUP_ID"], "nightly-b1b2b3b4");
    assert_eq!(env["WORKFLOW_BACKUP_DESTINATION"], "s3://backups/prod");
    world.set_answer(Task::Delete, Answer::Good);
    world.settle(NAME).await;
    assert!(!is_there(&world));
    assert_eq!(last_event(&world), format!("Normal ArtefactDeleted {LOCATION} was deleted"));
}

#[tokio::test]
async fn one_that_was_never_begun_goes_at_once() {
    let world = World::new(MANAGED, BACKUP);
    world.settle(NAME).await;
    world.delete(NAME).await;
    assert_eq!(world.pass(NAME).await, Next::Gone);
    assert!(!is_there(&world));
}

#[tokio::test]
async fn a_backup_that_is_being_made_is_ended_first() {
    let world = World::new(CLUSTER, BACKUP);
    world.set_answer(Task::Backup, Answer::Never);
    world.settle(NAME).await;
    world.set_pods_linger(true);
    // The apiserver in memory does not hold back a Job that is deleted behind its pods.
    world.apiserver.edit::<Job>(HOME, BACKUP_JOB, |job| {
        job["metadata"]["finalizers"] = json!(["foregroundDeletion"]);
    });
    world.delete(NAME).await;
    world.settle(NAME).await;
    assert_eq!(world.reported().2, format!("Job {BACKUP_JOB} is ended first"));
    assert_eq!(world.jobs(), [BACKUP_JOB], "nothing is deleted while its pod may still write");
    world.set_pods_linger(false);
    world.settle(NAME).await;
    assert!(!is_there(&world));
    assert!(last_event(&world).starts_with("Normal ArtefactDeleted"), "{}", last_event(&world));
}

#[tokio::test]
async fn what_a_failed_backup_left_is_deleted_too() {
    let world = World::new(CLUSTER, BACKUP);
    world.set_answer(Task::Backup, Answer::Failed(Reason::DestinationFull));
    world.settle(NAME).await;
    world.delete(NAME).await;
    world.settle(NAME).await;
    assert!(!is_there(&world));
    assert!(last_event(&world).starts_with("Normal ArtefactDeleted"), "{}", last_event(&world));
}

#[tokio::test]
async fn retain_leaves_it_and_says_where() {
    let world = World::complete(CLUSTER, BACKUP).await;
    world.edit(NAME, |backup| backup["spec"]["deletionPolicy"] = json!("Retain"));
    world.delete(NAME).await;
    assert_eq!(world.pass(NAME).await, Next::Gone);
    assert_eq!(world.jobs(), Vec::<String>::new());
    assert_eq!(
        last_event(&world),
        format!(
            "Normal ArtefactRetained {LOCATION} stays: a WorkflowCluster can begin with it by spec.bootstrap"
        )
    );
}

#[tokio::test]
async fn retain_of_an_unfinished_backup_promises_nothing() {
    let world = World::new(CLUSTER, BACKUP);
    world.set_answer(Task::Backup, Answer::Failed(Reason::DestinationFull));
    world.settle(NAME).await;
    world.edit(NAME, |backup| backup["spec"]["deletionPolicy"] = json!("Retain"));
    world.delete(NAME).await;
    assert_eq!(world.pass(NAME).await, Next::Gone);
    let expected = format!("Normal ArtefactRetained what the unfinished backup left at {LOCATION} stays");
    assert_eq!(last_event(&world), expected);
}

#[tokio::test]
async fn a_cluster_that_waits_for_an_unfinished_backup_does_not_hold_it() {
    let world = World::new(CLUSTER, BACKUP);
    world.set_answer(Task::Backup, Answer::Failed(Reason::DestinationFull));
    world.settle(NAME).await;
    world.apiserver.seed(&recovery(&json!({"backupRef": {"name": NAME}})));
    world.delete(NAME).await;
    world.settle(NAME).await;
    assert!(!is_there(&world));
}

#[tokio::test]
async fn what_cannot_be_deleted_is_left_and_reported() {
    let world = World::complete(CLUSTER, BACKUP).await;
    world.delete(NAME).await;
    world.set_answer(Task::Delete, Answer::FailedAttempt(Reason::CredentialsRefused));
    world.settle(NAME).await;
    let (phase, reason, message) = world.reported();
    assert_eq!((phase, reason.as_str()), (Some(Phase::Deleting), "DeletionBlocked"));
    assert_eq!(message, "the agent says CredentialsRefused; it is tried for 10 minutes");
    world.set_answer(Task::Delete, Answer::Failed(Reason::CredentialsRefused));
    world.settle(NAME).await;
    assert!(!is_there(&world));
    assert_eq!(
        last_event(&world),
        format!(
            "Warning ArtefactLeft ArtefactLeft: {LOCATION} may still be there, delete it by hand: the agent says CredentialsRefused"
        )
    );
}

#[tokio::test]
async fn a_job_that_nobody_looks_after_does_not_hold_the_object_for_ever() {
    let world = World::complete(CLUSTER, BACKUP).await;
    world.delete(NAME).await;
    world.set_answer(Task::Delete, Answer::Stuck(waiting("ImagePullBackOff"), None));
    world.settle(NAME).await;
    assert_eq!(
        world.reported().2,
        format!("the pod of Job {DELETE_JOB} does not start: ImagePullBackOff; it is tried for 10 minutes")
    );
    world.pass_time(SignedDuration::from_mins(11));
    world.settle(NAME).await;
    assert!(is_there(&world), "the Job's own deadline comes first");
    world.pass_time(SignedDuration::from_mins(1));
    world.settle(NAME).await;
    assert!(!is_there(&world));
    assert!(last_event(&world).starts_with("Warning ArtefactLeft"), "{}", last_event(&world));
}

#[tokio::test]
async fn a_job_at_work_that_does_not_end_does_not_hold_the_object_for_ever() {
    let world = World::new(CLUSTER, BACKUP);
    world.set_answer(Task::Backup, Answer::Never);
    world.settle(NAME).await;
    world.set_pods_linger(true);
    world.apiserver.edit::<Job>(HOME, BACKUP_JOB, |job| {
        job["metadata"]["finalizers"] = json!(["foregroundDeletion"]);
    });
    world.delete(NAME).await;
    world.settle(NAME).await;
    world.pass_time(SignedDuration::from_mins(10));
    world.settle(NAME).await;
    assert!(!is_there(&world));
    assert!(last_event(&world).contains("a Job that uses it does not end"), "{}", last_event(&world));
}

fn recovery(by: &serde_json::Value) -> WorkflowCluster {
    serde_json::from_value(json!({
        "apiVersion": "workflow.example.com/v1alpha1", "kind": "WorkflowCluster",
        "metadata": {"name": "restored", "namespace": HOME, "uid": "uid-restored", "generation": 1},
        "spec": {
            "version": "1.2.3",
            "postgres": {"externalRef": {"host": "new", "databaseSecret": "db"}},
            "bootstrap": {"recovery": by},
        },
    }))
    .unwrap()
}

#[rstest]
#[case::by_name(json!({"backupRef": {"name": NAME}}))]
#[case::by_id(json!({"backupId": "nightly-b1b2b3b4", "destination": {"s3": {"bucket": "backups"}}}))]
#[tokio::test]
async fn one_that_a_cluster_is_restored_from_waits(#[case] by: serde_json::Value) {
    let world = World::complete(CLUSTER, BACKUP).await;
    world.apiserver.seed(&recovery(&by));
    world.delete(NAME).await;
    world.settle(NAME).await;
    // Longer than a deletion may take: the time counts from its first attempt.
    world.pass_time(SignedDuration::from_hours(2));
    world.settle(NAME).await;
    let (phase, reason, message) = world.reported();
    assert_eq!((phase, reason.as_str()), (Some(Phase::Deleting), "ArtefactInUse"));
    assert_eq!(message, "it is deleted when these WorkflowClusters are restored from it: restored");
    assert_eq!(world.jobs(), Vec::<String>::new());
    world.apiserver.edit::<WorkflowCluster>(HOME, "restored", |cluster| {
        cluster["status"] = json!({
            "ready": false,
            "acceptsDeployments": false,
            "recovery": {"backupId": "nightly-b1b2b3b4", "completedAt": "2026-06-01T13:00:00Z"},
        });
    });
    world.settle(NAME).await;
    assert!(!is_there(&world));
    assert!(last_event(&world).starts_with("Normal ArtefactDeleted"), "{}", last_event(&world));
}

#[tokio::test]
async fn force_delete_ends_every_wait() {
    let world = World::complete(CLUSTER, BACKUP).await;
    world.apiserver.seed(&recovery(&json!({"backupRef": {"name": NAME}})));
    world.delete(NAME).await;
    world.settle(NAME).await;
    world.edit(NAME, |backup| {
        backup["metadata"]["annotations"] = json!({"workflow.example.com/force-delete": "true"});
    });
    assert_eq!(world.pass(NAME).await, Next::Gone);
    assert!(last_event(&world).starts_with("Warning DeletionForced"), "{}", last_event(&world));
    assert!(last_event(&world).contains(LOCATION), "{}", last_event(&world));
}

#[tokio::test]
async fn where_nothing_can_be_created_any_more_it_goes_at_once() {
    let world = World::complete(CLUSTER, BACKUP).await;
    world.delete(NAME).await;
    // Before the namespace itself was seen to be going.
    world.apiserver.intercept(|request| {
        let text = "unable to create new content in namespace acme because it is being terminated";
        (request.method == "POST" && request.path.contains("/namespaces/acme/jobs"))
            .then(|| test_support::reply::forbidden("jobs", "x", text).into())
    });
    assert_eq!(world.pass(NAME).await, Next::Gone);
    assert!(!is_there(&world));
    assert!(last_event(&world).starts_with("Warning ArtefactLeft"), "{}", last_event(&world));
}

#[rstest]
#[case::delete("Delete", "Warning ArtefactLeft")]
#[case::retain("Retain", "Normal ArtefactRetained")]
#[tokio::test]
async fn with_its_namespace_it_goes_although_all_rights_are_gone(#[case] policy: &str, #[case] event: &str) {
    let world = World::complete(CLUSTER, BACKUP).await;
    world.edit(NAME, |backup| backup["spec"]["deletionPolicy"] = json!(policy));
    world.delete(NAME).await;
    world.apiserver.edit::<Namespace>("", HOME, |namespace| {
        namespace["metadata"]["deletionTimestamp"] = json!("2026-06-01T12:00:00Z");
        namespace["metadata"]["finalizers"] = json!(["kubernetes"]);
    });
    world.apiserver.intercept(|request| {
        let is_ours = request.path.contains("/workflowbackups/") || request.path.ends_with("/events");
        (!is_ours && request.path.contains("/namespaces/acme/"))
            .then(|| test_support::reply::forbidden("anything", "any", "no RBAC policy matched").into())
    });
    assert_eq!(world.pass(NAME).await, Next::Gone);
    assert!(!is_there(&world));
    assert!(last_event(&world).starts_with(event), "{}", last_event(&world));
}

#[tokio::test]
async fn without_any_right_in_its_namespace_it_goes_after_its_time() {
    let world = World::new(CLUSTER, BACKUP);
    world.set_answer(Task::Backup, Answer::Never);
    world.settle(NAME).await;
    world.delete(NAME).await;
    world.apiserver.intercept(|request| {
        let is_ours = request.path.contains("/workflowbackups/") || request.path.ends_with("/events");
        (!is_ours && request.path.contains("/namespaces/acme/"))
            .then(|| test_support::reply::forbidden("anything", "any", "no RBAC policy matched").into())
    });
    world.pass(NAME).await;
    assert_eq!((world.reported().0, world.reported().1.as_str()), (Some(Phase::Deleting), "Denied"));
    world.pass_time(SignedDuration::from_mins(10));
    assert_eq!(world.pass(NAME).await, Next::Gone);
    assert!(last_event(&world).starts_with("Warning ArtefactLeft"), "{}", last_event(&world));
}

#[tokio::test]
async fn without_the_right_to_make_jobs_it_goes_after_its_time() {
    let world = World::complete(CLUSTER, BACKUP).await;
    world.delete(NAME).await;
    world.apiserver.intercept(|request| {
        (request.method == "POST" && request.path.ends_with("/jobs"))
            .then(|| test_support::reply::forbidden("jobs", "x", "no RBAC policy matched").into())
    });
    world.pass(NAME).await;
    assert_eq!((world.reported().0, world.reported().1.as_str()), (Some(Phase::Deleting), "Denied"));
    world.pass_time(SignedDuration::from_mins(10));
    assert_eq!(world.pass(NAME).await, Next::Gone);
    assert!(last_event(&world).starts_with("Warning ArtefactLeft"), "{}", last_event(&world));
}
