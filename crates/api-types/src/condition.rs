//! Condition types. `Ready` is always present. `Reconciling` and `Stalled` (kstatus), `Paused` and `Supported` are
//! present only while they apply. Every other type belongs to one kind.

/// True when the object does what the spec of its `observedGeneration` asks for. Always present, on every kind.
pub const READY: &str = "Ready";
/// True while the controller works towards the spec or waits for something that ends by itself; else absent (kstatus).
pub const RECONCILING: &str = "Reconciling";
/// True while nothing will change without a person: the reason says what to do; else absent (kstatus).
pub const STALLED: &str = "Stalled";
/// True while `spec.paused` is set; else absent.
pub const PAUSED: &str = "Paused";
/// False while the spec uses a field that is stored but not acted on: the message names the fields and what to do
/// instead; else absent.
pub const SUPPORTED: &str = "Supported";

/// Cluster: at least one engine pod is ready to serve.
pub const AVAILABLE: &str = "Available";
/// Cluster: Postgres accepts the given credentials.
pub const POSTGRES_REACHABLE: &str = "PostgresReachable";
/// Cluster: the connection to Postgres is encrypted; the reason says whether the server was verified, too. Both as of
/// the latest login.
pub const POSTGRES_ENCRYPTED: &str = "PostgresEncrypted";
/// Cluster: the database schema is the one that the version needs.
pub const MIGRATED: &str = "Migrated";
/// Cluster: every pod runs the version of the spec.
pub const UPGRADE_COMPLETE: &str = "UpgradeComplete";
/// Cluster: True while tokens and keys of the engine are being replaced; else absent.
pub const ROTATING_CREDENTIALS: &str = "RotatingCredentials";

/// Tenant: the engine holds the tenant as the spec says.
pub const SYNCED: &str = "Synced";
/// Tenant: usage is below every quota.
pub const WITHIN_QUOTA: &str = "WithinQuota";
/// Tenant: every namespace that it is granted to has the Secret of its clients, with its current content.
pub const CLIENT_ACCESS: &str = "ClientAccess";

/// Process: the source was read and its BPMN accepted by the linter.
pub const VALID: &str = "Valid";
/// Process: the repository or artifact that the source is in can be read. False says which revision was tried, why it cannot be
/// had, and since when; what runs stays. Only with `gitRef` and `fluxRef`.
pub const SOURCE_READY: &str = "SourceReady";
/// Process: the engine runs exactly the bytes that were validated.
pub const DEPLOYED: &str = "Deployed";
/// Process: every job type of the definition has a `WorkflowWorker`.
pub const WORKERS_AVAILABLE: &str = "WorkersAvailable";

/// Worker: every pod runs the current template and is ready.
pub const ROLLOUT_COMPLETE: &str = "RolloutComplete";
/// Worker: the autoscaler gets its metrics.
pub const METRICS_AVAILABLE: &str = "MetricsAvailable";
