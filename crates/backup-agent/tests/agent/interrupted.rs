//! The agent ends in the middle, and is started again.

use std::time::Duration;

use backup_format::Reason;
use rstest::rstest;
use sqlx::{AssertSqlSafe, Executor as _, PgConnection};
use test_support::postgres::TestDatabase;
use workflow_engine::args::UpTo;

use crate::support::process::{await_blocked, await_no_sessions};
use crate::support::{Kind, World, backed_up, contents, failed, restored, run};

/// Lets pg_dump wait until the returned session ends its transaction: pg_dump locks partitioned tables too, in which the agent
/// itself finds no rows. It waits for ten seconds at most.
pub(crate) async fn hold_pg_dump(world: &World, database: &TestDatabase) -> PgConnection {
    let mut holder = world.superuser(database).await;
    let make = format!(
        "CREATE TABLE workflow.held (a int) PARTITION BY RANGE (a); ALTER TABLE workflow.held OWNER TO {}",
        database.user
    );
    holder.execute(AssertSqlSafe(make)).await.expect("is made");
    holder.execute("BEGIN; LOCK TABLE workflow.held IN ACCESS EXCLUSIVE MODE").await.expect("is held");
    holder
}

/// At a step of the restore: the note that it begins, the load, the last transaction.
#[rstest]
#[case::before_the_first_write("restore_begun", "backup-agent restore")]
#[case::while_loading("job", "backup-agent load")]
#[case::after_the_load("restored", "backup-agent restore")]
#[tokio::test]
async fn a_restore_that_was_killed_is_run_again(#[case] table: &str, #[case] application: &str) {
    let world = World::new(test_support::require_postgres!());
    let source = world.engine_database(Kind::PlainOwner, UpTo::All).await;
    let mut before = world.superuser(&source).await;
    before.execute("UPDATE workflow.job SET worker = NULL").await.expect("is updated");
    world.backup(&source, "b1").await;
    world.backup(&source, "b2").await;
    let target = world.database(Kind::PlainOwner).await;

    // A table of the same name that is not committed blocks every session that makes it.
    let mut holder = world.superuser(&target).await;
    let schema = format!("CREATE SCHEMA workflow AUTHORIZATION {}", target.user);
    holder.execute(AssertSqlSafe(schema)).await.expect("is made");
    let hold = format!("BEGIN; CREATE TABLE workflow.{table} (a int)");
    holder.execute(AssertSqlSafe(hold)).await.expect("is held");
    let agent = world.start(world.restore_arguments(&target, world.of_folder("b1")));
    let mut observer = world.superuser(&target).await;
    await_blocked(&mut observer, application).await;
    agent.kill();
    holder.execute("ROLLBACK").await.expect("is let go");
    await_no_sessions(&mut observer).await;

    let complete: bool = sqlx::query_scalar("SELECT to_regclass('workflow.restored') IS NOT NULL")
        .fetch_one(&mut observer)
        .await
        .expect("is read");
    assert!(!complete, "half a restore looks complete");
    if table != "restore_begun" {
        let failure = world.try_restore(&target, "b2", Reason::DatabaseNotEmpty).await;
        assert!(failure.message.contains("interrupted restore of backup b1"), "{}", failure.message);
    }
    world.restore(&target, "b1").await;
    assert_eq!(contents(&mut observer).await, contents(&mut before).await);
    let notes: bool = sqlx::query_scalar("SELECT to_regclass('workflow.restore_begun') IS NULL")
        .fetch_one(&mut observer)
        .await
        .expect("is read");
    assert!(notes, "the note of the beginning is left");
}

#[tokio::test]
async fn two_restores_at_once_do_not_meet() {
    let world = World::new(test_support::require_postgres!());
    let source = world.engine_database(Kind::PlainOwner, UpTo::All).await;
    world.backup(&source, "b1").await;
    let target = world.database(Kind::PlainOwner).await;
    let arguments = world.restore_arguments(&target, world.of_folder("b1"));
    let (first, second) = tokio::join!(run(arguments.clone()), run(arguments));
    assert_eq!(restored(first), restored(second));
}

/// The pod of a node that is lost may still run when the next one starts.
#[tokio::test]
async fn two_backups_of_one_id_at_once_are_one() {
    let world = World::new(test_support::require_postgres!());
    let source = world.engine_database(Kind::PlainOwner, UpTo::All).await;
    let mut holder = hold_pg_dump(&world, &source).await;
    let arguments = world.backup_arguments(&source, world.of_folder("b1"));
    let backups = [tokio::spawn(run(arguments.clone())), tokio::spawn(run(arguments))];
    // Both have seen that there is no backup yet.
    let mut observer = world.superuser(&source).await;
    let mut both_wait = false;
    for _ in 0..600 {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                 AND application_name = 'backup-agent pg_dump' AND wait_event_type = 'Lock'",
        )
        .fetch_one(&mut observer)
        .await
        .expect("are counted");
        if waiting == 2 {
            both_wait = true;
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(both_wait, "the two backups never ran at the same time");
    holder.execute("ROLLBACK").await.expect("is let go");
    let mut reports = Vec::new();
    for backup in backups {
        reports.push(backed_up(backup.await.expect("ends")));
    }
    let existed: Vec<bool> = reports.iter().map(|report| report.existed).collect();
    assert!(existed == [true, false] || existed == [false, true], "{existed:?}");
    assert_eq!(reports[0].snapshot_at, reports[1].snapshot_at);
    assert_eq!(walk(&world.backups().join("b1")).len(), 2, "one part and one manifest");
    let target = world.database(Kind::PlainOwner).await;
    world.restore(&target, "b1").await;
}

#[tokio::test]
async fn a_backup_that_was_killed_does_not_exist_and_is_made_by_the_next_pod() {
    let world = World::new(test_support::require_postgres!());
    let source = world.engine_database(Kind::PlainOwner, UpTo::All).await;
    let mut holder = hold_pg_dump(&world, &source).await;
    let arguments = world.backup_arguments(&source, world.of_folder("b1"));
    let agent = world.start(arguments.clone());
    let mut observer = world.superuser(&source).await;
    await_blocked(&mut observer, "backup-agent pg_dump").await;

    // The password is neither in the arguments nor in the environment of any process, nor in the log.
    let children = agent.children();
    assert!(children.len() >= 2, "pg_dump and pg_restore run: {children:?}");
    for process in children.iter().chain([&format!("/proc/{}", agent.id()).into()]) {
        for file in ["cmdline", "environ"] {
            let text = std::fs::read(process.join(file)).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            assert!(!text.contains(&source.password), "{}: {text}", process.display());
        }
    }
    assert!(!agent.log().contains(&source.password));
    agent.kill();
    holder.execute("ROLLBACK").await.expect("is let go");
    await_no_sessions(&mut observer).await;
    assert!(!world.backups().join("b1/manifest.json").exists());
    world.try_restore(&source, "b1", Reason::BackupMissing).await;

    assert!(!backed_up(run(arguments).await).existed);
}

#[tokio::test]
async fn a_backup_that_is_asked_to_end_leaves_nothing() {
    let world = World::new(test_support::require_postgres!());
    let source = world.engine_database(Kind::PlainOwner, UpTo::All).await;
    let _holder = hold_pg_dump(&world, &source).await;
    let agent = world.start(world.backup_arguments(&source, world.of_folder("b1")));
    let mut observer = world.superuser(&source).await;
    await_blocked(&mut observer, "backup-agent pg_dump").await;
    agent.signal("TERM");
    let (code, outcome, _) = agent.wait().await;
    failed(outcome, Reason::TimedOut);
    assert_eq!(code, 1);
    // Its sessions and their locks end with it; the one that waits for the test's lock when it notices.
    let left: Vec<_> = walk(&world.backups().join("b1"));
    assert_eq!(left, Vec::<String>::new());
}

#[tokio::test]
async fn a_snapshot_is_held_no_longer_than_allowed() {
    let world = World::new(test_support::require_postgres!());
    let source = world.engine_database(Kind::PlainOwner, UpTo::All).await;
    let mut holder = hold_pg_dump(&world, &source).await;
    let mut arguments = world.backup_arguments(&source, world.of_folder("b1"));
    arguments.extend(["--max-seconds".into(), "1".into()]);
    let began = std::time::Instant::now();
    let failure = failed(run(arguments).await, Reason::SnapshotTooLong);
    assert!(began.elapsed() < Duration::from_secs(15));
    assert!(failure.message.contains("for 1 s"), "{}", failure.message);
    holder.execute("ROLLBACK").await.expect("is let go");
    // No session holds the snapshot any more.
    let mut observer = world.superuser(&source).await;
    await_no_sessions(&mut observer).await;
    assert_eq!(walk(&world.backups().join("b1")), Vec::<String>::new());
}

fn walk(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// The database refuses a row in the middle of a table that is longer than what is sent at once.
#[tokio::test]
async fn a_load_that_the_database_refuses_leaves_nothing_but_its_note() {
    let world = World::new(test_support::require_postgres!());
    let source = world.engine_database(Kind::PlainOwner, UpTo::All).await;
    let more =
        "INSERT INTO workflow.job_type SELECT 'acme', 'refused-' || i FROM generate_series(1, 50000) i";
    world.superuser(&source).await.execute(more).await.expect("are inserted");
    world.backup(&source, "b1").await;
    let target = world.database(Kind::PlainOwner).await;
    let mut session = world.superuser(&target).await;
    session
        .execute(
            "CREATE FUNCTION refuse_a_row() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF to_regclass('workflow.job_type') IS NOT NULL THEN
                     ALTER TABLE workflow.job_type ADD CHECK (type <> 'refused-5000');
                 END IF;
             END $$;
             CREATE EVENT TRIGGER refuse_a_row ON ddl_command_end WHEN TAG IN ('CREATE TABLE')
                 EXECUTE FUNCTION refuse_a_row()",
        )
        .await
        .expect("is made");
    let failure = world.try_restore(&target, "b1", Reason::RestoreFailed).await;
    assert!(
        failure.message.contains("SQLSTATE 23514; nothing of the restore was kept"),
        "{}",
        failure.message
    );
    await_no_sessions(&mut session).await;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'workflow'::regnamespace AND relkind = 'r'",
    )
    .fetch_all(&mut session)
    .await
    .expect("are listed");
    assert_eq!(tables, ["restore_begun"]);

    session.execute("DROP EVENT TRIGGER refuse_a_row").await.expect("is dropped");
    world.restore(&target, "b1").await;
}
