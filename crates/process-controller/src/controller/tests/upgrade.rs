//! What becomes of a definition while the engine is upgraded.

use api_types::WorkflowCluster;
use controller_testing::World as _;
use serde_json::json;

use crate::testing::{ORDER_FLOW, World, applied};

fn deployed() -> World {
    World::with(&[applied("order-flow", &json!({"bpmn": ORDER_FLOW}))])
}

/// The cluster's status as its controller writes it: the version of every pod, and the stage of the upgrade.
async fn confirmed(world: &World, version: &str, stage: &str) -> Option<String> {
    world.apiserver.edit::<WorkflowCluster>("workflow-system", "prod-east", |cluster| {
        cluster["status"]["version"] = json!(version);
        cluster["status"]["upgrade"] = json!({"to": "1.3.0", "stage": stage, "rollbackable": true});
    });
    world.settle("order-flow").await;
    world.status("order-flow").confirmed_by_version
}

#[tokio::test]
async fn a_definition_is_confirmed_by_the_version_that_cannot_go_back_any_more() {
    let world = deployed();
    let expected = [
        ("1.2.3", "Done", "1.2.3"),
        ("1.2.3", "Canary", "1.2.3"),
        ("1.3.0", "Soaking", "1.2.3"),
        ("1.3.0", "Contracting", "1.2.3"),
        ("1.3.0", "Verifying", "1.3.0"),
        ("1.3.0", "Done", "1.3.0"),
    ];
    for (version, stage, confirmed_by) in expected {
        assert_eq!(confirmed(&world, version, stage).await.as_deref(), Some(confirmed_by), "{stage}");
    }
}

#[tokio::test]
async fn what_the_engine_lost_in_an_upgrade_is_deployed_again_before_it_is_confirmed() {
    let world = deployed();
    confirmed(&world, "1.2.3", "Done").await;
    world.engine().lose_definitions("acme", "order-flow");
    assert_eq!(confirmed(&world, "1.3.0", "Verifying").await.as_deref(), Some("1.3.0"));
    assert_eq!(world.engine().definitions("acme").len(), 1);
    let reasons: Vec<_> = world.events("order-flow").into_iter().map(|(reason, _)| reason).collect();
    assert!(reasons.contains(&"Redeployed".to_owned()), "{reasons:?}");
}

/// While it has nothing to confirm with, the version before stays.
#[tokio::test]
async fn an_engine_that_does_not_answer_confirms_nothing() {
    let world = deployed();
    confirmed(&world, "1.2.3", "Done").await;
    world.engine().set_unreachable(true);
    assert_eq!(confirmed(&world, "1.3.0", "Verifying").await.as_deref(), Some("1.2.3"));
}
