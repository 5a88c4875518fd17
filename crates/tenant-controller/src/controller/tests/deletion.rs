//! A tenant that is being deleted.

use api_types::WorkflowCluster;
use api_types::labels::FORCE_DELETE;
use controller_kit::outcome::{ErrorClass, Next};
use controller_testing::World as _;
use serde_json::json;

use crate::status::PURGE_RECHECK;
use crate::testing::{HOME, SETTLED, World, applied, as_reported, cluster, event, usage};

#[tokio::test]
async fn a_deleted_tenant_goes_with_its_data() {
    let world = World::active().await;
    world.delete("acme").await;
    assert_eq!(world.settle("acme").await, Next::Gone);
    assert_eq!((world.is_gone(), world.engine().tenant("acme")), (true, None));
}

#[tokio::test]
async fn a_tenant_with_much_to_delete_keeps_its_object_until_all_of_it_is_gone() {
    let world = World::active().await;
    world.engine().set_purge("acme", 2);
    world.delete("acme").await;
    let message = "the engine is deleting what the tenant has; the object goes when nothing is left";
    for _ in 0..2 {
        assert_eq!(world.pass("acme").await, Next::Wait { recheck: PURGE_RECHECK });
        assert_eq!(world.reported("acme"), as_reported("Deleting", message));
        assert!(!world.is_gone());
    }
    assert_eq!(world.settle("acme").await, Next::Gone);
    assert_eq!((world.is_gone(), world.engine().tenant("acme")), (true, None));
}

#[tokio::test]
async fn a_retained_tenant_stays_without_an_owner() {
    let world = World::active().await;
    world.edit("acme", |tenant| tenant["spec"]["deletionPolicy"] = json!("Retain"));
    world.settle("acme").await;
    world.delete("acme").await;
    world.settle("acme").await;
    assert!(world.is_gone());
    assert_eq!(world.engine().tenant("acme").unwrap().owner, None);
    assert_eq!(world.events("acme").pop(), Some(event("Retained", "tenant acme stays in the engine")));
}

#[tokio::test]
async fn a_tenant_with_running_instances_waits_for_them() {
    let world = World::active().await;
    world.engine().set_usage(usage(3, 0, &[]));
    world.delete("acme").await;
    for _ in 0..3 {
        assert_eq!(world.pass("acme").await, Next::Failed(ErrorClass::Transient));
    }
    let message = "resolve or cancel what runs, or set spec.deletionPolicy to Purge: tenant acme has 3 active instances";
    assert_eq!(world.reported("acme"), as_reported("Deleting", message));
    let reported = world.events("acme");
    assert_eq!(
        reported[reported.len() - 2..],
        [
            event("DeletionBlocked", &format!("DeletionBlocked: {message}")),
            event(
                "DeletionBlocked",
                "DeletionBlocked: to cancel it all: kubectl -n workflow-system patch wft acme --type merge \
                 -p '{\"spec\":{\"deletionPolicy\":\"Purge\"}}'"
            ),
        ]
    );
    world.engine().set_usage(usage(0, 0, &[]));
    assert_eq!(world.settle("acme").await, Next::Gone);
    assert!(world.is_gone());
}

#[tokio::test]
async fn a_tenant_that_waits_for_what_runs_is_purged_as_soon_as_its_policy_says_so() {
    let world = World::active().await;
    world.engine().set_usage(usage(3, 0, &[]));
    world.delete("acme").await;
    world.pass("acme").await;
    assert_eq!(world.reported("acme").0, "Deleting");
    // As the event says.
    world.edit("acme", |tenant| tenant["spec"]["deletionPolicy"] = json!("Purge"));
    assert_eq!(world.pass("acme").await, Next::Gone);
    assert_eq!((world.is_gone(), world.engine().tenant("acme")), (true, None));
    let purged = event("Purged", "tenant acme was deleted from the engine with everything that ran");
    assert_eq!(world.events("acme").pop(), Some(purged));
}

#[tokio::test]
async fn an_unreachable_engine_blocks_until_a_person_gives_the_tenant_up() {
    let world = World::active().await;
    world.engine().set_unreachable(true);
    world.delete("acme").await;
    assert_eq!(world.settle("acme").await, Next::Failed(ErrorClass::Transient));
    assert_eq!(world.reported("acme").0, "Deleting");
    assert_eq!(world.events("acme").pop().unwrap().0, "DeletionBlocked");
    world.edit("acme", |tenant| tenant["metadata"]["annotations"] = json!({FORCE_DELETE: "true"}));
    world.settle("acme").await;
    assert!(world.is_gone());
    assert_eq!(
        world.events("acme").pop(),
        Some(event("DeletionForced", "DeletionForced: tenant acme may still be in the engine"))
    );
}

#[tokio::test]
async fn a_cluster_that_is_gone_lets_its_tenants_go_and_tells_what_is_left() {
    let world = World::active().await;
    world.apiserver.remove::<WorkflowCluster>(HOME, "prod-east");
    world.engine().forget_calls();
    world.delete("acme").await;
    world.settle("acme").await;
    assert!(world.is_gone());
    assert_eq!(world.engine().calls(), []);
    let note = "LeftInDatabase: tenant acme may still be in the database of its cluster, which is gone; the same object \
                applied again takes it over";
    assert_eq!(world.events("acme").pop(), Some(event("LeftInDatabase", note)));
}

/// The cluster waits for what is deleted with it.
#[tokio::test]
async fn a_cluster_that_is_being_deleted_is_still_asked() {
    let world = World::active().await;
    world.apiserver.edit::<WorkflowCluster>(HOME, "prod-east", |cluster| {
        cluster["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        cluster["metadata"]["finalizers"] = json!(["workflow.example.com/cluster-cleanup"]);
    });
    world.delete("acme").await;
    assert_eq!(world.settle("acme").await, Next::Gone);
    assert_eq!((world.is_gone(), world.engine().tenant("acme")), (true, None));
}

#[tokio::test]
async fn a_cluster_without_an_endpoint_holds_its_tenants() {
    let world = World::active().await;
    world.apiserver.edit::<WorkflowCluster>(HOME, "prod-east", |cluster| cluster["status"] = json!({}));
    world.delete("acme").await;
    assert_eq!(world.settle("acme").await, Next::Wait { recheck: std::time::Duration::from_mins(1) });
    let message = "WorkflowCluster workflow-system/prod-east has no endpoint, so its engine cannot be asked; correct or \
                   delete that cluster";
    assert_eq!(world.reported("acme"), as_reported("Deleting", message));
    assert_eq!(
        world.events("acme").pop(),
        Some(event("DeletionBlocked", &format!("DeletionBlocked: {message}")))
    );
}

/// As when a GitOps tool deletes everything and applies it again on the same database.
#[tokio::test]
async fn the_same_tenant_applied_again_takes_over_what_was_left() {
    let world = World::active().await;
    world.apiserver.remove::<WorkflowCluster>(HOME, "prod-east");
    world.delete("acme").await;
    world.settle("acme").await;
    assert!(world.is_gone());

    world.apiserver.seed(&cluster());
    let mut again = applied("acme");
    again.metadata.uid = Some("uid-of-acme-again".into());
    again.metadata.creation_timestamp = serde_json::from_value(json!("2026-01-02T00:00:00Z")).unwrap();
    world.apiserver.seed(&again);
    assert_eq!(world.settle("acme").await, SETTLED);
    assert_eq!(world.engine().tenant("acme").unwrap().owner.unwrap().uid, "uid-of-acme-again");
    let note = "tenant acme was in the engine already; this object manages it now";
    assert!(world.events("acme").contains(&event("Adopted", note)), "{:?}", world.events("acme"));
}
