//! The engine's upgrade between two versions, under Kubernetes' own StatefulSet and Job controllers. The tests play the
//! kubelet, the migration program and the engine.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use api_types::cluster::ClusterPhase;
use api_types::engine_access::engine_host;
use api_types::labels::APPROVE_UPGRADE;
use engine_fake::FakeEngine;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, PropagationPolicy};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use test_support::apiserver::TestApiServer;
use test_support::wait::eventually;

use crate::world::{CLUSTER, ENGINE, World, read};

const PATIENCE: Duration = Duration::from_mins(2);
/// Rounds in which something that is held back must not happen.
const ROUNDS: usize = 8;

/// What the nodes do with the pods that they are given.
#[derive(Default)]
struct Nodes {
    /// Migrations do not run.
    holds_migrations: bool,
    /// Engine pods of this version do not become ready.
    holds_back: Option<&'static str>,
    /// Arguments of the migrations that ran, in order.
    migrations: RefCell<Vec<String>>,
    /// Versions of the engine pods by ordinal, each time that they differed from before.
    rolled: RefCell<Vec<Vec<String>>>,
}

impl Nodes {
    fn note(&self, versions: Vec<String>) {
        let mut rolled = self.rolled.borrow_mut();
        if versions.len() == 3 && rolled.last() != Some(&versions) {
            rolled.push(versions);
        }
    }
}

struct Upgrade {
    home: World,
    engine: FakeEngine,
}

impl Upgrade {
    /// Three pods of 1.2.2.
    async fn from_1_2_2(apiserver: &TestApiServer, prefix: &str) -> Self {
        let home = World::new(apiserver, prefix).await;
        let engine = home.engines.at(&engine_host(CLUSTER, &home.name), 26500);
        let upgrade = Self { home, engine };
        upgrade.set_version("1.2.2").await;
        upgrade.home.await_rights().await;
        upgrade.await_running(&Nodes::default(), "1.2.2").await;
        upgrade
    }

    async fn set_version(&self, version: &str) {
        self.apply(|cluster| cluster["spec"]["version"] = json!(version)).await;
    }

    /// Pods are watched for a few seconds only.
    async fn apply(&self, change: impl FnOnce(&mut Value)) {
        let change = |cluster: &mut Value| {
            cluster["spec"]["upgrade"] = json!({"canary": {"healthSeconds": 5}, "soakSeconds": 1});
            change(cluster);
        };
        self.home.apply(change).await;
    }

    /// One pass, and what the nodes make of it.
    async fn round(&self, nodes: &Nodes) {
        self.home.pass().await;
        let mut versions = Vec::new();
        let pods = self.home.api::<Pod>().list(&ListParams::default()).await.unwrap();
        for pod in pods.items.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()) {
            match pod.labels()["app.kubernetes.io/component"].as_str() {
                "migration" if !nodes.holds_migrations => self.migrate(nodes, pod).await,
                "engine" => {
                    let version = pod.labels()["app.kubernetes.io/version"].clone();
                    if nodes.holds_back != Some(version.as_str()) {
                        self.set_status(pod, "Running", true).await;
                    }
                    versions.push((pod.name_any(), version));
                }
                _ => {}
            }
        }
        versions.sort();
        nodes.note(versions.into_iter().map(|(_, version)| version).collect());
        tokio::time::sleep(Duration::from_millis(250)).await;
    }

    /// The migration program: done at once, and its marker in the database if nothing is left to do.
    async fn migrate(&self, nodes: &Nodes, pod: &Pod) {
        if pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Succeeded") {
            return;
        }
        let args = pod.spec.as_ref().unwrap().containers[0].args.clone().unwrap();
        nodes.migrations.borrow_mut().push(args.join(" "));
        if args.last().map(String::as_str) == Some("all") {
            *self.home.database.0.lock().unwrap() = Some(args[2].clone());
        }
        self.set_status(pod, "Succeeded", false).await;
    }

    async fn set_status(&self, pod: &Pod, phase: &str, ready: bool) {
        let is_so = pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some(phase);
        if is_so {
            return;
        }
        let ready = json!({"type": "Ready", "status": if ready { "True" } else { "False" }});
        let status = Patch::Merge(json!({"status": {"phase": phase, "conditions": [ready]}}));
        // A pod that was replaced meanwhile is none any more.
        let _ = self.home.api::<Pod>().patch_status(&pod.name_any(), &PatchParams::default(), &status).await;
    }

    async fn rounds(&self, nodes: &Nodes) {
        for _ in 0..ROUNDS {
            self.round(nodes).await;
        }
    }

    async fn await_running(&self, nodes: &Nodes, version: &str) {
        let running = eventually("the engine runs the version", PATIENCE, || async {
            self.round(nodes).await;
            let status = self.home.cluster().await.status.unwrap_or_default();
            let is_so = status.ready
                && status.version.as_deref() == Some(version)
                && status.phase == Some(ClusterPhase::Running);
            if is_so { Ok(()) } else { Err(format!("{:?}: {:?}", status.phase, status.message)) }
        });
        Box::pin(running).await;
    }

    /// Versions of the pods that exist, and the version in the template.
    async fn versions(&self) -> (BTreeSet<String>, String) {
        let pods = self.home.api::<Pod>();
        let engines = ListParams::default().labels("app.kubernetes.io/component=engine");
        let version = |pod: Pod| pod.labels()["app.kubernetes.io/version"].clone();
        let of_pods = pods.list(&engines).await.unwrap().into_iter().map(version).collect();
        let set = self.home.api::<StatefulSet>().get(ENGINE).await.unwrap();
        let labels = set.spec.unwrap().template.metadata.unwrap().labels.unwrap();
        (of_pods, labels["app.kubernetes.io/version"].clone())
    }

    /// Phase, reason and message.
    async fn message(&self) -> (Option<ClusterPhase>, String, String) {
        let status = self.home.cluster().await.status.unwrap();
        let ready = status.conditions.into_iter().find(|condition| condition.type_ == "Ready").unwrap();
        (status.phase, ready.reason, status.message.unwrap())
    }
}

fn only(version: &str) -> (BTreeSet<String>, String) {
    (BTreeSet::from([version.to_owned()]), version.to_owned())
}

#[tokio::test]
async fn from_1_2_2_to_1_2_3_the_schema_goes_first_and_each_pod_waits_for_a_healthy_engine() {
    let apiserver = test_support::require_controller_manager!();
    let upgrade = Upgrade::from_1_2_2(apiserver, "upgrade").await;
    upgrade.set_version("1.2.3").await;

    // No pod before the schema serves both versions.
    let mut nodes = Nodes { holds_migrations: true, ..Nodes::default() };
    upgrade.rounds(&nodes).await;
    assert_eq!(upgrade.versions().await, only("1.2.2"));
    let (phase, reason, _) = upgrade.message().await;
    assert_eq!((phase, reason.as_str()), (Some(ClusterPhase::Upgrading), "MigrationRunning"));
    assert!(!upgrade.home.cluster().await.status.unwrap().accepts_deployments);

    // None while the engine is not healthy, though all pods are ready.
    upgrade.engine.set_unreachable(true);
    nodes.holds_migrations = false;
    upgrade.rounds(&nodes).await;
    assert_eq!(*nodes.migrations.borrow(), ["migrate --to 1.2.3 --up-to expand"]);
    assert_eq!(upgrade.versions().await.0, only("1.2.2").0);

    // And only the first while it is not ready.
    upgrade.engine.set_unreachable(false);
    nodes.holds_back = Some("1.2.3");
    upgrade.rounds(&nodes).await;
    upgrade.rounds(&nodes).await;
    let of_122 = || "1.2.2".to_owned();
    let of_123 = || "1.2.3".to_owned();
    assert_eq!(nodes.rolled.borrow().last(), Some(&vec![of_122(), of_122(), of_123()]));
    assert_eq!(upgrade.home.cluster().await.status.unwrap().version.as_deref(), Some("1.2.2"));

    nodes.holds_back = None;
    upgrade.await_running(&nodes, "1.2.3").await;
    assert_eq!(
        *nodes.rolled.borrow(),
        [
            [of_122(), of_122(), of_122()],
            [of_122(), of_122(), of_123()],
            [of_122(), of_123(), of_123()],
            [of_123(), of_123(), of_123()],
        ]
    );
    assert_eq!(
        *nodes.migrations.borrow(),
        ["migrate --to 1.2.3 --up-to expand", "migrate --to 1.2.3 --up-to all"]
    );
    let set = upgrade.home.api::<StatefulSet>().get(ENGINE).await.unwrap().spec.unwrap();
    assert_eq!(set.update_strategy.unwrap().rolling_update.unwrap().partition, Some(3));
    assert!(upgrade.home.cluster().await.status.unwrap().accepts_deployments);
}

#[tokio::test]
async fn a_step_that_is_not_allowed_is_refused_with_the_version_to_set_and_touches_nothing() {
    let apiserver = test_support::require_controller_manager!();
    let upgrade = Upgrade::from_1_2_2(apiserver, "refused").await;
    let before = upgrade.home.api::<StatefulSet>().get(ENGINE).await.unwrap();
    let refused = [
        (
            "1.2.1",
            "1.2.2 → 1.2.1: a downgrade is never possible, restore a backup instead; set spec.version back to 1.2.2",
        ),
        (
            "1.4.0",
            "1.2.2 → 1.4.0: at most one MINOR may be stepped up at once; set spec.version to a 1.3 version first",
        ),
        (
            "3.0.0",
            "1.2.2 → 3.0.0: at most one MAJOR may be stepped up at once; set spec.version to a 2.x version first",
        ),
        (
            "2.0.0",
            "1.2.2 → 2.0.0: one MAJOR up needs approval: annotate the WorkflowCluster with workflow.example.com/approve-upgrade=2.0.0",
        ),
    ];
    let nodes = Nodes::default();
    for (version, message) in refused {
        upgrade.set_version(version).await;
        upgrade.round(&nodes).await;
        upgrade.round(&nodes).await;
        let reported = (Some(ClusterPhase::Degraded), "UpgradeRefused".to_owned(), message.to_owned());
        assert_eq!(upgrade.message().await, reported);
    }
    assert_eq!(*nodes.migrations.borrow(), Vec::<String>::new());
    let after = upgrade.home.api::<StatefulSet>().get(ENGINE).await.unwrap();
    assert_eq!((after.uid(), after.metadata.generation), (before.uid(), before.metadata.generation));

    // The approval is for this very version.
    upgrade
        .apply(|cluster| {
            cluster["spec"]["version"] = json!("2.0.0");
            cluster["metadata"]["annotations"] = json!({APPROVE_UPGRADE: "2.0.0"});
        })
        .await;
    upgrade.await_running(&nodes, "2.0.0").await;
    assert_eq!(upgrade.versions().await, only("2.0.0"));
}

/// Rounds until the youngest pod is of `version`, ready or not.
async fn begin_roll(upgrade: &Upgrade, nodes: &Nodes, version: &str) {
    let begun = eventually("the first pod is replaced", PATIENCE, || async {
        upgrade.round(nodes).await;
        let rolled = nodes.rolled.borrow();
        if rolled.last().is_some_and(|pods| pods[2] == version) { Ok(()) } else { Err(format!("{rolled:?}")) }
    });
    Box::pin(begun).await;
}

#[tokio::test]
async fn back_in_the_middle_of_a_roll_every_pod_goes_back() {
    let apiserver = test_support::require_controller_manager!();
    let upgrade = Upgrade::from_1_2_2(apiserver, "back").await;
    upgrade.set_version("1.2.3").await;
    let nodes = Nodes::default();
    begin_roll(&upgrade, &nodes, "1.2.3").await;
    upgrade.set_version("1.2.2").await;
    upgrade.await_running(&nodes, "1.2.2").await;
    assert_eq!(upgrade.versions().await, only("1.2.2"));
    let of_122 = || "1.2.2".to_owned();
    assert_eq!(*nodes.rolled.borrow().last().unwrap(), [of_122(), of_122(), of_122()]);
    let set = upgrade.home.api::<StatefulSet>().get(ENGINE).await.unwrap().spec.unwrap();
    assert_eq!(set.update_strategy.unwrap().rolling_update.unwrap().partition, Some(3));
}

#[tokio::test]
async fn a_pod_that_cannot_start_is_replaced_on_the_way_back_and_by_a_third_version() {
    let apiserver = test_support::require_controller_manager!();
    let upgrade = Upgrade::from_1_2_2(apiserver, "stuck").await;
    for next in ["1.2.2", "1.2.4"] {
        let nodes = Nodes { holds_back: Some("1.2.3"), ..Nodes::default() };
        upgrade.set_version("1.2.3").await;
        begin_roll(&upgrade, &nodes, "1.2.3").await;
        upgrade.rounds(&nodes).await;
        assert_eq!(nodes.rolled.borrow().last().unwrap()[..2], ["1.2.2", "1.2.2"]);
        upgrade.set_version(next).await;
        upgrade.await_running(&nodes, next).await;
        assert_eq!(upgrade.versions().await, only(next));
    }
}

#[tokio::test]
async fn a_stateful_set_made_anew_over_the_pods_of_another_version_rolls_them() {
    let apiserver = test_support::require_controller_manager!();
    let upgrade = Upgrade::from_1_2_2(apiserver, "orphan").await;
    let nodes = Nodes::default();
    upgrade.set_version("1.2.3").await;
    begin_roll(&upgrade, &nodes, "1.2.3").await;
    let sets = upgrade.home.api::<StatefulSet>();
    let orphan =
        DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..DeleteParams::default() };
    sets.delete(ENGINE, &orphan).await.unwrap();
    let gone = eventually("the StatefulSet is gone", PATIENCE, || async {
        if sets.get_opt(ENGINE).await.unwrap().is_none() { Ok(()) } else { Err("it is still there") }
    });
    Box::pin(gone).await;
    upgrade.await_running(&nodes, "1.2.3").await;
    assert_eq!(upgrade.versions().await, only("1.2.3"));
}

/// The migration Jobs that exist, and how many pods they have.
async fn migrations(upgrade: &Upgrade) -> (Vec<String>, usize) {
    let jobs = upgrade.home.api::<Job>().list(&ListParams::default()).await.unwrap();
    let to = |job: Job| {
        job.spec.unwrap().template.metadata.unwrap().labels.unwrap()["app.kubernetes.io/version"].clone()
    };
    let of_migrations = ListParams::default().labels("app.kubernetes.io/component=migration");
    let pods = upgrade.home.api::<Pod>().list(&of_migrations).await.unwrap().items;
    let unfinished =
        pods.iter().filter(|pod| pod.status.as_ref().and_then(|it| it.phase.as_deref()) != Some("Succeeded"));
    (jobs.into_iter().map(to).collect(), unfinished.count())
}

async fn await_job(upgrade: &Upgrade, nodes: &Nodes, version: &str) {
    let found = eventually("the Job has its pod", PATIENCE, || async {
        upgrade.round(nodes).await;
        let found = migrations(upgrade).await;
        if found.0 == [version] && found.1 == 1 { Ok(()) } else { Err(format!("{found:?}")) }
    });
    Box::pin(found).await;
}

#[tokio::test]
async fn a_called_off_upgrade_leaves_nothing_that_wants_to_change_the_schema() {
    let apiserver = test_support::require_controller_manager!();
    let upgrade = Upgrade::from_1_2_2(apiserver, "called-off").await;
    let mut nodes = Nodes { holds_migrations: true, ..Nodes::default() };
    upgrade.set_version("1.2.3").await;
    await_job(&upgrade, &nodes, "1.2.3").await;
    upgrade.set_version("1.2.2").await;
    upgrade.await_running(&nodes, "1.2.2").await;
    assert_eq!(migrations(&upgrade).await, (Vec::new(), 0));
    nodes.holds_migrations = false;
    upgrade.rounds(&nodes).await;
    assert_eq!(*nodes.migrations.borrow(), Vec::<String>::new());
}

#[tokio::test]
async fn a_migration_at_work_is_given_time_to_end_before_anything_else_begins() {
    let apiserver = test_support::require_controller_manager!();
    let upgrade = Upgrade::from_1_2_2(apiserver, "at-work").await;
    let nodes = Nodes { holds_migrations: true, ..Nodes::default() };
    upgrade.set_version("1.2.3").await;
    await_job(&upgrade, &nodes, "1.2.3").await;
    // A pod on a node is gone only when its kubelet says so.
    let node = upgrade.home.name.clone();
    let machine = read::<Node>(json!({"metadata": {"name": node}}));
    Api::all(upgrade.home.client.clone()).create(&PostParams::default(), &machine).await.unwrap();
    let pods = upgrade.home.api::<Pod>();
    let of_migrations = ListParams::default().labels("app.kubernetes.io/component=migration");
    let found = pods.list(&of_migrations).await.unwrap().items;
    let pod = found
        .iter()
        .find(|pod| pod.metadata.labels.as_ref().unwrap()["app.kubernetes.io/version"] == "1.2.3");
    let name = pod.unwrap().name_any();
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": {"kind": "Node", "name": node}});
    let params = PostParams::default();
    pods.create_subresource::<_, Value>("binding", &name, &params, &binding).await.unwrap();

    upgrade.set_version("1.2.4").await;
    upgrade.rounds(&nodes).await;
    let (phase, reason, message) = upgrade.message().await;
    assert_eq!((phase, reason.as_str()), (Some(ClusterPhase::Upgrading), "MigrationWithdrawn"), "{message}");
    assert_eq!(migrations(&upgrade).await, (vec!["1.2.3".to_owned()], 1));
    assert!(pods.get(&name).await.unwrap().metadata.deletion_timestamp.is_some());

    pods.delete(&name, &DeleteParams::default().grace_period(0)).await.unwrap();
    let nodes = Nodes::default();
    upgrade.await_running(&nodes, "1.2.4").await;
    assert_eq!(
        *nodes.migrations.borrow(),
        ["migrate --to 1.2.4 --up-to expand", "migrate --to 1.2.4 --up-to all"]
    );
}
