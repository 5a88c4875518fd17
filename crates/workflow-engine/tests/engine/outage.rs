use std::time::{Duration, Instant};

use engine_client::proto::{GetHealthRequest, HealthComponent, HealthState};
use serde_json::json;
use test_support::postgres::{PostgresOptions, TestPostgres};
use test_support::wait::eventually;
use tonic::Code;

use crate::models::one_task;
use crate::support::{Database, World};

#[tokio::test]
async fn an_outage_of_postgres_is_answered_quickly_and_ends_by_itself() {
    if test_support::require_postgres!().port() == 0 {
        return;
    }
    let Some(mut postgres) = TestPostgres::start(PostgresOptions::default()).await else { return };
    let database = postgres.fresh_database().await;
    let world = World::new(Database {
        host: database.host,
        port: database.port,
        name: database.name,
        user: database.user,
        password: database.password,
    });
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.deploy("_default", &one_task("order", "charge")).await;
    caller.start("_default", "order", &json!({})).await;
    let taken = caller.activate("_default", "charge", 1).await.remove(0);

    postgres.stop();
    let began = Instant::now();
    let refused = caller.try_start("_default", "order", &json!({})).await.expect_err("should be refused");
    assert_eq!(refused.code(), Code::Unavailable, "{}", refused.message());
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    eventually("the node to say that it is not ready", Duration::from_secs(15), || async {
        Some(engine.readiness().await).filter(|(code, _)| *code == 503)
    })
    .await;
    // Health is told from memory, and nothing restarts the process.
    let health = caller.cluster().get_health(GetHealthRequest {}).await.expect("should answer").into_inner();
    let database = health.checks.iter().find(|check| check.component() == HealthComponent::Database);
    let database = database.expect("should be checked");
    assert_eq!((health.overall(), database.state()), (HealthState::NotServing, HealthState::NotServing));
    assert!(!database.reason.is_empty());
    assert_eq!(engine.admin_get("/livez").await.map(|(code, _)| code), Some(200));

    postgres.start_again().await;
    eventually("the node to recover", Duration::from_secs(20), || async {
        Some(engine.readiness().await).filter(|(code, _)| *code == 200)
    })
    .await;
    // The lease outlived the outage.
    caller.complete(&taken, &json!({})).await;
    caller.start("_default", "order", &json!({})).await;
    caller.work("_default", "charge", &json!({})).await;
}
