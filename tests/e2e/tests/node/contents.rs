//! What an engine holds that a restore must bring back, and where backups go.

use std::time::Duration;

use api_types::backup::BackupPhase;
use api_types::{WorkflowBackup, WorkflowCluster, WorkflowProcess, WorkflowTenant};
use e2e::cluster::Cluster;
use e2e::engine::{ClientCredential, connect_with};
use e2e::postgres::Place;
use e2e::sample::PLAYGROUND;
use engine_client::model::{ActivateJobs, StartInstance, Variables};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use test_support::wait::{await_condition, eventually};

use crate::fixture::{EDIT, START, api, apply, bpmn};

/// Where `./dev s3` has what its users need.
const OBJECT_STORAGE: &str = "object-storage";

/// The node's S3 service, with the Secrets that [`copy_secrets`] makes.
pub(crate) fn destination(prefix: &str) -> Value {
    json!({"s3": {"bucket": "backups", "prefix": prefix, "forcePathStyle": true,
        "endpoint": "https://s3.object-storage.svc", "credentialsSecret": "backup-s3", "caSecret": "backup-s3-ca"}})
}

/// Gives the playground what it takes to reach the S3 service.
pub(crate) async fn copy_secrets(cluster: &Cluster) {
    for (from, to) in [("s3-credentials", "backup-s3"), ("s3-ca", "backup-s3-ca")] {
        let secret = api::<Secret>(cluster, OBJECT_STORAGE).get(from).await;
        let secret = secret.expect("should find the S3 service's Secrets: `./dev s3` makes them");
        let body = json!({"apiVersion": "v1", "kind": "Secret", "data": secret.data,
            "metadata": {"name": to, "namespace": PLAYGROUND}});
        apply::<Secret>(cluster, PLAYGROUND, to, &body).await;
    }
}

/// An object of ours in the playground.
pub(crate) fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "workflow.example.com/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": PLAYGROUND}, "spec": spec})
}

/// What a person would look up: definitions, and instances and jobs by what they are.
pub(crate) async fn observe_contents(cluster: &Cluster, place: Place<'_>, tenant: &str) -> String {
    let as_tenant = format!("set workflow.tenant_id = '{tenant}'");
    let contents = "select 'definition', process_id, key, version, sha256 from workflow.process_definition
        union all select 'instance', state::text, key, 0, md5(marking::text || variables::text) from workflow.instance
        union all select 'job', type, key, retries, instance_key::text from workflow.job order by 1, 3";
    read(cluster, place, &[&as_tenant, contents]).await
}

/// The rows. A database that restarts, for instance because its archive is being set up, is asked again.
async fn read(cluster: &Cluster, place: Place<'_>, statements: &[&str]) -> String {
    eventually("the database gives the rows", EDIT, async || {
        place.run(cluster, statements).await.map_err(|error| error.to_string())
    })
    .await
}

/// Jobs that a worker holds.
pub(crate) async fn count_leases(cluster: &Cluster, place: Place<'_>, tenant: &str) -> String {
    let as_tenant = format!("set workflow.tenant_id = '{tenant}'");
    let leases = "select count(*) from workflow.job where worker is not null";
    read(cluster, place, &[&as_tenant, leases]).await.trim().to_owned()
}

/// Starts instances of the process of a testbed of this name; each has a job that waits.
pub(crate) async fn start_instances(cluster: &Cluster, name: &str, run: &str, count: usize) {
    let credential = ClientCredential::read(cluster, PLAYGROUND, name).await.expect("should have a Secret");
    let engine = connect_with(cluster, &credential).await.expect("should connect");
    for number in 0..count {
        let order = StartInstance {
            request_id: format!("{run}-{number}"),
            tenant_id: name.to_owned(),
            process_id: format!("{name}-flow"),
            version: None,
            variables: Variables::from_iter([("amount".to_owned(), json!(number + 1))]),
        };
        engine.client.start_instance(&order).await.expect("should start");
    }
}

/// Has a worker hold so many jobs of a type.
pub(crate) async fn lease_jobs(cluster: &Cluster, name: &str, job_type: &str, count: u32) {
    let owner: WorkflowCluster = api(cluster, PLAYGROUND).get(name).await.expect("should be there");
    let engine = e2e::engine::connect(cluster, &owner).await.expect("should connect");
    let order = ActivateJobs {
        tenant_id: name.to_owned(),
        job_types: vec![job_type.to_owned()],
        worker: "e2e".to_owned(),
        max_jobs: count,
        lease: Duration::from_mins(30),
        wait: Duration::ZERO,
    };
    let jobs = engine.client.activate_jobs(&order).await.expect("should hand out jobs");
    assert_eq!(jobs.len(), count as usize);
}

/// Whether a backup is complete.
pub(crate) fn is_complete(backup: &WorkflowBackup) -> bool {
    backup.status.as_ref().is_some_and(|status| status.phase == Some(BackupPhase::Completed))
}

/// Lets tenant and process of a testbed go without their rows.
pub(crate) async fn keep_in_database(cluster: &Cluster, name: &str) {
    let keep = Patch::Merge(json!({"spec": {"deletionPolicy": "Retain"}}));
    let params = PatchParams::default();
    api::<WorkflowProcess>(cluster, PLAYGROUND).patch(name, &params, &keep).await.expect("should be patched");
    api::<WorkflowTenant>(cluster, PLAYGROUND).patch(name, &params, &keep).await.expect("should be patched");
}

/// Applies tenant and process of a testbed again, on another cluster, and waits until they have found what they had. Gives the key
/// of the definition, which must have its first version still.
pub(crate) async fn follow(cluster: &Cluster, name: &str, target: &str) -> i64 {
    let tenant = json!({"clusterRef": {"name": target}, "deletionPolicy": "Purge"});
    apply::<WorkflowTenant>(cluster, PLAYGROUND, name, &object("WorkflowTenant", name, &tenant)).await;
    let process = json!({"clusterRef": {"name": target}, "tenantRef": {"name": name}, "deletionPolicy": "Retain",
        "source": {"bpmn": bpmn(&format!("{name}-flow"), "pass-on")}});
    apply::<WorkflowProcess>(cluster, PLAYGROUND, name, &object("WorkflowProcess", name, &process)).await;
    let processes = api::<WorkflowProcess>(cluster, PLAYGROUND);
    let process = await_condition(&processes, name, START, "is deployed", |it: &WorkflowProcess| {
        it.status.as_ref().is_some_and(|status| status.ready)
    })
    .await;
    let status = process.status.expect("should have a status");
    assert_eq!(status.version, Some(1), "no new version");
    status.process_definition_key.expect("should have a key")
}
