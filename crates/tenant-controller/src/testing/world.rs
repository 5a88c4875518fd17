//! A whole world in memory: an apiserver, the engine of one cluster, and a controller that takes one pass when a test says so.

use std::sync::Arc;

use api_types::WorkflowTenant;
use api_types::labels::TENANT_CONTROLLER;
use controller_kit::apply::Writer;
use controller_kit::clock::Clock;
use controller_kit::events::Publisher;
use controller_kit::pass::Passes;
use controller_testing::World as _;
use controller_testing::caches::Stored;
use engine_access::engine::{EngineConnector, EngineRole};
use engine_client::Operation;
use engine_fake::{FakeEngine, FakeEngines};
use serde_json::json;
use test_support::snapshot::Snapshot;
use test_support::{FakeApiServer, Faults, builders};

use super::{HOME, SETTLED, applied, cluster, namespace, now};
use crate::client_checks::ClientChecks;
use crate::context::Context;
use crate::kind::Tenants;
use crate::listing::TenantListings;

/// Apiserver and engine of the cluster `prod-east`.
pub(crate) struct World {
    pub(crate) apiserver: FakeApiServer,
    pub(crate) engines: FakeEngines,
}

impl World {
    pub(crate) fn with(tenants: &[WorkflowTenant]) -> Self {
        let apiserver = FakeApiServer::new();
        let (ca, secrets) = builders::engine_access(&cluster());
        apiserver.seed(&ca);
        for secret in &secrets {
            apiserver.seed(secret);
        }
        apiserver.seed(&cluster());
        apiserver.seed(&namespace(HOME, None));
        for tenant in tenants {
            apiserver.seed(tenant);
        }
        let world = Self { apiserver, engines: FakeEngines::new() };
        world.engine();
        world
    }

    /// The tenant `acme`, in the engine as its spec says.
    pub(crate) async fn active() -> Self {
        let world = Self::with(&[applied("acme")]);
        assert_eq!(world.settle("acme").await, SETTLED);
        world
    }

    /// The object of the tenant `acme` is gone.
    pub(crate) fn is_gone(&self) -> bool {
        self.object("acme").is_none()
    }

    pub(crate) fn engine(&self) -> FakeEngine {
        self.engines.at(&api_types::engine_access::engine_host("prod-east", HOME), 26500)
    }

    /// Phase and message.
    pub(crate) fn reported(&self, name: &str) -> (String, String) {
        let status = self.status(name);
        let phase = status.phase.map(|phase| format!("{phase:?}")).unwrap_or_default();
        (phase, status.message.unwrap_or_default())
    }
}

impl controller_testing::World for World {
    type Kind = Tenants;

    fn namespace(&self) -> &str {
        HOME
    }

    fn apiserver(&self) -> &FakeApiServer {
        &self.apiserver
    }

    fn started_behind(&self, faults: &Faults) -> Passes<Tenants> {
        let client = faults.wrap(self.apiserver.client());
        let engines = faults.wrap_engines(self.engines.clone());
        let clock = Clock::fixed(now());
        let writer = Writer::new(client.clone(), TENANT_CONTROLLER.field_manager);
        let context = Context {
            directory: Arc::new(Stored(self.apiserver.clone())),
            namespaces: Arc::new(Stored(self.apiserver.clone())),
            cluster_namespace: HOME.into(),
            engines: EngineConnector::new(client.clone(), engines, EngineRole::Controller),
            client: client.clone(),
            writer: writer.clone(),
            listings: TenantListings::default(),
            client_checks: ClientChecks::default(),
        };
        Passes {
            kind: Tenants { context },
            writer,
            publisher: Publisher::new(client, "tenant-controller", "test".into(), clock.clone()),
            clock,
        }
    }

    /// Objects, and the tenant in the engine.
    fn end_state(&self) -> Snapshot {
        let mut end = self.apiserver.snapshot();
        end.insert("engine".into(), json!(format!("{:?}", self.engine().tenant("acme"))));
        end
    }

    fn other_writes(&self) -> usize {
        let engine = self.engine();
        engine.count(Operation::PutTenant) + engine.count(Operation::DeleteTenant)
    }
}
