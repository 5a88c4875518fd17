//! What to do about a backup that is being deleted. Pure. It always ends: what cannot be deleted within its time is left and
//! reported.

use std::time::Duration;

use agent_jobs::destination::server_name;
use api_types::backup::BackupReason as Reason;
use api_types::labels::FORCE_DELETE;
use api_types::reason::{Reason as _, Severity};
use api_types::reference::DeletionPolicy;
use api_types::{WorkflowBackup, WorkflowCluster};
use backup_format::PhysicalId;
use controller_kit::events::{Event, EventType};
use controller_kit::message::listed;
use controller_kit::pass::is_deleting;
use controller_kit::plan::{Deletion, Desired};
use jiff::Timestamp;
use kube::ResourceExt as _;

use crate::args::Settings;
use crate::children::{Order, Task, base_backup, delete_job};
use crate::observe::base_backup::{BaseState, BaseView};
use crate::observe::jobs::{JobState, JobView};
use crate::observe::{Observed, is_begun, is_complete};
use crate::plan::{BackupPlan, BackupStep, Course, RECHECK_JOB, Step, Wait};

/// Time to end Jobs that are at work, and to make the one that deletes.
pub const LIMIT: Duration = Duration::from_secs(delete_job::LIMIT_SECONDS.unsigned_abs());
/// How much later than its own deadline a Job is given up: it may not be looked after by anybody.
const SLACK: Duration = Duration::from_mins(2);
/// Characters for the names in a message, which has 256 in all.
const ROOM_FOR_NAMES: usize = 120;

/// Plans a pass over a backup that is being deleted.
#[must_use]
pub fn plan_cleanup(
    backup: &WorkflowBackup,
    observed: &Observed,
    settings: &Settings,
    now: Timestamp,
) -> BackupPlan {
    let base_id = completed_base(observed).map(ToString::to_string);
    let order = Order::of(backup, scheduling(observed), settings);
    // One that CloudNativePG completed before its id was recorded.
    let order = order.map(|order| order.with_id(base_id.as_deref()));
    let (steps, wait) = match judge(backup, observed, now) {
        Verdict::Go(_) => (vec![Step::RemoveFinalizer], None),
        Verdict::Wait(wait) => (Vec::new(), Some(wait)),
        Verdict::End { jobs, wait } => {
            (jobs.into_iter().map(|job| Step::Own(BackupStep::WithdrawJob(job))).collect(), Some(wait))
        }
        // Without an order nothing was begun, and the verdict is another.
        Verdict::Delete(wait) => {
            let is_gone = is_server_gone(backup, observed);
            let desired = order.map(|order| Box::new(Desired::of(&delete_job::build(&order, is_gone))));
            let create = desired.map(|desired| Step::Own(BackupStep::CreateDeleteJob(desired)));
            (create.into_iter().collect(), Some(wait))
        }
    };
    let wait = wait.unwrap_or_else(|| deleting("the finalizer is removed"));
    BackupPlan { steps, course: Course::Ends(wait) }
}

/// The event of a backup that goes.
#[must_use]
pub fn build_last_event(backup: &WorkflowBackup, observed: &Observed, now: Timestamp) -> Option<Event> {
    match judge(backup, observed, now) {
        Verdict::Go(event) => event,
        Verdict::Wait(_) | Verdict::End { .. } | Verdict::Delete(_) => {
            Some(left(backup, "no Job can be made any more to delete it"))
        }
    }
}

/// Is the time over in which a Job that deletes can be made?
#[must_use]
pub fn is_overdue(backup: &WorkflowBackup, now: Timestamp) -> bool {
    let since = backup.metadata.deletion_timestamp.as_ref().map(|time| time.0);
    since.is_some_and(|since| elapsed(since, now) >= LIMIT)
}

enum Verdict {
    /// Nothing is left to do.
    Go(Option<Event>),
    /// Something is awaited.
    Wait(Wait),
    /// Jobs that are at work are ended first.
    End { jobs: Vec<Deletion>, wait: Wait },
    /// A Job deletes it.
    Delete(Wait),
}

fn judge(backup: &WorkflowBackup, observed: &Observed, now: Timestamp) -> Verdict {
    let is_forced = backup.annotations().get(FORCE_DELETE).is_some_and(|value| value == "true");
    if is_forced {
        let note = is_begun(backup)
            .then(|| format!("what is at {} was left, and Jobs at work were not awaited", location(backup)));
        return Verdict::Go(note.map(|note| event(Reason::DeletionForced, &note)));
    }
    let is_kept = backup.spec.deletion_policy() == DeletionPolicy::Retain;
    if observed.is_namespace_ending && !is_kept {
        // Its Jobs go with the namespace, too.
        return Verdict::Go(is_begun(backup).then(|| left(backup, "its namespace is being deleted")));
    }
    // One that is not complete is of no use to them, and will not be completed any more.
    if !is_kept && !observed.restoring.is_empty() && is_complete(backup) {
        let clusters = listed(&observed.restoring, ROOM_FOR_NAMES);
        let message = format!("it is deleted when these WorkflowClusters are restored from it: {clusters}");
        return Verdict::Wait(Wait::passing(Reason::ArtefactInUse, message, RECHECK_JOB));
    }
    let at_work: Vec<&JobView> =
        observed.jobs.iter().filter(|view| view.task != Task::Delete && !view.is_over()).collect();
    if let Some(first) = at_work.first() {
        if is_overdue(backup, now) {
            return Verdict::Go(Some(left(backup, "a Job that uses it does not end")));
        }
        let wait = deleting(&format!("Job {} is ended first", first.job.name_any()));
        let not_ending = at_work.iter().filter(|view| view.state != JobState::Ending);
        return Verdict::End { jobs: not_ending.map(|view| Deletion::of(&*view.job)).collect(), wait };
    }
    if !is_begun(backup) {
        return Verdict::Go(None);
    }
    if !is_kept && let Some(name) = base_at_work(backup, observed) {
        if is_overdue(backup, now) {
            return Verdict::Go(Some(left(backup, "CloudNativePG is still at work on it")));
        }
        return Verdict::Wait(deleting(&format!(
            "CloudNativePG completes Backup {name} first: it cannot be ended"
        )));
    }
    if is_kept {
        let note = if is_complete(backup) {
            format!("{} stays: a WorkflowCluster can begin with it by spec.bootstrap", location(backup))
        } else {
            format!("what the unfinished backup left at {} stays", location(backup))
        };
        return Verdict::Go(Some(event(Reason::ArtefactRetained, &note)));
    }
    match observed.job(Task::Delete) {
        None => Verdict::Delete(deleting(&format!("Job {} deletes it", delete_job::name(backup)))),
        Some(view) => judge_delete_job(backup, view, now),
    }
}

fn judge_delete_job(backup: &WorkflowBackup, view: &JobView, now: Timestamp) -> Verdict {
    let name = view.job.name_any();
    match &view.state {
        JobState::Succeeded { .. } => {
            Verdict::Go(Some(event(Reason::ArtefactDeleted, &format!("{} was deleted", location(backup)))))
        }
        JobState::Failed { failure, cause, .. } => {
            let why = failure.as_ref().map_or(cause, |failure| &failure.message);
            Verdict::Go(Some(left(backup, why)))
        }
        JobState::Ending => Verdict::Wait(deleting(&format!("Job {name} is being deleted by somebody"))),
        JobState::Running { failure, obstacle } => {
            let made = view.job.creation_timestamp().map(|time| time.0);
            let why = obstacle
                .as_ref()
                .map(|obstacle| obstacle.message.clone())
                .or_else(|| failure.as_ref().map(|failure| failure.message.clone()));
            if made.is_some_and(|made| elapsed(made, now) >= LIMIT + SLACK) {
                return Verdict::Go(Some(left(backup, why.as_deref().unwrap_or("its Job does not end"))));
            }
            Verdict::Wait(match why {
                Some(why) => Wait::passing(
                    Reason::DeletionBlocked,
                    format!("{why}; it is tried for {} minutes", LIMIT.as_secs() / 60),
                    RECHECK_JOB,
                ),
                None => deleting(&format!("Job {name} deletes it")),
            })
        }
    }
}

fn deleting(message: &str) -> Wait {
    Wait::passing(Reason::ArtefactDeleting, message, RECHECK_JOB)
}

/// The `Backup` that CloudNativePG is at work on.
fn base_at_work(backup: &WorkflowBackup, observed: &Observed) -> Option<String> {
    let Some(BaseView::Known { state, .. }) = &observed.base else { return None };
    matches!(state, BaseState::Going | BaseState::ArchiveFails).then(|| base_backup::name(backup))
}

fn completed_base(observed: &Observed) -> Option<&PhysicalId> {
    match &observed.base {
        Some(BaseView::Known { state: BaseState::Completed(id), .. }) => id.as_ref(),
        _ => None,
    }
}

/// Whether the Postgres of a base backup archives no more: its WAL goes with the last base backup then.
fn is_server_gone(backup: &WorkflowBackup, observed: &Observed) -> bool {
    let artefact = backup.status.as_ref().and_then(|status| status.artefact.as_ref());
    let Some(server) = artefact.and_then(|artefact| artefact.server_name.as_ref()) else { return false };
    let archives = |cluster: &WorkflowCluster| {
        cluster.spec.wal_archive().is_some() && server_name(cluster) == *server && !is_deleting(cluster)
    };
    !observed.cluster.as_deref().is_some_and(archives)
}

fn scheduling(observed: &Observed) -> Option<&api_types::scheduling::Scheduling> {
    observed.cluster.as_ref()?.spec.scheduling.as_ref()
}

fn location(backup: &WorkflowBackup) -> String {
    backup.status.as_ref().and_then(|status| status.destination.clone()).unwrap_or_default()
}

fn left(backup: &WorkflowBackup, why: &str) -> Event {
    event(Reason::ArtefactLeft, &format!("{} may still be there, delete it by hand: {why}", location(backup)))
}

fn event(reason: Reason, note: &str) -> Event {
    let (type_, note) = match reason.severity() {
        Severity::Normal => (EventType::Normal, note.to_owned()),
        Severity::Warning => (EventType::Warning, format!("{reason}: {note}")),
    };
    Event { type_, reason: reason.as_str().to_owned(), note }
}

fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}
