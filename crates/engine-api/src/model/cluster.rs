use std::collections::BTreeSet;

use jiff::Timestamp;

/// What the answering engine node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineInfo {
    /// Which engine this is: [`ENGINE_KIND`](super::ENGINE_KIND) or a foreign engine's name.
    pub engine_kind: String,
    /// `SemVer` of the answering node.
    pub version: String,
    /// Number of the newest applied schema migration.
    pub schema_version: i64,
    /// The oldest schema that this binary can serve.
    pub min_schema_version: i64,
    /// The newest schema that this binary can serve.
    pub max_schema_version: i64,
    /// Name of the answering node (the pod's name).
    pub node_id: String,
    /// All nodes seen within the last 15 s.
    pub nodes: Vec<Node>,
    /// What the engine can do, for instance `tenants`, `tenant-quotas`, `tenant-rls`, `job-lag`. A call beyond them
    /// is [`ErrorClass::Unsupported`](crate::ErrorClass::Unsupported).
    pub capabilities: BTreeSet<String>,
    /// When the answering node started.
    pub started_at: Timestamp,
}

impl EngineInfo {
    /// Whether the engine announces `capability`.
    pub fn has(&self, capability: &str) -> bool {
        self.capabilities.contains(capability)
    }
}

/// One engine node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Name of the node (the pod's name).
    pub id: String,
    /// `SemVer` of the node.
    pub version: String,
    /// The node's last sign of life.
    pub last_seen_at: Timestamp,
}

/// How well something works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HealthState {
    /// All is well.
    Serving,
    /// Works, with a loss that somebody should look at.
    Degraded,
    /// Does not work.
    NotServing,
}

/// A part of the engine that can fail by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HealthComponent {
    /// The connection to Postgres.
    Database,
    /// The schema is within the range of this binary.
    Schema,
    /// Leases that ran out are given to other workers.
    Leases,
    /// A component that this client does not know: the engine is newer.
    Other,
}

/// How the engine feels: its own judgement, not the readiness of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineHealth {
    /// The worst of the checks.
    pub overall: HealthState,
    /// One per component.
    pub checks: Vec<HealthCheck>,
}

/// How one component feels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// What was looked at.
    pub component: HealthComponent,
    /// What was found.
    pub state: HealthState,
    /// Why the state is not [`HealthState::Serving`]; at most 256 characters.
    pub reason: Option<String>,
    /// Since when the state has been what it is; `None` when the engine does not say.
    pub since: Option<Timestamp>,
}
