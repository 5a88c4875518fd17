//! A database as another operator recovers it from a base backup: the source's own, with everything in it.

use std::ffi::OsString;

use backup_format::{Outcome, Reason};
use rstest::rstest;
use sqlx::{Connection as _, Executor as _, PgConnection};
use test_support::postgres::TestDatabase;
use workflow_engine::args::UpTo;
use workflow_engine::schema::isolation;

use crate::support::{Kind, OWNER, TENANTS, World, claim, contents, failed, migrate, restored, run};

const ID: &str = "orders-1a2b3c4d-20261128t034314";
const NEW_OWNER: &str = "installation-2/dr/orders";

async fn recovered(world: &World, kind: Kind) -> TestDatabase {
    let database = world.engine_database(kind, UpTo::All).await;
    claim(&mut world.superuser(&database).await, &database, OWNER).await;
    database
}

async fn adopt(world: &World, database: &TestDatabase, changes: &[(&str, &str)]) -> Outcome {
    let mut values = vec![
        ("--backup-id", ID),
        ("--target-engine-version", "1.3.0"),
        ("--max-schema-version", "3"),
        ("--new-owner", NEW_OWNER),
    ];
    for (flag, value) in changes {
        values.retain(|(known, _)| known != flag);
        values.push((flag, value));
    }
    let mut arguments: Vec<OsString> = vec!["adopt".into()];
    arguments.extend(world.of_database(database));
    arguments.extend(values.into_iter().flat_map(|(flag, value)| [flag.into(), value.into()]));
    run(arguments).await
}

/// Jobs differ by their leases alone; they are compared without.
fn without_leased(rows: Vec<String>) -> Vec<String> {
    rows.into_iter().filter(|row| !(row.starts_with("job: ") && row.contains("worker-"))).collect()
}

#[rstest]
#[case::owner(Kind::PlainOwner)]
#[case::with_roles(Kind::CreatesRoles)]
#[tokio::test]
async fn a_recovered_database_is_completed_for_its_new_owner(#[case] kind: Kind) {
    let world = World::new(test_support::require_postgres!());
    let database = recovered(&world, kind).await;
    let mut superuser = world.superuser(&database).await;
    let before = without_leased(contents(&mut superuser).await);
    let report = restored(adopt(&world, &database, &[]).await);
    let tenants = TENANTS.len() as u64;
    assert_eq!((report.backup_id.as_str(), report.source_owner.as_str()), (ID, OWNER));
    assert_eq!((report.totals.definitions, report.totals.active_instances), (3 * tenants, 20 * tenants));
    assert_eq!((report.leases_cleared, report.totals.leased_jobs), (10 * tenants, 10 * tenants));
    assert_eq!((report.key_block, report.schema_version, report.digest.clone()), (4711 + (1 << 20), 3, None));

    let (node, writer, released, epoch, owner): (i64, i64, bool, i64, String) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM workflow.node), (SELECT count(*) FROM workflow.writer),
                (SELECT released_at IS NOT NULL FROM workflow.database_claim),
                (SELECT epoch FROM workflow.database_claim), (SELECT owner FROM workflow.restored)",
    )
    .fetch_one(&mut superuser)
    .await
    .expect("are read");
    assert_eq!((node, writer, released, epoch, owner.as_str()), (0, 0, true, 7, NEW_OWNER));

    // Run again, as the Job's pod may be.
    assert_eq!(restored(adopt(&world, &database, &[]).await), report);

    superuser.execute("DELETE FROM workflow.job WHERE run_at <= now()").await.expect("are deleted");
    assert_eq!(contents(&mut superuser).await, before);
    migrate(&database, UpTo::All).await;
    let mut session = PgConnection::connect_with(&database.options()).await.expect("connects");
    assert_eq!(isolation::observe_violations(&mut session).await.expect("are read"), Vec::<String>::new());
}

#[tokio::test]
async fn a_source_that_was_restored_itself_is_adopted_as_well() {
    let world = World::new(test_support::require_postgres!());
    let first = world.engine_database(Kind::PlainOwner, UpTo::All).await;
    world.backup(&first, "b1").await;
    let database = world.database(Kind::PlainOwner).await;
    world.restore(&database, "b1").await;
    migrate(&database, UpTo::All).await;
    let report = restored(adopt(&world, &database, &[]).await);
    assert_eq!(report.backup_id.as_str(), ID);
    let backup: String = sqlx::query_scalar("SELECT backup_id FROM workflow.restored")
        .fetch_one(&mut world.superuser(&database).await)
        .await
        .expect("is read");
    assert_eq!(backup, ID);
}

#[rstest]
#[case::newer_engine(&[("--target-engine-version", "1.2.3")], Reason::VersionUnsupported)]
#[case::newer_schema(&[("--max-schema-version", "2")], Reason::SchemaUnsupported)]
#[case::no_base_backup(&[("--backup-id", "nightly-1a2b3c4d")], Reason::InternalError)]
#[tokio::test]
async fn what_does_not_fit_is_refused_before_anything_is_written(
    #[case] changes: &[(&str, &str)],
    #[case] reason: Reason,
) {
    let world = World::new(test_support::require_postgres!());
    let database = recovered(&world, Kind::PlainOwner).await;
    let mut superuser = world.superuser(&database).await;
    let before = contents(&mut superuser).await;
    failed(adopt(&world, &database, changes).await, reason);
    assert_eq!(contents(&mut superuser).await, before);
    let is_released: bool = sqlx::query_scalar(
        "SELECT released_at IS NOT NULL OR to_regclass('workflow.restored') IS NOT NULL FROM workflow.database_claim",
    )
    .fetch_one(&mut superuser)
    .await
    .expect("is read");
    assert!(!is_released);
}

#[tokio::test]
async fn a_database_without_an_engine_is_refused() {
    let world = World::new(test_support::require_postgres!());
    let database = world.database(Kind::PlainOwner).await;
    failed(adopt(&world, &database, &[]).await, Reason::DatabaseNotReadable);
}
