//! Objects, observations and a whole world for this crate's tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use api_types::labels::{TENANT, TENANT_CONTROLLER};
use api_types::{WorkflowCluster, WorkflowTenant, WorkflowTenantStatus};
use controller_kit::apply::Writer;
use controller_kit::clock::Clock;
use controller_kit::controller::Reconciler as _;
use controller_kit::events::Publisher;
use controller_kit::outcome::Next;
use controller_kit::pass::Passes;
use engine_access::engine::{EngineConnector, EngineRole};
use engine_access::reference::{Directory, Namespaces};
use engine_client::model::{Owner, QuotaKind, Tenant, TenantQuotas, TenantUsage};
use engine_client::{EngineProvider, Operation};
use engine_fake::{FakeEngine, FakeEngines};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::events::v1::Event;
use kube::api::DeleteParams;
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;
use test_support::request::RecordedRequest;
use test_support::{FakeApiServer, builders};

use crate::census::Censuses;
use crate::context::Context;
use crate::kind::Tenants;
use crate::looks::Looks;
use crate::observe::{EngineView, Observed};

/// Namespace of cluster and tenants.
pub(crate) const HOME: &str = "workflow-system";

pub(crate) fn now() -> Timestamp {
    Timestamp::from_second(1_778_754_600).unwrap()
}

pub(crate) fn cluster() -> WorkflowCluster {
    builders::running_cluster(HOME, "prod-east")
}

/// As a user applies it.
pub(crate) fn applied(name: &str) -> WorkflowTenant {
    let mut tenant = builders::stored(builders::tenant(HOME, name, &cluster()));
    tenant.spec.display_name = Some("Acme Corporation".into());
    tenant.spec.quotas = serde_json::from_value(
        json!({"maxActiveInstances": 10_000, "maxJobsPerMinute": 1_000, "maxStorageGB": 50}),
    )
    .unwrap();
    tenant
}

/// A Namespace, granted to a tenant or to none.
pub(crate) fn namespace(name: &str, tenant: Option<&str>) -> Namespace {
    let mut namespace = Namespace::default();
    namespace.metadata.name = Some(name.to_owned());
    namespace.metadata.labels = tenant.map(|tenant| [(TENANT.to_owned(), tenant.to_owned())].into());
    namespace
}

/// [`applied`] with our finalizer.
pub(crate) fn tenant() -> WorkflowTenant {
    let mut tenant = applied("acme");
    tenant.metadata.finalizers = Some(vec![TENANT_CONTROLLER.finalizer.to_owned()]);
    tenant
}

/// A life of the object `acme` that began so many seconds after that of [`applied`].
pub(crate) fn owner(uid: &str, later: i64) -> Owner {
    let created_at =
        applied("acme").metadata.creation_timestamp.unwrap().0 + SignedDuration::from_secs(later);
    Owner { id: format!("WorkflowTenant/{HOME}/acme"), uid: uid.into(), created_at }
}

/// [`applied`] as the engine has it.
pub(crate) fn held(name: &str) -> Tenant {
    Tenant {
        id: name.into(),
        display_name: "Acme Corporation".into(),
        quotas: TenantQuotas {
            max_active_instances: Some(10_000),
            max_jobs_per_minute: Some(1_000),
            max_storage_bytes: Some(50_000_000_000),
        },
        rls: true,
        suspended: false,
        owner: Some(owner(&format!("uid-of-{name}"), 0)),
        generation: 1,
    }
}

pub(crate) fn usage(active_instances: u64, storage_bytes: u64, over: &[QuotaKind]) -> TenantUsage {
    TenantUsage {
        tenant_id: "acme".into(),
        active_instances,
        jobs_last_minute: 7,
        storage_bytes,
        measured_at: Timestamp::UNIX_EPOCH,
        over: over.iter().copied().collect(),
    }
}

/// The world of [`tenant`] with a running cluster and an engine that answers.
pub(crate) fn observed(found: Option<Tenant>, usage: Option<TenantUsage>) -> Observed {
    let engine = EngineView::Answered { engine: Arc::new(FakeEngine::new()), tenant: found, usage };
    Observed { cluster: Ok(Arc::new(cluster())), engine, clients: None }
}

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

    pub(crate) fn engine(&self) -> FakeEngine {
        self.engines.at(&api_types::engine_access::engine_host("prod-east", HOME), 26500)
    }

    /// One life of the controller.
    pub(crate) fn reconciler(&self, client: Client, engines: Arc<dyn EngineProvider>) -> Passes<Tenants> {
        let clock = Clock::fixed(now());
        let writer = Writer::new(client.clone(), TENANT_CONTROLLER.field_manager);
        let context = Context {
            directory: Arc::new(Stored(self.apiserver.clone())),
            namespaces: Arc::new(Stored(self.apiserver.clone())),
            cluster_namespace: HOME.into(),
            engines: EngineConnector::new(client.clone(), engines, EngineRole::Controller),
            client: client.clone(),
            writer: writer.clone(),
            censuses: Censuses::default(),
            looks: Looks::default(),
        };
        Passes {
            kind: Tenants { context },
            writer,
            publisher: Publisher::new(client, "tenant-controller", "test".into(), clock.clone()),
            clock,
        }
    }

    /// A life with nothing in between.
    pub(crate) fn started(&self) -> Passes<Tenants> {
        self.reconciler(self.apiserver.client(), Arc::new(self.engines.clone()))
    }

    /// One pass of a controller that was started for it.
    pub(crate) async fn pass(&self, name: &str) -> Next {
        self.pass_of(&self.started(), name).await
    }

    pub(crate) async fn pass_of(&self, reconciler: &Passes<Tenants>, name: &str) -> Next {
        match self.apiserver.get::<WorkflowTenant>(HOME, name) {
            Some(tenant) => reconciler.reconcile(Arc::new(tenant)).await.next,
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
        let engine = self.engine();
        let calls = engine.count(Operation::PutTenant) + engine.count(Operation::DeleteTenant);
        (mutations.iter().filter(by_controller).count(), calls)
    }

    pub(crate) fn edit(&self, name: &str, change: impl FnOnce(&mut serde_json::Value)) {
        self.apiserver.edit::<WorkflowTenant>(HOME, name, change);
    }

    /// What `kubectl delete` does.
    pub(crate) async fn delete(&self, name: &str) {
        let api: Api<WorkflowTenant> = Api::namespaced(self.apiserver.client(), HOME);
        api.delete(name, &DeleteParams::default()).await.unwrap();
    }

    pub(crate) fn status(&self, name: &str) -> WorkflowTenantStatus {
        let tenant = self.apiserver.get::<WorkflowTenant>(HOME, name);
        tenant.and_then(|tenant| tenant.status).unwrap_or_default()
    }

    /// Phase and message.
    pub(crate) fn reported(&self, name: &str) -> (String, String) {
        let status = self.status(name);
        let phase = status.phase.map(|phase| format!("{phase:?}")).unwrap_or_default();
        (phase, status.message.unwrap_or_default())
    }

    /// Reasons and notes of the events about an object, in the order in which they were reported.
    pub(crate) fn events(&self, name: &str) -> Vec<(String, String)> {
        let requests = self.apiserver.requests().into_iter();
        requests
            .filter(|request| request.path.ends_with("/events") && request.is_mutating())
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

impl Namespaces for Stored {
    fn contains(&self, name: &str) -> bool {
        self.0.get::<Namespace>("", name).is_some()
    }

    fn labelled(&self, tenant: &str) -> Vec<String> {
        let namespaces = self.0.list::<Namespace>("").into_iter();
        let carries = |namespace: &Namespace| namespace.labels().get(TENANT).is_some_and(|it| it == tenant);
        namespaces.filter(carries).map(|namespace| namespace.name_any()).collect()
    }
}
