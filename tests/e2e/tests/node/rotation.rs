//! Tokens and keys of an engine are replaced while everybody works.

use std::time::Duration;

use api_types::condition::ROTATING_CREDENTIALS;
use api_types::labels::ROTATE_CREDENTIALS;
use api_types::{WorkflowCluster, WorkflowTenant, WorkflowWorker};
use e2e::engine::{ClientCredential, connect_with};
use e2e::sample::{ACME_NAMESPACE, CLUSTER, PROCESS, SYSTEM_NAMESPACE, TENANT};
use engine_client::model::{StartInstance, Variables};
use engine_client::{Engine as _, ErrorClass};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use test_support::wait::{await_condition, eventually};

use crate::fixture::{api, named_cluster};

/// The overlap lasts ten minutes here, and a minute more until nobody has a former token.
const RETIRED: Duration = Duration::from_mins(13);
/// The announcement lasts a minute here; then pods are rolled and Secrets reach them.
const ROTATED: Duration = Duration::from_mins(4);
const WORKER: &str = "payment-worker";

fn worker_key_id(cluster: &WorkflowCluster) -> Option<String> {
    cluster.status.as_ref()?.access_key_ids.as_ref()?.worker.clone()
}

fn rotation(cluster: &WorkflowCluster) -> Option<&str> {
    let conditions = &cluster.status.as_ref()?.conditions;
    let rotating = conditions.iter().find(|condition| condition.type_ == ROTATING_CREDENTIALS)?;
    Some(rotating.reason.as_str())
}

#[tokio::test]
#[ignore = "takes minutes: `./dev nightly`"]
async fn tokens_and_keys_are_replaced_while_everybody_works() {
    let Some(cluster) = named_cluster("tokens_and_keys_are_replaced").await else { return };
    let clusters: Api<WorkflowCluster> = api(&cluster, SYSTEM_NAMESPACE);
    // A run before this one may be in its overlap still, and one rotation follows the other.
    let former = await_condition(&clusters, CLUSTER, RETIRED, "replaces nothing", |engine| {
        rotation(engine).is_none() && worker_key_id(engine).is_some()
    })
    .await;
    let before =
        ClientCredential::read(&cluster, ACME_NAMESPACE, TENANT).await.expect("should have a Secret");
    let start = StartInstance {
        request_id: String::new(),
        tenant_id: TENANT.to_owned(),
        process_id: PROCESS.to_owned(),
        version: None,
        variables: Variables([("amount".to_owned(), json!(50))].into_iter().collect()),
    };

    let word = former.metadata.resource_version.clone().expect("is read from the API server");
    let annotation = json!({"metadata": {"annotations": {ROTATE_CREDENTIALS: word}}});
    let patch = Patch::Merge(annotation);
    clusters.patch(CLUSTER, &PatchParams::default(), &patch).await.expect("should annotate");
    let rotated = await_condition(&clusters, CLUSTER, ROTATED, "uses new keys", |engine| {
        rotation(engine) == Some("CredentialsRotated")
    })
    .await;
    assert_ne!(worker_key_id(&rotated), worker_key_id(&former));

    let tenants: Api<WorkflowTenant> = api(&cluster, SYSTEM_NAMESPACE);
    let client_key = rotated.status.clone().and_then(|status| status.access_key_ids?.client);
    await_condition(&tenants, TENANT, ROTATED, "has renewed its Secrets", |tenant: &WorkflowTenant| {
        tenant.status.as_ref().is_some_and(|status| status.client_key_id == client_key)
    })
    .await;
    let workers: Api<WorkflowWorker> = api(&cluster, ACME_NAMESPACE);
    await_condition(&workers, WORKER, ROTATED, "has pods with the new token", |worker: &WorkflowWorker| {
        worker.status.as_ref().is_some_and(|it| it.ready && it.access_key_id == worker_key_id(&rotated))
    })
    .await;

    let after = ClientCredential::read(&cluster, ACME_NAMESPACE, TENANT).await.expect("should have a Secret");
    for credential in [&before, &after] {
        let engine = connect_with(&cluster, credential).await.expect("should connect");
        let started = engine.client.start_instance(&start).await.expect("both tokens are good");
        // Its job is done by a worker with the new token.
        eventually("the instance ends", ROTATED, async || {
            match engine.client.get_instance(TENANT, started.instance_key).await {
                Ok(Some(instance)) if instance.ended_at.is_some() => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        let refused = engine.client.list_tenants().await.expect_err("should refuse to list tenants");
        assert_eq!(*refused.class(), ErrorClass::Denied, "{refused}");
    }
}
