//! A drill restores an encrypted backup from a real S3 service into a database of its own, by itself.

use std::time::Duration;

use age::secrecy::ExposeSecret as _;
use age::x25519;
use api_types::backup::DrillResult;
use api_types::labels::{BACKUP, BACKUP_TASK};
use api_types::{WorkflowBackup, WorkflowCluster};
use e2e::cluster::Cluster;
use e2e::progress::Progress;
use e2e::sample::PLAYGROUND;
use e2e::testbed::{Data, Shape, Testbed};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use test_support::wait::{await_condition, await_gone, eventually};

use crate::contents::{copy_secrets, destination, is_complete, object, start_instances};
use crate::fixture::{api, apply, named_cluster, remove};

/// Of every object.
const NAME: &str = "drilled";
const RECIPIENT: &str = "drilled-recipient";
const IDENTITY: &str = "drilled-identity";
const INSTANCES: usize = 20;
const JOB: Duration = Duration::from_mins(3);
/// A run is begun up to a minute after its time.
const DRILL: Duration = Duration::from_mins(5);

/// A new pair of keys, in the Secrets that the cluster's spec names.
async fn make_keys(cluster: &Cluster) {
    let identity = x25519::Identity::generate();
    let keys = [
        (RECIPIENT, "recipient", identity.to_public().to_string()),
        (IDENTITY, "identity", identity.to_string().expose_secret().to_owned()),
    ];
    for (name, key, value) in keys {
        let body = json!({"apiVersion": "v1", "kind": "Secret", "stringData": {key: value},
            "metadata": {"name": name, "namespace": PLAYGROUND}});
        apply::<Secret>(cluster, PLAYGROUND, name, &body).await;
    }
}

async fn set_backup(cluster: &Cluster, backup: &Value) {
    let patch = Patch::Merge(json!({"spec": {"backup": backup}}));
    let clusters = api::<WorkflowCluster>(cluster, PLAYGROUND);
    clusters.patch(NAME, &PatchParams::default(), &patch).await.expect("should be patched");
}

/// Names of the Jobs and pods of drills.
async fn list_drills(cluster: &Cluster) -> Vec<String> {
    let labels = ListParams::default().labels(&format!("{BACKUP}={NAME},{BACKUP_TASK}=drill"));
    let jobs = api::<Job>(cluster, PLAYGROUND).list(&labels).await.expect("should be listed");
    let pods = api::<Pod>(cluster, PLAYGROUND).list(&labels).await.expect("should be listed");
    let jobs = jobs.items.into_iter().map(|job| job.metadata);
    jobs.chain(pods.items.into_iter().map(|pod| pod.metadata)).filter_map(|meta| meta.name).collect()
}

#[tokio::test]
#[ignore = "takes minutes: `./dev nightly`"]
async fn an_encrypted_backup_is_tried_out_by_schedule_and_nothing_of_the_drill_is_left() {
    let Some(cluster) = named_cluster("an_encrypted_backup_is_tried_out").await else { return };
    let progress = Progress::default();
    remove::<WorkflowBackup>(&cluster, PLAYGROUND, NAME).await;
    let shape = Shape::small(NAME, Data::Shared);
    let testbed = Testbed::build(&cluster, shape, progress).await.expect("should be ready");
    start_instances(&cluster, NAME, "order", INSTANCES).await;
    copy_secrets(&cluster).await;
    make_keys(&cluster).await;
    let encryption = json!({"recipientSecret": RECIPIENT, "identitySecret": IDENTITY});
    set_backup(&cluster, &json!({"destination": destination("e2e/drills"), "encryption": encryption})).await;

    let spec = json!({"clusterRef": {"name": NAME}});
    apply::<WorkflowBackup>(&cluster, PLAYGROUND, NAME, &object("WorkflowBackup", NAME, &spec)).await;
    let backups = api::<WorkflowBackup>(&cluster, PLAYGROUND);
    let backup = await_condition(&backups, NAME, JOB, "is complete", is_complete).await;
    let status = json!(backup.status);
    assert_eq!(status["artefact"]["encryption"]["recipientSecret"], json!(RECIPIENT), "{status}");

    set_backup(&cluster, &json!({"drill": {"schedule": "* * * * *"}})).await;
    let is_good = |drill: Option<&DrillResult>| {
        drill.is_some_and(|drill| drill.succeeded && drill.backup_name.as_deref() == Some(NAME))
    };
    await_condition(&backups, NAME, DRILL, "was tried out", |it: &WorkflowBackup| {
        is_good(it.status.as_ref().and_then(|status| status.last_drill.as_ref()))
    })
    .await;
    let clusters = api::<WorkflowCluster>(&cluster, PLAYGROUND);
    await_condition(&clusters, NAME, JOB, "says so", |it: &WorkflowCluster| {
        is_good(it.status.as_ref().and_then(|status| status.last_drill.as_ref()))
    })
    .await;

    // The next one would come within a minute.
    set_backup(&cluster, &json!({"drill": null})).await;
    eventually("nothing is left of the drills", DRILL, async || {
        let left = list_drills(&cluster).await;
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?} are there")) }
    })
    .await;

    backups.delete(NAME, &DeleteParams::default()).await.expect("should be deleted");
    await_gone(&backups, NAME, JOB).await;
    testbed.remove(progress).await.expect("should be gone");
    for name in [RECIPIENT, IDENTITY] {
        remove::<Secret>(&cluster, PLAYGROUND, name).await;
    }
}
