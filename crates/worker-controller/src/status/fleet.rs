//! What Deployment and autoscaler say of themselves, in our words.

use api_types::condition::ROLLOUT_COMPLETE;
use api_types::engine_access::ACCESS_TOKEN_KEY;
use api_types::{WorkflowWorker, job_type};
use controller_kit::condition::find;
use controller_kit::plan::is_controlled_by;
use controller_kit::pod_creation::creation_failure_message;
use engine_client::Credential;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;

use super::lag;
use crate::children::access_secret::AccessSecret;
use crate::children::autoscaler::Autoscaler;
use crate::children::deployment::WorkerPods;
use crate::kind::Applied;
use crate::observe::Observed;

/// What is known of the pods and their autoscaler.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// Pods that exist.
    pub replicas: i32,
    /// Pods that are ready.
    pub ready_replicas: i32,
    /// Pods that are wanted although the spec names fewer: as many as an autoscaler left.
    pub kept_replicas: Option<i32>,
    /// Where the Deployment stands.
    pub rollout: Rollout,
    /// Where the autoscaler stands.
    pub metrics: MetricsView,
    /// The greatest lag of all job types, as the autoscaler saw it.
    pub lag_seconds: Option<i64>,
    /// The key that the token of the fleet's pods was minted from.
    pub token_key_id: Option<String>,
}

/// Where the Deployment stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rollout {
    /// There is none.
    Absent,
    /// Pods are being started or replaced.
    RollingOut,
    /// Pods do not start: which, and why.
    Failed(String),
    /// No pod is wanted and none runs.
    Stopped,
    /// All pods are of the current template, and as many as must be are available.
    Complete,
}

/// Where the autoscaler stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricsView {
    /// None is wanted.
    Disabled,
    /// It has not said anything yet.
    Awaited,
    /// It acts on the lag of every job type.
    Available,
    /// It cannot act: why.
    Unavailable(String),
    /// Another autoscaler scales the same pods: which.
    Conflict(String),
}

/// Reads them off. A Deployment that this pass wrote counts as written.
#[must_use]
pub fn read_facts(worker: &WorkflowWorker, observed: &Observed, applied: &Applied) -> Facts {
    let uid = worker.uid().unwrap_or_default();
    let children = &observed.children;
    let written = applied.child::<Deployment>();
    let deployment = written.as_ref().or(children.get(&WorkerPods));
    let deployment = deployment.filter(|deployment| is_controlled_by(&deployment.metadata, &uid));
    let autoscaler = children.get(&Autoscaler);
    let autoscaler = autoscaler.filter(|autoscaler| {
        worker.spec.autoscaling.is_some() && is_controlled_by(&autoscaler.metadata, &uid)
    });
    let status = deployment.and_then(|deployment| deployment.status.clone()).unwrap_or_default();
    let rollout = deployment
        .map_or(Rollout::Absent, |deployment| read_rollout(worker, observed, written.as_ref(), deployment));
    let secret = children.get(&AccessSecret).filter(|secret| is_controlled_by(&secret.metadata, &uid));
    Facts {
        token_key_id: secret.and_then(|secret| read_token_key_id(worker, secret, &rollout)),
        replicas: status.replicas.unwrap_or(0),
        ready_replicas: status.ready_replicas.unwrap_or(0),
        kept_replicas: deployment.and_then(|deployment| read_kept_replicas(worker, deployment)),
        rollout,
        metrics: read_metrics(worker, autoscaler),
        lag_seconds: autoscaler.and_then(lag::read_lag_seconds),
    }
}

/// A pod may not read its token again, so a new one is reported only when every pod was started with it.
fn read_token_key_id(worker: &WorkflowWorker, secret: &Secret, rollout: &Rollout) -> Option<String> {
    let token = secret.data.as_ref()?.get(ACCESS_TOKEN_KEY)?;
    let token = Credential::parse(std::str::from_utf8(&token.0).ok()?).ok()?;
    let former = worker.status.as_ref().and_then(|status| status.access_key_id.clone());
    match rollout {
        Rollout::RollingOut | Rollout::Failed(_) if former.is_some() => former,
        _ => token.key_id().map(str::to_owned),
    }
}

fn read_kept_replicas(worker: &WorkflowWorker, deployment: &Deployment) -> Option<i32> {
    let wanted = deployment.spec.as_ref()?.replicas?;
    let spec = &worker.spec;
    (spec.autoscaling.is_none() && spec.replicas > 0 && wanted > spec.replicas).then_some(wanted)
}

/// Pods that an autoscaler is adding are not waited for: a fleet that grows is as good as before. Those that cannot start
/// are reported all the same.
fn read_rollout(
    worker: &WorkflowWorker,
    observed: &Observed,
    written: Option<&Deployment>,
    deployment: &Deployment,
) -> Rollout {
    let status = deployment.status.clone().unwrap_or_default();
    let asked = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let exist = status.replicas.unwrap_or(0);
    let is_seen = status.observed_generation >= deployment.metadata.generation
        || !is_new_spec(observed, written) && was_complete(worker);
    if is_seen && asked == 0 && exist == 0 {
        return Rollout::Stopped;
    }
    if let Some(stuck) = &observed.stuck {
        return Rollout::Failed(format!("pod {} does not start: {}", stuck.pod, stuck.state));
    }
    if let Some(refused) = find_replica_failure(deployment).filter(|_| is_seen) {
        return Rollout::Failed(refused);
    }
    let needed =
        worker.spec.autoscaling.as_ref().map_or(asked, |autoscaling| autoscaling.min_replicas.min(asked));
    let is_current = status.updated_replicas.unwrap_or(0) == exist;
    if is_seen && is_current && status.available_replicas.unwrap_or(0) >= needed && exist >= needed {
        Rollout::Complete
    } else {
        Rollout::RollingOut
    }
}

/// Did this pass change the Deployment's spec?
fn is_new_spec(observed: &Observed, written: Option<&Deployment>) -> bool {
    let before = observed.children.get(&WorkerPods).and_then(|before| before.metadata.generation);
    written.is_some_and(|written| written.metadata.generation != before)
}

/// Only we change the template. So a generation that the Deployment controller has not seen yet is, after a rollout that
/// was complete, a mere scale, and not reported.
fn was_complete(worker: &WorkflowWorker) -> bool {
    worker.status.as_ref().is_some_and(|former| {
        former.observed_generation == worker.metadata.generation
            && find(&former.conditions, ROLLOUT_COMPLETE).is_some_and(|condition| condition.status == "True")
    })
}

/// Pods that the API server refuses to create: a quota, a policy.
fn find_replica_failure(deployment: &Deployment) -> Option<String> {
    let conditions = deployment.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut failures =
        conditions.filter(|condition| condition.type_ == "ReplicaFailure" && condition.status == "True");
    let cause = creation_failure_message(failures.next()?.message.as_deref().unwrap_or_default());
    let namespace = deployment.namespace().unwrap_or_default();
    Some(format!(
        "pods cannot be created: {cause}; see kubectl -n {namespace} get events --field-selector reason=FailedCreate"
    ))
}

fn read_metrics(worker: &WorkflowWorker, autoscaler: Option<&HorizontalPodAutoscaler>) -> MetricsView {
    if worker.spec.autoscaling.is_none() {
        return MetricsView::Disabled;
    }
    let status = autoscaler.and_then(|autoscaler| autoscaler.status.as_ref());
    let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let reported = |type_: &str| conditions.iter().find(|condition| condition.type_ == type_);
    let Some(scaling) = reported("ScalingActive") else {
        return match reported("AbleToScale") {
            Some(able) if able.status == "False" => unavailable(able.reason.as_deref()),
            _ => MetricsView::Awaited,
        };
    };
    let able = reported("AbleToScale").filter(|able| able.status == "False");
    match (able, scaling.status.as_str(), scaling.reason.as_deref()) {
        (_, "False", Some("AmbiguousSelector")) => {
            let rivals = scaling.message.clone().unwrap_or_default();
            MetricsView::Conflict(format!("another autoscaler scales the same pods: {rivals}"))
        }
        (Some(able), ..) => unavailable(able.reason.as_deref()),
        (None, "True", _) => read_job_types(worker, autoscaler),
        (None, _, reason) => unavailable(reason),
    }
}

/// An autoscaler that misses some metrics still acts on the others, but only to add pods.
fn read_job_types(worker: &WorkflowWorker, autoscaler: Option<&HorizontalPodAutoscaler>) -> MetricsView {
    let seen = autoscaler.map(lag::read_job_types).unwrap_or_default();
    let is_missed = |job_type: &&String| job_type::encode(job_type).is_ok_and(|label| !seen.contains(&label));
    let mut missed: Vec<&str> = worker.spec.job_types.iter().filter(is_missed).map(String::as_str).collect();
    missed.sort_unstable();
    if missed.is_empty() {
        MetricsView::Available
    } else {
        MetricsView::Unavailable(format!("the autoscaler gets no lag of {}", missed.join(", ")))
    }
}

fn unavailable(reason: Option<&str>) -> MetricsView {
    let reason = reason.unwrap_or("no reason given");
    MetricsView::Unavailable(format!("the autoscaler keeps the number of pods: {reason}"))
}
