use controller_testing::World as _;
use engine_client::Operation;
use serde_json::json;

use crate::testing::{ORDER_FLOW, World, applied};

async fn asked_for(world: &World) -> Vec<String> {
    let asked_for = world.survey().ask_all(&world.processes()).await;
    asked_for.into_iter().map(|process| process.name).collect()
}

async fn deployed(names: &[&str]) -> World {
    let processes: Vec<_> = names
        .iter()
        .map(|name| applied(name, &json!({"bpmn": ORDER_FLOW.replace("order-flow", name)})))
        .collect();
    let world = World::with(&processes);
    for name in names {
        world.settle(name).await;
    }
    world
}

/// A database that was restored to a time before the deployment.
#[tokio::test]
async fn what_the_engine_lost_is_found_by_one_call_and_deployed_again_once() {
    let world = deployed(&["order-flow", "refund-flow", "return-flow"]).await;
    world.engine().forget_calls();
    assert_eq!(asked_for(&world).await, Vec::<String>::new());
    assert_eq!(world.engine().count(Operation::ListProcessDefinitions), 1, "of the whole tenant");

    world.engine().lose_definitions("acme", "refund-flow");
    assert_eq!(asked_for(&world).await, ["refund-flow"]);
    world.engine().forget_calls();
    world.settle("refund-flow").await;
    assert_eq!(world.engine().count(Operation::DeployProcess), 1);
    assert!(world.events("refund-flow").iter().any(|(reason, _)| reason == "Redeployed"));
    assert_eq!(asked_for(&world).await, Vec::<String>::new(), "it is there again");
}

#[tokio::test]
async fn an_engine_that_is_away_has_lost_nothing() {
    let world = deployed(&["order-flow"]).await;
    world.engine().set_unreachable(true);
    assert_eq!(asked_for(&world).await, Vec::<String>::new());
}

/// Who is not deployed waits for something else than the survey.
#[tokio::test]
async fn what_is_not_deployed_is_not_lost() {
    let world = deployed(&["order-flow"]).await;
    world.edit("order-flow", |process| process["spec"]["source"]["bpmn"] = json!("<not-bpmn/>"));
    world.settle("order-flow").await;
    world.engine().lose_definitions("acme", "order-flow");
    assert_eq!(asked_for(&world).await, Vec::<String>::new());
}
