//! What becomes of the BPMN that application teams ship.

use api_types::WorkflowProcess;
use api_types::process::ProcessPhase;
use e2e::sample::{ACME_NAMESPACE, CLUSTER, TENANT};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::Api;
use serde_json::json;
use test_support::wait::await_condition;

use crate::fixture::{EDIT, api, apply, await_deployed, await_event, bpmn, named_cluster, process, remove};

#[tokio::test]
async fn bad_bpmn_fails_with_its_element_and_does_not_hold_up_a_good_one() {
    let Some(cluster) = named_cluster("bad_bpmn_fails_with_its_element").await else { return };
    let bad = bpmn("e2e-bad", "x")
        .replace("<bpmn:extensionElements><zeebe:taskDefinition type=\"x\" /></bpmn:extensionElements>", "");
    apply::<WorkflowProcess>(&cluster, ACME_NAMESPACE, "e2e-bad", &process("e2e-bad", &json!({"bpmn": bad})))
        .await;
    let good = json!({"bpmn": bpmn("e2e-good", "charge-payment")});
    apply::<WorkflowProcess>(&cluster, ACME_NAMESPACE, "e2e-good", &process("e2e-good", &good)).await;

    let processes: Api<WorkflowProcess> = api(&cluster, ACME_NAMESPACE);
    let failed = await_condition(&processes, "e2e-bad", EDIT, "is Failed", |process: &WorkflowProcess| {
        process.status.as_ref().is_some_and(|status| status.phase == Some(ProcessPhase::Failed))
    })
    .await;
    let message = failed.status.and_then(|status| status.message).unwrap_or_default();
    assert!(message.starts_with("missing taskDefinition on Task_charge"), "{message}");
    let note = "ValidationFailed: missing taskDefinition on Task_charge";
    await_event(&cluster, ACME_NAMESPACE, "e2e-bad", "ValidationFailed", note).await;
    // Any version: versions of a retired process id go on counting when the test is run again.
    await_condition(
        &processes,
        "e2e-good",
        EDIT,
        "is Deployed beside a bad one",
        |process: &WorkflowProcess| process.status.as_ref().is_some_and(|status| status.ready),
    )
    .await;

    remove::<WorkflowProcess>(&cluster, ACME_NAMESPACE, "e2e-bad").await;
    remove::<WorkflowProcess>(&cluster, ACME_NAMESPACE, "e2e-good").await;
}

#[tokio::test]
async fn an_edited_config_map_becomes_a_new_version_and_the_former_bytes_a_third() {
    let Some(cluster) = named_cluster("an_edited_config_map_becomes_a_new_version").await else { return };
    let config_map = |job_type: &str| {
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "e2e-flow", "namespace": ACME_NAMESPACE},
            "data": {"flow.bpmn": bpmn("e2e-flow", job_type)},
        })
    };
    remove::<WorkflowProcess>(&cluster, ACME_NAMESPACE, "e2e-flow").await;
    apply::<ConfigMap>(&cluster, ACME_NAMESPACE, "e2e-flow", &config_map("charge-payment")).await;
    let source = json!({"configMapRef": {"name": "e2e-flow", "key": "flow.bpmn"}});
    apply::<WorkflowProcess>(&cluster, ACME_NAMESPACE, "e2e-flow", &process("e2e-flow", &source)).await;
    let processes: Api<WorkflowProcess> = api(&cluster, ACME_NAMESPACE);
    let first = await_condition(&processes, "e2e-flow", EDIT, "is Deployed", |process: &WorkflowProcess| {
        process.status.as_ref().is_some_and(|status| status.ready)
    })
    .await;
    let version = first.status.and_then(|status| status.version).expect("should have a version when ready");

    apply::<ConfigMap>(&cluster, ACME_NAMESPACE, "e2e-flow", &config_map("refund-payment")).await;
    let second = await_deployed(&cluster, "e2e-flow", "has the new bytes", version + 1).await;
    assert_eq!(second.status.map(|status| status.job_types), Some(vec!["refund-payment".to_owned()]));

    apply::<ConfigMap>(&cluster, ACME_NAMESPACE, "e2e-flow", &config_map("charge-payment")).await;
    await_deployed(&cluster, "e2e-flow", "has the former bytes again", version + 2).await;
    remove::<WorkflowProcess>(&cluster, ACME_NAMESPACE, "e2e-flow").await;
}

#[tokio::test]
async fn a_namespace_without_grant_is_refused_until_it_is_labelled() {
    let Some(cluster) = named_cluster("a_namespace_without_grant_is_refused").await else { return };
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    let namespace = |labels: serde_json::Value| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "e2e-ungranted", "labels": labels}});
    let force = kube::api::PatchParams::apply("e2e").force();
    let unlabelled = namespace(json!({}));
    namespaces
        .patch("e2e-ungranted", &force, &kube::api::Patch::Apply(&unlabelled))
        .await
        .expect("should apply");
    let mut body = process("e2e-foreign", &json!({"bpmn": bpmn("e2e-foreign", "charge-payment")}));
    body["metadata"]["namespace"] = json!("e2e-ungranted");
    apply::<WorkflowProcess>(&cluster, "e2e-ungranted", "e2e-foreign", &body).await;

    let processes: Api<WorkflowProcess> = api(&cluster, "e2e-ungranted");
    let refused =
        await_condition(&processes, "e2e-foreign", EDIT, "is refused", |process: &WorkflowProcess| {
            process.status.as_ref().is_some_and(|status| {
                status.observed_generation == process.metadata.generation && status.message.is_some()
            })
        })
        .await;
    let message = refused.status.and_then(|status| status.message).unwrap_or_default();
    let expected = format!("spec.clusterRef {CLUSTER}, spec.tenantRef {TENANT}: not found or not permitted");
    assert!(message.starts_with(&expected), "{message}");

    let labelled = namespace(json!({"workflow.example.com/tenant": TENANT}));
    namespaces
        .patch("e2e-ungranted", &force, &kube::api::Patch::Apply(&labelled))
        .await
        .expect("should apply");
    await_condition(
        &processes,
        "e2e-foreign",
        EDIT,
        "is deployed once granted",
        |process: &WorkflowProcess| process.status.as_ref().is_some_and(|status| status.ready),
    )
    .await;
    namespaces.delete("e2e-ungranted", &kube::api::DeleteParams::default()).await.expect("should delete");
    test_support::wait::await_gone(&namespaces, "e2e-ungranted", EDIT).await;
}
