use engine_api::proto::InstanceState;
use serde_json::json;

use crate::models::{decision_without_default, fork_and_join, one_task, retry_loop};
use crate::support::{World, database};

#[tokio::test]
async fn a_join_waits_for_both_branches_also_if_two_replicas_complete_them() {
    let world = World::new(database!());
    let (one, two) = (world.serve("engine-0").await, world.serve("engine-1").await);
    one.controller().deploy("_default", &fork_and_join("order")).await;
    for _ in 0..20 {
        let instance = one.controller().start("_default", "order", &json!({})).await;
        let (first, second) = (one.controller(), two.controller());
        let left = first.activate("_default", "left", 1).await.remove(0);
        let right = second.activate("_default", "right", 1).await.remove(0);
        assert_eq!(first.activate("_default", "last", 1).await, []);
        // Concurrently, through two replicas: exactly one of them must see both tokens.
        let (left_variables, right_variables) = (json!({"left": 1}), json!({"right": 2}));
        tokio::join!(first.complete(&left, &left_variables), second.complete(&right, &right_variables));
        let last = first.activate("_default", "last", 10).await;
        assert_eq!(last.len(), 1);
        assert_eq!(last[0].variables, Some(crate::support::wire_variables(&json!({"left": 1, "right": 2}))));
        first.complete(&last[0], &json!({})).await;
        assert_eq!(first.instance("_default", instance).await.state(), InstanceState::Completed);
    }
}

#[tokio::test]
async fn a_loop_repeats_until_its_condition_is_true() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.deploy("_default", &retry_loop("order")).await;
    let instance = caller.start("_default", "order", &json!({})).await;
    for tries in 1..=3 {
        assert_eq!(caller.instance("_default", instance).await.state(), InstanceState::Active);
        caller.work("_default", "attempt", &json!({"tries": tries})).await;
    }
    assert_eq!(caller.instance("_default", instance).await.state(), InstanceState::Completed);
    assert_eq!(caller.activate("_default", "attempt", 1).await, []);
}

#[tokio::test]
async fn a_decision_without_a_true_condition_raises_an_incident_at_its_gateway() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.deploy("_default", &decision_without_default("order")).await;
    let stuck = caller.start("_default", "order", &json!({"amount": 50})).await;
    let stuck = caller.instance("_default", stuck).await;
    assert_eq!((stuck.state(), stuck.incidents.len()), (InstanceState::Active, 1));
    assert_eq!(stuck.incidents[0].element_id, "decide");
    caller.start("_default", "order", &json!({"amount": 101})).await;
    caller.work("_default", "approve", &json!({})).await;
}

#[tokio::test]
async fn instances_keep_the_version_that_they_were_started_with() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.deploy("_default", &fork_and_join("order")).await;
    let instance = caller.start("_default", "order", &json!({})).await;
    caller.deploy("_default", &one_task("order", "other")).await;
    for job_type in ["left", "right", "last"] {
        caller.work("_default", job_type, &json!({})).await;
    }
    let ended = caller.instance("_default", instance).await;
    assert_eq!((ended.state(), ended.version), (InstanceState::Completed, 1));
}
