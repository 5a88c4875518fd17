//! A backup from its object to its result.

use api_types::backup::BackupPhase as Phase;
use api_types::backup::BackupReason as Reason;
use controller_testing::World as _;

use crate::testing::world::{NAME, World, as_reported};
use crate::testing::{BACKUP, CLUSTER};

#[tokio::test]
async fn a_backup_is_made_by_a_job_and_reported() {
    let world = World::new(CLUSTER, BACKUP);
    world.converge(NAME).await;
    let location = "s3://backups/prod/nightly-b1b2b3b4";
    assert_eq!(
        world.reported(),
        as_reported(
            Phase::Completed,
            Reason::BackupCompleted,
            &format!("2 process definitions, 30 active instances and 12 jobs are in {location}")
        )
    );
    let status = world.status(NAME);
    assert!(status.ready);
    assert_eq!(status.backup_id.as_deref(), Some("nightly-b1b2b3b4"));
    assert_eq!(status.destination.as_deref(), Some(location));
    assert_eq!(
        (status.size_bytes, status.schema_version, status.leased_jobs),
        (Some(123_456), Some(7), Some(3))
    );
    assert_eq!(world.jobs(), Vec::<String>::new(), "the Job is not needed any more");
}
