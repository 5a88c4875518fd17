use backup_format::Reason;
use rstest::rstest;
use sqlx::{AssertSqlSafe, Executor as _};
use workflow_engine::args::UpTo;

use crate::support::{Kind, World, claim, failed, restored, run};

#[tokio::test]
async fn a_database_without_an_engine_or_out_of_reach_is_reported() {
    let world = World::new(test_support::require_postgres!());
    let database = world.database(Kind::PlainOwner).await;
    let arguments = world.backup_arguments(&database, world.of_folder("b1"));
    let failure = failed(run(arguments.clone()).await, Reason::DatabaseNotReadable);
    assert!(failure.message.contains("nothing to back up"), "{}", failure.message);

    world.write(&format!("{}-password", database.name), "wrong");
    let failure = failed(run(arguments.clone()).await, Reason::DatabaseUnreachable);
    assert!(failure.message.contains("refuses the user or its password"), "{}", failure.message);

    let elsewhere = arguments
        .into_iter()
        .map(|argument| if argument == *database.port.to_string() { "1".into() } else { argument });
    failed(run(elsewhere.collect()).await, Reason::DatabaseUnreachable);
}

/// A login that reads the tables and neither owns them nor bypasses their walls would get empty tables.
#[tokio::test]
async fn a_login_that_cannot_see_every_row_is_refused() {
    let world = World::new(test_support::require_postgres!());
    let mut database = world.engine_database(Kind::PlainOwner, UpTo::All).await;
    let mut superuser = world.superuser(&database).await;
    let reader = format!("{}_reader", database.name);
    let grants = format!(
        "CREATE ROLE {reader} LOGIN PASSWORD 'of-the-reader'; GRANT CONNECT ON DATABASE {} TO {reader};
         GRANT USAGE ON SCHEMA workflow TO {reader}; GRANT SELECT ON ALL TABLES IN SCHEMA workflow TO {reader};
         GRANT SELECT ON ALL SEQUENCES IN SCHEMA workflow TO {reader}",
        database.name
    );
    superuser.execute(AssertSqlSafe(grants)).await.expect("is granted");
    (database.user, database.password) = (reader, "of-the-reader".to_owned());
    let arguments = world.backup_arguments(&database, world.of_folder("b1"));
    let failure = failed(run(arguments).await, Reason::DatabaseNotReadable);
    assert!(failure.message.contains("does not own it"), "{}", failure.message);
    assert!(!world.backups().join("b1").exists());
}

#[tokio::test]
async fn a_restrictive_policy_is_refused() {
    let world = World::new(test_support::require_postgres!());
    let database = world.engine_database(Kind::PlainOwner, UpTo::All).await;
    let mut superuser = world.superuser(&database).await;
    superuser
        .execute("CREATE POLICY only_small ON workflow.job AS RESTRICTIVE USING (key < 5)")
        .await
        .expect("is made");
    let arguments = world.backup_arguments(&database, world.of_folder("b1"));
    let failure = failed(run(arguments).await, Reason::DatabaseNotReadable);
    assert!(failure.message.contains("only_small"), "{}", failure.message);
}

#[rstest]
#[case::older_engine("--target-engine-version", "1.2.3", Reason::VersionUnsupported)]
#[case::two_minors_up("--target-engine-version", "1.5.0", Reason::VersionUnsupported)]
#[case::next_major("--target-engine-version", "2.0.0", Reason::VersionUnsupported)]
#[case::older_schema("--max-schema-version", "2", Reason::SchemaUnsupported)]
#[case::no_such_backup("--backup-id", "b2", Reason::BackupMissing)]
#[case::no_id("--backup-id", "..", Reason::DestinationInvalid)]
#[case::no_destination("--destination", "/backups", Reason::DestinationInvalid)]
#[case::no_folder("--destination", "file:///nowhere/at-all", Reason::DestinationInvalid)]
#[tokio::test]
async fn a_restore_that_cannot_work_is_refused(
    #[case] flag: &str,
    #[case] value: &str,
    #[case] reason: Reason,
) {
    let world = World::new(test_support::require_postgres!());
    let source = world.engine_database(Kind::PlainOwner, UpTo::All).await;
    world.backup(&source, "b1").await;
    let target = world.database(Kind::PlainOwner).await;
    let mut arguments = world.restore_arguments(&target, world.of_folder("b1"));
    let at = arguments.iter().position(|argument| *argument == *flag).expect("is an argument");
    arguments[at + 1] = value.into();
    failed(run(arguments).await, reason);
    let mut session = world.superuser(&target).await;
    let is_there: bool = sqlx::query_scalar("SELECT to_regnamespace('workflow') IS NOT NULL")
        .fetch_one(&mut session)
        .await
        .expect("is read");
    assert!(!is_there);
}

/// During an upgrade the database records the former version, which the engine's migration will judge.
#[tokio::test]
async fn the_version_that_the_database_records_counts_too() {
    let world = World::new(test_support::require_postgres!());
    let source = world.engine_database(Kind::PlainOwner, UpTo::All).await;
    let mut session = world.superuser(&source).await;
    session.execute("UPDATE workflow.schema_state SET engine_version = '1.1.0'").await.expect("is set");
    world.backup(&source, "b1").await;
    let target = world.database(Kind::PlainOwner).await;
    let failure = world.try_restore(&target, "b1", Reason::VersionUnsupported).await;
    assert!(failure.message.contains("restore with 1.1.0, then upgrade"), "{}", failure.message);
}

#[tokio::test]
async fn only_an_empty_database_is_restored_into() {
    let world = World::new(test_support::require_postgres!());
    let source = world.engine_database(Kind::PlainOwner, UpTo::All).await;
    world.backup(&source, "b1").await;
    world.backup(&source, "b2").await;
    let failure = world.try_restore(&source, "b1", Reason::DatabaseNotEmpty).await;
    assert!(
        failure.message.contains("function require_epoch, sequence key_block, table incident, …"),
        "{}",
        failure.message
    );

    // Its owner's claim may be there, and stays.
    let target = world.database(Kind::PlainOwner).await;
    let mut session = world.superuser(&target).await;
    claim(&mut session, &target, "installation-2/dr/orders").await;
    world.restore(&target, "b1").await;
    let is_held: bool = sqlx::query_scalar(
        "SELECT namespace = 'dr' AND epoch = 7 AND released_at IS NULL FROM workflow.database_claim",
    )
    .fetch_one(&mut session)
    .await
    .expect("is there");
    assert!(is_held);

    let failure = world.try_restore(&target, "b2", Reason::DatabaseNotEmpty).await;
    assert!(failure.message.contains("was restored from backup b1"), "{}", failure.message);
}

/// The claim is the operator's row about this database, so no backup has it.
#[tokio::test]
async fn a_claim_is_not_backed_up() {
    let world = World::new(test_support::require_postgres!());
    let source = world.engine_database(Kind::PlainOwner, UpTo::All).await;
    let mut session = world.superuser(&source).await;
    session
        .execute("CREATE TABLE workflow.database_claim (owner text); INSERT INTO workflow.database_claim VALUES ('x')")
        .await
        .expect("is made");
    world.backup(&source, "b1").await;
    let target = world.database(Kind::PlainOwner).await;
    world.restore(&target, "b1").await;
    let mut session = world.superuser(&target).await;
    let is_there: bool = sqlx::query_scalar("SELECT to_regclass('workflow.database_claim') IS NOT NULL")
        .fetch_one(&mut session)
        .await
        .expect("is read");
    assert!(!is_there);
    // A backup of what was restored works like any other, and its restore too.
    world.backup(&target, "b2").await;
    let next = world.database(Kind::PlainOwner).await;
    restored(run(world.restore_arguments(&next, world.of_folder("b2"))).await);
}
