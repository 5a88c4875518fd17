//! The ServiceMonitor, whose CRD belongs to the Prometheus operator and may come and go.

use api_types::WorkflowCluster;
use api_types::cluster::ClusterReason;
use api_types::engine_access::engine_name;
use api_types::labels::{Component, selector};
use controller_kit::optional_kind::{Reading, read};
use controller_kit::plan::{ChildVerdict, Desired, plan_child, plan_removal};
use controller_kit::problem::Problem;
use kube::{Api, CustomResource, ResourceExt as _};
use serde::{Deserialize, Serialize};

use super::BuildInput;
use super::service::METRICS_PORT_NAME;
use crate::context::Context;

/// The fields of monitoring.coreos.com/v1 that we mean.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "monitoring.coreos.com",
    version = "v1",
    kind = "ServiceMonitor",
    plural = "servicemonitors",
    namespaced,
    schema = "disabled",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct ServiceMonitorSpec {
    /// Which Services.
    pub selector: MatchLabels,
    /// Which of their ports.
    pub endpoints: Vec<ScrapeEndpoint>,
}

/// Labels that must match.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MatchLabels {
    /// All of them.
    pub match_labels: std::collections::BTreeMap<String, String>,
}

/// What is scraped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScrapeEndpoint {
    /// Name of the Service's port.
    pub port: String,
    /// Path of the metrics.
    pub path: String,
}

/// The ServiceMonitor of a cluster.
#[derive(Clone, Debug, PartialEq)]
pub enum ServiceMonitorView {
    /// The CRD is not installed.
    CrdMissing,
    /// As it is.
    Known(Option<Box<ServiceMonitor>>),
    /// It could not be read.
    Unread(Problem<ClusterReason>),
}

/// Builds it. Both Services match the labels, only one has the port.
#[must_use]
pub fn build(input: &BuildInput<'_>) -> ServiceMonitor {
    ServiceMonitor {
        metadata: input.metadata(input.engine_name(), Component::Engine),
        spec: ServiceMonitorSpec {
            selector: MatchLabels { match_labels: selector(Component::Engine, &input.name()) },
            endpoints: vec![ScrapeEndpoint {
                port: METRICS_PORT_NAME.to_owned(),
                path: "/metrics".to_owned(),
            }],
        },
    }
}

/// What is to be done, unless the kind is not there or could not be read.
pub fn plan(input: &BuildInput<'_>, view: &ServiceMonitorView) -> ChildVerdict {
    let ServiceMonitorView::Known(live) = view else { return ChildVerdict::Converged };
    let owner = input.cluster.uid().unwrap_or_default();
    if input.cluster.spec.wants_service_monitor() {
        plan_child(&owner, Desired::of(&build(input)), live.as_deref())
    } else {
        plan_removal(&owner, live.as_deref())
    }
}

/// Asks by name, while one is wanted each time: a kind that may not exist cannot be watched.
pub async fn observe_service_monitor(context: &Context, cluster: &WorkflowCluster) -> ServiceMonitorView {
    if is_known_to_be_dropped(cluster) {
        return ServiceMonitorView::Known(None);
    }
    let name = engine_name(&cluster.name_any());
    let namespace = cluster.namespace().unwrap_or_default();
    let api: Api<ServiceMonitor> = Api::namespaced(context.client.clone(), &namespace);
    match read(&api, &name).await {
        Ok(Reading::Found(found)) => ServiceMonitorView::Known(Some(Box::new(found))),
        Ok(Reading::Absent) => ServiceMonitorView::Known(None),
        Ok(Reading::KindMissing) => ServiceMonitorView::CrdMissing,
        Err(error) => {
            let object = format!("ServiceMonitor {namespace}/{name}");
            ServiceMonitorView::Unread(Problem::unread(&object, &error, None))
        }
    }
}

/// None is wanted, and a pass over this very spec ended well: it left none.
fn is_known_to_be_dropped(cluster: &WorkflowCluster) -> bool {
    let settled = cluster
        .status
        .as_ref()
        .is_some_and(|status| status.ready && status.observed_generation == cluster.metadata.generation);
    settled && !cluster.spec.wants_service_monitor()
}
