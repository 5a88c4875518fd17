//! A worker that is being deleted.

use controller_kit::outcome::Next;
use controller_testing::World as _;
use serde_json::json;

use crate::testing::world::{WORKER, World};

#[tokio::test]
async fn a_worker_that_goes_is_left_to_the_garbage_collector() {
    let world = World::with_seed();
    world.edit(WORKER, |it| {
        it["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        it["metadata"]["finalizers"] = json!(["foregroundDeletion"]);
    });
    assert_eq!(world.pass(WORKER).await, Next::Gone);
    assert_eq!(world.apiserver.mutations(), []);
}
