//! Points 8 to 18, 43 and 44: reading a metric.

use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use serde_json::json;

use crate::{
    harness::{Adapter, HPA_ACCEPT, NAMESPACE, RESOURCES, Setup, connect_tls, lag_path, metric_path},
    scripted::{IDLE, now, waiting},
};

const MASTER: [(&str, &str); 2] = [("x-remote-user", "admin"), ("x-remote-group", "system:masters")];

fn seconds(value: &str) -> f64 {
    match value.strip_suffix('m') {
        Some(thousandths) => thousandths.parse::<f64>().expect("a quantity is a number") / 1000.0,
        None => value.parse().expect("a quantity is a number"),
    }
}

#[tokio::test]
async fn conformance_08_autoscaler_gets_one_json_item() {
    let adapter = Adapter::start().await;
    adapter.engines.say("prod", &[(Some("acme"), "charge-payment", waiting(35.0, 7))]);
    let mut autoscaler = adapter.as_autoscaler().await;
    let answer = autoscaler
        .get_until(&lag_path("job_type=charge-payment,tenant=acme"), |a| a.status == StatusCode::OK)
        .await;
    assert_eq!(answer.headers["content-type"], "application/json");
    let lag = seconds(answer.value());
    assert!((35.0..37.0).contains(&lag), "{lag}");
    let mut body = answer.body.clone();
    let item = &mut body["items"][0];
    for of_the_moment in ["value", "timestamp"] {
        item[of_the_moment] = json!("");
    }
    assert_eq!(
        body,
        json!({
            "kind": "ExternalMetricValueList",
            "apiVersion": "external.metrics.k8s.io/v1beta1",
            "metadata": {},
            "items": [{
                "metricName": "wf_job_lag_seconds",
                "metricLabels": {
                    "job_type": "charge-payment", "tenant": "acme", "cluster": "prod", "cluster_namespace": NAMESPACE,
                },
                "timestamp": "",
                "value": "",
            }],
        })
    );
    let backlog = autoscaler.get(&metric_path("wf_job_backlog", "job_type=charge-payment")).await;
    assert_eq!(backlog.value(), "7");
}

#[tokio::test]
async fn conformance_09_json_is_served_and_other_types_are_not() {
    let adapter = Adapter::start().await;
    adapter.await_idle_charge().await;
    let mut connection = adapter.as_front_proxy().await;
    for accept in [
        "application/json",
        "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
        HPA_ACCEPT,
        "*/*",
    ] {
        let answer =
            connection.get(&lag_path("job_type=charge"), &[MASTER[0], MASTER[1], ("accept", accept)]).await;
        assert_eq!(answer.value(), "0", "{accept}");
    }
    for accept in ["application/cbor", "text/html", "application/json;as=Table;v=v1;g=meta.k8s.io"] {
        let answer =
            connection.get(&lag_path("job_type=charge"), &[MASTER[0], MASTER[1], ("accept", accept)]).await;
        answer.assert_status(406, "NotAcceptable");
    }
}

#[tokio::test]
async fn conformance_10_selectors_choose_series_as_label_selectors_do() {
    let adapter = Adapter::start().await;
    adapter.engines.say(
        "prod",
        &[
            (Some("acme"), "charge", waiting(10.0, 1)),
            (Some("acme"), "refund", waiting(20.0, 2)),
            (None, "charge", waiting(40.0, 4)),
        ],
    );
    let mut autoscaler = adapter.as_autoscaler().await;
    autoscaler.get_until(&lag_path(""), |a| a.status == StatusCode::OK).await;
    // The backlog is the sum, so it tells which series were chosen.
    for (selector, chosen) in [
        ("", "7"),
        ("job_type=charge", "5"),
        ("job_type==charge,tenant=acme", "1"),
        ("job_type=charge,!tenant", "4"),
        ("job_type!=charge", "2"),
        ("job_type in (charge,refund)", "7"),
        ("tenant notin (acme)", "4"),
        ("tenant", "3"),
        ("tenant in ()", ""),
        ("cluster=prod,cluster_namespace=acme,job_type=refund", "2"),
        ("cluster=other", ""),
        ("!canary,job_type=charge,tenant in (acme,other)", "1"),
    ] {
        let answer = autoscaler.get(&metric_path("wf_job_backlog", selector)).await;
        if chosen.is_empty() {
            answer.assert_status(404, "NotFound");
        } else {
            assert_eq!(answer.value(), chosen, "{selector}");
        }
    }
}

#[tokio::test]
async fn conformance_11_malformed_selector_is_a_bad_request() {
    let adapter = Adapter::start().await;
    let mut autoscaler = adapter.as_autoscaler().await;
    for selector in ["a===b", ",", "job_type=io.camunda:http-json:1", "a b", "job_type=größe"] {
        let answer = autoscaler.get(&lag_path(selector)).await;
        answer.assert_status(400, "BadRequest");
        let message = answer.body["message"].as_str().unwrap();
        assert!(message.starts_with("unable to parse requirement: "), "{message}");
    }
}

#[tokio::test]
async fn conformance_12_unknown_is_not_found_and_idle_is_zero() {
    let adapter = Adapter::start().await;
    adapter.engines.say("prod", &[(None, "charge", IDLE)]);
    let mut autoscaler = adapter.as_autoscaler().await;
    let idle = autoscaler.get_until(&lag_path("job_type=charge"), |a| a.status == StatusCode::OK).await;
    assert_eq!(idle.value(), "0");
    assert_eq!(autoscaler.get(&metric_path("wf_job_backlog", "job_type=charge")).await.value(), "0");
    autoscaler.get(&lag_path("job_type=unheard-of")).await.assert_status(404, "NotFound");
    let answer = autoscaler.get(&metric_path("queue_length", "job_type=charge")).await;
    answer.assert_status(404, "NotFound");
    assert!(answer.text.contains("queue_length"), "{}", answer.text);
}

#[tokio::test]
async fn conformance_13_several_series_are_one_item_of_the_longest_lag() {
    let adapter = Adapter::start().await;
    adapter.engines.say(
        "prod",
        &[
            (Some("acme"), "charge", waiting(30.0, 3)),
            (Some("acme"), "refund", waiting(31.0, 1)),
            (None, "mail", IDLE),
        ],
    );
    let mut autoscaler = adapter.as_autoscaler().await;
    let answer = autoscaler.get_until(&lag_path(""), |a| a.status == StatusCode::OK).await;
    let lag = seconds(answer.value());
    assert!((31.0..33.0).contains(&lag), "{lag}: the longest, never the sum");
    assert_eq!(
        answer.body["items"][0]["metricLabels"],
        json!({"cluster": "prod", "cluster_namespace": NAMESPACE})
    );
}

#[tokio::test]
async fn conformance_14_only_get_of_a_known_path_and_every_refusal_is_a_status() {
    let adapter = Adapter::start().await;
    adapter.engines.say("prod", &[(None, "charge", IDLE)]);
    let mut connection = adapter.as_front_proxy().await;
    let watch = format!("{}&watch=1", lag_path("job_type=charge"));
    connection.get(&watch, &MASTER).await.assert_status(405, "MethodNotAllowed");
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        let answer = connection.send(method, &lag_path("job_type=charge"), &MASTER).await;
        answer.assert_status(405, "MethodNotAllowed");
    }
    // A HEAD answer has no body to look at.
    assert_eq!(
        connection.send(Method::HEAD, &lag_path(""), &MASTER).await.status,
        StatusCode::METHOD_NOT_ALLOWED
    );
    for path in [
        format!("{RESOURCES}/wf_job_lag_seconds"),
        format!("{RESOURCES}/namespaces/{NAMESPACE}/wf_job_lag_seconds/status"),
        format!("{RESOURCES}/namespaces/{NAMESPACE}"),
        "/apis/custom.metrics.k8s.io/v1beta1".to_owned(),
        "/debug/pprof".to_owned(),
        "/metrics".to_owned(),
        "/".to_owned(),
    ] {
        connection.get(&path, &MASTER).await.assert_status(404, "NotFound");
    }
}

#[tokio::test]
async fn conformance_15_value_is_a_bounded_quantity() {
    let adapter = Adapter::start().await;
    adapter.engines.say(
        "prod",
        &[
            (None, "sub-second", waiting(0.25, 1)),
            // The engine's clock said that the job becomes takeable in the future.
            (None, "skewed", waiting(-3600.0, 1)),
            (None, "ancient", waiting(3600.0 * 24.0 * 365.0, u64::MAX)),
        ],
    );
    let mut autoscaler = adapter.as_autoscaler().await;
    autoscaler.get_until(&lag_path(""), |a| a.status == StatusCode::OK).await;
    let sub_second = autoscaler.get(&lag_path("job_type=sub-second")).await;
    let value = sub_second.value();
    assert!(value.bytes().all(|b| b.is_ascii_digit() || b == b'm'), "{value}");
    assert!((0.25..3.0).contains(&seconds(value)), "{value}");
    let skewed = autoscaler.get(&lag_path("job_type=skewed")).await;
    assert!((0.0..3.0).contains(&seconds(skewed.value())), "{}", skewed.value());
    assert_eq!(autoscaler.get(&lag_path("job_type=ancient")).await.value(), "2592000");
    assert_eq!(
        autoscaler.get(&metric_path("wf_job_backlog", "job_type=ancient")).await.value(),
        "2147483647"
    );
}

#[tokio::test]
async fn conformance_16_timestamp_is_when_the_engine_looked() {
    let adapter = Adapter::start().await;
    let before = now().as_second();
    adapter.engines.say("prod", &[(None, "charge", IDLE)]);
    let mut autoscaler = adapter.as_autoscaler().await;
    let answer = autoscaler.get_until(&lag_path("job_type=charge"), |a| a.status == StatusCode::OK).await;
    let after = now().as_second();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let later = autoscaler.get(&lag_path("job_type=charge")).await;
    let timestamp = answer.body["items"][0]["timestamp"].as_str().unwrap();
    assert_eq!(timestamp.len(), "2026-01-01T00:00:00Z".len(), "{timestamp}");
    let sampled: jiff::Timestamp = timestamp.parse().unwrap();
    assert!((before..=after).contains(&sampled.as_second()), "{timestamp}");
    assert_eq!(later.body["items"][0]["timestamp"], timestamp, "no new sample, no new time");
}

#[tokio::test]
async fn conformance_17_old_sample_is_unavailable_without_retry_after() {
    let adapter =
        Adapter::start_with(Setup { max_age: Duration::from_millis(1_500), ..Setup::default() }).await;
    adapter.engines.say("prod", &[(None, "charge", waiting(5.0, 1))]);
    let mut autoscaler = adapter.as_autoscaler().await;
    autoscaler.get_until(&lag_path("job_type=charge"), |a| a.status == StatusCode::OK).await;
    let stale = autoscaler.get_until(&lag_path("job_type=charge"), |a| a.status != StatusCode::OK).await;
    stale.assert_status(503, "ServiceUnavailable");
    assert!(stale.text.contains("WorkflowCluster acme/prod"), "{}", stale.text);
    // Nobody knows either whether another type exists meanwhile.
    autoscaler.get(&lag_path("job_type=unheard-of")).await.assert_status(503, "ServiceUnavailable");
}

#[tokio::test]
async fn conformance_18_metric_answers_within_a_second_while_the_engine_is_down() {
    let adapter = Adapter::start().await;
    adapter.engines.go_down();
    let mut autoscaler = adapter.as_autoscaler().await;
    let began = Instant::now();
    autoscaler.get(&lag_path("job_type=charge")).await.assert_status(503, "ServiceUnavailable");
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test]
async fn conformance_18_engine_that_is_down_does_not_hide_another() {
    let adapter = Adapter::start_with(Setup { clusters: vec!["down", "prod"], ..Setup::default() }).await;
    adapter.engines.say("prod", &[(None, "charge", IDLE)]);
    let mut autoscaler = adapter.as_autoscaler().await;
    let answer = autoscaler.get_until(&lag_path("job_type=charge"), |a| a.status == StatusCode::OK).await;
    assert_eq!(answer.value(), "0");
    autoscaler.get(&lag_path("job_type=charge,cluster=down")).await.assert_status(503, "ServiceUnavailable");
    autoscaler.get(&lag_path("job_type=unheard-of,cluster=prod")).await.assert_status(404, "NotFound");
}

#[tokio::test]
async fn conformance_19_value_is_right_within_five_seconds_of_the_engine_being_back() {
    let adapter =
        Adapter::start_with(Setup { max_age: Duration::from_millis(1_500), ..Setup::default() }).await;
    adapter.engines.say("prod", &[(None, "charge", waiting(5.0, 1))]);
    let mut autoscaler = adapter.as_autoscaler().await;
    autoscaler.get_until(&lag_path("job_type=charge"), |a| a.status == StatusCode::OK).await;
    adapter.engines.go_down();
    // Long enough for the backoff to reach its cap.
    tokio::time::sleep(Duration::from_secs(6)).await;
    autoscaler.get(&lag_path("job_type=charge")).await.assert_status(503, "ServiceUnavailable");
    adapter.engines.say("prod", &[(None, "charge", waiting(50.0, 9))]);
    adapter.engines.come_back();
    let back = Instant::now();
    let answer = autoscaler.get_until(&lag_path("job_type=charge"), |a| a.status == StatusCode::OK).await;
    assert!(back.elapsed() < Duration::from_secs(5), "{:?}", back.elapsed());
    assert!((50.0..52.0).contains(&seconds(answer.value())), "{}", answer.value());
}

#[tokio::test]
async fn conformance_43_job_type_with_a_colon_is_read_by_its_encoding() {
    let adapter = Adapter::start().await;
    adapter.engines.say("prod", &[(None, "io.camunda:http-json:1", waiting(0.0, 6))]);
    let mut autoscaler = adapter.as_autoscaler().await;
    let encoded = api_types::job_type::encode("io.camunda:http-json:1").unwrap();
    let path = metric_path("wf_job_backlog", &format!("job_type={encoded}"));
    let answer = autoscaler.get_until(&path, |a| a.status == StatusCode::OK).await;
    assert_eq!(answer.value(), "6");
}

#[tokio::test]
async fn conformance_44_clients_that_never_finish_are_let_go_and_hold_up_nobody() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let adapter = Adapter::start().await;
    adapter.engines.say("prod", &[(None, "charge", IDLE)]);
    let mut other = adapter.as_autoscaler().await;
    other.get_until(&lag_path("job_type=charge"), |a| a.status == StatusCode::OK).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(tokio::net::TcpStream::connect(adapter.address).await.unwrap());
    }
    let mut slow = connect_tls(adapter.address, &adapter.serving_ca, None, b"http/1.1").await;
    slow.write_all(b"GET /readyz HTTP/1.1\r\nhost: a\r\nx-slow: ").await.unwrap();
    assert_eq!(other.get(&lag_path("job_type=charge")).await.value(), "0");
    let mut rest = Vec::new();
    let ends = async {
        let _ = slow.read_to_end(&mut rest).await;
        for stream in &mut silent {
            let _ = stream.read_to_end(&mut rest).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(15), ends).await.expect("they should be let go");
    assert_eq!(other.get(&lag_path("job_type=charge")).await.value(), "0");
}

#[tokio::test]
async fn conformance_44_thousands_of_requests_at_once_are_served_by_and_by() {
    let adapter = Adapter::start().await;
    adapter.await_idle_charge().await;
    let connection = adapter.as_front_proxy().await;
    let path = lag_path("job_type=charge");
    let reads = (0..2_000).map(|_| {
        let (mut connection, path) = (connection.another(), &path);
        async move { connection.get(path, &MASTER).await.status }
    });
    let statuses = futures::future::join_all(reads).await;
    assert!(statuses.iter().all(|status| *status == StatusCode::OK));
}

#[tokio::test]
async fn conformance_44_huge_headers_and_selectors_end_with_their_own_connection() {
    let adapter = Adapter::start().await;
    adapter.engines.say("prod", &[(None, "charge", IDLE)]);
    let mut other = adapter.as_autoscaler().await;
    other.get_until(&lag_path("job_type=charge"), |a| a.status == StatusCode::OK).await;
    let huge = "a".repeat(1024 * 1024);
    let mut connection = adapter.as_front_proxy().await;
    let refused =
        connection.try_send(Method::GET, RESOURCES, &[("x-remote-user", "admin"), ("x-huge", &huge)]).await;
    assert!(refused.is_err() || refused.is_ok_and(|a| a.status.is_client_error()));
    let mut connection = adapter.as_front_proxy().await;
    // The longest URI that a client can build.
    let selector = format!("job_type={}", &huge[..60_000]);
    let refused = connection.try_send(Method::GET, &lag_path(&selector), &MASTER).await;
    assert!(refused.is_err() || refused.is_ok_and(|a| a.status.is_client_error()));
    assert_eq!(other.get(&lag_path("job_type=charge")).await.value(), "0");
}
