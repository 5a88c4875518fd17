//! Objects that name no tenant, as the first manifests do: they belong to the tenant of their namespace's label.

use std::time::Duration;

use api_types::{WorkflowProcess, WorkflowWorker};
use e2e::sample::{ACME_NAMESPACE, CLUSTER, TENANT, WORKER};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use test_support::wait::await_condition;

use crate::fixture::{EDIT, api, apply, bpmn, named_cluster, process, remove};

const NAME: &str = "e2e-seed";
/// Pods have to stay up for 10 seconds before they count.
const ROLLOUT: Duration = Duration::from_mins(2);

/// The first manifest of a worker, but for its size and its image, which is the sample's.
fn worker(image: &str) -> Value {
    json!({
        "apiVersion": "workflow.example.com/v1alpha1",
        "kind": "WorkflowWorker",
        "metadata": {"name": NAME, "namespace": ACME_NAMESPACE},
        "spec": {
            "clusterRef": {"name": CLUSTER},
            "image": image,
            "jobTypes": ["charge-payment", "refund-payment"],
            "replicas": 1,
            "authentication": {"serviceAccount": NAME},
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
        },
    })
}

#[tokio::test]
async fn without_a_tenant_ref_worker_and_process_serve_the_tenant_of_the_label() {
    let Some(cluster) = named_cluster("without_a_tenant_ref").await else { return };
    let workers: Api<WorkflowWorker> = api(&cluster, ACME_NAMESPACE);
    let sample = workers.get(WORKER).await.expect("should read the sample's worker");
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": NAME, "namespace": ACME_NAMESPACE}});
    apply::<ServiceAccount>(&cluster, ACME_NAMESPACE, NAME, &account).await;
    apply::<WorkflowWorker>(&cluster, ACME_NAMESPACE, NAME, &worker(&sample.spec.image)).await;
    let mut flow = process(NAME, &json!({"bpmn": bpmn(NAME, "charge-payment")}));
    flow["spec"].as_object_mut().expect("should have a spec").remove("tenantRef");
    apply::<WorkflowProcess>(&cluster, ACME_NAMESPACE, NAME, &flow).await;

    // Its pods stay up: they know whom they work for, and the engine takes their token.
    await_condition(&workers, NAME, ROLLOUT, "runs", |worker: &WorkflowWorker| {
        worker.status.as_ref().is_some_and(|status| status.ready && status.ready_replicas == Some(1))
    })
    .await;
    let deployments: Api<Deployment> = api(&cluster, ACME_NAMESPACE);
    let fleet = deployments.get(NAME).await.expect("should read the fleet");
    assert_eq!(fleet.labels().get("workflow.example.com/tenant").map(String::as_str), Some(TENANT));

    let processes: Api<WorkflowProcess> = api(&cluster, ACME_NAMESPACE);
    let deployed = await_condition(&processes, NAME, EDIT, "is deployed", |process: &WorkflowProcess| {
        process.status.as_ref().is_some_and(|status| status.ready)
    })
    .await;
    let noted = deployed.annotations().get("workflow.example.com/deployed-for");
    assert_eq!(noted.map(String::as_str), Some(TENANT));

    remove::<WorkflowProcess>(&cluster, ACME_NAMESPACE, NAME).await;
    remove::<WorkflowWorker>(&cluster, ACME_NAMESPACE, NAME).await;
    remove::<ServiceAccount>(&cluster, ACME_NAMESPACE, NAME).await;
}
