//! What the user is reported, and when to look again. Pure.

use std::time::Duration;

use api_types::WorkflowBackup;
use api_types::backup::{BackupPhase, BackupReason as Reason, DrillResult, WorkflowBackupStatus};
use api_types::condition::READY;
use api_types::reason::Reason as _;
use backup_format::{BackupReport, BaseReport};
use controller_kit::condition::{Readiness, find};
use controller_kit::events::{Event, EventType};
use controller_kit::outcome::{ErrorClass, Next};
use controller_kit::pass::OwnStatus;
use controller_kit::problem::Problem;
use controller_kit::status::event_of_ready;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;

use crate::kind::{Applied, Backups};
use crate::observe::is_final;
use crate::plan::{BackupPlan, Begun, Completed, Course, RECHECK_SOON, Wait};

/// What no watch shows is found after this time.
pub const RESYNC: Duration = Duration::from_mins(10);
const SETTLED: Next = Next::Settled { resync: RESYNC };

/// A pass in one value.
pub type Assessment = controller_kit::assessment::Assessment<BackupPhase, Reason, Facts>;

/// What a pass found out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// Where the backup goes, when that is recorded.
    pub begun: Option<Box<Begun>>,
    /// What the agent says of a backup that is complete.
    pub completed: Option<Box<Completed>>,
    /// What a drill showed.
    pub drill: Option<DrillResult>,
}

/// Judges a pass.
#[must_use]
pub fn assess(backup: &WorkflowBackup, plan: &BackupPlan, applied: &Applied) -> Assessment {
    let former = backup.status.clone().unwrap_or_default();
    if let Course::Rests { drill, recheck } = &plan.course {
        let rests = assess_rest(&former);
        let failed = applied.failures.first();
        let next = match (failed, recheck) {
            (Some(problem), _) => Next::Failed(problem.class),
            (None, Some(recheck)) => Next::Wait { recheck: *recheck },
            (None, None) => SETTLED,
        };
        let drill = drill.clone().filter(|_| failed.is_none());
        return Assessment { next, facts: Facts { drill, ..Facts::default() }, ..rests };
    }
    let phase = match plan.course {
        Course::Ends(_) => BackupPhase::Deleting,
        Course::Runs(_) => BackupPhase::Running,
        _ => BackupPhase::Pending,
    };
    if let Some(problem) = applied.failures.first() {
        return Assessment::of_problem(phase, problem);
    }
    match &plan.course {
        Course::Waits(wait) | Course::Runs(wait) | Course::Ends(wait) => assess_wait(phase, wait),
        Course::Begins(begun) => {
            let message = format!("the backup goes to {}", begun.location);
            let wait = Wait::passing(Reason::BackupRunning, message, RECHECK_SOON);
            let facts = Facts { begun: Some(begun.clone()), ..Facts::default() };
            Assessment { facts, ..assess_wait(BackupPhase::Running, &wait) }
        }
        Course::Completes(completed) => Assessment {
            phase: BackupPhase::Completed,
            readiness: Readiness::Ready,
            reason: Reason::BackupCompleted,
            message: completed_message(&former, completed),
            next: Next::Wait { recheck: RECHECK_SOON },
            facts: Facts { completed: Some(completed.clone()), ..Facts::default() },
        },
        Course::Fails { reason, message } => Assessment {
            phase: BackupPhase::Failed,
            readiness: Readiness::Stalled,
            reason: *reason,
            message: message.clone(),
            next: Next::Wait { recheck: RECHECK_SOON },
            facts: Facts::default(),
        },
        Course::Rests { .. } => assess_rest(&former),
    }
}

fn assess_wait(phase: BackupPhase, wait: &Wait) -> Assessment {
    Assessment {
        phase,
        readiness: wait.readiness,
        reason: wait.reason,
        message: wait.message.clone(),
        // What is invalid is not looked at again before it changes.
        next: if wait.reason == Reason::InvalidSpec {
            Next::Failed(ErrorClass::Invalid)
        } else {
            Next::Wait { recheck: wait.recheck }
        },
        facts: Facts::default(),
    }
}

/// The result stays as it was reported.
fn assess_rest(former: &WorkflowBackupStatus) -> Assessment {
    let word = find(&former.conditions, READY).map(|ready| ready.reason.clone()).unwrap_or_default();
    let is_complete = former.phase == Some(BackupPhase::Completed);
    let (readiness, otherwise) = if is_complete {
        (Readiness::Ready, Reason::BackupCompleted)
    } else {
        (Readiness::Stalled, Reason::JobFailed)
    };
    Assessment {
        phase: former.phase.unwrap_or_default(),
        readiness,
        reason: Reason::ALL.iter().copied().find(|it| it.as_str() == word).unwrap_or(otherwise),
        message: former.message.clone().unwrap_or_default(),
        next: SETTLED,
        facts: Facts::default(),
    }
}

fn completed_message(former: &WorkflowBackupStatus, completed: &Completed) -> String {
    let recorded = |otherwise: &str| former.destination.clone().unwrap_or_else(|| otherwise.to_owned());
    match completed {
        Completed::Logical(BackupReport { totals, location, .. }) => format!(
            "{} process definitions, {} active instances and {} jobs are in {}",
            totals.definitions,
            totals.active_instances,
            totals.jobs,
            recorded(location)
        ),
        Completed::Base(BaseReport { location, .. }) => format!(
            "the base backup is in {}; it can be recovered to any time since, as far as WAL is archived",
            recorded(location)
        ),
    }
}

/// Judges a pass that could not read what it needs. What was reached stays.
#[must_use]
pub fn assess_unread(backup: &WorkflowBackup, problem: &Problem<Reason>) -> Assessment {
    let former = backup.status.clone().unwrap_or_default();
    if backup.metadata.deletion_timestamp.is_some() {
        return Assessment::of_problem(BackupPhase::Deleting, problem);
    }
    if is_final(&former) {
        return Assessment { next: Next::Failed(problem.class), ..assess_rest(&former) };
    }
    Assessment::of_problem(former.phase.unwrap_or_default(), problem)
}

/// What a backup has beside the head of its status. Nothing that was recorded is lost.
#[must_use]
pub fn build_own_status(
    backup: &WorkflowBackup,
    former: &WorkflowBackupStatus,
    assessment: &Assessment,
    now: Timestamp,
) -> OwnStatus<Backups> {
    let Facts { begun, completed, drill } = &assessment.facts;
    let mut fields = WorkflowBackupStatus { backup_name: Some(backup.name_any()), ..former.clone() };
    if let Some(begun) = begun {
        fields.backup_id = Some(begun.backup_id.clone());
        fields.destination = Some(begun.location.clone());
        fields.artefact = Some(begun.artefact.clone());
        fields.engine_version.clone_from(&begun.engine_version);
        fields.started_at = former.started_at.clone().or(Some(Time(now)));
    }
    match completed.as_deref() {
        Some(Completed::Logical(report)) => {
            fields.size_bytes = Some(signed(report.size_bytes));
            fields.started_at = Some(whole_seconds(report.started_at));
            fields.completed_at = Some(whole_seconds(report.completed_at));
            fields.engine_version = Some(report.engine_version.clone());
            fields.schema_version = Some(report.schema_version);
            fields.digest = Some(report.digest.clone());
            fields.leased_jobs = Some(signed(report.totals.leased_jobs));
        }
        Some(Completed::Base(report)) => {
            fields.size_bytes = Some(signed(report.size_bytes));
            fields.started_at = Some(whole_seconds(report.started_at));
            fields.completed_at = Some(next_second(report.completed_at));
            fields.engine_version = Some(report.engine_version.clone());
        }
        None => {}
    }
    if let Some(drill) = drill {
        fields.last_drill = Some(drill.clone());
    }
    OwnStatus { fields, conditions: Vec::new(), kept: Vec::new() }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Times of Kubernetes carry no more.
fn whole_seconds(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}

/// A time to recover to is not before the end of the base backup.
fn next_second(at: Timestamp) -> Time {
    let has_more = at.subsec_nanosecond() > 0;
    let second = at.as_second() + i64::from(has_more);
    Time(Timestamp::from_second(second).unwrap_or(at))
}

/// The change of `Ready`, and a drill that was recorded.
#[must_use]
pub fn build_events(
    backup: &WorkflowBackup,
    former: &WorkflowBackupStatus,
    status: &WorkflowBackupStatus,
) -> Vec<Event> {
    let drill = status.last_drill.as_ref().filter(|drill| former.last_drill.as_ref() != Some(*drill));
    let ready = event_of_ready::<Reason>(&former.conditions, &status.conditions);
    ready.into_iter().chain(drill.map(|drill| drill_event(backup, drill))).collect()
}

/// The event of a drill.
#[must_use]
pub fn drill_event(backup: &WorkflowBackup, drill: &DrillResult) -> Event {
    let name = backup.name_any();
    if drill.succeeded {
        let note = format!("WorkflowBackup {name} was restored within {} s, with every row", drill.seconds);
        return Event { type_: EventType::Normal, reason: Reason::DrillSucceeded.as_str().to_owned(), note };
    }
    let why = drill.message.as_deref().unwrap_or_default();
    Event {
        type_: EventType::Warning,
        reason: Reason::DrillFailed.as_str().to_owned(),
        note: format!("{}: WorkflowBackup {name} could not be restored: {why}", Reason::DrillFailed),
    }
}
