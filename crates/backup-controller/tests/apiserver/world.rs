//! A namespace with a cluster in it, the program with the rights of the chart, and a kubelet.

use std::ops::Deref;
use std::process::{Child, Command};
use std::time::Duration;

use api_types::{WorkflowBackup, WorkflowCluster};
use backup_format::Outcome;
use controller_kit::condition::find;
use controller_testing::permissions::{Scope, chart_rules, permit_everywhere, permit_in};
use controller_testing::real::TestNamespace;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use test_support::apiserver::TestApiServer;
use test_support::wait::eventually;
use tokio::sync::{Mutex, MutexGuard};

/// Time for everything that needs no kubelet.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
pub(crate) const CLUSTER: &str = "prod-east";

pub(crate) struct World(TestNamespace);

impl Deref for World {
    type Target = TestNamespace;

    fn deref(&self) -> &TestNamespace {
        &self.0
    }
}

impl World {
    /// A namespace that enforces the Pod Security Standard `restricted`, with a cluster that has run.
    pub(crate) async fn new(apiserver: &TestApiServer, prefix: &str) -> Self {
        let world = Self(TestNamespace::create(apiserver, prefix).await);
        let labels = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
        let namespaces: Api<Namespace> = Api::all(world.client.clone());
        namespaces.patch(&world.name, &PatchParams::default(), &Patch::Merge(labels)).await.unwrap();
        Box::pin(world.add_running_cluster(CLUSTER)).await;
        let backup = json!({
            "destination": {"s3": {"bucket": "backups", "credentialsSecret": "s3", "caSecret": "s3-ca"}},
            "encryption": {"recipientSecret": "age"},
        });
        world.patch_spec::<WorkflowCluster>(CLUSTER, json!({"backup": backup})).await;
        world
    }

    /// Applies a backup of the cluster.
    pub(crate) async fn back_up(&self, name: &str) {
        let backup = json!({
            "apiVersion": "workflow.example.com/v1alpha1", "kind": "WorkflowBackup",
            "metadata": {"name": name}, "spec": {"clusterRef": {"name": CLUSTER}},
        });
        let params = PatchParams::apply("kubectl").force();
        self.api::<WorkflowBackup>().patch(name, &params, &Patch::Apply(&backup)).await.unwrap();
    }

    /// Waits until a backup is reported so.
    pub(crate) async fn await_reason(&self, name: &str, reason: &str) -> WorkflowBackup {
        let look = async || {
            let found = self.api::<WorkflowBackup>().get_opt(name).await.unwrap();
            let backup = found.ok_or_else(|| "it does not exist".to_owned())?;
            let status = backup.status.clone().unwrap_or_default();
            match find(&status.conditions, "Ready") {
                Some(ready) if ready.reason == reason => Ok(backup),
                other => Err(format!("{other:?}")),
            }
        };
        Box::pin(eventually(&format!("{name} is reported as {reason}"), PATIENCE, look)).await
    }

    /// The newest pod of a task of a backup that did not end.
    pub(crate) async fn await_pod(&self, backup: &str, task: &str) -> Pod {
        let labels = format!("workflow.example.com/backup={backup},workflow.example.com/backup-task={task}");
        let find = async || {
            let pods = self.api::<Pod>().list(&ListParams::default().labels(&labels)).await.unwrap().items;
            let runs = |pod: &Pod| {
                let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
                phase == Some("Pending") && pod.metadata.deletion_timestamp.is_none()
            };
            pods.into_iter().find(runs)
        };
        Box::pin(eventually(&format!("{backup} has a pod to {task}"), PATIENCE, find)).await
    }

    /// Ends a pod, as a kubelet does whose container exits with this code and leaves this message.
    pub(crate) async fn end_pod(&self, pod: &Pod, code: i32, outcome: &Outcome) {
        let name = pod.metadata.name.clone().unwrap();
        let now = "2026-06-01T12:00:00Z";
        let ended = json!({
            "exitCode": code, "reason": if code == 0 { "Completed" } else { "Error" },
            "startedAt": now, "finishedAt": now, "message": outcome.to_json(),
        });
        let status = json!({"status": {
            "phase": if code == 0 { "Succeeded" } else { "Failed" },
            "containerStatuses": [{
                "name": "agent", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"terminated": ended},
            }],
        }});
        let api = self.api::<Pod>();
        api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    }

    /// What `backup` says of the environment of its pod.
    pub(crate) fn variable(pod: &Pod, name: &str) -> Option<String> {
        let env = json!(pod)["spec"]["containers"][0]["env"].clone();
        let found = env.as_array()?.iter().find(|variable| variable["name"] == name)?.clone();
        found["value"].as_str().map(str::to_owned)
    }

    /// Changes the cluster's status, as the cluster-controller does.
    pub(crate) async fn set_cluster_status(&self, status: &Value) {
        self.write_status::<WorkflowCluster>(CLUSTER, status).await;
    }
}

/// Two controllers would both act on the backups of all namespaces, one of them without the rights there.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// The right to run the program.
pub(crate) async fn turn() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().await
}

/// The running program, killed at the end of its test.
pub(crate) struct Controller(Child);

impl Controller {
    /// With exactly the rights that the chart grants, in one namespace of clusters.
    pub(crate) async fn start(apiserver: &TestApiServer, home: &World) -> Self {
        let user = format!("backup-controller-{}", home.name);
        permit_everywhere(&home.client, &user, &chart_rules("backup-controller", Scope::Everywhere)).await;
        let mut rules = chart_rules("backup-controller", Scope::ClusterNamespace);
        // The chart grants it in the release's namespace.
        rules.push(json!({
            "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"],
        }));
        permit_in(&home.client, &home.name, "backup-controller", &user, &rules).await;
        Self::start_again(apiserver, home)
    }

    /// The same, with the rights that it has already.
    pub(crate) fn start_again(apiserver: &TestApiServer, home: &World) -> Self {
        let user = format!("backup-controller-{}", home.name);
        let child = Command::new(env!("CARGO_BIN_EXE_backup-controller"))
            .env("KUBECONFIG", apiserver.kubeconfig_for(&user, &[]))
            .env("POD_NAMESPACE", &home.name)
            .env("CLUSTER_NAMESPACE", &home.name)
            .env("ADMIN_ADDRESS", "127.0.0.1:0")
            .env("LOG_FILTER", "warn")
            // How long the next one waits for one that was killed.
            .env("LEASE_DURATION_SECONDS", "5")
            .spawn();
        Self(child.unwrap())
    }

    /// As a node that fails ends it.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
