//! What holds an upgrade in its stage: one condition per module, each of which says what would let the upgrade go on. Pure.

pub mod backup;
pub mod database;
pub mod definitions;
pub mod engine_pods;
pub mod finalize;
pub mod version;
pub mod window;

use api_types::cluster::{UpgradeGate, UpgradeGateName, UpgradeStage, UpgradeStatus};
use jiff::Timestamp;

use super::migration::Migration;
use crate::children::BuildInput;
use crate::observe::Observed;

/// What a condition is judged by.
pub struct Scene<'a> {
    /// The cluster, and what its spec asks for.
    pub input: &'a BuildInput<'a>,
    /// The world.
    pub observed: &'a Observed,
    /// Where the schema stands.
    pub migration: &'a Migration,
    /// The upgrade as the status shows it.
    pub record: &'a UpgradeStatus,
    /// Hash of the plan that the spec makes.
    pub plan_hash: &'a str,
    /// When it is judged.
    pub now: Timestamp,
}

impl Scene<'_> {
    fn annotation(&self, name: &str) -> Option<&str> {
        self.input.cluster.metadata.annotations.as_ref()?.get(name).map(String::as_str)
    }
}

/// What would let the upgrade go on, if the condition is not met.
type Gate = fn(&Scene<'_>) -> Option<String>;

/// The conditions of each stage, in the order in which they are checked. Going back waits for nothing.
fn gates_of(stage: UpgradeStage) -> &'static [(UpgradeGateName, Gate)] {
    use UpgradeGateName as Name;
    match stage {
        UpgradeStage::Preflight => &[
            (Name::Version, version::closed),
            (Name::Database, database::closed),
            (Name::EnginePods, engine_pods::closed),
        ],
        UpgradeStage::Planned => {
            &[(Name::MaintenanceWindow, window::closed), (Name::Backup, backup::is_at_work)]
        }
        UpgradeStage::BackingUp => &[
            (Name::Backup, backup::closed),
            (Name::MaintenanceWindow, window::closed),
            (Name::Backup, backup::is_at_work),
        ],
        UpgradeStage::Canary | UpgradeStage::Rolling => {
            &[(Name::MaintenanceWindow, window::closed), (Name::EnginePods, engine_pods::closed)]
        }
        UpgradeStage::Soaking => &[
            (Name::Finalize, finalize::closed),
            (Name::MaintenanceWindow, window::closed),
            (Name::Backup, backup::is_at_work),
        ],
        UpgradeStage::Verifying => &[(Name::Definitions, definitions::closed)],
        UpgradeStage::Expanding
        | UpgradeStage::Contracting
        | UpgradeStage::Done
        | UpgradeStage::RollingBack
        | UpgradeStage::RolledBack
        | UpgradeStage::Failed => &[],
    }
}

/// The first condition of the present stage that is not met.
#[must_use]
pub fn closed_gate(scene: &Scene<'_>) -> Option<UpgradeGate> {
    gates_of(scene.record.stage)
        .iter()
        .find_map(|(name, closed)| closed(scene).map(|opens_when| UpgradeGate { name: *name, opens_when }))
}

#[cfg(test)]
mod tests;
