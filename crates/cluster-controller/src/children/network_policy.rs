//! Who may reach the engine's pods.

use api_types::WorkflowCluster;
use api_types::cluster::ServiceType;
use api_types::engine_access::{ADMIN_PORT, GRPC_PORT, engine_name};
use api_types::labels::{Component, selector};
use controller_kit::children::Child;
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt as _;

use super::{BuildInput, ClusterChildren, Input};

/// The child.
pub struct EngineNetworkPolicy;

impl Child for EngineNetworkPolicy {
    type Set = ClusterChildren;
    type Object = NetworkPolicy;

    fn name(&self, cluster: &WorkflowCluster) -> String {
        engine_name(&cluster.name_any())
    }

    fn build(&self, input: &Input<'_>, _live: Option<&NetworkPolicy>) -> Option<NetworkPolicy> {
        Some(build(&input.build))
    }
}

/// Builds it: the API from every pod (the tokens decide who may do what), and from outside only when the Service leads
/// there; probes and metrics from pods. What the engine itself calls is not limited: where Postgres is cannot be reported
/// from a DNS name.
#[must_use]
pub fn build(input: &BuildInput<'_>) -> NetworkPolicy {
    let service_type = input.cluster.spec.service_type();
    let any_pod = || {
        vec![NetworkPolicyPeer {
            namespace_selector: Some(LabelSelector::default()),
            ..NetworkPolicyPeer::default()
        }]
    };
    let callers = if service_type == ServiceType::ClusterIp { Some(any_pod()) } else { None };
    NetworkPolicy {
        metadata: input.metadata(input.engine_name(), Component::Engine),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector {
                match_labels: Some(selector(Component::Engine, &input.name())),
                ..LabelSelector::default()
            }),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(vec![
                NetworkPolicyIngressRule { from: callers, ports: Some(vec![port(GRPC_PORT)]) },
                NetworkPolicyIngressRule { from: Some(any_pod()), ports: Some(vec![port(ADMIN_PORT)]) },
            ]),
            egress: None,
        }),
    }
}

fn port(number: u16) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::Int(number.into())),
        protocol: Some("TCP".to_owned()),
        end_port: None,
    }
}
