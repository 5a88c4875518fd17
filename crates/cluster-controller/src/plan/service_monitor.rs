//! The ServiceMonitor.

use api_types::labels::{Component, selector};

use super::BuildInput;
use super::services::METRICS_PORT_NAME;
use crate::observe::service_monitor::{MatchLabels, ScrapeEndpoint, ServiceMonitor, ServiceMonitorSpec};

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
