//! A worker from its creation on, run until nothing is written any more.

use std::sync::Arc;

use api_types::worker::{WorkerPhase, WorkerReason};
use controller_kit::controller::Reconciler as _;
use controller_kit::outcome::{ErrorClass, Next};
use controller_testing::World as _;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Secret, ServiceAccount};
use serde_json::json;

use crate::status::RESYNC;
use crate::testing::world::{
    ACCESS, CLUSTER_NAMESPACE, HOME, WORKER, World, as_reported, registry_login, service_account,
};
use crate::testing::{EVERY_FIELD, applied, token};

#[tokio::test]
async fn the_seed_converges_and_then_nothing_is_written() {
    let world = World::with_seed();
    world.converge(WORKER).await;
    let status = world.status(WORKER);
    assert_eq!(
        (status.phase, status.ready, status.replicas, status.ready_replicas, status.current_lag_seconds),
        (Some(WorkerPhase::Running), true, Some(3), Some(3), Some(60))
    );
    let secret = world.apiserver.get::<Secret>(HOME, ACCESS).unwrap().data.unwrap();
    assert_eq!(String::from_utf8(secret["token"].0.clone()).unwrap(), token("acme", "uid-of-acme"));
}

#[tokio::test]
async fn a_paused_worker_gets_no_writes_but_its_status() {
    let world = World::with_seed();
    world.converge(WORKER).await;
    world.edit(WORKER, |it| {
        it["spec"]["paused"] = json!(true);
        it["spec"]["image"] = json!("acme/payment-worker:2.0.0");
    });
    world.pass(WORKER).await;
    assert_eq!(
        world.written(),
        [
            "PATCH /apis/workflow.example.com/v1alpha1/namespaces/acme-tenant/workflowworkers/payment-worker/status"
        ]
    );
    assert_eq!(world.reported(), as_reported(WorkerPhase::Running, WorkerReason::Paused));
}

#[tokio::test]
async fn a_foreign_deployment_is_neither_adopted_nor_scaled() {
    let world = World::with_seed();
    let foreign: Deployment = serde_json::from_value(json!({
        "metadata": {"name": WORKER, "namespace": HOME}, "spec": {"replicas": 1, "selector": {}, "template": {}},
    }))
    .unwrap();
    world.apiserver.seed(&foreign);
    let before = world.apiserver.get::<Deployment>(HOME, WORKER);
    world.pass(WORKER).await;
    assert_eq!(world.apiserver.get::<Deployment>(HOME, WORKER), before);
    assert_eq!(world.children(), [1, 1, 0, 0]);
    assert_eq!(world.reported(), as_reported(WorkerPhase::Failed, WorkerReason::NameTaken));

    world.apiserver.remove::<Deployment>(HOME, WORKER);
    world.converge(WORKER).await;
}

#[tokio::test]
async fn a_settled_worker_costs_one_read_per_resync() {
    let world = World::with(applied(EVERY_FIELD, HOME, |_| ()));
    world.converge(WORKER).await;
    let passes = world.started();
    let settled = Arc::new(world.object(WORKER).unwrap());
    let requests = async || {
        world.apiserver.forget_requests();
        let next = Box::pin(passes.reconcile(settled.clone())).await.next;
        assert_eq!(next, Next::Settled { resync: RESYNC });
        let requests = world.apiserver.requests().into_iter();
        requests.map(|request| format!("{} {}", request.method, request.path)).collect::<Vec<_>>()
    };
    let own = "GET /api/v1/namespaces/acme-tenant/secrets/payment-worker-engine-access";
    let ca = "GET /api/v1/namespaces/workflow-system/configmaps/prod-east-engine-ca";
    let key = "GET /api/v1/namespaces/workflow-system/secrets/prod-east-engine-worker-key";
    assert_eq!(requests().await, [own, ca, key], "the first of a cluster's workers reads for all");
    for _ in 0..20 {
        assert_eq!(requests().await, [own]);
    }
}

#[tokio::test]
async fn what_the_spec_names_and_is_missing_is_reported_and_awaited() {
    let world = World::with(applied(EVERY_FIELD, HOME, |_| ()));
    world.apiserver.remove::<ServiceAccount>(HOME, "worker-sa");
    world.apiserver.edit::<Secret>(HOME, "stripe", |it| it["data"] = json!({"other": "eA=="}));
    world.apiserver.remove::<Secret>(HOME, "registry");
    world.apiserver.edit::<Secret>(HOME, "mirror", |it| it["type"] = json!("Opaque"));
    world.pass(WORKER).await;
    assert_eq!(world.reported(), as_reported(WorkerPhase::Pending, WorkerReason::ServiceAccountMissing));

    world.apiserver.seed(&service_account());
    for (secret, problem) in [
        ("registry", "does not exist"),
        ("mirror", "is of type Opaque, expected kubernetes.io/dockerconfigjson"),
    ] {
        world.pass(WORKER).await;
        assert_eq!(world.reported(), as_reported(WorkerPhase::Pending, WorkerReason::PullSecretMissing));
        let message = format!("spec.imagePullSecrets: Secret acme-tenant/{secret} {problem}");
        assert_eq!(world.status(WORKER).message, Some(message));
        world.apiserver.remove::<Secret>(HOME, secret);
        world.apiserver.seed(&registry_login(secret));
    }
    world.pass(WORKER).await;
    assert_eq!(world.reported(), as_reported(WorkerPhase::Pending, WorkerReason::EnvSecretMissing));

    world.apiserver.edit::<Secret>(HOME, "stripe", |it| it["data"] = json!({"api-key": "eA=="}));
    world.converge(WORKER).await;
}

#[tokio::test]
async fn a_pod_that_does_not_start_is_named_in_the_status() {
    let world = World::with_seed();
    world.pass(WORKER).await;
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "payment-worker-x", "namespace": HOME, "labels": {
            "app.kubernetes.io/name": "workflow-worker", "app.kubernetes.io/instance": WORKER,
            "app.kubernetes.io/component": "worker",
        }},
        "status": {"containerStatuses": [{
            "name": "worker", "ready": false, "restartCount": 0, "image": "i", "imageID": "i",
            "state": {"waiting": {"reason": "ErrImagePull"}},
        }]},
    }))
    .unwrap();
    world.apiserver.seed(&pod);
    world.pass(WORKER).await;
    assert_eq!(world.reported(), as_reported(WorkerPhase::Failed, WorkerReason::RolloutFailed));
    let message = "pod payment-worker-x does not start: ImagePullBackOff";
    assert_eq!(world.status(WORKER).message.as_deref(), Some(message));

    world.apiserver.remove::<Pod>(HOME, "payment-worker-x");
    world.converge(WORKER).await;
}

#[tokio::test]
async fn a_secret_that_was_deleted_or_edited_is_made_again() {
    let world = World::with_seed();
    world.converge(WORKER).await;
    let before = world.apiserver.get::<Secret>(HOME, ACCESS).unwrap();
    world.apiserver.remove::<Secret>(HOME, ACCESS);
    world.converge(WORKER).await;
    let again = world.apiserver.get::<Secret>(HOME, ACCESS).unwrap();
    assert_eq!(again.data, before.data);
    world.apiserver.edit::<Secret>(HOME, ACCESS, |it| it["data"]["token"] = json!("eA=="));
    world.converge(WORKER).await;
    let again = world.apiserver.get::<Secret>(HOME, ACCESS).unwrap();
    assert_eq!(again.data, before.data);
}

#[tokio::test]
async fn credentials_that_are_not_there_yet_are_awaited() {
    let world = World::with_seed();
    let key: Secret = world.apiserver.get(CLUSTER_NAMESPACE, "prod-east-engine-worker-key").unwrap();
    world.apiserver.remove::<Secret>(CLUSTER_NAMESPACE, "prod-east-engine-worker-key");
    assert_eq!(world.pass(WORKER).await, Next::Failed(ErrorClass::Transient));
    assert_eq!(world.reported(), as_reported(WorkerPhase::Pending, WorkerReason::EngineCredentialsMissing));
    assert_eq!(world.children(), [0, 0, 0, 0]);
    world.apiserver.seed(&key);
    world.converge(WORKER).await;
}

#[tokio::test]
async fn a_lag_that_moves_a_little_is_not_written_and_one_that_moves_much_is_written_once() {
    let world = World::with_seed();
    world.converge(WORKER).await;
    for lag in [61, 63, 57, 65] {
        world.set_lag(lag);
        world.pass(WORKER).await;
    }
    assert_eq!(world.written(), Vec::<String>::new());
    world.set_lag(120);
    world.pass(WORKER).await;
    world.pass(WORKER).await;
    assert_eq!(
        world.written(),
        [
            "PATCH /apis/workflow.example.com/v1alpha1/namespaces/acme-tenant/workflowworkers/payment-worker/status"
        ]
    );
    assert_eq!(world.status(WORKER).current_lag_seconds, Some(120));
}

#[tokio::test]
async fn a_scale_that_the_watch_has_not_seen_is_never_taken_back() {
    let world = World::with_seed();
    world.converge(WORKER).await;
    let outdated = world.started();
    world.apiserver.edit::<Deployment>(HOME, WORKER, |it| it["spec"]["replicas"] = json!(8));
    world.edit(WORKER, |it| it["spec"]["image"] = json!("acme/payment-worker:2.0.0"));
    let reported_before = world.reported();
    let pass = Box::pin(outdated.reconcile(Arc::new(world.object(WORKER).unwrap()))).await;
    assert_eq!(pass.next, Next::Failed(ErrorClass::Conflict));
    assert_eq!(world.reported(), reported_before, "a conflict is not reported");
    world.converge(WORKER).await;
    let spec = world.apiserver.get::<Deployment>(HOME, WORKER).unwrap().spec.unwrap();
    assert_eq!(spec.replicas, Some(8));
    let container = spec.template.spec.unwrap().containers.remove(0);
    assert_eq!(container.image.as_deref(), Some("acme/payment-worker:2.0.0"));
}
