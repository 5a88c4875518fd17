//! A document whose process id changes: what ran under the former ids is retired, whatever goes wrong in between.

use controller_testing::World as _;
use engine_client::{ErrorClass, Operation};
use rstest::rstest;
use serde_json::json;

use crate::testing::{ORDER_FLOW, World, applied};

const IDS: [&str; 3] = ["order-flow", "order-flow-2", "order-flow-3"];

fn document(id: &str) -> String {
    ORDER_FLOW.replace("id=\"order-flow\"", &format!("id=\"{id}\""))
}

/// Which of the ids the engine has in service.
fn in_service(world: &World) -> Vec<&'static str> {
    let definitions = world.engine().definitions("acme");
    let has = |id: &&str| definitions.iter().any(|definition| definition.process_id == **id);
    IDS.into_iter().filter(has).collect()
}

/// The document gets these ids one after the other, and nothing can be retired before the last one runs.
#[rstest]
#[case::two_changes(&["order-flow", "order-flow-2", "order-flow-3"])]
#[case::there_and_back(&["order-flow", "order-flow-2", "order-flow"])]
#[case::there_back_and_on(&["order-flow", "order-flow-2", "order-flow", "order-flow-3"])]
#[tokio::test]
async fn ids_that_change_before_the_former_is_retired_leave_nothing_behind(#[case] ids: &[&'static str]) {
    let world = World::with(&[applied("order-flow", &json!({"bpmn": document(ids[0])}))]);
    world.settle("order-flow").await;
    world.engine().fail(Operation::DeleteProcess, ErrorClass::Unavailable);
    for id in &ids[1..] {
        world.edit("order-flow", |process| process["spec"]["source"]["bpmn"] = json!(document(id)));
        world.pass("order-flow").await;
    }
    let last = ids[ids.len() - 1];
    let status = world.status("order-flow");
    assert!(!status.retiring.is_empty() && !status.retiring.contains(&last.to_owned()), "{status:?}");
    assert_eq!(status.bpmn_process_id.as_deref(), Some(last));

    world.engine().heal();
    world.settle("order-flow").await;
    let status = world.status("order-flow");
    assert_eq!((in_service(&world), status.retiring, status.ready), (vec![last], Vec::new(), true));
    let writes = world.writes();
    world.pass("order-flow").await;
    assert_eq!(world.writes(), writes);
}
