//! With no more rights than `docs/spec/workflowworker.md` names under "Permissions".

use api_types::engine_access::{Access, access_secret_name};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use test_support::apiserver::TestApiServer;

use crate::apiserver::Home;
use crate::world::{CLUSTER, EVERY_FIELD, WORKER, pass};

const EVERYWHERE: &str = "worker-controller";
const IN_THE_CLUSTERS_NAMESPACE: &str = "worker-controller-cluster-namespace";
const IN_THE_FLEETS_NAMESPACE: &str = "worker-controller-workload-namespace";

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": [group], "resources": resources, "verbs": verbs})
}

fn rules_everywhere() -> Vec<Value> {
    vec![
        rule("workflow.example.com", &["workflowworkers"], &["list", "watch"]),
        rule("workflow.example.com", &["workflowworkers/status"], &["patch"]),
        rule("workflow.example.com", &["workflowworkers/finalizers"], &["update"]),
        rule("workflow.example.com", &["workflowclusters", "workflowtenants"], &["get", "list", "watch"]),
        rule("", &["namespaces"], &["list", "watch"]),
        rule("apps", &["deployments"], &["list", "watch"]),
        rule("autoscaling", &["horizontalpodautoscalers"], &["list", "watch"]),
        rule("policy", &["poddisruptionbudgets"], &["list", "watch"]),
        rule("events.k8s.io", &["events"], &["create"]),
    ]
}

fn rules_in_the_clusters_namespace() -> Vec<Value> {
    // The second one stands for the Role that the cluster-controller makes for each cluster.
    let mut key = rule("", &["secrets"], &["get"]);
    key["resourceNames"] = json!([access_secret_name(CLUSTER, Access::WorkerKey)]);
    vec![rule("", &["configmaps"], &["get"]), key]
}

fn rules_in_the_fleets_namespace() -> Vec<Value> {
    let write = &["get", "create", "patch", "delete"];
    vec![
        rule("apps", &["deployments"], write),
        rule("autoscaling", &["horizontalpodautoscalers"], write),
        rule("policy", &["poddisruptionbudgets"], write),
        rule("", &["secrets"], write),
        rule("", &["serviceaccounts"], &["get"]),
        rule("", &["pods"], &["list"]),
    ]
}

fn binding<K: serde::de::DeserializeOwned>(namespace: Option<&str>, kind: &str, name: &str, user: &str) -> K {
    serde_json::from_value(json!({
        "metadata": {"name": format!("{name}-{user}"), "namespace": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }))
    .unwrap()
}

async fn grant_in(admin: &Client, namespace: &str, name: &str, rules: Vec<Value>, user: &str) {
    let role: Role =
        serde_json::from_value(json!({"metadata": {"name": name, "namespace": namespace}, "rules": rules}))
            .unwrap();
    let create = PostParams::default();
    Api::namespaced(admin.clone(), namespace).create(&create, &role).await.unwrap();
    let binding: RoleBinding = binding(Some(namespace), "Role", name, user);
    Api::namespaced(admin.clone(), namespace).create(&create, &binding).await.unwrap();
}

/// The controller's client: rights everywhere, and in the cluster's namespace.
async fn controller(apiserver: &TestApiServer, home: &Home, user: &str) -> Client {
    let role: ClusterRole =
        serde_json::from_value(json!({"metadata": {"name": EVERYWHERE}, "rules": rules_everywhere()}))
            .unwrap();
    let create = PostParams::default();
    // Tests share the ClusterRole: whoever comes second finds it.
    let _ = Api::all(home.client.clone()).create(&create, &role).await;
    let everywhere: ClusterRoleBinding = binding(None, "ClusterRole", EVERYWHERE, user);
    Api::all(home.client.clone()).create(&create, &everywhere).await.unwrap();
    let rules = rules_in_the_clusters_namespace();
    grant_in(&home.client, &home.namespace, IN_THE_CLUSTERS_NAMESPACE, rules, user).await;
    apiserver.client_for(user, &[]).await
}

fn with_grant(home: &Home) -> impl FnOnce(&mut Value) {
    let namespace = home.namespace.clone();
    move |worker| {
        worker["spec"]["clusterRef"] = json!({"name": CLUSTER, "namespace": namespace});
        worker["spec"]["tenantRef"] = json!({"name": "acme", "namespace": namespace});
    }
}

#[tokio::test]
async fn the_documented_rights_are_enough_for_a_whole_life_and_the_opt_in_is_needed() {
    let apiserver = test_support::require_apiserver!();
    let home = Home::new(apiserver, "rbac-owner").await;
    let fleet = Home { client: home.client.clone(), namespace: apiserver.namespace("rbac-fleet").await };
    let client = controller(apiserver, &home, "worker-controller-test").await;
    fleet.grant("acme").await;
    fleet.apply(EVERY_FIELD, with_grant(&home)).await;
    pass(&client, &home.client, &fleet.namespace).await;
    assert_eq!(fleet.ready_reason().await, "Denied");
    let message = format!(
        "no permission in namespace {}: create a RoleBinding there of ClusterRole …-workload-namespace to User worker-controller-test",
        fleet.namespace
    );
    let worker = fleet.api::<api_types::WorkflowWorker>().get(WORKER).await.unwrap();
    assert_eq!(worker.status.unwrap().message, Some(message));

    let rules = rules_in_the_fleets_namespace();
    grant_in(&home.client, &fleet.namespace, IN_THE_FLEETS_NAMESPACE, rules, "worker-controller-test").await;
    // RBAC reaches the authorizer through a watch.
    let applied =
        test_support::wait::eventually("the fleet is made", std::time::Duration::from_secs(20), || async {
            pass(&client, &home.client, &fleet.namespace).await;
            fleet.api::<Deployment>().get_opt(WORKER).await.unwrap()
        });
    Box::pin(applied).await;
    // The ServiceAccount of the manifest does not exist here: reading that it does not was permitted.
    pass(&client, &home.client, &fleet.namespace).await;
    assert_eq!(fleet.ready_reason().await, "ServiceAccountMissing");

    fleet.revoke().await;
    pass(&client, &home.client, &fleet.namespace).await;
    assert_eq!(fleet.api::<Deployment>().get_opt(WORKER).await.unwrap(), None);
    pass(&client, &home.client, &fleet.namespace).await;
    assert_eq!(fleet.ready_reason().await, "ReferenceNotPermittedOrMissing");
    let deleted = fleet.api::<api_types::WorkflowWorker>().delete(WORKER, &DeleteParams::default()).await;
    assert!(deleted.is_ok());
}
