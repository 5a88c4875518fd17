use rstest::rstest;
use serde_json::json;

use super::*;

fn spec(extra: &serde_json::Value) -> WorkflowClusterSpec {
    let mut spec =
        json!({"version": "1.2.3", "postgres": {"externalRef": {"host": "pg", "databaseSecret": "wf"}}});
    for (key, value) in extra.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    serde_json::from_value(spec).unwrap()
}

#[test]
fn omitted_fields_have_the_documented_values() {
    let spec = spec(&json!({}));
    let external = spec.postgres.external_ref.clone().unwrap();
    assert_eq!((external.port(), external.ssl_mode().as_str()), (5432, "prefer"));
    assert_eq!(
        (spec.replicas, spec.is_paused(), spec.deletion_policy()),
        (1, false, ClusterDeletionPolicy::Delete)
    );
    assert_eq!(
        (spec.enabled_ingress(), spec.enabled_tracing(), spec.wants_service_monitor()),
        (None, None, false)
    );
}

#[rstest]
#[case::negative(-1)]
#[case::zero_in_16_bits(65_536)]
fn stored_port_out_of_range_reads_as_the_default(#[case] port: i32) {
    let external = ExternalPostgres { port: Some(port), ..ExternalPostgres::default() };
    assert_eq!(external.port(), DEFAULT_POSTGRES_PORT);
}

#[rstest]
#[case::switched_off(json!({"enabled": false, "host": "wf.example.com"}), None)]
#[case::switched_on(json!({"enabled": true, "host": "wf.example.com"}), Some("wf.example.com"))]
fn ingress_counts_only_when_switched_on(#[case] ingress: serde_json::Value, #[case] host: Option<&str>) {
    let spec = spec(&json!({"network": {"ingress": ingress}}));
    assert_eq!(spec.enabled_ingress().and_then(|ingress| ingress.host.as_deref()), host);
}

#[rstest]
#[case(json!({"enabled": true, "serviceMonitor": true}), true)]
#[case(json!({"enabled": false, "serviceMonitor": true}), false)]
#[case(json!({"enabled": true}), false)]
fn service_monitor_needs_metrics(#[case] metrics: serde_json::Value, #[case] wanted: bool) {
    assert_eq!(spec(&json!({"observability": {"metrics": metrics}})).wants_service_monitor(), wanted);
}

#[test]
fn quantities_reach_pods_as_text() {
    let spec = spec(&json!({"resources": {"requests": {"cpu": 2, "memory": "4Gi"}}}));
    let pod = serde_json::to_value(spec.resources.unwrap().to_kube()).unwrap();
    assert_eq!(pod, json!({"requests": {"cpu": "2", "memory": "4Gi"}}));
}

#[test]
fn words_of_enums_are_the_words_of_the_schema() {
    for mode in [SslMode::Prefer, SslMode::Require, SslMode::VerifyCa, SslMode::VerifyFull] {
        assert_eq!(serde_json::to_value(mode).unwrap(), mode.as_str());
    }
    for service in [ServiceType::ClusterIp, ServiceType::NodePort, ServiceType::LoadBalancer] {
        assert_eq!(serde_json::to_value(service).unwrap(), service.as_str());
    }
}
