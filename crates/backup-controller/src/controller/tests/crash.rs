//! Killed before and after every write, a controller ends where an undisturbed one does.

use backup_format::Reason;
use controller_testing::World as _;
use controller_testing::crash::{crash_at_every_write, last_segments};

use super::drill::seed_drill;
use crate::children::Task;
use crate::testing::world::{Answer, BACKUP_JOB, NAME, World};
use crate::testing::{BACKUP, CLUSTER};

#[tokio::test]
async fn a_backup_survives() {
    let writes = crash_at_every_write(async || World::new(CLUSTER, BACKUP), NAME).await;
    let jobs = writes.iter().filter(|write| write.contains("/jobs")).count();
    assert_eq!(jobs, 2, "one is made and taken away: {writes:#?}");
    assert!(last_segments(&writes).contains(&BACKUP_JOB), "{writes:#?}");
}

#[tokio::test]
async fn a_failure_survives() {
    let fresh = async || {
        let world = World::new(CLUSTER, BACKUP);
        world.set_answer(Task::Backup, Answer::FailedAttempt(Reason::SnapshotTooLong));
        world
    };
    let writes = crash_at_every_write(fresh, NAME).await;
    assert!(writes.len() >= 5, "{writes:#?}");
}

#[tokio::test]
async fn a_deletion_survives() {
    let fresh = async || {
        let world = World::complete(CLUSTER, BACKUP).await;
        world.delete(NAME).await;
        world
    };
    let writes = crash_at_every_write(fresh, NAME).await;
    assert!(writes.len() >= 3, "{writes:#?}");
}

#[tokio::test]
async fn a_deletion_during_the_backup_survives() {
    let fresh = async || {
        let world = World::new(CLUSTER, BACKUP);
        world.set_answer(Task::Backup, Answer::Never);
        world.settle(NAME).await;
        world.delete(NAME).await;
        world
    };
    let writes = crash_at_every_write(fresh, NAME).await;
    assert!(writes.len() >= 4, "{writes:#?}");
}

#[tokio::test]
async fn a_drill_survives() {
    let fresh = async || {
        let world = World::complete(CLUSTER, BACKUP).await;
        seed_drill(&world, None);
        world
    };
    let writes = crash_at_every_write(fresh, NAME).await;
    assert!(writes.len() >= 2, "{writes:#?}");
}
