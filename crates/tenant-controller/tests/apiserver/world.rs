//! The running controller, with its watches, against a real apiserver and fake engines.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api_types::WorkflowTenant;
use controller_testing::permissions::{Scope, chart_rules, permit_everywhere, permit_in, secrets_rule};
use controller_testing::real::TestNamespace;
use controller_testing::running::RunningController;
use engine_fake::{FakeEngine, FakeEngines};
use test_support::wait::{await_condition, eventually};
use test_support::{TestApiServer, builders};
use tokio::sync::{Mutex, MutexGuard};

/// A controller watches all namespaces: one test at a time has one running.
static TURN: Mutex<()> = Mutex::const_new(());

pub(crate) const SOON: Duration = Duration::from_mins(1);

/// A controller that runs, and a ready cluster in its namespace.
pub(crate) struct World {
    home: TestNamespace,
    pub(crate) engine: FakeEngine,
    controller: RunningController,
    _turn: MutexGuard<'static, ()>,
}

/// The namespace of the cluster.
impl Deref for World {
    type Target = TestNamespace;

    fn deref(&self) -> &TestNamespace {
        &self.home
    }
}

impl World {
    pub(crate) async fn start(apiserver: &TestApiServer) -> Self {
        let turn = TURN.lock().await;
        let home = TestNamespace::create(apiserver, "home").await;
        let kubeconfig = permit(apiserver, &home).await;
        let cluster = Box::pin(home.add_running_cluster("prod")).await;
        let engines = FakeEngines::new();
        let engine = engines.at(&cluster.status.unwrap().endpoint.unwrap().host, 26500);
        let start = |service: &mut controller_kit::Service| {
            tenant_controller::controller::start(service, Arc::new(engines));
        };
        let controller =
            Box::pin(RunningController::start("tenant-controller", &home.name, &kubeconfig, start)).await;
        Self { home, engine, controller, _turn: turn }
    }

    /// Ends the controller as SIGTERM does.
    pub(crate) async fn end(self) {
        self.controller.stop().await;
    }

    /// Begins a pass that has nothing to do, and waits for its end.
    pub(crate) async fn touch(&self, n: usize) {
        let settled = || self.controller.settled("WorkflowTenant");
        let passes = settled();
        self.touch_cluster("prod", n).await;
        eventually("the change of the cluster causes a pass", SOON, async || {
            (settled() > passes).then_some(())
        })
        .await;
    }

    /// Applies a tenant of the cluster, as a user does.
    pub(crate) async fn apply(&self, namespace: &TestNamespace, name: &str) {
        let cluster = builders::cluster(&self.name, "prod");
        namespace.add(&builders::tenant(&namespace.name, name, &cluster)).await;
    }

    pub(crate) async fn await_active(&self, name: &str) -> WorkflowTenant {
        // With its usage: the status of a new tenant is complete only then.
        let is_active = |tenant: &WorkflowTenant| {
            tenant.status.as_ref().is_some_and(|status| status.ready && status.current_instances.is_some())
        };
        await_condition(&self.api(), name, SOON, "is active", is_active).await
    }

    /// The ServiceAccount of the controller, as a user.
    fn user(home: &TestNamespace) -> String {
        format!("system:serviceaccount:{}:tenant-controller", home.name)
    }

    /// What a namespace does to opt in: `docs/spec/workflowtenant.md`.
    pub(crate) async fn opt_in(&self, namespace: &TestNamespace) {
        let rules = chart_rules("tenant-controller", Scope::WorkloadNamespace);
        let name = "tenant-controller-workload-namespace";
        permit_in(&self.client, &namespace.name, name, &Self::user(self), &rules).await;
    }
}

/// A kubeconfig of the controller's own, with exactly the rights that the charts and the cluster-controller grant it.
async fn permit(apiserver: &TestApiServer, home: &TestNamespace) -> PathBuf {
    let (service, user) = ("tenant-controller", World::user(home));
    permit_everywhere(&home.client, &user, &chart_rules(service, Scope::Everywhere)).await;
    let mut rules = chart_rules(service, Scope::ClusterNamespace);
    rules.push(secrets_rule(&["prod-engine-controller-token", "prod-engine-client-key"]));
    permit_in(&home.client, &home.name, service, &user, &rules).await;
    apiserver.kubeconfig_for(&user, &[])
}
