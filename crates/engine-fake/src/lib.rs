//! A fake engine for tests of whoever calls one: faults and scripted answers, and as many of the rules of
//! `workflow.engine.v1` as the controllers' and the sample worker's tests need. What an engine does beyond that is
//! tested with the real one (`crates/workflow-engine/tests`).
//!
//! [`FakeEngine`] is an [`Engine`] by itself; [`FakeEngines`] hands fakes out by address, and
//! [`FakeServer`] serves one over real gRPC. Time stands still in it until a test moves it. A started instance has one
//! job per job type of its process, at the first task of that type, and is completed with the last of them: that is all
//! the BPMN it knows.

#![deny(missing_docs)]

mod controller;
mod definitions;
mod faults;
mod jobs;
mod lag;
mod server;
mod tenants;
mod waiting;

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::watch;

use self::{definitions::Process, faults::Faults, jobs::FakeJob};
pub use self::{
    faults::Call,
    server::{FakeServer, FakeServerBuilder},
};
use engine_client::{
    CheckedEngine, Engine, EngineAccess, EngineAddress, EngineError, EngineProvider, ErrorClass, Operation,
    model::{
        CanaryFailure, Capability, DEFAULT_TENANT, ENGINE_KIND, EngineInfo, Finding, IncidentCount, Instance,
        JobLag, JobSeries, Tenant, TenantQuotas, TenantUsage, WaitingInstances,
    },
};

/// An engine in memory. Clones share one world.
#[derive(Clone)]
pub struct FakeEngine {
    world: Arc<Mutex<World>>,
    /// Counts changes, so that streams notice them.
    changes: watch::Sender<u64>,
}

struct World {
    now: Timestamp,
    next_key: i64,
    info: EngineInfo,
    canary_failure: Option<CanaryFailure>,
    tenants: BTreeMap<String, Tenant>,
    usages: BTreeMap<String, TenantUsage>,
    incidents: BTreeMap<String, Vec<IncidentCount>>,
    /// Deletions of a tenant that are answered before it is gone.
    purges: BTreeMap<String, u32>,
    purging: BTreeSet<String>,
    processes: BTreeMap<(String, String), Process>,
    /// By the key of the version.
    documents: BTreeMap<i64, Vec<u8>>,
    /// What tests set, by tenant and process id.
    waiting: BTreeMap<(String, String), WaitingInstances>,
    rejections: Vec<(String, Vec<Finding>)>,
    lags: BTreeMap<JobSeries, JobLag>,
    heartbeat: Duration,
    instances: BTreeMap<i64, (String, Instance)>,
    jobs: BTreeMap<i64, FakeJob>,
    answers: BTreeMap<String, (String, Box<dyn Any + Send>)>,
    faults: Faults,
}

impl Default for FakeEngine {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeEngine {
    /// A healthy engine of version 1.0.0 that knows only the default tenant; its clock stands at the Unix epoch.
    pub fn new() -> Self {
        let now = Timestamp::UNIX_EPOCH;
        let default_tenant = Tenant {
            id: DEFAULT_TENANT.to_owned(),
            display_name: String::new(),
            quotas: TenantQuotas::default(),
            rls: true,
            suspended: false,
            owner: None,
            generation: 0,
        };
        let world = World {
            now,
            next_key: 1,
            canary_failure: None,
            info: EngineInfo {
                engine_kind: ENGINE_KIND.to_owned(),
                version: "1.0.0".to_owned(),
                schema_version: 1,
                min_schema_version: 1,
                max_schema_version: 1,
                node_id: "fake-0".to_owned(),
                nodes: Vec::new(),
                capabilities: Capability::ALL.iter().map(ToString::to_string).collect(),
                started_at: now,
            },
            tenants: BTreeMap::from([(DEFAULT_TENANT.to_owned(), default_tenant)]),
            usages: BTreeMap::new(),
            incidents: BTreeMap::new(),
            purges: BTreeMap::new(),
            purging: BTreeSet::new(),
            processes: BTreeMap::new(),
            documents: BTreeMap::new(),
            waiting: BTreeMap::new(),
            rejections: Vec::new(),
            lags: BTreeMap::new(),
            heartbeat: Duration::from_secs(10),
            instances: BTreeMap::new(),
            jobs: BTreeMap::new(),
            answers: BTreeMap::new(),
            faults: Faults::default(),
        };
        Self { world: Arc::new(Mutex::new(world)), changes: watch::Sender::new(0) }
    }

    /// How the canary ends from now on; at first well.
    pub fn set_canary_failure(&self, failure: Option<CanaryFailure>) {
        self.change(|world| world.canary_failure = failure);
    }

    /// Moves the clock.
    pub fn set_now(&self, now: Timestamp) {
        self.change(|world| world.now = now);
    }

    /// Cannot do this any more, and says so.
    pub fn lose_capability(&self, capability: Capability) {
        self.change(|world| world.info.capabilities.remove(capability.as_str()));
    }

    /// Can do this again.
    pub fn gain_capability(&self, capability: Capability) {
        self.change(|world| world.info.capabilities.insert(capability.to_string()));
    }

    /// How many incidents of a tenant are open; at first none.
    pub fn set_incidents(&self, tenant_id: &str, counts: Vec<IncidentCount>) {
        self.change(|world| world.incidents.insert(tenant_id.to_owned(), counts));
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the world and wakes every stream.
    fn change<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        let result = change(&mut self.world());
        self.changes.send_modify(|count| *count += 1);
        result
    }
}

impl World {
    fn key(&mut self) -> i64 {
        self.next_key += 1;
        self.next_key - 1
    }

    /// The tenant that work is for.
    fn tenant_at_work(&self, operation: Operation, tenant_id: &str) -> Result<&Tenant, EngineError> {
        self.tenants.get(tenant_id).ok_or_else(|| {
            refusal(operation, "TENANT_UNKNOWN", format!("tenant {tenant_id} does not exist in this engine"))
        })
    }

    /// The former answer to this request id, else a new one.
    fn once<T: Clone + Send + 'static>(
        &mut self,
        operation: Operation,
        request_id: &str,
        body: &impl fmt::Debug,
        answer: impl FnOnce(&mut Self) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let body = format!("{operation} {body:?}");
        if let Some((former_body, former)) = self.answers.get(request_id) {
            return match former.downcast_ref::<T>() {
                Some(former) if *former_body == body => Ok(former.clone()),
                _ => Err(EngineError::new(
                    operation,
                    ErrorClass::Invalid,
                    format!("request id {request_id} was used for another request"),
                )),
            };
        }
        let answer = answer(self)?;
        if !request_id.is_empty() {
            self.answers.insert(request_id.to_owned(), (body, Box::new(answer.clone())));
        }
        Ok(answer)
    }
}

/// Somebody must act first.
fn refusal(operation: Operation, reason: &str, message: String) -> EngineError {
    EngineError::new(operation, ErrorClass::Precondition { reason: reason.to_owned() }, message)
}

impl fmt::Debug for FakeEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeEngine").finish_non_exhaustive()
    }
}

/// Fakes by `host:port`. An address without one is unreachable.
#[derive(Clone, Debug, Default)]
pub struct FakeEngines {
    engines: Arc<Mutex<BTreeMap<String, FakeEngine>>>,
}

impl FakeEngines {
    /// No engine anywhere.
    pub fn new() -> Self {
        Self::default()
    }

    /// The fake at this address, a new one unless there is one.
    pub fn at(&self, host: &str, port: u16) -> FakeEngine {
        let address = EngineAddress { host: host.to_owned(), port, tls: None };
        let mut engines = self.engines.lock().unwrap_or_else(PoisonError::into_inner);
        engines.entry(address.to_string()).or_default().clone()
    }

    /// This fake at another address too.
    pub fn put(&self, host: &str, port: u16, engine: &FakeEngine) {
        let address = EngineAddress { host: host.to_owned(), port, tls: None };
        let mut engines = self.engines.lock().unwrap_or_else(PoisonError::into_inner);
        engines.insert(address.to_string(), engine.clone());
    }
}

#[async_trait]
impl EngineProvider for FakeEngines {
    async fn engine(&self, access: &EngineAccess) -> Result<Arc<dyn Engine>, EngineError> {
        let address = access.address.to_string();
        let engines = self.engines.lock().unwrap_or_else(PoisonError::into_inner);
        let engine = engines.get(&address).cloned().unwrap_or_else(|| {
            let nobody = FakeEngine::new();
            nobody.set_unreachable(true);
            nobody
        });
        Ok(Arc::new(CheckedEngine::new(engine)))
    }
}
