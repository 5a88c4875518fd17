//! With no more rights than the charts and the cluster-controller grant.

use api_types::WorkflowWorker;
use api_types::engine_access::{Access, access_secret_name};
use controller_testing::permissions::{Scope, chart_rules, permit_everywhere, permit_in, secrets_rule};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use test_support::apiserver::TestApiServer;

use crate::world::{ACCESS, CLUSTER, EVERY_FIELD, SEED, WORKER, World};

const USER: &str = "worker-controller-test";

/// The controller's client: rights everywhere, and in the cluster's namespace.
async fn controller(apiserver: &TestApiServer, home: &World) -> Client {
    permit_everywhere(&home.client, USER, &chart_rules("worker-controller", Scope::Everywhere)).await;
    let mut rules = chart_rules("worker-controller", Scope::ClusterNamespace);
    rules.push(secrets_rule(&[&access_secret_name(CLUSTER, Access::WorkerKey)]));
    permit_in(&home.client, &home.name, "worker-controller-cluster-namespace", USER, &rules).await;
    apiserver.client_for(USER, &[]).await
}

fn with_grant(home: &World) -> impl FnOnce(&mut Value) {
    let namespace = home.name.clone();
    move |worker| {
        worker["spec"]["clusterRef"] = json!({"name": CLUSTER, "namespace": namespace});
        worker["spec"]["tenantRef"] = json!({"name": "acme", "namespace": namespace});
    }
}

#[tokio::test]
async fn the_documented_rights_are_enough_for_a_whole_life_and_the_opt_in_is_needed() {
    let apiserver = test_support::require_apiserver!();
    let home = World::new(apiserver, "rbac-owner").await;
    let fleet = World::empty(apiserver, "rbac-fleet").await;
    let client = controller(apiserver, &home).await;
    fleet.grant("acme").await;
    fleet.apply(EVERY_FIELD, with_grant(&home)).await;
    fleet.pass(&client).await;
    assert_eq!(fleet.ready_reason().await, "Denied");
    let message = format!(
        "no permission in namespace {}: create a RoleBinding there of ClusterRole …-workload-namespace to User {USER}",
        fleet.name
    );
    let worker = fleet.api::<WorkflowWorker>().get(WORKER).await.unwrap();
    assert_eq!(worker.status.unwrap().message, Some(message));

    let rules = chart_rules("worker-controller", Scope::WorkloadNamespace);
    permit_in(&home.client, &fleet.name, "worker-controller-workload-namespace", USER, &rules).await;
    // RBAC reaches the authorizer through a watch.
    let applied =
        test_support::wait::eventually("the fleet is made", std::time::Duration::from_secs(20), || async {
            fleet.pass(&client).await;
            fleet.api::<Deployment>().get_opt(WORKER).await.unwrap()
        });
    Box::pin(applied).await;
    // The ServiceAccount of the manifest does not exist here: reading that it does not was permitted.
    fleet.pass(&client).await;
    assert_eq!(fleet.ready_reason().await, "ServiceAccountMissing");

    fleet.revoke().await;
    fleet.pass(&client).await;
    assert_eq!(fleet.api::<Deployment>().get_opt(WORKER).await.unwrap(), None);
    fleet.pass(&client).await;
    assert_eq!(fleet.ready_reason().await, "ReferenceNotPermittedOrMissing");
    let deleted = fleet.api::<WorkflowWorker>().delete(WORKER, &DeleteParams::default()).await;
    assert!(deleted.is_ok());
}

#[tokio::test]
async fn a_worker_in_another_namespace_needs_a_grant() {
    let apiserver = test_support::require_apiserver!();
    let home = World::new(apiserver, "owner").await;
    let guest = World::empty(apiserver, "guest").await;
    guest
        .apply(SEED, |worker| {
            worker["spec"]["clusterRef"] = json!({"name": CLUSTER, "namespace": home.name});
            worker["spec"]["tenantRef"] = json!({"name": "acme", "namespace": home.name});
        })
        .await;
    guest.pass(&guest.client).await;
    assert_eq!(guest.api::<Deployment>().get_opt(WORKER).await.unwrap(), None);

    guest.grant("acme").await;
    guest.passes(2).await;
    assert_eq!(guest.replicas().await, 3);

    guest.revoke().await;
    guest.pass(&guest.client).await;
    let secret = guest.api::<Secret>().get_opt(ACCESS).await.unwrap();
    let deployment = guest.api::<Deployment>().get_opt(WORKER).await.unwrap();
    assert_eq!((secret, deployment), (None, None));
}
