//! A backup from its object to its result.

use api_types::WorkflowBackup;
use api_types::backup::BackupPhase as Phase;
use api_types::backup::BackupReason as Reason;
use api_types::labels::BACKUP_CONTROLLER;
use controller_testing::World as _;
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt as _;
use serde_json::json;

use crate::children::Task;
use crate::testing::world::{Answer, BACKUP_JOB, HOME, NAME, World, as_reported};
use crate::testing::{BACKUP, CLUSTER, MANAGED, VOLUME};

const LOCATION: &str = "s3://backups/prod/nightly-b1b2b3b4";

#[tokio::test]
async fn a_backup_is_made_by_a_job_and_reported() {
    let world = World::new(CLUSTER, BACKUP);
    world.converge(NAME).await;
    assert_eq!(
        world.reported(),
        as_reported(
            Phase::Completed,
            Reason::BackupCompleted,
            &format!("2 process definitions, 30 active instances and 12 jobs are in {LOCATION}")
        )
    );
    let status = world.status(NAME);
    assert!(status.ready);
    assert_eq!(status.backup_id.as_deref(), Some("nightly-b1b2b3b4"));
    assert_eq!(status.destination.as_deref(), Some(LOCATION));
    assert_eq!(
        (status.size_bytes, status.schema_version, status.leased_jobs),
        (Some(123_456), Some(7), Some(3))
    );
    assert_eq!(world.jobs(), Vec::<String>::new(), "the Job is not needed any more");
}

#[tokio::test]
async fn where_it_goes_is_recorded_before_anything_can_be_written_there() {
    let world = World::new(CLUSTER, BACKUP);
    world.pass(NAME).await;
    let backup = world.object(NAME).unwrap();
    assert_eq!(backup.finalizers(), [BACKUP_CONTROLLER.finalizer]);
    let status = backup.status.unwrap();
    let artefact = status.artefact.unwrap();
    assert_eq!(artefact.destination.s3.unwrap().bucket, "backups");
    assert_eq!(artefact.encryption.unwrap().recipient_secret, "age");
    assert_eq!((status.phase, status.destination.as_deref()), (Some(Phase::Running), Some(LOCATION)));
    assert_eq!(world.jobs(), Vec::<String>::new());

    // The cluster's destination changes meanwhile: the recorded one counts.
    world.edit_cluster(|cluster| {
        cluster["spec"]["backup"]["destination"] = json!({"volume": {"claimName": "other"}});
        cluster["spec"]["backup"]["encryption"] = json!(null);
    });
    world.pass(NAME).await;
    assert_eq!(world.jobs(), [BACKUP_JOB]);
    let env = world.env(BACKUP_JOB);
    assert_eq!(env["WORKFLOW_BACKUP_DESTINATION"], "s3://backups/prod");
    assert!(env.contains_key("WORKFLOW_BACKUP_RECIPIENT_FILE"), "{env:?}");
    assert_eq!(env["WORKFLOW_BACKUP_OWNER"], "installation/acme/dev");
}

#[tokio::test]
async fn its_own_destination_comes_before_the_clusters() {
    let world = World::complete(CLUSTER, VOLUME).await;
    assert_eq!(world.status(NAME).destination.as_deref(), Some("volume://backups/prod/eu/nightly-b1b2b3b4"));
}

#[tokio::test]
async fn a_complete_backup_does_not_change_when_its_cluster_does() {
    let world = World::complete(CLUSTER, BACKUP).await;
    let before = world.status(NAME);
    world.apiserver.remove::<api_types::WorkflowCluster>(HOME, "dev");
    world.converge(NAME).await;
    assert_eq!(world.status(NAME), before);
}

#[tokio::test]
async fn a_sleeping_postgres_is_awaited() {
    let world = World::new(MANAGED, BACKUP);
    world.settle(NAME).await;
    let (phase, reason, message) = world.reported();
    assert_eq!((phase, reason.as_str()), (Some(Phase::Pending), "PostgresWaking"), "{message}");
    // It is made again, with the engine still stopped.
    world.edit_cluster(|cluster| cluster["status"]["postgresStatus"] = json!("Provisioning"));
    world.settle(NAME).await;
    assert_eq!(world.reported().1, "PostgresWaking");
    assert_eq!(world.jobs(), Vec::<String>::new());
    world.edit_cluster(|cluster| cluster["status"]["postgresStatus"] = json!("Healthy"));
    world.set_answer(Task::Backup, Answer::Never);
    world.settle(NAME).await;
    let env = world.env(BACKUP_JOB);
    assert_eq!(env["WORKFLOW_DATABASE_HOST"], "dev-postgres-rw.acme.svc");
    assert_eq!(env["WORKFLOW_DATABASE_SSL_MODE"], "verify-full");
    world.set_answer(Task::Backup, Answer::Good);
    world.converge(NAME).await;
    assert_eq!(world.reported().0, Some(Phase::Completed));
}

#[tokio::test]
async fn a_stopped_cluster_with_its_own_postgres_is_backed_up_as_usual() {
    let world = World::new(CLUSTER, BACKUP);
    world.edit_cluster(|cluster| {
        cluster["spec"]["stopped"] = json!(true);
        cluster["status"]["phase"] = json!("Stopped");
    });
    world.converge(NAME).await;
    assert_eq!(world.reported().0, Some(Phase::Completed));
}

#[tokio::test]
async fn a_report_that_was_lost_is_asked_for_again() {
    let world = World::new(CLUSTER, BACKUP);
    world.set_answer(Task::Backup, Answer::GoodAndGone);
    world.pass(NAME).await;
    world.pass(NAME).await;
    world.answer();
    world.pass(NAME).await;
    let (phase, _, message) = world.reported();
    assert_eq!(phase, Some(Phase::Running));
    assert_eq!(message, format!("Job {BACKUP_JOB} runs again: the report of its pod is lost"));
    world.set_answer(Task::Backup, Answer::Good);
    world.converge(NAME).await;
    assert_eq!(world.reported().0, Some(Phase::Completed));
}

#[tokio::test]
async fn a_paused_backup_makes_no_job_and_takes_none_away() {
    let world = World::new(CLUSTER, BACKUP);
    world.edit(NAME, |backup| backup["spec"]["paused"] = json!(true));
    world.settle(NAME).await;
    assert_eq!((world.reported().1.as_str(), world.jobs().len()), ("Paused", 0));
    world.edit(NAME, |backup| backup["spec"]["paused"] = json!(false));
    world.pass(NAME).await;
    world.pass(NAME).await;
    world.edit(NAME, |backup| backup["spec"]["paused"] = json!(true));
    world.settle(NAME).await;
    assert_eq!((world.reported().0, world.jobs().len()), (Some(Phase::Completed), 1));
    world.edit(NAME, |backup| backup["spec"]["paused"] = json!(false));
    world.converge(NAME).await;
    assert_eq!(world.jobs().len(), 0);
}

#[tokio::test]
async fn a_job_of_somebody_else_is_not_taken_for_ours() {
    let world = World::new(CLUSTER, BACKUP);
    let foreign: Job =
        serde_json::from_value(json!({"metadata": {"name": BACKUP_JOB, "namespace": HOME}})).unwrap();
    world.apiserver.seed(&foreign);
    world.pass(NAME).await;
    world.pass(NAME).await;
    assert_eq!(
        world.reported(),
        as_reported(
            Phase::Running,
            Reason::NameTaken,
            &format!("Job acme/{BACKUP_JOB} exists and belongs to something else: delete it")
        )
    );
}

#[tokio::test]
async fn a_spec_that_breaks_a_rule_is_named() {
    let world = World::new(CLUSTER, BACKUP);
    world.edit(NAME, |backup| backup["spec"]["destination"] = json!({}));
    world.settle(NAME).await;
    let (phase, reason, message) = world.reported();
    assert_eq!((phase, reason.as_str()), (Some(Phase::Pending), "InvalidSpec"));
    assert!(message.contains("exactly one of s3 and volume"), "{message}");
    assert!(world.object(NAME).is_some_and(|it: WorkflowBackup| it.finalizers().is_empty()));
}
