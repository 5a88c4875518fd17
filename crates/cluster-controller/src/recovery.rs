//! A cluster that begins with a backup (`spec.bootstrap.recovery`): a Job of the backup agent loads it into the empty database,
//! before anything of an engine is made. Pure, but for [`observe_recovery`] and [`sql`].
//!
//! Whether a database was restored is said by the database itself: the agent's last transaction leaves a row that names the
//! backup and the WorkflowCluster. A Job that succeeded, or a status, counts for nothing without it.

pub mod restore_job;
pub mod sql;

use std::sync::Arc;

use agent_jobs::destination::agent_destination;
use api_types::backup::{BackupDestination, BackupMethod, BackupPhase};
use api_types::cluster::{ClusterReason, Recovery, RecoveryStatus};
use api_types::labels::{COMPONENT, Component};
use api_types::{WorkflowBackup, WorkflowCluster};
use backup_format::{Failure, Outcome, RestoreReport};
use controller_kit::plan::is_controlled_by;
use controller_kit::problem::Problem;
use engine_api::version_policy::{Verdict, judge as judge_version};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource as _, ResourceExt as _};
use semver::Version;

use crate::children::BuildInput;
use crate::context::Context;
use crate::observe::children::is_finished;
use crate::observe::pods::{PodView, observe_restore_pods};
use crate::observe::postgres::PostgresView;

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

/// The backup that is wanted, as far as the agent needs to know it.
struct Wanted {
    id: String,
    destination: BackupDestination,
    url: String,
    digest: Option<String>,
    identity_secret: Option<String>,
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
    let wanted = find_backup(input, recovery, view);
    let held = |reason, message: String| Some(Stage::Held(reason, message));
    if let Some(restored) = &database.restored {
        let is_it = wanted.as_ref().ok().is_none_or(|wanted| wanted.id == restored.backup_id);
        return if restored.owner == owner && is_it {
            Some(Stage::Done(status_of(restored)))
        } else {
            let id = plain_text::one_line(&restored.backup_id, 63);
            held(
                ClusterReason::RestoreRefused,
                format!("the database was restored from another backup, {id}: give an empty one"),
            )
        };
    }
    if database.schema_version.is_some() {
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

/// The backup, or why it cannot be used.
fn find_backup(
    input: &BuildInput<'_>,
    recovery: &Recovery,
    view: &RecoveryView,
) -> Result<Wanted, (ClusterReason, String)> {
    if let (Some(id), Some(destination)) = (&recovery.backup_id, &recovery.destination) {
        let identity_secret = recovery.identity_secret.clone();
        return wanted(id.clone(), destination.clone(), None, identity_secret);
    }
    let name = recovery.backup_ref.as_ref().map(|reference| reference.name.as_str()).unwrap_or_default();
    let Some(backup) = &view.backup else {
        let message =
            format!("spec.bootstrap.recovery.backupRef: there is no WorkflowBackup {name} in this namespace");
        return Err((ClusterReason::RestoreBackupMissing, message));
    };
    let status = backup.status.clone().unwrap_or_default();
    match status.phase {
        Some(BackupPhase::Completed) => {}
        Some(BackupPhase::Failed) => {
            return Err((
                ClusterReason::RestoreRefused,
                format!("WorkflowBackup {name} failed: name another one"),
            ));
        }
        _ => {
            return Err((
                ClusterReason::RestoreBackupAwaited,
                format!("WorkflowBackup {name} is not complete yet"),
            ));
        }
    }
    let (Some(artefact), Some(id)) = (status.artefact, status.backup_id) else {
        let message = format!("WorkflowBackup {name} does not say where it is");
        return Err((ClusterReason::RestoreRefused, message));
    };
    if artefact.method != BackupMethod::Logical {
        let message = format!(
            "WorkflowBackup {name} was made by CloudNativePG: only backups of method Logical are restored"
        );
        return Err((ClusterReason::RestoreRefused, message));
    }
    let made_by = status.engine_version.as_deref().and_then(|version| Version::parse(version).ok());
    if let Some(made_by) = made_by {
        let verdict = judge_version(&made_by, &input.target.version);
        if !matches!(verdict, Verdict::Same | Verdict::Compatible) {
            let to = &input.target.version;
            let message = format!(
                "WorkflowBackup {name} is of engine {made_by}, spec.version {to}: {}",
                verdict.explanation()
            );
            return Err((ClusterReason::RestoreRefused, message));
        }
    }
    let of_backup = artefact.encryption.and_then(|encryption| encryption.identity_secret);
    let identity_secret = recovery.identity_secret.clone().or(of_backup);
    wanted(id, artefact.destination, status.digest, identity_secret)
}

fn wanted(
    id: String,
    destination: BackupDestination,
    digest: Option<String>,
    identity_secret: Option<String>,
) -> Result<Wanted, (ClusterReason, String)> {
    let url = agent_destination(&destination)
        .map_err(|why| (ClusterReason::RestoreRefused, format!("spec.bootstrap.recovery: {why}")))?;
    Ok(Wanted { id, destination, url, digest, identity_secret })
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
