//! An aggregated API that the test itself serves, as the adapter's tests do.

use std::convert::Infallible;
use std::sync::Arc;

use base64::Engine as _;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::*;
use crate::certificates::TestCa;

/// TLS that accepts only clients with a certificate of `client_ca`.
fn acceptor(certificate: &TestCertificate, client_ca: &str) -> TlsAcceptor {
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(client_ca.as_bytes()).unwrap()).unwrap();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
    let chain = vec![CertificateDer::from_pem_slice(certificate.certificate_pem.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// Discovery, and `whoami` with the user that the apiserver has authenticated.
fn answer(request: &Request<Incoming>) -> serde_json::Value {
    if request.uri().path().ends_with("/whoami") {
        let user = request.headers().get("x-remote-user").map(|user| user.to_str().unwrap_or_default());
        return json!({"user": user});
    }
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "test-support.example.com/v1", "resources": []})
}

#[tokio::test]
async fn aggregated_api_on_loopback_is_reached_with_the_front_proxy_certificate() {
    let apiserver = crate::require_apiserver!();
    let namespace = apiserver.namespace("aggregated").await;
    let ca = TestCa::new("aggregated");
    let certificate = ca.server(&[&format!("echo.{namespace}.svc")]);
    let acceptor = acceptor(&certificate, &apiserver.front_proxy().ca_pem);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(tls) = acceptor.accept(connection).await else { return };
                let service = hyper::service::service_fn(|request| async move {
                    let mut response = Response::new(answer(&request).to_string());
                    let json = http::HeaderValue::from_static("application/json");
                    response.headers_mut().insert("content-type", json);
                    Ok::<_, Infallible>(response)
                });
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(tls), service)
                    .await;
            });
        }
    });

    apiserver.expose_on_loopback(&namespace, "echo").await;
    let registration: APIService = from_json(json!({
        "metadata": {"name": "v1.test-support.example.com"},
        "spec": {
            "group": "test-support.example.com",
            "version": "v1",
            "groupPriorityMinimum": 1000,
            "versionPriority": 15,
            "service": {"namespace": namespace, "name": "echo", "port": port},
            "caBundle": base64::engine::general_purpose::STANDARD.encode(ca.pem()),
        },
    }));
    let api: Api<APIService> = Api::all(apiserver.client().await);
    api.create(&PostParams::default(), &registration).await.unwrap();
    let available = |api: &APIService| {
        let conditions = api.status.iter().flat_map(|status| status.conditions.iter().flatten());
        conditions.into_iter().any(|condition| condition.type_ == "Available" && condition.status == "True")
    };
    await_condition(&api, "v1.test-support.example.com", Duration::from_secs(30), "is available", available)
        .await;

    let client = apiserver.client_for("jane", &["system:masters"]).await;
    let request = Request::get("/apis/test-support.example.com/v1/whoami").body(Vec::new()).unwrap();
    assert_eq!(client.request::<serde_json::Value>(request).await.unwrap(), json!({"user": "jane"}));
    api.delete("v1.test-support.example.com", &DeleteParams::default()).await.unwrap();
}
