//! The running controller, with its watches, against a real apiserver and fake engines.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api_types::WorkflowProcess;
use controller_testing::permissions::{Scope, chart_rules, permit_everywhere, permit_in, secrets_rule};
use controller_testing::real::TestNamespace;
use controller_testing::running::RunningController;
use engine_client::model::{Tenant, TenantQuotas};
use engine_fake::{FakeEngine, FakeEngines};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{Patch, PatchParams};
use process_controller::source::SourceSettings;
use process_controller::source::flux::FluxSettings;
use process_controller::source::git::GitSettings;
use remote_files::git::{Budget, Store};
use remote_files::network::AddressPolicy;
use serde_json::{Value, json};
use test_support::TestApiServer;
use test_support::wait::{await_condition, eventually};
use tokio::sync::{Mutex, MutexGuard};

/// A process of the founding design.
pub(crate) const ORDER_FLOW: &str = include_str!("../../testdata/order-flow.bpmn");

/// A controller watches all namespaces: one test at a time has one running.
static TURN: Mutex<()> = Mutex::const_new(());

pub(crate) const SOON: Duration = Duration::from_mins(1);

/// A controller that runs, a namespace for processes, and another one with a ready cluster and its tenant `acme`.
pub(crate) struct World {
    processes: TestNamespace,
    pub(crate) home: TestNamespace,
    pub(crate) engine: FakeEngine,
    engines: FakeEngines,
    kubeconfig: PathBuf,
    controller: Option<RunningController>,
    /// What was fetched from git.
    folder: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// The namespace of the processes.
impl Deref for World {
    type Target = TestNamespace;

    fn deref(&self) -> &TestNamespace {
        &self.processes
    }
}

impl World {
    pub(crate) async fn start(apiserver: &TestApiServer) -> Self {
        let turn = TURN.lock().await;
        let home = TestNamespace::create(apiserver, "home").await;
        let processes = TestNamespace::create(apiserver, "work").await;
        let kubeconfig = permit(apiserver, &home).await;
        let cluster = Box::pin(home.add_running_cluster("prod")).await;
        home.add_active_tenant(&cluster, "acme").await;
        processes.grant("acme").await;
        let engines = FakeEngines::new();
        let engine = engines.at(&cluster.status.unwrap().endpoint.unwrap().host, 26500);
        engine.set_tenant(Tenant {
            id: "acme".into(),
            display_name: String::new(),
            quotas: TenantQuotas::default(),
            rls: true,
            suspended: false,
            owner: None,
            generation: 1,
        });
        let mut world = Self {
            processes,
            home,
            engine,
            engines,
            kubeconfig,
            controller: None,
            folder: tempfile::tempdir().unwrap(),
            _turn: turn,
        };
        world.start_controller().await;
        world
    }

    pub(crate) async fn start_controller(&mut self) {
        let engines = Arc::new(self.engines.clone());
        let git = GitSettings {
            policy: AddressPolicy {
                allowed: ["127.0.0.0/8", "::1/128"].map(|range| range.parse().unwrap()).to_vec(),
                denied: Vec::new(),
            },
            budget: Budget::default(),
            store: Store::open(self.folder.path(), 64 << 20).unwrap(),
        };
        let flux = FluxSettings {
            hosts: vec!["localhost".to_owned()],
            budget: remote_files::archive::Budget::default(),
        };
        let settings = SourceSettings { git, flux };
        let start = |service: &mut controller_kit::Service| {
            process_controller::controller::start(service, engines, settings);
        };
        let running =
            RunningController::start("process-controller", &self.home.name, &self.kubeconfig, start);
        self.controller = Some(Box::pin(running).await);
    }

    /// Grants the controller what the charts grant it in namespaces of teams that opt in.
    pub(crate) async fn opt_in(&self) {
        let user = format!("system:serviceaccount:{}:process-controller", self.home.name);
        let rules = chart_rules("process-controller", Scope::WorkloadNamespace);
        permit_in(&self.home.client, &self.processes.name, "process-controller", &user, &rules).await;
    }

    /// Ends the controller as SIGTERM does.
    pub(crate) async fn stop_controller(&mut self) {
        self.controller.take().unwrap().stop().await;
    }

    /// Begins a pass that has nothing to do, and waits for its end.
    pub(crate) async fn touch(&self, n: usize) {
        let settled = || self.controller.as_ref().unwrap().settled("WorkflowProcess");
        let passes = settled();
        self.home.touch_cluster("prod", n).await;
        eventually("the change of the cluster causes a pass", SOON, async || {
            (settled() > passes).then_some(())
        })
        .await;
    }

    pub(crate) fn processes(&self) -> Api<WorkflowProcess> {
        self.api()
    }

    /// Applies a process, as a user does. Every process has an id of its own.
    pub(crate) async fn apply(&self, name: &str, source: Value) {
        let process: WorkflowProcess = serde_json::from_value(json!({
            "apiVersion": "workflow.example.com/v1alpha1",
            "kind": "WorkflowProcess",
            "metadata": {"name": name},
            "spec": {
                "clusterRef": {"name": "prod", "namespace": self.home.name},
                "tenantRef": {"name": "acme", "namespace": self.home.name},
                "source": source,
            },
        }))
        .unwrap();
        self.add(&process).await;
    }

    pub(crate) async fn await_reported(&self, name: &str, reported: &str) -> WorkflowProcess {
        let is_reported = |process: &WorkflowProcess| {
            process.status.as_ref().and_then(|status| status.message.as_deref()) == Some(reported)
        };
        await_condition(&self.processes(), name, SOON, &format!("says {reported:?}"), is_reported).await
    }

    pub(crate) async fn await_deployed(&self, name: &str) -> WorkflowProcess {
        let is_deployed =
            |process: &WorkflowProcess| process.status.as_ref().is_some_and(|status| status.ready);
        await_condition(&self.processes(), name, SOON, "is deployed", is_deployed).await
    }

    pub(crate) async fn put_config_map(&self, bpmn: &str) {
        let config_map = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "order-flow-bpmn"},
            "data": {"process.bpmn": bpmn},
        });
        let params = PatchParams::apply("user").force();
        self.api::<ConfigMap>().patch("order-flow-bpmn", &params, &Patch::Apply(config_map)).await.unwrap();
    }
}

/// A kubeconfig of the controller's own, with exactly the rights that the charts and the cluster-controller grant it.
async fn permit(apiserver: &TestApiServer, home: &TestNamespace) -> PathBuf {
    let (service, user) =
        ("process-controller", format!("system:serviceaccount:{}:process-controller", home.name));
    permit_everywhere(&home.client, &user, &chart_rules(service, Scope::Everywhere)).await;
    let mut rules = chart_rules(service, Scope::ClusterNamespace);
    rules.push(secrets_rule(&["prod-engine-controller-token"]));
    permit_in(&home.client, &home.name, service, &user, &rules).await;
    apiserver.kubeconfig_for(&user, &[])
}
