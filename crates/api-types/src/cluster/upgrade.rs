//! How a `WorkflowCluster` is brought to another version or template, and how far it is.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{grammar, schema};

mod gate;
mod window;

pub use gate::{UpgradeGate, UpgradeGateName};
pub use window::{MaintenanceWindow, Weekday};

/// Seconds that a new pod is watched when the spec names none.
pub const DEFAULT_HEALTH_SECONDS: u32 = 60;

/// Times as long as before that work may take when the spec names none.
pub const DEFAULT_MAX_REGRESSION: u32 = 3;

/// How another version, or another pod template, reaches the engine's pods.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Upgrade {
    /// The first pod that gets a new template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
    /// Seconds that all pods of another version must be healthy before the schema gives up what the former version needs,
    /// 0 to 86400; `canary.healthSeconds` when left out. Until then the engine can go back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86_400))]
    pub soak_seconds: Option<i32>,
    /// How many times as long as the slowest pod of the former template a pod of the new one may take for the small process
    /// that both are asked to run, 2 to 100; 3 when left out. A pod that stays slower than that is not healthy. Less than
    /// half a second is never slow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 100))]
    pub max_regression: Option<i32>,
    /// Whether pods that do not get healthy are replaced by those of the former template; true when left out. Otherwise
    /// the upgrade stops there and waits for another spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_rollback: Option<bool>,
    /// When the schema gives up what the former version needs, after which the engine cannot go back; `Automatic` when
    /// left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finalize: Option<Finalize>,
    /// When pods may be replaced and the schema may be changed, at most 16 windows; at any time when left out. Outside of
    /// them an upgrade stays where it is. Going back, scaling, stopping and starting do not wait.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub maintenance_windows: Vec<MaintenanceWindow>,
}

/// The first pod that gets a new template.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Canary {
    /// Whether one pod is watched alone before the others follow; true when left out. The annotation
    /// `workflow.example.com/skip-canary: "true"` has the same effect as false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Seconds that it must be healthy without a break, 5 to 86400; 60 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 5, max = 86_400))]
    pub health_seconds: Option<i32>,
}

/// When an upgrade becomes final.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(description = "")] // each field of this type has its own description
pub enum Finalize {
    /// When all pods have been healthy for `soakSeconds`.
    #[default]
    Automatic,
    /// Also not before the annotation `workflow.example.com/finalize-upgrade` names the version.
    Manual,
}

impl Upgrade {
    /// Whether one pod is watched alone first.
    pub fn has_canary(&self) -> bool {
        self.canary.as_ref().and_then(|canary| canary.enabled).unwrap_or(true)
    }

    /// Seconds that the canary must be healthy.
    pub fn health_seconds(&self) -> u32 {
        let given = self.canary.as_ref().and_then(|canary| canary.health_seconds);
        given.and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(DEFAULT_HEALTH_SECONDS)
    }

    /// Seconds that all pods must be healthy before the upgrade becomes final.
    pub fn soak_seconds(&self) -> u32 {
        let given = self.soak_seconds.and_then(|seconds| u32::try_from(seconds).ok());
        given.unwrap_or_else(|| self.health_seconds())
    }

    /// How many times as long as before work may take.
    pub fn max_regression(&self) -> u32 {
        self.max_regression.and_then(|times| u32::try_from(times).ok()).unwrap_or(DEFAULT_MAX_REGRESSION)
    }

    /// Whether a failed upgrade goes back by itself.
    pub fn rolls_back(&self) -> bool {
        self.auto_rollback.unwrap_or(true)
    }

    /// When the upgrade becomes final.
    pub fn finalize(&self) -> Finalize {
        self.finalize.unwrap_or_default()
    }
}

/// How far an upgrade is. A stage says what has been done, and so what can still be undone. A change of the pod template
/// without one of the version leaves out the stages of the schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[schemars(description = "")] // each field of this type has its own description
pub enum UpgradeStage {
    /// Nothing has begun; what must be true first is checked.
    #[default]
    Preflight,
    /// Every condition is met, and nothing has begun.
    Planned,
    /// Nothing has begun: a backup is awaited, because the annotation `workflow.example.com/backup-before-upgrade` asks for
    /// one.
    BackingUp,
    /// The schema takes in what the new version needs. The former version still works on it.
    Expanding,
    /// One pod has the new template and is watched.
    Canary,
    /// The other pods follow, one by one.
    Rolling,
    /// Every pod has the new template and is watched; the engine can still go back.
    Soaking,
    /// The schema gives up what only the former version needed: there is no way back.
    Contracting,
    /// Pods and schema are as the spec says; each process confirms that the engine still has its definition.
    Verifying,
    /// Pods and schema are as the spec says, and nothing is left to do.
    Done,
    /// Pods get the former template again.
    RollingBack,
    /// The upgrade failed, and every pod has the former template again; another spec begins anew.
    RolledBack,
    /// The upgrade failed and stays where it is: the spec rules out that it goes back by itself.
    Failed,
}

impl UpgradeStage {
    /// Every stage, in the order of an upgrade.
    pub const ALL: [Self; 13] = [
        Self::Preflight,
        Self::Planned,
        Self::BackingUp,
        Self::Expanding,
        Self::Canary,
        Self::Rolling,
        Self::Soaking,
        Self::Contracting,
        Self::Verifying,
        Self::Done,
        Self::RollingBack,
        Self::RolledBack,
        Self::Failed,
    ];

    /// Whether the upgrade goes on by itself, or waits for a person to let it.
    pub const fn is_on_its_way(self) -> bool {
        !matches!(self, Self::Done | Self::RolledBack | Self::Failed)
    }

    /// The word in the status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Preflight => "Preflight",
            Self::Planned => "Planned",
            Self::BackingUp => "BackingUp",
            Self::Expanding => "Expanding",
            Self::Canary => "Canary",
            Self::Rolling => "Rolling",
            Self::Soaking => "Soaking",
            Self::Contracting => "Contracting",
            Self::Verifying => "Verifying",
            Self::Done => "Done",
            Self::RollingBack => "RollingBack",
            Self::RolledBack => "RolledBack",
            Self::Failed => "Failed",
        }
    }
}

/// The upgrade that runs, or the last one.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpgradeStatus {
    /// Version that the engine comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = grammar::SEMVER_MAX))]
    pub from: Option<String>,
    /// Version that it goes to; the same as `from` when only the pod template changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = grammar::SEMVER_MAX))]
    pub to: Option<String>,
    /// How far it is.
    pub stage: UpgradeStage,
    /// Since when it is in this stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_time")]
    pub stage_since: Option<Time>,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_time")]
    pub started_at: Option<Time>,
    /// Digest of what the upgrade goes from and to. Another spec has another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub plan_hash: Option<String>,
    /// What holds the upgrade in its stage, and what lets it go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<UpgradeGate>,
    /// Engine pods that have the new template, while it reaches them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = i32::MAX))]
    pub step: Option<i32>,
    /// Name of the pod that gets the new template first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = grammar::DNS_SUBDOMAIN_MAX))]
    pub canary_pod: Option<String>,
    /// Whether the engine can go back to `from`.
    pub rollbackable: bool,
    /// Since when every pod with the new template has been healthy without a break.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_time")]
    pub healthy_since: Option<Time>,
    /// Since when a pod with the new template has been unhealthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_time")]
    pub unhealthy_since: Option<Time>,
    /// Why the last attempt of this plan failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<UpgradeFailure>,
}

/// Why an upgrade failed.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpgradeFailure {
    /// Stage that it failed in.
    pub stage: UpgradeStage,
    /// What was wrong, with the name of the pod.
    #[schemars(length(max = crate::MAX_MESSAGE_CHARS))]
    pub message: String,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_time")]
    pub at: Option<Time>,
}

/// Version and pod template that every pod has had and been healthy with: what a failed upgrade goes back to.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StableTemplate {
    /// Version of the engine.
    #[schemars(length(max = grammar::SEMVER_MAX))]
    pub version: String,
    /// Digest of the pod template.
    #[schemars(length(max = 64))]
    pub template_digest: String,
    /// Name of the ControllerRevision that holds the template.
    #[schemars(length(max = grammar::DNS_SUBDOMAIN_MAX))]
    pub revision: String,
}
