//! Outages of what the operator needs, and of the operator itself.

use api_types::process::WorkflowProcessStatus;
use api_types::{WorkflowCluster, WorkflowProcess};
use e2e::cluster::Cluster;
use e2e::sample::{ACME_NAMESPACE, CLUSTER, PROCESS, SYSTEM_NAMESPACE};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;
use test_support::wait::{await_condition, eventually};

use crate::fixture::{RECOVERY, api, await_event, bpmn, named_cluster, process, remove};

/// Where the demo's Postgres runs.
const POSTGRES_NAMESPACE: &str = "workflow";
const POSTGRES: &str = "postgres";

async fn scale_postgres(cluster: &Cluster, replicas: i32) {
    let sets: Api<StatefulSet> = api(cluster, POSTGRES_NAMESPACE);
    let scale = json!({"spec": {"replicas": replicas}});
    sets.patch(POSTGRES, &PatchParams::default(), &Patch::Merge(&scale)).await.expect("should scale");
}

async fn status_of(cluster: &Cluster, name: &str) -> WorkflowProcessStatus {
    let processes: Api<WorkflowProcess> = api(cluster, ACME_NAMESPACE);
    processes.get(name).await.expect("should read").status.expect("should have a status")
}

#[tokio::test]
async fn postgres_goes_away_and_comes_back_and_nothing_is_lost() {
    let Some(cluster) = named_cluster("postgres_goes_away_and_comes_back").await else { return };
    let before = status_of(&cluster, PROCESS).await;
    let clusters: Api<WorkflowCluster> = api(&cluster, SYSTEM_NAMESPACE);

    scale_postgres(&cluster, 0).await;
    await_condition(
        &clusters,
        CLUSTER,
        RECOVERY,
        "says that Postgres is away",
        |engine: &WorkflowCluster| {
            engine.status.as_ref().is_some_and(|status| {
                !status.ready
                    && status.conditions.iter().any(|c| c.type_ == "PostgresReachable" && c.status == "False")
            })
        },
    )
    .await;
    await_event(&cluster, SYSTEM_NAMESPACE, CLUSTER, "PostgresUnreachable", "PostgresUnreachable: ").await;

    scale_postgres(&cluster, 1).await;
    await_condition(&clusters, CLUSTER, RECOVERY, "works again", |engine: &WorkflowCluster| {
        engine.status.as_ref().is_some_and(|status| status.ready && status.accepts_deployments)
    })
    .await;
    let after = status_of(&cluster, PROCESS).await;
    assert_eq!(
        (after.version, after.process_definition_key),
        (before.version, before.process_definition_key)
    );
}

#[tokio::test]
async fn every_controller_is_killed_and_new_edits_are_served() {
    let Some(cluster) = named_cluster("every_controller_is_killed").await else { return };
    let pods: Api<Pod> = api(&cluster, SYSTEM_NAMESPACE);
    let ours = ListParams::default().labels("app.kubernetes.io/instance=workflow");
    let killed = pods.list(&ours).await.expect("should list").items;
    assert!(killed.len() >= 5, "expected a pod per service, found {}", killed.len());
    for pod in &killed {
        let at_once = DeleteParams::default().grace_period(0);
        pods.delete(pod.metadata.name.as_deref().unwrap_or_default(), &at_once).await.expect("should kill");
    }

    remove_quietly(&cluster, "e2e-after-kill").await;
    let source = json!({"bpmn": bpmn("e2e-after-kill", "charge-payment")});
    let body = process("e2e-after-kill", &source);
    crate::fixture::apply::<WorkflowProcess>(&cluster, ACME_NAMESPACE, "e2e-after-kill", &body).await;
    let processes: Api<WorkflowProcess> = api(&cluster, ACME_NAMESPACE);
    await_condition(
        &processes,
        "e2e-after-kill",
        RECOVERY,
        "is deployed by the new pods",
        |process: &WorkflowProcess| process.status.as_ref().is_some_and(|status| status.ready),
    )
    .await;
    eventually("the External Metrics API answers again", RECOVERY, async || {
        e2e::fleet::observe_metric(&cluster.client, ACME_NAMESPACE, "wf_job_lag_seconds", "charge-payment")
            .await
            .map_err(|error| error.to_string())
    })
    .await;
    remove::<WorkflowProcess>(&cluster, ACME_NAMESPACE, "e2e-after-kill").await;
}

/// The controllers are being restarted: only the request counts, the object may linger until they are back.
async fn remove_quietly(cluster: &Cluster, name: &str) {
    let processes: Api<WorkflowProcess> = api(cluster, ACME_NAMESPACE);
    if processes.get_opt(name).await.expect("should read").is_some() {
        remove::<WorkflowProcess>(cluster, ACME_NAMESPACE, name).await;
    }
}

#[tokio::test]
async fn an_engine_pod_is_killed_and_replaced_and_its_controller_restarts_nothing_else() {
    let Some(cluster) = named_cluster("an_engine_pod_is_killed").await else { return };
    let sets: Api<StatefulSet> = api(&cluster, SYSTEM_NAMESPACE);
    let name = api_types::engine_access::engine_name(CLUSTER);
    let generation = sets.get(&name).await.expect("should read").metadata.generation;
    let pods: Api<Pod> = api(&cluster, SYSTEM_NAMESPACE);
    pods.delete(&format!("{name}-0"), &DeleteParams::default().grace_period(0)).await.expect("should kill");
    let clusters: Api<WorkflowCluster> = api(&cluster, SYSTEM_NAMESPACE);
    await_condition(&clusters, CLUSTER, RECOVERY, "has all engines again", |engine: &WorkflowCluster| {
        engine
            .status
            .as_ref()
            .is_some_and(|status| status.ready && status.ready_replicas == Some(engine.spec.replicas))
    })
    .await;
    assert_eq!(sets.get(&name).await.expect("should read").metadata.generation, generation);
}
