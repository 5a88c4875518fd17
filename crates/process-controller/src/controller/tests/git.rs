//! A process whose BPMN is in a git repository, against a real git server.

use std::time::Duration;

use api_types::condition::{SOURCE_READY, VALID};
use controller_kit::condition::find;
use controller_kit::controller::{Queue, QueueEnd};
use controller_kit::pass::Passes;
use controller_testing::World as _;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use serde_json::json;
use test_support::git_server::{Fault, GitRepository, GitServer, Stage};
use test_support::reply::{Reply, failure};
use tokio::time::timeout;

use crate::kind::Processes;
use crate::testing::{HOME, NO_TASK_DEFINITION, ORDER_FLOW, World, applied};

/// A controller that runs, and the server that it reads from.
struct Forge {
    server: GitServer,
    orders: GitRepository,
    world: World,
    passes: Passes<Processes>,
    end: QueueEnd<api_types::WorkflowProcess>,
}

impl Forge {
    /// The process `order-flow` is applied; its file is at the branch `main`.
    async fn new() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let server = GitServer::start().await;
        let orders = server.repository("orders");
        let source = json!({"gitRef": {
            "url": server.url("orders"),
            "path": "bpmn/order.bpmn",
            "revision": "main",
            "secretRef": {"name": "forge"},
        }});
        let (queue, end) = Queue::new();
        let world = World { queue, ..World::with(&[applied("order-flow", &source)]) };
        world.apiserver.seed(&secret("forge", &server));
        let passes = world.started();
        Self { server, orders, world, passes, end }
    }

    fn push(&self, bpmn: &str) -> String {
        self.orders.commit("main", &[("bpmn/order.bpmn", bpmn.as_bytes())])
    }

    /// A pass, the one that the repository's task asks for, and what the status says then.
    async fn served(&mut self) -> (String, Option<i32>, String) {
        self.world.pass_of(&mut self.passes, "order-flow").await;
        self.awaited().await
    }

    async fn awaited(&mut self) -> (String, Option<i32>, String) {
        let asked = timeout(Duration::from_secs(35), self.end.next()).await.unwrap().unwrap();
        assert_eq!(asked.name, "order-flow");
        self.world.pass_of(&mut self.passes, "order-flow").await;
        self.world.reported("order-flow")
    }

    /// As `kubectl annotate` does it; the interval is not awaited.
    async fn reconciled(&mut self, value: &str) -> (String, Option<i32>, String) {
        self.world.edit("order-flow", |process| {
            process["metadata"]["annotations"]["workflow.example.com/reconcile-at"] = json!(value);
        });
        self.served().await
    }

    fn condition(&self, type_: &str) -> (String, String) {
        let status = self.world.status("order-flow");
        let found = find(&status.conditions, type_).unwrap();
        (found.reason.clone(), found.message.clone())
    }

    fn at(&self, revision: &str) -> String {
        format!("bpmn/order.bpmn in {} at {revision}", self.server.url("orders"))
    }
}

fn secret(name: &str, server: &GitServer) -> Secret {
    let mut secret = Secret::default();
    secret.metadata.namespace = Some(HOME.to_owned());
    secret.metadata.name = Some(name.to_owned());
    let host = format!("localhost:{}", server.address().port());
    secret.metadata.annotations = Some([("workflow.example.com/git-host".to_owned(), host)].into());
    let data = [("ca.crt", server.authority()), ("username", "acme"), ("password", "hidden-word")];
    secret.data =
        Some(data.map(|(key, value)| (key.to_owned(), ByteString(value.as_bytes().to_vec()))).into());
    secret
}

fn renamed_task() -> String {
    ORDER_FLOW.replace("Refund payment", "Give the money back")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pushed_file_is_deployed_and_the_status_names_its_commit() {
    let mut forge = Forge::new().await;
    let first = forge.push(ORDER_FLOW);
    let next = forge.world.pass_of(&mut forge.passes, "order-flow").await;
    assert!(matches!(next, controller_kit::outcome::Next::Wait { .. }), "{next:?}");
    assert_eq!(forge.awaited().await, ("Deployed".to_owned(), Some(1), "Deployed v1 (key=1)".to_owned()));
    let status = forge.world.status("order-flow");
    assert_eq!((status.source_revision, status.attempted_revision), (Some(first.clone()), None));
    assert_eq!(forge.condition(SOURCE_READY), ("SourceReady".to_owned(), format!("read at {first}")));

    let second = forge.push(&renamed_task());
    assert_eq!(forge.reconciled("1").await.1, Some(2));
    assert_eq!(forge.world.status("order-flow").source_revision, Some(second));
    // A force-push back makes the former document current again.
    forge.orders.move_branch("main", &first);
    assert_eq!(forge.reconciled("2").await.1, Some(3));
    assert_eq!(forge.world.status("order-flow").source_revision, Some(first));
    assert!(forge.server.take_visits().iter().all(|visit| visit.authorization.is_some()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_leaves_the_former_version_and_names_the_commit() {
    let mut forge = Forge::new().await;
    let good = forge.push(ORDER_FLOW);
    forge.served().await;
    let broken = forge.push(NO_TASK_DEFINITION);
    assert_eq!(forge.reconciled("1").await.0, "Failed");
    let status = forge.world.status("order-flow");
    assert_eq!(
        (status.version, status.source_revision, status.attempted_revision, status.ready),
        (Some(1), Some(good), Some(broken.clone()), false)
    );
    assert_eq!(forge.condition(VALID).0, "ValidationFailed");
    assert_eq!(forge.condition(SOURCE_READY), ("SourceReady".to_owned(), format!("read at {broken}")));
    assert_eq!(forge.world.engine().definitions("acme").len(), 1);
    let mended = forge.push(&renamed_task());
    assert_eq!(forge.reconciled("2").await.0, "Deployed");
    let status = forge.world.status("order-flow");
    assert_eq!((status.source_revision, status.attempted_revision), (Some(mended), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_goes_makes_the_process_unready_and_what_runs_stays() {
    let mut forge = Forge::new().await;
    let good = forge.push(ORDER_FLOW);
    forge.served().await;
    let without = forge.orders.commit("main", &[("other.bpmn", b"<a/>")]);
    let missing = format!("{}, commit {without}: the commit has no such file", forge.at("main"));
    let reported = ("Deployed".to_owned(), Some(1), format!("v1 stays deployed: {missing}"));
    assert_eq!(forge.reconciled("1").await, reported);
    let status = forge.world.status("order-flow");
    assert_eq!(
        (status.ready, status.source_revision, status.attempted_revision),
        (false, Some(good), Some(without))
    );
    assert_eq!(forge.condition(SOURCE_READY), ("SourceMissing".to_owned(), missing));
    // What the engine lost comes back from what was read before.
    forge.world.engine().lose_definitions("acme", "order-flow");
    forge.world.pass_of(&mut forge.passes, "order-flow").await;
    assert_eq!(forge.world.engine().definitions("acme").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_away_does_not_make_a_deployed_process_unready() {
    let mut forge = Forge::new().await;
    let good = forge.push(ORDER_FLOW);
    forge.served().await;
    forge.server.set_fault(Stage::Greeting, Fault::Status(503));
    let deployed = ("Deployed".to_owned(), Some(1), "Deployed v1 (key=1)".to_owned());
    assert_eq!(forge.reconciled("1").await, deployed);
    assert!(forge.world.status("order-flow").ready);
    let away = format!("{}: host localhost has a fault of its own (HTTP status 503)", forge.at("main"));
    assert_eq!(forge.condition(SOURCE_READY), ("SourceUnreachable".to_owned(), away.clone()));

    // A controller that starts meanwhile has no document, and asks the engine whether it still has it.
    let (queue, end) = Queue::new();
    forge.world.queue = queue;
    forge.end = end;
    forge.passes = forge.world.started();
    assert_eq!(forge.served().await, deployed);
    let status = forge.world.status("order-flow");
    assert_eq!((status.ready, status.source_revision), (true, Some(good)));
    assert_eq!(forge.condition(SOURCE_READY), ("SourceUnreachable".to_owned(), away));
    let writes = forge.world.writes();
    forge.world.pass_of(&mut forge.passes, "order-flow").await;
    assert_eq!(forge.world.writes(), writes, "nothing is written while nothing changes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_secret_is_reported_and_read_again() {
    let mut forge = Forge::new().await;
    forge.push(ORDER_FLOW);
    forge.world.apiserver.remove::<Secret>(HOME, "forge");
    let missing = "spec.source.gitRef.secretRef.name: Secret acme-tenant/forge does not exist";
    assert_eq!(forge.served().await, ("Pending".to_owned(), None, missing.to_owned()));
    assert_eq!(forge.condition(SOURCE_READY), ("SourceCredentialsMissing".to_owned(), missing.to_owned()));
    forge.world.apiserver.seed(&secret("forge", &forge.server));
    assert_eq!(forge.reconciled("1").await.0, "Deployed");
    let everything = format!("{:?} {:?}", forge.world.status("order-flow"), forge.world.events("order-flow"));
    assert!(!everything.contains("hidden-word"), "{everything}");
}

/// Two hundred processes of one repository cost one visit, not two hundred.
#[tokio::test(flavor = "multi_thread")]
async fn processes_of_one_repository_share_its_visits() {
    let mut forge = Forge::new().await;
    let names: Vec<String> = (0..200).map(|index| format!("flow-{index}")).collect();
    let documents: Vec<(String, String)> =
        names.iter().map(|name| (format!("{name}.bpmn"), ORDER_FLOW.replace("order-flow", name))).collect();
    let files: Vec<(&str, &[u8])> =
        documents.iter().map(|(path, text)| (path.as_str(), text.as_bytes())).collect();
    forge.orders.commit("main", &files);
    for name in &names {
        let source = json!({"gitRef": {
            "url": forge.server.url("orders"),
            "path": format!("{name}.bpmn"),
            "revision": "main",
            "secretRef": {"name": "forge"},
        }});
        forge.world.apiserver.seed(&applied(name, &source));
        forge.world.pass_of(&mut forge.passes, name).await;
    }
    for _ in &names {
        timeout(Duration::from_secs(35), forge.end.next()).await.unwrap().unwrap();
    }
    for name in &names {
        forge.world.pass_of(&mut forge.passes, name).await;
        assert_eq!(forge.world.reported(name).0, "Deployed");
    }
    let visits = forge.server.take_visits();
    let count = |stage| visits.iter().filter(|visit| visit.stage == stage).count();
    assert!(count(Stage::Greeting) <= 5, "{} greetings", count(Stage::Greeting));
    assert!(count(Stage::Fetch) <= 6, "{} fetches", count(Stage::Fetch));
}

/// A host that never answers holds its own readers only.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_hangs_delays_no_other() {
    let mut forge = Forge::new().await;
    forge.push(ORDER_FLOW);
    let hanging = GitServer::start().await;
    hanging.set_fault(Stage::Greeting, Fault::Silence);
    forge.world.apiserver.seed(&secret("hanging", &hanging));
    for index in 0..20 {
        let name = format!("hanging-{index}");
        let source = json!({"gitRef": {
            "url": hanging.url(&format!("repository-{index}")),
            "path": "a.bpmn",
            "revision": "main",
            "secretRef": {"name": "hanging"},
        }});
        forge.world.apiserver.seed(&applied(&name, &source));
        forge.world.pass_of(&mut forge.passes, &name).await;
    }
    let began = std::time::Instant::now();
    assert_eq!(forge.served().await.0, "Deployed");
    assert!(began.elapsed() < Duration::from_secs(30), "took {:?}", began.elapsed());
}

/// Servers that hang, answer wrongly or send too much delay no process of another server.
#[tokio::test(flavor = "multi_thread")]
async fn bad_sources_do_not_delay_good_ones() {
    let mut forge = Forge::new().await;
    let mut good = Vec::new();
    for repository in 0..10 {
        let name = format!("repository-{repository}");
        let served = forge.server.repository(&name);
        let flows: Vec<String> = (0..20).map(|flow| format!("flow-{repository}-{flow}")).collect();
        let documents: Vec<(String, String)> = flows
            .iter()
            .map(|flow| (format!("{flow}.bpmn"), ORDER_FLOW.replace("order-flow", flow)))
            .collect();
        let files: Vec<(&str, &[u8])> =
            documents.iter().map(|(path, text)| (path.as_str(), text.as_bytes())).collect();
        served.commit("main", &files);
        good.extend(flows.into_iter().map(|flow| (name.clone(), flow)));
    }
    let faults = [
        Fault::Silence,
        Fault::Hang(10),
        Fault::Drip(1, Duration::from_millis(50)),
        Fault::Bytes(vec![b'0'; 8 << 20]),
        Fault::Truncate(7),
    ];
    let mut bad = Vec::new();
    for (index, fault) in faults.into_iter().enumerate() {
        let server = GitServer::start().await;
        server.repository("bad").commit("main", &[("a.bpmn", ORDER_FLOW.as_bytes())]);
        server.set_fault(Stage::Greeting, fault);
        forge.world.apiserver.seed(&secret(&format!("bad-{index}"), &server));
        bad.push(server);
    }
    let apply = |name: &str, url: String, path: &str, secret: &str| {
        let source = json!({"gitRef": {
            "url": url, "path": path, "revision": "main", "secretRef": {"name": secret},
        }});
        forge.world.apiserver.seed(&applied(name, &source));
    };
    for (index, server) in bad.iter().enumerate() {
        apply(&format!("bad-{index}"), server.url("bad"), "a.bpmn", &format!("bad-{index}"));
    }
    for (repository, flow) in &good {
        apply(flow, forge.server.url(repository), &format!("{flow}.bpmn"), "forge");
    }
    for index in 0..bad.len() {
        forge.world.pass_of(&mut forge.passes, &format!("bad-{index}")).await;
    }
    for (_, flow) in &good {
        forge.world.pass_of(&mut forge.passes, flow).await;
    }
    let (mut served, began) = (0, std::time::Instant::now());
    while served < good.len() {
        let asked = timeout(Duration::from_secs(35), forge.end.next()).await.unwrap().unwrap();
        served += usize::from(asked.name.starts_with("flow-"));
    }
    // Well below the time that the bad sources have for a visit.
    assert!(began.elapsed() < Duration::from_secs(30), "took {:?}", began.elapsed());
    for (_, flow) in &good {
        forge.world.pass_of(&mut forge.passes, flow).await;
        assert_eq!(forge.world.reported(flow).0, "Deployed", "{flow}");
    }
}

/// What the new spec names was never read: that an older document runs does not make it ready.
#[tokio::test(flavor = "multi_thread")]
async fn another_repository_that_cannot_be_reached_is_not_ready() {
    let mut forge = Forge::new().await;
    forge.push(ORDER_FLOW);
    forge.served().await;
    forge.server.set_fault(Stage::Greeting, Fault::Status(503));
    let other = forge.server.url("others");
    forge.world.edit("order-flow", |process| process["spec"]["source"]["gitRef"]["url"] = json!(other));
    let (phase, version, message) = forge.served().await;
    assert_eq!((phase.as_str(), version), ("Deployed", Some(1)));
    assert!(message.starts_with("v1 stays deployed: bpmn/order.bpmn in "), "{message}");
    let status = forge.world.status("order-flow");
    assert_eq!((status.ready, status.observed_generation), (false, Some(2)));
    // And it stays so.
    forge.world.pass_of(&mut forge.passes, "order-flow").await;
    assert!(!forge.world.status("order-flow").ready);
}

/// The Secret cannot be read while the API server is away: that is no news about the repository.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_apiserver_is_not_reported_as_one_of_the_repository() {
    let mut forge = Forge::new().await;
    forge.push(ORDER_FLOW);
    forge.served().await;
    let before = forge.world.status("order-flow");
    let is_away = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let away = is_away.clone();
    forge.world.apiserver.intercept(move |request| {
        let is_secret = request.path.ends_with("/secrets/forge");
        (is_secret && away.load(std::sync::atomic::Ordering::SeqCst))
            .then(|| Reply::json(503, failure(503, "ServiceUnavailable", "away")))
    });
    let second = forge.push(&renamed_task());
    forge.world.edit("order-flow", |process| {
        process["metadata"]["annotations"]["workflow.example.com/reconcile-at"] = json!("1");
    });
    forge.world.pass_of(&mut forge.passes, "order-flow").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    forge.world.pass_of(&mut forge.passes, "order-flow").await;
    assert_eq!(forge.world.status("order-flow"), before);
    is_away.store(false, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(forge.awaited().await.1, Some(2));
    assert_eq!(forge.world.status("order-flow").source_revision, Some(second));
}

/// What was fetched with somebody's credentials does not outlive the last process that reads it.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_fetched_goes_with_the_last_process_of_a_repository() {
    let mut forge = Forge::new().await;
    forge.push(ORDER_FLOW);
    forge.served().await;
    let fetched = || {
        let entries = std::fs::read_dir(forge.world.folder.path()).unwrap();
        entries.filter(|entry| entry.as_ref().unwrap().file_name() != "incoming").count()
    };
    assert_eq!(fetched(), 1);
    forge.world.delete("order-flow").await;
    forge.world.pass_of(&mut forge.passes, "order-flow").await;
    test_support::wait::eventually("the fetched objects are gone", Duration::from_secs(30), async || {
        (fetched() == 0).then_some(())
    })
    .await;
}
