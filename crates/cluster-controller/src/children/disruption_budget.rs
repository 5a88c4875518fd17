//! The PodDisruptionBudget: a node drain takes one engine pod at a time.

use api_types::WorkflowCluster;
use api_types::engine_access::engine_name;
use api_types::labels::{Component, selector};
use controller_kit::children::Child;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt as _;

use super::{BuildInput, ClusterChildren, Input};

/// The child.
pub struct DisruptionBudget;

impl Child for DisruptionBudget {
    type Set = ClusterChildren;
    type Object = PodDisruptionBudget;

    fn name(&self, cluster: &WorkflowCluster) -> String {
        engine_name(&cluster.name_any())
    }

    /// With one replica, a budget would block every drain.
    fn is_wanted(&self, cluster: &WorkflowCluster) -> bool {
        cluster.spec.replicas > 1
    }

    fn build(&self, input: &Input<'_>, _live: Option<&PodDisruptionBudget>) -> Option<PodDisruptionBudget> {
        Some(build(&input.build))
    }
}

/// Builds it.
#[must_use]
pub fn build(input: &BuildInput<'_>) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: input.metadata(input.engine_name(), Component::Engine),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(LabelSelector {
                match_labels: Some(selector(Component::Engine, &input.name())),
                ..LabelSelector::default()
            }),
            // A pod that does not serve anyway must not block a drain.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    }
}
