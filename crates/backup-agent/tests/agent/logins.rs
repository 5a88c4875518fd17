//! No tenant's row is lost, with any kind of login.

use rstest::rstest;
use sqlx::{AssertSqlSafe, Executor as _};
use workflow_engine::args::UpTo;

use crate::support::{Kind, World, contents};

#[rstest]
#[case::plain_owner(Kind::PlainOwner)]
#[case::creates_roles(Kind::CreatesRoles)]
#[case::superuser(Kind::Superuser)]
#[tokio::test]
async fn every_row_of_every_tenant_is_backed_up_and_restored(#[case] kind: Kind) {
    let world = World::new(test_support::require_postgres!());
    let source = world.engine_database(kind, UpTo::All).await;
    let mut before = world.superuser(&source).await;
    // What the restore changes on purpose is left out here.
    before.execute("UPDATE workflow.job SET worker = NULL").await.expect("is updated");
    let expected = contents(&mut before).await;
    let report = world.backup(&source, "b1").await;
    assert_eq!(report.totals.rows, expected.len() as u64);
    for other in [Kind::PlainOwner, Kind::CreatesRoles, Kind::Superuser] {
        let target = world.database(other).await;
        world.restore(&target, "b1").await;
        let mut after = world.superuser(&target).await;
        assert_eq!(contents(&mut after).await, expected, "{kind:?} to {other:?}");
    }
}

/// A login that does not inherit its roles' privileges gets nothing from the policies that are for `wf_monitor`.
#[tokio::test]
async fn a_login_that_does_not_inherit_joins_the_policies() {
    let world = World::new(test_support::require_postgres!());
    let source = world.engine_database(Kind::CreatesRoles, UpTo::All).await;
    let mut superuser = world.superuser(&source).await;
    let alter = format!("ALTER ROLE {} NOINHERIT", source.user);
    superuser.execute(AssertSqlSafe(alter)).await.expect("is altered");
    let expected = contents(&mut superuser).await.len() as u64;
    assert_eq!(world.backup(&source, "b1").await.totals.rows, expected);
    // The engine's own role keeps its reading.
    let monitors: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_policy p WHERE p.polname = 'monitor_read'
           AND EXISTS (SELECT FROM pg_roles r WHERE r.oid = ANY (p.polroles) AND r.rolname LIKE 'wf_monitor_%')",
    )
    .fetch_one(&mut superuser)
    .await
    .expect("are counted");
    assert_eq!(monitors, 4);
}
