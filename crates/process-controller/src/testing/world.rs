//! A whole world in memory: apiserver, engines, and a controller that takes one pass when told to.

use std::collections::BTreeMap;
use std::sync::Arc;

use api_types::labels::{PROCESS_CONTROLLER, TENANT};
use api_types::{WorkflowCluster, WorkflowProcess, WorkflowTenant, WorkflowWorker};
use controller_kit::apply::Writer;
use controller_kit::clock::Clock;
use controller_kit::controller::{Queue, Reconciler as _};
use controller_kit::events::Publisher;
use controller_kit::outcome::Next;
use controller_kit::pass::Passes;
use engine_access::engine::{EngineConnector, EngineRole};
use engine_access::reference::Directory;
use engine_client::model::{Tenant, TenantQuotas};
use engine_client::{EngineProvider, Operation};
use engine_fake::{FakeEngine, FakeEngines};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::events::v1::Event;
use kube::api::DeleteParams;
use kube::{Api, Client, ResourceExt as _};
use test_support::request::RecordedRequest;
use test_support::{FakeApiServer, builders};

use super::{cluster, tenant};
use crate::context::Context;
use crate::document::Linter;
use crate::incidents::{Counter, OpenIncidents};
use crate::kind::Processes;
use crate::source::fetches::Fetches;
use crate::source::{SOURCES, Source};

/// Namespace of the processes.
pub(crate) const HOME: &str = "acme-tenant";

/// Apiserver and engines. The cluster `prod-east` and the tenant `acme` are there and ready, and `acme-tenant` is
/// granted to the tenant.
pub(crate) struct World {
    pub(crate) apiserver: FakeApiServer,
    pub(crate) engines: FakeEngines,
    pub(crate) incidents: OpenIncidents,
    pub(crate) sources: &'static [&'static dyn Source],
    pub(crate) queue: Queue<WorkflowProcess>,
}

impl World {
    pub(crate) fn new() -> Self {
        let apiserver = FakeApiServer::new();
        let (ca, secrets) = builders::engine_access(&cluster());
        let mut namespace = Namespace::default();
        namespace.metadata.name = Some(HOME.to_owned());
        namespace.metadata.labels = Some(BTreeMap::from([(TENANT.to_owned(), "acme".to_owned())]));
        apiserver.seed(&ca);
        for secret in &secrets {
            apiserver.seed(secret);
        }
        apiserver.seed(&namespace);
        apiserver.seed(&cluster());
        apiserver.seed(&tenant());
        let world = Self {
            apiserver,
            engines: FakeEngines::new(),
            incidents: OpenIncidents::default(),
            sources: SOURCES,
            queue: Queue::new().0,
        };
        world.engine().set_tenant(Tenant {
            id: "acme".to_owned(),
            display_name: "acme".to_owned(),
            quotas: TenantQuotas::default(),
            rls: true,
            suspended: false,
            owner: None,
            generation: 1,
        });
        world
    }

    /// With these processes, as a user applies them.
    pub(crate) fn with(processes: &[WorkflowProcess]) -> Self {
        let world = Self::new();
        for process in processes {
            world.apiserver.seed(process);
        }
        world
    }

    pub(crate) fn engine(&self) -> FakeEngine {
        self.engines.at("prod-east-engine.workflow-system.svc", 26500)
    }

    /// One life of the controller.
    pub(crate) fn reconciler(&self, client: Client, engines: Arc<dyn EngineProvider>) -> Passes<Processes> {
        let clock = Clock::fixed(Timestamp::from_second(1_778_754_600).unwrap());
        let apiserver = self.apiserver.clone();
        let context = Context {
            directory: Arc::new(Stored(self.apiserver.clone())),
            cluster_namespace: "workflow-system".into(),
            engines: EngineConnector::new(client.clone(), engines, EngineRole::Controller),
            incidents: self.incidents.clone(),
            sources: self.sources,
            fetches: Fetches::new(self.queue.clone()),
            linter: Linter::default(),
            workers: Arc::new(move || {
                apiserver.list::<WorkflowWorker>("").into_iter().map(Arc::new).collect()
            }),
            client: client.clone(),
        };
        Passes {
            kind: Processes { context },
            writer: Writer::new(client.clone(), PROCESS_CONTROLLER.field_manager),
            publisher: Publisher::new(client, "process-controller", "test".into(), clock.clone()),
            clock,
        }
    }

    /// What counts the incidents beside the passes.
    pub(crate) fn counter(&self) -> Counter {
        let provider = Arc::new(self.engines.clone());
        Counter {
            directory: Arc::new(Stored(self.apiserver.clone())),
            cluster_namespace: "workflow-system".into(),
            engines: EngineConnector::new(self.apiserver.client(), provider, EngineRole::Controller),
            incidents: self.incidents.clone(),
        }
    }

    /// All processes, as a watch shows them.
    pub(crate) fn processes(&self) -> Vec<Arc<WorkflowProcess>> {
        self.apiserver.list::<WorkflowProcess>("").into_iter().map(Arc::new).collect()
    }

    /// One pass of a controller that was started for it.
    pub(crate) async fn pass(&self, name: &str) -> Next {
        let reconciler = self.reconciler(self.apiserver.client(), Arc::new(self.engines.clone()));
        self.pass_of(&reconciler, name).await
    }

    pub(crate) async fn pass_of(&self, reconciler: &Passes<Processes>, name: &str) -> Next {
        match self.apiserver.get::<WorkflowProcess>(HOME, name) {
            Some(process) => reconciler.reconcile(Arc::new(process)).await.next,
            None => Next::Gone,
        }
    }

    /// Passes until one writes nothing anywhere; what the last one said.
    pub(crate) async fn settle(&self, name: &str) -> Next {
        for _ in 0..10 {
            let before = self.writes();
            let next = self.pass(name).await;
            if self.writes() == before {
                return next;
            }
        }
        panic!("{name} does not settle: {:?}", self.status(name));
    }

    /// Writes so far, at the apiserver (without events) and at the engine.
    pub(crate) fn writes(&self) -> (usize, usize) {
        let mutations = self.apiserver.mutations();
        let by_controller = |request: &&RecordedRequest| {
            request.method.as_str() != "DELETE" && !request.path.ends_with("/events")
        };
        let objects = mutations.iter().filter(by_controller).count();
        let engine = self.engine();
        (objects, engine.count(Operation::DeployProcess) + engine.count(Operation::DeleteProcess))
    }

    pub(crate) fn edit(&self, name: &str, change: impl FnOnce(&mut serde_json::Value)) {
        self.apiserver.edit::<WorkflowProcess>(HOME, name, change);
    }

    /// What `kubectl delete` does.
    pub(crate) async fn delete(&self, name: &str) {
        let api: Api<WorkflowProcess> = Api::namespaced(self.apiserver.client(), HOME);
        api.delete(name, &DeleteParams::default()).await.unwrap();
    }

    pub(crate) fn status(&self, name: &str) -> api_types::WorkflowProcessStatus {
        let process = self.apiserver.get::<WorkflowProcess>(HOME, name);
        process.and_then(|process| process.status).unwrap_or_default()
    }

    /// Phase, version, message.
    pub(crate) fn reported(&self, name: &str) -> (String, Option<i32>, String) {
        let status = self.status(name);
        let phase = status.phase.map(|phase| format!("{phase:?}")).unwrap_or_default();
        (phase, status.version, status.message.unwrap_or_default())
    }

    /// Reasons and notes of the events about an object, in the order in which they were reported.
    pub(crate) fn events(&self, name: &str) -> Vec<(String, String)> {
        let events = self
            .apiserver
            .requests()
            .into_iter()
            .filter(|request| request.path.ends_with("/events") && request.is_mutating());
        events
            .filter_map(|request| serde_json::from_value::<Event>(request.body?).ok())
            .filter(|event| event.regarding.as_ref().and_then(|about| about.name.as_deref()) == Some(name))
            .map(|event| (event.reason.unwrap_or_default(), event.note.unwrap_or_default()))
            .collect()
    }
}

/// The objects of the fake apiserver, without a watch in between.
struct Stored(FakeApiServer);

impl Directory for Stored {
    fn cluster(&self, namespace: &str, name: &str) -> Option<Arc<WorkflowCluster>> {
        self.0.get(namespace, name).map(Arc::new)
    }

    fn tenant(&self, namespace: &str, name: &str) -> Option<Arc<WorkflowTenant>> {
        self.0.get(namespace, name).map(Arc::new)
    }

    fn namespace_labels(&self, namespace: &str) -> BTreeMap<String, String> {
        self.0.get::<Namespace>("", namespace).map(|found| found.labels().clone()).unwrap_or_default()
    }
}
