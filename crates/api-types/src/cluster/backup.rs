//! Backups of a cluster's database, and a cluster that begins with one.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::backup::{BackupDestination, BackupEncryption, BackupMethod, DEFAULT_MAX_SECONDS};
use crate::grammar;
use crate::schema::CelRule;

pub(crate) const SCHEDULE_NEEDS_DESTINATION: CelRule = (
    "(!has(self.schedule) && !has(self.drill)) || has(self.destination)",
    "spec.backup.destination is required with a schedule or a drill",
);
pub(crate) const RECOVERY_ONE_OF: CelRule = (
    "has(self.backupRef) != has(self.backupId)",
    "spec.bootstrap.recovery must have exactly one of backupRef and backupId",
);
pub(crate) const RECOVERY_DESTINATION: CelRule = (
    "has(self.backupId) == has(self.destination)",
    "spec.bootstrap.recovery.destination is required with backupId, and only with it",
);

/// Backups of a cluster's database.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = SCHEDULE_NEEDS_DESTINATION)]
#[serde(rename_all = "camelCase")]
pub struct ClusterBackup {
    /// When backups are made by themselves, as five fields of cron: minute, hour, day of the month, month, day of the
    /// week. Each begins up to a minute later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 9, max = grammar::CRON_MAX), regex(pattern = grammar::CRON))]
    pub schedule: Option<String>,
    /// Time zone of the schedules, UTC when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = grammar::TIME_ZONE_MAX), regex(pattern = grammar::TIME_ZONE))]
    pub time_zone: Option<String>,
    /// Backups of the schedule that are older are deleted, never the last good one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3650))]
    pub retention_days: Option<i32>,
    /// So many good backups of the schedule are kept, and older ones deleted. With `retentionDays` too, a backup is
    /// deleted only when both say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub keep_last: Option<i32>,
    /// How backups are made, `Logical` when left out. With `CloudNativePG` the WAL of the managed Postgres goes to
    /// `destination` all the time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<BackupMethod>,
    /// Where backups go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<BackupDestination>,
    /// Encryption of backups before they leave the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<BackupEncryption>,
    /// How long a backup may take, 3600 when left out: meanwhile the database cannot remove dead rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 60, max = 86_400))]
    pub max_seconds: Option<i32>,
    /// Restores of the last backup into a throw-away database, which prove it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<Drill>,
}

impl ClusterBackup {
    /// How long a backup may take, in seconds.
    pub fn max_seconds(&self) -> u32 {
        self.max_seconds.and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(DEFAULT_MAX_SECONDS)
    }

    /// Time zone of the schedules.
    pub fn time_zone(&self) -> &str {
        self.time_zone.as_deref().unwrap_or("UTC")
    }
}

/// When the last backup is restored into a throw-away database.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Drill {
    /// As `spec.backup.schedule`.
    #[schemars(length(min = 9, max = grammar::CRON_MAX), regex(pattern = grammar::CRON))]
    pub schedule: String,
}

/// What a new cluster begins with.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bootstrap {
    /// A backup. The database must be empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Recovery>,
}

/// The backup that a cluster begins with.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = RECOVERY_ONE_OF, validation = RECOVERY_DESTINATION)]
#[serde(rename_all = "camelCase")]
pub struct Recovery {
    /// A WorkflowBackup of this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_ref: Option<BackupRef>,
    /// Id of a backup at `destination`, whose WorkflowBackup may be gone. The id says how the backup was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = grammar::DNS_LABEL_MAX), regex(pattern = grammar::DNS_LABEL))]
    pub backup_id: Option<String>,
    /// Where the backup with `backupId` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<BackupDestination>,
    /// Name of a Secret in this namespace whose key `identity` holds the private key of an encrypted backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = grammar::DNS_SUBDOMAIN_MAX), regex(pattern = grammar::DNS_SUBDOMAIN))]
    pub identity_secret: Option<String>,
    /// The point in time to recover to, RFC 3339; only for backups by `CloudNativePG`, and not before the end of the backup,
    /// which it is when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 20, max = 40), regex(pattern = grammar::RFC3339))]
    pub target_time: Option<String>,
}

/// Names a WorkflowBackup of the same namespace.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupRef {
    /// Name of the WorkflowBackup.
    #[schemars(length(min = 1, max = grammar::DNS_LABEL_MAX), regex(pattern = grammar::DNS_LABEL))]
    pub name: String,
}
