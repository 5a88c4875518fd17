use std::time::{Duration, Instant};

use engine_api::proto::{GetHealthRequest, HealthComponent, HealthState};
use serde_json::json;
use test_support::postgres::{PostgresOptions, TestPostgres};
use test_support::wait::eventually;
use tonic::Code;

use crate::models::one_task;
use crate::support::{Database, World};

#[tokio::test]
async fn during_an_outage_of_postgres_calls_fail_fast_and_later_succeed_without_a_restart() {
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
    // Health is reported from memory, and nothing restarts the process.
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
    // The lease is still held after the outage.
    caller.complete(&taken, &json!({})).await;
    caller.start("_default", "order", &json!({})).await;
    caller.work("_default", "charge", &json!({})).await;
}

/// A TCP proxy. Each change of the returned value makes its existing connections silent, like those to a machine that
/// is gone.
async fn start_proxy(target: u16) -> (u16, tokio::sync::watch::Sender<u32>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("should bind");
    let port = listener.local_addr().expect("should have an address").port();
    let (silence, silenced) = tokio::sync::watch::channel(0);
    tokio::spawn(async move {
        while let Ok((mut inbound, _)) = listener.accept().await {
            let mut silenced = silenced.clone();
            silenced.mark_unchanged();
            tokio::spawn(async move {
                let mut outbound =
                    tokio::net::TcpStream::connect(("127.0.0.1", target)).await.expect("should connect");
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut inbound, &mut outbound) => {}
                    _ = silenced.changed() => std::future::pending().await,
                }
            });
        }
    });
    (port, silence)
}

// The proxy must run while the test blocks until a migration has ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections_are_replaced() {
    let mut database = crate::support::database!();
    let (port, silence) = start_proxy(database.port).await;
    database.port = port;
    let world = World::new(database);
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.deploy("_default", &one_task("order", "charge")).await;
    let nothing = json!({});
    let ten = || async {
        let calls = (0..10).map(|_| caller.try_start("_default", "order", &nothing));
        let outcomes = futures::future::join_all(calls).await;
        for refused in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
            assert!(matches!(refused.code(), Code::Unavailable | Code::DeadlineExceeded), "{refused}");
        }
        outcomes.iter().all(Result::is_ok).then_some(())
    };
    // Fills the pool.
    assert!(ten().await.is_some());
    silence.send_modify(|times| *times += 1);
    // Until every connection's task has received it.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let began = Instant::now();
    // Calls on silent connections fail, at the latest at their deadline.
    assert!(ten().await.is_none(), "the proxy did not fall silent");
    assert!(began.elapsed() < Duration::from_secs(14), "{:?}", began.elapsed());
    eventually("new connections to be used", Duration::from_secs(30), ten).await;
    engine.await_ready().await;
}
