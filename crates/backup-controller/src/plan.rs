//! What to do about a backup. Pure. [`crate::cleanup`] is the same for one that is being deleted.

mod finished;
mod physical;

use std::sync::Arc;
use std::time::Duration;

use agent_jobs::destination::{
    agent_destination, backup_id, destination_of, encryption_of, location, method_of,
};
use api_types::backup::{BackupArtefact, BackupMethod, BackupReason as Reason, DrillResult};
use api_types::cluster::{PostgresStatus, UpgradeStage};
use api_types::condition::READY;
use api_types::reason::Reason as _;
use api_types::{WorkflowBackup, WorkflowCluster};
use backup_format::{BackupReport, BaseReport, Failure, Outcome};
use controller_kit::condition::{Readiness, find};
use controller_kit::events::Event;
use controller_kit::pass::is_deleting;
use controller_kit::plan::{Deletion, Desired};
use controller_kit::problem::Problem;
use jiff::Timestamp;
use kube::ResourceExt as _;

use crate::args::Settings;
use crate::children::{Order, Task, backup_job};
use crate::cleanup::plan_cleanup;
use crate::kind::Backups;
use crate::observe::jobs::{JobState, JobView};
use crate::observe::{Observed, is_begun, is_finished, order_of};
use crate::outcome::{Verdict, judge};
use crate::validate::validate;
pub use finished::can_be_tried_out;
use finished::plan_finished;

/// Safety net: what is awaited is watched.
pub const RECHECK_WATCHED: Duration = Duration::from_mins(1);
/// The next step follows at once.
pub const RECHECK_SOON: Duration = Duration::from_secs(1);
/// What keeps a pod from starting shows in no watch.
pub const RECHECK_JOB: Duration = Duration::from_secs(10);

/// Kubernetes' word for a Job whose time is over.
const DEADLINE: &str = "DeadlineExceeded";

/// A step that only backups have.
#[derive(Clone, Debug, PartialEq)]
pub enum BackupStep {
    /// Creates a Job: it is never applied, because its template cannot change.
    CreateJob(Box<Desired>),
    /// Has CloudNativePG make a base backup.
    CreateBaseBackup(Box<Desired>),
    /// The same as for a Job, for the one that deletes. Where it cannot be made any more, the object goes without it.
    CreateDeleteJob(Box<Desired>),
    /// Ends a Job; it stays until its pods are gone.
    WithdrawJob(Deletion),
    /// An event about the cluster.
    TellCluster(Arc<WorkflowCluster>, Event),
}

/// One write.
pub type Step = controller_kit::plan::Step<BackupStep>;

/// Ordered steps, and what the status says of the backup.
#[derive(Clone, Debug, PartialEq)]
pub struct BackupPlan {
    /// In order; the first failure ends the pass.
    pub steps: Vec<Step>,
    /// Where the backup stands.
    pub course: Course,
}

impl AsRef<[Step]> for BackupPlan {
    fn as_ref(&self) -> &[Step] {
        &self.steps
    }
}

/// Where a backup stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Course {
    /// Nothing of it exists, and something is awaited.
    Waits(Wait),
    /// Where it goes is recorded now; the Job follows.
    Begins(Box<Begun>),
    /// A Job makes it.
    Runs(Wait),
    /// It has just been completed.
    Completes(Box<Completed>),
    /// It has just failed for good.
    Fails {
        /// Why.
        reason: Reason,
        /// In words.
        message: String,
    },
    /// It was completed or failed before.
    Rests {
        /// The result of a drill that is not recorded yet.
        drill: Option<DrillResult>,
        /// When to look again, if something is left to do.
        recheck: Option<Duration>,
    },
    /// It is being deleted.
    Ends(Wait),
}

/// What the agent says of a backup that is complete.
#[derive(Clone, Debug, PartialEq)]
pub enum Completed {
    /// It made it.
    Logical(BackupReport),
    /// It found it at the destination.
    Base(BaseReport),
}

/// Something is awaited.
#[derive(Clone, Debug, PartialEq)]
pub struct Wait {
    /// What, as a reason.
    pub reason: Reason,
    /// What, in words.
    pub message: String,
    /// Whether it ends by itself.
    pub readiness: Readiness,
    /// Time to the next look.
    pub recheck: Duration,
}

impl Wait {
    /// It ends by itself.
    pub fn passing(reason: Reason, message: impl Into<String>, recheck: Duration) -> Self {
        Self { reason, message: message.into(), readiness: Readiness::InProgress, recheck }
    }

    /// It ends when a person acts.
    pub fn stalled(reason: Reason, message: impl Into<String>, recheck: Duration) -> Self {
        Self { readiness: Readiness::Stalled, ..Self::passing(reason, message, recheck) }
    }
}

/// What is recorded before anything is written to a destination: the cluster may be gone when the backup is deleted.
#[derive(Clone, Debug, PartialEq)]
pub struct Begun {
    /// Id at the destination.
    pub backup_id: String,
    /// The destination with the id, in one word.
    pub location: String,
    /// Method, destination and encryption.
    pub artefact: BackupArtefact,
    /// The engine's version, for a base backup: only the cluster says it.
    pub engine_version: Option<String>,
}

/// Plans a pass.
#[must_use]
pub fn plan_pass(
    backup: &WorkflowBackup,
    spec: &Result<(), Problem<Reason>>,
    observed: &Observed,
    settings: &Settings,
    now: Timestamp,
) -> BackupPlan {
    if is_deleting(backup) {
        return plan_cleanup(backup, observed, settings, now);
    }
    if is_finished(backup) {
        return plan_finished(backup, observed, now);
    }
    if let Some(view) = observed.job(Task::Backup) {
        return plan_running(backup, view);
    }
    if let Err(problem) = spec
        && !is_begun(backup)
    {
        let wait = Wait::stalled(problem.reason, problem.to_string(), RECHECK_WATCHED);
        return only(Course::Waits(wait));
    }
    if backup.spec.is_paused() {
        let message = "spec.paused is true: no Job is made";
        return only(Course::Waits(Wait::passing(Reason::Paused, message, RECHECK_WATCHED)));
    }
    if let Some(plan) = physical::plan_going(backup, observed, settings, now) {
        return plan;
    }
    match judge_beginning(backup, observed) {
        Beginning::Now(..) if physical::is_base(backup) => physical::plan_making(backup, observed),
        Beginning::Now(cluster, begun) if is_begun(backup) => {
            plan_job(backup, &cluster, observed, settings).unwrap_or_else(|| only(Course::Begins(begun)))
        }
        Beginning::Now(_, begun) => {
            BackupPlan { steps: missing_finalizer(backup), course: Course::Begins(begun) }
        }
        Beginning::NotYet(wait) => only(Course::Waits(wait)),
        Beginning::Never { reason, message } => only(Course::Fails { reason, message }),
    }
}

const fn only(course: Course) -> BackupPlan {
    BackupPlan { steps: Vec::new(), course }
}

fn missing_finalizer(backup: &WorkflowBackup) -> Vec<Step> {
    let finalizer = <Backups as controller_kit::pass::Kind>::FINALIZER.unwrap_or_default();
    let has = backup.finalizers().iter().any(|present| present == finalizer);
    (!has).then_some(Step::AddFinalizer { annotation: None }).into_iter().collect()
}

/// Whether a backup can begin.
enum Beginning {
    Now(Arc<WorkflowCluster>, Box<Begun>),
    NotYet(Wait),
    Never { reason: Reason, message: String },
}

fn judge_beginning(backup: &WorkflowBackup, observed: &Observed) -> Beginning {
    let name = &backup.spec.cluster_ref.name;
    let Some(cluster) = observed.cluster.clone() else {
        let namespace = backup.namespace().unwrap_or_default();
        let message = format!("spec.clusterRef: WorkflowCluster {namespace}/{name} does not exist");
        return Beginning::NotYet(Wait::stalled(Reason::ClusterMissing, message, RECHECK_WATCHED));
    };
    let begun = match recorded(backup) {
        Some(begun) => begun,
        None => match plan_artefact(backup, &cluster) {
            Ok(begun) => begun,
            Err(beginning) => return beginning,
        },
    };
    if let Some(other) = observed.others.iter().find(|other| goes_first(other, backup, &cluster)) {
        let message = format!("WorkflowBackup {} of the same cluster is made first", other.name_any());
        return Beginning::NotYet(Wait::passing(Reason::BackupAwaited, message, RECHECK_WATCHED));
    }
    match why_not_ready(&cluster) {
        Some(wait) => Beginning::NotYet(wait),
        None => Beginning::Now(cluster, Box::new(begun)),
    }
}

/// What was recorded when it was begun.
fn recorded(backup: &WorkflowBackup) -> Option<Begun> {
    let status = backup.status.as_ref()?;
    Some(Begun {
        backup_id: status.backup_id.clone()?,
        location: status.destination.clone()?,
        artefact: status.artefact.clone()?,
        engine_version: status.engine_version.clone(),
    })
}

fn plan_artefact(backup: &WorkflowBackup, cluster: &WorkflowCluster) -> Result<Begun, Beginning> {
    let method = method_of(backup, cluster);
    let Some(destination) = destination_of(backup, cluster) else {
        let message = format!(
            "set spec.destination, or spec.backup.destination of WorkflowCluster {}",
            cluster.name_any()
        );
        let wait = Wait::stalled(Reason::DestinationMissing, message, RECHECK_WATCHED);
        return Err(Beginning::NotYet(wait));
    };
    if method == BackupMethod::CloudNativePg {
        return physical::plan_artefact(backup, cluster, destination)
            .map_err(|(reason, message)| Beginning::Never { reason, message });
    }
    if let Err(message) = agent_destination(&destination) {
        return Err(Beginning::Never { reason: Reason::DestinationInvalid, message });
    }
    let backup_id = backup_id(backup);
    Ok(Begun {
        location: location(&destination, &backup_id),
        artefact: BackupArtefact {
            method,
            destination,
            server_name: None,
            encryption: encryption_of(cluster),
        },
        backup_id,
        engine_version: None,
    })
}

/// One at a time, the oldest first; but one that cannot begin by itself holds up no other.
fn goes_first(other: &WorkflowBackup, backup: &WorkflowBackup, cluster: &WorkflowCluster) -> bool {
    if is_begun(other) != is_begun(backup) {
        return is_begun(other);
    }
    let can_begin =
        !other.spec.is_paused() && destination_of(other, cluster).is_some() && validate(other).is_ok();
    order_of(other) < order_of(backup) && (can_begin || is_begun(other))
}

/// Why the cluster's database cannot be backed up now.
fn why_not_ready(cluster: &WorkflowCluster) -> Option<Wait> {
    let name = cluster.name_any();
    let not_ready = |message| Some(Wait::passing(Reason::ClusterNotReady, message, RECHECK_WATCHED));
    let postgres = cluster.status.as_ref().and_then(|status| status.postgres_status);
    if cluster.spec.postgres.managed.is_some() {
        match postgres {
            Some(PostgresStatus::Hibernated) => {
                let message = format!("the Postgres of WorkflowCluster {name} wakes up for the backup");
                return Some(Wait::passing(Reason::PostgresWaking, message, RECHECK_WATCHED));
            }
            Some(PostgresStatus::Provisioning) if cluster.spec.is_stopped() => {
                let message = format!("the Postgres of WorkflowCluster {name} wakes up for the backup");
                return Some(Wait::passing(Reason::PostgresWaking, message, RECHECK_WATCHED));
            }
            Some(PostgresStatus::Provisioning) | None => {
                return not_ready(format!("the Postgres of WorkflowCluster {name} is not ready"));
            }
            Some(PostgresStatus::Healthy | PostgresStatus::Unreachable) => {}
        }
    }
    if let Some(stage) = schema_change(cluster) {
        let stage = stage.as_str();
        return not_ready(format!(
            "the upgrade of WorkflowCluster {name} changes the schema ({stage}), and would wait"
        ));
    }
    if engine_version(cluster).is_none() {
        return not_ready(format!(
            "the engine of WorkflowCluster {name} has not run yet: there is nothing to back up"
        ));
    }
    None
}

/// A migration locks whole tables. Behind a backup, which reads them, it would wait, and the engine behind it. One that is
/// stuck does not hold up the last backup of a cluster that goes.
fn schema_change(cluster: &WorkflowCluster) -> Option<UpgradeStage> {
    let stage = cluster.status.as_ref()?.upgrade.as_ref()?.stage;
    let is_migrating = matches!(stage, UpgradeStage::Expanding | UpgradeStage::Contracting);
    (is_migrating && !is_deleting(cluster)).then_some(stage)
}

/// The version that the database served last.
fn engine_version(cluster: &WorkflowCluster) -> Option<&str> {
    cluster.status.as_ref()?.version.as_deref()
}

/// The Job, and the finalizer before it if somebody took that away.
fn plan_job(
    backup: &WorkflowBackup,
    cluster: &WorkflowCluster,
    observed: &Observed,
    settings: &Settings,
) -> Option<BackupPlan> {
    let namespace = backup.namespace().unwrap_or_default();
    let postgres = cluster.spec.postgres.connection(&cluster.name_any(), &namespace)?;
    let order = Order::of(backup, cluster.spec.scheduling.as_ref(), settings)?;
    let installation = observed.installation.as_deref()?;
    let source = backup_job::Source {
        postgres: &postgres,
        engine_version: engine_version(cluster)?,
        owner: &format!("{installation}/{namespace}/{}", cluster.name_any()),
        max_seconds: cluster.spec.backup.clone().unwrap_or_default().max_seconds(),
    };
    let desired = Desired::of(&backup_job::build(&order, &source));
    let course = Course::Runs(runs(&desired.name));
    let mut steps = missing_finalizer(backup);
    steps.push(Step::Own(BackupStep::CreateJob(Box::new(desired))));
    Some(BackupPlan { steps, course })
}

fn runs(job: &str) -> Wait {
    Wait::passing(Reason::BackupRunning, format!("Job {job} makes the backup"), RECHECK_JOB)
}

/// What its Job reports.
fn plan_running(backup: &WorkflowBackup, view: &JobView) -> BackupPlan {
    let job = view.job.name_any();
    match &view.state {
        JobState::Running { failure: Some(failure), .. } if is_given_up(failure) => only(fails(failure)),
        JobState::Running { obstacle: Some(obstacle), .. } => {
            only(Course::Runs(Wait::stalled(obstacle.reason, &obstacle.message, RECHECK_JOB)))
        }
        JobState::Running { failure: Some(failure), .. } => {
            let (reason, _) = judge(failure.reason);
            let message = format!("{}; it is tried again", failure.message);
            only(Course::Runs(Wait::passing(reason, message, RECHECK_JOB)))
        }
        JobState::Running { .. } | JobState::Ending => only(Course::Runs(runs(&job))),
        JobState::Succeeded { outcome, .. } => match outcome.as_deref() {
            Some(Outcome::Backup(report)) => {
                only(Course::Completes(Box::new(Completed::Logical(report.clone()))))
            }
            Some(Outcome::Base(report)) => only(Course::Completes(Box::new(Completed::Base(report.clone())))),
            // Its pod is gone, and with it the report. Another run finds the backup and reports it.
            _ if backup.spec.is_paused() => only(Course::Runs(runs(&job))),
            _ => BackupPlan {
                steps: vec![Step::Own(BackupStep::WithdrawJob(Deletion::of(&*view.job)))],
                course: Course::Runs(Wait {
                    recheck: RECHECK_SOON,
                    ..Wait::passing(
                        Reason::BackupRunning,
                        format!("Job {job} runs again: the report of its pod is lost"),
                        RECHECK_SOON,
                    )
                }),
            },
        },
        JobState::Failed { failure: Some(failure), .. } => only(fails(failure)),
        JobState::Failed { failure: None, cause, .. } => only(explain_end(backup, &job, cause)),
    }
}

/// What kept the pod from starting until the Job's time was over says more than that the time was over.
fn explain_end(backup: &WorkflowBackup, job: &str, cause: &str) -> Course {
    let status = backup.status.clone().unwrap_or_default();
    let reported = find(&status.conditions, READY).map(|ready| ready.reason.as_str());
    let obstacles = [
        Reason::DatabaseUnreachable,
        Reason::DestinationSecretMissing,
        Reason::PodNotStarting,
        Reason::FailedCreate,
    ];
    let obstacle = obstacles.into_iter().find(|it| Some(it.as_str()) == reported);
    match (obstacle, status.message) {
        (Some(reason), Some(message)) if cause == DEADLINE => {
            Course::Fails { reason, message: format!("{message}; the time of Job {job} is over") }
        }
        _ => Course::Fails {
            reason: Reason::JobFailed,
            message: format!("Job {job} ended without a result: {cause}"),
        },
    }
}

fn is_given_up(failure: &Failure) -> bool {
    judge(failure.reason).1 == Verdict::GiveUp
}

fn fails(failure: &Failure) -> Course {
    Course::Fails { reason: judge(failure.reason).0, message: failure.message.clone() }
}
