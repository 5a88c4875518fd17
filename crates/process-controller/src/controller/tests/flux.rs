//! A process whose BPMN is in an artifact of Flux.

use std::time::Duration;

use api_types::WorkflowProcess;
use api_types::condition::SOURCE_READY;
use controller_kit::condition::find;
use controller_kit::controller::{Queue, QueueEnd};
use controller_kit::pass::Passes;
use controller_testing::World as _;
use flate2::Compression;
use flate2::write::GzEncoder;
use kube::CustomResource;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use test_support::git_server::{Fault, GitServer, Stage};
use test_support::reply::{Reply, failure};
use tokio::time::timeout;

use crate::kind::Processes;
use crate::testing::{HOME, ORDER_FLOW, World, applied};

/// Flux's kind, as far as it is read.
#[derive(CustomResource, Clone, Debug, Serialize, Deserialize)]
#[kube(
    group = "source.toolkit.fluxcd.io",
    version = "v1",
    kind = "GitRepository",
    namespaced,
    schema = "disabled"
)]
struct GitRepositorySpec {}

struct Flux {
    server: GitServer,
    world: World,
    passes: Passes<Processes>,
    end: QueueEnd<WorkflowProcess>,
}

impl Flux {
    async fn new() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let server = GitServer::start_in_clear_text().await;
        let source = json!({"fluxRef": {"kind": "GitRepository", "name": "processes", "path": "order.bpmn"}});
        let (queue, end) = Queue::new();
        let world = World { queue, ..World::with(&[applied("order-flow", &source)]) };
        world.apiserver.seed(&named("someone-elses"));
        let passes = world.started();
        Self { server, world, passes, end }
    }

    /// As source-controller does it.
    fn publish(&self, bpmn: &str, revision: &str) {
        let archive = archive(bpmn);
        let digest =
            Sha256::digest(&archive).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
        self.server.set_fault(Stage::Other, Fault::Body(200, archive));
        self.set_artifact(&self.server.url(&format!("{revision}.tar.gz")), &digest, revision);
    }

    fn set_artifact(&self, url: &str, sha256: &str, revision: &str) {
        self.world.apiserver.edit::<GitRepository>(HOME, "processes", |source| {
            source["status"]["artifact"] =
                json!({"url": url, "digest": format!("sha256:{sha256}"), "revision": revision});
        });
    }

    /// A pass, as the watch begins it, and the one that the download asks for.
    async fn served(&mut self) -> (String, Option<i32>, String) {
        self.pass().await;
        let asked = timeout(Duration::from_secs(35), self.end.next()).await.unwrap().unwrap();
        assert_eq!(asked.name, "order-flow");
        self.pass().await
    }

    async fn pass(&mut self) -> (String, Option<i32>, String) {
        self.world.pass_of(&mut self.passes, "order-flow").await;
        self.world.reported("order-flow")
    }

    fn source_ready(&self) -> (String, String) {
        let status = self.world.status("order-flow");
        let found = find(&status.conditions, SOURCE_READY).unwrap();
        (found.reason.clone(), found.message.clone())
    }
}

fn named(name: &str) -> GitRepository {
    let mut source = GitRepository::new(name, GitRepositorySpec {});
    source.metadata.namespace = Some(HOME.to_owned());
    source
}

fn archive(bpmn: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut header = tar::Header::new_gnu();
    header.set_size(bpmn.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, "order.bpmn", bpmn.as_bytes()).unwrap();
    builder.into_inner().unwrap().finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_is_deployed_and_so_is_the_next() {
    let mut flux = Flux::new().await;
    let missing = "spec.source.fluxRef.name: GitRepository acme-tenant/processes does not exist";
    assert_eq!(flux.pass().await, ("Pending".to_owned(), None, missing.to_owned()));
    flux.world.apiserver.seed(&named("processes"));
    assert!(flux.pass().await.2.contains("acme-tenant/processes has no artifact with a SHA-256 digest"));
    assert_eq!(flux.source_ready().0, "SourceNotReady");

    flux.publish(ORDER_FLOW, "main@sha1:1");
    assert_eq!(flux.served().await, ("Deployed".to_owned(), Some(1), "Deployed v1 (key=1)".to_owned()));
    assert_eq!(flux.source_ready(), ("SourceReady".to_owned(), "read at main@sha1:1".to_owned()));
    flux.publish(&ORDER_FLOW.replace("Refund payment", "Give the money back"), "main@sha1:2");
    assert_eq!(flux.served().await.1, Some(2));
    assert_eq!(flux.world.status("order-flow").source_revision.as_deref(), Some("main@sha1:2"));
    assert_eq!(flux.server.take_visits().len(), 2, "each is downloaded once");
    // The versions are compared.
    flux.pass().await;
    let writes = flux.world.writes();
    flux.pass().await;
    assert_eq!(flux.world.writes(), writes);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_stays_while_the_artifact_cannot_be_read() {
    let mut flux = Flux::new().await;
    flux.world.apiserver.seed(&named("processes"));
    flux.publish(ORDER_FLOW, "main@sha1:1");
    flux.served().await;

    // Another artifact than the digest says.
    flux.set_artifact(&flux.server.url("main@sha1:2.tar.gz"), &"0".repeat(64), "main@sha1:2");
    let (phase, version, message) = flux.served().await;
    assert_eq!((phase.as_str(), version), ("Deployed", Some(1)));
    assert!(message.ends_with("the artifact has another digest than its source says"), "{message}");
    let status = flux.world.status("order-flow");
    assert_eq!(
        (status.ready, status.source_revision.as_deref(), status.attempted_revision.as_deref()),
        (false, Some("main@sha1:1"), Some("main@sha1:2"))
    );
    // A host that is none of Flux is not called.
    flux.server.take_visits();
    let elsewhere = format!("http://127.0.0.1:{}/a.tar.gz", flux.server.address().port());
    flux.set_artifact(&elsewhere, &"0".repeat(64), "main@sha1:3");
    flux.served().await;
    assert_eq!(flux.source_ready().0, "SourceAddressRefused");
    assert_eq!(flux.server.take_visits(), []);

    // The source goes, and comes back.
    flux.world.apiserver.remove::<GitRepository>(HOME, "processes");
    assert_eq!(flux.pass().await.1, Some(1));
    assert_eq!(flux.source_ready().0, "SourceMissing");
    flux.world.apiserver.seed(&named("processes"));
    flux.publish(ORDER_FLOW, "main@sha1:4");
    flux.served().await;
    let status = flux.world.status("order-flow");
    assert_eq!((status.ready, status.version), (true, Some(1)));
    assert_eq!(status.source_revision.as_deref(), Some("main@sha1:4"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_flux_the_process_says_how_to_install_it() {
    let mut flux = Flux::new().await;
    flux.world.apiserver.without_api::<GitRepository>();
    let message = "kind GitRepository of Flux is not installed in this cluster; install its source-controller (flux install --components=source-controller), or use spec.source.gitRef";
    assert_eq!(flux.pass().await, ("Pending".to_owned(), None, message.to_owned()));
    assert_eq!(flux.source_ready(), ("ProviderMissing".to_owned(), message.to_owned()));
}

/// A document of another source than the spec names now is not given out.
#[tokio::test(flavor = "multi_thread")]
async fn another_source_that_is_missing_is_not_ready_and_its_document_is_not_the_former_ones() {
    let mut flux = Flux::new().await;
    flux.world.apiserver.seed(&named("processes"));
    flux.publish(ORDER_FLOW, "main@sha1:1");
    flux.served().await;
    flux.world.edit("order-flow", |process| process["spec"]["source"]["fluxRef"]["name"] = json!("others"));
    flux.pass().await;
    flux.world.engine().lose_definitions("acme", "order-flow");
    let (_, _, message) = flux.pass().await;
    assert_eq!(message, "spec.source.fluxRef.name: GitRepository acme-tenant/others does not exist");
    assert_eq!(flux.world.engine().definitions("acme"), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_apiserver_is_not_reported_as_one_of_flux() {
    let mut flux = Flux::new().await;
    flux.world.apiserver.seed(&named("processes"));
    flux.publish(ORDER_FLOW, "main@sha1:1");
    flux.served().await;
    let before = flux.world.status("order-flow");
    flux.world.apiserver.intercept(|request| {
        let is_flux = request.path.contains("/gitrepositories/");
        is_flux.then(|| Reply::json(503, failure(503, "ServiceUnavailable", "away")))
    });
    flux.pass().await;
    assert_eq!(flux.world.status("order-flow"), before);
}
