//! A tenant from its creation to its end, under the running controller.

use std::time::Duration;

use api_types::WorkflowTenant;
use controller_testing::real::{TestNamespace, accept_everything};
use engine_client::Operation;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, CustomResourceExt as _, ResourceExt as _};
use serde_json::json;
use test_support::require_controller_manager;
use test_support::wait::{await_condition, await_gone, eventually};

use crate::world::{SOON, World};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_settled_tenant_is_not_written_over_fifty_passes() {
    let apiserver = require_controller_manager!();
    let world = World::start(apiserver).await;
    world.apply(&world, "acme").await;
    // The second look after the upsert reads the usage back.
    eventually("the tenant is there", SOON, async || world.engine.tenant("acme")).await;
    world.touch_cluster("prod", 100).await;
    let before = world.await_active("acme").await.resource_version();
    for n in 0..50 {
        world.touch(n).await;
    }
    let after = world.api::<WorkflowTenant>().get("acme").await.unwrap().resource_version();
    assert_eq!(after, before);
    assert_eq!(world.engine.count(Operation::PutTenant), 1);
    assert!(world.engine.count(Operation::ListTenants) <= 4, "passes within one interval share a look");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_tenant_is_reported_and_stops_nobody() {
    let apiserver = require_controller_manager!();
    let world = World::start(apiserver).await;
    accept_everything::<WorkflowTenant>(&world.client).await;
    let broken: DynamicObject = serde_json::from_value(json!({
        "apiVersion": "workflow.example.com/v1alpha1",
        "kind": "WorkflowTenant",
        "metadata": {"name": "broken", "namespace": world.name},
        "spec": {"clusterRef": "prod"},
    }))
    .unwrap();
    let kind = ApiResource::erase::<WorkflowTenant>(&());
    let objects: Api<DynamicObject> = Api::namespaced_with(world.client.clone(), &world.name, &kind);
    eventually("the loosened schema accepts the broken object", SOON, async || {
        objects.create(&PostParams::default(), &broken).await
    })
    .await;
    Box::pin(apiserver.apply_crds(&[WorkflowTenant::crd()])).await;

    let reported = world.await_event("Unreadable").await;
    assert_eq!(reported.regarding.unwrap().name.as_deref(), Some("broken"));
    world.apply(&world, "acme").await;
    eventually("the other tenant is there", SOON, async || world.engine.tenant("acme")).await;
    objects.delete("broken", &DeleteParams::default()).await.unwrap();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_in_a_namespace_of_its_own_follows_the_grant_and_ends_with_its_namespace() {
    let apiserver = require_controller_manager!();
    let world = World::start(apiserver).await;
    let own = TestNamespace::create(apiserver, "acme-home").await;
    world.apply(&own, "acme").await;
    let refused = |tenant: &WorkflowTenant| {
        let status = tenant.status.as_ref();
        status.is_some_and(|status| {
            !status.ready
                && status
                    .conditions
                    .iter()
                    .any(|condition| condition.reason == "ReferenceNotPermittedOrMissing")
        })
    };
    await_condition(&own.api::<WorkflowTenant>(), "acme", SOON, "is refused", refused).await;
    assert_eq!(world.engine.calls(), []);
    own.grant("acme").await;
    let is_ready = |tenant: &WorkflowTenant| tenant.status.as_ref().is_some_and(|status| status.ready);
    await_condition(&own.api::<WorkflowTenant>(), "acme", SOON, "is ready", is_ready).await;
    own.revoke().await;
    await_condition(&own.api::<WorkflowTenant>(), "acme", SOON, "is refused again", refused).await;

    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    namespaces.delete(&own.name, &DeleteParams::default()).await.unwrap();
    await_gone(&namespaces, &own.name, SOON).await;
    assert_eq!(world.engine.tenant("acme"), None);
    world.end().await;
}

/// What condition `ClientAccess` says.
fn client_access(tenant: &WorkflowTenant) -> Option<(String, String)> {
    let conditions = &tenant.status.as_ref()?.conditions;
    controller_kit::condition::find(conditions, api_types::condition::CLIENT_ACCESS)
        .map(|reported| (reported.reason.clone(), reported.message.clone()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn applications_get_their_secret_where_the_namespace_opted_in_and_lose_it_with_the_grant() {
    let apiserver = require_controller_manager!();
    let world = World::start(apiserver).await;
    let team = TestNamespace::create(apiserver, "client-team").await;
    let other = TestNamespace::create(apiserver, "client-other").await;
    world.opt_in(&other).await;
    other.grant("acme").await;
    world.apply(&world, "acme").await;
    world.await_active("acme").await;
    let found = eventually("the opted-in namespace has it", SOON, async || {
        other.api::<Secret>().get_opt("acme-client").await.unwrap()
    })
    .await;
    assert_eq!(found.type_.as_deref(), Some("Opaque"));

    // Listed, and not opted in: the reason, and what to do.
    let list = json!({"spec": {"namespaces": [team.name]}});
    world.api::<WorkflowTenant>().patch("acme", &PatchParams::default(), &Patch::Merge(list)).await.unwrap();
    let hint = format!(
        "no permission in namespace {}: create a RoleBinding there of ClusterRole \
         tenant-controller-workload-namespace to ServiceAccount {}/tenant-controller",
        team.name, world.name
    );
    let reported = ("ClientSecretNotPermitted".to_owned(), controller_kit::message::bounded(&hint));
    let is_reported = |tenant: &WorkflowTenant| client_access(tenant).as_ref() == Some(&reported);
    let tenant =
        await_condition(&world.api::<WorkflowTenant>(), "acme", SOON, "says what lacks", is_reported).await;
    assert!(tenant.status.unwrap().ready);
    assert_eq!(team.api::<Secret>().get_opt("acme-client").await.unwrap(), None);

    // Opted in: any change begins a look at once, else a minute does.
    world.opt_in(&team).await;
    team.grant("acme").await;
    let patch = json!({"spec": {"displayName": "Acme"}});
    world.api::<WorkflowTenant>().patch("acme", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    let both =
        vec![team.name.clone(), other.name.clone()].into_iter().collect::<std::collections::BTreeSet<_>>();
    let has_both = |tenant: &WorkflowTenant| {
        let status = tenant.status.as_ref();
        status.is_some_and(|status| both == status.client_namespaces.iter().cloned().collect())
    };
    let longer = Duration::from_mins(3);
    await_condition(&world.api::<WorkflowTenant>(), "acme", longer, "is in both", has_both).await;
    assert!(team.api::<Secret>().get_opt("acme-client").await.unwrap().is_some());

    // A Secret that somebody made anew under the name is not ours.
    other.api::<Secret>().delete("acme-client", &DeleteParams::default()).await.unwrap();
    let theirs: Secret = serde_json::from_value(json!({"metadata": {"name": "acme-client"}})).unwrap();
    other.api::<Secret>().create(&PostParams::default(), &theirs).await.unwrap();
    other.revoke().await;
    let only_team = |tenant: &WorkflowTenant| {
        tenant.status.as_ref().is_some_and(|status| status.client_namespaces == [team.name.clone()])
    };
    await_condition(&world.api::<WorkflowTenant>(), "acme", SOON, "is in one", only_team).await;
    assert!(other.api::<Secret>().get_opt("acme-client").await.unwrap().is_some());

    world.api::<WorkflowTenant>().delete("acme", &DeleteParams::default()).await.unwrap();
    await_gone(&world.api::<WorkflowTenant>(), "acme", SOON).await;
    assert_eq!(team.api::<Secret>().get_opt("acme-client").await.unwrap(), None);
    world.end().await;
}
