//! The Secrets of clients follow the grants of namespaces.

use std::time::Duration;

use api_types::condition::CLIENT_ACCESS;
use api_types::engine_access::client_secret_name;
use api_types::{WorkflowCluster, WorkflowTenant};
use controller_kit::condition::find;
use controller_kit::outcome::Next;
use controller_testing::World as _;
use k8s_openapi::api::core::v1::Namespace;
use serde_json::json;
use test_support::reply;

use super::*;
use crate::testing::{HOME, World, applied, namespace};

/// Tenant acme in a namespace of its own, which the label entitles to the cluster.
fn elsewhere() -> World {
    let mut tenant = applied("acme");
    tenant.metadata.namespace = Some("acme-home".into());
    tenant.spec.cluster_ref.namespace = Some(HOME.into());
    let world = World::with(&[tenant]);
    world.apiserver.seed(&namespace("acme-home", Some("acme")));
    world
}

async fn pass_elsewhere(world: &World) -> Next {
    use controller_kit::controller::Reconciler as _;
    let mut next = Next::Gone;
    for _ in 0..3 {
        if let Some(tenant) = world.apiserver.get::<WorkflowTenant>("acme-home", "acme") {
            next = world.started().reconcile(std::sync::Arc::new(tenant)).await.next;
        }
    }
    next
}

#[tokio::test]
async fn a_tenant_that_loses_its_own_grant_loses_its_secrets() {
    let world = elsewhere();
    assert_eq!(pass_elsewhere(&world).await, SETTLED);
    assert!(secret(&world, "acme-home").is_some());
    world.apiserver.edit::<Namespace>("", "acme-home", |it| it["metadata"]["labels"] = json!({}));
    pass_elsewhere(&world).await;
    assert!(secret(&world, "acme-home").is_none());
    let tenant: WorkflowTenant = world.apiserver.get("acme-home", "acme").unwrap();
    let status = tenant.status.unwrap();
    assert_eq!((status.client_namespaces, status.client_key_id), (Vec::new(), None));
    assert_eq!(find(&status.conditions, CLIENT_ACCESS), None);
}

#[tokio::test]
async fn a_cluster_that_the_cache_does_not_show_takes_no_access_away() {
    let world = elsewhere();
    pass_elsewhere(&world).await;
    // It exists, says the API server; the directory of this test reads the same store, so only the answers differ.
    let metadata = json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {"name": "prod-east"}});
    world.apiserver.remove::<WorkflowCluster>(HOME, "prod-east");
    world.apiserver.intercept(move |request| {
        request.path.ends_with("/workflowclusters/prod-east").then(|| reply::Reply::ok(metadata.clone()))
    });
    pass_elsewhere(&world).await;
    assert!(secret(&world, "acme-home").is_some());
}

#[tokio::test]
async fn a_secret_that_cannot_be_deleted_when_the_own_grant_ends_is_reported_and_tried_again() {
    let world = elsewhere();
    pass_elsewhere(&world).await;
    world.apiserver.edit::<Namespace>("", "acme-home", |it| it["metadata"]["labels"] = json!({}));
    forbid(&world, &["acme-home"]);
    assert_eq!(pass_elsewhere(&world).await, Next::Wait { recheck: Duration::from_mins(1) });
    let tenant: WorkflowTenant = world.apiserver.get("acme-home", "acme").unwrap();
    let status = tenant.status.unwrap();
    assert_eq!(status.client_namespaces, ["acme-home"]);
    assert_eq!(find(&status.conditions, CLIENT_ACCESS).unwrap().message, missing("acme-home"));
}

/// A change of which namespaces begins a pass of the tenant.
#[test]
fn a_tenant_follows_the_namespaces_that_it_is_in_is_granted_and_was_granted() {
    use engine_access::fields::NamespaceFields;

    let mut tenant = applied("acme");
    tenant.spec.namespaces = vec!["listed".into()];
    tenant.status = serde_json::from_value(json!({"ready": true, "clientNamespaces": ["former"]})).unwrap();
    for (name, label, expected) in [
        (HOME, None, true),
        ("listed", None, true),
        ("former", None, true),
        ("labelled", Some("acme"), true),
        ("of-another", Some("beta"), false),
        ("any", None, false),
    ] {
        let namespace = NamespaceFields { name: name.into(), tenant: label.map(Into::into) };
        assert_eq!(crate::controller::is_concerned(&tenant, &namespace), expected, "{name}");
    }
}

#[tokio::test]
async fn a_grant_ends_also_while_the_engine_is_away() {
    let world = served().await;
    world.engine().set_unreachable(true);
    world.edit("acme", |tenant| tenant["spec"]["namespaces"] = json!([]));
    world.pass("acme").await;
    assert_eq!(places(&world), [OTHER, HOME]);
    assert_eq!(world.status("acme").client_namespaces, [OTHER, HOME]);
}

#[tokio::test]
async fn a_name_that_another_object_has_in_the_engine_gets_no_secret() {
    let world = world();
    let theirs = engine_client::model::Owner { id: "another".into(), ..crate::testing::owner("uid", 0) };
    let held = engine_client::model::Tenant { owner: Some(theirs), ..crate::testing::held("acme") };
    world.engine().set_tenant(held);
    world.pass("acme").await;
    assert_eq!(places(&world), Vec::<&str>::new());
    assert_eq!(client_secret_name("acme"), "acme-client");
}
