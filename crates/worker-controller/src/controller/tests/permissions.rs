//! What a worker's status says when the API server refuses a read or a write.

use api_types::worker::{WorkerPhase, WorkerReason};
use controller_kit::outcome::{ErrorClass, Next};
use controller_testing::World as _;
use test_support::reply;

use crate::testing::world::{CLUSTER_NAMESPACE, HOME, WORKER, World, as_reported};

/// As RBAC refuses, in whichever namespace the path names.
fn refuse(world: &World, part_of_path: &'static str, namespace: &'static str) {
    world.apiserver.intercept(move |request| {
        let why = format!(
            r#"User "system:serviceaccount:workflow-system:workflow-worker-controller" cannot get resource "x" in API group "" in the namespace "{namespace}""#
        );
        let is_meant = request.path.contains(part_of_path);
        is_meant.then(|| reply::forbidden("x", WORKER, &why).into())
    });
}

#[tokio::test]
async fn a_namespace_that_did_not_opt_in_is_reported_with_the_role_binding_that_is_missing() {
    let world = World::with_seed();
    refuse(&world, "/namespaces/acme-tenant/deployments/", HOME);
    assert_eq!(world.pass(WORKER).await, Next::Failed(ErrorClass::Denied));
    assert_eq!(world.reported(), as_reported(WorkerPhase::Pending, WorkerReason::Denied));
    let message = "no permission in namespace acme-tenant: create a RoleBinding there of ClusterRole \
                   workflow-worker-controller-workload-namespace to ServiceAccount workflow-system/workflow-worker-controller";
    assert_eq!(world.status(WORKER).message.as_deref(), Some(message));
}

#[tokio::test]
async fn a_key_that_the_cluster_has_not_permitted_yet_is_no_task_for_a_person() {
    let world = World::with_seed();
    refuse(&world, "/secrets/prod-east-engine-worker-key", CLUSTER_NAMESPACE);
    assert_eq!(world.pass(WORKER).await, Next::Failed(ErrorClass::Denied));
    assert_eq!(world.reported(), as_reported(WorkerPhase::Pending, WorkerReason::EngineCredentialsMissing));
    let message = "no permission yet to read Secret prod-east-engine-worker-key of WorkflowCluster \
                   workflow-system/prod-east: the cluster-controller makes a Role and a RoleBinding of that name; \
                   if this lasts, look at the WorkflowCluster";
    assert_eq!(world.status(WORKER).message.as_deref(), Some(message));
}

#[tokio::test]
async fn a_clusters_namespace_that_is_closed_is_reported_with_the_role_binding_that_is_missing() {
    let world = World::with_seed();
    refuse(&world, "/configmaps/prod-east-engine-ca", CLUSTER_NAMESPACE);
    assert_eq!(world.pass(WORKER).await, Next::Failed(ErrorClass::Denied));
    assert_eq!(world.reported(), as_reported(WorkerPhase::Pending, WorkerReason::EngineCredentialsMissing));
    let message = "no permission in namespace workflow-system: create a RoleBinding there of ClusterRole \
                   workflow-worker-controller-cluster-namespace to ServiceAccount workflow-system/workflow-worker-controller";
    assert_eq!(world.status(WORKER).message.as_deref(), Some(message));
}

#[tokio::test]
async fn a_write_that_is_refused_ends_the_pass_and_is_reported() {
    let world = World::with_seed();
    world.apiserver.intercept(|request| {
        let is_apply = request.method == "PATCH" && request.path.contains("/deployments/");
        is_apply.then(|| reply::forbidden("deployments.apps", WORKER, "exceeded quota: pods").into())
    });
    assert_eq!(world.pass(WORKER).await, Next::Failed(ErrorClass::Denied));
    assert_eq!(world.children(), [1, 0, 0, 0]);
    assert_eq!(world.reported(), as_reported(WorkerPhase::Pending, WorkerReason::Denied));
    let message = world.status(WORKER).message.unwrap();
    assert!(message.starts_with("failed to apply Deployment acme-tenant/payment-worker: "), "{message}");
    assert!(message.contains("exceeded quota: pods"), "{message}");
}
