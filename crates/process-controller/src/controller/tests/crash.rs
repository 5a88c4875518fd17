//! Killed before and after every write, of the apiserver or of the engine, a controller ends where an undisturbed one
//! does.

use controller_kit::outcome::Next;
use serde_json::json;
use test_support::Faults;
use test_support::crash::{run_until_settled, survives_crash_at_every_write};
use test_support::snapshot::Snapshot;

use crate::testing::{ORDER_FLOW, World, applied};

/// Everything that must be equal in the end: objects, definitions and who owns them. Keys count upwards with every
/// attempt and are no part of it.
fn end_state(world: &World) -> Snapshot {
    let mut end = world.apiserver.snapshot();
    for object in end.values_mut().filter(|object| object["kind"] == "WorkflowProcess") {
        let masked =
            object.to_string().replace(&format!("key={}", object["status"]["processDefinitionKey"]), "key=");
        *object = serde_json::from_str(&masked).unwrap();
        object["status"]["processDefinitionKey"] = json!("<masked>");
    }
    let definitions = world.engine().definitions("acme").into_iter().map(|found| {
        let owner = world.engine().process_owner("acme", &found.process_id);
        json!([found.process_id, found.version, found.content_sha256, owner])
    });
    end.insert("engine".into(), definitions.collect());
    end
}

async fn life(world: &World, faults: &Faults) -> Result<(), Next> {
    let client = faults.wrap(world.apiserver.client());
    let reconciler = world.reconciler(client, faults.wrap_engines(world.engines.clone()));
    run_until_settled(faults, 20, async || match world.pass_of(&reconciler, "order-flow").await {
        next @ Next::Failed(_) => Err(next),
        _ => Ok(()),
    })
    .await
}

fn writes(report: &test_support::crash::CrashReport) -> Vec<String> {
    let last = |write: &String| write.rsplit('/').next().unwrap_or_default().to_owned();
    report.writes.iter().map(last).collect()
}

#[tokio::test]
async fn a_deployment_survives() {
    let report = survives_crash_at_every_write(
        async || World::with(&[applied("order-flow", &json!({"bpmn": ORDER_FLOW}))]),
        life,
        async |world| end_state(world),
    )
    .await;
    assert_eq!(writes(&report), ["order-flow", "deploy process", "status", "events"]);
}

#[tokio::test]
async fn a_deletion_survives() {
    let report = survives_crash_at_every_write(
        async || {
            let world = World::with(&[applied("order-flow", &json!({"bpmn": ORDER_FLOW}))]);
            world.settle("order-flow").await;
            world.delete("order-flow").await;
            world
        },
        life,
        async |world| end_state(world),
    )
    .await;
    assert_eq!(writes(&report), ["delete process", "order-flow"]);
}

#[tokio::test]
async fn a_change_of_the_process_id_survives() {
    let report = survives_crash_at_every_write(
        async || {
            let world = World::with(&[applied("order-flow", &json!({"bpmn": ORDER_FLOW}))]);
            world.settle("order-flow").await;
            let renamed = ORDER_FLOW.replace("id=\"order-flow\"", "id=\"order-flow-2\"");
            world.edit("order-flow", |process| process["spec"]["source"]["bpmn"] = json!(renamed));
            world
        },
        life,
        async |world| end_state(world),
    )
    .await;
    assert_eq!(writes(&report), ["deploy process", "delete process", "status", "events"]);
}
