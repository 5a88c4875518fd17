//! A control plane, a fake engine behind a WorkflowCluster, and the adapter as a process with its own rights.

use std::{
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD as STANDARD};
use engine_client::{
    Accepted, Credential, CredentialVerifier,
    model::{DEFAULT_TENANT, JobLag, JobSeries},
};
use engine_fake::{FakeEngine, FakeServer};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{
    apps::v1::Deployment,
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{Namespace, Secret},
    rbac::v1::RoleBinding,
};
use kube::{
    Api, Client, Config,
    api::DeleteParams,
    config::{KubeConfigOptions, Kubeconfig},
    core::Status,
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::{Value, json};
use test_support::{
    apiserver::{ApiServerOptions, TestApiServer},
    certificates::TestCertificate,
    wait::await_condition,
};

use crate::objects::{
    ACCOUNT, AUTH_READER, ENGINE_HOST, SERVICE, SYSTEM, apply, apply_cluster_wide, apply_engine_ca,
    apply_foreign_api_service, apply_rights, apply_workflow_cluster,
};

pub(crate) const MAX_SAMPLE_AGE: Duration = Duration::from_secs(15);

/// Whole machines, one at a time.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

pub(crate) struct World {
    pub(crate) adapter: AdapterProcess,
    pub(crate) namespace: String,
    engine: FakeEngine,
    secrets: EngineSecrets,
    engine_port: u16,
    server: Option<FakeServer>,
    clock: Clock,
    port: u16,
    /// Shows every refusal; a usual client repeats a request for minutes when it gets 503.
    reader: Client,
    pub(crate) apiserver: TestApiServer,
    _turn: tokio::sync::MutexGuard<'static, ()>,
}

#[derive(Default)]
struct Setup {
    is_taken: bool,
    gates: Vec<String>,
}

/// A Deployment `worker` and its autoscaler, up to ten.
pub(crate) struct Fleet<'a> {
    pub(crate) namespace: &'a str,
    /// Whose lag of `charge`; without one, that of work without a tenant.
    pub(crate) tenant: Option<&'a str>,
    pub(crate) target_seconds: i64,
    /// Where it begins, too.
    pub(crate) minimum: i32,
}

/// Keeps the fake engine's clock going, because a fake's stands still.
struct Clock {
    running: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The secrets of the fake engine.
struct EngineSecrets {
    monitor: Credential,
}

impl EngineSecrets {
    fn generate() -> Self {
        Self { monitor: Credential::generate().unwrap() }
    }

    /// Port 0: any.
    fn start(&self, engine: &FakeEngine, port: u16) -> FakeServer {
        let accepted = Accepted { monitor: vec![self.monitor.clone()], ..Accepted::default() };
        let verifier = CredentialVerifier::new(accepted).unwrap();
        FakeServer::builder(engine).port(port).tls(ENGINE_HOST).verifier(verifier).start().unwrap()
    }
}

impl World {
    /// The adapter knows an idle job type `charge` of WorkflowCluster `prod` in [`World::namespace`].
    pub(crate) async fn start() -> Option<Self> {
        // Setting all this up is a large future; the tests should not carry it.
        Box::pin(Self::set_up(Setup::default())).await
    }

    /// Where another product serves external metrics already.
    pub(crate) async fn start_beside_another_product() -> Option<Self> {
        Box::pin(Self::set_up(Setup { is_taken: true, ..Setup::default() })).await
    }

    /// Where an autoscaler may have a minimum of 0.
    pub(crate) async fn start_with_scale_to_zero() -> Option<Self> {
        let gates = vec!["--feature-gates=HPAScaleToZero=true".to_owned()];
        Box::pin(Self::set_up(Setup { gates, ..Setup::default() })).await
    }

    async fn set_up(setup: Setup) -> Option<Self> {
        let turn = ONE_AT_A_TIME.lock().await;
        // As some distributions have it: who names an owner needs the right to delete what is owned.
        let enforcement = "--enable-admission-plugins=OwnerReferencesPermissionEnforcement".to_owned();
        let options = ApiServerOptions {
            apiserver_flags: [setup.gates.clone(), vec![enforcement]].concat(),
            controller_manager_flags: Some(setup.gates),
        };
        let apiserver = TestApiServer::start(options).await?;
        apiserver.apply_crds(&api_types::crds()).await;
        let client = apiserver.client().await;
        let system = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}});
        apply_cluster_wide::<Namespace>(&client, system).await;
        let namespace = apiserver.namespace("acme").await;
        apply_rights(&client).await;

        let engine = FakeEngine::new();
        engine.set_heartbeat(Duration::from_millis(300));
        let secrets = EngineSecrets::generate();
        let server = secrets.start(&engine, 0);
        apply_workflow_cluster(&client, &namespace, &server, &secrets.monitor).await;
        let clock = Clock::start(&engine);

        let port = free_port();
        apiserver.expose_on_loopback(SYSTEM, SERVICE).await;
        if setup.is_taken {
            apply_foreign_api_service(&client).await;
        }
        let adapter = AdapterProcess::spawn(&apiserver, port, port);
        let kubeconfig = Kubeconfig::read_from(apiserver.kubeconfig()).unwrap();
        let mut config =
            Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        config.default_retry = false;
        let reader = Client::try_from(config).unwrap();
        let world = Self {
            adapter,
            namespace,
            engine,
            secrets,
            engine_port: server.port(),
            server: Some(server),
            clock,
            port,
            reader,
            apiserver,
            _turn: turn,
        };
        world.say_lag("charge", 0, 0);
        Some(world)
    }

    pub(crate) async fn client(&self) -> Client {
        self.apiserver.client().await
    }

    pub(crate) fn kubectl(&self, args: &[&str]) -> String {
        let program = PathBuf::from(std::env::var_os("KUBEBUILDER_ASSETS").unwrap()).join("kubectl");
        let output = std::process::Command::new(program)
            .env("KUBECONFIG", self.apiserver.kubeconfig())
            .env("HOME", std::env::temp_dir())
            .args(args)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Reads `wf_job_lag_seconds` through kube-apiserver, as a cluster administrator.
    pub(crate) async fn read(&self, selector: &str) -> Result<String, Box<Status>> {
        self.read_in(&self.namespace, selector).await
    }

    pub(crate) async fn read_in(&self, namespace: &str, selector: &str) -> Result<String, Box<Status>> {
        let selector: String = url::form_urlencoded::byte_serialize(selector.as_bytes()).collect();
        let path = format!(
            "/apis/external.metrics.k8s.io/v1beta1/namespaces/{namespace}/wf_job_lag_seconds?labelSelector={selector}"
        );
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        match self.reader.request::<Value>(request).await {
            Ok(list) => Ok(list["items"][0]["value"].as_str().unwrap().to_owned()),
            Err(kube::Error::Api(status)) => Err(status),
            Err(error) => panic!("{error}"),
        }
    }

    /// A client of the adapter itself, past kube-apiserver.
    pub(crate) async fn connect_directly(&self, identity: &TestCertificate) -> Client {
        let secrets: Api<Secret> = Api::namespaced(self.client().await, SYSTEM);
        let serving = secrets.get(&format!("{SERVICE}-serving-cert")).await.unwrap();
        let ca = &serving.data.unwrap()["ca.crt"].0;
        let mut config = Config::new(format!("https://127.0.0.1:{}", self.port).parse().unwrap());
        config.root_cert =
            Some(CertificateDer::pem_slice_iter(ca).map(|der| der.unwrap().to_vec()).collect());
        config.tls_server_name = Some(format!("{SERVICE}.{SYSTEM}.svc"));
        config.auth_info.client_certificate_data = Some(STANDARD.encode(&identity.certificate_pem));
        config.auth_info.client_key_data = Some(STANDARD.encode(&identity.key_pem).into());
        Client::try_from(config).unwrap()
    }

    /// The first value that is read.
    pub(crate) async fn await_value(&self, selector: &str) -> String {
        self.read_until(selector, Result::ok).await
    }

    /// The first refusal.
    pub(crate) async fn await_refusal(&self, selector: &str) -> Box<Status> {
        self.read_until(selector, Result::err).await
    }

    async fn read_until<T>(
        &self,
        selector: &str,
        wanted: impl Fn(Result<String, Box<Status>>) -> Option<T>,
    ) -> T {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(45);
        loop {
            let answer = self.read(selector).await;
            let reported = format!("{answer:?}");
            if let Some(found) = wanted(answer) {
                return found;
            }
            assert!(tokio::time::Instant::now() < deadline, "still {reported}\n{}", self.adapter.log());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    pub(crate) fn say_lag(&self, job_type: &str, seconds: i64, jobs: u64) {
        self.say_lag_of(DEFAULT_TENANT, job_type, seconds, jobs);
    }

    pub(crate) fn say_lag_of(&self, tenant: &str, job_type: &str, seconds: i64, jobs: u64) {
        let now = now();
        self.engine.set_now(now);
        self.engine.set_lag(JobLag {
            series: JobSeries { tenant_id: tenant.to_owned(), job_type: job_type.to_owned() },
            activatable: jobs,
            oldest_run_at: (jobs > 0).then(|| now - SignedDuration::from_secs(seconds)),
            activated: 0,
        });
    }

    pub(crate) fn stop_the_engines_clock(&self) {
        self.clock.running.store(false, Ordering::Relaxed);
    }

    pub(crate) fn run_the_engines_clock(&self) {
        self.clock.running.store(true, Ordering::Relaxed);
    }

    pub(crate) fn kill_engine(&mut self) {
        self.server.take().unwrap().stop();
    }

    /// At the same address, with a new certificate authority.
    pub(crate) async fn start_engine(&mut self) {
        let server = self.secrets.start(&self.engine, self.engine_port);
        apply_engine_ca(&self.client().await, &self.namespace, &server).await;
        self.server = Some(server);
    }

    pub(crate) async fn unbind_auth_reader(&self) {
        let bindings: Api<RoleBinding> = Api::namespaced(self.client().await, "kube-system");
        bindings.delete(AUTH_READER, &DeleteParams::default()).await.unwrap();
    }

    /// Of one replica, for work without a tenant.
    pub(crate) async fn put_deployment_and_autoscaler(&self, target_seconds: i64) {
        self.put_fleet(Fleet { namespace: &self.namespace, tenant: None, target_seconds, minimum: 1 }).await;
    }

    pub(crate) async fn put_fleet(&self, fleet: Fleet<'_>) {
        let Fleet { namespace, tenant, target_seconds, minimum } = fleet;
        let of_tenant = match tenant {
            Some(tenant) => json!({"key": "tenant", "operator": "In", "values": [tenant]}),
            None => json!({"key": "tenant", "operator": "DoesNotExist"}),
        };
        let client = self.client().await;
        let labels = json!({"app": "worker"});
        apply::<Deployment>(
            &client,
            namespace,
            json!({
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": "worker"},
                "spec": {
                    "replicas": minimum,
                    "selector": {"matchLabels": labels},
                    "template": {
                        "metadata": {"labels": labels},
                        "spec": {"containers": [{"name": "worker", "image": "worker"}]},
                    },
                },
            }),
        )
        .await;
        let at_once = json!({
            "stabilizationWindowSeconds": 0,
            // In pods: no percentage of none is one.
            "policies": [{"type": "Pods", "value": 10, "periodSeconds": 15}],
        });
        apply::<HorizontalPodAutoscaler>(
            &client,
            namespace,
            json!({
                "apiVersion": "autoscaling/v2",
                "kind": "HorizontalPodAutoscaler",
                "metadata": {"name": "worker"},
                "spec": {
                    "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "worker"},
                    "minReplicas": minimum,
                    "maxReplicas": 10,
                    "behavior": {"scaleUp": at_once, "scaleDown": {
                        "stabilizationWindowSeconds": 0,
                        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
                    }},
                    "metrics": [{
                        "type": "External",
                        "external": {
                            "metric": {
                                "name": "wf_job_lag_seconds",
                                "selector": {
                                    "matchLabels": {"job_type": "charge", "cluster": "prod"},
                                    "matchExpressions": [
                                        {"key": "cluster_namespace", "operator": "In", "values": [self.namespace]},
                                        of_tenant,
                                    ],
                                },
                            },
                            "target": {"type": "AverageValue", "averageValue": target_seconds.to_string()},
                        },
                    }],
                },
            }),
        )
        .await;
        // Its discovery of the group is cached for half a minute; a lag grows meanwhile.
        let autoscalers: Api<HorizontalPodAutoscaler> = Api::namespaced(client, namespace);
        let reads = |autoscaler: &HorizontalPodAutoscaler| {
            let conditions = autoscaler.status.as_ref().and_then(|status| status.conditions.as_ref());
            conditions.is_some_and(|all| all.iter().any(|c| c.type_ == "ScalingActive" && c.status == "True"))
        };
        await_condition(&autoscalers, "worker", Duration::from_secs(90), "reads the metric", reads).await;
    }
}

impl Clock {
    fn start(engine: &FakeEngine) -> Self {
        let running = Arc::new(AtomicBool::new(true));
        let (engine, goes_on) = (engine.clone(), running.clone());
        let task = tokio::spawn(async move {
            loop {
                if goes_on.load(Ordering::Relaxed) {
                    engine.set_now(now());
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        Self { running, task }
    }
}

#[allow(clippy::disallowed_methods, reason = "an engine has a clock")]
fn now() -> Timestamp {
    Timestamp::now()
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// The adapter's binary, with the rights of its own ServiceAccount.
pub(crate) struct AdapterProcess {
    child: tokio::process::Child,
    log: tempfile::NamedTempFile,
    admin: u16,
}

impl AdapterProcess {
    /// `service_port`: where kube-apiserver shall reach the replica that it reaches.
    fn spawn(apiserver: &TestApiServer, port: u16, service_port: u16) -> Self {
        let log = tempfile::NamedTempFile::new().unwrap();
        let admin = free_port();
        let child = tokio::process::Command::new(env!("CARGO_BIN_EXE_job-lag-metrics-adapter"))
            .env_clear()
            .env("KUBECONFIG", apiserver.kubeconfig_for(ACCOUNT, &[]))
            .env("POD_NAMESPACE", SYSTEM)
            .env("SERVICE_NAME", SERVICE)
            .env("SERVICE_PORT", service_port.to_string())
            .env("API_SERVICE_OWNER", SERVICE)
            .env("BIND_ADDRESS", format!("127.0.0.1:{port}"))
            .env("ADMIN_ADDRESS", format!("127.0.0.1:{admin}"))
            .env("MAX_SAMPLE_AGE_SECONDS", MAX_SAMPLE_AGE.as_secs().to_string())
            .stdin(Stdio::null())
            .stdout(log.reopen().unwrap())
            .stderr(log.reopen().unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { child, log, admin }
    }

    /// Another replica.
    pub(crate) fn start(world: &World) -> Self {
        Self::spawn(&world.apiserver, free_port(), world.port)
    }

    pub(crate) async fn wait(&mut self) -> ExitStatus {
        self.child.wait().await.unwrap()
    }

    pub(crate) fn terminate(&self) {
        let id = self.child.id().expect("it should be running").to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    }

    /// What a probe of the kubelet gets; nothing while it does not answer at all.
    pub(crate) async fn readiness(&self) -> Option<String> {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, self.admin)).await.ok()?;
        let request = "GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap()
    }
}
