//! `WorkflowBackup`: one backup of the database of a cluster.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::grammar;
use crate::reference::DeletionPolicy;
use crate::schema::{self, CelRule};

mod destination;
mod reason;

pub use destination::{
    BackupDestination, BackupEncryption, BackupMethod, IDENTITY_KEY, RECIPIENT_KEY, S3_ACCESS_KEY_ID,
    S3_SECRET_ACCESS_KEY, S3_SESSION_TOKEN, S3Destination, VolumeDestination,
};
pub(crate) use destination::{DESTINATION_ONE_OF, PATH_INSIDE};
pub use reason::BackupReason;

/// How long a backup may take when nothing says so, in seconds.
pub const DEFAULT_MAX_SECONDS: u32 = 3600;

pub(crate) const NAME: CelRule = (
    "self.metadata.name.size() <= 63 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
    "metadata.name must be at most 63 characters of a-z, 0-9 and '-', starting and ending with a letter or digit: it is part of the backup's id",
);
const SPEC_IMMUTABLE: CelRule = (
    "self.clusterRef == oldSelf.clusterRef && has(self.method) == has(oldSelf.method) && (!has(self.method) || self.method == oldSelf.method) && has(self.destination) == has(oldSelf.destination) && (!has(self.destination) || self.destination == oldSelf.destination)",
    "spec.clusterRef, spec.method and spec.destination are immutable: a backup is made once; create a new WorkflowBackup",
);

/// One backup of the database of a cluster. It outlives the cluster.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "workflow.example.com",
    version = "v1alpha1",
    kind = "WorkflowBackup",
    doc = "One backup of the database of a cluster. It outlives the cluster.",
    namespaced,
    status = "WorkflowBackupStatus",
    derive = "PartialEq",
    shortname = "wfb",
    category = "workflow",
    validation = NAME,
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Ready", type_ = "boolean", json_path = ".status.ready"),
    printcolumn(name = "Cluster", type_ = "string", json_path = ".spec.clusterRef.name"),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.engineVersion"),
    printcolumn(name = "Size", type_ = "integer", json_path = ".status.sizeBytes", description = "Bytes at the destination"),
    printcolumn(name = "Completed", type_ = "date", json_path = ".status.completedAt"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(validation = SPEC_IMMUTABLE)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowBackupSpec {
    /// The cluster whose database is backed up, in this namespace. Immutable.
    pub cluster_ref: BackupClusterRef,
    /// How the backup is made; that of the cluster's `spec.backup.method` when left out. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<BackupMethod>,
    /// Where the backup goes; the cluster's `spec.backup.destination` when left out. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<BackupDestination>,
    /// `Delete` (default) removes what the backup left at the destination with the object; `Retain` leaves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// Stops all writes to owned objects; the status is still reported and deletion still works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
}

impl WorkflowBackupSpec {
    /// Whether writes to owned objects are stopped.
    pub fn is_paused(&self) -> bool {
        self.paused == Some(true)
    }

    /// What happens on deletion; `Delete` when the spec says nothing.
    pub fn deletion_policy(&self) -> DeletionPolicy {
        self.deletion_policy.unwrap_or_default()
    }
}

/// Names a `WorkflowCluster` of the same namespace: its Secrets can be read nowhere else.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupClusterRef {
    /// Name of the `WorkflowCluster`.
    #[schemars(length(min = 1, max = grammar::DNS_LABEL_MAX), regex(pattern = grammar::DNS_LABEL))]
    pub name: String,
}

/// What the backup-controller last saw.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = schema::unseen_status()))]
pub struct WorkflowBackupStatus {
    /// The `metadata.generation` that this status was computed for; -1 until a controller saw the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = crate::UNSEEN_GENERATION))]
    pub observed_generation: Option<i64>,
    /// Phase of the backup, in one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<BackupPhase>,
    /// Whether the backup is complete and was verified.
    #[serde(default)]
    pub ready: bool,
    /// What happens now, or what is wrong and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = crate::MAX_MESSAGE_CHARS))]
    pub message: Option<String>,
    /// `Ready` always; `Reconciling`, `Stalled`, `Paused` while they apply.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// Id of the backup at its destination: with the destination it is all that a restore needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = grammar::DNS_LABEL_MAX))]
    pub backup_id: Option<String>,
    /// Name of this object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = grammar::DNS_LABEL_MAX))]
    pub backup_name: Option<String>,
    /// Where the backup is, as one word: `s3://bucket/prefix/id` or `volume://claim/path/id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub destination: Option<String>,
    /// Where the backup is and how it was encrypted, as the backup was begun with: the cluster may be gone since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artefact: Option<BackupArtefact>,
    /// Bytes at the destination.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub size_bytes: Option<i64>,
    /// When it was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_time")]
    pub started_at: Option<Time>,
    /// When it was complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_time")]
    pub completed_at: Option<Time>,
    /// Version of the engine that the database served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = grammar::SEMVER_MAX))]
    pub engine_version: Option<String>,
    /// Version of the database schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub schema_version: Option<i64>,
    /// Digest of every row, independent of their order. A restore has the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub digest: Option<String>,
    /// Jobs that were leased when the backup was made: after a restore they come again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub leased_jobs: Option<i64>,
    /// The last time that the backup was restored into a throw-away database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_drill: Option<DrillResult>,
}

/// Where a backup is, and how it was encrypted.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupArtefact {
    /// How the backup was made.
    pub method: BackupMethod,
    /// Where it is.
    pub destination: BackupDestination,
    /// For a base backup: the name under which the Postgres archives its WAL, a folder at the destination.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = grammar::DNS_LABEL_MAX))]
    pub server_name: Option<String>,
    /// How it was encrypted; left out when it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<BackupEncryption>,
}

/// A restore drill.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DrillResult {
    /// When it ended.
    #[schemars(schema_with = "schema::time")]
    pub at: Time,
    /// Whether every row came back.
    pub succeeded: bool,
    /// How long the restore took.
    #[schemars(range(min = 0, max = 1_000_000_000_i64))]
    pub seconds: i64,
    /// The WorkflowBackup that was restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = grammar::DNS_LABEL_MAX))]
    pub backup_name: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = crate::MAX_MESSAGE_CHARS))]
    pub message: Option<String>,
}

/// Phase of a backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(description = "")] // each field of this type has its own description
pub enum BackupPhase {
    /// Something outside is missing, or another backup runs.
    #[default]
    Pending,
    /// It is being made.
    Running,
    /// It is complete.
    Completed,
    /// It will not be tried again.
    Failed,
    /// What it left at the destination is being deleted.
    Deleting,
}
