use engine_client::model::{DeleteProcess, OnInstances};
use engine_client::{EngineError, ErrorClass, Operation, request_id};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rstest::rstest;
use serde_json::json;

use super::*;
use crate::observe::{EngineView, SourceView};
use crate::testing::{ORDER_FLOW, UID, definition, observed, owned, process};

fn doomed() -> WorkflowProcess {
    let mut doomed = process(ORDER_FLOW);
    doomed.metadata.generation = Some(2);
    doomed.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    doomed.status =
        serde_json::from_value(json!({"bpmnProcessId": "order-flow", "processDefinitionKey": 7})).unwrap();
    doomed
}

fn retire(process_id: &str, retain: bool) -> Step {
    Step::Retire(DeleteProcess {
        request_id: request_id(UID, 2, &format!("retire:{process_id}:7")),
        tenant_id: "acme".into(),
        process_id: process_id.into(),
        owner: UID.into(),
        on_instances: OnInstances::KeepRunning,
        retain,
    })
}

fn world() -> Observed {
    observed(ORDER_FLOW, Some(owned(definition(ORDER_FLOW))))
}

fn failed() -> EngineView {
    EngineView::Failed(EngineError::new(Operation::DeleteProcess, ErrorClass::Unavailable, "away"))
}

#[rstest]
#[case::delete("Delete", false)]
#[case::retain("Retain", true)]
fn the_definition_goes_before_the_object(#[case] policy: &str, #[case] retain: bool) {
    let mut doomed = doomed();
    doomed.spec.deletion_policy = serde_json::from_value(json!(policy)).unwrap();
    let steps = vec![retire("order-flow", retain), Step::RemoveFinalizer];
    assert_eq!(plan_cleanup(&doomed, &world()), Plan { steps, wait: None });
}

#[test]
fn both_the_former_and_the_new_process_id_are_retired() {
    let mut doomed = doomed();
    doomed.status.as_mut().unwrap().bpmn_process_id = Some("former".into());
    let steps = vec![retire("former", false), retire("order-flow", false), Step::RemoveFinalizer];
    assert_eq!(plan_cleanup(&doomed, &world()), Plan { steps, wait: None });
}

#[test]
fn a_source_that_is_gone_does_not_matter() {
    let world = Observed { source: SourceView::Missing("gone".into()), ..world() };
    let steps = vec![retire("order-flow", false), Step::RemoveFinalizer];
    assert_eq!(plan_cleanup(&doomed(), &world), Plan { steps, wait: None });
}

#[test]
fn an_engine_that_does_not_answer_holds_the_object() {
    let world = Observed { engine: failed(), ..world() };
    assert_eq!(plan_cleanup(&doomed(), &world), Plan::converged());
}

#[rstest]
#[case::nobody_to_ask(EngineView::NotAsked, false)]
#[case::given_up_without_an_answer(failed(), true)]
#[case::given_up_with_an_answer(world().engine, true)]
fn an_object_that_nothing_holds_goes(#[case] engine: EngineView, #[case] forced: bool) {
    let mut doomed = doomed();
    if forced {
        doomed.annotations_mut().insert(FORCE_DELETE.into(), "true".into());
    }
    let world = Observed { engine, ..world() };
    assert_eq!(plan_cleanup(&doomed, &world), Plan { steps: vec![Step::RemoveFinalizer], wait: None });
}
