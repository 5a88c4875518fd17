//! A whole world in memory: apiserver, engines, and a controller that takes one pass when a test says so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api_types::labels::{PROCESS_CONTROLLER, TENANT};
use api_types::{WorkflowProcess, WorkflowWorker};
use controller_kit::apply::Writer;
use controller_kit::clock::Clock;
use controller_kit::controller::Queue;
use controller_kit::events::Publisher;
use controller_kit::pass::Passes;
use controller_testing::World as _;
use controller_testing::caches::Stored;
use engine_access::engine::{EngineConnector, EngineRole};
use engine_client::Operation;
use engine_client::model::{Tenant, TenantQuotas};
use engine_fake::{FakeEngine, FakeEngines};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use remote_files::git::{Budget, Store};
use remote_files::network::AddressPolicy;
use serde_json::json;
use test_support::snapshot::Snapshot;
use test_support::{FakeApiServer, Faults, builders};

use super::{cluster, tenant};
use crate::context::Context;
use crate::document::Linter;
use crate::incidents::OpenIncidents;
use crate::kind::Processes;
use crate::source::Sources;
use crate::source::flux::{FluxFile, FluxSettings};
use crate::source::git::{GitFile, GitSettings};
use crate::survey::Survey;

/// Namespace of the processes.
pub(crate) const HOME: &str = "acme-tenant";

/// Apiserver and engines. The cluster `prod-east` and the tenant `acme` are there and ready, and `acme-tenant` is
/// granted to the tenant.
pub(crate) struct World {
    pub(crate) apiserver: FakeApiServer,
    pub(crate) engines: FakeEngines,
    pub(crate) incidents: OpenIncidents,
    /// How git repositories are read.
    pub(crate) git: GitSettings,
    /// What was fetched.
    pub(crate) folder: Arc<tempfile::TempDir>,
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
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let world = Self {
            apiserver,
            git: git_settings(&folder),
            folder,
            engines: FakeEngines::new(),
            incidents: OpenIncidents::default(),
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

    /// A controller that has just started and reaches the Kubernetes API through `client`, engines through `faults`.
    pub(crate) fn started_with(&self, client: Client, faults: &Faults) -> Passes<Processes> {
        let engines = faults.wrap_engines(self.engines.clone());
        let clock = Clock::fixed(Timestamp::from_second(1_778_754_600).unwrap());
        let apiserver = self.apiserver.clone();
        let context = Context {
            directory: Arc::new(Stored(self.apiserver.clone())),
            cluster_namespace: "workflow-system".into(),
            engines: EngineConnector::new(client.clone(), engines, EngineRole::Controller),
            incidents: self.incidents.clone(),
            sources: Sources::of(
                GitFile::new(client.clone(), self.git.clone(), self.queue.clone(), clock.clone()),
                FluxFile::new(flux_settings(), self.queue.clone()),
            ),
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

    /// What of this snapshot two runs to the same end must agree on, and the engine's definitions.
    pub(crate) fn with_definitions(&self, mut end: Snapshot) -> Snapshot {
        for object in end.values_mut().filter(|object| object["kind"] == "WorkflowProcess") {
            let masked = object
                .to_string()
                .replace(&format!("key={}", object["status"]["processDefinitionKey"]), "key=");
            *object = serde_json::from_str(&masked).unwrap();
            object["status"]["processDefinitionKey"] = json!("<masked>");
        }
        let definitions = self.engine().definitions("acme").into_iter().map(|found| {
            let is_owned = self.engine().process_owner("acme", &found.process_id).is_some();
            json!([found.process_id, found.version, found.content_sha256, is_owned])
        });
        end.insert("engine".into(), definitions.collect());
        end
    }

    /// What counts the incidents beside the passes.
    pub(crate) fn survey(&self) -> Survey {
        let provider = Arc::new(self.engines.clone());
        Survey {
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

    /// Phase, version, message.
    pub(crate) fn reported(&self, name: &str) -> (String, Option<i32>, String) {
        let status = self.status(name);
        let phase = status.phase.map(|phase| format!("{phase:?}")).unwrap_or_default();
        (phase, status.version, status.message.unwrap_or_default())
    }
}

impl controller_testing::World for World {
    type Kind = Processes;

    fn namespace(&self) -> &str {
        HOME
    }

    fn apiserver(&self) -> &FakeApiServer {
        &self.apiserver
    }

    fn started_behind(&self, faults: &Faults) -> Passes<Processes> {
        self.started_with(faults.wrap(self.apiserver.client()), faults)
    }

    /// Objects, definitions and who owns them. Keys are left out: each attempt to deploy takes another one.
    fn end_state(&self) -> Snapshot {
        self.with_definitions(self.apiserver.snapshot())
    }

    fn other_writes(&self) -> usize {
        let engine = self.engine();
        engine.count(Operation::DeployProcess) + engine.count(Operation::DeleteProcess)
    }
}

/// Sources as an installation has them that allows to call this machine.
pub(crate) fn git_settings(folder: &tempfile::TempDir) -> GitSettings {
    let loopback = ["127.0.0.0/8", "::1/128"].map(|range| range.parse().unwrap());
    GitSettings {
        policy: AddressPolicy { allowed: loopback.to_vec(), denied: Vec::new() },
        budget: Budget { time: Duration::from_secs(40), ..Budget::default() },
        store: Store::open(folder.path(), 64 << 20).unwrap(),
    }
}

/// Artifacts are on this machine.
pub(crate) fn flux_settings() -> FluxSettings {
    FluxSettings { hosts: vec!["localhost".to_owned()], budget: remote_files::archive::Budget::default() }
}
