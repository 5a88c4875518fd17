//! Whose the database is: an engine that was given a claim works only while the database says the same.

use std::time::{Duration, Instant};

use engine_api::proto::{
    GetHealthRequest, GetInfoRequest, HealthCheck, HealthComponent, HealthState, StreamActivatedJobsRequest,
};
use serde_json::json;
use sqlx::{Executor, PgConnection};
use test_support::postgres::{PostgresOptions, TestPostgres};
use test_support::wait::eventually;
use tonic::Code;

use crate::models::one_task;
use crate::support::{Database, World, activation, database, stderr};

const OWN: &str = "11111111-2222-3333-4444-555555555555/acme/dev#2";
/// Between two heartbeats, and some time for a busy machine.
const SOON: Duration = Duration::from_secs(8);

/// Writes a claim as the operator does; the table is the operator's own.
async fn claim(session: &mut PgConnection, claim: &str) {
    session.execute(include_str!("../../../cluster-controller/src/claim/table.sql")).await.expect("a table");
    let (identity, epoch) = claim.split_once('#').expect("should be a claim");
    let parts: Vec<&str> = identity.split('/').collect();
    sqlx::query(
        "INSERT INTO workflow.database_claim (installation, namespace, name, uid, epoch) VALUES ($1, $2, $3, 'uid', $4)
         ON CONFLICT (singleton) DO UPDATE SET installation = $1, namespace = $2, name = $3, epoch = $4, released_at = NULL",
    )
    .bind(parts[0])
    .bind(parts[1])
    .bind(parts[2])
    .bind(epoch.parse::<i64>().expect("should be a number"))
    .execute(session)
    .await
    .expect("should claim");
}

async fn others(session: &mut PgConnection) {
    claim(session, "99999999-8888-7777-6666-555555555555/beta/prod#3").await;
}

/// A database that is claimed for the engines of this world, with their schema.
async fn claimed(database: Database) -> (World, PgConnection) {
    let mut world = World::unmigrated(database);
    world.claim = Some(OWN);
    let mut session = world.session().await;
    claim(&mut session, OWN).await;
    let migrated = world.migrate(&[]);
    assert!(migrated.status.success(), "{}", stderr(&migrated));
    (world, session)
}

#[tokio::test]
async fn a_migration_refuses_a_database_that_is_not_its_own_and_changes_nothing() {
    let mut world = World::unmigrated(database!());
    world.claim = Some(OWN);
    let mut session = world.session().await;
    let refused = world.migrate(&[]);
    assert!(!refused.status.success());
    assert!(stderr(&refused).contains("claimed by no WorkflowCluster"), "{}", stderr(&refused));
    for (other, expected) in [
        ("99999999-8888-7777-6666-555555555555/acme/dev#2", "another WorkflowCluster"),
        ("11111111-2222-3333-4444-555555555555/acme/dev#3", "epoch 3, this engine was started with 2"),
    ] {
        claim(&mut session, other).await;
        let refused = world.migrate(&[]);
        assert!(!refused.status.success(), "{other}");
        assert!(stderr(&refused).contains(expected), "{other}: {}", stderr(&refused));
    }
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'workflow'::regnamespace AND relkind = 'r'",
    )
    .fetch_all(&mut session)
    .await
    .expect("should list");
    assert_eq!(tables, ["database_claim"]);
    claim(&mut session, OWN).await;
    let migrated = world.migrate(&[]);
    assert!(migrated.status.success(), "{}", stderr(&migrated));
    world.serve("engine-0").await;
}

#[tokio::test]
async fn something_else_than_a_claim_is_refused_at_the_start() {
    let mut world = World::unmigrated(database!());
    world.claim = Some("acme/dev");
    let refused = world.migrate(&[]);
    assert!(!refused.status.success());
    assert!(
        stderr(&refused).contains("<Kubernetes cluster>/<namespace>/<name>#<epoch>"),
        "{}",
        stderr(&refused)
    );
}

#[tokio::test]
async fn an_engine_whose_database_is_taken_over_stops_at_once_and_goes_on_when_it_is_given_back() {
    let (world, mut session) = claimed(database!()).await;
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.deploy("_default", &one_task("order", "charge")).await;
    caller.start("_default", "order", &json!({})).await;
    let taken = caller.activate("_default", "charge", 1).await.remove(0);
    // A stream and a long poll that wait for work.
    let worker = engine.worker("_default");
    let request = StreamActivatedJobsRequest {
        tenant_id: "_default".to_owned(),
        job_types: vec!["charge".to_owned()],
        worker: "tester".to_owned(),
        max_in_flight: 5,
        lease: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
    };
    let mut stream = worker.jobs().stream_activated_jobs(request).await.expect("should open").into_inner();
    let mut poll = activation("_default", "charge", 1);
    poll.wait = Some(prost_types::Duration { seconds: 25, nanos: 0 });
    let polling = tokio::spawn({
        let worker = worker.clone();
        async move { worker.try_activate(poll).await }
    });

    let began = Instant::now();
    others(&mut session).await;
    let (_, reason) = eventually("the node to stop serving", SOON, || async {
        Some(engine.readiness().await).filter(|(code, _)| *code == 503)
    })
    .await;
    assert!(reason.contains("claimed by another WorkflowCluster"), "{reason}");
    assert!(!reason.contains("beta") && !reason.contains("prod"), "{reason}");
    let ended = tokio::time::timeout(SOON, async {
        loop {
            match stream.message().await {
                Ok(Some(message)) => assert_eq!(message.jobs, []),
                Ok(None) => panic!("the stream ended without a reason"),
                Err(status) => return status,
            }
        }
    });
    assert_eq!(ended.await.expect("the stream should end").code(), Code::Unavailable);
    let polled = polling.await.expect("should not panic").expect_err("should be refused");
    assert_eq!(polled.code(), Code::Unavailable, "{}", polled.message());
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());

    for refused in [
        caller.try_start("_default", "order", &json!({})).await.map(drop),
        caller.try_complete(&taken, &json!({})).await,
        worker.try_activate(activation("_default", "charge", 1)).await.map(drop),
    ] {
        let refused = refused.expect_err("should be refused");
        assert_eq!(refused.code(), Code::Unavailable, "{}", refused.message());
    }
    let health = caller.cluster().get_health(GetHealthRequest {}).await.expect("should answer").into_inner();
    let schema = health.checks.iter().find(|check| check.component() == HealthComponent::Schema);
    assert_eq!(schema.map(HealthCheck::state), Some(HealthState::NotServing));
    assert_eq!(engine.admin_get("/livez").await.map(|(code, _)| code), Some(200));
    // The other cluster's engines must not count on this node.
    let before: f64 = last_seen(&mut session).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!((last_seen(&mut session).await - before).abs() < f64::EPSILON, "a heartbeat was recorded");

    claim(&mut session, OWN).await;
    engine.await_ready().await;
    caller.complete(&taken, &json!({})).await;
    caller.start("_default", "order", &json!({})).await;
    worker.work("_default", "charge", &json!({})).await;
}

async fn last_seen(session: &mut PgConnection) -> f64 {
    sqlx::query_scalar(
        "SELECT extract(epoch FROM last_seen_at)::float8 FROM workflow.node WHERE id = 'engine-0'",
    )
    .fetch_one(session)
    .await
    .expect("should read")
}

#[tokio::test]
async fn a_later_epoch_ends_the_engines_of_the_one_before() {
    let (mut world, mut session) = claimed(database!()).await;
    let former = world.serve("engine-0").await;
    claim(&mut session, "11111111-2222-3333-4444-555555555555/acme/dev#3").await;
    world.claim = Some("11111111-2222-3333-4444-555555555555/acme/dev#3");
    let present = world.serve("engine-1").await;
    let (_, reason) = eventually("the former engine to stop serving", SOON, || async {
        Some(former.readiness().await).filter(|(code, _)| *code == 503)
    })
    .await;
    assert!(reason.contains("epoch 3, this engine was started with 2"), "{reason}");
    assert_eq!(present.readiness().await.0, 200);
}

#[tokio::test]
async fn an_engine_waits_for_its_claim() {
    let (world, mut session) = claimed(database!()).await;
    for (change, expected) in [
        ("DROP TABLE workflow.database_claim", "claimed by no WorkflowCluster"),
        ("UPDATE workflow.database_claim SET released_at = now()", "claimed by no WorkflowCluster"),
        ("UPDATE workflow.database_claim SET name = 'other'", "claimed by another WorkflowCluster"),
    ] {
        session.execute(change).await.expect("should change");
        let engine = world.serve_unready("engine-0").await;
        let (code, reason) = eventually("the node to look at the claim", SOON, || async {
            Some(engine.readiness().await).filter(|(_, reason)| !reason.contains("starting"))
        })
        .await;
        assert_eq!(code, 503, "{change}");
        assert!(reason.contains(expected), "{change}: {reason}");
        let info = engine.controller().cluster().get_info(GetInfoRequest {}).await;
        assert_eq!(info.expect("should answer").into_inner().nodes, [], "{change}");
        // Also a table that was made anew can be read by the role that serves.
        claim(&mut session, OWN).await;
        engine.await_ready().await;
    }
}

#[tokio::test]
async fn an_engine_without_a_claim_compares_nothing() {
    let (mut world, mut session) = claimed(database!()).await;
    others(&mut session).await;
    world.claim = None;
    let engine = world.serve("engine-0").await;
    engine.controller().deploy("_default", &one_task("order", "charge")).await;
    assert!(world.migrate(&[]).status.success());
}

#[tokio::test]
async fn the_role_that_serves_reads_the_claim_and_cannot_change_it() {
    let (world, _session) = claimed(database!()).await;
    let mut app = world.app_session().await;
    let name: String = sqlx::query_scalar("SELECT name FROM workflow.database_claim")
        .fetch_one(&mut app)
        .await
        .expect("should read");
    assert_eq!(name, "dev");
    for change in [
        "UPDATE workflow.database_claim SET epoch = 9",
        "DELETE FROM workflow.database_claim",
        "INSERT INTO workflow.database_claim VALUES (true, 'i', 'n', 'c', 'u', 1)",
    ] {
        let refused = app.execute(change).await.expect_err(change);
        assert_eq!(
            refused.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref(),
            Some("42501")
        );
    }
}

/// A backup of the time when the database was another's is restored under an engine that serves: not one call is served
/// on it, not even before the next heartbeat.
#[tokio::test]
async fn on_a_restored_database_of_another_not_one_call_is_served() {
    if test_support::require_postgres!().port() == 0 {
        return;
    }
    let Some(mut postgres) = TestPostgres::start(PostgresOptions::default()).await else { return };
    let made = postgres.fresh_database().await;
    let (world, mut session) = claimed(Database {
        host: made.host,
        port: made.port,
        name: made.name,
        user: made.user,
        password: made.password,
    })
    .await;
    others(&mut session).await;
    postgres.stop();
    postgres.save_data();
    postgres.start_again().await;
    claim(&mut world.session().await, OWN).await;
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.put_tenant("acme", engine_api::proto::TenantQuotas::default()).await;

    postgres.stop();
    postgres.restore_data();
    postgres.start_again().await;
    let began = Instant::now();
    while began.elapsed() < SOON {
        let put = engine_api::proto::PutTenantRequest {
            request_id: String::new(),
            tenant: Some(crate::support::tenant("late", engine_api::proto::TenantQuotas::default())),
        };
        let refused = caller.tenants().put_tenant(put).await.expect_err("should be refused");
        assert_eq!(refused.code(), Code::Unavailable, "{}", refused.message());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut session = world.session().await;
    let nodes: i64 = sqlx::query_scalar("SELECT count(*) FROM workflow.node")
        .fetch_one(&mut session)
        .await
        .expect("reads");
    assert_eq!(nodes, 0, "a heartbeat was recorded");
    claim(&mut session, OWN).await;
    engine.await_ready().await;
    caller.put_tenant("late", engine_api::proto::TenantQuotas::default()).await;
}
