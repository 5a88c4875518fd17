use std::sync::atomic::{AtomicBool, Ordering};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use test_support::{FakeApiServer, reply};

use k8s_openapi::{
    api::rbac::v1::ClusterRole,
    kube_aggregator::pkg::apis::apiregistration::v1::{APIService, APIServiceSpec},
};
use serde_json::json;

use super::*;
use crate::certs::registration::ServiceName;

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

/// One that leaves the APIService to the chart.
fn replica(apiserver: &FakeApiServer, now: Timestamp) -> SelfManaged {
    build_replica(apiserver, now, None)
}

/// One that makes the APIService.
fn claimant(apiserver: &FakeApiServer) -> SelfManaged {
    build_replica(apiserver, start(), Some("adapter".to_owned()))
}

fn build_replica(apiserver: &FakeApiServer, now: Timestamp, owner: Option<String>) -> SelfManaged {
    let service =
        ServiceName { name: "adapter".to_owned(), namespace: "workflow-system".to_owned(), port: 443 };
    let registration = Registration::new(apiserver.client(), service, owner);
    SelfManaged::new(apiserver.client(), registration, Arc::default(), Clock::fixed(now))
}

/// The owner, as the chart makes it; its uid.
fn seed_owner(apiserver: &FakeApiServer) -> String {
    apiserver.seed(&ClusterRole {
        metadata: ObjectMeta { name: Some("adapter".to_owned()), ..ObjectMeta::default() },
        ..ClusterRole::default()
    });
    let found: ClusterRole = apiserver.get("", "adapter").expect("the ClusterRole should be there");
    found.metadata.uid.expect("an object has a uid")
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
async fn missing_api_service_is_reported_and_not_created() {
    let apiserver = FakeApiServer::new();
    let error = replica(&apiserver, start()).tick().await.expect_err("a missing APIService is an error");
    assert!(matches!(error, SelfManagedError::Registration(RegistrationError::Missing { .. })), "{error}");
    assert!(apiserver.get::<APIService>("", API_SERVICE).is_none());
}

#[tokio::test]
async fn missing_api_service_is_made_and_goes_with_its_owner() {
    let apiserver = FakeApiServer::new();
    let uid = seed_owner(&apiserver);
    let replica = claimant(&apiserver);
    replica.tick().await.expect("the pass should succeed");
    let made: APIService = apiserver.get("", API_SERVICE).expect("the APIService should be there");
    let bundle = read_secret(&secret(&apiserver)).bundle;
    let mut expected = api_service("workflow-system", "adapter").spec.expect("a spec");
    expected.ca_bundle = Some(ByteString(bundle.into_bytes()));
    assert_eq!(made.spec, Some(expected));
    let owners = made.metadata.owner_references.expect("owners");
    assert_eq!(
        owners.iter().map(|o| (&*o.kind, &*o.name, &*o.uid)).collect::<Vec<_>>(),
        [("ClusterRole", "adapter", &*uid)]
    );
    apiserver.forget_requests();
    replica.tick().await.expect("the pass should succeed");
    assert_eq!(apiserver.mutations(), [], "settled");
}

#[tokio::test]
async fn of_an_api_service_that_the_chart_made_only_the_ca_bundle_is_written() {
    let apiserver = FakeApiServer::new();
    seed_owner(&apiserver);
    apiserver.seed(&api_service("workflow-system", "adapter"));
    claimant(&apiserver).tick().await.expect("the pass should succeed");
    let found: APIService = apiserver.get("", API_SERVICE).expect("the APIService should be there");
    assert_eq!(found.metadata.owner_references, None);
    assert!(ca_bundle(&apiserver).is_some());
}

#[tokio::test]
async fn api_service_that_was_made_here_stays_whole_when_the_authority_is_rotated() {
    let apiserver = FakeApiServer::new();
    seed_owner(&apiserver);
    claimant(&apiserver).tick().await.expect("the pass should succeed");
    let made: APIService = apiserver.get("", API_SERVICE).expect("the APIService should be there");
    let rotating = start() + SignedDuration::from_hours(61 * 24);
    let later = build_replica(&apiserver, rotating, Some("adapter".to_owned()));
    later.tick().await.expect("the pass should succeed");
    let found: APIService = apiserver.get("", API_SERVICE).expect("the APIService should be there");
    let without_bundle = |api_service: APIService| {
        let spec = api_service.spec.expect("a spec");
        (APIServiceSpec { ca_bundle: None, ..spec }, api_service.metadata.owner_references)
    };
    assert_ne!(found.spec, made.spec);
    assert_eq!(without_bundle(found), without_bundle(made));
}

#[tokio::test]
async fn api_service_that_another_adapter_makes_meanwhile_is_left_to_it() {
    let apiserver = FakeApiServer::new();
    seed_owner(&apiserver);
    let foreign = api_service("keda", "keda-operator-metrics-apiserver");
    let theirs: Api<APIService> = Api::all(apiserver.client());
    theirs.create(&PostParams::default(), &foreign).await.expect("they make it");
    let made = apiserver.get::<APIService>("", API_SERVICE).expect("it is there");
    // At our first look it is not there yet.
    let looked = AtomicBool::new(false);
    apiserver.intercept(move |request| {
        let first = request.method == "GET"
            && request.path.ends_with(API_SERVICE)
            && !looked.swap(true, Ordering::Relaxed);
        first.then(|| reply::not_found("apiservices", API_SERVICE).into())
    });
    let replica = claimant(&apiserver);
    let other_server = replica.registration.other_server();
    let error = replica.tick().await.expect_err("the API is taken");
    assert!(matches!(error, SelfManagedError::Registration(RegistrationError::Foreign { .. })), "{error}");
    assert_eq!(apiserver.get::<APIService>("", API_SERVICE), Some(made));
    assert_eq!(*other_server.borrow(), Some(error.to_string()));
}

#[tokio::test]
async fn api_service_is_taken_over_once_the_other_adapter_is_gone() {
    let apiserver = FakeApiServer::new();
    seed_owner(&apiserver);
    let theirs: Api<APIService> = Api::all(apiserver.client());
    let foreign = api_service("keda", "keda-operator-metrics-apiserver");
    theirs.create(&PostParams::default(), &foreign).await.expect("they make it");
    let replica = claimant(&apiserver);
    let other_server = replica.registration.other_server();
    replica.tick().await.expect_err("the API is taken");
    theirs.delete(API_SERVICE, &kube::api::DeleteParams::default()).await.expect("they go");
    replica.tick().await.expect("the pass should succeed");
    assert!(ca_bundle(&apiserver).is_some());
    assert_eq!(*other_server.borrow(), None);
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
