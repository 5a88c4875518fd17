//! The Service that gives each pod a name.

use api_types::WorkflowCluster;
use api_types::engine_access::headless_service_name;
use api_types::labels::{Component, selector};
use controller_kit::children::Child;
use k8s_openapi::api::core::v1::{Service, ServiceSpec};
use kube::ResourceExt as _;

use super::service::grpc_port;
use super::{BuildInput, ClusterChildren, Input};

/// The child.
pub struct HeadlessService;

impl Child for HeadlessService {
    type Set = ClusterChildren;
    type Object = Service;

    fn name(&self, cluster: &WorkflowCluster) -> String {
        headless_service_name(&cluster.name_any())
    }

    fn build(&self, input: &Input<'_>, _live: Option<&Service>) -> Option<Service> {
        Some(build(&input.build))
    }
}

/// The Service of the StatefulSet.
#[must_use]
pub fn build(input: &BuildInput<'_>) -> Service {
    Service {
        metadata: input.metadata(headless_service_name(&input.name()), Component::Engine),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            selector: Some(selector(Component::Engine, &input.name())),
            ports: Some(vec![grpc_port()]),
            // Names of pods, ready or not; readiness is the client Service's concern.
            publish_not_ready_addresses: Some(true),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}
