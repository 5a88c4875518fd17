use rstest::rstest;
use serde_json::json;

use super::{
    InvalidRequest, Malformed, Variables, requested_variables, variables, wire_object, wire_variables,
};
use crate::{model, proto};

mod both_ways;
mod requests;

fn object(value: serde_json::Value) -> Variables {
    match value {
        serde_json::Value::Object(fields) => Variables(fields),
        other => panic!("{other} should be an object"),
    }
}

#[rstest]
#[case(json!({}))]
#[case(json!({"null": null, "bool": true, "text": "ä", "list": [1, [2.5], {"deep": "er"}]}))]
#[case(json!({"amount": 12.5, "count": 3, "negative": -7, "largest": 9_007_199_254_740_992_i64}))]
fn variables_come_back_as_they_went(#[case] value: serde_json::Value) {
    let sent = object(value);
    let wire = wire_variables(&sent).expect("every number should be exact");
    assert_eq!(variables(Some(wire.clone())), Ok(sent.clone()));
    assert_eq!(wire_object(sent.0), wire, "an answer is written like a request");
}

#[rstest]
#[case(json!({"id": 9_007_199_254_740_993_i64}), "id")]
#[case(json!({"id": -9_007_199_254_740_993_i64}), "id")]
#[case(json!({"order": {"lines": [1, {"sku": u64::MAX}]}}), "order.lines[1].sku")]
fn integer_that_would_be_rounded_is_refused(#[case] value: serde_json::Value, #[case] path: &str) {
    let error = wire_variables(&object(value)).expect_err("number should not be exact");
    assert!(error.to_string().starts_with(&format!("variable {path} is an integer beyond")), "{error}");
}

#[test]
fn number_that_json_lacks_is_refused() {
    let value = prost_types::Value { kind: Some(prost_types::value::Kind::NumberValue(f64::NAN)) };
    let wire = prost_types::Struct { fields: [("x".to_owned(), value)].into() };
    let refused = Err(Malformed { field: "variables", expected: "finite numbers" });
    assert_eq!(variables(Some(wire.clone())), refused);
    let refused = InvalidRequest("variables hold a number that is not finite".to_owned());
    assert_eq!(requested_variables(Some(wire)), Err(refused));
    assert_eq!(requested_variables(None), Ok(Variables::default()));
}

#[test]
fn an_unspecified_outcome_is_refused() {
    let answer = model::PutTenant::try_from(proto::PutTenantResponse::default());
    assert_eq!(answer, Err(Malformed { field: "PutOutcome", expected: "specified" }));
    let answer = model::EngineHealth::try_from(proto::GetHealthResponse { overall: 99, checks: vec![] });
    assert_eq!(answer, Err(Malformed { field: "HealthState", expected: "specified" }));
    let answer = model::DeployResult::try_from(proto::DeployProcessResponse { result: None });
    assert_eq!(answer, Err(Malformed { field: "result", expected: "present" }));
}

#[test]
fn component_of_a_newer_engine_hides_no_other() {
    let wire = proto::GetHealthResponse {
        overall: proto::HealthState::Degraded.into(),
        checks: vec![proto::HealthCheck {
            component: 99,
            state: proto::HealthState::Degraded.into(),
            reason: "slow".to_owned(),
            since: None,
        }],
    };
    let check = model::HealthCheck {
        component: model::HealthComponent::Other,
        state: model::HealthState::Degraded,
        reason: Some("slow".to_owned()),
        since: None,
    };
    let health = model::EngineHealth { overall: model::HealthState::Degraded, checks: vec![check] };
    assert_eq!(model::EngineHealth::try_from(wire), Ok(health));
}

#[rstest]
#[case::negative_count(proto::JobLag { activatable: -1, ..Default::default() }, "lag.activatable")]
#[case::impossible_time(
    proto::JobLag {
        oldest_run_at: Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }),
        ..Default::default()
    },
    "lag.oldest_run_at"
)]
fn impossible_lag_is_refused(#[case] wire: proto::JobLag, #[case] field: &str) {
    assert_eq!(model::JobLag::try_from(wire).map_err(|malformed| malformed.field), Err(field));
}

#[test]
fn report_without_a_time_is_refused() {
    let wire = proto::ListJobLagResponse::default();
    let expected = Malformed { field: "measured_at", expected: "present" };
    assert_eq!(model::JobLagReport::try_from(wire), Err(expected));
}

#[test]
fn document_that_no_engine_takes_is_refused() {
    let read = |bytes| {
        let wire = proto::GetProcessDocumentResponse { content: vec![b' '; bytes], ..Default::default() };
        model::ProcessDocument::try_from(wire).map(|document| document.content.len())
    };
    assert_eq!(read(1 << 20), Ok(1 << 20));
    assert_eq!(read((1 << 20) + 1), Err(Malformed { field: "content", expected: "at most 1 MiB" }));
}

#[test]
fn impossible_number_of_instances_is_refused() {
    let wire = proto::CountWaitingInstancesResponse { instances: -1, ..Default::default() };
    let expected = Malformed { field: "instances", expected: "0 or more" };
    assert_eq!(model::WaitingInstances::try_from(wire), Err(expected));
}

#[test]
fn quota_of_zero_is_no_limit() {
    let wire = proto::TenantQuotas { max_active_instances: 0, max_jobs_per_minute: 5, max_storage_bytes: 0 };
    let quotas = model::TenantQuotas { max_jobs_per_minute: Some(5), ..Default::default() };
    assert_eq!(model::TenantQuotas::try_from(wire), Ok(quotas));
    assert_eq!(proto::TenantQuotas::from(&quotas), wire);
}
