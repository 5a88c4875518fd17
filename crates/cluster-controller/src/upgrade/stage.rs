//! How far an upgrade is, in one word. A stage says what has been done, and so what can still be undone.

use serde::{Deserialize, Serialize};

use super::migration::{JobState, Migration};
use super::rollout::Rollout;
use crate::children::BuildInput;
use crate::children::migration_job::UpTo;
use crate::children::stateful_set::version_of;
use crate::observe::Observed;

/// The stages in their order. A change of the template without one of the version only passes `Rolling`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum UpgradeStage {
    /// Nothing has begun: the step is refused, or the database cannot be asked, or a Job of another spec must end first.
    Preflight,
    /// The schema takes in what the new version needs. The former version still works on it.
    Expanding,
    /// Pods are replaced. The former version still works on the schema.
    Rolling,
    /// Every pod is new, and the schema gives up what only the former version needed: there is no way back.
    Contracting,
    /// Pods and schema are as the spec says.
    Done,
}

impl UpgradeStage {
    /// As it stands in a status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Preflight => "Preflight",
            Self::Expanding => "Expanding",
            Self::Rolling => "Rolling",
            Self::Contracting => "Contracting",
            Self::Done => "Done",
        }
    }
}

/// The stage; `None` before there is an engine. Scaling is no upgrade.
#[must_use]
pub fn stage_of(
    input: &BuildInput<'_>,
    observed: &Observed,
    migration: &Migration,
    rollout: &Rollout,
) -> Option<UpgradeStage> {
    let set = observed.children.stateful_set()?;
    let of_pods = if rollout.is_rolling { UpgradeStage::Rolling } else { UpgradeStage::Done };
    Some(match migration {
        // The pods of a version that is admitted already are replaced all the same.
        Migration::Unknown if version_of(set).as_ref() == Some(&input.target.version) => of_pods,
        Migration::Unknown | Migration::Refused { .. } | Migration::Withdrawn { .. } => {
            UpgradeStage::Preflight
        }
        Migration::Needed { up_to: UpTo::Expand, state: JobState::Succeeded, .. } | Migration::Expanded => {
            UpgradeStage::Rolling
        }
        Migration::Needed { up_to: UpTo::Expand, .. } => UpgradeStage::Expanding,
        Migration::Needed { up_to: UpTo::All, .. } => UpgradeStage::Contracting,
        Migration::Done => of_pods,
    })
}

#[cfg(test)]
mod tests;
