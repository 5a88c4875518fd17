//! Killed before and after every write, a controller ends where an undisturbed one does.

use controller_testing::World as _;
use controller_testing::crash::crash_at_every_write;
use k8s_openapi::api::core::v1::Namespace;
use serde_json::json;

use crate::testing::world::{HOME, WORKER, World};
use crate::testing::{EVERY_FIELD, applied};

#[tokio::test]
async fn a_new_worker_survives() {
    let fresh = async || World::with(applied(EVERY_FIELD, HOME, |_| ()));
    let writes = crash_at_every_write(fresh, WORKER).await;
    assert_eq!(
        writes[..4],
        [
            "PATCH /api/v1/namespaces/acme-tenant/secrets/payment-worker-engine-access",
            "PATCH /apis/apps/v1/namespaces/acme-tenant/deployments/payment-worker",
            "PATCH /apis/autoscaling/v2/namespaces/acme-tenant/horizontalpodautoscalers/payment-worker",
            "PATCH /apis/policy/v1/namespaces/acme-tenant/poddisruptionbudgets/payment-worker",
        ]
    );
}

/// A worker whose fleet runs.
async fn running() -> World {
    let world = World::with(applied(EVERY_FIELD, HOME, |_| ()));
    world.converge(WORKER).await;
    world
}

#[tokio::test]
async fn the_end_of_autoscaling_survives() {
    let fresh = async || {
        let world = running().await;
        world.edit(WORKER, |worker| {
            worker["spec"].as_object_mut().unwrap().remove("autoscaling");
            worker["spec"]["replicas"] = json!(1);
            worker["spec"]["image"] = json!("acme/payment-worker:2.0.0");
        });
        world
    };
    let writes = crash_at_every_write(fresh, WORKER).await;
    let namespaces = "namespaces/acme-tenant";
    assert_eq!(
        writes[..3],
        [
            format!("DELETE /apis/autoscaling/v2/{namespaces}/horizontalpodautoscalers/payment-worker"),
            format!("DELETE /apis/policy/v1/{namespaces}/poddisruptionbudgets/payment-worker"),
            format!("PATCH /apis/apps/v1/{namespaces}/deployments/payment-worker"),
        ]
    );
}

#[tokio::test]
async fn the_end_of_a_grant_survives() {
    let fresh = async || {
        let world = running().await;
        world.apiserver.edit::<Namespace>("", HOME, |it| it["metadata"]["labels"] = json!({}));
        world
    };
    let writes = crash_at_every_write(fresh, WORKER).await;
    let deletions = writes.iter().filter(|write| write.starts_with("DELETE")).count();
    assert!(writes[0].contains("/secrets/payment-worker-engine-access"), "{writes:#?}");
    assert_eq!(deletions, 4, "{writes:#?}");
}
