//! The PodDisruptionBudget: a node drain takes one worker pod at a time.

use api_types::labels::{Component, selector};
use api_types::{WorkflowWorker, WorkflowWorkerSpec};
use controller_kit::children::Child;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt as _;

use super::{BuildInput, WorkerChildren};

/// The child.
pub struct DisruptionBudget;

impl Child for DisruptionBudget {
    type Set = WorkerChildren;
    type Object = PodDisruptionBudget;

    fn name(&self, worker: &WorkflowWorker) -> String {
        worker.name_any()
    }

    fn is_wanted(&self, worker: &WorkflowWorker) -> bool {
        is_useful(&worker.spec)
    }

    fn build(
        &self,
        input: &BuildInput<'_>,
        _live: Option<&PodDisruptionBudget>,
    ) -> Option<PodDisruptionBudget> {
        Some(build(input))
    }
}

/// With at most one pod there is nothing to take one after the other.
#[must_use]
pub fn is_useful(spec: &WorkflowWorkerSpec) -> bool {
    spec.autoscaling.as_ref().map_or(spec.replicas, |autoscaling| autoscaling.max_replicas) > 1
}

/// Builds it.
#[must_use]
pub fn build(input: &BuildInput<'_>) -> PodDisruptionBudget {
    let name = input.worker.name_any();
    PodDisruptionBudget {
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(LabelSelector {
                match_labels: Some(selector(Component::Worker, &name)),
                ..LabelSelector::default()
            }),
            // A pod that does not work anyway must not block a drain.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        metadata: input.metadata(name),
        ..PodDisruptionBudget::default()
    }
}
