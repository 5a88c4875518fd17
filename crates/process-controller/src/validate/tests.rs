use api_types::process::ProcessReason as Reason;
use controller_kit::outcome::ErrorClass;
use serde_json::json;

use super::*;
use crate::testing::{NO_TASK_DEFINITION, ORDER_FLOW, document, observed, process, process_from};

fn verdict_on(source: SourceView) -> Verdict {
    validate(&process(ORDER_FLOW), &Observed { source, ..observed(ORDER_FLOW, None) })
}

fn refusal(verdict: Verdict) -> (Reason, String) {
    let refusal = verdict.unwrap().unwrap_err();
    (refusal.reason, refusal.message)
}

fn told(reason: Reason, message: &str) -> (Reason, String) {
    (reason, message.into())
}

#[test]
fn a_good_document_is_deployable_under_its_process_id() {
    let expected = Deployable { document: document(ORDER_FLOW), process_id: "order-flow".into() };
    assert_eq!(verdict_on(SourceView::Document(document(ORDER_FLOW))), Some(Ok(expected)));
}

#[test]
fn a_bad_document_is_told_with_rule_and_place() {
    assert_eq!(
        refusal(verdict_on(SourceView::Document(document(NO_TASK_DEFINITION)))),
        told(
            Reason::ValidationFailed,
            "missing taskDefinition on Task_charge (missing-task-definition, line 7, column 5)"
        )
    );
}

#[test]
fn two_processes_in_one_document_are_told() {
    let start = ORDER_FLOW.find("<bpmn:process").unwrap();
    let end = ORDER_FLOW.find("</bpmn:definitions>").unwrap();
    let second = ORDER_FLOW[start..end].replace("order-flow", "second");
    let mut renamed = second;
    for id in
        ["Start_order", "Task_charge", "Task_refund", "Gateway_approved", "End_refunded", "End_paid", "Flow_"]
    {
        renamed = renamed.replace(id, &format!("S{id}"));
    }
    let both = format!("{}{renamed}</bpmn:definitions>", &ORDER_FLOW[..end]);
    assert_eq!(
        refusal(verdict_on(SourceView::Document(document(&both)))),
        told(Reason::ValidationFailed, "the document has 2 executable processes, expected exactly 1")
    );
}

#[test]
fn a_source_that_is_not_there_or_not_usable_is_told() {
    assert_eq!(
        refusal(verdict_on(SourceView::Missing("no key".into()))),
        told(Reason::SourceMissing, "no key")
    );
    assert_eq!(
        refusal(verdict_on(SourceView::Invalid("empty".into()))),
        told(Reason::SourceInvalid, "empty")
    );
    assert_eq!(
        refusal(verdict_on(SourceView::NotActedOn)),
        told(
            Reason::FieldsNotActedOn,
            "spec.source.gitRef is stored but not acted on by this version; use spec.source.configMapRef or spec.source.bpmn"
        )
    );
}

#[test]
fn a_source_that_could_not_be_read_is_no_verdict() {
    let unread = SourceView::Unread { problem: "timeout".into(), class: ErrorClass::Transient };
    assert_eq!(verdict_on(unread), None);
}

#[test]
fn an_object_older_than_the_schema_is_judged_by_the_same_rule() {
    let two = process_from(&json!({"bpmn": ORDER_FLOW, "configMapRef": {"name": "a", "key": "b"}}));
    let message = "spec.source must have exactly one of bpmn, configMapRef and gitRef";
    assert_eq!(refusal(validate(&two, &observed(ORDER_FLOW, None))), told(Reason::InvalidSpec, message));
    assert_eq!(
        refusal(validate(&process_from(&json!({})), &observed(ORDER_FLOW, None))),
        told(Reason::InvalidSpec, message)
    );
}
