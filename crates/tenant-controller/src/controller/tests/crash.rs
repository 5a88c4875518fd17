//! Killed before and after every write, to the apiserver or to the engine, a controller ends where an undisturbed one
//! does.

use controller_testing::World as _;
use controller_testing::crash::{crash_at_every_write, last_segments};
use k8s_openapi::api::core::v1::Namespace;
use serde_json::json;

use crate::testing::{World, applied, namespace};

#[tokio::test]
async fn the_creation_of_a_tenant_survives() {
    let writes = crash_at_every_write(async || World::with(&[applied("acme")]), "acme").await;
    let expected = ["acme", "put tenant", "status", "secrets", "status", "events", "status"];
    assert_eq!(last_segments(&writes), expected);
}

/// A tenant that lists one namespace and is granted another by its label.
fn granted() -> World {
    let mut tenant = applied("acme");
    tenant.spec.namespaces = vec!["acme-tenant".into()];
    let world = World::with(&[tenant]);
    world.apiserver.seed(&namespace("acme-tenant", None));
    world.apiserver.seed(&namespace("acme-reports", Some("acme")));
    world
}

#[tokio::test]
async fn the_secrets_of_clients_survive_their_creation() {
    let writes = crash_at_every_write(async || granted(), "acme").await;
    let expected =
        ["acme", "put tenant", "status", "secrets", "secrets", "secrets", "status", "events", "status"];
    assert_eq!(last_segments(&writes), expected);
}

#[tokio::test]
async fn the_end_of_a_grant_survives() {
    let fresh = async || {
        let world = granted();
        world.settle("acme").await;
        world.edit("acme", |tenant| tenant["spec"]["namespaces"] = json!([]));
        world.apiserver.edit::<Namespace>("", "acme-reports", |it| {
            it["metadata"]["labels"] = json!({});
        });
        world
    };
    let writes = crash_at_every_write(fresh, "acme").await;
    assert_eq!(last_segments(&writes), ["put tenant", "acme-client", "acme-client", "status"]);
}

#[tokio::test]
async fn a_deletion_survives() {
    let fresh = async || {
        let world = World::with(&[applied("acme")]);
        world.settle("acme").await;
        world.delete("acme").await;
        world
    };
    let writes = crash_at_every_write(fresh, "acme").await;
    assert_eq!(last_segments(&writes), ["delete tenant", "acme-client", "acme"]);
}

#[tokio::test]
async fn a_changed_quota_survives() {
    let fresh = async || {
        let world = World::with(&[applied("acme")]);
        world.settle("acme").await;
        world.edit("acme", |tenant| tenant["spec"]["quotas"]["maxActiveInstances"] = json!(7));
        world
    };
    let writes = crash_at_every_write(fresh, "acme").await;
    assert_eq!(last_segments(&writes), ["put tenant", "status"]);
}
