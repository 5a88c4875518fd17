//! The memory of the program itself, against a real apiserver and an engine on loopback.
//!
//! For the figures of `docs/benchmarks.md`: `PROCESS_CONTROLLER_BINARY` names a release build, `MEMORY_OBJECTS` how many
//! processes there shall be, `MEMORY_DOCUMENT_KIB` how large each document; `--nocapture` shows the table.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and the table is what it is run for"
)]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use api_types::{WorkflowCluster, WorkflowProcess};
use engine_client::model::DEFAULT_TENANT;
use engine_fake::{FakeEngine, FakeServer};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use test_support::apiserver::ApiServerOptions;
use test_support::wait::eventually;
use test_support::{TestApiServer, builders};

const NAMESPACE: &str = "workflow-system";
const PATIENCE: Duration = Duration::from_mins(10);
/// Measured: 11 to 13, after a start that lists them all at once. A controller that keeps whole objects, or the room of a pass
/// for each, needs 36.
const KIB_PER_OBJECT: f64 = 18.0;

/// In MiB.
#[derive(Clone, Copy)]
struct Memory {
    resident: f64,
    /// Without the pages of the program, which a debug build has more of.
    heap: f64,
}

struct Controller {
    child: Child,
    admin: SocketAddr,
}

impl Controller {
    fn start(kubeconfig: &Path) -> Self {
        let built = || PathBuf::from(env!("CARGO_BIN_EXE_process-controller"));
        let binary = std::env::var_os("PROCESS_CONTROLLER_BINARY").map_or_else(built, PathBuf::from);
        let admin = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = Command::new(binary);
        command.env("KUBECONFIG", kubeconfig).args(["--admin-address", &admin.to_string()]);
        Self { child: command.stdout(Stdio::null()).spawn().unwrap(), admin }
    }

    fn is_ready(&self) -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(self.admin)?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.starts_with("HTTP/1.1 200"))
    }

    /// Once it is ready and nothing happens any more.
    async fn settled(&self, when: &str) -> Memory {
        while !self.is_ready().unwrap_or(false) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        loop {
            let before = self.ticks();
            tokio::time::sleep(Duration::from_secs(3)).await;
            // Hundredths of a second: renewals of the lease.
            if self.ticks() <= before + 3 {
                break;
            }
        }
        let status = self.proc("status");
        let read = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1024.0
        };
        let memory = Memory { resident: read("VmRSS:"), heap: read("RssAnon:") };
        println!("| {when} | {:.1} | {:.1} | {:.1} |", memory.resident, memory.heap, read("VmHWM:"));
        memory
    }

    /// Processor time.
    fn ticks(&self) -> u64 {
        let stat = self.proc("stat");
        let times = stat.rsplit_once(") ").unwrap().1.split(' ').skip(11).take(2);
        times.map(|ticks| ticks.parse::<u64>().unwrap()).sum()
    }

    fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap()
    }

    /// As a rollout does: the lease is released.
    fn terminate(mut self) {
        let reported = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(reported.success() && self.child.wait().unwrap().success());
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn furnish(client: &Client, server: &FakeServer) {
    let mut namespace = Namespace::default();
    namespace.metadata.name = Some(NAMESPACE.into());
    let mut cluster = builders::running_cluster(NAMESPACE, "prod");
    let endpoint = cluster.status.as_mut().unwrap().endpoint.as_mut().unwrap();
    (endpoint.host, endpoint.port) = ("127.0.0.1".into(), server.port().into());
    let (mut ca, credentials) = builders::engine_access(&cluster);
    for value in ca.data.as_mut().unwrap().values_mut() {
        *value = server.address().tls.unwrap().ca_pem;
    }
    let params = PostParams::default();
    Api::<Namespace>::all(client.clone()).create(&params, &namespace).await.unwrap();
    Api::<ConfigMap>::namespaced(client.clone(), NAMESPACE).create(&params, &ca).await.unwrap();
    for secret in &credentials {
        Api::<Secret>::namespaced(client.clone(), NAMESPACE).create(&params, secret).await.unwrap();
    }
    let clusters: Api<WorkflowCluster> = Api::namespaced(client.clone(), NAMESPACE);
    clusters.create(&params, &builders::cluster(NAMESPACE, "prod")).await.unwrap();
    let status = Patch::Merge(json!({"status": cluster.status}));
    clusters.patch_status("prod", &PatchParams::default(), &status).await.unwrap();
}

async fn apply(processes: &Api<WorkflowProcess>, number: usize, document_kib: usize) -> kube::Result<()> {
    let name = format!("process-{number:05}");
    let bpmn = builders::ORDER_BPMN.replace("process id=\"order\"", &format!("process id=\"{name}\""));
    let line = "<!-- what a diagram says of places and sizes -->\n";
    let rest = (document_kib * 1024).saturating_sub(bpmn.len()) / line.len();
    let end = "</bpmn:definitions>";
    let bpmn = bpmn.replace(end, &format!("{}{end}", line.repeat(rest)));
    let process = json!({
        "apiVersion": "workflow.example.com/v1alpha1",
        "kind": "WorkflowProcess",
        "metadata": {"name": name},
        "spec": {"clusterRef": {"name": "prod"}, "source": {"bpmn": bpmn}},
    });
    processes.patch(&name, &PatchParams::apply("user"), &Patch::Apply(&process)).await.map(drop)
}

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_costs_little_more_than_its_document() {
    let Some(apiserver) = TestApiServer::start(ApiServerOptions::default()).await else { return };
    Box::pin(apiserver.apply_crds(&api_types::crds())).await;
    let (client, engine) = (apiserver.client().await, FakeEngine::new());
    let server = FakeServer::builder(&engine).tls("127.0.0.1").start().unwrap();
    furnish(&client, &server).await;
    let (objects, document_kib) = (setting("MEMORY_OBJECTS", 300), setting("MEMORY_DOCUMENT_KIB", 1));
    let processes: &Api<WorkflowProcess> = &Api::namespaced(client.clone(), NAMESPACE);

    println!("| {objects} objects with {document_kib} KiB | RSS MiB | of which heap | peak |");
    let controller = Controller::start(&apiserver.kubeconfig());
    let idle = controller.settled("idle, no object").await;
    let applied = stream::iter(0..objects).map(|number| apply(processes, number, document_kib));
    applied.buffer_unordered(16).try_collect::<Vec<_>>().await.unwrap();
    let deployed = async || (engine.definitions(DEFAULT_TENANT).len() == objects).then_some(());
    eventually("all are deployed", PATIENCE, deployed).await;
    let deployed = controller.settled("all deployed").await;
    controller.terminate();

    let controller = Controller::start(&apiserver.kubeconfig());
    let restarted = controller.settled("started anew").await;
    processes.delete_collection(&DeleteParams::default(), &ListParams::default()).await.unwrap();
    let gone = async || {
        processes.list(&ListParams::default().limit(1)).await.unwrap().items.is_empty().then_some(())
    };
    eventually("all are gone", PATIENCE, gone).await;
    controller.settled("all deleted").await;
    controller.terminate();

    let objects = f64::from(u32::try_from(objects).unwrap());
    let document = f64::from(u32::try_from(document_kib).unwrap());
    // What is there once: connections, buffers, the certificates of the engine.
    let bound = idle.heap + 3.0 + objects * (KIB_PER_OBJECT + 2.0 * document) / 1024.0;
    for (when, memory) in [("all deployed", deployed), ("started anew", restarted)] {
        assert!(memory.heap < bound, "{when}: {:.1} MiB of heap, expected less than {bound:.1}", memory.heap);
        assert!(memory.resident > memory.heap);
    }
}
