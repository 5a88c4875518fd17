//! What goes over the wire: the metric types of `external.metrics.k8s.io/v1beta1`, the metric names, and which
//! media type a client gets. `k8s-openapi` has the meta/v1 types but not the metrics group.

use std::collections::BTreeMap;

use serde::Serialize;

pub mod accept;

pub const GROUP: &str = "external.metrics.k8s.io";
pub const VERSION: &str = "v1beta1";
pub const GROUP_VERSION: &str = "external.metrics.k8s.io/v1beta1";
pub const VALUE_LIST_KIND: &str = "ExternalMetricValueList";

/// The metrics served; discovery lists exactly these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// Age of the oldest job that waits, in seconds.
    JobLagSeconds,
    /// Number of jobs that wait.
    JobBacklog,
}

impl Metric {
    pub const ALL: [Self; 2] = [Self::JobBacklog, Self::JobLagSeconds];

    pub const fn name(self) -> &'static str {
        match self {
            Self::JobLagSeconds => "wf_job_lag_seconds",
            Self::JobBacklog => "wf_job_backlog",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.name() == name)
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalMetricValueList {
    kind: &'static str,
    api_version: &'static str,
    metadata: ListMeta,
    pub items: Vec<ExternalMetricValue>,
}

/// A collection without a resourceVersion: values are computed when asked for, there is nothing to resume from.
#[derive(Debug, Serialize)]
struct ListMeta {}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalMetricValue {
    pub metric_name: &'static str,
    pub metric_labels: BTreeMap<&'static str, String>,
    /// RFC 3339, UTC, whole seconds: when the engine looked.
    pub timestamp: String,
    /// A quantity.
    pub value: String,
}

impl ExternalMetricValueList {
    pub fn of(item: ExternalMetricValue) -> Self {
        Self { kind: VALUE_LIST_KIND, api_version: GROUP_VERSION, metadata: ListMeta {}, items: vec![item] }
    }
}
