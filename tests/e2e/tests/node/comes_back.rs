//! A cluster that was lost comes back under its name, and everything that refers to it goes on without an edit.

use std::time::Duration;

use api_types::{WorkflowBackup, WorkflowCluster, WorkflowProcess, WorkflowTenant, WorkflowWorker};
use e2e::cluster::Cluster;
use e2e::postgres::Place;
use e2e::progress::Progress;
use e2e::sample::{ACME_NAMESPACE, PLAYGROUND, WORKER};
use e2e::testbed::{Data, Shape, Testbed, bpmn};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::DeleteParams;
use serde_json::json;
use test_support::wait::{await_condition, await_gone, eventually};

use crate::contents::{copy_secrets, destination, is_complete, lease_jobs, object, start_instances};
use crate::fixture::{RECOVERY, START, api, apply, named_cluster, remove};

/// Of every object.
const NAME: &str = "comes-back";
const JOB_TYPE: &str = "charge-payment";
const INSTANCES: usize = 20;
/// Whose jobs somebody holds when the backup is made, and never completes.
const LEASED: u32 = 3;
const JOB: Duration = Duration::from_mins(3);

fn is_second_version(process: &WorkflowProcess) -> bool {
    process.status.as_ref().is_some_and(|status| status.ready && status.version == Some(2))
}

/// Until so many instances are completed, and so many are left.
async fn await_completed(cluster: &Cluster, completed: usize, active: usize) {
    let place = || Place::Managed { namespace: PLAYGROUND, cluster: NAME };
    let count =
        "select count(*) filter (where state <> 1), count(*) filter (where state = 1) from workflow.instance";
    let expected = format!("{completed}|{active}");
    eventually("the worker has completed the jobs", RECOVERY, async || {
        let found = place().run(cluster, &[count]).await.map_err(|error| error.to_string())?;
        if found.trim() == expected { Ok(()) } else { Err(format!("{} of {expected}", found.trim())) }
    })
    .await;
}

#[tokio::test]
#[ignore = "takes minutes: `./dev nightly`"]
async fn a_lost_cluster_comes_back_and_its_tenants_processes_and_workers_go_on() {
    let Some(cluster) = named_cluster("a_lost_cluster_comes_back").await else { return };
    let progress = Progress::default();
    remove::<WorkflowWorker>(&cluster, PLAYGROUND, NAME).await;
    remove::<WorkflowBackup>(&cluster, PLAYGROUND, NAME).await;
    copy_secrets(&cluster).await;
    let shape = Shape::small(NAME, Data::Managed(1));
    let testbed = Testbed::build(&cluster, shape, progress).await.expect("should be ready");
    // What the sample's worker can do.
    let process = json!({"clusterRef": {"name": NAME}, "tenantRef": {"name": NAME},
        "source": {"bpmn": bpmn(&format!("{NAME}-flow"), JOB_TYPE)}});
    apply::<WorkflowProcess>(&cluster, PLAYGROUND, NAME, &object("WorkflowProcess", NAME, &process)).await;
    let processes: Api<WorkflowProcess> = api(&cluster, PLAYGROUND);
    await_condition(&processes, NAME, RECOVERY, "has a second version", is_second_version).await;
    start_instances(&cluster, NAME, "order", INSTANCES).await;
    lease_jobs(&cluster, NAME, JOB_TYPE, LEASED).await;
    let spec = json!({"clusterRef": {"name": NAME}, "destination": destination("e2e/comes-back")});
    apply::<WorkflowBackup>(&cluster, PLAYGROUND, NAME, &object("WorkflowBackup", NAME, &spec)).await;
    let backups: Api<WorkflowBackup> = api(&cluster, PLAYGROUND);
    await_condition(&backups, NAME, JOB, "is complete", is_complete).await;

    // A fleet that works before the loss, and is not touched afterwards.
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": NAME, "namespace": PLAYGROUND}});
    apply::<ServiceAccount>(&cluster, PLAYGROUND, NAME, &account).await;
    let sample = api::<WorkflowWorker>(&cluster, ACME_NAMESPACE).get(WORKER).await.expect("should be there");
    let worker = json!({"clusterRef": {"name": NAME}, "tenantRef": {"name": NAME}, "image": sample.spec.image,
        "jobTypes": [JOB_TYPE], "replicas": 1, "authentication": {"serviceAccount": NAME},
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}}});
    apply::<WorkflowWorker>(&cluster, PLAYGROUND, NAME, &object("WorkflowWorker", NAME, &worker)).await;
    let leased = LEASED as usize;
    await_completed(&cluster, INSTANCES - leased, leased).await;
    let key = |process: WorkflowProcess| process.status.and_then(|status| status.process_definition_key);
    let before = key(processes.get(NAME).await.expect("should be there"));

    // The cluster alone is lost, with its Postgres.
    let clusters: Api<WorkflowCluster> = api(&cluster, PLAYGROUND);
    let lost = clusters.get(NAME).await.expect("should be there");
    clusters.delete(NAME, &DeleteParams::default()).await.expect("should be deleted");
    await_gone(&clusters, NAME, RECOVERY).await;
    let spec = json!({"version": "1.3.0", "replicas": 1, "image": lost.spec.image, "postgres": lost.spec.postgres,
        "bootstrap": {"recovery": {"backupRef": {"name": NAME}}}, "resources": lost.spec.resources});
    apply::<WorkflowCluster>(&cluster, PLAYGROUND, NAME, &object("WorkflowCluster", NAME, &spec)).await;
    let back = await_condition(&clusters, NAME, START, "is back", |it: &WorkflowCluster| {
        it.status.as_ref().is_some_and(|status| status.ready && status.recovery.is_some())
    })
    .await;
    let recovery = back.status.unwrap().recovery.unwrap();
    assert_eq!(recovery.leased_jobs, Some(i64::from(LEASED)));

    // What the worker had done after the backup is done again, and what was held as well.
    await_completed(&cluster, INSTANCES, 0).await;
    let tenants: Api<WorkflowTenant> = api(&cluster, PLAYGROUND);
    await_condition(&tenants, NAME, RECOVERY, "is ready", |it: &WorkflowTenant| {
        it.status.as_ref().is_some_and(|status| status.ready)
    })
    .await;
    let process = await_condition(&processes, NAME, RECOVERY, "is deployed", is_second_version).await;
    assert_eq!(key(process), before, "the same definition, and no new version");
    let workers: Api<WorkflowWorker> = api(&cluster, PLAYGROUND);
    await_condition(&workers, NAME, RECOVERY, "runs", |it: &WorkflowWorker| {
        it.status.as_ref().is_some_and(|status| status.ready && status.ready_replicas == Some(1))
    })
    .await;

    remove::<WorkflowWorker>(&cluster, PLAYGROUND, NAME).await;
    remove::<ServiceAccount>(&cluster, PLAYGROUND, NAME).await;
    testbed.remove(progress).await.expect("should be gone");
    backups.delete(NAME, &DeleteParams::default()).await.expect("should be deleted");
    await_gone(&backups, NAME, JOB).await;
}
