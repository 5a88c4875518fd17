//! The HorizontalPodAutoscaler: one External metric per job type, and the type that needs the most pods decides.

use std::collections::BTreeMap;

use api_types::worker::Autoscaling;
use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, ExternalMetricSource, HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec,
    MetricIdentifier, MetricSpec, MetricTarget,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kube::ResourceExt as _;

use super::BuildInput;
use crate::validate::JobType;

/// Name of the metric that the adapter serves.
pub const LAG_METRIC: &str = "wf_job_lag_seconds";
/// Its label that tells the job type, encoded by [`api_types::job_type`].
pub const JOB_TYPE_LABEL: &str = "job_type";

/// Builds it. Without `behavior` the defaults of autoscaling/v2 hold: out at once, in only after 300 s of less need.
#[must_use]
pub fn build(input: &BuildInput<'_>, autoscaling: &Autoscaling) -> HorizontalPodAutoscaler {
    let name = input.worker.name_any();
    let metric = |job_type| build_metric(input, job_type, autoscaling.target_job_lag_seconds());
    HorizontalPodAutoscaler {
        spec: Some(HorizontalPodAutoscalerSpec {
            scale_target_ref: CrossVersionObjectReference {
                api_version: Some("apps/v1".to_owned()),
                kind: "Deployment".to_owned(),
                name: name.clone(),
            },
            min_replicas: Some(autoscaling.min_replicas),
            max_replicas: autoscaling.max_replicas,
            metrics: Some(input.fleet.job_types.iter().map(metric).collect()),
            behavior: autoscaling.behavior.clone(),
        }),
        metadata: input.metadata(name),
        ..HorizontalPodAutoscaler::default()
    }
}

/// A target *per pod*: with `Value` the lag of few ready pods would multiply the fleet at every sync.
fn build_metric(input: &BuildInput<'_>, job_type: &JobType, target_seconds: i32) -> MetricSpec {
    MetricSpec {
        type_: "External".to_owned(),
        external: Some(ExternalMetricSource {
            metric: MetricIdentifier {
                name: LAG_METRIC.to_owned(),
                selector: Some(build_selector(input, job_type)),
            },
            target: MetricTarget {
                type_: "AverageValue".to_owned(),
                average_value: Some(Quantity(target_seconds.to_string())),
                ..MetricTarget::default()
            },
        }),
        ..MetricSpec::default()
    }
}

/// Exactly one series: the same job type may exist in other clusters and for other tenants.
fn build_selector(input: &BuildInput<'_>, job_type: &JobType) -> LabelSelector {
    let cluster = &input.resolved.cluster;
    let mut labels = BTreeMap::from([
        (JOB_TYPE_LABEL.to_owned(), job_type.label_value.clone()),
        ("cluster".to_owned(), cluster.name_any()),
        ("cluster_namespace".to_owned(), cluster.namespace().unwrap_or_default()),
    ]);
    match &input.resolved.tenant {
        Some(tenant) => {
            labels.insert("tenant".to_owned(), tenant.name_any());
            LabelSelector { match_labels: Some(labels), match_expressions: None }
        }
        None => LabelSelector {
            match_labels: Some(labels),
            match_expressions: Some(vec![LabelSelectorRequirement {
                key: "tenant".to_owned(),
                operator: "DoesNotExist".to_owned(),
                values: None,
            }]),
        },
    }
}
