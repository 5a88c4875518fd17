//! A process that is being deleted.

use api_types::labels::FORCE_DELETE;
use api_types::{WorkflowCluster, WorkflowProcess};
use controller_kit::outcome::{ErrorClass, Next};
use controller_testing::World as _;
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
        "the engine cannot retire the definition: list process definitions: connection to the engine failed";
    assert_eq!(world.reported("order-flow"), ("Deleting".into(), Some(1), message.into()));
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
    assert_eq!(world.reported("order-flow").0, "Deleting");
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
async fn what_is_given_up_is_reported_also_when_the_engine_answers() {
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
async fn a_cluster_that_is_gone_lets_its_processes_go_and_tells_what_is_left() {
    let world = deployed("Delete").await;
    world.apiserver.remove::<WorkflowCluster>("workflow-system", "prod-east");
    world.engine().forget_calls();
    world.delete("order-flow").await;
    world.settle("order-flow").await;
    assert!(is_gone(&world));
    assert_eq!(world.engine().calls(), []);
    let note = "LeftInDatabase: process order-flow may still be in the database of its cluster, which is gone; the same \
                object applied again takes it over";
    assert_eq!(last_event(&world), ("LeftInDatabase".into(), note.into()));
}

/// The cluster waits for what is deleted with it.
#[tokio::test]
async fn a_cluster_that_is_being_deleted_is_still_asked() {
    let world = deployed("Delete").await;
    world.apiserver.edit::<WorkflowCluster>("workflow-system", "prod-east", |cluster| {
        cluster["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        cluster["metadata"]["finalizers"] = json!(["workflow.example.com/cluster-cleanup"]);
    });
    world.delete("order-flow").await;
    world.settle("order-flow").await;
    assert!(is_gone(&world));
    assert_eq!(world.engine().definitions("acme"), []);
}

#[tokio::test]
async fn a_cluster_without_an_endpoint_holds_its_processes() {
    let world = deployed("Delete").await;
    world.apiserver.edit::<WorkflowCluster>("workflow-system", "prod-east", |cluster| {
        cluster["status"] = json!({});
    });
    world.delete("order-flow").await;
    assert_eq!(world.settle("order-flow").await, Next::Wait { recheck: std::time::Duration::from_mins(1) });
    let message = "WorkflowCluster workflow-system/prod-east has no endpoint, so its engine cannot be asked; correct or \
                   delete that cluster";
    assert_eq!(world.reported("order-flow"), ("Deleting".into(), Some(1), message.into()));
    assert_eq!(last_event(&world), ("DeletionBlocked".into(), format!("DeletionBlocked: {message}")));
}

/// As when the ConfigMap of a process goes before it, and its controller was killed before it wrote the status.
#[tokio::test]
async fn neither_source_nor_status_is_needed_to_retire_a_process() {
    let world = deployed("Delete").await;
    world.edit("order-flow", |process| {
        process["status"] = json!({});
        process["spec"]["source"] = json!({"configMapRef": {"name": "gone", "key": "bpmn"}});
    });
    world.delete("order-flow").await;
    world.settle("order-flow").await;
    assert!(is_gone(&world));
    assert_eq!(world.engine().definitions("acme"), []);
}

/// As when a GitOps tool deletes everything and applies it again on the same database.
#[tokio::test]
async fn the_same_process_applied_again_takes_over_what_was_left() {
    let world = deployed("Delete").await;
    world.apiserver.remove::<WorkflowCluster>("workflow-system", "prod-east");
    world.delete("order-flow").await;
    world.settle("order-flow").await;
    assert!(is_gone(&world));

    world.apiserver.seed(&crate::testing::cluster());
    let mut again = applied("order-flow", &json!({"bpmn": ORDER_FLOW}));
    again.metadata.uid = Some("uid-again".into());
    again.metadata.creation_timestamp = serde_json::from_value(json!("2026-01-02T00:00:00Z")).unwrap();
    world.apiserver.seed(&again);
    world.settle("order-flow").await;
    assert_eq!(world.engine().definitions("acme").len(), 1, "the same bytes are no new version");
    assert_eq!(world.engine().process_owner("acme", "order-flow").unwrap().uid, "uid-again");
    let note = "process order-flow was in the engine already; this object manages it now, at v1";
    let reported = world.events("order-flow");
    assert!(reported.contains(&("Adopted".into(), note.into())), "{reported:?}");
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
