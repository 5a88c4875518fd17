use api_types::cluster::Network;
use controller_kit::plan::build_owner_reference;
use k8s_openapi::api::core::v1::ServiceStatus;
use kube::api::ObjectMeta;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::testing::minimal;

fn cluster(network: &Value) -> WorkflowCluster {
    let network: Network = serde_json::from_value(network.clone()).unwrap();
    minimal(|cluster| cluster.spec.network = Some(network))
}

/// The client Service of this cluster, to which the cloud gave this.
fn service(owner: &WorkflowCluster, given: &Value) -> Service {
    let status: ServiceStatus = serde_json::from_value(json!({"loadBalancer": {"ingress": given}})).unwrap();
    let metadata =
        ObjectMeta { owner_references: Some(vec![build_owner_reference(owner)]), ..ObjectMeta::default() };
    Service { metadata, status: Some(status), ..Service::default() }
}

/// What the status shows, and what the certificate has to hold.
#[rstest]
#[case::inside_only(json!({}), json!([]), None, &[])]
#[case::node_port(json!({"serviceType": "NodePort"}), json!([]), None, &[])]
#[case::address(json!({"serviceType": "LoadBalancer"}), json!([{"ip": "203.0.113.7"}]),
    Some(("203.0.113.7", "https://203.0.113.7:26500")), &["203.0.113.7"])]
#[case::address_of_ipv6(json!({"serviceType": "LoadBalancer"}), json!([{"ip": "2001:db8::1"}]),
    Some(("2001:db8::1", "https://[2001:db8::1]:26500")), &["2001:db8::1"])]
#[case::name_before_address(json!({"serviceType": "LoadBalancer"}),
    json!([{"ip": "203.0.113.7"}, {"hostname": "lb.example.net"}]),
    Some(("lb.example.net", "https://lb.example.net:26500")), &["203.0.113.7", "lb.example.net"])]
#[case::own_name(json!({"serviceType": "LoadBalancer", "externalHost": "wf.example.com"}),
    json!([{"hostname": "lb.example.net"}]),
    Some(("wf.example.com", "https://wf.example.com:26500")), &["lb.example.net", "wf.example.com"])]
#[case::own_name_inside(json!({"externalHost": "wf.example.com"}), json!([]),
    Some(("wf.example.com", "https://wf.example.com:26500")), &["wf.example.com"])]
#[case::ingress(json!({"ingress": {"enabled": true, "host": "in.example.com"}}), json!([]),
    Some(("in.example.com", "http://in.example.com")), &["in.example.com"])]
#[case::ingress_with_tls(json!({"ingress": {"enabled": true, "host": "in.example.com", "tlsSecret": "tls"}}), json!([]),
    Some(("in.example.com", "https://in.example.com")), &["in.example.com"])]
#[case::ingress_switched_off(json!({"ingress": {"enabled": false, "host": "in.example.com"}}), json!([]), None, &[])]
#[case::load_balancer_before_ingress(
    json!({"serviceType": "LoadBalancer", "ingress": {"enabled": true, "host": "in.example.com"}}),
    json!([{"ip": "203.0.113.7"}]),
    Some(("203.0.113.7", "https://203.0.113.7:26500")), &["203.0.113.7", "in.example.com"])]
#[case::what_no_certificate_can_hold(json!({"serviceType": "LoadBalancer"}),
    json!([{"hostname": "no name"}, {"ip": "203.0.113.7"}]),
    Some(("203.0.113.7", "https://203.0.113.7:26500")), &["203.0.113.7"])]
fn an_engine_is_reached_from_outside(
    #[case] network: Value,
    #[case] given: Value,
    #[case] expected: Option<(&str, &str)>,
    #[case] names: &[&str],
) {
    let cluster = cluster(&network);
    let external = External::of(&cluster, Some(&service(&cluster, &given)));
    let shown = (external.host.as_deref(), external.url.as_deref());
    assert_eq!((shown, external.is_pending), ((expected.map(|it| it.0), expected.map(|it| it.1)), false));
    assert_eq!(external.names, names);
}

#[rstest]
#[case::no_address(json!([]))]
#[case::an_address_that_is_none(json!([{"ip": "pending"}]))]
fn a_load_balancer_without_an_address_is_awaited(#[case] given: Value) {
    let cluster = cluster(&json!({"serviceType": "LoadBalancer", "externalHost": "wf.example.com"}));
    let awaited =
        External { names: vec!["wf.example.com".to_owned()], is_pending: true, ..External::default() };
    assert_eq!(External::of(&cluster, Some(&service(&cluster, &given))), awaited);
    assert_eq!(External::of(&cluster, None), awaited);
}

#[test]
fn a_service_of_somebody_else_gives_no_address() {
    let cluster = cluster(&json!({"serviceType": "LoadBalancer"}));
    let foreign =
        Service { metadata: ObjectMeta::default(), ..service(&cluster, &json!([{"ip": "203.0.113.7"}])) };
    assert!(External::of(&cluster, Some(&foreign)).is_pending);
}
