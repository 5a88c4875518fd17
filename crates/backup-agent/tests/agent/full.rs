use backup_format::Reason;
use workflow_engine::args::UpTo;

use crate::support::{Kind, World, failed};

#[tokio::test]
async fn a_full_volume_is_reported_and_leaves_no_backup() {
    let world = World::new(test_support::require_postgres!());
    let source = world.engine_database(Kind::PlainOwner, UpTo::All).await;
    let report = world.backup(&source, "b1").await;
    assert!(report.size_bytes > 8 * 1024, "the backup is larger than the limit below");
    let agent = world.start_limited(8, world.backup_arguments(&source, world.of_folder("b2")));
    let (code, outcome, _) = agent.wait().await;
    let failure = failed(outcome, Reason::DestinationFull);
    assert!(failure.message.contains("the volume is full"), "{}", failure.message);
    assert_eq!(code, 2);
    let left = std::fs::read_dir(world.backups().join("b2")).into_iter().flatten().count();
    assert_eq!(left, 0);
}
