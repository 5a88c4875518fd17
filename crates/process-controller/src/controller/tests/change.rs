//! What a new version changes, in the status and as an event.

use api_types::process::SourceChange;
use controller_testing::World as _;
use engine_client::model::Capability;
use engine_client::model::{WaitingCount, WaitingInstances};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use crate::testing::{ORDER_FLOW, World, applied};

/// Another task in the place of `Task_refund`.
fn another_task() -> String {
    ORDER_FLOW.replace("Task_refund", "Task_give_back")
}

async fn deployed() -> World {
    let world = World::with(&[applied("order-flow", &json!({"bpmn": ORDER_FLOW}))]);
    world.settle("order-flow").await;
    assert_eq!(world.status("order-flow").source_change, None, "a first version changes nothing");
    world
}

fn waiting(instances: u64) -> WaitingInstances {
    let counts = vec![WaitingCount { element_id: "Task_refund".into(), instances }];
    WaitingInstances { counts, instances, is_at_least: false }
}

async fn change(world: &World, bpmn: &str) -> Option<SourceChange> {
    world.edit("order-flow", |process| process["spec"]["source"]["bpmn"] = json!(bpmn));
    world.settle("order-flow").await;
    world.status("order-flow").source_change
}

#[tokio::test]
async fn a_new_version_tells_what_it_changes_and_who_waits_at_what_it_removes() {
    let world = deployed().await;
    world.engine().set_waiting_instances("acme", "order-flow", waiting(12));
    let found = change(&world, &another_task()).await.unwrap();
    assert!(found.compared_at.is_some());
    let ids = |ids: &[&str]| ids.iter().map(ToString::to_string).collect();
    assert_eq!(
        SourceChange { compared_at: None, ..found },
        SourceChange {
            from_version: 1,
            to_version: 2,
            added: ids(&["Task_give_back"]),
            removed: ids(&["Task_refund"]),
            changed: ids(&["Flow_3", "Flow_5"]),
            waiting_instances: Some(12),
            ..SourceChange::default()
        }
    );
    let events = world.event_lines("order-flow");
    let warnings: Vec<&String> = events.iter().filter(|line| line.contains("RemovedElementsInUse")).collect();
    assert_eq!(warnings.len(), 1, "{events:?}");
    assert!(
        warnings[0].contains(
            "v2 has no more Task_refund, and 12 running instances of former versions wait at what was removed"
        ),
        "{warnings:?}"
    );
    // Nothing more is written.
    let writes = world.writes();
    world.pass("order-flow").await;
    assert_eq!(world.writes(), writes);
}

#[tokio::test]
async fn a_name_is_no_change_and_nobody_is_warned() {
    let world = deployed().await;
    world.engine().set_waiting_instances("acme", "order-flow", waiting(12));
    let found = change(&world, &ORDER_FLOW.replace("Refund payment", "Give the money back")).await;
    let found = found.map(|change| SourceChange { compared_at: None, ..change });
    assert_eq!(
        found,
        Some(SourceChange {
            from_version: 1,
            to_version: 2,
            waiting_instances: Some(0),
            ..SourceChange::default()
        })
    );
    let events = world.event_lines("order-flow");
    assert!(!events.iter().any(|line| line.contains("RemovedElementsInUse")), "{events:?}");
}

#[tokio::test]
async fn an_engine_that_cannot_tell_is_not_asked_again() {
    let world = deployed().await;
    world.engine().lose_capability(Capability::ProcessDocuments);
    let found = change(&world, &another_task()).await.unwrap();
    let Some(Time(_)) = found.compared_at else { panic!("not compared: {found:?}") };
    assert_eq!((found.removed.len(), found.waiting_instances), (0, None));
}
