use controller_kit::outcome::Next;
use controller_testing::World as _;
use engine_client::Operation;
use engine_client::model::Capability;
use rstest::rstest;
use serde_json::json;

use super::*;
use crate::testing::{ORDER_FLOW, World, applied};

#[rstest]
#[case::nobody_asked(None, None, None)]
#[case::none_was_ever_seen(None, Some(0), None)]
#[case::the_first(None, Some(1), Some(1))]
#[case::a_few_more(Some(3), Some(4), Some(4))]
#[case::within_five_percent(Some(100), Some(105), Some(100))]
#[case::beyond(Some(100), Some(106), Some(106))]
#[case::fewer(Some(100), Some(94), Some(94))]
#[case::the_last_is_gone(Some(1), Some(0), Some(0))]
#[case::the_last_of_many_is_gone(Some(1_000), Some(0), Some(0))]
#[case::none_still(Some(0), Some(0), Some(0))]
#[case::again(Some(0), Some(2), Some(2))]
#[case::an_engine_that_does_not_answer(Some(7), None, Some(7))]
fn the_figure_moves_only_with_what_matters(
    #[case] former: Option<i64>,
    #[case] counted: Option<u64>,
    #[case] reported: Option<i64>,
) {
    assert_eq!(reported_incidents(former, counted), reported);
}

/// So many instances of the one deployed process are stuck.
fn stuck(world: &World, instances: u64) {
    let deployed = world.engine().definitions("acme").remove(0);
    let count = IncidentCount {
        process_definition_key: deployed.key,
        process_id: deployed.process_id,
        version: deployed.version,
        open: instances,
    };
    world.engine().set_incidents("acme", vec![count]);
}

/// The processes that get a pass: names, in order.
async fn counted(world: &World) -> Vec<String> {
    let asked_for = world.survey().ask_all(&world.processes()).await;
    asked_for.into_iter().map(|process| process.name).collect()
}

async fn deployed() -> World {
    let world = World::with(&[applied("order-flow", &json!({"bpmn": ORDER_FLOW}))]);
    world.settle("order-flow").await;
    world
}

#[tokio::test]
async fn the_first_incident_is_reported_in_the_status_and_by_one_event() {
    let world = deployed().await;
    assert_eq!(counted(&world).await, Vec::<String>::new(), "none is no event");
    stuck(&world, 2);
    assert_eq!(counted(&world).await, ["order-flow"]);
    world.settle("order-flow").await;
    assert_eq!(world.status("order-flow").open_incidents, Some(2));
    let reported = (
        "IncidentsOpen".to_owned(),
        "IncidentsOpen: 2 open. Resolve or cancel (docs/operations.md); list: GET \
         /api/v1/incidents?tenantId=acme&bpmnProcessId=order-flow"
            .to_owned(),
    );
    assert_eq!(world.events("order-flow").pop(), Some(reported));

    let events = world.events("order-flow").len();
    stuck(&world, 3);
    assert_eq!(counted(&world).await, ["order-flow"]);
    world.settle("order-flow").await;
    assert_eq!(world.status("order-flow").open_incidents, Some(3));
    assert_eq!(counted(&world).await, Vec::<String>::new(), "it is in the status");

    world.engine().set_incidents("acme", Vec::new());
    assert_eq!(counted(&world).await, ["order-flow"]);
    world.settle("order-flow").await;
    assert_eq!(world.status("order-flow").open_incidents, Some(0));
    assert_eq!(world.events("order-flow").len(), events, "only the first is an event");
}

#[tokio::test]
async fn processes_of_one_tenant_cost_one_call_however_many_they_are() {
    let processes: Vec<_> = (0..50)
        .map(|number| {
            let document = ORDER_FLOW.replace("order-flow", &format!("order-{number}"));
            applied(&format!("order-{number}"), &json!({"bpmn": document}))
        })
        .collect();
    let world = World::with(&processes);
    for number in 0..50 {
        world.settle(&format!("order-{number}")).await;
    }
    let before = world.writes();
    for _ in 0..3 {
        assert_eq!(counted(&world).await, Vec::<String>::new());
    }
    assert_eq!((world.engine().count(Operation::CountIncidents), world.writes()), (3, before));
}

#[tokio::test]
async fn an_engine_that_is_away_changes_no_figure() {
    let world = deployed().await;
    stuck(&world, 2);
    counted(&world).await;
    world.settle("order-flow").await;
    world.engine().set_unreachable(true);
    assert_eq!(counted(&world).await, Vec::<String>::new());
    let before = world.writes();
    world.pass("order-flow").await;
    assert_eq!((world.status("order-flow").open_incidents, world.writes()), (Some(2), before));
}

#[tokio::test]
async fn an_engine_that_cannot_count_is_not_called_and_leaves_no_figure() {
    let world = deployed().await;
    stuck(&world, 2);
    world.engine().lose_capability(Capability::Incidents);
    assert_eq!(counted(&world).await, Vec::<String>::new());
    assert_eq!(world.engine().count(Operation::CountIncidents), 0);
    assert_eq!(world.status("order-flow").open_incidents, None);
}

#[tokio::test]
async fn what_is_being_deleted_or_was_never_deployed_is_not_asked_about() {
    let world = World::with(&[applied("order-flow", &json!({"bpmn": ORDER_FLOW}))]);
    assert_eq!(counted(&world).await, Vec::<String>::new());
    assert_eq!(world.engine().count(Operation::CountIncidents), 0);
    world.settle("order-flow").await;
    world.engine().set_unreachable(true);
    world.delete("order-flow").await;
    assert!(matches!(world.pass("order-flow").await, Next::Failed(_)));
    counted(&world).await;
    assert_eq!(world.engine().count(Operation::CountIncidents), 0);
}

/// A process whose source is refused goes on with what it deployed before.
#[tokio::test]
async fn incidents_of_what_still_runs_are_reported_while_the_new_source_is_refused() {
    let world = deployed().await;
    stuck(&world, 1);
    world.edit("order-flow", |process| process["spec"]["source"]["bpmn"] = json!("<not-bpmn/>"));
    world.settle("order-flow").await;
    assert_eq!(counted(&world).await, ["order-flow"]);
    world.settle("order-flow").await;
    assert_eq!(
        (world.reported("order-flow").0.as_str(), world.status("order-flow").open_incidents),
        ("Failed", Some(1))
    );
    assert_eq!(counted(&world).await, Vec::<String>::new());
}
