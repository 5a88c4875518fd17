//! A server as in production, with scripted engines, a scripted Kubernetes API, and a client that can be anybody.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use api_types::WorkflowCluster;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use job_lag_metrics_adapter::{
    auth::{AuthConfig, Authenticator, access::AccessReviews, tokens::TokenReviews},
    certs::{self, ServingCertificate},
    discovery::Discovery,
    external_metrics::ExternalMetrics,
    probes::Probes,
    sampler::Sampler,
    server::{
        self, Ending,
        answer::{MetricsApi, RequestMetrics},
    },
    store::{ClusterKey, Store},
    visibility::{Scope, View, Visibility},
};
use kube::runtime::{reflector, watcher::Event};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::sync::CancellationToken;

use crate::scripted::IDLE;
use crate::{
    pki::{Authority, Identity},
    scripted::{ScriptedEngines, ScriptedKubernetes},
};

pub(crate) const SERVER_NAME: &str = "job-lag-metrics-adapter.workflow-system.svc";
pub(crate) const RESOURCES: &str = "/apis/external.metrics.k8s.io/v1beta1";
pub(crate) const NAMESPACE: &str = "acme";
pub(crate) const FRONT_PROXY: &str = "front-proxy-client";
/// As the autoscaler sends it.
pub(crate) const HPA_ACCEPT: &str = "application/vnd.kubernetes.protobuf, */*";

pub(crate) fn lag_path(selector: &str) -> String {
    metric_path("wf_job_lag_seconds", selector)
}

pub(crate) fn metric_path(metric: &str, selector: &str) -> String {
    let selector: String = url::form_urlencoded::byte_serialize(selector.as_bytes()).collect();
    format!("{RESOURCES}/namespaces/{NAMESPACE}/{metric}?labelSelector={selector}")
}

/// What can differ between tests.
pub(crate) struct Setup {
    pub(crate) max_age: Duration,
    pub(crate) ending: Ending,
    pub(crate) clusters: Vec<&'static str>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            max_age: Duration::from_mins(1),
            ending: Ending { keep_accepting: Duration::ZERO, drain: Duration::from_secs(5) },
            clusters: vec!["prod"],
        }
    }
}

pub(crate) struct Adapter {
    pub(crate) address: SocketAddr,
    pub(crate) front_proxy_ca: Authority,
    pub(crate) client_ca: Authority,
    pub(crate) serving_ca: Authority,
    pub(crate) certificate: Arc<ServingCertificate>,
    pub(crate) auth: watch::Sender<Option<Arc<AuthConfig>>>,
    pub(crate) kubernetes: Arc<ScriptedKubernetes>,
    pub(crate) engines: Arc<ScriptedEngines>,
    pub(crate) stop: CancellationToken,
    pub(crate) served: JoinHandle<()>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Adapter {
    fn drop(&mut self) {
        self.served.abort();
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Adapter {
    pub(crate) async fn start() -> Self {
        Self::start_with(Setup::default()).await
    }

    pub(crate) async fn start_with(setup: Setup) -> Self {
        let (front_proxy_ca, client_ca) = (Authority::new("front-proxy"), Authority::new("client"));
        let serving_ca = Authority::new("serving");
        let (auth, current_auth) = watch::channel(None);
        let certificate = Arc::new(ServingCertificate::default());
        let kubernetes = Arc::new(ScriptedKubernetes::default());
        let client = kubernetes.clone().client();
        let engines = Arc::new(ScriptedEngines::default());
        let store = Arc::new(Store::default());
        let stop = CancellationToken::new();
        let probes =
            Probes::new(certificate.clone(), current_auth.clone(), watch::channel(None).1, stop.clone());
        let access = Arc::new(AccessReviews::new(client.clone()));
        let sampler = Sampler {
            clusters: clusters(&setup.clusters),
            source: engines.clone(),
            store: store.clone(),
            clock: controller_kit::clock::Clock::system(),
            probes: probes.clone(),
            broken: prometheus_client::metrics::counter::Counter::default(),
        };
        let api = MetricsApi {
            authenticator: Authenticator::new(current_auth, TokenReviews::new(client)),
            access: access.clone(),
            discovery: Discovery::new(),
            external_metrics: ExternalMetrics {
                store,
                visibility: OwnClusters(setup.clusters.clone()),
                max_age: setup.max_age,
            },
            probes,
            requests: RequestMetrics::register(&mut prometheus_client::registry::Registry::default()),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback should be there");
        let address = listener.local_addr().expect("a bound listener should have an address");
        let tls = certs::server_config(certificate.clone()).expect("TLS should be configurable");
        let served = tokio::spawn(server::serve(
            listener,
            TlsAcceptor::from(Arc::new(tls)),
            Arc::new(api),
            stop.clone(),
            setup.ending,
        ));
        let tasks = vec![tokio::spawn(sampler.sample()), tokio::spawn(async move { access.renew().await })];
        let adapter = Self {
            address,
            front_proxy_ca,
            client_ca,
            serving_ca,
            certificate,
            auth,
            kubernetes,
            engines,
            stop,
            served,
            tasks,
        };
        adapter.serve_certificate(&adapter.serving_ca.server(SERVER_NAME));
        adapter.trust(&adapter.front_proxy_ca, &[FRONT_PROXY]);
        adapter
    }

    /// Sets what the ConfigMap of kube-apiserver says.
    pub(crate) fn trust(&self, front_proxy_ca: &Authority, allowed_names: &[&str]) {
        let data = BTreeMap::from([
            ("client-ca-file", self.client_ca.pem()),
            ("requestheader-client-ca-file", front_proxy_ca.pem()),
            ("requestheader-allowed-names", json!(allowed_names).to_string()),
            ("requestheader-username-headers", json!(["X-Remote-User"]).to_string()),
            ("requestheader-uid-headers", json!(["X-Remote-Uid"]).to_string()),
            ("requestheader-group-headers", json!(["X-Remote-Group"]).to_string()),
            ("requestheader-extra-headers-prefix", json!(["X-Remote-Extra-"]).to_string()),
        ]);
        let data = data.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        self.auth.send_replace(Some(Arc::new(
            AuthConfig::parse(&data).expect("the configuration should be good"),
        )));
    }

    pub(crate) fn serve_certificate(&self, identity: &Identity) {
        let key = certs::certified_key(identity.chain_pem.as_bytes(), identity.key_pem.as_bytes());
        self.certificate.set(key.expect("the certificate should be good"));
    }

    pub(crate) async fn connect(&self, identity: Option<&Identity>) -> Connection {
        Connection::open(self.address, &self.serving_ca, identity).await
    }

    /// Connected as kube-apiserver.
    pub(crate) async fn as_front_proxy(&self) -> Connection {
        self.connect(Some(&self.front_proxy_ca.client(FRONT_PROXY, &[]))).await
    }

    /// Reads as kube-apiserver does for the autoscaler.
    pub(crate) async fn as_autoscaler(&self) -> Autoscaler {
        self.kubernetes.allow("system:serviceaccount:kube-system:horizontal-pod-autoscaler");
        Autoscaler(self.as_front_proxy().await)
    }

    /// Has engine `prod` tell an idle job type `charge`, and waits until it is served.
    pub(crate) async fn await_idle_charge(&self) {
        self.engines.say("prod", &[(None, "charge", IDLE)]);
        let mut autoscaler = self.as_autoscaler().await;
        autoscaler.get_until(&lag_path("job_type=charge"), |a| a.status == StatusCode::OK).await;
    }
}

pub(crate) struct Autoscaler(Connection);

impl Autoscaler {
    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.0
            .get(
                path,
                &[
                    ("accept", HPA_ACCEPT),
                    ("x-remote-user", "system:serviceaccount:kube-system:horizontal-pod-autoscaler"),
                    ("x-remote-group", "system:serviceaccounts"),
                    ("x-remote-group", "system:serviceaccounts:kube-system"),
                    ("x-remote-group", "system:authenticated"),
                    ("x-remote-uid", "0c1d"),
                    ("x-remote-extra-authentication.kubernetes.io%2fcredential-id", "JTI=1"),
                ],
            )
            .await
    }

    /// Reads until the answer is as expected; a sample takes a moment to arrive.
    pub(crate) async fn get_until(&mut self, path: &str, good: impl Fn(&Answer) -> bool) -> Answer {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        loop {
            let answer = self.get(path).await;
            if good(&answer) {
                return answer;
            }
            assert!(tokio::time::Instant::now() < deadline, "still {answer:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// One HTTP/2 connection.
pub(crate) struct Connection {
    sender: hyper::client::conn::http2::SendRequest<Empty<Bytes>>,
    pub(crate) driver: JoinHandle<()>,
    pub(crate) server_chain: Vec<rustls::pki_types::CertificateDer<'static>>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
    pub(crate) text: String,
}

impl Connection {
    pub(crate) async fn open(
        address: SocketAddr,
        serving_ca: &Authority,
        identity: Option<&Identity>,
    ) -> Self {
        let stream = connect_tls(address, serving_ca, identity, b"h2").await;
        let server_chain =
            stream.get_ref().1.peer_certificates().expect("a server shows a certificate").to_vec();
        let server_chain =
            server_chain.into_iter().map(rustls::pki_types::CertificateDer::into_owned).collect();
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .expect("HTTP/2 should be spoken");
        let driver = tokio::spawn(async move {
            let _ = connection.await;
        });
        Self { sender, driver, server_chain }
    }

    /// A second hand on the same connection.
    pub(crate) fn another(&self) -> Self {
        let driver = tokio::spawn(async {});
        Self { sender: self.sender.clone(), driver, server_chain: self.server_chain.clone() }
    }

    pub(crate) async fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(Method::GET, path, headers).await
    }

    pub(crate) async fn send(&mut self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.try_send(method, path, headers).await.expect("the server should answer")
    }

    pub(crate) async fn try_send(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Answer, hyper::Error> {
        let mut request = Request::builder().method(method).uri(format!("https://{SERVER_NAME}{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Empty::new()).expect("the request should be well-formed");
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(body.collect().await?.to_bytes().to_vec()).expect("answers are text");
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Answer { status: parts.status, headers: parts.headers, body, text })
    }
}

impl Answer {
    /// The one value of a metric answer.
    pub(crate) fn value(&self) -> &str {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        assert_eq!(self.body["items"].as_array().map(Vec::len), Some(1), "{}", self.text);
        self.body["items"][0]["value"].as_str().expect("a value is a string")
    }

    /// The answer must be a `metav1.Status` with this code and reason.
    #[track_caller]
    pub(crate) fn assert_status(&self, code: u16, reason: &str) {
        assert_eq!(self.status.as_u16(), code, "{}", self.text);
        assert_eq!(
            json!([
                self.body["kind"],
                self.body["apiVersion"],
                self.body["status"],
                self.body["reason"],
                self.body["code"]
            ]),
            json!(["Status", "v1", "Failure", reason, code]),
            "{}",
            self.text
        );
        assert_eq!(self.headers.get("retry-after"), None, "an autoscaler would repeat the request");
    }
}

pub(crate) async fn connect_tls(
    address: SocketAddr,
    serving_ca: &Authority,
    identity: Option<&Identity>,
    protocol: &[u8],
) -> tokio_rustls::client::TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(serving_ca.der()).expect("the authority should be good");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("protocol versions should be supported")
        .with_root_certificates(roots);
    let mut config = match identity {
        Some(identity) => config
            .with_client_auth_cert(identity.chain(), identity.key())
            .expect("the client certificate should be good"),
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(address).await.expect("the server should accept");
    let name = ServerName::try_from(SERVER_NAME).expect("the name should be a DNS name");
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("the handshake should succeed")
}

/// [`NAMESPACE`] holds the clusters, nobody else sees anything.
struct OwnClusters(Vec<&'static str>);

impl Visibility for OwnClusters {
    fn view(&self, namespace: &str) -> Option<View> {
        let own = self.0.iter().filter(|_| namespace == NAMESPACE);
        Some(own.map(|name| (key(name), Scope::All)).collect())
    }
}

fn key(name: &str) -> ClusterKey {
    ClusterKey { namespace: NAMESPACE.to_owned(), name: name.to_owned() }
}

fn clusters(names: &[&str]) -> reflector::Store<WorkflowCluster> {
    let (store, mut writer) = reflector::store();
    writer.apply_watcher_event(&Event::Init);
    for name in names {
        let cluster = serde_json::from_value(json!({
            "apiVersion": "workflow.example.com/v1alpha1",
            "kind": "WorkflowCluster",
            "metadata": {"namespace": NAMESPACE, "name": name, "uid": format!("uid-{name}")},
            "spec": {
                "version": "1.2.3",
                "replicas": 1,
                "postgres": {"externalRef": {"host": "postgres", "databaseSecret": "postgres"}},
            },
        }));
        writer.apply_watcher_event(&Event::InitApply(cluster.expect("the cluster should decode")));
    }
    writer.apply_watcher_event(&Event::InitDone);
    store
}
