//! What the client makes of the wire: job lag as it changes, requests that are not sent, tokens. What each call means is
//! tested with the real engine (`crates/workflow-engine/tests/engine/client.rs`).

use std::time::Duration;

use engine_client::{
    Accepted, Credential, CredentialVerifier, Engine as _, EngineClient, EnginePool, ErrorClass, Timeouts,
    model::{DEFAULT_TENANT, JobLag, JobLagFilter, JobLagUpdate, JobSeries, StartInstance, Variables},
};
use engine_fake::{FakeEngine, FakeServer};
use futures::StreamExt as _;
use jiff::Timestamp;
use rstest::rstest;
use serde_json::json;

fn time(second: i64) -> Timestamp {
    Timestamp::new(second, 500).expect("second should be within range")
}

fn variables(value: serde_json::Value) -> Variables {
    Variables(serde_json::from_value(value).expect("value should be an object"))
}

fn token(text: &str) -> Credential {
    Credential::parse(text).expect("token should parse")
}

fn client(server: &FakeServer) -> EngineClient {
    let pool = EnginePool::new(Timeouts::default());
    pool.client(&server.access(token("t"))).expect("address should be valid")
}

fn lag(tenant_id: &str, job_type: &str, activatable: u64) -> JobLag {
    JobLag {
        series: JobSeries { tenant_id: tenant_id.to_owned(), job_type: job_type.to_owned() },
        activatable,
        oldest_run_at: (activatable > 0).then(|| time(90)),
        activated: 3,
    }
}

#[tokio::test]
async fn lag_arrives_as_it_changes() {
    let engine = FakeEngine::new();
    engine.set_now(time(100));
    engine.set_lag(lag("acme", "charge-payment", 1));
    engine.set_lag(lag("other", "charge-payment", 1));
    let server = FakeServer::start(&engine).expect("loopback should be there");
    let filter = JobLagFilter { tenant_ids: vec!["acme".to_owned()], job_types: vec![] };
    let mut updates =
        client(&server).watch_job_lag(&filter, Duration::from_secs(1)).await.expect("stream should open");
    let update = |snapshot, lags, removed, second| JobLagUpdate {
        snapshot,
        complete: true,
        lags,
        removed,
        measured_at: time(second),
    };

    let first = lag("acme", "charge-payment", 1);
    assert_eq!(updates.next().await, Some(Ok(update(true, vec![first.clone()], vec![], 100))));
    engine.set_lag(lag("acme", "refund-payment", 0));
    let second = lag("acme", "refund-payment", 0);
    assert_eq!(updates.next().await, Some(Ok(update(false, vec![second], vec![], 100))));
    engine.remove_lag(&first.series);
    assert_eq!(updates.next().await, Some(Ok(update(false, vec![], vec![first.series], 100))));
    engine.set_now(time(101));
    engine.set_heartbeat(Duration::from_millis(20));
    engine.set_now(time(102));
    assert_eq!(updates.next().await, Some(Ok(update(false, vec![], vec![], 102))), "heartbeat");
    engine.set_unreachable(true);
    let end = loop {
        match updates.next().await {
            Some(Ok(_)) => {}
            end => break end,
        }
    };
    assert_eq!(end.and_then(Result::err).map(|error| error.class().clone()), Some(ErrorClass::Unavailable));
    assert_eq!(updates.next().await, None);
}

#[tokio::test]
async fn variables_that_would_be_rounded_are_not_sent() {
    let engine = FakeEngine::new();
    let server = FakeServer::start(&engine).expect("loopback should be there");
    let start = StartInstance {
        request_id: String::new(),
        tenant_id: DEFAULT_TENANT.to_owned(),
        process_id: "order".to_owned(),
        version: None,
        variables: variables(json!({"id": u64::MAX})),
    };
    let error = client(&server).start_instance(&start).await.expect_err("variables should be refused");
    assert_eq!(error.class(), &ErrorClass::Invalid);
    assert_eq!(engine.calls(), vec![]);
}

#[rstest]
#[case::controller("controller", true)]
#[case::unknown("other", false)]
#[tokio::test]
async fn token_is_presented(#[case] presented: &str, #[case] accepted: bool) {
    let secrets = Accepted { controller: vec![token("controller")], ..Accepted::default() };
    let verifier = CredentialVerifier::new(secrets);
    let verifier = verifier.expect("random bytes should be there");
    let server = FakeServer::builder(&FakeEngine::new()).verifier(verifier).start();
    let server = server.expect("loopback should be there");
    let client = EnginePool::new(Timeouts::default()).client(&server.access(token(presented)));
    let answer = client.expect("address should be valid").info().await;
    match answer {
        Ok(_) => assert!(accepted),
        Err(error) => {
            assert_eq!(error.class(), &ErrorClass::Denied);
            assert!(!accepted);
        }
    }
}
