use std::fmt::Debug;

use api_types::violations;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;

#[tokio::test]
async fn built_objects_and_statuses_are_accepted_by_the_apiserver() {
    let apiserver = crate::require_apiserver!();
    apiserver.apply_crds(&api_types::crds()).await;
    let namespace = &apiserver.namespace("builders").await;
    let client = &apiserver.client().await;
    let cluster_object = cluster(namespace, "orders");
    let running = running_cluster(namespace, "orders");
    accept(client, &cluster_object, &running).await;
    accept(client, &tenant(namespace, "acme", &running), &active_tenant(namespace, "acme", &running)).await;
    let (fresh, deployed) =
        (process(namespace, "order", &running), deployed_process(namespace, "order", &running));
    accept(client, &fresh, &deployed).await;
    let (fresh, rolled_out) =
        (worker(namespace, "payments", &running), running_worker(namespace, "payments", &running));
    accept(client, &fresh, &rolled_out).await;
}

/// Creates `fresh`, gives it the status of `good`, and compares what comes back.
async fn accept<K>(client: &kube::Client, fresh: &K, good: &K)
where
    K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned,
{
    let name = fresh.name_any();
    let api: Api<K> = Api::namespaced(client.clone(), &fresh.namespace().unwrap());
    let as_json = |object: &K| serde_json::to_value(object).unwrap();
    let created = api.create(&PostParams::default(), fresh).await.unwrap();
    assert_eq!(as_json(&created)["spec"], as_json(fresh)["spec"], "{name}: defaulted or pruned");
    let mut status = as_json(good)["status"].clone();
    // Else the default message of an object that no controller has seen would stay.
    if status.get("message").is_none() {
        status["message"] = serde_json::Value::Null;
    }
    let status = Patch::Merge(json!({"status": status}));
    let reported = api.patch_status(&name, &PatchParams::default(), &status).await.unwrap();
    assert_eq!(as_json(&reported)["status"], as_json(good)["status"], "{name}: pruned");
}

#[test]
fn built_objects_violate_nothing() {
    let cluster = cluster("workflow-system", "orders");
    assert_eq!(violations(&cluster), []);
    assert_eq!(violations(&tenant("acme", "acme", &cluster)), []);
    assert_eq!(violations(&process("acme", "order", &cluster)), []);
    assert_eq!(violations(&worker("acme", "payments", &cluster)), []);
}

#[test]
fn order_process_is_deployable_and_creates_the_job_type() {
    let report = bpmn::lint(ORDER_BPMN.as_bytes(), bpmn::Mode::Strict);
    assert_eq!(report.findings, []);
    assert_eq!((report.process_ids, report.job_types), (vec!["order".to_owned()], vec![JOB_TYPE.to_owned()]));
}

#[test]
fn stored_object_differs_only_in_what_the_server_adds() {
    let cluster = cluster("workflow-system", "orders");
    let back = serde_json::to_value(stored(cluster.clone())).unwrap();
    let metadata = json!({
        "name": "orders",
        "namespace": "workflow-system",
        "uid": "uid-of-orders",
        "generation": 1,
        "resourceVersion": "1",
        "creationTimestamp": "2026-01-01T00:00:00Z",
    });
    assert_eq!(back["metadata"], metadata);
    assert_eq!(back["spec"], serde_json::to_value(&cluster).unwrap()["spec"]);
    assert_eq!(back["status"], Value::Null);
}
