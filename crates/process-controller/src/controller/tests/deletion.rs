//! A process that is to go.

use api_types::labels::FORCE_DELETE;
use api_types::{WorkflowCluster, WorkflowProcess};
use controller_kit::outcome::{ErrorClass, Next};
use engine_client::Operation;
use k8s_openapi::api::core::v1::Namespace;
use serde_json::json;

use crate::testing::{HOME, ORDER_FLOW, World, applied};

async fn deployed(policy: &str) -> World {
    let mut process = applied("order-flow", &json!({"bpmn": ORDER_FLOW}));
    process.spec.deletion_policy = serde_json::from_value(json!(policy)).unwrap();
    let world = World::with(&[process]);
    world.settle("order-flow").await;
    world
}

fn is_gone(world: &World) -> bool {
    world.apiserver.get::<WorkflowProcess>(HOME, "order-flow").is_none()
}

fn last_event(world: &World) -> (String, String) {
    world.events("order-flow").pop().unwrap()
}

#[tokio::test]
async fn a_deleted_process_is_retired_first() {
    let world = deployed("Delete").await;
    world.delete("order-flow").await;
    assert_eq!(world.settle("order-flow").await, Next::Gone);
    assert!(is_gone(&world));
    assert_eq!(world.engine().definitions("acme"), []);
}

#[tokio::test]
async fn a_retained_process_stays_without_an_owner() {
    let world = deployed("Retain").await;
    world.delete("order-flow").await;
    world.settle("order-flow").await;
    assert!(is_gone(&world));
    assert_eq!(world.engine().definitions("acme").len(), 1);
    assert_eq!(world.engine().process_owner("acme", "order-flow"), None);
    assert_eq!(last_event(&world), ("Retained".into(), "process order-flow stays in the engine".into()));
}

#[tokio::test]
async fn an_unreachable_engine_blocks_until_it_returns() {
    let world = deployed("Delete").await;
    world.engine().set_unreachable(true);
    world.delete("order-flow").await;
    assert_eq!(world.settle("order-flow").await, Next::Failed(ErrorClass::Transient));
    let message =
        "the engine cannot retire the definition: get process definition: connection to the engine failed";
    assert_eq!(world.told("order-flow"), ("Deleting".into(), Some(1), message.into()));
    assert_eq!(last_event(&world), ("DeletionBlocked".into(), format!("DeletionBlocked: {message}")));
    world.engine().heal();
    world.settle("order-flow").await;
    assert!(is_gone(&world));
}

#[tokio::test]
async fn a_refused_retirement_is_never_given_up() {
    let world = deployed("Delete").await;
    world.engine().fail(Operation::DeleteProcess, engine_client::ErrorClass::Invalid);
    world.delete("order-flow").await;
    for _ in 0..3 {
        assert_eq!(world.pass("order-flow").await, Next::Failed(ErrorClass::Denied));
    }
    assert_eq!(world.told("order-flow").0, "Deleting");
}

#[tokio::test]
async fn a_person_can_give_the_definition_up() {
    let world = deployed("Delete").await;
    world.engine().set_unreachable(true);
    world.delete("order-flow").await;
    world.settle("order-flow").await;
    world.edit("order-flow", |process| {
        process["metadata"]["annotations"] = json!({FORCE_DELETE: "true"});
    });
    world.settle("order-flow").await;
    assert!(is_gone(&world));
    assert_eq!(
        last_event(&world),
        ("DeletionForced".into(), "DeletionForced: process order-flow may still be in the engine".into())
    );
}

#[tokio::test]
async fn what_is_given_up_is_told_also_when_the_engine_answers() {
    let world = deployed("Delete").await;
    world.edit("order-flow", |process| {
        process["metadata"]["annotations"] = json!({FORCE_DELETE: "true"});
    });
    world.delete("order-flow").await;
    world.settle("order-flow").await;
    assert!(is_gone(&world));
    assert_eq!(world.engine().definitions("acme").len(), 1);
    assert_eq!(last_event(&world).0, "DeletionForced");
}

#[tokio::test]
async fn a_cluster_that_is_gone_or_going_takes_its_definitions_along() {
    for gone in [true, false] {
        let world = deployed("Delete").await;
        if gone {
            world.apiserver.remove::<WorkflowCluster>("workflow-system", "prod-east");
        } else {
            world.apiserver.remove::<WorkflowCluster>("workflow-system", "prod-east");
            let mut going = crate::testing::cluster();
            going.metadata.deletion_timestamp =
                serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
            going.metadata.finalizers = Some(vec!["workflow.example.com/cluster-cleanup".into()]);
            world.apiserver.seed(&going);
        }
        world.engine().forget_calls();
        world.delete("order-flow").await;
        world.settle("order-flow").await;
        assert!(is_gone(&world), "gone: {gone}");
        assert_eq!(world.engine().calls(), []);
    }
}

#[tokio::test]
async fn a_withdrawn_grant_does_not_leave_the_definition_behind() {
    let world = deployed("Delete").await;
    world.apiserver.edit::<Namespace>("", HOME, |namespace| namespace["metadata"]["labels"] = json!({}));
    world.settle("order-flow").await;
    world.delete("order-flow").await;
    world.settle("order-flow").await;
    assert!(is_gone(&world));
    assert_eq!(world.engine().definitions("acme"), []);
}

#[tokio::test]
async fn what_was_deployed_just_before_a_crash_is_retired_too() {
    let world = deployed("Delete").await;
    world.edit("order-flow", |process| process["status"] = json!({}));
    world.delete("order-flow").await;
    world.settle("order-flow").await;
    assert!(is_gone(&world));
    assert_eq!(world.engine().definitions("acme"), []);
}

#[tokio::test]
async fn a_process_that_was_never_deployed_goes_at_once() {
    let world = World::with(&[applied("order-flow", &json!({"bpmn": ORDER_FLOW}))]);
    world.engine().set_unreachable(true);
    world.settle("order-flow").await;
    world.delete("order-flow").await;
    assert!(is_gone(&world));
    assert_eq!(world.pass("order-flow").await, Next::Gone);
}
