//! The engine works on while a backup is made.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use sqlx::{Connection as _, Executor as _, PgConnection};
use test_support::postgres::TestDatabase;
use workflow_engine::args::UpTo;

use crate::interrupted::hold_pg_dump;
use crate::support::process::await_blocked;
use crate::support::{Kind, World, backed_up, run};

/// Writes an instance with its job per transaction, as the engine does: as the owner, walled to one tenant.
async fn write_until(database: TestDatabase, stop: Arc<AtomicBool>, written: Arc<AtomicI64>) {
    let mut session = PgConnection::connect_with(&database.options()).await.expect("connects");
    session.execute("SELECT set_config('workflow.tenant_id', 'acme', false)").await.expect("is set");
    while !stop.load(Ordering::Relaxed) {
        let key = 500_000_000 + written.load(Ordering::Relaxed);
        let mut transaction = session.begin().await.expect("begins");
        for statement in [
            "INSERT INTO workflow.instance (tenant_id, key, definition_key, state, marking, variables)
             VALUES ('acme', $1, 1, 1, '{}', '{}')",
            "INSERT INTO workflow.job (tenant_id, key, type, instance_key, definition_key, element_id, retries, run_at)
             VALUES ('acme', $1, 'busy', $1, 1, 'task', 3, now())",
        ] {
            sqlx::query(statement).bind(key).execute(&mut *transaction).await.expect("is inserted");
        }
        transaction.commit().await.expect("is committed");
        written.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_one_state_of_a_database_that_changes() {
    let world = World::new(test_support::require_postgres!());
    let source = world.engine_database(Kind::PlainOwner, UpTo::All).await;
    let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicI64::new(0)));
    let writing = tokio::spawn(write_until(source.clone(), Arc::clone(&stop), Arc::clone(&written)));
    // The snapshot is taken, and the engine writes while pg_dump waits.
    let mut holder = hold_pg_dump(&world, &source).await;
    let backup = tokio::spawn(run(world.backup_arguments(&source, world.of_folder("b1"))));
    let mut observer = world.superuser(&source).await;
    await_blocked(&mut observer, "backup-agent pg_dump").await;
    let at_snapshot = written.load(Ordering::Relaxed);
    while written.load(Ordering::Relaxed) < at_snapshot + 50 {
        assert!(!writing.is_finished(), "the writer ended");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    holder.execute("ROLLBACK").await.expect("is let go");
    let report = backed_up(backup.await.expect("ends"));
    stop.store(true, Ordering::Relaxed);
    writing.await.expect("ends");

    let total = written.load(Ordering::Relaxed);
    let target = world.database(Kind::PlainOwner).await;
    let mut session = world.superuser(&target).await;
    world.restore(&target, "b1").await;
    let (instances, jobs, pairs): (i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM workflow.instance WHERE key >= 500000000), (SELECT count(*) FROM workflow.job WHERE type = 'busy'),
                (SELECT count(*) FROM workflow.job j JOIN workflow.instance i ON i.key = j.instance_key WHERE j.type = 'busy')",
    )
    .fetch_one(&mut session)
    .await
    .expect("are counted");
    assert_eq!((instances, jobs), (pairs, pairs), "half a transaction is in the backup");
    assert!(pairs <= at_snapshot, "{pairs} of {total}, {at_snapshot} when pg_dump had begun");
    assert_eq!(report.totals.jobs, 120 + u64::try_from(pairs).expect("is positive"));
}

/// CREATE POLICY waits for the table, and everybody who comes after it waits too: so it waits for a second at most.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn making_the_policies_holds_the_engine_for_a_second_at_most() {
    let world = World::new(test_support::require_postgres!());
    let source = world.engine_database(Kind::PlainOwner, UpTo::All).await;
    let mut long = world.superuser(&source).await;
    long.execute("BEGIN; SELECT count(*) FROM workflow.instance").await.expect("is read");
    let backup = tokio::spawn(run(world.backup_arguments(&source, world.of_folder("b1"))));
    let mut engine = world.superuser(&source).await;
    let (began, mut slowest) = (Instant::now(), Duration::ZERO);
    while began.elapsed() < Duration::from_secs(5) {
        let statement = Instant::now();
        engine.execute("SELECT FROM workflow.instance LIMIT 1").await.expect("is read");
        slowest = slowest.max(statement.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!backup.is_finished());
    assert!(slowest > Duration::from_millis(500), "the table was never waited for: {slowest:?}");
    assert!(slowest < Duration::from_millis(2500), "{slowest:?}");
    long.execute("COMMIT").await.expect("ends");
    let report = backed_up(backup.await.expect("ends"));
    assert_eq!(report.totals.active_instances, 60);
}
