//! Points 1, 2, 5 to 7 and 30: discovery.

use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::json;

use crate::harness::{Adapter, RESOURCES, Setup};

const V2: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const V2BETA1: &str = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";

/// The aggregator's own user, as its calls carry it.
const AGGREGATOR: (&str, &str) = ("x-remote-user", "system:kube-aggregator");

#[tokio::test]
async fn conformance_01_resources_are_listed_before_an_engine_ever_answered() {
    let adapter = Adapter::start_with(Setup { clusters: Vec::new(), ..Setup::default() }).await;
    let answer = adapter.as_front_proxy().await.get(RESOURCES, &[AGGREGATOR]).await;
    assert_eq!(answer.status, StatusCode::OK);
    let resource = |name| {
        json!({
            "name": name, "singularName": "", "namespaced": true, "kind": "ExternalMetricValueList", "verbs": ["get"],
        })
    };
    assert_eq!(
        answer.body,
        json!({
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": "external.metrics.k8s.io/v1beta1",
            "resources": [resource("wf_job_backlog"), resource("wf_job_lag_seconds")],
        })
    );
}

#[tokio::test]
async fn conformance_02_discovery_is_fast_while_engine_and_kubernetes_hang() {
    let adapter = Adapter::start().await;
    // The scripted engine accepts the stream and says nothing.
    adapter.kubernetes.unreachable.store(true, std::sync::atomic::Ordering::Relaxed);
    let mut connection = adapter.as_front_proxy().await;
    for path in ["/apis", "/apis/external.metrics.k8s.io", RESOURCES] {
        // The best of several: a busy machine is not what is measured.
        let mut fastest = Duration::MAX;
        for _ in 0..5 {
            let began = Instant::now();
            assert_eq!(connection.get(path, &[AGGREGATOR]).await.status, StatusCode::OK, "{path}");
            fastest = fastest.min(began.elapsed());
        }
        assert!(fastest < Duration::from_millis(50), "{path}: {fastest:?}");
    }
}

#[tokio::test]
async fn conformance_05_aggregated_discovery_is_typed_and_revalidated_by_etag() {
    let adapter = Adapter::start().await;
    let mut connection = adapter.as_front_proxy().await;
    for (accept, version) in [(V2, "apidiscovery.k8s.io/v2"), (V2BETA1, "apidiscovery.k8s.io/v2beta1")] {
        let answer = connection.get("/apis", &[AGGREGATOR, ("accept", accept)]).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.headers["content-type"], accept);
        assert_eq!(answer.headers["vary"], "Accept");
        assert_eq!(answer.body["kind"], "APIGroupDiscoveryList");
        assert_eq!(answer.body["apiVersion"], version);
        assert_eq!(answer.body["items"][0]["metadata"]["name"], "external.metrics.k8s.io");
        let resources = &answer.body["items"][0]["versions"][0]["resources"];
        assert_eq!(resources[1]["resource"], "wf_job_lag_seconds");
        assert_eq!(
            resources[1]["responseKind"],
            json!({"group": "external.metrics.k8s.io", "version": "v1beta1", "kind": "ExternalMetricValueList"})
        );

        let etag = answer.headers["etag"].to_str().unwrap();
        let again = connection.get("/apis", &[AGGREGATOR, ("accept", accept), ("if-none-match", etag)]).await;
        assert_eq!((again.status, again.text.as_str()), (StatusCode::NOT_MODIFIED, ""));
        let other =
            connection.get("/apis", &[AGGREGATOR, ("accept", accept), ("if-none-match", "\"0\"")]).await;
        assert_eq!(other.status, StatusCode::OK);
    }
    let future = "application/json;g=apidiscovery.k8s.io;v=v3;as=APIGroupDiscoveryList";
    connection.get("/apis", &[AGGREGATOR, ("accept", future)]).await.assert_status(406, "NotAcceptable");
}

#[tokio::test]
async fn conformance_06_groups_are_served_with_and_without_a_trailing_slash() {
    let adapter = Adapter::start().await;
    let mut connection = adapter.as_front_proxy().await;
    for (path, kind) in [
        ("/apis", "APIGroupList"),
        ("/apis/external.metrics.k8s.io", "APIGroup"),
        ("/apis/external.metrics.k8s.io/v1beta1", "APIResourceList"),
    ] {
        let plain = connection.get(path, &[AGGREGATOR]).await;
        let slashed = connection.get(&format!("{path}/"), &[AGGREGATOR]).await;
        assert_eq!((plain.status, &plain.body["kind"]), (StatusCode::OK, &json!(kind)));
        assert_eq!(plain.body, slashed.body);
    }
}

#[tokio::test]
async fn conformance_07_open_api_is_quietly_not_found() {
    let adapter = Adapter::start().await;
    let mut connection = adapter.as_front_proxy().await;
    for path in ["/openapi/v2", "/openapi/v3"] {
        connection.get(path, &[("x-remote-user", "system:aggregator")]).await.assert_status(404, "NotFound");
    }
}

#[tokio::test]
async fn conformance_30_aggregator_without_groups_passes_discovery() {
    let adapter = Adapter::start().await;
    let mut connection = adapter.as_front_proxy().await;
    assert_eq!(connection.get(RESOURCES, &[AGGREGATOR]).await.status, StatusCode::OK);
}
