//! What becomes an event beside the status.

use std::sync::Arc;

use api_types::labels::FORCE_DELETE;
use api_types::process::WorkflowProcessStatus;
use controller_kit::events::{Event, EventType};
use engine_client::ErrorClass as EngineClass;
use engine_client::model::{DeployOutcome, ProcessDeletion};
use engine_fake::FakeEngine;
use kube::ResourceExt as _;
use serde_json::json;

use super::*;
use crate::testing::{ORDER_FLOW, cluster, definition, observed, process};

pub(super) fn redeployment(adopted: bool) -> Vec<Event> {
    let mut case = case("redeployed", cases().remove(0).expected).runs();
    case.process.status = Some(case.status());
    let definition = definition(ORDER_FLOW);
    case.results.deployed =
        Some(DeployResult::Deployed { outcome: DeployOutcome::Created, definition, adopted });
    case.events()
}

/// The events of a deployed process when the engine reports so many open incidents.
pub(super) fn incidents(former: Option<i64>, counted: u64) -> Vec<Event> {
    let mut case = case("incidents", cases().remove(0).expected).runs();
    case.process.status = Some(WorkflowProcessStatus { open_incidents: former, ..case.status() });
    case.observed.open_incidents = Some(counted);
    case.events()
}

#[test]
fn the_first_open_incident_is_an_event_and_further_ones_are_not() {
    let first = Event {
        type_: EventType::Warning,
        reason: "IncidentsOpen".into(),
        note: "IncidentsOpen: 2 open. Resolve or cancel (docs/operations.md); list: GET \
               /api/v1/incidents?tenantId=acme&bpmnProcessId=order-flow"
            .into(),
    };
    assert_eq!(incidents(None, 2), incidents(Some(0), 2));
    assert_eq!(incidents(Some(0), 2), [first]);
    assert_eq!(incidents(Some(1), 2), []);
    assert_eq!(incidents(Some(2), 0), []);
    assert_eq!(incidents(None, 0), []);
}

#[test]
fn a_lost_definition_is_an_event_and_a_new_source_is_not() {
    assert_eq!(
        redeployment(false),
        [Event {
            type_: EventType::Normal,
            reason: "Redeployed".into(),
            note: "the engine had lost the definition; deployed it again as v3".into(),
        }]
    );
    let adopted = "process order-flow was in the engine already; this object manages it now, at v3";
    assert_eq!(
        redeployment(true),
        [Event { type_: EventType::Normal, reason: "Adopted".into(), note: adopted.into() }]
    );
    let mut case = case("new source", cases().remove(0).expected).runs();
    let definition = definition(ORDER_FLOW);
    case.results.deployed =
        Some(DeployResult::Deployed { outcome: DeployOutcome::Created, definition, adopted: false });
    let reported = case.events();
    let deployed = Event {
        type_: EventType::Normal,
        reason: "Deployed".into(),
        note: "Deployed v3 (key=2251799813685250)".into(),
    };
    assert_eq!(reported, [deployed]);
}

/// Forced without an answer, forced with one, retained, forced for nothing, deleted, cluster gone, nothing ever deployed.
pub(super) fn last_events() -> [Option<Event>; 7] {
    let deployed = || json!({"bpmnProcessId": "order-flow", "processDefinitionKey": 7});
    let last_events_of =
        |status, annotated: bool, policy: &str, engine: EngineView, retired: Option<ProcessDeletion>| {
            let mut process = process(ORDER_FLOW);
            if annotated {
                process.annotations_mut().insert(FORCE_DELETE.into(), "true".into());
            }
            process.spec.deletion_policy = serde_json::from_value(json!(policy)).unwrap();
            process.status = serde_json::from_value(status).unwrap();
            let observed = Observed { engine, ..observed(ORDER_FLOW, None) };
            let retired = retired.into_iter().map(|deletion| ("order-flow".to_owned(), deletion)).collect();
            build_last_events(&process, &observed, &Results { retired, ..Results::default() })
        };
    let last_event =
        |annotated, policy, engine, retired| last_events_of(deployed(), annotated, policy, engine, retired);
    let holds = |process_ids: &[&str]| EngineView::Holds {
        cluster: Arc::new(cluster()),
        engine: Arc::new(FakeEngine::new()),
        process_ids: process_ids.iter().map(|&id| id.to_owned()).collect(),
    };
    let gone = || EngineView::Unasked(Unasked::ClusterGone);
    let retired = Some(ProcessDeletion::Retired { versions: 0 });
    [
        last_event(true, "Delete", EngineView::Failed(engine_error(EngineClass::Unavailable)), None),
        last_event(true, "Delete", holds(&["order-flow"]), None),
        last_event(false, "Retain", holds(&["order-flow"]), retired),
        last_event(true, "Delete", holds(&[]), None),
        last_event(false, "Delete", holds(&["order-flow"]), retired),
        last_event(false, "Delete", gone(), None),
        last_events_of(json!({}), false, "Delete", gone(), None),
    ]
}

#[test]
fn what_is_left_behind_is_the_last_event() {
    let forced = Event {
        type_: EventType::Warning,
        reason: "DeletionForced".into(),
        note: "DeletionForced: process order-flow may still be in the engine".into(),
    };
    let retained = Event {
        type_: EventType::Normal,
        reason: "Retained".into(),
        note: "process order-flow stays in the engine".into(),
    };
    let left = Event {
        type_: EventType::Warning,
        reason: "LeftInDatabase".into(),
        note: "LeftInDatabase: process order-flow may still be in the database of its cluster, which is gone; the same \
               object applied again takes it over"
            .into(),
    };
    let expected = [Some(forced.clone()), Some(forced), Some(retained), None, None, Some(left), None];
    assert_eq!(last_events(), expected);
}
