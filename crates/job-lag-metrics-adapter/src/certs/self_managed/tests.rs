use std::sync::atomic::{AtomicBool, Ordering};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use test_support::{FakeApiServer, reply};

use super::*;

const SECRET: &str = "adapter-serving-cert";
const API_SERVICE: &str = "v1beta1.external.metrics.k8s.io";

fn start() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().expect("a timestamp")
}

fn api_service(namespace: &str, service: &str) -> APIService {
    serde_json::from_value(json!({
        "metadata": {"name": API_SERVICE},
        "spec": {
            "group": "external.metrics.k8s.io",
            "version": "v1beta1",
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "service": {"namespace": namespace, "name": service, "port": 443},
        },
    }))
    .expect("an APIService")
}

fn replica(apiserver: &FakeApiServer, now: Timestamp) -> SelfManaged {
    let names = Names { service: "adapter".to_owned(), namespace: "workflow-system".to_owned() };
    SelfManaged::new(apiserver.client(), names, Arc::default(), Clock::fixed(now))
}

fn secret(apiserver: &FakeApiServer) -> Secret {
    apiserver.get("workflow-system", SECRET).expect("the Secret should be there")
}

fn ca_bundle(apiserver: &FakeApiServer) -> Option<Vec<u8>> {
    let found: APIService = apiserver.get("", API_SERVICE).expect("the APIService should be there");
    found.spec.and_then(|spec| spec.ca_bundle).map(|bundle| bundle.0)
}

#[tokio::test]
async fn first_replica_creates_the_certificate_and_publishes_its_authority() {
    let apiserver = FakeApiServer::new();
    apiserver.seed(&api_service("workflow-system", "adapter"));
    let replica = replica(&apiserver, start());
    replica.tick().await.expect("the pass should succeed");
    assert!(replica.certificate.is_loaded());
    let stored = read_secret(&secret(&apiserver));
    assert_eq!(ca_bundle(&apiserver), Some(stored.bundle.into_bytes()));

    apiserver.forget_requests();
    replica.tick().await.expect("the pass should succeed");
    assert_eq!(apiserver.mutations(), [], "settled");
}

#[tokio::test]
async fn second_replica_serves_the_same_certificate_and_writes_nothing() {
    let apiserver = FakeApiServer::new();
    apiserver.seed(&api_service("workflow-system", "adapter"));
    replica(&apiserver, start()).tick().await.expect("the pass should succeed");
    apiserver.forget_requests();
    let second = replica(&apiserver, start());
    second.tick().await.expect("the pass should succeed");
    assert!(second.certificate.is_loaded());
    assert_eq!(apiserver.mutations(), []);
}

#[tokio::test]
async fn replica_that_loses_the_race_serves_what_the_winner_wrote() {
    let (apiserver, winner) = (FakeApiServer::new(), FakeApiServer::new());
    for server in [&apiserver, &winner] {
        server.seed(&api_service("workflow-system", "adapter"));
    }
    replica(&winner, start()).tick().await.expect("the pass should succeed");
    let theirs = secret(&winner);
    apiserver.seed(&theirs);
    // At our first look the other replica has not written yet.
    let looked = AtomicBool::new(false);
    apiserver.intercept(move |request| {
        let first = request.method == "GET"
            && request.path.ends_with(SECRET)
            && !looked.swap(true, Ordering::Relaxed);
        first.then(|| reply::not_found("secrets", SECRET).into())
    });
    replica(&apiserver, start()).tick().await.expect("the pass should succeed");
    assert_eq!(
        ca_bundle(&apiserver),
        theirs.data.and_then(|mut data| data.remove("ca.crt")).map(|bundle| bundle.0)
    );
}

#[tokio::test]
async fn foreign_api_service_is_left_alone_and_the_certificate_is_served_all_the_same() {
    let apiserver = FakeApiServer::new();
    apiserver.seed(&api_service("keda", "keda-operator-metrics-apiserver"));
    let replica = replica(&apiserver, start());
    let error = replica.tick().await.expect_err("a foreign APIService is an error");
    assert_eq!(
        error.to_string(),
        "APIService v1beta1.external.metrics.k8s.io belongs to Service keda/keda-operator-metrics-apiserver: another \
         adapter serves external metrics in this cluster and is left alone; remove that APIService, or use that adapter \
         alone"
    );
    assert!(replica.certificate.is_loaded());
    assert_eq!(ca_bundle(&apiserver), None);
}

#[tokio::test]
async fn missing_api_service_is_told_and_not_created() {
    let apiserver = FakeApiServer::new();
    let error = replica(&apiserver, start()).tick().await.expect_err("a missing APIService is an error");
    assert!(matches!(error, SelfManagedError::NoApiService { .. }), "{error}");
    assert!(apiserver.get::<APIService>("", API_SERVICE).is_none());
}

#[tokio::test]
async fn rotation_trusts_both_authorities_before_it_serves_the_new_one() {
    let apiserver = FakeApiServer::new();
    apiserver.seed(&api_service("workflow-system", "adapter"));
    replica(&apiserver, start()).tick().await.expect("the pass should succeed");
    let first = read_secret(&secret(&apiserver));

    let rotating = start() + SignedDuration::from_hours(61 * 24);
    replica(&apiserver, rotating).tick().await.expect("the pass should succeed");
    let staged = read_secret(&secret(&apiserver));
    assert!(staged.current == first.current && staged.next.is_some());
    assert!(staged.bundle.starts_with(&first.bundle) && staged.bundle.len() > first.bundle.len());
    assert_eq!(ca_bundle(&apiserver), Some(staged.bundle.clone().into_bytes()));

    let later = rotating + SignedDuration::from_secs(301);
    replica(&apiserver, later).tick().await.expect("the pass should succeed");
    let promoted = read_secret(&secret(&apiserver));
    assert!(Some(promoted.current) == staged.next && promoted.next.is_none());
    assert_eq!(promoted.bundle, staged.bundle);
}

#[tokio::test]
async fn only_the_ca_bundle_of_the_api_service_is_written() {
    let apiserver = FakeApiServer::new();
    apiserver.seed(&api_service("workflow-system", "adapter"));
    replica(&apiserver, start()).tick().await.expect("the pass should succeed");
    let mutations = apiserver.mutations();
    let [_, patch] = mutations.as_slice() else {
        panic!("a Secret and an APIService are written: {mutations:?}")
    };
    let sent: Value = patch.body.clone().expect("an apply has a body");
    assert_eq!(
        (
            &sent["metadata"]["name"],
            sent["spec"].as_object().map(|spec| spec.keys().cloned().collect::<Vec<_>>())
        ),
        (&json!(API_SERVICE), Some(vec!["caBundle".to_owned()]))
    );
}

#[tokio::test]
async fn api_service_that_changed_meanwhile_is_looked_at_again() {
    let apiserver = FakeApiServer::new();
    apiserver.seed(&api_service("workflow-system", "adapter"));
    let conflicted = AtomicBool::new(false);
    apiserver.intercept(move |request| {
        let first = request.method == "PATCH" && !conflicted.swap(true, Ordering::Relaxed);
        first.then(|| reply::conflict("apiservices.apiregistration.k8s.io", API_SERVICE).into())
    });
    replica(&apiserver, start()).tick().await.expect("the pass should succeed");
    assert_eq!(ca_bundle(&apiserver), Some(read_secret(&secret(&apiserver)).bundle.into_bytes()));
}

#[tokio::test]
async fn api_service_that_never_stands_still_is_an_error() {
    let apiserver = FakeApiServer::new();
    apiserver.seed(&api_service("workflow-system", "adapter"));
    apiserver.intercept(|request| {
        (request.method == "PATCH")
            .then(|| reply::conflict("apiservices.apiregistration.k8s.io", API_SERVICE).into())
    });
    let error = replica(&apiserver, start()).tick().await.expect_err("nothing was written");
    assert!(matches!(error, SelfManagedError::Contended { .. }), "{error}");
}
