//! A database with another history: restored from a backup, or after a failover that lost its last writes.

use std::collections::BTreeSet;
use std::time::Duration;

use engine_api::proto::InstanceState;
use serde_json::{Value, json};
use sqlx::{ConnectOptions, Executor};
use test_support::postgres::{PostgresOptions, TestPostgres};
use test_support::wait::eventually;
use tonic::Code;

use crate::models::one_task;
use crate::support::{Database, World, database, wire_variables};

#[tokio::test]
async fn a_node_drops_its_caches_when_the_database_is_restored_from_a_backup() {
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
    postgres.stop();
    postgres.save_data();
    postgres.start_again().await;
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    let lost = caller.deploy("_default", &one_task("order", "charge")).await.definition.expect("should be");
    caller.start("_default", "order", &json!({})).await;
    caller.work("_default", "charge", &json!({})).await;

    postgres.stop();
    postgres.restore_data();
    postgres.start_again().await;
    let other = world.serve("engine-1").await;
    let other_caller = other.controller();
    let restored =
        other_caller.deploy("_default", &one_task("order", "ship")).await.definition.expect("should be");
    // A precondition of this test.
    assert_eq!(restored.key, lost.key, "the sequence did not go back");
    eventually("the first node to serve again", Duration::from_secs(20), || async {
        Some(engine.readiness().await).filter(|(code, _)| *code == 200)
    })
    .await;

    let mut started = Vec::new();
    for number in 0..40 {
        let through = if number % 2 == 0 { &caller } else { &other_caller };
        started.push((through.start("_default", "order", &json!({ "number": number })).await, number));
    }
    let keys: BTreeSet<i64> = started.iter().map(|(key, _)| *key).collect();
    assert_eq!(keys.len(), started.len(), "a key was given out twice");
    for (key, number) in &started {
        let found = caller.instance("_default", *key).await;
        assert_eq!(found.variables, Some(wire_variables(&json!({ "number": number }))));
        assert_eq!(found.state(), InstanceState::Active);
    }
    // The lost definition had the same key, but its tasks must not be used.
    let jobs = caller.activate("_default", "ship", 100).await;
    assert_eq!(jobs.len(), started.len());
    assert!(caller.activate("_default", "charge", 100).await.is_empty());
    let all: BTreeSet<i64> = jobs.iter().map(|job| job.key).chain(keys).collect();
    assert_eq!(all.len(), 2 * started.len(), "a job has an instance's key");
}

#[tokio::test]
async fn a_node_serves_on_a_standby_as_soon_as_it_is_promoted() {
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
    let before = caller.start("_default", "order", &json!({})).await;

    postgres.stop();
    postgres.make_standby();
    postgres.start_again().await;
    eventually("the node to say what it found", Duration::from_secs(20), || async {
        let (_, reason) = engine.readiness().await;
        if reason.contains("is a standby") { Ok(()) } else { Err(reason) }
    })
    .await;
    let refused =
        caller.try_start("_default", "order", &json!({})).await.expect_err("nothing can be written");
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");

    let mut superuser = postgres.superuser().connect().await.expect("should connect");
    superuser.execute("SELECT pg_promote()").await.expect("should promote");
    engine.await_ready().await;
    let after = caller.start("_default", "order", &json!({})).await;
    assert_ne!(after, before);
    assert_eq!(caller.activate("_default", "charge", 10).await.len(), 2);
}

#[tokio::test]
async fn a_key_that_is_in_use_is_never_overwritten() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.deploy("_default", &one_task("order", "charge")).await;
    caller.deploy("_default", &one_task("invoice", "send")).await;
    let mut finished = Vec::new();
    for number in 0..10 {
        finished.push((caller.start("_default", "order", &json!({ "number": number })).await, number));
        caller.work("_default", "charge", &json!({})).await;
    }
    // In reality a sequence goes back only with a restart of the server, which closes all connections.
    let mut owner = world.session().await;
    owner.execute("SELECT setval('workflow.key_block', 1, false)").await.expect("should set");
    let other = world.serve("engine-1").await;
    let other_caller = other.controller();
    let mut keys: BTreeSet<i64> = finished.iter().map(|(key, _)| *key).collect();
    for number in 100..110 {
        let key = other_caller.start("_default", "order", &json!({ "number": number })).await;
        assert!(keys.insert(key), "key {key} was given out twice");
        let found = other_caller.instance("_default", key).await;
        assert_eq!(found.variables, Some(wire_variables(&json!({ "number": number }))));
    }
    for (key, number) in &finished {
        let found = caller.instance("_default", *key).await;
        assert_eq!(found.variables, Some(wire_variables(&json!({ "number": number }))), "{key}");
        assert_eq!(found.state(), InstanceState::Completed, "{key}");
    }
}

#[tokio::test]
async fn starts_are_unavailable_while_the_sequence_returns_keys_that_are_in_use() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    // Each instance takes two keys, its own and its job's: after two definitions instances have the even ones.
    caller.deploy("_default", &one_task("order", "charge")).await;
    caller.deploy("_default", &one_task("invoice", "send")).await;
    let nothing: Value = json!({});
    let mut keys = BTreeSet::new();
    // Ten blocks.
    for _ in 0..10 {
        let request = engine_api::proto::StartInstancesRequest {
            request_id: String::new(),
            tenant_id: "_default".to_owned(),
            process_id: "order".to_owned(),
            version: 0,
            variables: vec![wire_variables(&nothing); 512],
        };
        keys.extend(
            caller.jobs().start_instances(request).await.expect("should start").into_inner().instance_keys,
        );
    }
    let mut owner = world.session().await;
    owner.execute("SELECT setval('workflow.key_block', 1, false)").await.expect("should set");
    let other = world.serve("engine-1").await;
    let other_caller = other.controller();
    let mut refused = 0;
    for _ in 0..10 {
        let request = engine_api::proto::StartInstancesRequest {
            request_id: String::new(),
            tenant_id: "_default".to_owned(),
            process_id: "order".to_owned(),
            version: 0,
            variables: vec![wire_variables(&nothing); 100],
        };
        match other_caller.jobs().start_instances(request).await {
            Ok(started) => {
                for key in started.into_inner().instance_keys {
                    assert!(keys.insert(key), "key {key} was given out twice");
                }
            }
            Err(status) => {
                assert_eq!(status.code(), Code::Unavailable, "{status}");
                refused += 1;
            }
        }
    }
    assert!((1..10).contains(&refused), "{refused} of 10 calls were refused");
}
