//! A cluster that begins with a backup (`spec.bootstrap.recovery`), before anything of an engine is made. A Job of the backup agent
//! loads it into the empty database; or the provider makes the database from a base backup, and the Job completes it. Pure, but
//! for [`observe_recovery`] and [`sql`].
//!
//! Whether a database was restored is said by the database itself: the agent's last transaction leaves a row that names the
//! backup and the WorkflowCluster. A Job that succeeded, or a status, counts for nothing without it.

pub mod restore_job;
mod source;
pub mod sql;

use std::sync::Arc;

use api_types::cluster::{ClusterReason, RecoveryStatus};
use api_types::labels::{COMPONENT, Component};
use api_types::{WorkflowBackup, WorkflowCluster};
use backup_format::{Failure, Outcome, RestoreReport};
use controller_kit::plan::is_controlled_by;
use controller_kit::problem::Problem;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource as _, ResourceExt as _};

use crate::children::BuildInput;
use crate::context::Context;
use crate::observe::children::is_finished;
use crate::observe::pods::{PodView, observe_restore_pods};
use crate::observe::postgres::PostgresView;
use crate::provider::archive::Beginning;
use source::{Source, find_source};

/// What the database says of a restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Id of the backup.
    pub backup_id: String,
    /// Identity of the WorkflowCluster that it was restored for.
    pub owner: String,
    /// What the agent reported; `None` if another version of it wrote something else.
    pub report: Option<RestoreReport>,
}

/// What one pass sees of a recovery.
#[derive(Clone, Debug, PartialEq)]
pub struct RecoveryView {
    /// The WorkflowBackup that `backupRef` names.
    pub backup: Option<Arc<WorkflowBackup>>,
    /// The restore Job.
    pub job: Option<Arc<Job>>,
    /// What the last attempt that ended left.
    pub outcome: Option<Outcome>,
    /// The pod that is to do it, while it is there.
    pub pod: Option<PodView>,
}

/// Reads what a recovery needs; nothing for a cluster that asks for none, or that has begun already.
pub async fn observe_recovery(
    context: &Context,
    cluster: &WorkflowCluster,
) -> Result<Option<RecoveryView>, Problem<ClusterReason>> {
    let Some(recovery) = cluster.spec.recovery() else { return Ok(None) };
    if is_known_to_be_done(cluster) {
        return Ok(None);
    }
    let namespace = cluster.namespace().unwrap_or_default();
    let backup = recovery
        .backup_ref
        .as_ref()
        .and_then(|reference| context.backups.get(&ObjectRef::new(&reference.name).within(&namespace)));
    let job = context.jobs.state().into_iter().find(|job| is_restore_of(cluster, job));
    let (pod, outcome) = match &job {
        Some(job) => observe_restore_pods(context, cluster, job).await?,
        None => (None, None),
    };
    Ok(Some(RecoveryView { backup, job, outcome, pod }))
}

fn is_known_to_be_done(cluster: &WorkflowCluster) -> bool {
    let recovery = cluster.status.as_ref().and_then(|status| status.recovery.as_ref());
    recovery.is_some_and(|recovery| recovery.completed_at.is_some())
}

fn is_restore_of(cluster: &WorkflowCluster, job: &Job) -> bool {
    is_controlled_by(job.meta(), &cluster.uid().unwrap_or_default()) && is_restore(job)
}

/// Whether a Job loads a backup, and migrates nothing.
#[must_use]
pub fn is_restore(job: &Job) -> bool {
    job.labels().get(COMPONENT).is_some_and(|component| component == Component::Restore.as_str())
}

/// Where a recovery stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Stage {
    /// The database is complete.
    Done(RecoveryStatus),
    /// The database cannot be asked, or is not this cluster's yet.
    Unknown,
    /// Nothing is written: why, and whether that can end without a person.
    Held(ClusterReason, String),
    /// The Job is to be made.
    JobMissing(Box<Job>),
    /// The Job is at work; what holds up its pod.
    Running(String, Option<String>),
    /// The Job succeeded, and the database has not shown it yet.
    Succeeded(String),
    /// The Job failed for good: its name, and why.
    Failed(String, String),
}

impl Stage {
    /// Whether an engine may be made.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self, Self::Done(_))
    }
}

/// What a managed Postgres of this cluster begins with.
#[must_use]
pub fn judge_beginning(input: &BuildInput<'_>, view: Option<&RecoveryView>) -> Beginning {
    let (Some(recovery), Some(view)) = (input.cluster.spec.recovery(), view) else {
        return Beginning::Empty;
    };
    match find_source(input, recovery, view.backup.as_deref()) {
        Ok(Source::Logical(_)) => Beginning::Empty,
        Ok(Source::Base(origin)) => Beginning::Recovered(origin),
        Err((reason, message)) => Beginning::Held(reason, message),
    }
}

/// Judges what was seen; `None` for a cluster that begins with nothing. `owner` is its identity in the database.
#[must_use]
pub fn judge_recovery(
    input: &BuildInput<'_>,
    view: Option<&RecoveryView>,
    postgres: &PostgresView,
    owner: Option<&str>,
) -> Option<Stage> {
    let recovery = input.cluster.spec.recovery()?;
    let Some(view) = view else {
        let known = input.cluster.status.as_ref().and_then(|status| status.recovery.clone());
        return known.map(Stage::Done);
    };
    let (PostgresView::Reachable(database), Some(owner)) = (postgres, owner) else {
        return Some(Stage::Unknown);
    };
    let wanted = find_source(input, recovery, view.backup.as_deref());
    let is_base = matches!(wanted, Ok(Source::Base(_)));
    let held = |reason, message: String| Some(Stage::Held(reason, message));
    if let Some(restored) = &database.restored {
        let is_it = wanted.as_ref().ok().is_none_or(|wanted| wanted.id() == restored.backup_id);
        if restored.owner == owner && is_it {
            return Some(Stage::Done(status_of(restored)));
        }
        // A base backup has what its source says of a restore of its own.
        if !is_base {
            let id = plain_text::one_line(&restored.backup_id, 63);
            let message = format!("the database was restored from another backup, {id}: give an empty one");
            return held(ClusterReason::RestoreRefused, message);
        }
    }
    if database.schema_version.is_some() && !is_base {
        let message = "the database has an engine's schema already: give an empty one, or drop schema workflow if nothing in it is needed";
        return held(ClusterReason::RestoreRefused, message.to_owned());
    }
    let wanted = match wanted {
        Ok(wanted) => wanted,
        Err((reason, message)) => return held(reason, message),
    };
    let Some(job) = &view.job else {
        return Some(Stage::JobMissing(Box::new(restore_job::build(input, &wanted, owner))));
    };
    Some(judge_job(job, view))
}

fn judge_job(job: &Job, view: &RecoveryView) -> Stage {
    let name = job.name_any();
    let failure = match &view.outcome {
        Some(Outcome::Failure(failure)) => Some(failure),
        _ => None,
    };
    let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let ended = conditions
        .filter(|condition| condition.status == "True")
        .find(|condition| matches!(condition.type_.as_str(), "Complete" | "Failed"));
    match ended {
        Some(condition) if condition.type_ == "Complete" => Stage::Succeeded(name),
        Some(condition) => {
            let cause = condition.reason.clone().unwrap_or_default();
            Stage::Failed(name, failure.map_or(cause, |failure| failure.message.clone()))
        }
        None => {
            let of_pod = view.pod.as_ref().and_then(|pod| pod.problem.clone());
            let of_attempt = failure.map(|Failure { message, .. }| format!("tried again: {message}"));
            Stage::Running(name, of_pod.or(of_attempt))
        }
    }
}

fn status_of(restored: &Restored) -> RecoveryStatus {
    let number = |count: u64| i64::try_from(count).ok();
    let report = restored.report.as_ref();
    RecoveryStatus {
        backup_id: restored.backup_id.clone(),
        engine_version: report.map(|report| report.engine_version.clone()),
        completed_at: Some(Time(report.map_or(Timestamp::UNIX_EPOCH, |report| report.restored_at))),
        definitions: report.and_then(|report| number(report.totals.definitions)),
        active_instances: report.and_then(|report| number(report.totals.active_instances)),
        leased_jobs: report.and_then(|report| number(report.leases_cleared)),
    }
}

/// Whether its Job still runs, or will.
#[must_use]
pub fn is_at_work(view: Option<&RecoveryView>) -> bool {
    view.and_then(|view| view.job.as_ref()).is_some_and(|job| !is_finished(job))
}

#[cfg(test)]
mod tests;
