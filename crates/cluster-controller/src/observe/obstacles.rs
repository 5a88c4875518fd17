//! What keeps pods from being made or started and does not show on the pods themselves. Asked only while some are missing.

use api_types::WorkflowCluster;
use api_types::cluster::ClusterReason;
use controller_kit::pod_creation::creation_failure_message;
use controller_kit::problem::Problem;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, Secret};
use kube::api::{ListParams, ObjectMeta};
use kube::{Api, ResourceExt as _};

use super::children::{Children, is_finished, is_observed};
use super::pods::PodView;
use super::unread;
use crate::context::Context;

/// All that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Obstacles {
    /// Children whose pods Kubernetes refuses to create.
    pub failed_creates: Vec<FailedCreate>,
    /// Pull Secrets of the installation that the cluster's namespace does not have.
    pub missing_pull_secrets: Vec<String>,
}

/// What Kubernetes makes pods for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodOwner {
    /// The engine's pods.
    StatefulSet,
    /// The pod of a migration.
    Job,
}

impl PodOwner {
    /// The kind.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StatefulSet => "StatefulSet",
            Self::Job => "Job",
        }
    }
}

/// A child whose pods Kubernetes refuses to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedCreate {
    /// Whose pods.
    pub owner: PodOwner,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Why, in our words.
    pub cause: String,
}

impl FailedCreate {
    /// For status and event.
    #[must_use]
    pub fn message(&self) -> String {
        let Self { owner, namespace, name, cause } = self;
        let kind = owner.as_str();
        let word = kind.to_lowercase();
        format!(
            "the pods of {kind} {name} cannot be created: {cause}; see kubectl -n {namespace} describe {word} {name}"
        )
    }
}

impl Obstacles {
    /// Why this child has no pods.
    #[must_use]
    pub fn failed_create(&self, owner: PodOwner, name: &str) -> Option<&FailedCreate> {
        self.failed_creates.iter().find(|failed| failed.owner == owner && failed.name == name)
    }
}

/// Reads what the pods do not show.
pub async fn observe_obstacles(
    context: &Context,
    cluster: &WorkflowCluster,
    children: &Children,
    pods: &[PodView],
) -> Result<Obstacles, Problem<ClusterReason>> {
    let mut failed_creates = Vec::new();
    for (owner, meta) in without_pods(children, pods) {
        failed_creates.extend(observe_failed_create(context, owner, meta).await?);
    }
    let mut missing_pull_secrets = Vec::new();
    if pods.iter().any(|pod| pod.problem.as_deref() == Some("ImagePullBackOff")) {
        let namespace = cluster.namespace().unwrap_or_default();
        let api: Api<Secret> = Api::namespaced(context.client.clone(), &namespace);
        for name in &context.settings.engine_image_pull_secrets {
            let found = api.get_metadata_opt(name).await;
            let found = found.map_err(|error| unread(&format!("Secret {namespace}/{name}"), &error))?;
            if found.is_none() {
                missing_pull_secrets.push(name.clone());
            }
        }
    }
    Ok(Obstacles { failed_creates, missing_pull_secrets })
}

/// The children that should have more pods than there are.
fn without_pods<'a>(children: &'a Children, pods: &[PodView]) -> Vec<(PodOwner, &'a ObjectMeta)> {
    let engines = pods.iter().filter(|pod| pod.ordinal.is_some()).count();
    let set = children.stateful_set().filter(|set| {
        let wanted = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        is_observed(set) && usize::try_from(wanted).is_ok_and(|wanted| engines < wanted)
    });
    let has_migration_pod = pods.iter().any(|pod| pod.ordinal.is_none());
    let waits = |job: &k8s_openapi::api::batch::v1::Job| {
        !has_migration_pod && !is_finished(job) && job.metadata.deletion_timestamp.is_none()
    };
    let jobs = children.jobs.iter().filter(|job| waits(job)).map(|job| (PodOwner::Job, &job.metadata));
    set.map(|set| (PodOwner::StatefulSet, &set.metadata)).into_iter().chain(jobs).collect()
}

/// The newest of what Kubernetes tells about the pods of a child counts: it may have made some since.
async fn observe_failed_create(
    context: &Context,
    owner: PodOwner,
    meta: &ObjectMeta,
) -> Result<Option<FailedCreate>, Problem<ClusterReason>> {
    let namespace = meta.namespace.clone().unwrap_or_default();
    let name = meta.name.clone().unwrap_or_default();
    let api: Api<Event> = Api::namespaced(context.client.clone(), &namespace);
    let about = format!("involvedObject.uid={}", meta.uid.as_deref().unwrap_or_default());
    let events = api.list(&ListParams::default().fields(&about)).await;
    let events = events
        .map_err(|error| unread(&format!("the events of {} {namespace}/{name}", owner.as_str()), &error))?;
    let newest = |reason: &str| {
        let of_reason = events.items.iter().filter(|event| event.reason.as_deref() == Some(reason));
        of_reason.max_by_key(|event| reported_at(event))
    };
    let Some(failed) = newest("FailedCreate") else { return Ok(None) };
    let is_past =
        newest("SuccessfulCreate").is_some_and(|created| reported_at(created) >= reported_at(failed));
    let cause = creation_failure_message(failed.message.as_deref().unwrap_or_default());
    Ok((!is_past).then_some(FailedCreate { owner, namespace, name, cause }))
}

/// When it was reported last; three generations of event recorders write it to three fields.
fn reported_at(event: &Event) -> Option<Timestamp> {
    let series =
        event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    let once = event.event_time.as_ref().map(|time| time.0);
    series.max(last).max(once).or(event.creation_timestamp().map(|time| time.0))
}

#[cfg(test)]
mod tests;
