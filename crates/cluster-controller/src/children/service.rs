//! The Service that callers connect to.

use api_types::WorkflowCluster;
use api_types::engine_access::{ADMIN_PORT, GRPC_PORT, engine_name};
use api_types::labels::{Component, selector};
use controller_kit::children::Child;
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt as _;
use kube::api::ObjectMeta;

use super::{BuildInput, ClusterChildren, Input};

/// Port of the engine's API, on container and Service.
pub const GRPC_PORT_NAME: &str = "grpc";
/// Port of probes and metrics, on the container.
pub const ADMIN_PORT_NAME: &str = "admin";
/// Port of the metrics, on the client Service only, so that nothing is scraped twice.
pub const METRICS_PORT_NAME: &str = "metrics";

/// The child.
pub struct ClientService;

impl Child for ClientService {
    type Set = ClusterChildren;
    type Object = Service;

    fn name(&self, cluster: &WorkflowCluster) -> String {
        engine_name(&cluster.name_any())
    }

    fn build(&self, input: &Input<'_>, _live: Option<&Service>) -> Option<Service> {
        Some(build(&input.build))
    }
}

/// The Service of `status.endpoint`: ready pods only.
#[must_use]
pub fn build(input: &BuildInput<'_>) -> Service {
    let spec = &input.cluster.spec;
    let annotations = spec.network.as_ref().map(|network| network.service_annotations.clone());
    let mut ports = vec![grpc_port()];
    let metrics = spec.observability.as_ref().and_then(|observability| observability.metrics.as_ref());
    if metrics.is_some_and(|metrics| metrics.enabled) {
        ports.push(ServicePort {
            name: Some(METRICS_PORT_NAME.to_owned()),
            port: ADMIN_PORT.into(),
            protocol: Some("TCP".to_owned()),
            target_port: Some(IntOrString::String(ADMIN_PORT_NAME.to_owned())),
            ..ServicePort::default()
        });
    }
    Service {
        metadata: ObjectMeta {
            annotations: annotations.filter(|annotations| !annotations.is_empty()),
            ..input.metadata(input.engine_name(), Component::Engine)
        },
        spec: Some(ServiceSpec {
            type_: Some(spec.service_type().as_str().to_owned()),
            selector: Some(selector(Component::Engine, &input.name())),
            ports: Some(ports),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

pub(super) fn grpc_port() -> ServicePort {
    ServicePort {
        name: Some(GRPC_PORT_NAME.to_owned()),
        port: GRPC_PORT.into(),
        protocol: Some("TCP".to_owned()),
        target_port: Some(IntOrString::String(GRPC_PORT_NAME.to_owned())),
        app_protocol: Some("https".to_owned()),
        ..ServicePort::default()
    }
}
