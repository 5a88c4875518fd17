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

#[test]
fn a_source_that_is_not_acted_on_is_reported_with_what_to_use_instead() {
    let reference = json!({"kind": "GitRepository", "name": "processes", "path": "a.bpmn"});
    let message = "spec.source.fluxRef is stored but not acted on by this version; use spec.source.gitRef, spec.source.configMapRef or spec.source.bpmn";
    assert_eq!(
        refusal(&process_from(&json!({"fluxRef": reference}))),
        (Reason::FieldsNotActedOn, message.to_owned())
    );
}
