use std::time::Duration;

use engine_api::proto::{
    GetInfoRequest, GetMigrationStatusRequest, MigrationKind, PlanMigrationRequest, VersionVerdict,
};
use sqlx::{Executor, PgConnection};
use test_support::wait::eventually;
use tonic::Code;
use workflow_engine::schema::migrate::LOCK;

use crate::support::{VERSION, World, database, stderr};

async fn scalar<T>(session: &mut PgConnection, query: &'static str) -> T
where
    T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    sqlx::query_scalar(query).fetch_one(session).await.expect("should read")
}

#[tokio::test]
async fn a_second_migration_changes_nothing() {
    let world = World::new(database!());
    let mut session = world.session().await;
    let before: String =
        scalar(&mut session, "SELECT string_agg(m::text, ';') FROM workflow.schema_migration m").await;
    let again = world.migrate(&[]);
    assert!(again.status.success(), "{}", stderr(&again));
    let after: String =
        scalar(&mut session, "SELECT string_agg(m::text, ';') FROM workflow.schema_migration m").await;
    assert_eq!(before, after);
    let recorded: String = scalar(&mut session, "SELECT engine_version FROM workflow.schema_state").await;
    assert_eq!(recorded, VERSION);
}

#[tokio::test]
async fn concurrent_migrations_run_one_after_another() {
    let world = World::unmigrated(database!());
    let runs: Vec<_> = (0..4)
        .map(|number| {
            let node = format!("migrate-{number}");
            let mut command = world.command("migrate");
            command.args(["--to", VERSION]).env("WORKFLOW_NODE_ID", node);
            command
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::piped())
                .spawn()
                .expect("should run")
        })
        .collect();
    for run in runs {
        let output = run.wait_with_output().expect("should end");
        assert!(output.status.success(), "{}", stderr(&output));
    }
    let mut session = world.session().await;
    let steps: i64 = scalar(&mut session, "SELECT count(*) FROM workflow.schema_migration").await;
    let newest: i64 = scalar(&mut session, "SELECT max(version) FROM workflow.schema_migration").await;
    assert_eq!(steps, newest);
}

#[tokio::test]
async fn a_migration_that_cannot_get_the_lock_names_its_holder() {
    let world = World::unmigrated(database!());
    let mut holder = world.session().await;
    holder.execute("SET application_name = 'workflow-engine migrate the-other'").await.expect("should set");
    sqlx::query("SELECT pg_advisory_lock($1)").bind(LOCK).execute(&mut holder).await.expect("should lock");
    let refused = world.migrate(&["--lock-timeout", "1"]);
    assert!(!refused.status.success());
    assert!(stderr(&refused).contains("workflow-engine migrate the-other"), "{}", stderr(&refused));
}

#[tokio::test]
async fn a_migration_that_gets_a_signal_ends_with_a_message_and_without_the_lock() {
    let world = World::unmigrated(database!());
    let mut holder = world.session().await;
    sqlx::query("SELECT pg_advisory_lock($1)").bind(LOCK).execute(&mut holder).await.expect("should lock");
    let mut waiting = world.command("migrate");
    let mut run =
        waiting.args(["--to", VERSION]).stderr(std::process::Stdio::piped()).spawn().expect("should run");
    let waits = "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name LIKE 'workflow-engine migrate%'";
    for _ in 0..100 {
        let sessions: i64 = sqlx::query_scalar(waits).fetch_one(&mut holder).await.expect("should count");
        if sessions == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let pid = run.id().to_string();
    assert!(
        std::process::Command::new("kill").args(["-TERM", &pid]).status().expect("should signal").success()
    );
    let output = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut run.stderr.take().expect("should have"), &mut text)
            .expect("should read");
        (run.wait().expect("should end"), text)
    });
    let (status, text) = output.await.expect("should end");
    // It handles the signal: without a handler, the first process of a container would ignore it.
    assert_eq!(status.code(), Some(1), "{text}");
    assert!(text.contains("asked to end before the migration was done"), "{text}");
    drop(holder);
    let next = world.migrate(&[]);
    assert!(next.status.success(), "{}", stderr(&next));
}

#[tokio::test]
async fn after_a_kill_within_a_step_the_schema_is_dirty_until_the_next_migration() {
    let world = World::unmigrated(database!());
    let mut owner = world.session().await;
    // Blocks the first step: an uncommitted transaction has created a sequence of the same name.
    owner.execute("CREATE SCHEMA workflow").await.expect("should make the schema");
    owner.execute("BEGIN; CREATE SEQUENCE workflow.key_block").await.expect("should begin");
    let mut run = world.command("migrate").args(["--to", VERSION]).spawn().expect("should run");
    let mut observer = world.session().await;
    let begun = async |observer: &mut PgConnection| -> Option<i64> {
        sqlx::query_scalar("SELECT begun FROM workflow.schema_state").fetch_one(observer).await.ok().flatten()
    };
    for _ in 0..100 {
        if begun(&mut observer).await.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    run.kill().expect("should be killed");
    run.wait().expect("should end");
    owner.execute("ROLLBACK").await.expect("should roll back");
    assert_eq!(begun(&mut observer).await, Some(1));

    let engine = world.serve_unready("engine-0").await;
    eventually("the killed migration's session to end", Duration::from_secs(20), || async {
        let status = engine.controller().migration().get_migration_status(GetMigrationStatusRequest {}).await;
        status.ok().map(tonic::Response::into_inner).filter(|status| status.dirty && status.current == 0)
    })
    .await;
    let next = world.migrate(&[]);
    assert!(next.status.success(), "{}", stderr(&next));
    engine.await_ready().await;
    let status = engine.controller().migration().get_migration_status(GetMigrationStatusRequest {}).await;
    let status = status.expect("should answer").into_inner();
    assert_eq!((status.dirty, status.pending.len(), status.lock_holder), (false, 0, String::new()));
    assert_eq!(status.current, status.newest_known);
    assert_eq!(
        status.applied[0].step.as_ref().map(engine_api::proto::MigrationStep::kind),
        Some(MigrationKind::Expand)
    );
}

#[tokio::test]
async fn a_newer_schema_is_not_migrated_but_served_if_it_was_only_expanded() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let mut owner = world.session().await;
    owner
        .execute(
            "INSERT INTO workflow.schema_migration (version, description, success, checksum, execution_time)
             VALUES (9999, 'from the future', true, 'x', 0)",
        )
        .await
        .expect("should record");
    let refused = world.migrate(&[]);
    assert!(!refused.status.success());
    assert!(stderr(&refused).contains("step 9999"), "{}", stderr(&refused));
    drop(world.serve("engine-1").await);

    // A contracted one is refused, also by a node that served before. The node stays alive.
    owner.execute("UPDATE workflow.schema_state SET contracted_to = 9999").await.expect("should record");
    let (code, reason) = eventually("the node to stop serving", Duration::from_secs(15), || async {
        Some(engine.readiness().await).filter(|(code, _)| *code != 200)
    })
    .await;
    assert_eq!(code, 503);
    assert!(reason.contains("no longer serves this version"), "{reason}");
    let call = engine.controller().try_start("_default", "order", &serde_json::json!({})).await;
    let call = call.expect_err("should be refused");
    assert_eq!(call.code(), Code::Unavailable);
    assert!(call.message().contains("no longer serves this version"), "{}", call.message());
    assert_eq!(engine.admin_get("/livez").await.map(|(code, _)| code), Some(200));
}

#[tokio::test]
async fn a_node_without_a_schema_waits_and_serves_after_the_migration() {
    let world = World::unmigrated(database!());
    let engine = world.serve_unready("engine-0").await;
    let (code, reason) = eventually("the node to check the schema", Duration::from_secs(10), || async {
        Some(engine.readiness().await).filter(|(_, reason)| !reason.contains("starting"))
    })
    .await;
    assert_eq!(code, 503);
    assert!(reason.contains("workflow-engine migrate"), "{reason}");
    let info =
        engine.controller().cluster().get_info(GetInfoRequest {}).await.expect("should answer").into_inner();
    assert_eq!((info.version.as_str(), info.schema_version), (VERSION, 0));
    let migrated = world.migrate(&[]);
    assert!(migrated.status.success(), "{}", stderr(&migrated));
    engine.await_ready().await;
}

#[tokio::test]
async fn a_change_of_the_version_follows_the_version_policy() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    for (target, verdict) in [
        (VERSION, VersionVerdict::Same),
        ("1.4.0", VersionVerdict::Compatible),
        ("1.5.0", VersionVerdict::SkippedMinor),
        ("2.0.0", VersionVerdict::Breaking),
        ("3.0.0", VersionVerdict::SkippedMajor),
        ("1.2.3", VersionVerdict::Downgrade),
        ("1.4.0-rc.1", VersionVerdict::Prerelease),
    ] {
        let request = PlanMigrationRequest { target_version: target.to_owned() };
        let plan =
            engine.controller().migration().plan_migration(request).await.expect("should plan").into_inner();
        assert_eq!((plan.verdict(), plan.steps.len()), (verdict, 0), "{target}");
    }
    let request = PlanMigrationRequest { target_version: "latest".to_owned() };
    let refused =
        engine.controller().migration().plan_migration(request).await.expect_err("should be refused");
    assert_eq!(refused.code(), Code::InvalidArgument);

    let mut owner = world.session().await;
    owner.execute("UPDATE workflow.schema_state SET engine_version = '1.0.0'").await.expect("should record");
    let skipped = world.migrate(&[]);
    assert!(stderr(&skipped).contains("cannot migrate from 1.0.0"), "{}", stderr(&skipped));
    owner.execute("UPDATE workflow.schema_state SET engine_version = '0.9.0'").await.expect("should record");
    let breaking = world.migrate(&[]);
    assert!(stderr(&breaking).contains("--approve-breaking"), "{}", stderr(&breaking));
    let approved = world.migrate(&["--approve-breaking"]);
    assert!(approved.status.success(), "{}", stderr(&approved));
}

#[tokio::test]
async fn a_migration_to_another_version_names_the_image_to_run() {
    let world = World::unmigrated(database!());
    let output = world.command("migrate").args(["--to", "9.9.9"]).output().expect("should run");
    assert_eq!(
        stderr(&output).trim(),
        format!("cannot migrate to 9.9.9: this binary migrates to {VERSION} only, run the image of 9.9.9")
    );
}
