//! What is left to do about a backup that was completed or failed: its Jobs, and drills of it. Pure.

use agent_jobs::volumes::IDENTITY;
use api_types::WorkflowBackup;
use api_types::backup::{BackupMethod, BackupPhase, BackupReason, DrillResult};
use backup_format::Outcome;
use controller_kit::message::bounded;
use controller_kit::pass::is_deleting;
use controller_kit::plan::Deletion;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;

use super::{BackupPlan, BackupStep, Course, RECHECK_JOB, RECHECK_SOON, Step};
use crate::children::Task;
use crate::observe::jobs::{JobState, JobView};
use crate::observe::{Observed, is_complete};
use crate::status::drill_event;

/// Longest time of a drill that its status can hold.
const MAX_SECONDS: i64 = 1_000_000_000;

/// Records drills, and takes away Jobs that nobody needs any more. The Job of a failed backup stays, for its log.
pub(super) fn plan_finished(backup: &WorkflowBackup, observed: &Observed, now: Timestamp) -> BackupPlan {
    let mut steps = Vec::new();
    let (mut drill, mut recheck) = (None, None);
    let status = backup.status.clone().unwrap_or_default();
    let phase = status.phase.unwrap_or_default();
    let is_recorded = |view: &JobView| {
        let made = view.job.creation_timestamp().map(|time| time.0);
        status.last_drill.as_ref().is_some_and(|last| Some(last.at.0) >= made)
    };
    for view in &observed.jobs {
        let deletion = || Deletion::of(&*view.job);
        match (view.task, &view.state) {
            (_, JobState::Ending) => {}
            (Task::Backup, JobState::Running { .. }) => {
                steps.push(Step::Own(BackupStep::WithdrawJob(deletion())));
            }
            (Task::Backup, _) if phase == BackupPhase::Completed => steps.push(Step::Delete(deletion())),
            (Task::Drill, JobState::Running { .. }) if hopeless(view).is_some() && is_recorded(view) => {
                steps.push(Step::Own(BackupStep::WithdrawJob(deletion())));
            }
            (Task::Drill, JobState::Running { .. }) if hopeless(view).is_none() => {
                recheck = Some(RECHECK_JOB);
            }
            (Task::Drill, _) => match drill_result(backup, view, now) {
                Some(result) if !is_recorded(view) => {
                    if let Some(cluster) = &observed.cluster
                        && !result.succeeded
                    {
                        let event = drill_event(backup, &result);
                        steps.push(Step::Own(BackupStep::TellCluster(cluster.clone(), event)));
                    }
                    drill = Some(result);
                    recheck = Some(RECHECK_SOON);
                }
                _ => steps.push(Step::Delete(deletion())),
            },
            (Task::Backup | Task::Delete, _) => {}
        }
    }
    if backup.spec.is_paused() {
        steps.retain(|step| matches!(step, Step::Own(BackupStep::TellCluster(..))));
    }
    // A Job that was just recorded is taken away by the next pass.
    let has_job = phase == BackupPhase::Completed && observed.job(Task::Backup).is_some();
    if has_job && recheck.is_none() {
        recheck = Some(RECHECK_JOB);
    }
    BackupPlan { steps, course: Course::Rests { drill, recheck } }
}

/// What a finished drill showed; `None` while it is not finished.
fn drill_result(backup: &WorkflowBackup, view: &JobView, now: Timestamp) -> Option<DrillResult> {
    let status = view.job.status.as_ref();
    let began = status.and_then(|status| status.start_time.as_ref()).map(|time| time.0);
    let took = |at: Timestamp| began.map_or(0, |began| at.duration_since(began).as_secs().max(0));
    let result = |at: Timestamp, succeeded, seconds, message: Option<String>| DrillResult {
        at: Time(at),
        succeeded,
        seconds,
        backup_name: Some(backup.name_any()),
        message,
    };
    match &view.state {
        JobState::Succeeded { outcome, at } => {
            let at = (*at)?;
            let seconds = match outcome.as_deref() {
                Some(Outcome::Drill(report)) => i64::try_from(report.seconds).unwrap_or(i64::MAX),
                _ => took(at),
            };
            Some(result(at, true, seconds.min(MAX_SECONDS), None))
        }
        JobState::Failed { failure, cause, at } => {
            let at = (*at)?;
            let job = view.job.name_any();
            let message = match failure {
                Some(failure) => failure.message.clone(),
                None => format!("Job {job} ended without a result: {cause}"),
            };
            let hint = if lacks_identity(backup, view) {
                ": spec.backup.encryption.identitySecret of the cluster names no key"
            } else {
                ""
            };
            let message = bounded(&format!("{message}{hint}"));
            Some(result(at, false, took(at).min(MAX_SECONDS), Some(message)))
        }
        JobState::Running { .. } => Some(result(now, false, took(now), Some(hopeless(view)?.to_owned()))),
        JobState::Ending => None,
    }
}

/// A drill is not worth waiting for when what it needs is not there.
fn hopeless(view: &JobView) -> Option<&str> {
    match &view.state {
        JobState::Running { obstacle: Some(obstacle), .. }
            if obstacle.reason == BackupReason::DestinationSecretMissing =>
        {
            Some(&obstacle.message)
        }
        _ => None,
    }
}

/// An encrypted backup was tried out without a key.
fn lacks_identity(backup: &WorkflowBackup, view: &JobView) -> bool {
    let artefact = backup.status.as_ref().and_then(|status| status.artefact.as_ref());
    let pod = view.job.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    let volumes = pod.and_then(|pod| pod.volumes.as_deref()).unwrap_or_default();
    artefact.is_some_and(|artefact| artefact.encryption.is_some())
        && volumes.iter().all(|volume| volume.name != IDENTITY)
}

/// Whether a drill of this backup is possible: it is complete and where this controller can have it read.
#[must_use]
pub fn can_be_tried_out(backup: &WorkflowBackup) -> bool {
    let artefact = backup.status.as_ref().and_then(|status| status.artefact.as_ref());
    is_complete(backup)
        && !is_deleting(backup)
        && artefact.is_some_and(|artefact| artefact.method == BackupMethod::Logical)
}
