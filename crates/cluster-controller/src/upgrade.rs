//! How a cluster gets from the version and template that it runs to those that its spec asks for: first the schema takes in
//! what the new version needs, then one pod is replaced and watched, then the others, one after the other, and when all of
//! them have been healthy for a while the schema gives up what only the former version needed. Until then pods that do not
//! get healthy are replaced by those of the former template.
//!
//! One state machine ([`machine`]), pure: the stage in the status, facts and `now` go in, and an [`Upgrade`] comes out, which
//! says what may be done next and what the status shall say. What holds it in a stage is a gate ([`gates`]). What counts
//! are the facts: the marker in the database, the Jobs, the revisions of the StatefulSet and the labels and health of each
//! pod.

pub mod gates;
pub mod health;
pub mod machine;
pub mod migration;
pub mod revisions;
pub mod rollout;
pub mod withdrawal;

use api_types::cluster::{StableTemplate, UpgradeStage, UpgradeStatus};
use api_types::labels::{BACKUP_BEFORE_UPGRADE, SKIP_CANARY};
use controller_kit::plan::Deletion;
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;

use crate::children::stateful_set::{applied_digest, version_of, wanted_digest};
use crate::children::{BuildInput, knows_claims};
use crate::observe::Observed;
use gates::{Scene, closed_gate};
use health::judge_new_pods;
use machine::{Facts, Permit, Pods, Policy, Schema, Spread, Template, advance, permit};
use migration::{JobState, Migration, plan_migration};
use revisions::{is_uniform, wanted_revision};
use rollout::{EngineTemplate, Rollout, plan_rollout};

/// Where the cluster stands on its way to its spec, and the next step.
#[derive(Clone, Debug, PartialEq)]
pub struct Upgrade {
    /// What the status shall say of it; `None` before the first.
    pub record: Option<UpgradeStatus>,
    /// What a failed upgrade goes back to; `None` before the engine was complete for the first time.
    pub stable: Option<StableTemplate>,
    /// What this pass may do.
    pub permit: Permit,
    /// Where the schema stands.
    pub migration: Migration,
    /// Migration Jobs that the spec does not ask for.
    pub unwanted: Vec<Deletion>,
    /// Where the pods stand.
    pub rollout: Rollout,
}

impl Upgrade {
    /// The stage; `None` before the first upgrade.
    #[must_use]
    pub fn stage(&self) -> Option<UpgradeStage> {
        self.record.as_ref().map(|record| record.stage)
    }

    /// The Job to create, if one is missing and allowed.
    #[must_use]
    pub fn missing_job(&self) -> Option<&k8s_openapi::api::batch::v1::Job> {
        match &self.migration {
            Migration::Needed { job, state: JobState::Missing, .. } if self.permit.job => Some(job),
            _ => None,
        }
    }
}

/// Judges the facts.
#[must_use]
pub fn plan_upgrade(input: &BuildInput<'_>, observed: &Observed, now: Timestamp) -> Upgrade {
    let status = input.cluster.status.as_ref();
    let former = status.and_then(|status| status.upgrade.as_ref());
    let stable = status.and_then(|status| status.last_stable.as_ref());
    let (migration, unwanted) = plan_migration(input, observed, now);
    let (to, wanted) = (input.target.version.to_string(), wanted_digest(input, &input.target.version));
    let set = observed.children.stateful_set();
    let canary = format!("{}-{}", input.engine_name(), input.cluster.spec.engine_pods() - 1);
    let facts = Facts {
        to: &to,
        wanted: &wanted,
        live: set.and_then(applied_digest),
        stable: stable.filter(|_| set.is_some()),
        schema: schema_of(&migration),
        gate: None,
        pods: Pods {
            exist: input.cluster.spec.engine_pods() > 0,
            spread: match set {
                _ if observed.is_rolled_out(input.cluster.spec.engine_pods()) => Spread::Settled,
                Some(set) if is_uniform(set, &observed.pods) => Spread::Uniform,
                _ => Spread::Mixed,
            },
            of_live: i32::try_from(observed.replaced_pods()).unwrap_or(i32::MAX),
            canary: Some(&canary),
            revision: set.and_then(wanted_revision),
            health: judge_new_pods(observed, input.cluster.spec.upgrade().max_regression(), now),
        },
        policy: policy_of(input),
    };
    let gate = former.and_then(|record| {
        let plan_hash = facts.plan_hash();
        closed_gate(&Scene { input, observed, migration: &migration, record, plan_hash: &plan_hash, now })
    });
    let facts = Facts { gate: gate.as_ref(), ..facts };
    let permit = permit(former, &facts);
    // An engine that knows claims is not started before it can be given its own.
    let lacks_claim = knows_claims(&input.target.version) && input.claim.is_none();
    let template = match permit.template {
        Template::Live => set.and_then(version_of).map(EngineTemplate::Wanted),
        Template::Wanted if lacks_claim => set.and_then(EngineTemplate::of_live),
        Template::Wanted => Some(EngineTemplate::Wanted(input.target.version.clone())),
        Template::Stable => stable.and_then(|stable| EngineTemplate::of_stable(stable, observed)),
    };
    let rollout = plan_rollout(input, observed, template, permit.pods);
    let advance = if input.cluster.spec.is_paused() {
        machine::Advance { upgrade: former.cloned(), stable: stable.cloned() }
    } else {
        advance(former, &facts, now)
    };
    let (record, stable) = (advance.upgrade, advance.stable);
    Upgrade { record, stable, permit, migration, unwanted, rollout }
}

fn schema_of(migration: &Migration) -> Schema {
    match migration {
        Migration::Done => Schema::Current,
        Migration::Unknown | Migration::Withdrawn { .. } => Schema::Closed,
        Migration::Refused { .. } => Schema::Refused,
        admitting if admitting.admits_target() => Schema::Expanded,
        Migration::Needed { .. } | Migration::Expanded => Schema::Former,
    }
}

fn policy_of(input: &BuildInput<'_>) -> Policy {
    let spec = input.cluster.spec.upgrade();
    let annotation = |name: &str| input.cluster.annotations().get(name).map(String::as_str);
    let seconds = |seconds: u32| SignedDuration::from_secs(seconds.into());
    Policy {
        canary: spec.has_canary() && annotation(SKIP_CANARY) != Some("true"),
        health: seconds(spec.health_seconds()),
        soak: seconds(spec.soak_seconds()),
        rolls_back: spec.rolls_back(),
        backs_up: annotation(BACKUP_BEFORE_UPGRADE) == Some("true"),
    }
}

#[cfg(test)]
mod model;
