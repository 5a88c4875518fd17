//! What holds an upgrade.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What must be true before an upgrade goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[schemars(description = "")] // each field of this type has its own description
pub enum UpgradeGateName {
    /// The version may follow the running one, and this installation supports it.
    #[default]
    Version,
    /// The database answers, and no migration of another spec is at work.
    Database,
    /// No engine pod starts or ends.
    EnginePods,
    /// A window of `spec.upgrade.maintenanceWindows` is open.
    MaintenanceWindow,
    /// A backup was made for this plan, if one is asked for; and none is being made while the schema changes.
    Backup,
    /// A person agreed that the upgrade becomes final.
    Finalize,
    /// Each process confirmed its definition.
    Definitions,
}

/// A condition that is not met, and holds an upgrade.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpgradeGate {
    /// Which condition.
    pub name: UpgradeGateName,
    /// What would let the upgrade go on.
    #[schemars(length(max = crate::MAX_MESSAGE_CHARS))]
    pub opens_when: String,
}
