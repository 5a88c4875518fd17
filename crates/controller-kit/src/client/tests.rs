use std::time::Duration;

use std::sync::{Arc, Mutex};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use serde_json::json;
use test_support::certificates::TestCa;
use test_support::require_apiserver;
use tower::ServiceExt as _;

use super::*;
use crate::clock::since_boot;
use crate::watch::LOCAL_CLUSTER;

fn stack(
    fence: Fence,
    answer_after: Duration,
) -> impl Service<Request<Body>, Response = Response<()>, Error = BoxError> {
    let inner = tower::service_fn(move |_: Request<Body>| async move {
        tokio::time::sleep(answer_after).await;
        Ok::<_, BoxError>(Response::new(()))
    });
    CallGate { fence, metrics: Metrics::new(), progress: Progress::of(LOCAL_CLUSTER) }.layer(inner)
}

fn request(method: Method, uri: &str) -> Request<Body> {
    Request::builder().method(method).uri(uri).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn writes_are_refused_when_the_fence_is_closed_and_reads_are_not() {
    let closed = Fence::closed();
    let write = stack(closed.clone(), Duration::ZERO)
        .oneshot(request(Method::PATCH, "/api/v1/namespaces/a/services/b"));
    assert_eq!(
        write.await.unwrap_err().to_string(),
        "refused to write /api/v1/namespaces/a/services/b: this replica no longer holds its lease"
    );
    stack(closed, Duration::ZERO).oneshot(request(Method::GET, "/api/v1/services")).await.unwrap();
}

#[tokio::test]
async fn the_lease_is_writable_behind_a_closed_fence() {
    let path = "/apis/coordination.k8s.io/v1/namespaces/a/leases/b";
    stack(Fence::closed(), Duration::ZERO).oneshot(request(Method::PUT, path)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_call_without_answer_ends_at_the_deadline() {
    let call =
        stack(Fence::open(), Duration::from_hours(1)).oneshot(request(Method::GET, "/api/v1/services"));
    assert_eq!(
        call.await.unwrap_err().to_string(),
        "the Kubernetes API did not answer GET /api/v1/services within 20 s"
    );
}

/// Sends a write that is answered with `status`, or never, and returns the result and the URI as it was sent.
async fn write_with(fence: &Fence, status: Option<u16>, uri: &str) -> (Result<Response<()>, String>, String) {
    let sent = Arc::new(Mutex::new(String::new()));
    let seen = sent.clone();
    let inner = tower::service_fn(move |request: Request<Body>| {
        *seen.lock().unwrap() = request.uri().to_string();
        async move {
            match status {
                Some(status) => Ok::<_, BoxError>(Response::builder().status(status).body(()).unwrap()),
                None => std::future::pending().await,
            }
        }
    });
    let gate =
        CallGate { fence: fence.clone(), metrics: Metrics::new(), progress: Progress::of(LOCAL_CLUSTER) };
    let answer = gate.layer(inner).oneshot(request(Method::PATCH, uri)).await;
    let sent = sent.lock().unwrap().clone();
    (answer.map_err(|error| error.to_string()), sent)
}

#[tokio::test(start_paused = true)]
async fn a_write_ends_with_the_lease_on_both_sides() {
    let fence = Fence::closed();
    fence.extend(since_boot() + Duration::from_secs(3), 1);
    let began = tokio::time::Instant::now();
    let (answer, sent) = write_with(&fence, None, "/api/v1/services?fieldManager=a").await;
    assert!(began.elapsed() <= Duration::from_secs(3), "{:?}", began.elapsed());
    assert!(
        answer
            .unwrap_err()
            .starts_with("the Kubernetes API did not answer PATCH /api/v1/services within 2.9")
    );
    let limit = sent.strip_prefix("/api/v1/services?fieldManager=a&timeout=").unwrap();
    let millis: u64 = limit.strip_suffix("ms").unwrap().parse().unwrap();
    assert!((2_000..=3_000).contains(&millis), "{sent}");
    let (_, sent) = write_with(&fence, Some(200), "/api/v1/services").await;
    assert!(sent.starts_with("/api/v1/services?timeout="), "{sent}");

    let (answer, sent) = write_with(&Fence::open(), None, "/api/v1/services").await;
    assert_eq!(answer.unwrap_err(), "the Kubernetes API did not answer PATCH /api/v1/services within 20 s");
    assert_eq!(sent, "/api/v1/services", "nobody takes over from a service without a lease");
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_outcome_is_not_known_is_remembered() {
    for (status, known) in [(Some(200), true), (Some(409), true), (Some(504), false), (None, false)] {
        let fence = Fence::closed();
        fence.extend(since_boot() + Duration::from_secs(3), 1);
        let _ = write_with(&fence, status, "/api/v1/services").await;
        assert_eq!(fence.has_unanswered_writes(Duration::from_mins(1)), !known, "{status:?}");
    }
}

/// The admission of ConfigMaps hangs for 3 s and is then ignored, so that a write takes effect long after it was sent.
#[tokio::test]
async fn the_api_server_gives_a_write_up_after_the_time_in_its_query() {
    let apiserver = require_apiserver!();
    let (client, namespace) = (apiserver.client().await, apiserver.namespace("slow").await);
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let webhook = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": namespace},
        "webhooks": [{
            "name": "slow.example.com",
            "clientConfig": {
                "url": format!("https://{}/", silent.local_addr().unwrap()),
                "caBundle": k8s_openapi::ByteString(TestCa::new("nobody").pem().into_bytes()),
            },
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "failurePolicy": "Ignore",
            "timeoutSeconds": 3,
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }],
    });
    let webhooks: Api<kube::api::DynamicObject> = Api::all_with(
        client.clone(),
        &kube::api::ApiResource::erase::<
            k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration,
        >(&()),
    );
    webhooks
        .create(&kube::api::PostParams::default(), &serde_json::from_value(webhook).unwrap())
        .await
        .unwrap();

    let create = async |name: &str, query: &str| {
        let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
        let uri = format!("/api/v1/namespaces/{namespace}/configmaps{query}");
        let request = Request::post(uri).header("content-type", "application/json");
        let began = Instant::now();
        let answer = client.request_text(request.body(serde_json::to_vec(&body).unwrap()).unwrap()).await;
        (answer.map_err(|error| error.to_string()), began.elapsed())
    };
    // The API server learns of the configuration by a watch of its own.
    let mut late = Duration::ZERO;
    for attempt in 0..50 {
        let (answer, took) = create(&format!("late-{attempt}"), "").await;
        assert!(answer.is_ok(), "passed over: {answer:?}");
        late = took;
        if late >= Duration::from_secs(3) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(late >= Duration::from_secs(3), "without a limit it takes effect: {late:?}");
    let (limited, took) = create("limited", "?timeout=1000ms").await;
    // The transport may send it again when the API server closes the connection, each time with the same limit.
    assert!(limited.is_err(), "{limited:?} after {took:?}");
    tokio::time::sleep(Duration::from_secs(4)).await;
    let config_maps: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
    assert_eq!(config_maps.get_opt("limited").await.unwrap(), None, "it took effect after its time");
}
