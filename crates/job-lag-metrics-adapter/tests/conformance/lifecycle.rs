//! Points 35, 39 and 40: certificates, probes, the end.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use job_lag_metrics_adapter::{certs::mounted, server::Ending};

use crate::{
    harness::{Adapter, SERVER_NAME, Setup, connect_tls, lag_path},
    pki::{Authority, Identity},
    scripted::IDLE,
};

async fn write_files(directory: &std::path::Path, identity: &Identity) {
    // The key first: for a moment the two do not match, as with any tool that writes two files.
    tokio::fs::write(directory.join("tls.key"), &identity.key_pem).await.unwrap();
    tokio::time::sleep(Duration::from_millis(60)).await;
    tokio::fs::write(directory.join("tls.crt"), &identity.chain_pem).await.unwrap();
}

#[tokio::test]
async fn conformance_35_new_certificate_files_show_in_the_next_handshake() {
    let adapter = Adapter::start().await;
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (adapter.serving_ca.server(SERVER_NAME), adapter.serving_ca.server(SERVER_NAME));
    write_files(directory.path(), &first).await;
    let follow = mounted::follow(
        directory.path().to_owned(),
        Duration::from_millis(20),
        Arc::clone(&adapter.certificate),
    );
    let follow = tokio::spawn(follow);

    let shown = async |identity: &Identity| {
        for _ in 0..200 {
            if adapter.connect(None).await.server_chain == identity.chain() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    };
    assert!(shown(&first).await);
    let mut open = adapter.connect(None).await;
    write_files(directory.path(), &second).await;
    assert!(shown(&second).await);
    assert_eq!(open.get("/livez", &[]).await.status, StatusCode::OK, "an open connection lives on");
    // Files that cannot be loaded change nothing.
    tokio::fs::write(directory.path().join("tls.crt"), "not a certificate").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(shown(&second).await);
    follow.abort();
}

#[tokio::test]
async fn conformance_36_certificate_of_a_new_authority_is_accepted_with_an_overlapping_bundle() {
    let adapter = Adapter::start().await;
    adapter.engines.say("prod", &[(None, "charge", IDLE)]);
    let next = Authority::new("serving-2");
    adapter.serve_certificate(&next.server(SERVER_NAME));
    let stream = connect_tls(adapter.address, &next, None, b"h2").await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
}

#[tokio::test]
async fn conformance_39_health_is_for_everybody_and_nothing_else_is() {
    let adapter = Adapter::start().await;
    let mut connection = adapter.connect(None).await;
    for path in ["/healthz", "/livez", "/readyz", "/readyz?verbose"] {
        let answer = connection.get(path, &[]).await;
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, "ok"), "{path}");
    }
    connection.get("/metrics", &[]).await.assert_status(403, "Forbidden");
    connection.get("/debug/pprof", &[]).await.assert_status(403, "Forbidden");
    adapter.auth.send_replace(None);
    let answer = connection.get("/readyz", &[]).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.text.contains("extension-apiserver-authentication"), "{}", answer.text);
    assert_eq!(connection.get("/livez", &[]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn conformance_39_health_is_served_over_http_1_as_well() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let adapter = Adapter::start().await;
    let mut stream = connect_tls(adapter.address, &adapter.serving_ca, None, b"http/1.1").await;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[tokio::test]
async fn conformance_40_end_is_announced_and_drained() {
    let ending = Ending { keep_accepting: Duration::from_millis(300), drain: Duration::from_secs(5) };
    let mut adapter = Adapter::start_with(Setup { ending, ..Setup::default() }).await;
    adapter.engines.say("prod", &[(None, "charge", IDLE)]);
    let mut autoscaler = adapter.as_autoscaler().await;
    autoscaler.get_until(&lag_path("job_type=charge"), |a| a.status == StatusCode::OK).await;
    let mut open = adapter.connect(None).await;
    open.get("/livez", &[]).await;

    adapter.stop.cancel();
    // Out of the Service's endpoints, but still served: it takes a moment until everybody knows.
    assert_eq!(open.get("/readyz", &[]).await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(autoscaler.get(&lag_path("job_type=charge")).await.value(), "0");
    let mut late = adapter.connect(None).await;
    assert_eq!(late.get("/livez", &[]).await.status, StatusCode::OK);

    // GOAWAY ends the connections from the client's side, without an error and long before the time is over.
    let ended = tokio::time::timeout(Duration::from_secs(3), async {
        open.driver.await.unwrap();
        late.driver.await.unwrap();
    });
    ended.await.expect("connections should be asked to end");
    drop(autoscaler);
    tokio::time::timeout(Duration::from_secs(3), &mut adapter.served)
        .await
        .expect("the server should end")
        .unwrap();
    assert!(tokio::net::TcpStream::connect(adapter.address).await.is_err());
}
