//! What is made, tried out and deleted for a WorkflowCluster without a person asking for it. Pure; [`passes`] reads and writes.
//!
//! - A backup at each time of `spec.backup.schedule`, under a name that is made from that time: two replicas, or one that was
//!   killed, never make two.
//! - A drill of the newest backup at each time of `spec.backup.drill.schedule`.
//! - A backup before an upgrade, and one before a deletion with the policy `Snapshot`.
//! - The deletion of old backups of the schedule.

pub mod cron;
pub mod passes;
pub mod retention;
pub mod runs;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api_types::backup::{BackupClusterRef, BackupReason as Reason, WorkflowBackupSpec};
use api_types::cluster::{ClusterBackup, ClusterDeletionPolicy, UpgradeStage};
use api_types::labels::{
    BACKUP_CAUSE, BACKUP_FOR_PLAN, CLUSTER, MANAGED_BY, OPERATOR, SCHEDULED_BY, SCHEDULED_FOR,
};
use api_types::reason::{Reason as _, Severity};
use api_types::{WorkflowBackup, WorkflowCluster, names};
use controller_kit::events::{Event, EventType};
use controller_kit::pass::is_deleting;
use controller_kit::plan::Deletion;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt as _;
use kube::api::ObjectMeta;

use crate::args::Settings;
use crate::children::{Order, Task, drill_job};
use crate::observe::{is_finished, reads};
use crate::plan::can_be_tried_out;
use agent_jobs::destination::short_uid;
use cron::Schedule;
use retention::plan_retention;
use runs::{Due, Run, jitter, judge};

/// Longest time to the next look.
pub const RESYNC: Duration = Duration::from_mins(5);
/// While a backup is made or tried out, what follows from its end is soon done.
const RECHECK: Duration = Duration::from_mins(1);
/// A drill is due at least so long: its last time is known only to the minute.
const DRILL_TOLERANCE: SignedDuration = SignedDuration::from_mins(10);

/// Why a backup was made by itself: the value of the label [`BACKUP_CAUSE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// `spec.backup.schedule`.
    Schedule,
    /// An upgrade waits for it.
    Upgrade,
    /// The cluster's deletion waits for it.
    Deletion,
}

impl Cause {
    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Upgrade => "upgrade",
            Self::Deletion => "deletion",
        }
    }

    /// Was this backup made for this cause?
    #[must_use]
    pub fn is_of(self, backup: &WorkflowBackup) -> bool {
        backup.labels().get(BACKUP_CAUSE).is_some_and(|value| value == self.as_str())
    }
}

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub enum ScheduleStep {
    /// Creates a backup; one of this name may be there already.
    Make(Box<WorkflowBackup>),
    /// Creates the Job of a drill.
    Drill(Box<Job>),
    /// Deletes an old backup.
    Delete(Deletion),
    /// An event about the cluster.
    Publish(Event),
}

/// What a pass reads.
#[derive(Clone, Debug)]
pub struct View<'a> {
    /// The cluster.
    pub cluster: &'a WorkflowCluster,
    /// All clusters of its namespace, which may be restored from its backups.
    pub neighbours: &'a [Arc<WorkflowCluster>],
    /// All of its backups.
    pub backups: &'a [Arc<WorkflowBackup>],
    /// The Jobs of its backups.
    pub jobs: &'a [Arc<Job>],
    /// What this process did before.
    pub handled: Handled,
    /// The installation's settings.
    pub settings: &'a Settings,
}

/// What a process remembers of a cluster. Without it a run whose backup somebody deleted would be made again, and a run that
/// was left out would be reported again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Handled {
    /// The last run of the backups' schedule that was dealt with.
    pub backup: Option<Timestamp>,
    /// The same of the drills' schedule.
    pub drill: Option<Timestamp>,
    /// What was reported about the spec of this generation.
    pub reported: Option<(i64, String)>,
}

/// The plan of a pass.
#[derive(Clone, Debug, PartialEq)]
pub struct SchedulePlan {
    /// In order.
    pub steps: Vec<ScheduleStep>,
    /// What is remembered when they are done.
    pub handled: Handled,
    /// Time to the next look.
    pub recheck: Duration,
}

/// Plans a pass over a cluster.
#[must_use]
pub fn plan_schedule(view: &View<'_>, now: Timestamp) -> SchedulePlan {
    let mut plan = SchedulePlan { steps: Vec::new(), handled: view.handled.clone(), recheck: RESYNC };
    plan.steps.extend(plan_last_backup(view).map(|backup| ScheduleStep::Make(Box::new(backup))));
    if is_awaiting_backup(view.cluster) {
        // Somebody who deletes one that failed has it made again.
        plan.recheck = RECHECK;
    }
    let Some(settings) = &view.cluster.spec.backup else { return plan };
    if is_deleting(view.cluster) || view.cluster.spec.is_paused() {
        return plan;
    }
    plan.steps.extend(plan_backup_before_upgrade(view).map(|it| ScheduleStep::Make(Box::new(it))));
    match parse(settings) {
        Ok((backups, drills)) => {
            plan_backup_run(view, backups.as_ref(), now, &mut plan);
            plan_drill_run(view, drills.as_ref(), now, &mut plan);
        }
        Err(message) => {
            let reported = Some((view.cluster.metadata.generation.unwrap_or_default(), message.clone()));
            if plan.handled.reported != reported {
                plan.steps.push(publish(Reason::BackupScheduleInvalid, &message));
                plan.handled.reported = reported;
            }
        }
    }
    let is_kept = |backup: &WorkflowBackup| {
        view.neighbours.iter().any(|neighbour| reads(neighbour, backup)) || is_tried_out(view, backup)
    };
    let old = plan_retention(view.backups, settings.retention_days, settings.keep_last, is_kept, now);
    plan.steps.extend(old.into_iter().map(|backup| ScheduleStep::Delete(Deletion::of(&*backup))));
    if view.backups.iter().any(|backup| !is_finished(backup)) || !view.jobs.is_empty() {
        plan.recheck = plan.recheck.min(RECHECK);
    }
    plan
}

/// Both schedules, or the field that is none.
fn parse(settings: &ClusterBackup) -> Result<(Option<Schedule>, Option<Schedule>), String> {
    let zone = settings.time_zone();
    let parsed = |field: &str, text: Option<&String>| {
        let parsed = text.map(|text| Schedule::parse(text, zone)).transpose();
        parsed.map_err(|error| error.message(field))
    };
    Ok((
        parsed("spec.backup.schedule", settings.schedule.as_ref())?,
        parsed("spec.backup.drill.schedule", settings.drill.as_ref().map(|drill| &drill.schedule))?,
    ))
}

fn plan_backup_run(view: &View<'_>, schedule: Option<&Schedule>, now: Timestamp, plan: &mut SchedulePlan) {
    let Some(schedule) = schedule else { return };
    let last =
        last_run(view, schedule).unwrap_or_else(|| set_at(view.cluster, "/f:spec/f:backup/f:schedule"));
    let since = view.handled.backup.map_or(last, |handled| handled.max(last));
    let Run { due, wake } = judge(schedule, since, jitter(view.cluster), now);
    plan.recheck = until(wake, now, plan.recheck);
    let at = match due {
        Due::No => return,
        Due::Make(at) => {
            let unfinished = view.backups.iter().find(|backup| {
                Cause::Schedule.is_of(backup) && !is_finished(backup) && !is_deleting(&***backup)
            });
            plan.steps.push(match unfinished {
                Some(former) => publish(
                    Reason::BackupSkipped,
                    &format!("no backup was made for {at}: WorkflowBackup {} is not done", former.name_any()),
                ),
                None => ScheduleStep::Make(Box::new(build_scheduled(view.cluster, schedule, at))),
            });
            at
        }
        Due::Missed { at, next } => {
            let message = format!("no backup was made for {at}, and the next one is near: {next}");
            plan.steps.push(publish(Reason::BackupMissed, &message));
            at
        }
    };
    plan.handled.backup = Some(at);
}

fn plan_drill_run(view: &View<'_>, schedule: Option<&Schedule>, now: Timestamp, plan: &mut SchedulePlan) {
    let Some(schedule) = schedule else { return };
    let is_drilling = view.jobs.iter().any(|job| Task::of(job) == Some(Task::Drill));
    let set_at = set_at(view.cluster, "/f:spec/f:backup/f:drill/f:schedule") - DRILL_TOLERANCE;
    let since = last_drill(view).max(view.handled.drill).unwrap_or(set_at).max(set_at);
    let Run { due, wake } = judge(schedule, since, jitter(view.cluster), now);
    plan.recheck = until(wake, now, plan.recheck);
    let at = match due {
        Due::No => return,
        Due::Make(at) => {
            if !is_drilling {
                plan.steps.push(plan_drill(view, at));
            }
            at
        }
        Due::Missed { at, .. } => at,
    };
    plan.handled.drill = Some(at);
}

/// The newest backup is tried out.
fn plan_drill(view: &View<'_>, at: Timestamp) -> ScheduleStep {
    let completed_at = |backup: &WorkflowBackup| {
        backup.status.as_ref().and_then(|status| status.completed_at.as_ref()).map(|time| time.0)
    };
    let candidates = view.backups.iter().filter(|backup| can_be_tried_out(backup));
    let newest = candidates.max_by_key(|backup| (completed_at(backup), backup.name_any()));
    let settings = view.cluster.spec.backup.clone().unwrap_or_default();
    let built = newest.and_then(|backup| {
        let order = Order::of(backup, view.cluster.spec.scheduling.as_ref(), view.settings)?;
        let of_cluster = settings.encryption.as_ref().and_then(|it| it.identity_secret.as_deref());
        let of_backup = order.artefact.encryption.as_ref().and_then(|it| it.identity_secret.as_deref());
        Some(drill_job::build(&order, at, of_cluster.or(of_backup), settings.max_seconds()))
    });
    match built {
        Some(job) => ScheduleStep::Drill(Box::new(job)),
        None => publish(Reason::DrillFailed, "there is no complete backup that could be tried out"),
    }
}

fn is_tried_out(view: &View<'_>, backup: &WorkflowBackup) -> bool {
    let uid = backup.uid().unwrap_or_default();
    let is_of = |job: &&Arc<Job>| controller_kit::plan::is_controlled_by(&job.metadata, &uid);
    view.jobs.iter().filter(is_of).any(|job| Task::of(job) == Some(Task::Drill))
}

/// The last run of this very schedule that made a backup: another schedule begins anew.
fn last_run(view: &View<'_>, schedule: &Schedule) -> Option<Timestamp> {
    let of_schedule = view.backups.iter().filter(|backup| {
        Cause::Schedule.is_of(backup)
            && backup.annotations().get(SCHEDULED_BY).is_some_and(|by| *by == schedule.to_string())
    });
    of_schedule.filter_map(|backup| backup.annotations().get(SCHEDULED_FOR)?.parse().ok()).max()
}

fn last_drill(view: &View<'_>) -> Option<Timestamp> {
    let of_backups = view.backups.iter().filter_map(|backup| backup.status.as_ref()?.last_drill.as_ref());
    let of_cluster = view.cluster.status.as_ref().and_then(|status| status.last_drill.as_ref());
    of_backups.chain(of_cluster).map(|drill| drill.at.0).max()
}

/// When a field got its value, at the latest: when its owner wrote anything last.
fn set_at(cluster: &WorkflowCluster, field: &str) -> Timestamp {
    let owners = cluster
        .managed_fields()
        .iter()
        .filter(|entry| entry.fields_v1.as_ref().is_some_and(|fields| fields.0.pointer(field).is_some()));
    let written = owners.filter_map(|entry| entry.time.as_ref()).map(|time| time.0).max();
    let created = || cluster.creation_timestamp().map(|time| time.0);
    written.or_else(created).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn until(wake: Option<Timestamp>, now: Timestamp, most: Duration) -> Duration {
    let wait = wake.and_then(|wake| Duration::try_from(wake.duration_since(now)).ok());
    wait.unwrap_or(most).clamp(Duration::from_secs(1), most.max(Duration::from_secs(1)))
}

fn plan_backup_before_upgrade(view: &View<'_>) -> Option<WorkflowBackup> {
    let upgrade = view.cluster.status.as_ref()?.upgrade.as_ref()?;
    view.cluster.spec.backup.as_ref()?.destination.as_ref()?;
    let hash = upgrade.plan_hash.as_ref().filter(|_| upgrade.stage == UpgradeStage::BackingUp)?;
    let name = names::child(&view.cluster.name_any(), &format!("before-{hash}"));
    let annotations = BTreeMap::from([(BACKUP_FOR_PLAN.to_owned(), hash.clone())]);
    is_new(view, &name).then(|| build_backup(view.cluster, name, Cause::Upgrade, annotations))
}

fn plan_last_backup(view: &View<'_>) -> Option<WorkflowBackup> {
    let is_wanted =
        is_deleting(view.cluster) && view.cluster.spec.deletion_policy() == ClusterDeletionPolicy::Snapshot;
    let name = names::child(&view.cluster.name_any(), &format!("final-{}", short_uid(view.cluster)));
    (is_wanted && is_new(view, &name))
        .then(|| build_backup(view.cluster, name, Cause::Deletion, BTreeMap::new()))
}

/// Does an upgrade, or the deletion, wait for a backup?
fn is_awaiting_backup(cluster: &WorkflowCluster) -> bool {
    let upgrade = cluster.status.as_ref().and_then(|status| status.upgrade.as_ref());
    let before_upgrade = upgrade.is_some_and(|upgrade| upgrade.stage == UpgradeStage::BackingUp);
    let is_snapshot = cluster.spec.deletion_policy() == ClusterDeletionPolicy::Snapshot;
    before_upgrade || is_deleting(cluster) && is_snapshot
}

fn is_new(view: &View<'_>, name: &str) -> bool {
    view.backups.iter().all(|backup| backup.name_any() != name)
}

fn build_scheduled(cluster: &WorkflowCluster, schedule: &Schedule, at: Timestamp) -> WorkflowBackup {
    let name = names::child(&cluster.name_any(), &at.strftime("%Y%m%d%H%M").to_string());
    let annotations = BTreeMap::from([
        (SCHEDULED_BY.to_owned(), schedule.to_string()),
        (SCHEDULED_FOR.to_owned(), at.to_string()),
    ]);
    build_backup(cluster, name, Cause::Schedule, annotations)
}

/// Without an owner reference: a backup outlives its cluster.
fn build_backup(
    cluster: &WorkflowCluster,
    name: String,
    cause: Cause,
    annotations: BTreeMap<String, String>,
) -> WorkflowBackup {
    let labels = [(MANAGED_BY, OPERATOR), (CLUSTER, &cluster.name_any()), (BACKUP_CAUSE, cause.as_str())];
    WorkflowBackup {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: cluster.namespace(),
            labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
            annotations: (!annotations.is_empty()).then_some(annotations),
            ..ObjectMeta::default()
        },
        spec: WorkflowBackupSpec {
            cluster_ref: BackupClusterRef { name: cluster.name_any() },
            method: None,
            destination: None,
            deletion_policy: None,
            paused: None,
        },
        status: None,
    }
}

fn publish(reason: Reason, message: &str) -> ScheduleStep {
    let (type_, note) = match reason.severity() {
        Severity::Normal => (EventType::Normal, message.to_owned()),
        Severity::Warning => (EventType::Warning, format!("{reason}: {message}")),
    };
    ScheduleStep::Publish(Event { type_, reason: reason.as_str().to_owned(), note })
}

#[cfg(test)]
mod tests;
