//! Deletion always ends.

use std::time::Duration;

use anyhow::Context as _;
use api_types::{WorkflowCluster, WorkflowProcess, WorkflowTenant, WorkflowWorker};
use e2e::cluster::Cluster;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use test_support::wait::{await_condition, await_gone};

use crate::fixture::{START, api, apply, bpmn, named_cluster};

const ALL: &str = "e2e-all";

/// Runs a statement in the demo's Postgres, as the owner of its databases.
async fn psql(cluster: &Cluster, credentials: &Credentials, statement: &str) -> anyhow::Result<()> {
    let Credentials { username, password } = credentials;
    let output = tokio::process::Command::new("kubectl")
        .arg("--kubeconfig")
        .arg(&cluster.kubeconfig)
        .args([
            "--namespace",
            "workflow",
            "exec",
            "postgres-0",
            "--",
            "env",
            &format!("PGPASSWORD={password}"),
        ])
        .args(["psql", "-h", "127.0.0.1", "-U", username, "-d", "postgres", "-c", statement])
        .output()
        .await
        .context("starting kubectl")?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

struct Credentials {
    username: String,
    password: String,
}

fn read_credentials(secret: &Secret) -> Option<Credentials> {
    let text = |key: &str| String::from_utf8(secret.data.as_ref()?.get(key)?.0.clone()).ok();
    Some(Credentials { username: text("username")?, password: text("password")? })
}

#[tokio::test]
async fn a_namespace_with_all_kinds_is_deleted() {
    let Some(cluster) = named_cluster("a_namespace_with_all_kinds_is_deleted").await else { return };
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    // A database of its own: the sample's must not notice.
    let sample: Api<Secret> = api(&cluster, e2e::sample::SYSTEM_NAMESPACE);
    let credentials = sample.get("wf-db-credentials").await.expect("should read the sample's credentials");
    let login = read_credentials(&credentials).expect("should have a username and a password");
    psql(&cluster, &login, "drop database if exists e2e with (force)").await.expect("should drop");
    psql(&cluster, &login, "create database e2e").await.expect("should create");
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "namespace": ALL}, "data": credentials.data,
    });
    apply::<Secret>(&cluster, ALL, "db", &secret).await;

    let object = |kind: &str, name: &str, spec: serde_json::Value| {
        json!({
            "apiVersion": "workflow.example.com/v1alpha1", "kind": kind,
            "metadata": {"name": name, "namespace": ALL}, "spec": spec,
        })
    };
    let postgres = json!({"externalRef": {"host": "postgres-primary.workflow.svc", "database": "e2e", "databaseSecret": "db"}});
    let engine = json!({"version": "1.2.3", "replicas": 1, "postgres": postgres, "image": engine_image(&cluster).await,
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}}});
    apply::<WorkflowCluster>(&cluster, ALL, "all", &object("WorkflowCluster", "all", engine)).await;
    let tenant = json!({"clusterRef": {"name": "all"}, "quotas": {"maxActiveInstances": 10}});
    apply::<WorkflowTenant>(&cluster, ALL, "solo", &object("WorkflowTenant", "solo", tenant)).await;
    let source = json!({"bpmn": bpmn("all-flow", "charge-payment")});
    let process = json!({"clusterRef": {"name": "all"}, "tenantRef": {"name": "solo"}, "source": source});
    apply::<WorkflowProcess>(&cluster, ALL, "flow", &object("WorkflowProcess", "flow", process)).await;
    let worker = json!({"clusterRef": {"name": "all"}, "tenantRef": {"name": "solo"}, "image": "acme/payment-worker:1.2.3",
        "jobTypes": ["charge-payment"], "replicas": 1, "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}}});
    apply::<WorkflowWorker>(&cluster, ALL, "crew", &object("WorkflowWorker", "crew", worker)).await;
    let processes: Api<WorkflowProcess> = api(&cluster, ALL);
    await_condition(&processes, "flow", START, "is deployed", |process: &WorkflowProcess| {
        process.status.as_ref().is_some_and(|status| status.ready)
    })
    .await;

    namespaces.delete(ALL, &DeleteParams::default()).await.expect("should delete");
    await_gone(&namespaces, ALL, Duration::from_mins(3)).await;
    restore(&namespaces).await;
}

/// The image that the sample's engines run, without its tag: `spec.image` is a repository.
async fn engine_image(cluster: &Cluster) -> Option<String> {
    let clusters: Api<WorkflowCluster> = api(cluster, e2e::sample::SYSTEM_NAMESPACE);
    clusters.get(e2e::sample::CLUSTER).await.expect("should read the sample's cluster").spec.image
}

/// The charts keep rights in this namespace; the next installation needs it.
async fn restore(namespaces: &Api<Namespace>) {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ALL,
        "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    namespaces
        .patch(ALL, &PatchParams::apply("e2e").force(), &Patch::Apply(&namespace))
        .await
        .expect("should restore");
}
