//! Applications start processes with the Secret of their tenant: where it is, what it opens, and how long.

use std::time::Duration;

use api_types::WorkflowTenant;
use api_types::condition::CLIENT_ACCESS;
use api_types::engine_access::client_secret_name;
use e2e::cluster::Cluster;
use e2e::engine::{ClientCredential, connect_with};
use e2e::sample::{ACME_NAMESPACE, PROCESS, SYSTEM_NAMESPACE, TENANT};
use engine_client::model::{ActivateJobs, InstanceFilter, StartInstance, Variables};
use engine_client::{Engine as _, ErrorClass};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use test_support::wait::{await_condition, await_gone, eventually};

use crate::deletion::ALL;
use crate::fixture::{EDIT, api, apply, named_cluster};
use crate::lane::{Kind, Lane};

/// A RoleBinding is noticed after a minute, at the pass after that.
const NOTICED: Duration = Duration::from_mins(3);
const END: Duration = Duration::from_mins(7);

fn start(tenant: &str, process: &str) -> StartInstance {
    StartInstance {
        request_id: String::new(),
        tenant_id: tenant.to_owned(),
        process_id: process.to_owned(),
        version: None,
        variables: Variables::default(),
    }
}

fn activate(tenant: &str) -> ActivateJobs {
    ActivateJobs {
        tenant_id: tenant.to_owned(),
        job_types: vec!["charge-payment".to_owned()],
        worker: "e2e".to_owned(),
        max_jobs: 1,
        lease: Duration::from_secs(10),
        wait: Duration::ZERO,
    }
}

async fn read(cluster: &Cluster, namespace: &str, tenant: &str) -> ClientCredential {
    let what = format!("{namespace} has the Secret of tenant {tenant}");
    eventually(&what, NOTICED, async || {
        ClientCredential::read(cluster, namespace, tenant).await.map_err(|error| error.to_string())
    })
    .await
}

#[tokio::test]
async fn an_application_starts_instances_of_its_tenant_and_nothing_else() {
    let Some(cluster) = named_cluster("an_application_starts_instances").await else { return };
    let credential = read(&cluster, ACME_NAMESPACE, TENANT).await;
    let engine = connect_with(&cluster, &credential).await.expect("should connect");
    let started = engine.client.start_instance(&start(TENANT, PROCESS)).await.expect("should start");
    let shown = engine.client.get_instance(TENANT, started.instance_key).await.expect("should read");
    assert!(shown.is_some(), "what it started it sees");
    let refused = engine.client.activate_jobs(&activate(TENANT)).await.expect_err("should refuse jobs");
    assert_eq!(*refused.class(), ErrorClass::Denied, "{refused}");
    let refused = engine.client.start_instance(&start("beta", PROCESS)).await.expect_err("should refuse");
    assert_eq!(*refused.class(), ErrorClass::Denied, "{refused}");
    let refused = engine.client.list_tenants().await.expect_err("should refuse to list tenants");
    assert_eq!(*refused.class(), ErrorClass::Denied, "{refused}");
}

/// What a platform team adds to a namespace.
fn opt_in(namespace: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": "workflow-tenant-controller", "namespace": namespace},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
            "name": "workflow-tenant-controller-workload-namespace",
        },
        "subjects": [
            {"kind": "ServiceAccount", "name": "workflow-tenant-controller", "namespace": SYSTEM_NAMESPACE},
        ],
    })
}

#[tokio::test]
async fn a_second_namespace_gets_the_secret_once_it_opted_in_and_loses_it_with_the_grant() {
    const SECOND: &str = "e2e-clients";

    let Some(cluster) = named_cluster("a_second_namespace_gets_the_secret").await else { return };
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    let label = |tenant: Value| {
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {
            "name": SECOND, "labels": {"workflow.example.com/tenant": tenant},
        }})
    };
    let params = PatchParams::apply("e2e").force();
    let granted = Patch::Apply(label(json!(TENANT)));
    namespaces.patch(SECOND, &params, &granted).await.expect("should make the namespace");

    let tenants: Api<WorkflowTenant> = api(&cluster, SYSTEM_NAMESPACE);
    await_condition(&tenants, TENANT, EDIT, "says which RoleBinding lacks", |tenant: &WorkflowTenant| {
        let conditions = tenant.status.iter().flat_map(|status| &status.conditions);
        let mut reported = conditions.filter(|condition| condition.type_ == CLIENT_ACCESS);
        reported.any(|condition| {
            condition.reason == "ClientSecretNotPermitted" && condition.message.contains(SECOND)
        }) && tenant.status.as_ref().is_some_and(|status| status.ready)
    })
    .await;
    apply::<RoleBinding>(&cluster, SECOND, "workflow-tenant-controller", &opt_in(SECOND)).await;
    let credential = read(&cluster, SECOND, TENANT).await;
    let engine = connect_with(&cluster, &credential).await.expect("should connect");
    engine.client.start_instance(&start(TENANT, PROCESS)).await.expect("should start");

    let ended = Patch::Merge(label(Value::Null));
    namespaces.patch(SECOND, &PatchParams::default(), &ended).await.expect("should take the label away");
    let secrets: Api<Secret> = api(&cluster, SECOND);
    await_gone(&secrets, &client_secret_name(TENANT), EDIT).await;
    namespaces.delete(SECOND, &DeleteParams::default()).await.expect("should delete the namespace");
    await_gone(&namespaces, SECOND, EDIT).await;
}

/// The token that was copied out of a Secret does not outlive its tenant.
#[tokio::test]
async fn the_token_of_a_deleted_tenant_does_not_open_its_successor() {
    let Some(cluster) = named_cluster("the_token_of_a_deleted_tenant").await else { return };
    let lane = Lane::fresh(&cluster, "successor").await;
    lane.apply().await;
    lane.await_ready().await;
    let (name, process) = (lane.name.as_str(), "successor-flow");
    let former = read(&cluster, ALL, name).await;
    let engine = connect_with(&cluster, &former).await.expect("should connect");
    engine.client.list_instances(name, &InstanceFilter::default(), None).await.expect("should list");

    for kind in [Kind::Worker, Kind::Process, Kind::Tenant] {
        lane.delete(kind).await;
    }
    await_gone(&api::<WorkflowTenant>(&cluster, ALL), name, EDIT).await;
    await_gone(&api::<Secret>(&cluster, ALL), &client_secret_name(name), EDIT).await;
    lane.apply().await;
    lane.await_ready().await;
    let newer = read(&cluster, ALL, name).await;
    assert!(newer.token != former.token);
    let refused = engine.client.start_instance(&start(name, process)).await.expect_err("should refuse");
    assert_eq!(*refused.class(), ErrorClass::Denied, "{refused}");
    let engine = connect_with(&cluster, &newer).await.expect("should connect");
    engine.client.start_instance(&start(name, process)).await.expect("should start");
    let purge = json!({"spec": {"deletionPolicy": "Purge"}});
    let tenants: Api<WorkflowTenant> = api(&cluster, ALL);
    tenants
        .patch(name, &PatchParams::default(), &Patch::Merge(&purge))
        .await
        .expect("should change the policy");
    for kind in [Kind::Worker, Kind::Process, Kind::Tenant, Kind::Cluster] {
        lane.delete(kind).await;
    }
    lane.await_gone(END).await;
}
