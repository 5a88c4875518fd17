//! What a drill's Job shows, on the backup and on its cluster.

use api_types::backup::BackupPhase as Phase;
use backup_format::Reason;
use controller_testing::World as _;
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt as _;

use crate::children::{Order, Task, drill_job};
use crate::testing::world::{Answer, HOME, NAME, World, waiting};
use crate::testing::{BACKUP, CLUSTER, MANAGED, settings, today};

const DRILL_JOB: &str = "nightly-drill-202606011200";

/// As the schedule makes it.
pub(super) fn seed_drill(world: &World, identity: Option<&str>) {
    let (backup, settings) = (world.object(NAME).unwrap(), settings());
    let order = Order::of(&backup, None, &settings).unwrap();
    let job: Job = drill_job::build(&order, today(), identity, 600);
    assert_eq!(job.name_any(), DRILL_JOB);
    world.apiserver.seed(&job);
}

#[tokio::test]
async fn a_drill_is_recorded_and_its_job_goes() {
    let world = World::complete(CLUSTER, BACKUP).await;
    let before = world.status(NAME);
    seed_drill(&world, Some("identity"));
    world.converge(NAME).await;
    let status = world.status(NAME);
    let drill = status.last_drill.clone().unwrap();
    assert!(drill.succeeded);
    assert_eq!((drill.seconds, drill.backup_name.as_deref(), drill.message), (42, Some(NAME), None));
    assert_eq!(world.jobs(), Vec::<String>::new());
    assert_eq!(api_types::backup::WorkflowBackupStatus { last_drill: None, ..status }, before);
}

#[tokio::test]
async fn a_drill_that_failed_is_reported_on_both_objects() {
    let world = World::complete(CLUSTER, BACKUP).await;
    seed_drill(&world, Some("identity"));
    world.set_answer(Task::Drill, Answer::Failed(Reason::ArtefactAltered));
    world.settle(NAME).await;
    let status = world.status(NAME);
    assert_eq!(status.phase, Some(Phase::Completed));
    let drill = status.last_drill.unwrap();
    assert_eq!((drill.succeeded, drill.seconds), (false, 60));
    assert_eq!(drill.message.as_deref(), Some("the agent says ArtefactAltered"));
    let text = "Warning DrillFailed DrillFailed: WorkflowBackup nightly could not be restored: the agent says ArtefactAltered";
    assert_eq!(world.event_lines(NAME).last().unwrap(), text);
    assert_eq!(world.event_lines("dev"), [text]);
    assert_eq!(world.jobs(), Vec::<String>::new());
}

#[tokio::test]
async fn a_drill_without_the_key_says_so() {
    for (cluster, expected) in [(CLUSTER, true), (MANAGED, false)] {
        let world = World::new(cluster, BACKUP);
        world.edit_cluster(|cluster| cluster["status"]["postgresStatus"] = "Healthy".into());
        world.settle(NAME).await;
        seed_drill(&world, None);
        world.set_answer(Task::Drill, Answer::Failed(Reason::DecryptionFailed));
        world.settle(NAME).await;
        let message = world.status(NAME).last_drill.unwrap().message.unwrap();
        assert_eq!(message.contains("spec.backup.encryption.identitySecret"), expected, "{message}");
    }
}

#[tokio::test]
async fn a_drill_that_was_killed_is_a_failed_one() {
    let world = World::complete(CLUSTER, BACKUP).await;
    seed_drill(&world, None);
    world.set_answer(Task::Drill, Answer::Killed("DeadlineExceeded"));
    world.settle(NAME).await;
    let message = world.status(NAME).last_drill.unwrap().message.unwrap();
    assert!(
        message.starts_with(&format!("Job {DRILL_JOB} ended without a result: DeadlineExceeded")),
        "{message}"
    );
}

#[tokio::test]
async fn a_drill_whose_key_is_not_there_is_not_waited_for() {
    let world = World::complete(CLUSTER, BACKUP).await;
    seed_drill(&world, Some("identity"));
    let text = "MountVolume.SetUp failed for volume \"identity\" : secret \"identity\" not found";
    let stuck = Answer::Stuck(waiting("ContainerCreating"), Some(("FailedMount", text)));
    world.set_answer(Task::Drill, stuck);
    world.settle(NAME).await;
    let drill = world.status(NAME).last_drill.unwrap();
    assert!(!drill.succeeded);
    let message = "Secret acme/identity with identity is needed, and does not exist or lacks a key";
    assert_eq!(drill.message.as_deref(), Some(message));
    assert_eq!(world.jobs(), Vec::<String>::new());
    let events = world.event_lines("dev");
    assert_eq!(events.len(), 1, "{events:?}");
}

#[tokio::test]
async fn a_drill_does_not_hold_up_a_deletion() {
    let world = World::complete(CLUSTER, BACKUP).await;
    seed_drill(&world, None);
    world.set_answer(Task::Drill, Answer::Never);
    world.settle(NAME).await;
    world.delete(NAME).await;
    world.settle(NAME).await;
    assert!(world.object(NAME).is_none());
    assert!(world.apiserver.get::<Job>(HOME, DRILL_JOB).is_none());
}
