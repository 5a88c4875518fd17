//! A managed Postgres outlives its WorkflowCluster with `deletionPolicy: Retain`, and the next one of the name goes on with it.

use api_types::cluster::ClusterPhase;
use api_types::{WorkflowCluster, WorkflowProcess};
use e2e::cluster::Cluster;
use e2e::postgres::Place;
use e2e::progress::Progress;
use e2e::sample::PLAYGROUND;
use e2e::testbed::{Data, Shape, Testbed};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use test_support::wait::{await_condition, await_gone, eventually};

use crate::contents::{object, observe_contents, start_instances};
use crate::fixture::{RECOVERY, START, api, apply, is_settled, named_cluster};

/// Of every object.
const NAME: &str = "retained";
const POSTGRES: &str = "retained-postgres";
const INSTANCES: usize = 20;

fn postgres(cluster: &Cluster) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("postgresql.cnpg.io", "v1", "Cluster");
    Api::namespaced_with(cluster.client.clone(), PLAYGROUND, &ApiResource::from_gvk(&kind))
}

async fn set_policy(cluster: &Cluster, policy: &str, owners: usize) {
    let patch = Patch::Merge(json!({"spec": {"deletionPolicy": policy}}));
    let clusters = api::<WorkflowCluster>(cluster, PLAYGROUND);
    clusters.patch(NAME, &PatchParams::default(), &patch).await.expect("should be patched");
    let what = format!("has {owners} owners");
    await_condition(&postgres(cluster), POSTGRES, RECOVERY, &what, |it: &DynamicObject| {
        it.owner_references().len() == owners
    })
    .await;
}

fn is_running(engine: &WorkflowCluster) -> bool {
    is_settled(engine, ClusterPhase::Running)
}

async fn list_volumes(cluster: &Cluster) -> Vec<String> {
    let labels = ListParams::default().labels(&format!("cnpg.io/cluster={POSTGRES}"));
    let volumes = api::<PersistentVolumeClaim>(cluster, PLAYGROUND).list(&labels).await;
    volumes.expect("should be listed").iter().filter_map(PersistentVolumeClaim::uid).collect()
}

/// All that an engine has in its database, by the rows.
async fn look(cluster: &Cluster) -> String {
    observe_contents(cluster, Place::Managed { namespace: PLAYGROUND, cluster: NAME }, NAME).await
}

#[tokio::test]
#[ignore = "takes minutes: `./dev nightly`"]
async fn a_retained_postgres_is_taken_over_by_the_next_cluster_of_the_name_and_goes_with_it() {
    let Some(cluster) = named_cluster("a_retained_postgres_is_taken_over").await else { return };
    let progress = Progress::default();
    // What a run left that failed between the two clusters.
    if postgres(&cluster).delete(POSTGRES, &DeleteParams::default()).await.is_ok() {
        await_gone(&postgres(&cluster), POSTGRES, RECOVERY).await;
    }
    let shape = Shape::small(NAME, Data::Managed(1));
    let testbed = Testbed::build(&cluster, shape, progress).await.expect("should be ready");
    start_instances(&cluster, NAME, "order", INSTANCES).await;
    let before = look(&cluster).await;
    assert_eq!(before.lines().count(), 1 + 2 * INSTANCES, "{before}");
    let key = |process: WorkflowProcess| process.status.and_then(|status| status.process_definition_key);
    let processes = api::<WorkflowProcess>(&cluster, PLAYGROUND);
    let definition = key(processes.get(NAME).await.expect("should be there"));

    set_policy(&cluster, "Retain", 0).await;
    let clusters = api::<WorkflowCluster>(&cluster, PLAYGROUND);
    let former = await_condition(&clusters, NAME, RECOVERY, "runs", is_running).await;
    let kept = postgres(&cluster).get(POSTGRES).await.expect("should be there");
    let volumes = list_volumes(&cluster).await;
    clusters.delete(NAME, &DeleteParams::default()).await.expect("should be deleted");
    await_gone(&clusters, NAME, RECOVERY).await;
    let left = postgres(&cluster).get(POSTGRES).await.expect("should have stayed");
    assert_eq!((left.uid(), left.metadata.deletion_timestamp), (kept.uid(), None));
    assert_eq!(look(&cluster).await, before, "it runs, and has what it had");

    let spec: Value = json!(former.spec);
    apply::<WorkflowCluster>(&cluster, PLAYGROUND, NAME, &object("WorkflowCluster", NAME, &spec)).await;
    let next = await_condition(&clusters, NAME, START, "runs", is_running).await;
    assert_ne!(next.uid(), former.uid());
    testbed.await_ready(progress).await.expect("tenant and process should go on");
    let taken = postgres(&cluster).get(POSTGRES).await.expect("should be there");
    assert_eq!((taken.uid(), list_volumes(&cluster).await), (kept.uid(), volumes), "it is the same one");
    assert_eq!(look(&cluster).await, before, "the same definitions, instances and jobs");
    let process = processes.get(NAME).await.expect("should be there");
    assert_eq!(process.status.as_ref().and_then(|status| status.version), Some(1), "no new version");
    assert_eq!(key(process), definition);
    start_instances(&cluster, NAME, "later", 1).await;
    assert_eq!(look(&cluster).await.lines().count(), before.lines().count() + 2, "it works on");

    set_policy(&cluster, "Delete", 1).await;
    testbed.remove(progress).await.expect("should be gone");
    await_gone(&postgres(&cluster), POSTGRES, RECOVERY).await;
    eventually("the volumes are gone", RECOVERY, async || {
        let left = list_volumes(&cluster).await;
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?} are there")) }
    })
    .await;
}
