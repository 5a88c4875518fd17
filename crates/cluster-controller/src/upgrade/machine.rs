//! The stages of an upgrade. From the stage that the status shows and from the facts follows the next stage. Pure.
//!
//! A stage is written to the status before anything is done that it allows: what a pass may do is decided by the stage
//! that an earlier pass wrote ([`permit`]), and what it writes is decided by the facts ([`advance`]).

use api_types::cluster::{StableTemplate, UpgradeFailure, UpgradeGate, UpgradeStage as Stage, UpgradeStatus};
use controller_kit::plan::digest;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use super::health::Health;

/// Characters of the digest that names a plan.
const PLAN_HASH_LENGTH: usize = 16;
/// A pod has at least so long to get over a problem, whatever the spec says.
const MIN_PATIENCE: SignedDuration = SignedDuration::from_secs(30);

/// What the machine decides on.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts<'a> {
    /// Version of the spec.
    pub to: &'a str,
    /// Digest of the spec's pod template.
    pub wanted: &'a str,
    /// Digest of the pod template that was applied last.
    pub live: Option<&'a str>,
    /// What every pod had last, healthy.
    pub stable: Option<&'a StableTemplate>,
    /// Where the schema stands.
    pub schema: Schema,
    /// What holds the upgrade in the stage that the status shows.
    pub gate: Option<&'a UpgradeGate>,
    /// The pods.
    pub pods: Pods<'a>,
    /// What the spec and a person's annotations ask for.
    pub policy: Policy,
}

/// Where the schema stands, as far as the stages depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    /// The database cannot be asked, or a Job of another spec must end first.
    Closed,
    /// The step to the spec's version is not allowed.
    Refused,
    /// It must take in what the new version needs.
    Former,
    /// It serves both versions.
    Expanded,
    /// It is that of the spec's version.
    Current,
}

/// The engine's pods.
#[derive(Clone, Debug, PartialEq)]
pub struct Pods<'a> {
    /// Whether there are any, or shall be.
    pub exist: bool,
    /// Whether all have the live template.
    pub spread: Spread,
    /// Pods of the live template.
    pub of_live: i32,
    /// The pod that gets a new template first.
    pub canary: Option<&'a str>,
    /// Name of the ControllerRevision of the live template.
    pub revision: Option<&'a str>,
    /// Health of the pods that have the live template.
    pub health: Health,
}

/// Which pods have the live template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// Some have another one, or Kubernetes has not seen the live one yet.
    Mixed,
    /// All that are there.
    Uniform,
    /// All, and they are ready and as many as the spec asks for.
    Settled,
}

/// What the spec and a person's annotations ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// One pod is watched alone before the others follow.
    pub canary: bool,
    /// How long it must be healthy.
    pub health: SignedDuration,
    /// How long all pods must be healthy before the upgrade becomes final.
    pub soak: SignedDuration,
    /// A failed upgrade goes back by itself.
    pub rolls_back: bool,
    /// A backup is made before anything is changed for another version.
    pub backs_up: bool,
}

/// The next status.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Advance {
    /// The upgrade.
    pub upgrade: Option<UpgradeStatus>,
    /// What a failed upgrade goes back to.
    pub stable: Option<StableTemplate>,
}

/// Which pod template a pass may apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Template {
    /// That of the spec.
    Wanted,
    /// That which every pod had last.
    Stable,
    /// As it is, of the version that it is.
    Live,
}

/// What a pass may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit {
    /// Template of the StatefulSet.
    pub template: Template,
    /// Whether a migration Job may be created.
    pub job: bool,
    /// How many pods may have the wanted template, if not all.
    pub pods: Option<i32>,
}

impl Facts<'_> {
    /// Names what the upgrade goes from and to.
    #[must_use]
    pub fn plan_hash(&self) -> String {
        let from = self.stable.map(|stable| (&stable.version, &stable.template_digest));
        let mut hash = digest(&json!([from, self.to, self.wanted]));
        hash.truncate(PLAN_HASH_LENGTH);
        hash
    }

    /// The spec asks for what every pod had last.
    fn wants_stable(&self) -> bool {
        self.stable.is_some_and(|stable| stable.template_digest == self.wanted && stable.version == self.to)
    }

    fn has_stable(&self) -> bool {
        self.stable.is_some_and(|stable| self.live == Some(stable.template_digest.as_str()))
    }

    /// No pod has another template than the stable one, whether or not it is ready.
    fn is_back(&self) -> bool {
        self.has_stable() && self.pods.spread != Spread::Mixed
    }

    /// The way back leads nowhere: the stable template is no longer well. Another spec may be what mends it.
    fn is_way_back_blocked(&self, former: &UpgradeStatus) -> bool {
        former.stage == Stage::RollingBack
            && self.has_stable()
            && matches!(self.pods.health, Health::Faulty(_))
    }

    fn has_wanted(&self) -> bool {
        self.live == Some(self.wanted)
    }

    fn changes_version(&self) -> bool {
        self.stable.is_some_and(|stable| stable.version != self.to)
    }

    /// The stage in which the first pods get the new template.
    fn first_of_pods(&self) -> Stage {
        if self.policy.canary { Stage::Canary } else { Stage::Rolling }
    }

    /// The step may begin, as far as the database decides. A template needs the schema of its version.
    fn is_open(&self) -> bool {
        match self.schema {
            Schema::Closed | Schema::Refused => false,
            Schema::Former | Schema::Expanded => self.changes_version(),
            Schema::Current => true,
        }
    }
}

/// What the stage in the status allows.
#[must_use]
pub fn permit(former: Option<&UpgradeStatus>, facts: &Facts<'_>) -> Permit {
    if facts.stable.is_none() {
        let admits_wanted = matches!(facts.schema, Schema::Expanded | Schema::Current);
        let template = if admits_wanted { Template::Wanted } else { Template::Live };
        return Permit { template, job: true, pods: None };
    }
    if facts.wants_stable() {
        let template = if facts.schema == Schema::Refused { Template::Live } else { Template::Wanted };
        return Permit { template, job: true, pods: None };
    }
    let hash = facts.plan_hash();
    let stage = former.filter(|former| former.plan_hash.as_ref() == Some(&hash)).map(|former| former.stage);
    match stage {
        // All pods that are made when the engine starts again would get it.
        Some(Stage::Canary | Stage::Rolling | Stage::Soaking | Stage::Failed) if !facts.pods.exist => {
            Permit { template: Template::Stable, job: false, pods: None }
        }
        Some(Stage::Failed) => Permit { template: Template::Wanted, job: false, pods: Some(0) },
        Some(Stage::Canary | Stage::Rolling) if facts.gate.is_some() => {
            Permit { template: Template::Wanted, job: false, pods: Some(0) }
        }
        Some(Stage::Canary) => Permit { template: Template::Wanted, job: false, pods: Some(1) },
        Some(Stage::Rolling | Stage::Soaking) => {
            Permit { template: Template::Wanted, job: false, pods: None }
        }
        Some(Stage::Expanding) => Permit { template: Template::Stable, job: true, pods: None },
        // A database that was replaced has no schema for any version.
        _ => Permit { template: Template::Stable, job: !facts.changes_version(), pods: None },
    }
}

/// The next stage, and what is known to work.
#[must_use]
pub fn advance(former: Option<&UpgradeStatus>, facts: &Facts<'_>, now: Timestamp) -> Advance {
    let stable = facts.stable.cloned();
    if stable.is_none() {
        return advance_first(former, facts, now);
    }
    if facts.wants_stable() {
        let is_complete = facts.has_wanted() && facts.pods.spread == Spread::Settled;
        let known = if is_complete { stable_of(facts) } else { None };
        return Advance { upgrade: advance_to_stable(former, facts, now), stable: known.or(stable) };
    }
    if !facts.pods.exist {
        return advance_unwatched(former, facts, now);
    }
    let hash = facts.plan_hash();
    match former {
        Some(former) if former.plan_hash.as_ref() == Some(&hash) => advance_plan(former, facts, now),
        // Pods have a template of another plan: they get the stable one first.
        Some(former) if !facts.is_back() && !facts.is_way_back_blocked(former) => {
            let upgrade = enter(former.clone(), Stage::RollingBack, now);
            Advance { upgrade: Some(UpgradeStatus { step: step(facts, false), ..upgrade }), stable }
        }
        None if !facts.is_back() => {
            let upgrade = enter(begin(facts, hash, now), Stage::RollingBack, now);
            Advance { upgrade: Some(upgrade), stable }
        }
        _ => Advance { upgrade: Some(begin(facts, hash, now)), stable },
    }
}

/// The engine was never complete, as far as is known: the first template that settles is the stable one.
fn advance_first(former: Option<&UpgradeStatus>, facts: &Facts<'_>, now: Timestamp) -> Advance {
    let is_complete =
        facts.has_wanted() && facts.pods.spread == Spread::Settled && facts.schema == Schema::Current;
    if !is_complete {
        return Advance { upgrade: former.cloned(), stable: facts.stable.cloned() };
    }
    let upgrade = former.map(|former| match former.stage {
        Stage::Done => former.clone(),
        _ => UpgradeStatus { to: Some(facts.to.to_owned()), ..enter(former.clone(), Stage::Done, now) },
    });
    Advance { upgrade, stable: stable_of(facts) }
}

/// There are no pods that could be watched: what is wanted becomes the stable template as soon as the gates allow it, and only
/// then is anything done for it. What pods had on trial before the engine was stopped is tried again when it runs, and what
/// failed stays failed.
fn advance_unwatched(former: Option<&UpgradeStatus>, facts: &Facts<'_>, now: Timestamp) -> Advance {
    let same = |upgrade| Advance { upgrade: Some(upgrade), stable: facts.stable.cloned() };
    let hash = facts.plan_hash();
    let Some(former) = former.filter(|former| former.plan_hash.as_ref() == Some(&hash)) else {
        return same(begin(facts, hash, now));
    };
    let awaits_backup = former.stage == Stage::Planned && facts.changes_version() && facts.policy.backs_up;
    match former.stage {
        Stage::Planned | Stage::BackingUp if facts.gate.is_none() && !awaits_backup => {
            let stage = if facts.changes_version() { Stage::Contracting } else { Stage::Done };
            let stable = StableTemplate {
                version: facts.to.to_owned(),
                template_digest: facts.wanted.to_owned(),
                // Kubernetes has not seen it yet.
                revision: String::new(),
            };
            Advance { upgrade: Some(finish(former.clone(), stage, now)), stable: Some(stable) }
        }
        Stage::Canary | Stage::Rolling | Stage::Soaking => {
            let again = UpgradeStatus { step: None, ..enter(former.clone(), facts.first_of_pods(), now) };
            same(held(again, facts))
        }
        _ => advance_plan(former, facts, now),
    }
}

/// The spec asks for what every pod had last: an upgrade becomes final, or is taken back.
fn advance_to_stable(
    former: Option<&UpgradeStatus>,
    facts: &Facts<'_>,
    now: Timestamp,
) -> Option<UpgradeStatus> {
    match former {
        Some(former) if former.stage == Stage::Contracting => Some(if facts.schema == Schema::Current {
            enter(former.clone(), Stage::Verifying, now)
        } else {
            former.clone()
        }),
        Some(former) if former.stage == Stage::Verifying => Some(match facts.gate {
            Some(_) => held(former.clone(), facts),
            None => enter(former.clone(), Stage::Done, now),
        }),
        Some(former) if former.stage == Stage::Done => Some(former.clone()),
        None => None,
        Some(former) if facts.is_back() => {
            let to = facts.stable.map(|stable| stable.version.clone());
            Some(UpgradeStatus {
                from: to.clone(),
                to,
                rollbackable: false,
                ..enter(former.clone(), Stage::Done, now)
            })
        }
        Some(former) => {
            Some(UpgradeStatus { step: step(facts, false), ..enter(former.clone(), Stage::RollingBack, now) })
        }
    }
}

/// The first stage of a new plan.
fn begin(facts: &Facts<'_>, hash: String, now: Timestamp) -> UpgradeStatus {
    UpgradeStatus {
        from: facts.stable.map(|stable| stable.version.clone()),
        to: Some(facts.to.to_owned()),
        stage: Stage::Preflight,
        stage_since: Some(Time(now)),
        started_at: Some(Time(now)),
        plan_hash: Some(hash),
        rollbackable: true,
        ..UpgradeStatus::default()
    }
}

/// One step of the plan that the status shows.
fn advance_plan(former: &UpgradeStatus, facts: &Facts<'_>, now: Timestamp) -> Advance {
    let same = |upgrade| Advance { upgrade: Some(upgrade), stable: facts.stable.cloned() };
    let to = |stage| same(enter(former.clone(), stage, now));
    let pods = facts.first_of_pods();
    match former.stage {
        Stage::Preflight | Stage::Planned | Stage::BackingUp if facts.gate.is_some() => {
            same(held(former.clone(), facts))
        }
        Stage::Preflight if facts.is_open() => to(Stage::Planned),
        Stage::Planned if facts.changes_version() && facts.policy.backs_up => to(Stage::BackingUp),
        Stage::Planned | Stage::BackingUp if facts.changes_version() => to(Stage::Expanding),
        Stage::Planned | Stage::BackingUp => to(pods),
        Stage::Expanding if matches!(facts.schema, Schema::Expanded | Schema::Current) => to(pods),
        Stage::Canary | Stage::Rolling | Stage::Soaking => advance_pods(former, facts, now),
        Stage::RollingBack if facts.is_back() => to(Stage::RolledBack),
        Stage::RollingBack => same(UpgradeStatus { step: step(facts, false), ..former.clone() }),
        // Done is only reached with the stable template: its pods were replaced behind our back.
        Stage::Contracting | Stage::Verifying | Stage::Done => same(begin(facts, facts.plan_hash(), now)),
        Stage::Preflight | Stage::Expanding | Stage::RolledBack | Stage::Failed => same(former.clone()),
    }
}

/// Pods have the wanted template: they go on, are watched, or go back.
fn advance_pods(former: &UpgradeStatus, facts: &Facts<'_>, now: Timestamp) -> Advance {
    let mut upgrade = UpgradeStatus {
        step: step(facts, true),
        canary_pod: former.canary_pod.clone().or_else(|| facts.pods.canary.map(str::to_owned)),
        ..held(former.clone(), facts)
    };
    let same = |upgrade| Advance { upgrade: Some(upgrade), stable: facts.stable.cloned() };
    if !facts.has_wanted() {
        return same(upgrade);
    }
    match &facts.pods.health {
        Health::Healthy => {
            upgrade.healthy_since.get_or_insert(Time(now));
            upgrade.unhealthy_since = None;
        }
        Health::Undecided => upgrade.healthy_since = None,
        Health::Faulty(message) => {
            upgrade.healthy_since = None;
            let since = upgrade.unhealthy_since.get_or_insert(Time(now)).0;
            if now.duration_since(since) >= facts.policy.health.max(MIN_PATIENCE) {
                let next = if facts.policy.rolls_back { Stage::RollingBack } else { Stage::Failed };
                let failure =
                    UpgradeFailure { stage: former.stage, message: message.clone(), at: Some(Time(now)) };
                return same(UpgradeStatus { last_failure: Some(failure), ..enter(upgrade, next, now) });
            }
        }
    }
    let healthy = upgrade.healthy_since.as_ref().map(|since| now.duration_since(since.0));
    let is_healthy_for = |wanted: SignedDuration| healthy.is_some_and(|healthy| healthy >= wanted);
    match former.stage {
        Stage::Canary if is_healthy_for(facts.policy.health) => same(enter(upgrade, Stage::Rolling, now)),
        Stage::Rolling if facts.pods.spread == Spread::Settled && facts.changes_version() => {
            same(enter(upgrade, Stage::Soaking, now))
        }
        Stage::Rolling if facts.pods.spread == Spread::Settled => {
            Advance { upgrade: Some(finish(upgrade, Stage::Done, now)), stable: stable_of(facts) }
        }
        Stage::Soaking if is_healthy_for(facts.policy.soak) && facts.gate.is_none() => {
            Advance { upgrade: Some(finish(upgrade, Stage::Contracting, now)), stable: stable_of(facts) }
        }
        _ => same(upgrade),
    }
}

fn finish(upgrade: UpgradeStatus, stage: Stage, now: Timestamp) -> UpgradeStatus {
    UpgradeStatus { rollbackable: false, ..enter(upgrade, stage, now) }
}

/// In its stage, by what the facts say.
fn held(former: UpgradeStatus, facts: &Facts<'_>) -> UpgradeStatus {
    UpgradeStatus { gate: facts.gate.cloned(), ..former }
}

fn enter(former: UpgradeStatus, stage: Stage, now: Timestamp) -> UpgradeStatus {
    if former.stage == stage {
        return former;
    }
    let is_over = matches!(stage, Stage::Verifying | Stage::Done | Stage::RolledBack);
    UpgradeStatus {
        stage,
        stage_since: Some(Time(now)),
        step: former.step.filter(|_| !is_over),
        gate: None,
        healthy_since: None,
        unhealthy_since: None,
        ..former
    }
}

/// How many pods have the new template: those of the live one, or all others on the way back.
fn step(facts: &Facts<'_>, is_forward: bool) -> Option<i32> {
    (is_forward && facts.has_wanted()).then_some(facts.pods.of_live)
}

fn stable_of(facts: &Facts<'_>) -> Option<StableTemplate> {
    let revision = facts.pods.revision?.to_owned();
    let (version, template_digest) = (facts.to.to_owned(), facts.wanted.to_owned());
    Some(StableTemplate { version, template_digest, revision })
}

#[cfg(test)]
mod tests;
