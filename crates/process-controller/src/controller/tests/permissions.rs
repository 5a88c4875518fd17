//! What a process's status says when a read is refused, by the API server or by the engine.

use controller_kit::outcome::{ErrorClass, Next};
use controller_testing::World as _;
use engine_client::Operation;
use serde_json::json;

use crate::testing::{ORDER_FLOW, World, applied};

fn inline() -> World {
    World::with(&[applied("order-flow", &json!({"bpmn": ORDER_FLOW}))])
}

#[tokio::test]
async fn missing_credentials_are_reported_by_name() {
    let world = inline();
    world
        .apiserver
        .remove::<k8s_openapi::api::core::v1::Secret>("workflow-system", "prod-east-engine-controller-token");
    assert_eq!(world.settle("order-flow").await, Next::Failed(ErrorClass::Transient));
    assert_eq!(
        world.reported("order-flow").2,
        "Secret prod-east-engine-controller-token of WorkflowCluster workflow-system/prod-east: key current is \
         missing; the cluster-controller writes it anew when it is deleted"
    );
}

#[tokio::test]
async fn a_refused_credential_is_read_anew_by_the_next_pass() {
    let world = inline();
    let mut reconciler = world.started();
    world.engine().fail_once(Operation::GetProcessDefinition, engine_client::ErrorClass::Denied);
    assert_eq!(world.pass_of(&mut reconciler, "order-flow").await, Next::Failed(ErrorClass::Denied));
    assert_eq!(world.reported("order-flow").0, "Pending");
    let reads = || world.apiserver.requests().iter().filter(|r| r.path.contains("/secrets/")).count();
    assert_eq!(reads(), 1);
    world.pass_of(&mut reconciler, "order-flow").await;
    assert_eq!((reads(), world.reported("order-flow").0.as_str()), (2, "Deployed"));
}
