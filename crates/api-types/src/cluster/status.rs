//! The status of a `WorkflowCluster`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::upgrade::{StableTemplate, UpgradeStatus};
use crate::backup::DrillResult;
use crate::{grammar, schema};

/// What the cluster-controller last saw.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = schema::unseen_status()))]
pub struct WorkflowClusterStatus {
    /// The `metadata.generation` that this status was computed for; -1 until a controller saw the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = crate::UNSEEN_GENERATION))]
    pub observed_generation: Option<i64>,
    /// Phase of the cluster, in one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<ClusterPhase>,
    /// Whether the cluster does what its spec asks for.
    #[serde(default)]
    pub ready: bool,
    /// What happens now, or what is wrong and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = crate::MAX_MESSAGE_CHARS))]
    pub message: Option<String>,
    /// Whether nothing will change until a person acts: condition `Stalled` as a field, for tools that can only compare
    /// fields.
    #[serde(default)]
    pub stalled: bool,
    /// Value of the annotation `workflow.example.com/request` that the object had when this status was computed for it.
    /// Who changes that annotation together with the spec knows by it that the status speaks of that spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = grammar::LABEL_VALUE_MAX), regex(pattern = grammar::LABEL_VALUE))]
    pub observed_request: Option<String>,
    /// `Ready` always; `Reconciling`, `Stalled`, `Paused`, `Supported` while they apply; `Available`,
    /// `PostgresReachable`, `PostgresEncrypted`, `Migrated`, `UpgradeComplete`; `RotatingCredentials` while it is true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// Engine pods that exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = i32::MAX))]
    pub replicas: Option<i32>,
    /// Engine pods that are ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = i32::MAX))]
    pub ready_replicas: Option<i32>,
    /// Label selector of the engine pods, for the scale subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub selector: Option<String>,
    /// Version that every engine pod runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = grammar::SEMVER_MAX))]
    pub version: Option<String>,
    /// `version` without dots (`v1-2-3`), for tools that can only compare words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65))]
    pub version_key: Option<String>,
    /// Version of the database schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub schema_version: Option<i64>,
    /// Whether Postgres can be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres_status: Option<PostgresStatus>,
    /// Where the engine's gRPC API is served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
    /// Whether processes may be deployed now: false while the engine is rolled, migrated or unhealthy.
    #[serde(default)]
    pub accepts_deployments: bool,
    /// Ids of the keys that tokens are minted from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key_ids: Option<AccessKeyIds>,
    /// The upgrade that runs, or the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upgrade: Option<UpgradeStatus>,
    /// What a failed upgrade goes back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_stable: Option<StableTemplate>,
    /// The last WorkflowBackup of this cluster that is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_backup: Option<LastBackup>,
    /// The last restore of a backup into a throw-away database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_drill: Option<DrillResult>,
    /// The backup that the database began with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<RecoveryStatus>,
}

/// A backup that is complete.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastBackup {
    /// Name of the WorkflowBackup.
    #[schemars(length(max = grammar::DNS_LABEL_MAX))]
    pub name: String,
    /// Its id at the destination.
    #[schemars(length(max = grammar::DNS_LABEL_MAX))]
    pub id: String,
    /// When it was complete.
    #[schemars(schema_with = "schema::time")]
    pub completed_at: Time,
}

/// A backup that was restored.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryStatus {
    /// Its id at the destination.
    #[schemars(length(max = grammar::DNS_LABEL_MAX))]
    pub backup_id: String,
    /// Version of the engine that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = grammar::SEMVER_MAX))]
    pub engine_version: Option<String>,
    /// When the database was complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_time")]
    pub completed_at: Option<Time>,
    /// Process definitions that came back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub definitions: Option<i64>,
    /// Active instances that came back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub active_instances: Option<i64>,
    /// Jobs that workers had when the backup was made: they are handed out again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub leased_jobs: Option<i64>,
}

/// Ids of the keys that tokens are minted from. A key cannot be derived from its id.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessKeyIds {
    /// Key of the workers' tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub worker: Option<String>,
    /// Key of the clients' tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub client: Option<String>,
}

/// Phase of a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(description = "")] // each field of this type has its own description
pub enum ClusterPhase {
    /// Something outside is missing: Postgres, a Secret, a valid spec.
    #[default]
    Pending,
    /// The first rollout is running.
    Provisioning,
    /// The engine serves.
    Running,
    /// The engine is being changed to another version.
    Upgrading,
    /// The engine goes back to its former version or template.
    RollingBack,
    /// No engine pod runs: `stopped` is true, or `replicas` is 0.
    Stopped,
    /// The engine serves, but not with all that the spec asks for.
    Degraded,
    /// Nothing will change until a person acts.
    Failed,
    /// The cleanup runs.
    Deleting,
}

/// Whether Postgres can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(description = "")] // each field of this type has its own description
pub enum PostgresStatus {
    /// A managed Postgres is being made or started.
    Provisioning,
    /// It accepts the login of the operator.
    Healthy,
    /// A managed Postgres sleeps, because the engine is stopped.
    Hibernated,
    /// It cannot be used; condition `PostgresReachable` says why.
    Unreachable,
}

/// Where the engine's gRPC API is served.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// DNS name of the Service.
    #[schemars(length(max = grammar::DNS_SUBDOMAIN_MAX))]
    pub host: String,
    /// gRPC port.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// `https://host:port`.
    #[schemars(length(max = grammar::ENDPOINT_MAX))]
    pub url: String,
    /// DNS name or IP address under which the engine is reached from outside the Kubernetes cluster:
    /// `spec.network.externalHost`, else what the cloud gave its load balancer, else the host of the Ingress. Left out
    /// while there is none, and while a load balancer that the spec asks for has no address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = grammar::DNS_SUBDOMAIN_MAX))]
    pub external_host: Option<String>,
    /// The same as URL, with the scheme, and with the port unless it is that of the scheme.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = grammar::ENDPOINT_MAX))]
    pub external_url: Option<String>,
}
