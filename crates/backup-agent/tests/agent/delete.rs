use std::ffi::OsString;

use backup_format::{Outcome, Reason};
use workflow_engine::args::UpTo;

use crate::support::s3::S3Options;
use crate::support::{Kind, World, backed_up, failed, run};

async fn delete(place: Vec<OsString>) -> u64 {
    let arguments = std::iter::once("delete".into()).chain(place).collect();
    match run(arguments).await {
        Outcome::Delete(report) => report.deleted_objects,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_deleted_backup_is_gone_and_its_neighbours_stay() {
    let world = World::new(test_support::require_postgres!());
    let source = world.engine_database(Kind::PlainOwner, UpTo::All).await;
    for id in ["b1", "b10"] {
        world.backup(&source, id).await;
    }
    std::fs::write(world.backups().join("b1/data-killed.pgdump#1"), "half").expect("is written");
    std::fs::write(world.backups().join("unrelated"), "x").expect("is written");
    assert_eq!(delete(world.of_folder("b1")).await, 2);
    assert!(!world.backups().join("b1").exists());
    assert!(world.backups().join("unrelated").exists());
    assert!(world.data_file("b10").exists());
    assert_eq!(delete(world.of_folder("b1")).await, 0);
    for id in ["..", "", "b1/../b10"] {
        let arguments = std::iter::once("delete".into()).chain(world.of_folder(id)).collect();
        failed(run(arguments).await, Reason::DestinationInvalid);
    }
    assert!(world.data_file("b10").exists());
}

#[tokio::test]
async fn a_backup_in_a_bucket_is_deleted_alone() {
    let world = World::new(test_support::require_postgres!());
    let s3 = world.s3(S3Options::default()).await;
    let source = world.engine_database(Kind::PlainOwner, UpTo::All).await;
    for id in ["b1", "b10"] {
        backed_up(run(world.backup_arguments(&source, world.of_s3(&s3, id))).await);
    }
    assert_eq!(delete(world.of_s3(&s3, "b1")).await, 2);
    assert_eq!(delete(world.of_s3(&s3, "b1")).await, 0);
    let target = world.database(Kind::PlainOwner).await;
    failed(run(world.restore_arguments(&target, world.of_s3(&s3, "b1"))).await, Reason::BackupMissing);
    assert!(matches!(
        run(world.restore_arguments(&target, world.of_s3(&s3, "b10"))).await,
        Outcome::Restore(_)
    ));
}
