use serde_json::json;

use super::*;
use crate::testing::{ORDER_FLOW, process_from};

fn refusal(process: &WorkflowProcess) -> (Reason, String) {
    let problem = validate(process).unwrap_err();
    (problem.reason, problem.message)
}

#[test]
fn an_object_older_than_the_schema_is_judged_by_the_same_rule() {
    let two = process_from(&json!({"bpmn": ORDER_FLOW, "configMapRef": {"name": "a", "key": "b"}}));
    let message = "spec.source must have exactly one of bpmn, configMapRef, gitRef and fluxRef".to_owned();
    assert_eq!(refusal(&two), (Reason::InvalidSpec, message.clone()));
    assert_eq!(refusal(&process_from(&json!({}))), (Reason::InvalidSpec, message));
}
