//! How a cluster gets from the version and template that it runs to those that its spec asks for: first the schema takes in
//! what the new version needs, then one pod after the other is replaced, and when all of them are new the schema gives up
//! what only the former version needed.
//!
//! One state machine, pure: facts and `now` go in, and an [`Upgrade`] comes out, which says how far the cluster is and what
//! may be done next. Nothing is remembered between passes. What counts is the marker in the database, the Jobs, the
//! revisions of the StatefulSet and the labels and health of each pod.

pub mod migration;
pub mod revisions;
pub mod rollout;
pub mod stage;
pub mod withdrawal;

use controller_kit::plan::Deletion;
use jiff::Timestamp;

use crate::children::BuildInput;
use crate::observe::Observed;
use migration::{Migration, plan_migration};
use rollout::{Rollout, plan_rollout};
use stage::{UpgradeStage, stage_of};

/// Where the cluster stands on its way to its spec, and the next step.
#[derive(Clone, Debug, PartialEq)]
pub struct Upgrade {
    /// How far it is; `None` before there is an engine.
    pub stage: Option<UpgradeStage>,
    /// Where the schema stands.
    pub migration: Migration,
    /// Migration Jobs that the spec does not ask for.
    pub unwanted: Vec<Deletion>,
    /// Where the pods stand.
    pub rollout: Rollout,
}

/// Judges the facts.
#[must_use]
pub fn plan_upgrade(input: &BuildInput<'_>, observed: &Observed, now: Timestamp) -> Upgrade {
    let (migration, unwanted) = plan_migration(input, observed, now);
    let rollout = plan_rollout(input, observed, &migration);
    let stage = stage_of(input, observed, &migration, &rollout);
    Upgrade { stage, migration, unwanted, rollout }
}
