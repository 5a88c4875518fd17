//! A server as in production, with scripted engines, a scripted Kubernetes API, and a client that can be anybody.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use api_types::WorkflowCluster;
use engine_client::model::{JobLag, JobLagUpdate, JobSeries};
use futures::stream::{self, BoxStream, StreamExt as _};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use jiff::Timestamp;
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
    source::{LagSource, SourceError},
    store::{ClusterKey, Store},
    visibility::{Scope, View, Visibility},
};
use kube::{
    Client,
    client::Body,
    runtime::{reflector, watcher::Event},
};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::sync::CancellationToken;

use crate::pki::{Authority, Identity};

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
        let probes = Probes::new(certificate.clone(), current_auth.clone(), stop.clone());
        let access = Arc::new(AccessReviews::new(client.clone()));
        let sampler = Sampler {
            clusters: clusters(&setup.clusters),
            source: engines.clone(),
            store: store.clone(),
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

/// Answers token reviews and access reviews.
#[derive(Default)]
pub(crate) struct ScriptedKubernetes {
    allowed: Mutex<Vec<String>>,
    tokens: Mutex<BTreeMap<String, Value>>,
    pub(crate) access_reviews: Mutex<Vec<Value>>,
    pub(crate) token_reviews: AtomicUsize,
    pub(crate) unreachable: AtomicBool,
}

impl ScriptedKubernetes {
    pub(crate) fn allow(&self, user: &str) {
        self.allowed.lock().unwrap().push(user.to_owned());
    }

    pub(crate) fn revoke(&self, user: &str) {
        self.allowed.lock().unwrap().retain(|allowed| allowed != user);
    }

    pub(crate) fn know_token(&self, token: &str, user: &str) {
        let user = json!({"username": user, "groups": ["system:serviceaccounts"]});
        self.tokens.lock().unwrap().insert(token.to_owned(), user);
    }

    pub(crate) fn client(self: Arc<Self>) -> Client {
        let service = tower::service_fn(move |request: Request<Body>| {
            let kubernetes = self.clone();
            async move {
                let path = request.uri().path().to_owned();
                let body = request
                    .into_body()
                    .collect()
                    .await
                    .expect("a request body should be readable")
                    .to_bytes();
                if kubernetes.unreachable.load(Ordering::Relaxed) {
                    return Err(std::io::Error::other("connection refused"));
                }
                let review: Value = serde_json::from_slice(&body).expect("a review should be JSON");
                let answer = kubernetes.review(&path, review);
                Ok(http::Response::builder()
                    .status(201)
                    .body(Body::from(answer.to_string().into_bytes()))
                    .expect("the answer should be well-formed"))
            }
        });
        Client::new(service, "default")
    }

    fn review(&self, path: &str, mut review: Value) -> Value {
        if path.ends_with("/tokenreviews") {
            self.token_reviews.fetch_add(1, Ordering::Relaxed);
            let token = review["spec"]["token"].as_str().expect("a token review has a token").to_owned();
            review["status"] = match self.tokens.lock().unwrap().get(&token) {
                Some(user) => json!({"authenticated": true, "user": user}),
                None => json!({"authenticated": false, "error": "invalid bearer token"}),
            };
        } else {
            assert!(path.ends_with("/subjectaccessreviews"), "{path}");
            let user = review["spec"]["user"].as_str().expect("an access review has a user").to_owned();
            let allowed = self.allowed.lock().unwrap().contains(&user);
            self.access_reviews.lock().unwrap().push(review["spec"].clone());
            review["status"] = json!({"allowed": allowed});
        }
        review
    }
}

/// Engines that say what a test wants.
#[derive(Default)]
pub(crate) struct ScriptedEngines {
    streams: Mutex<BTreeMap<String, mpsc::UnboundedSender<JobLagUpdate>>>,
    /// What a stream begins with; without it a stream opens and stays silent.
    snapshots: Mutex<BTreeMap<String, Vec<Series>>>,
    pub(crate) down: AtomicBool,
}

#[derive(Clone, Copy)]
pub(crate) struct Waiting {
    pub(crate) seconds: f64,
    pub(crate) jobs: u64,
}

pub(crate) const IDLE: Waiting = Waiting { seconds: 0.0, jobs: 0 };

pub(crate) fn waiting(seconds: f64, jobs: u64) -> Waiting {
    Waiting { seconds, jobs }
}

pub(crate) type Series = (Option<&'static str>, &'static str, Waiting);

impl ScriptedEngines {
    /// Sets everything that a cluster's engine knows.
    pub(crate) fn say(&self, cluster: &str, series: &[Series]) {
        self.snapshots.lock().unwrap().insert(cluster.to_owned(), series.to_vec());
        if let Some(stream) = self.streams.lock().unwrap().get(cluster) {
            let _ = stream.send(snapshot(series));
        }
    }

    /// The engine goes away; open streams end.
    pub(crate) fn go_down(&self) {
        self.down.store(true, Ordering::Relaxed);
        self.streams.lock().unwrap().clear();
    }

    pub(crate) fn come_back(&self) {
        self.down.store(false, Ordering::Relaxed);
    }
}

#[allow(clippy::disallowed_methods, reason = "an engine has a clock")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

fn snapshot(series: &[Series]) -> JobLagUpdate {
    let measured_at = now();
    let lags = series
        .iter()
        .map(|(tenant, job_type, waiting)| JobLag {
            series: JobSeries {
                tenant_id: tenant.unwrap_or(engine_client::model::DEFAULT_TENANT).to_owned(),
                job_type: (*job_type).to_owned(),
            },
            activatable: waiting.jobs,
            oldest_run_at: (waiting.jobs > 0)
                .then(|| measured_at - jiff::SignedDuration::from_secs_f64(waiting.seconds)),
            activated: 0,
        })
        .collect();
    JobLagUpdate { snapshot: true, lags, removed: Vec::new(), measured_at }
}

impl LagSource for ScriptedEngines {
    fn watch(&self, cluster: Arc<WorkflowCluster>) -> BoxStream<'static, Result<JobLagUpdate, SourceError>> {
        let name = cluster.metadata.name.clone().expect("a cluster has a name");
        let gone = || {
            SourceError::Watch(engine_client::EngineError::new(
                engine_client::Operation::WatchJobLag,
                engine_client::ErrorClass::Unavailable,
                "connection refused",
            ))
        };
        if self.down.load(Ordering::Relaxed) {
            return stream::iter([Err(gone())]).boxed();
        }
        let (sender, receiver) = mpsc::unbounded_channel();
        if let Some(series) = self.snapshots.lock().unwrap().get(&name) {
            let _ = sender.send(snapshot(series));
        }
        self.streams.lock().unwrap().insert(name, sender);
        let updates =
            stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) });
        updates.map(Ok).chain(stream::once(async move { Err(gone()) })).boxed()
    }
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
