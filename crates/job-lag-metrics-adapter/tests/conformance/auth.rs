//! Points 20 to 34: who is asking, and what they may read.

use std::{sync::atomic::Ordering, time::Duration};

use http::StatusCode;
use serde_json::json;

use crate::{
    harness::{Adapter, FRONT_PROXY, RESOURCES, lag_path},
    pki::Authority,
    scripted::IDLE,
};

const MASTER: [(&str, &str); 2] = [("x-remote-user", "admin"), ("x-remote-group", "system:masters")];

/// An adapter with a value to read.
async fn adapter() -> Adapter {
    let adapter = Adapter::start().await;
    adapter.engines.say("prod", &[(None, "charge", IDLE)]);
    adapter.as_autoscaler().await.get_until(&path(), |answer| answer.status == StatusCode::OK).await;
    adapter.kubernetes.access_reviews.lock().unwrap().clear();
    adapter
}

fn path() -> String {
    lag_path("job_type=charge")
}

#[tokio::test]
async fn conformance_20_headers_without_a_certificate_are_anonymous() {
    let adapter = adapter().await;
    let mut connection = adapter.connect(None).await;
    connection.get(&path(), &MASTER).await.assert_status(403, "Forbidden");
    connection.get(RESOURCES, &MASTER).await.assert_status(403, "Forbidden");
    assert_eq!(*adapter.kubernetes.access_reviews.lock().unwrap(), Vec::<serde_json::Value>::new());
}

#[tokio::test]
async fn conformance_21_certificate_of_a_rogue_authority_is_unauthorized() {
    let adapter = adapter().await;
    let rogue = Authority::new("front-proxy");
    let mut connection = adapter.connect(Some(&rogue.client(FRONT_PROXY, &["system:masters"]))).await;
    connection.get(&path(), &MASTER).await.assert_status(401, "Unauthorized");
}

#[tokio::test]
async fn conformance_22_front_proxy_of_a_name_that_is_not_allowed_is_unauthorized() {
    let adapter = adapter().await;
    let mut connection = adapter.connect(Some(&adapter.front_proxy_ca.client("other", &[]))).await;
    connection.get(&path(), &MASTER).await.assert_status(401, "Unauthorized");
}

#[tokio::test]
async fn conformance_23_front_proxy_that_names_no_user_is_unauthorized() {
    let adapter = adapter().await;
    let mut connection = adapter.as_front_proxy().await;
    connection.get(&path(), &[]).await.assert_status(401, "Unauthorized");
    let only_groups = [("x-remote-group", "system:masters")];
    connection.get(&path(), &only_groups).await.assert_status(401, "Unauthorized");
    let blank = [("x-remote-user", " "), ("x-remote-group", "system:masters")];
    connection.get(&path(), &blank).await.assert_status(401, "Unauthorized");
}

#[tokio::test]
async fn conformance_24_ordinary_client_is_itself_whatever_its_headers_say() {
    let adapter = adapter().await;
    let mut connection = adapter.connect(Some(&adapter.client_ca.client("mallory", &["devs"]))).await;
    connection.get(&path(), &MASTER).await.assert_status(403, "Forbidden");
    let reviews = adapter.kubernetes.access_reviews.lock().unwrap().clone();
    assert_eq!(reviews.len(), 1);
    assert_eq!(reviews[0]["user"], "mallory");
    assert_eq!(reviews[0]["groups"], json!(["devs", "system:authenticated"]));
}

#[tokio::test]
async fn conformance_25_client_certificate_of_an_administrator_reads() {
    let adapter = adapter().await;
    let mut connection = adapter.connect(Some(&adapter.client_ca.client("admin", &["system:masters"]))).await;
    assert_eq!(connection.get(&path(), &[]).await.value(), "0");
    assert_eq!(adapter.kubernetes.access_reviews.lock().unwrap().len(), 0, "masters are never reviewed");
}

#[tokio::test]
async fn conformance_26_good_token_reads_when_rbac_says_so() {
    let adapter = adapter().await;
    adapter.kubernetes.know_token("good-and-bound", "system:serviceaccount:acme:reader");
    adapter.kubernetes.know_token("good", "system:serviceaccount:acme:nobody");
    adapter.kubernetes.allow("system:serviceaccount:acme:reader");
    let mut connection = adapter.connect(None).await;
    for _ in 0..3 {
        let answer = connection.get(&path(), &[("authorization", "Bearer good-and-bound")]).await;
        assert_eq!(answer.value(), "0");
    }
    assert_eq!(adapter.kubernetes.token_reviews.load(Ordering::Relaxed), 1, "a verdict is kept for a while");
    connection.get(&path(), &[("authorization", "Bearer good")]).await.assert_status(403, "Forbidden");
}

#[tokio::test]
async fn conformance_27_bad_token_is_unauthorized() {
    let adapter = adapter().await;
    let mut connection = adapter.connect(None).await;
    let bad = [("authorization", "Bearer bad"), MASTER[0], MASTER[1]];
    connection.get(&path(), &bad).await.assert_status(401, "Unauthorized");
    adapter.kubernetes.unreachable.store(true, Ordering::Relaxed);
    connection.get(&path(), &[("authorization", "Bearer unjudged")]).await.assert_status(401, "Unauthorized");
}

#[tokio::test]
async fn conformance_27_flood_of_unknown_tokens_reaches_kubernetes_as_a_trickle() {
    let adapter = adapter().await;
    adapter.kubernetes.know_token("good", "system:serviceaccount:acme:reader");
    adapter.kubernetes.allow("system:serviceaccount:acme:reader");
    let mut known = adapter.connect(None).await;
    let good = [("authorization", "Bearer good")];
    assert_eq!(known.get(&path(), &good).await.value(), "0");
    let mut autoscaler = adapter.as_autoscaler().await;
    autoscaler.get(&path()).await.value();

    adapter.kubernetes.token_reviews.store(0, Ordering::Relaxed);
    let mut stranger = adapter.connect(None).await;
    let mut refusals = std::collections::BTreeMap::new();
    for n in 0..1_200 {
        let token = format!("Bearer unknown-{n}");
        let answer = stranger.get(&path(), &[("authorization", &token)]).await;
        let code = answer.status.as_u16();
        answer.assert_status(code, if code == 429 { "TooManyRequests" } else { "Unauthorized" });
        *refusals.entry(code).or_insert(0) += 1;
    }
    let reviews = adapter.kubernetes.token_reviews.load(Ordering::Relaxed);
    assert!(reviews < 100, "{reviews} reviews");
    assert_eq!(refusals.keys().copied().collect::<Vec<_>>(), [401, 429], "{refusals:?}");

    // Who was known before is not asked about anew, and kube-apiserver never was.
    assert_eq!(known.get(&path(), &good).await.value(), "0");
    autoscaler.get(&path()).await.value();
    assert_eq!(adapter.kubernetes.token_reviews.load(Ordering::Relaxed), reviews);
}

#[tokio::test]
async fn conformance_28_anonymous_reads_nothing() {
    let adapter = adapter().await;
    let mut connection = adapter.connect(None).await;
    for path in ["/apis", "/apis/external.metrics.k8s.io", RESOURCES, "/metrics", &path()] {
        connection.get(path, &[]).await.assert_status(403, "Forbidden");
    }
}

#[tokio::test]
async fn conformance_29_identity_headers_are_read_whole() {
    let adapter = adapter().await;
    let mut connection = adapter.as_front_proxy().await;
    let headers = [
        ("X-Remote-User", "jane"),
        ("X-REMOTE-GROUP", "a"),
        ("x-remote-group", "b"),
        ("x-remote-uid", "42"),
        ("X-Remote-Extra-Authentication.kubernetes.io%2Fcredential-Id", "JTI=1"),
        ("x-remote-extra-scopes", "one"),
        ("x-remote-extra-scopes", "two"),
    ]
    .map(|(name, value)| (name.to_ascii_lowercase(), value));
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    connection.get(&path(), &headers).await.assert_status(403, "Forbidden");
    let reviews = adapter.kubernetes.access_reviews.lock().unwrap().clone();
    assert_eq!(
        reviews,
        [json!({
            "user": "jane",
            "uid": "42",
            "groups": ["a", "b", "system:authenticated"],
            "extra": {"authentication.kubernetes.io/credential-id": ["JTI=1"], "scopes": ["one", "two"]},
            "resourceAttributes": {
                "group": "external.metrics.k8s.io",
                "version": "v1beta1",
                "resource": "wf_job_lag_seconds",
                "namespace": "acme",
                "verb": "list",
            },
        })]
    );
}

#[tokio::test]
async fn conformance_31_a_thousand_selectors_cost_two_access_reviews() {
    let adapter = adapter().await;
    let mut autoscaler = adapter.as_autoscaler().await;
    for n in 0..1_000 {
        let answer = autoscaler.get(&lag_path(&format!("job_type in (charge,other-{n})"))).await;
        assert_eq!(answer.value(), "0");
    }
    let reviews = adapter.kubernetes.access_reviews.lock().unwrap().clone();
    // The autoscaler was reviewed when the adapter started; a renewal may have come since.
    assert!(reviews.len() <= 2, "{}", reviews.len());
    assert!(reviews.iter().all(|review| review["resourceAttributes"]["verb"] == "list"));
    assert!(reviews.iter().all(|review| review["resourceAttributes"].get("labelSelector").is_none()));
}

#[tokio::test]
async fn conformance_32_nobody_but_masters_reads_while_kubernetes_is_unreachable() {
    let adapter = adapter().await;
    adapter.kubernetes.allow("jane");
    adapter.kubernetes.unreachable.store(true, Ordering::Relaxed);
    let mut connection = adapter.as_front_proxy().await;
    let answer = connection.get(&path(), &[("x-remote-user", "jane")]).await;
    answer.assert_status(500, "InternalError");
    assert_eq!(connection.get(&path(), &MASTER).await.value(), "0");
    adapter.kubernetes.unreachable.store(false, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(connection.get(&path(), &[("x-remote-user", "jane")]).await.value(), "0");
}

#[tokio::test]
async fn conformance_33_revoked_access_ends_within_the_lifetime_of_a_decision() {
    let adapter = adapter().await;
    adapter.kubernetes.allow("jane");
    let mut connection = adapter.as_front_proxy().await;
    let jane = [("x-remote-user", "jane")];
    assert_eq!(connection.get(&path(), &jane).await.value(), "0");
    adapter.kubernetes.revoke("jane");
    let revoked = tokio::time::Instant::now();
    while connection.get(&path(), &jane).await.status == StatusCode::OK {
        assert!(revoked.elapsed() < Duration::from_millis(10_500), "still allowed");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    connection.get(&path(), &jane).await.assert_status(403, "Forbidden");
}

#[tokio::test]
async fn conformance_34_open_connection_follows_a_change_of_trust() {
    let adapter = adapter().await;
    let mut connection = adapter.as_front_proxy().await;
    assert_eq!(connection.get(&path(), &MASTER).await.value(), "0");

    adapter.trust(&adapter.front_proxy_ca, &["another-name"]);
    connection.get(&path(), &MASTER).await.assert_status(401, "Unauthorized");
    adapter.trust(&adapter.front_proxy_ca, &[FRONT_PROXY]);
    assert_eq!(connection.get(&path(), &MASTER).await.value(), "0");

    let rotated = Authority::new("front-proxy-2");
    adapter.trust(&rotated, &[FRONT_PROXY]);
    connection.get(&path(), &MASTER).await.assert_status(401, "Unauthorized");
    let mut renewed = adapter.connect(Some(&rotated.client(FRONT_PROXY, &[]))).await;
    assert_eq!(renewed.get(&path(), &MASTER).await.value(), "0");

    adapter.auth.send_replace(None);
    renewed.get(&path(), &MASTER).await.assert_status(401, "Unauthorized");
}
