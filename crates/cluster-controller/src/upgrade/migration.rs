//! Where the database's schema stands, and the Job that brings it forward. The marker in the database is the truth: a
//! Job that is gone is not run again.

use std::time::Duration;

use api_types::cluster::{ClusterReason as Reason, UpgradeStage};
use api_types::labels::APPROVE_UPGRADE;
use controller_kit::plan::Deletion;
use engine_client::version_policy::{Verdict, judge};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt as _;
use semver::Version;

use super::withdrawal::{deletion, unwanted, version_of_job};
use crate::children::BuildInput;
use crate::children::migration_job::{UpTo, build_job};
use crate::children::stateful_set::version_of;
use crate::observe::Observed;
use crate::observe::children::is_finished;
use crate::observe::obstacles::{FailedCreate, PodOwner};
use crate::observe::pods::PodView;
use crate::observe::postgres::{Database, PostgresView};

/// A Job that says "done" while the database does not, for so long, was made for another database.
const MARKER_DEADLINE: Duration = Duration::from_mins(1);

/// Where the schema stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Migration {
    /// The database cannot be asked; nothing that depends on the schema begins.
    Unknown,
    /// The marker in the database names the version of the spec.
    Done,
    /// The schema serves both versions; the pods are on their way to the new one.
    Expanded,
    /// The step is not allowed.
    Refused {
        /// `UpgradeRefused`, `VersionUnsupported` or `SchemaTooNew`.
        reason: Reason,
        /// Which step, and the rule.
        message: String,
    },
    /// A Job that the spec does not ask for may still be at work; nothing that depends on the schema begins before it
    /// is gone.
    Withdrawn {
        /// Name of the Job.
        job: String,
        /// Version that it migrates to.
        version: String,
    },
    /// A Job must run.
    Needed {
        /// How far.
        up_to: UpTo,
        /// The Job.
        job: Box<Job>,
        /// Where it stands.
        state: JobState,
    },
}

/// Where a Job stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobState {
    /// It is not there.
    Missing,
    /// It runs; what holds its pod up, if anything does.
    Running(Option<String>),
    /// Kubernetes refuses to create its pod.
    FailedCreate(FailedCreate),
    /// It succeeded.
    Succeeded,
    /// It gave up after its last attempt.
    Failed,
    /// It succeeded long ago, and the database knows nothing of it.
    Outdated,
}

impl Migration {
    /// Whether pods of the spec's version may run on the schema.
    #[must_use]
    pub fn admits_target(&self) -> bool {
        match self {
            Self::Done | Self::Expanded => true,
            Self::Needed { up_to: UpTo::Expand, state, .. } => *state == JobState::Succeeded,
            Self::Unknown | Self::Refused { .. } | Self::Withdrawn { .. } | Self::Needed { .. } => false,
        }
    }
}

/// Judges the migration, and holds back what depends on the schema while a Job that is not wanted may still work on it.
#[must_use]
pub fn plan_migration(
    input: &BuildInput<'_>,
    observed: &Observed,
    now: Timestamp,
) -> (Migration, Vec<Deletion>) {
    let migration = judge_migration(input, observed, now);
    let version = input.target.version.to_string();
    let asks_for = |name: &str| {
        let kinds = [UpTo::Expand, UpTo::All].map(|up_to| [true, false].map(|approved| (up_to, approved)));
        kinds.iter().flatten().any(|(up_to, approved)| build_job(input, *up_to, *approved).name_any() == name)
    };
    let unwanted = unwanted(&version, asks_for, &migration, &observed.children.jobs);
    let at_work = unwanted.iter().find(|job| !is_finished(job));
    let withdrawn = at_work.map(|job| Migration::Withdrawn {
        job: job.name_any(),
        version: version_of_job(job).unwrap_or("another version").to_owned(),
    });
    (withdrawn.unwrap_or(migration), deletion(unwanted))
}

/// Decides from the marker, the version policy and the pods that run.
fn judge_migration(input: &BuildInput<'_>, observed: &Observed, now: Timestamp) -> Migration {
    let PostgresView::Reachable(database) = &observed.postgres else { return Migration::Unknown };
    // A database that is not this cluster's yet is claimed first.
    if observed.ownership.due().is_some() && !input.cluster.spec.is_paused() {
        return Migration::Unknown;
    }
    let target = &input.target.version;
    let set = observed.children.stateful_set();
    // A step that became final is not taken back, though the database may not record it as complete yet.
    if let Some(final_version) = final_version(input).filter(|stable| target < stable && set.is_some()) {
        return refuse(Verdict::Downgrade, &final_version, target, set);
    }
    let verdict = match recorded_version(database) {
        Ok(Some(recorded)) => Some((judge(&recorded, target), recorded)),
        Ok(None) => None,
        Err(message) => return Migration::Refused { reason: Reason::UpgradeRefused, message },
    };
    let is_breaking = match verdict {
        Some((Verdict::Same, _)) => return Migration::Done,
        None if !judge(target, target).is_allowed() => {
            return refuse(Verdict::Prerelease, target, target, set);
        }
        Some((Verdict::Compatible | Verdict::Breaking, _)) | None
            if let Some(message) = unsupported(input, database) =>
        {
            return Migration::Refused { reason: Reason::VersionUnsupported, message };
        }
        Some((Verdict::Compatible, _)) | None => false,
        Some((Verdict::Breaking, _)) if is_approved(input) => true,
        Some((verdict, recorded)) => return refuse(verdict, &recorded, target, set),
    };
    let is_fresh = database.engine_version.is_none();
    let up_to = match set {
        Some(set) if !is_fresh && runs_pods(set) => match version_of(set) {
            Some(version) if version == *target => {
                if !observed.is_rolled_out(input.cluster.spec.engine_pods()) {
                    return Migration::Expanded;
                }
                UpTo::All
            }
            _ => UpTo::Expand,
        },
        // Nobody runs on the schema who could miss what a contraction takes away.
        _ => UpTo::All,
    };
    let job = build_job(input, up_to, is_breaking);
    let state = job_state(&job, observed, up_to, now);
    Migration::Needed { up_to, job: Box::new(job), state }
}

/// Version that every pod had last, healthy, and that the schema may be contracted to.
fn final_version(input: &BuildInput<'_>) -> Option<Version> {
    input.cluster.status.as_ref()?.last_stable.as_ref()?.version.parse().ok()
}

fn recorded_version(database: &Database) -> Result<Option<Version>, String> {
    let Some(recorded) = &database.engine_version else { return Ok(None) };
    Version::parse(recorded)
        .map(Some)
        .map_err(|_| "the database records an engine version that is no version".to_owned())
}

/// Asked before the upgrade begins: a version that runs, or that pods are on their way to, is not given up for a list.
fn unsupported(input: &BuildInput<'_>, database: &Database) -> Option<String> {
    let target = &input.target.version;
    let status = input.cluster.status.as_ref();
    let upgrade = status.and_then(|status| status.upgrade.as_ref());
    let has_begun = upgrade.is_some_and(|upgrade| {
        upgrade.to.as_ref() == Some(&input.cluster.spec.version)
            && !matches!(upgrade.stage, UpgradeStage::Preflight | UpgradeStage::Planned)
    });
    if has_begun || final_version(input).as_ref() == Some(target) {
        return None;
    }
    let from = recorded_version(database).ok().flatten();
    input.settings.engine_versions.refusal(from.as_ref(), target)
}

/// For the version, or for the version by the plan that the status shows.
fn is_approved(input: &BuildInput<'_>) -> bool {
    let Some(approval) = input.cluster.annotations().get(APPROVE_UPGRADE) else { return false };
    let upgrade = input.cluster.status.as_ref().and_then(|status| status.upgrade.as_ref());
    match approval.split_once('@') {
        None => *approval == input.cluster.spec.version,
        Some((version, hash)) => {
            version == input.cluster.spec.version
                && upgrade.is_some_and(|upgrade| upgrade.plan_hash.as_deref() == Some(hash))
        }
    }
}

fn refuse(verdict: Verdict, from: &Version, to: &Version, set: Option<&StatefulSet>) -> Migration {
    let refused = |what_to_do: String| format!("{from} → {to}: {}{what_to_do}", verdict.explanation());
    let message = match verdict {
        Verdict::Prerelease => {
            format!("spec.version {to}: {}; set it to a release", verdict.explanation())
        }
        Verdict::Breaking => refused(format!(": annotate the WorkflowCluster with {APPROVE_UPGRADE}={to}")),
        Verdict::Downgrade if set.is_none() => {
            let message = format!("the database has the schema of {from}, newer than spec.version {to}");
            return Migration::Refused { reason: Reason::SchemaTooNew, message };
        }
        Verdict::Downgrade => refused(format!("; set spec.version back to {from}")),
        Verdict::SkippedMinor => {
            refused(format!("; set spec.version to a {}.{} version first", from.major, from.minor + 1))
        }
        Verdict::SkippedMajor => {
            refused(format!("; set spec.version to a {}.x version first", from.major + 1))
        }
        Verdict::Same | Verdict::Compatible => refused(String::new()),
    };
    Migration::Refused { reason: Reason::UpgradeRefused, message }
}

fn runs_pods(set: &StatefulSet) -> bool {
    let wanted = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    wanted > 0 || set.status.as_ref().is_some_and(|status| status.replicas > 0)
}

fn job_state(job: &Job, observed: &Observed, up_to: UpTo, now: Timestamp) -> JobState {
    let Some(found) = observed.children.jobs.iter().find(|found| found.name_any() == job.name_any()) else {
        return JobState::Missing;
    };
    let conditions = || found.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let since = |type_: &str| {
        conditions()
            .find(|condition| condition.type_ == type_ && condition.status == "True")
            .map(|condition| condition.last_transition_time.as_ref().map_or(now, |time| time.0))
    };
    if let Some(since) = since("Complete") {
        let is_old =
            now.duration_since(since) >= jiff::SignedDuration::try_from(MARKER_DEADLINE).unwrap_or_default();
        return if up_to == UpTo::All && is_old { JobState::Outdated } else { JobState::Succeeded };
    }
    if since("Failed").is_some() {
        return JobState::Failed;
    }
    if found.metadata.deletion_timestamp.is_some() {
        return JobState::Running(Some("it is being deleted".to_owned()));
    }
    if let Some(failed) = observed.obstacles.failed_create(PodOwner::Job, &found.name_any()) {
        return JobState::FailedCreate(failed.clone());
    }
    let broken =
        |pod: &PodView| observed.problem_message(pod).map(|problem| format!("pod {}: {problem}", pod.name));
    JobState::Running(observed.pods.iter().filter(|pod| pod.ordinal.is_none()).find_map(broken))
}

#[cfg(test)]
mod tests;
