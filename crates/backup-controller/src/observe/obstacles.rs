//! What keeps the pod of a Job from being made or started.

use api_types::backup::BackupReason;
use controller_kit::pod_creation::creation_failure_message;
use controller_kit::problem::Problem;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod, Volume};
use kube::api::{ListParams, ObjectMeta};
use kube::{Api, ResourceExt as _};

use super::unread;
use crate::context::Context;
use agent_jobs::volumes::{DATABASE, DATABASE_CA, describe};

/// Kubernetes' words for a container that is being created.
const PASSING: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// What stands in the way of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// As a reason of the backup.
    pub reason: BackupReason,
    /// In words, without the name of the pod: its attempts change it.
    pub message: String,
}

/// Looks at the newest pod of a Job that is not finished; without one, at what Kubernetes says about the Job.
pub async fn observe_obstacle(
    context: &Context,
    job: &Job,
    pods: &[Pod],
) -> Result<Option<Obstacle>, Problem<BackupReason>> {
    let name = job.name_any();
    let Some(pod) = pods.last() else {
        let events = observe_events(context, "Job", &job.metadata).await?;
        return Ok(failed_create(&name, &events));
    };
    if let Some(scheduled) = condition_message(pod, "PodScheduled") {
        return Ok(Some(unscheduled(&name, job, &scheduled)));
    }
    match waiting_reason(pod) {
        None => Ok(None),
        Some(reason) if PASSING.contains(&reason.as_str()) => {
            let events = observe_events(context, "Pod", &pod.metadata).await?;
            Ok(failed_mount(&name, job, &events))
        }
        // Kubernetes alternates between the attempt and the pause after it: one word for both.
        Some(reason) => {
            let reason = if reason == "ErrImagePull" { "ImagePullBackOff".to_owned() } else { reason };
            Ok(Some(not_starting(&name, &reason)))
        }
    }
}

fn not_starting(job: &str, why: &str) -> Obstacle {
    let message = format!("the pod of Job {job} does not start: {why}");
    Obstacle { reason: BackupReason::PodNotStarting, message }
}

async fn observe_events(
    context: &Context,
    kind: &str,
    meta: &ObjectMeta,
) -> Result<Vec<Event>, Problem<BackupReason>> {
    let namespace = meta.namespace.clone().unwrap_or_default();
    let name = meta.name.clone().unwrap_or_default();
    let api: Api<Event> = Api::namespaced(context.client.clone(), &namespace);
    let about = format!("involvedObject.uid={}", meta.uid.as_deref().unwrap_or_default());
    let events = api.list(&ListParams::default().fields(&about)).await;
    Ok(events.map_err(|error| unread(&format!("the events of {kind} {namespace}/{name}"), &error))?.items)
}

fn newest<'e>(events: &'e [Event], reason: &str) -> Option<&'e Event> {
    let of_reason = events.iter().filter(|event| event.reason.as_deref() == Some(reason));
    of_reason.max_by_key(|event| reported_at(event))
}

/// When it was reported last; three generations of event recorders write it to three fields.
fn reported_at(event: &Event) -> Option<Timestamp> {
    let series =
        event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    let once = event.event_time.as_ref().map(|time| time.0);
    series.max(last).max(once).or(event.creation_timestamp().map(|time| time.0))
}

fn failed_create(job: &str, events: &[Event]) -> Option<Obstacle> {
    let failed = newest(events, "FailedCreate")?;
    let is_past = newest(events, "SuccessfulCreate").is_some_and(|it| reported_at(it) >= reported_at(failed));
    let cause = creation_failure_message(failed.message.as_deref().unwrap_or_default());
    (!is_past).then(|| Obstacle {
        reason: BackupReason::FailedCreate,
        message: format!("the pods of Job {job} cannot be created: {cause}"),
    })
}

/// A missing PersistentVolumeClaim shows as a pod that fits on no node.
fn unscheduled(name: &str, job: &Job, message: &str) -> Obstacle {
    let claim = volumes(job).iter().find(|volume| {
        let claim = volume.persistent_volume_claim.as_ref();
        claim.is_some_and(|claim| {
            message.contains(&format!("persistentvolumeclaim \"{}\" not found", claim.claim_name))
        })
    });
    match claim {
        Some(claim) => missing(claim, job),
        None => not_starting(name, "Unschedulable"),
    }
}

fn failed_mount(name: &str, job: &Job, events: &[Event]) -> Option<Obstacle> {
    let failed = newest(events, "FailedMount").or_else(|| newest(events, "FailedAttachVolume"))?;
    let text = failed.message.as_deref().unwrap_or_default();
    let quoted =
        text.split_once("volume \"").and_then(|(_, rest)| rest.split_once('"')).map(|(name, _)| name);
    let volume = quoted.and_then(|name| volumes(job).iter().find(|volume| volume.name == name));
    // The kubelet's own retries pass: only what names a missing object or key stays.
    let is_missing = text.contains("not found") || text.contains("non-existent secret key");
    match volume {
        Some(volume) if is_missing => Some(missing(volume, job)),
        Some(volume) => Some(not_starting(name, &format!("volume {} cannot be mounted yet", volume.name))),
        None => Some(not_starting(name, "a volume cannot be mounted yet")),
    }
}

fn missing(volume: &Volume, job: &Job) -> Obstacle {
    let needed = describe(volume, &job.namespace().unwrap_or_default());
    let reason = match volume.name.as_str() {
        DATABASE | DATABASE_CA => BackupReason::DatabaseUnreachable,
        _ => BackupReason::DestinationSecretMissing,
    };
    let what = if volume.persistent_volume_claim.is_some() {
        "does not exist"
    } else {
        "is needed, and does not exist or lacks a key"
    };
    Obstacle { reason, message: format!("{needed} {what}") }
}

fn volumes(job: &Job) -> &[Volume] {
    let pod = job.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    pod.and_then(|pod| pod.volumes.as_deref()).unwrap_or_default()
}

/// The message of a condition that is false.
fn condition_message(pod: &Pod, type_: &str) -> Option<String> {
    let mut conditions = pod.status.as_ref()?.conditions.iter().flatten();
    let condition = conditions.find(|it| it.type_ == type_ && it.status == "False")?;
    Some(condition.message.clone().unwrap_or_default())
}

fn waiting_reason(pod: &Pod) -> Option<String> {
    let mut containers = pod.status.as_ref()?.container_statuses.iter().flatten();
    containers.find_map(|container| container.state.as_ref()?.waiting.as_ref()?.reason.clone())
}

#[cfg(test)]
mod tests;
