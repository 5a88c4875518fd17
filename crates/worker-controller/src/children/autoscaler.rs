//! The HorizontalPodAutoscaler: one External metric per job type, and the type that needs the most pods decides.

use std::collections::BTreeMap;

use api_types::WorkflowWorker;
use api_types::worker::Autoscaling;
use controller_kit::children::Child;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, ExternalMetricSource, HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec,
    MetricIdentifier, MetricSpec, MetricTarget,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kube::{Resource as _, ResourceExt as _};
use serde_json::{Value, json};

use super::{BuildInput, WorkerChildren};
use crate::status::lag::{is_over_target, read_job_types, read_lag_seconds, step_of};
use crate::validate::JobType;

/// Name of the metric that the adapter serves.
pub const LAG_METRIC: &str = "wf_job_lag_seconds";
/// Its label that tells the job type, encoded by [`api_types::job_type`].
pub const JOB_TYPE_LABEL: &str = "job_type";

/// The child.
pub struct Autoscaler;

impl Child for Autoscaler {
    type Set = WorkerChildren;
    type Object = HorizontalPodAutoscaler;

    fn name(&self, worker: &WorkflowWorker) -> String {
        worker.name_any()
    }

    fn is_wanted(&self, worker: &WorkflowWorker) -> bool {
        worker.spec.autoscaling.is_some()
    }

    fn build(
        &self,
        input: &BuildInput<'_>,
        _live: Option<&HorizontalPodAutoscaler>,
    ) -> Option<HorizontalPodAutoscaler> {
        input.worker.spec.autoscaling.as_ref().map(|autoscaling| build(input, autoscaling))
    }

    /// It writes its status at every sync, and most of that is the lag moving a little.
    fn trigger(&self, autoscaler: &HorizontalPodAutoscaler) -> Value {
        let HorizontalPodAutoscaler { metadata, spec, status } = autoscaler;
        let conditions = status.iter().flat_map(|status| status.conditions.iter().flatten());
        let conditions: Vec<_> =
            conditions.map(|condition| (&condition.type_, &condition.status, &condition.reason)).collect();
        json!({
            "labels": metadata.labels,
            "annotations": metadata.annotations,
            "owners": metadata.owner_references,
            "goes": metadata.deletion_timestamp.is_some(),
            "spec": spec,
            "conditions": conditions,
            "lag": read_lag_seconds(autoscaler).map(step_of),
            "overTarget": is_over_target(autoscaler),
            "jobTypes": read_job_types(autoscaler),
        })
    }
}

/// Builds it. Without `behavior` the defaults of autoscaling/v2 hold: out at once, in only after 300 s of less need.
#[must_use]
pub fn build(input: &BuildInput<'_>, autoscaling: &Autoscaling) -> HorizontalPodAutoscaler {
    let name = input.worker.name_any();
    let metric = |job_type| build_metric(input, job_type, autoscaling.target_job_lag_seconds());
    HorizontalPodAutoscaler {
        spec: Some(HorizontalPodAutoscalerSpec {
            scale_target_ref: CrossVersionObjectReference {
                api_version: Some(Deployment::api_version(&()).into_owned()),
                kind: Deployment::kind(&()).into_owned(),
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

#[cfg(test)]
mod tests;
