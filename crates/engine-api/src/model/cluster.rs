use std::{collections::BTreeSet, fmt, time::Duration};

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
    /// What the engine can do: the names of [`Capability`], and perhaps of others, which a newer engine has. A call
    /// beyond them is [`ErrorClass::Unsupported`](crate::ErrorClass::Unsupported).
    pub capabilities: BTreeSet<String>,
    /// When the answering node started.
    pub started_at: Timestamp,
}

impl EngineInfo {
    /// Whether the engine announces `capability`.
    pub fn has(&self, capability: Capability) -> bool {
        self.capabilities.contains(capability.as_str())
    }
}

macro_rules! capabilities {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)*) => {
        /// What not every engine can do. Whoever needs one asks for it first.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Capability { $($(#[$doc])* $variant,)* }

        impl Capability {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

capabilities! {
    /// Tenants are created, listed and deleted.
    Tenants => "tenants",
    /// A tenant's use is limited.
    TenantQuotas => "tenant-quotas",
    /// The database itself keeps tenants apart.
    TenantRls => "tenant-rls",
    /// Deleting a tenant deletes what runs in it.
    TenantPurge => "tenant-purge",
    /// Open incidents are counted.
    Incidents => "incidents",
    /// How long jobs wait is reported as it changes.
    JobLag => "job-lag",
    /// Workers are sent jobs as they come.
    JobStream => "job-stream",
    /// Some calls are also served in JSON.
    JsonGateway => "json-gateway",
    /// Instances and incidents are listed, changed and ended.
    Instances => "instances",
    /// A node can run a small process as a test of itself.
    Canary => "canary",
    /// Deployed documents can be read.
    ProcessDocuments => "process-documents",
    /// Running instances are counted by the elements that they wait at.
    WaitingInstances => "waiting-instances",
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
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

/// The health of the engine: its own judgement, not the readiness of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineHealth {
    /// The worst of the checks.
    pub overall: HealthState,
    /// One per component.
    pub checks: Vec<HealthCheck>,
}

/// The health of one component.
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

/// The result of a small process that a node ran as a test of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanaryReport {
    /// What went wrong; `None` = everything was done.
    pub failure: Option<CanaryFailure>,
    /// How long the steps took.
    pub took: Duration,
}

/// Why a node did not complete its test process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanaryFailure {
    /// The step that failed.
    pub step: CanaryStep,
    /// Why; at most 256 characters.
    pub message: String,
}

/// The steps of the test process, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CanaryStep {
    /// Its tenant is made.
    Prepare,
    /// A process is deployed.
    Deploy,
    /// An instance is started.
    Start,
    /// Its job is activated.
    Activate,
    /// The job is completed.
    Complete,
    /// The instance is read, and has ended.
    ReadBack,
}

impl CanaryStep {
    /// The step in words, as in "failed to …".
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prepare => "make a tenant",
            Self::Deploy => "deploy a process",
            Self::Start => "start an instance",
            Self::Activate => "activate its job",
            Self::Complete => "complete the job",
            Self::ReadBack => "read the ended instance",
        }
    }
}
