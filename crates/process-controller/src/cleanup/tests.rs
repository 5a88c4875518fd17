use api_types::process::ProcessReason;
use std::sync::Arc;

use engine_client::model::{DeleteProcess, OnInstances};
use engine_client::{EngineError, ErrorClass, Operation, request_id};
use engine_fake::FakeEngine;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rstest::rstest;
use serde_json::json;

use super::*;
use crate::document::SourceView;
use crate::observe::EngineView;
use crate::testing::{ORDER_FLOW, UID, cluster, observed, owner, process};

fn deletion() -> WorkflowProcess {
    let mut deletion = process(ORDER_FLOW);
    deletion.metadata.generation = Some(2);
    deletion.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    deletion.status =
        serde_json::from_value(json!({"bpmnProcessId": "order-flow", "processDefinitionKey": 7})).unwrap();
    deletion
}

fn retire(process_id: &str, retain: bool) -> Step {
    Step::Own(ProcessStep::Retire(DeleteProcess {
        request_id: request_id(UID, 2, &format!("retire:{process_id}:7")),
        tenant_id: "acme".into(),
        process_id: process_id.into(),
        owner: Some(owner()),
        on_instances: OnInstances::KeepRunning,
        retain,
    }))
}

fn world(process_ids: &[&str]) -> Observed {
    let engine = EngineView::Holds {
        cluster: Arc::new(cluster()),
        engine: Arc::new(FakeEngine::default()),
        process_ids: process_ids.iter().map(|&id| id.to_owned()).collect(),
    };
    Observed { source: SourceView::NotRead, engine, ..observed(ORDER_FLOW, None) }
}

fn failed() -> EngineView {
    EngineView::Failed(EngineError::new(Operation::DeleteProcess, ErrorClass::Unavailable, "away"))
}

#[rstest]
#[case::delete("Delete", false)]
#[case::retain("Retain", true)]
fn the_definition_goes_before_the_object(#[case] policy: &str, #[case] retain: bool) {
    let mut deletion = deletion();
    deletion.spec.deletion_policy = serde_json::from_value(json!(policy)).unwrap();
    let steps = vec![retire("order-flow", retain), Step::RemoveFinalizer];
    assert_eq!(plan_cleanup(&deletion, &world(&["order-flow"])), Plan { steps, wait: None });
}

#[test]
fn everything_that_the_engine_holds_of_the_object_is_retired() {
    let steps = vec![retire("former", false), retire("order-flow", false), Step::RemoveFinalizer];
    assert_eq!(plan_cleanup(&deletion(), &world(&["former", "order-flow"])), Plan { steps, wait: None });
    let nothing = Plan { steps: vec![Step::RemoveFinalizer], wait: None };
    assert_eq!(plan_cleanup(&deletion(), &world(&[])), nothing);
}

#[rstest]
#[case::no_answer(failed())]
#[case::stopped(EngineView::Unasked(Unasked::Stopped { cluster: "workflow-system/prod-east".into() }))]
#[case::no_endpoint(EngineView::Unasked(Unasked::NoEndpoint { cluster: "workflow-system/prod-east".into() }))]
#[case::unread(EngineView::Unasked(Unasked::Unread(controller_kit::problem::Problem::new(
    ProcessReason::KubernetesUnavailable,
    controller_kit::outcome::ErrorClass::Transient,
    "no"
))))]
fn an_engine_that_cannot_be_asked_holds_the_object(#[case] engine: EngineView) {
    let world = Observed { engine, ..world(&[]) };
    assert_eq!(plan_cleanup(&deletion(), &world), Plan::converged());
}

#[rstest]
#[case::cluster_gone(EngineView::Unasked(Unasked::ClusterGone), false)]
#[case::given_up_without_an_answer(failed(), true)]
#[case::given_up_with_an_answer(world(&["order-flow"]).engine, true)]
fn an_object_that_nothing_holds_goes(#[case] engine: EngineView, #[case] forced: bool) {
    let mut deletion = deletion();
    if forced {
        deletion.annotations_mut().insert(FORCE_DELETE.into(), "true".into());
    }
    let world = Observed { engine, ..world(&[]) };
    assert_eq!(plan_cleanup(&deletion, &world), Plan { steps: vec![Step::RemoveFinalizer], wait: None });
}
