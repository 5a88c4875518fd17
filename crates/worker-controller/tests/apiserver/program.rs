//! The program itself, with its watches, on a real control plane.

use std::process::{Child, Command};
use std::time::Duration;

use api_types::WorkflowWorker;
use api_types::labels::TENANT;
use api_types::reason::Reason as _;
use api_types::worker::WorkerReason;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use test_support::apiserver::TestApiServer;
use test_support::builders;
use test_support::wait::{await_condition, await_gone, eventually};

use crate::world::{ACCESS, CLUSTER, SEED, WORKER, World};

const PATIENCE: Duration = Duration::from_mins(1);
/// What F21 and F22 of the fault list allow for a deleted or drifted object.
const SOON: Duration = Duration::from_secs(10);

/// A running worker-controller, killed at the end of its test.
struct Controller(Child);

impl Controller {
    fn start(apiserver: &TestApiServer, namespace: &str) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_worker-controller"))
            .env("KUBECONFIG", apiserver.kubeconfig())
            .env("POD_NAMESPACE", namespace)
            .env("CLUSTER_NAMESPACE", namespace)
            .env("ADMIN_ADDRESS", "127.0.0.1:0")
            .env("LOG_FILTER", "warn")
            .spawn();
        Self(child.unwrap())
    }

    /// As the kubelet ends it.
    async fn stop(mut self) -> std::process::ExitStatus {
        Command::new("kill").arg(self.0.id().to_string()).status().unwrap();
        eventually("the process ends", SOON, || std::future::ready(self.0.try_wait().unwrap())).await
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn await_deployment(
    home: &World,
    what: &str,
    patience: Duration,
    is_so: impl Fn(&Deployment) -> bool,
) -> Deployment {
    Box::pin(await_condition(&home.api::<Deployment>(), WORKER, patience, what, is_so)).await
}

fn replicas(deployment: &Deployment) -> i32 {
    deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or_default()
}

fn image(deployment: &Deployment) -> Option<&str> {
    let pod = deployment.spec.as_ref()?.template.spec.as_ref()?;
    pod.containers.first()?.image.as_deref()
}

#[tokio::test]
async fn a_fleet_lives_through_everything_that_happens_to_it() {
    let apiserver = test_support::require_controller_manager!();
    let home = World::new(apiserver, "process").await;
    let fleet = World::empty(apiserver, "process-fleet").await;
    let controller = Controller::start(apiserver, &home.name);
    let manifest = |worker: &mut serde_json::Value, least: i32| {
        worker["spec"]["clusterRef"] = json!({"name": CLUSTER});
        worker["spec"]["tenantRef"] = json!({"name": "acme"});
        worker["spec"]["replicas"] = json!(2);
        worker["spec"]["autoscaling"] = json!({"minReplicas": least, "maxReplicas": 20});
        worker["spec"].as_object_mut().unwrap().remove("authentication");
    };

    // Refused until the namespace is granted, and made without any further touch of the worker.
    fleet.apply(SEED, |worker| manifest(worker, 2)).await;
    let is_refused = |worker: &WorkflowWorker| {
        let conditions =
            worker.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
        conditions.iter().any(|c| c.reason == WorkerReason::ReferenceNotPermittedOrMissing.as_str())
    };
    Box::pin(await_condition(&fleet.api(), WORKER, PATIENCE, "is refused", is_refused)).await;
    fleet.grant("acme").await;
    let made = await_deployment(&fleet, "is made", PATIENCE, |it| replicas(it) == 2).await;

    // The autoscaler scales; drift is undone; what is deleted returns.
    fleet.apply(SEED, |worker| manifest(worker, 8)).await;
    await_deployment(&fleet, "is scaled to 8", PATIENCE, |it| replicas(it) == 8).await;
    let drift = Patch::Strategic(
        json!({"spec": {"template": {"spec": {"containers": [{"name": "worker", "image": "other"}]}}}}),
    );
    fleet.api::<Deployment>().patch(WORKER, &PatchParams::default(), &drift).await.unwrap();
    let ours = |it: &Deployment| image(it) == Some("acme/payment-worker:1.2.3");
    let undone = await_deployment(&fleet, "has our image again", SOON, ours).await;
    assert_eq!((replicas(&undone), undone.uid()), (8, made.uid()));
    let autoscaler = fleet.api::<HorizontalPodAutoscaler>().delete(WORKER, &DeleteParams::default()).await;
    autoscaler.unwrap();
    let again = async || fleet.api::<HorizontalPodAutoscaler>().get(WORKER).await;
    eventually("the autoscaler returns", SOON, again).await;

    // A restart begins with empty caches, and must not take anything for gone.
    assert!(controller.stop().await.success());
    let controller = Controller::start(apiserver, &home.name);
    fleet
        .apply(SEED, |worker| {
            manifest(worker, 2);
            worker["spec"]["image"] = json!("acme/payment-worker:2.0.0");
        })
        .await;
    let updated = |it: &Deployment| image(it) == Some("acme/payment-worker:2.0.0");
    let updated = await_deployment(&fleet, "has the new image", PATIENCE, updated).await;
    assert_eq!((replicas(&updated), updated.uid()), (8, made.uid()));

    // The end of the grant is the end of the fleet.
    fleet.revoke().await;
    await_gone(&fleet.api::<Secret>(), ACCESS, SOON).await;
    await_gone(&fleet.api::<Deployment>(), WORKER, SOON).await;
    assert!(controller.stop().await.success());
}

fn tenant(deployment: &Deployment) -> Option<&str> {
    let pod = deployment.spec.as_ref()?.template.spec.as_ref()?;
    let mut env = pod.containers.first()?.env.iter().flatten();
    env.find(|variable| variable.name == "WORKFLOW_TENANT")?.value.as_deref()
}

#[tokio::test]
async fn the_seed_applied_unchanged_works_for_the_tenant_that_its_namespace_is_labelled_with() {
    let apiserver = test_support::require_apiserver!();
    let home = World::new(apiserver, "label").await;
    let fleet = World::empty(apiserver, "label-fleet").await;
    let controller = Controller::start(apiserver, &home.name);

    // Whatever comes last, label or tenant, wakes the worker, which names neither.
    fleet.apply(SEED, |_| ()).await;
    fleet.grant("acme").await;
    await_deployment(&fleet, "works for acme", PATIENCE, |it| tenant(it) == Some("acme")).await;
    fleet.grant("beta").await;
    await_gone(&fleet.api::<Deployment>(), WORKER, SOON).await;
    home.add_active_tenant(&builders::cluster(&home.name, CLUSTER), "beta").await;
    let made = await_deployment(&fleet, "works for beta", SOON, |it| tenant(it) == Some("beta")).await;
    assert_eq!(made.labels().get(TENANT).map(String::as_str), Some("beta"));
    fleet.revoke().await;
    await_gone(&fleet.api::<Secret>(), ACCESS, SOON).await;
    await_gone(&fleet.api::<Deployment>(), WORKER, SOON).await;
    assert!(controller.stop().await.success());
}
