//! The Ingress.

use api_types::WorkflowCluster;
use api_types::cluster::Ingress as IngressSpecOfUser;
use api_types::engine_access::engine_name;
use api_types::labels::Component;
use controller_kit::children::Child;
use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule, IngressServiceBackend,
    IngressSpec, IngressTLS, ServiceBackendPort,
};
use kube::ResourceExt as _;

use super::service::GRPC_PORT_NAME;
use super::{BuildInput, ClusterChildren, Input};

/// The child.
pub struct EngineIngress;

impl Child for EngineIngress {
    type Set = ClusterChildren;
    type Object = Ingress;

    fn name(&self, cluster: &WorkflowCluster) -> String {
        engine_name(&cluster.name_any())
    }

    fn is_wanted(&self, cluster: &WorkflowCluster) -> bool {
        cluster.spec.enabled_ingress().is_some()
    }

    fn build(&self, input: &Input<'_>, _live: Option<&Ingress>) -> Option<Ingress> {
        input.build.cluster.spec.enabled_ingress().map(|ingress| build(&input.build, ingress))
    }
}

/// Builds it. No annotations: they are the ingress controller's own language, and some of them are code. The engine
/// speaks TLS, which the Service's `appProtocol` tells.
#[must_use]
pub fn build(input: &BuildInput<'_>, wanted: &IngressSpecOfUser) -> Ingress {
    let path = HTTPIngressPath {
        path: Some("/".to_owned()),
        path_type: "Prefix".to_owned(),
        backend: IngressBackend {
            service: Some(IngressServiceBackend {
                name: input.engine_name(),
                port: Some(ServiceBackendPort { name: Some(GRPC_PORT_NAME.to_owned()), number: None }),
            }),
            resource: None,
        },
    };
    Ingress {
        metadata: input.metadata(input.engine_name(), Component::Engine),
        spec: Some(IngressSpec {
            ingress_class_name: wanted.class_name.clone(),
            rules: Some(vec![IngressRule {
                host: wanted.host.clone(),
                http: Some(HTTPIngressRuleValue { paths: vec![path] }),
            }]),
            tls: wanted.tls_secret.clone().map(|secret| {
                vec![IngressTLS {
                    hosts: Some(wanted.host.iter().cloned().collect()),
                    secret_name: Some(secret),
                }]
            }),
            default_backend: None,
        }),
        ..Ingress::default()
    }
}
