//! The Jobs of a backup, and what their pods left as a result.

use std::sync::Arc;

use api_types::WorkflowBackup;
use api_types::backup::BackupReason;
use backup_format::{Failure, Outcome};
use controller_kit::plan::is_controlled_by;
use controller_kit::problem::Problem;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobCondition};
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};
use kube::api::ListParams;
use kube::{Api, Resource as _, ResourceExt as _};

use super::obstacles::{Obstacle, observe_obstacle};
use super::{is_finished as is_backup_finished, unread};
use crate::children::Task;
use crate::context::Context;

/// Label of Kubernetes on the pods of a Job.
const JOB_NAME: &str = "batch.kubernetes.io/job-name";

/// A Job, and how far it is.
#[derive(Clone, Debug)]
pub struct JobView {
    /// The Job.
    pub job: Arc<Job>,
    /// What it does.
    pub task: Task,
    /// How far it is.
    pub state: JobState,
}

/// How far a Job is.
#[derive(Clone, Debug, PartialEq)]
pub enum JobState {
    /// It is being deleted, and its pods may still run.
    Ending,
    /// It is not finished.
    Running {
        /// What the last attempt that failed says.
        failure: Option<Failure>,
        /// What keeps its pod from starting.
        obstacle: Option<Obstacle>,
    },
    /// It succeeded.
    Succeeded {
        /// What the pod says; `None` when the pod is gone, or was not asked.
        outcome: Option<Box<Outcome>>,
        /// When it ended.
        at: Option<Timestamp>,
    },
    /// It failed, and no further attempt follows.
    Failed {
        /// What the last attempt says; `None` when it says nothing.
        failure: Option<Failure>,
        /// Why Kubernetes ended it, one of its own words: `DeadlineExceeded`, `OOMKilled`, …
        cause: String,
        /// When it ended.
        at: Option<Timestamp>,
    },
}

impl JobView {
    /// Is nothing of it left that runs, or will?
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.state, JobState::Succeeded { .. } | JobState::Failed { .. })
    }
}

/// The Jobs of this backup, by name. They are always watched; their pods are asked only for what is not known yet.
pub async fn observe_jobs(
    context: &Context,
    backup: &WorkflowBackup,
) -> Result<Vec<JobView>, Problem<BackupReason>> {
    let (uid, namespace) = (backup.uid().unwrap_or_default(), backup.namespace());
    let is_ours = |job: &Arc<Job>| job.namespace() == namespace && is_controlled_by(job.meta(), &uid);
    let mut jobs: Vec<_> = context.jobs.state().into_iter().filter(is_ours).collect();
    jobs.sort_by_key(|job| job.name_any());
    let mut views = Vec::new();
    for job in jobs {
        let Some(task) = Task::of(&job) else { continue };
        let is_known = task == Task::Backup && is_backup_finished(backup);
        let state = observe_state(context, &job, is_known).await?;
        views.push(JobView { job, task, state });
    }
    Ok(views)
}

async fn observe_state(
    context: &Context,
    job: &Job,
    is_known: bool,
) -> Result<JobState, Problem<BackupReason>> {
    if job.metadata.deletion_timestamp.is_some() {
        return Ok(JobState::Ending);
    }
    let pods = if is_known { Vec::new() } else { observe_pods(context, job).await? };
    if let Some(complete) = condition(job, "Complete") {
        let outcome = results(&pods)
            .into_iter()
            .rev()
            .find_map(|(_, outcome)| outcome.filter(|outcome| !matches!(outcome, Outcome::Failure(_))));
        return Ok(JobState::Succeeded { outcome: outcome.map(Box::new), at: transition(complete) });
    }
    let results = results(&pods);
    let last = results.last();
    let failure = last.and_then(|(_, outcome)| match outcome {
        Some(Outcome::Failure(failure)) => Some(failure.clone()),
        _ => None,
    });
    if let Some(failed) = condition(job, "Failed") {
        // A word of the kubelet's about the container says more than one about the Job.
        let of_pod = last.and_then(|(ended, _)| ended.reason.clone()).filter(|reason| reason != "Error");
        let cause = of_pod.or_else(|| failed.reason.clone()).unwrap_or_default();
        return Ok(JobState::Failed { failure, cause: word(&cause), at: transition(failed) });
    }
    let obstacle = if is_known { None } else { observe_obstacle(context, job, &pods).await? };
    Ok(JobState::Running { failure, obstacle })
}

async fn observe_pods(context: &Context, job: &Job) -> Result<Vec<Pod>, Problem<BackupReason>> {
    let (namespace, name) = (job.namespace().unwrap_or_default(), job.name_any());
    let api: Api<Pod> = Api::namespaced(context.client.clone(), &namespace);
    let listed = api.list(&ListParams::default().labels(&format!("{JOB_NAME}={name}"))).await;
    let mut pods = listed.map_err(|error| unread(&format!("Pods of Job {namespace}/{name}"), &error))?.items;
    // A Job of the same name that was there before left pods that are not this one's.
    pods.retain(|pod| is_controlled_by(&pod.metadata, &job.uid().unwrap_or_default()));
    pods.sort_by_key(|pod| (pod.creation_timestamp().map(|time| time.0), pod.name_any()));
    Ok(pods)
}

/// How the containers of pods ended and what they left, the latest last.
fn results(pods: &[Pod]) -> Vec<(&ContainerStateTerminated, Option<Outcome>)> {
    let ended = pods.iter().filter_map(|pod| {
        let containers = &pod.status.as_ref()?.container_statuses;
        containers.iter().flatten().find_map(|container| container.state.as_ref()?.terminated.as_ref())
    });
    ended
        .map(|ended| {
            let message = ended.message.as_deref().unwrap_or_default();
            (ended, serde_json::from_str(message).ok())
        })
        .collect()
}

fn condition<'j>(job: &'j Job, type_: &str) -> Option<&'j JobCondition> {
    let mut conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.find(|condition| condition.type_ == type_ && condition.status == "True")
}

fn transition(condition: &JobCondition) -> Option<Timestamp> {
    condition.last_transition_time.as_ref().map(|time| time.0)
}

/// One word, as Kubernetes' reasons are; anything else is left out.
fn word(text: &str) -> String {
    let is_word = !text.is_empty() && text.len() <= 64 && text.chars().all(|c| c.is_ascii_alphanumeric());
    if is_word { text.to_owned() } else { "Failed".to_owned() }
}
