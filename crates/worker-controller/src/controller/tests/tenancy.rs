//! Whom a fleet works for, by its own reference or by the label of its namespace, and the end of a grant.

use std::sync::Arc;

use api_types::labels::TENANT;
use api_types::worker::{WorkerPhase, WorkerReason};
use controller_kit::outcome::Next;
use controller_testing::World as _;
use controller_testing::caches::{directory, store_of};
use engine_access::reference::CachedDirectory;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use serde_json::json;
use test_support::builders;

use crate::testing::world::{ACCESS, CLUSTER_NAMESPACE, HOME, WORKER, World, as_reported};
use crate::testing::{SEED, applied, cluster, token};

/// A pass of a controller whose caches of clusters, tenants and namespaces show only this.
async fn pass_with(world: &World, directory: CachedDirectory) -> Next {
    let mut passes = world.started();
    passes.kind.context.directory = Arc::new(directory);
    world.pass_of(&mut passes, WORKER).await
}

/// Whom the fleet works for: by its token, its label and its environment.
fn served_tenant(world: &World, namespace: &str) -> (String, Option<String>, Option<String>) {
    let secret = world.apiserver.get::<Secret>(namespace, ACCESS).unwrap();
    let deployment = world.apiserver.get::<Deployment>(namespace, WORKER).unwrap();
    let pod = deployment.spec.unwrap().template.spec.unwrap();
    let reported = pod.containers[0].env.iter().flatten().find(|variable| variable.name == "WORKFLOW_TENANT");
    (
        String::from_utf8(secret.data.unwrap()["token"].0.clone()).unwrap(),
        deployment.metadata.labels.unwrap().get(TENANT).cloned(),
        reported.and_then(|variable| variable.value.clone()),
    )
}

fn of_tenant(name: &str) -> (String, Option<String>, Option<String>) {
    (token(name, &format!("uid-of-{name}")), Some(name.to_owned()), Some(name.to_owned()))
}

#[tokio::test]
async fn a_worker_that_names_no_tenant_works_for_the_one_that_its_namespace_is_labelled_with() {
    let world = World::with(applied(SEED, HOME, |_| ()));
    world.converge(WORKER).await;
    assert_eq!(served_tenant(&world, HOME), of_tenant("acme"));

    // The label names another tenant: one that does not exist takes access away, one that does gets the fleet.
    world.apiserver.edit::<Namespace>("", HOME, |it| it["metadata"]["labels"] = json!({TENANT: "beta"}));
    world.pass(WORKER).await;
    assert_eq!(world.children(), [0, 0, 0, 0]);
    world.pass(WORKER).await;
    assert_eq!(
        world.reported(),
        as_reported(WorkerPhase::Pending, WorkerReason::ReferenceNotPermittedOrMissing)
    );
    let message = "spec.clusterRef prod-east, tenant beta (from label workflow.example.com/tenant of Namespace \
                   acme-tenant): not found or not permitted there; create the WorkflowTenant, or correct the label";
    assert_eq!(world.status(WORKER).message.as_deref(), Some(message));
    world.apiserver.seed(&builders::active_tenant(CLUSTER_NAMESPACE, "beta", &cluster()));
    world.converge(WORKER).await;
    assert_eq!(served_tenant(&world, HOME), of_tenant("beta"));

    world.apiserver.edit::<Namespace>("", HOME, |it| it["metadata"]["labels"] = json!({}));
    world.pass(WORKER).await;
    assert_eq!(world.children(), [0, 0, 0, 0]);
}

#[tokio::test]
async fn beside_its_cluster_a_worker_follows_the_label_to_a_tenant_and_back_to_the_default_one() {
    let world = World::with(applied(SEED, CLUSTER_NAMESPACE, |_| ()));
    let served = async || {
        world.pass(WORKER).await;
        served_tenant(&world, CLUSTER_NAMESPACE)
    };
    let of_default = (token("_default", ""), None, Some("_default".to_owned()));
    assert_eq!(served().await, of_default);
    world
        .apiserver
        .edit::<Namespace>("", CLUSTER_NAMESPACE, |it| it["metadata"]["labels"] = json!({TENANT: "acme"}));
    assert_eq!(served().await, of_tenant("acme"));
    world.apiserver.edit::<Namespace>("", CLUSTER_NAMESPACE, |it| it["metadata"]["labels"] = json!({}));
    assert_eq!(served().await, of_default);
}

#[tokio::test]
async fn a_tenant_of_the_label_that_cannot_be_read_takes_no_fleet_down() {
    let world = World::with(applied(SEED, HOME, |_| ()));
    world.converge(WORKER).await;
    let mut blind = directory(&world.apiserver.client()).await;
    blind.tenants = store_of(Vec::new());
    let next = pass_with(&world, blind).await;
    assert!(matches!(next, Next::Wait { .. }), "{next:?}");
    assert_eq!(world.children(), [1, 1, 1, 1]);
}

#[tokio::test]
async fn a_grant_that_ends_takes_the_fleet_along_in_one_pass_and_one_that_returns_brings_it_back() {
    let world = World::with_seed();
    world.converge(WORKER).await;
    world.apiserver.edit::<Namespace>("", HOME, |it| it["metadata"]["labels"] = json!({}));
    world.pass(WORKER).await;
    assert_eq!(world.children(), [0, 0, 0, 0]);

    // The pass after it knows that nothing is left.
    world.pass(WORKER).await;
    assert_eq!(
        world.reported(),
        as_reported(WorkerPhase::Pending, WorkerReason::ReferenceNotPermittedOrMissing)
    );
    world.apiserver.forget_requests();
    world.pass(WORKER).await;
    assert_eq!(world.apiserver.mutations(), []);

    world.apiserver.edit::<Namespace>("", HOME, |it| it["metadata"]["labels"] = json!({TENANT: "acme"}));
    world.converge(WORKER).await;
    assert_eq!(world.children(), [1, 1, 1, 1]);
}

#[tokio::test]
async fn a_pause_does_not_keep_what_is_no_longer_granted() {
    let world = World::with_seed();
    world.converge(WORKER).await;
    world.edit(WORKER, |it| it["spec"]["paused"] = json!(true));
    world.apiserver.edit::<Namespace>("", HOME, |it| it["metadata"]["labels"] = json!({}));
    world.pass(WORKER).await;
    assert_eq!(world.children(), [0, 0, 0, 0]);
}

#[tokio::test]
async fn a_cluster_that_exists_and_cannot_be_read_takes_no_fleet_down() {
    let world = World::with_seed();
    world.converge(WORKER).await;
    let mut blind = directory(&world.apiserver.client()).await;
    blind.clusters = store_of(Vec::new());
    let next = pass_with(&world, blind).await;
    assert!(matches!(next, Next::Wait { .. }), "{next:?}");
    assert_eq!(world.children(), [1, 1, 1, 1]);
    assert_eq!(world.reported(), as_reported(WorkerPhase::Degraded, WorkerReason::ClusterNotReady));
}
