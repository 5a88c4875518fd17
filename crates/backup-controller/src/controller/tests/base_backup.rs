//! Base backups by CloudNativePG: made by its `Backup`, complete when the destination has shown them, deleted with their WAL.

use api_types::backup::BackupPhase as Phase;
use api_types::backup::BackupReason;
use api_types::{WorkflowBackup, WorkflowCluster};
use backup_format::Reason;
use controller_kit::outcome::Next;
use controller_testing::World as _;
use controller_testing::crash::crash_at_every_write;
use jiff::SignedDuration;
use rstest::rstest;
use serde_json::{Value, json};
use test_support::reply::Reply;

use crate::children::Task;
use crate::children::base_backup::Backup;
use crate::testing::world::{Answer, BACKUP_JOB, DELETE_JOB, HOME, NAME, World, as_reported};
use crate::testing::{ARCHIVED, BACKUP};

const BASE: &str = "nightly-b1b2b3b4";
const ID: &str = "dev-c1c2c3c4-20260601t120000";
const LOCATION: &str = "s3://backups/prod/dev-c1c2c3c4/base/20260601T120000";

fn completed() -> Value {
    json!({"phase": "completed", "backupId": "20260601T120000"})
}

/// With what CloudNativePG says of the backup.
fn world(says: Value) -> World {
    let world = World::new(ARCHIVED, BACKUP);
    world.set_base(says);
    world
}

#[tokio::test]
async fn a_base_backup_is_complete_when_the_destination_has_shown_it() {
    let world = world(json!({"phase": "running"}));
    world.settle(NAME).await;
    let message = format!("CloudNativePG makes Backup {BASE}");
    assert_eq!(world.reported(), as_reported(Phase::Running, BackupReason::BackupRunning, &message));
    let made: Backup = world.apiserver.get(HOME, BASE).unwrap();
    insta::assert_yaml_snapshot!(serde_json::to_value(&made.spec).unwrap());
    assert_eq!(world.jobs(), Vec::<String>::new());

    world.set_base(completed());
    world.set_answer(Task::Backup, Answer::Never);
    world.settle(NAME).await;
    let message = format!("Job {BACKUP_JOB} makes the backup");
    assert_eq!(world.reported(), as_reported(Phase::Running, BackupReason::BackupRunning, &message));
    assert_eq!(world.env(BACKUP_JOB)["WORKFLOW_BACKUP_ID"], ID);

    world.set_answer(Task::Backup, Answer::Good);
    world.converge(NAME).await;
    let message = format!(
        "the base backup is in {LOCATION}; it can be recovered to any time since, as far as WAL is archived"
    );
    assert_eq!(world.reported(), as_reported(Phase::Completed, BackupReason::BackupCompleted, &message));
    let status = world.status(NAME);
    insta::assert_yaml_snapshot!(json!({
        "backupId": status.backup_id, "destination": status.destination, "artefact": status.artefact,
        "sizeBytes": status.size_bytes, "engineVersion": status.engine_version, "digest": status.digest,
        "completedAt": status.completed_at,
    }));
    assert_eq!(world.jobs(), Vec::<String>::new());
}

#[rstest]
#[case::given_up(
    json!({"phase": "failed", "error": "exit status 1\nsomething"}),
    Phase::Failed,
    "CloudNativePG gave up Backup nightly-b1b2b3b4: exit status 1 something"
)]
#[case::without_an_id(
    json!({"phase": "completed", "backupId": "../../etc"}),
    Phase::Failed,
    "CloudNativePG gave Backup nightly-b1b2b3b4 no id"
)]
#[case::no_wal(
    json!({"phase": "walArchivingFailing"}),
    Phase::Running,
    "Backup nightly-b1b2b3b4 waits: the WAL cannot be archived at the destination"
)]
#[tokio::test]
async fn what_cloud_native_pg_says_is_reported(
    #[case] says: Value,
    #[case] phase: Phase,
    #[case] message: &str,
) {
    let world = world(says);
    world.settle(NAME).await;
    assert_eq!(world.reported(), as_reported(phase, BackupReason::ProviderBackupFailed, message));
}

#[tokio::test]
async fn one_that_does_not_end_is_given_up() {
    let world = world(json!({"phase": "running"}));
    world.settle(NAME).await;
    world.pass_time(SignedDuration::from_secs(3601));
    world.settle(NAME).await;
    let message = "Backup nightly-b1b2b3b4 was not done within 3600 s (maxSeconds)";
    assert_eq!(world.reported(), as_reported(Phase::Failed, BackupReason::ProviderBackupFailed, message));
}

#[tokio::test]
async fn one_that_is_not_at_the_destination_does_not_count() {
    let world = world(completed());
    world.set_answer(Task::Backup, Answer::Failed(Reason::BackupMissing));
    world.settle(NAME).await;
    let message = "the agent says BackupMissing";
    assert_eq!(world.reported(), as_reported(Phase::Failed, BackupReason::JobFailed, message));
}

#[tokio::test]
async fn a_missing_provider_is_named_with_what_installs_it() {
    let world = world(completed());
    world
        .apiserver
        .intercept(|request| request.path.contains("/postgresql.cnpg.io/").then(Reply::no_such_api));
    world.settle(NAME).await;
    let (phase, reason, message) = world.reported();
    assert_eq!((phase, reason.as_str()), (Some(Phase::Pending), "ProviderMissing"));
    assert!(message.ends_with("/manifest.yaml"), "{message}");
}

#[tokio::test]
async fn a_backup_of_somebody_else_is_not_taken_for_it() {
    let world = world(completed());
    let foreign = Backup::new(BASE, serde_json::from_value(json!({})).unwrap());
    let foreign = Backup {
        metadata: kube::api::ObjectMeta { namespace: Some(HOME.into()), ..foreign.metadata },
        ..foreign
    };
    world.apiserver.seed(&foreign);
    world.settle(NAME).await;
    let message = format!("Backup acme/{BASE} exists and belongs to something else: delete it");
    assert_eq!(world.reported(), as_reported(Phase::Pending, BackupReason::NameTaken, &message));
}

type Change = fn(&mut Value);

#[rstest]
#[case::external(
    |cluster: &mut Value| {
        cluster["spec"]["postgres"] = json!({"externalRef": {"host": "db", "databaseSecret": "db"}});
        cluster["spec"]["backup"]["method"] = json!(null);
    },
    "is for spec.postgres.managed, which WorkflowCluster dev has not"
)]
#[case::no_archive(
    |cluster: &mut Value| cluster["spec"]["backup"]["method"] = json!("Logical"),
    "needs spec.backup.method CloudNativePG in WorkflowCluster dev, and its spec.backup.destination: the WAL is there"
)]
#[case::volume(
    |cluster: &mut Value| cluster["spec"]["backup"]["destination"] = json!({"volume": {"claimName": "a"}}),
    "needs a destination in S3"
)]
#[tokio::test]
async fn where_there_can_be_no_base_backup(#[case] change: Change, #[case] why: &str) {
    let world = world(completed());
    world.edit_cluster(change);
    world
        .apiserver
        .edit::<WorkflowBackup>(HOME, NAME, |backup| backup["spec"]["method"] = json!("CloudNativePG"));
    world.settle(NAME).await;
    let message = format!("method CloudNativePG {why}");
    assert_eq!(world.reported(), as_reported(Phase::Failed, BackupReason::MethodUnsupported, &message));
}

#[rstest]
#[case::the_cluster_goes_on(false)]
#[case::the_cluster_is_gone(true)]
#[tokio::test]
async fn a_base_backup_is_deleted_with_the_wal_that_no_other_one_needs(#[case] is_gone: bool) {
    let world = world(completed());
    world.converge(NAME).await;
    if is_gone {
        world.apiserver.remove::<WorkflowCluster>(HOME, "dev");
    }
    world.delete(NAME).await;
    world.set_answer(Task::Delete, Answer::Never);
    world.settle(NAME).await;
    let env = world.env(DELETE_JOB);
    assert_eq!(env["WORKFLOW_BACKUP_ID"], ID);
    assert_eq!(env.contains_key("WORKFLOW_BACKUP_SERVER_IS_GONE"), is_gone);
    world.set_answer(Task::Delete, Answer::Good);
    world.settle(NAME).await;
    assert!(world.apiserver.get::<WorkflowBackup>(HOME, NAME).is_none());
    assert_eq!(
        world.event_lines(NAME).pop().unwrap(),
        format!("Normal ArtefactDeleted {LOCATION} was deleted")
    );
}

/// It cannot be ended, and would leave what nobody knows of.
#[tokio::test]
async fn a_deletion_waits_for_cloud_native_pg_but_not_for_ever() {
    let world = world(json!({"phase": "running"}));
    world.settle(NAME).await;
    world.delete(NAME).await;
    world.settle(NAME).await;
    let message = format!("CloudNativePG completes Backup {BASE} first: it cannot be ended");
    assert_eq!(world.reported(), as_reported(Phase::Deleting, BackupReason::ArtefactDeleting, &message));
    world.pass_time(SignedDuration::from_secs(601));
    assert_eq!(world.pass(NAME).await, Next::Gone);
    let event = world.event_lines(NAME).pop().unwrap();
    assert!(event.starts_with("Warning ArtefactLeft"), "{event}");
}

#[tokio::test]
async fn one_that_was_completed_meanwhile_is_deleted_by_its_id() {
    let world = world(json!({"phase": "running"}));
    world.settle(NAME).await;
    world.delete(NAME).await;
    world.settle(NAME).await;
    world.set_base(completed());
    world.set_answer(Task::Delete, Answer::Never);
    world.settle(NAME).await;
    assert_eq!(world.env(DELETE_JOB)["WORKFLOW_BACKUP_ID"], ID);
}

#[tokio::test]
async fn a_base_backup_survives() {
    let writes = crash_at_every_write(async || world(completed()), NAME).await;
    let bases = writes.iter().filter(|write| write.contains("/backups")).count();
    assert_eq!(bases, 1, "{writes:#?}");
}
