//! On an API server in memory. Deployment controller and autoscaler are played by the tests.

use api_types::WorkflowWorker;
use api_types::labels::TENANT;
use api_types::reason::Reason as _;
use api_types::worker::{WorkerPhase, WorkerReason, WorkflowWorkerStatus};
use controller_kit::controller::Reconciler as _;
use controller_kit::outcome::{ErrorClass, Next};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::{HorizontalPodAutoscaler, MetricSpec};
use k8s_openapi::api::core::v1::{Namespace, Pod, Secret, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Client;
use serde_json::{Value, json};
use test_support::crash::{run_until_settled, survives_crash_at_every_write};
use test_support::{FakeApiServer, builders, reply};

use worker_controller::status::RESYNC;

use crate::world::{
    CLUSTER, EVERY_FIELD, SEED, WORKER, ca_config_map, caches, context, directory, pass, pass_with, passes,
    store_of, token, worker, worker_key,
};

const HOME: &str = "workflow-system";
const ACME: &str = "acme-tenant";

fn namespace(name: &str, labels: &Value) -> Namespace {
    serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}})).unwrap()
}

/// A cluster and a tenant in `workflow-system`; `acme-tenant` is granted the tenant and holds the worker.
fn world(worker: &WorkflowWorker) -> FakeApiServer {
    let apiserver = FakeApiServer::new();
    let cluster = builders::running_cluster(HOME, CLUSTER);
    apiserver.seed(&builders::active_tenant(HOME, "acme", &cluster));
    apiserver.seed(&cluster);
    apiserver.seed(&ca_config_map(HOME));
    apiserver.seed(&worker_key(HOME));
    apiserver.seed(&namespace(HOME, &json!({})));
    apiserver.seed(&namespace(ACME, &json!({TENANT: "acme"})));
    let account: ServiceAccount =
        serde_json::from_value(json!({"metadata": {"name": "worker-sa", "namespace": ACME}})).unwrap();
    apiserver.seed(&account);
    let secret: Secret = serde_json::from_value(json!({
        "metadata": {"name": "stripe", "namespace": ACME}, "data": {"api-key": "c2VjcmV0"},
    }))
    .unwrap();
    apiserver.seed(&secret);
    apiserver.seed(&registry_login("registry"));
    apiserver.seed(&registry_login("mirror"));
    apiserver.seed(&builders::stored(worker.clone()));
    apiserver
}

fn registry_login(name: &str) -> Secret {
    serde_json::from_value(json!({
        "metadata": {"name": name, "namespace": ACME},
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": "e30="},
    }))
    .unwrap()
}

/// The seed's worker, in the seed's tenant namespace.
fn seed() -> WorkflowWorker {
    worker(SEED, ACME, |worker| worker["spec"]["tenantRef"] = json!({"name": "acme"}))
}

/// Deployment controller and autoscaler do their part: all wanted pods run, the lag is `lag`.
fn play_kubernetes(apiserver: &FakeApiServer, lag: i64) {
    for deployment in apiserver.list::<Deployment>(ACME) {
        let pods = deployment.spec.and_then(|spec| spec.replicas).unwrap_or(1);
        let generation = deployment.metadata.generation;
        apiserver.edit::<Deployment>(ACME, WORKER, |it| {
            it["status"] = json!({
                "observedGeneration": generation, "replicas": pods, "updatedReplicas": pods,
                "readyReplicas": pods, "availableReplicas": pods,
            });
        });
        for autoscaler in apiserver.list::<HorizontalPodAutoscaler>(ACME) {
            let wanted = autoscaler.spec.and_then(|spec| spec.metrics).unwrap_or_default();
            let seen = |metric: MetricSpec| {
                let average = format!("{}m", lag * 1_000 / i64::from(pods));
                let metric = metric.external.unwrap().metric;
                json!({"type": "External", "external": {"metric": metric, "current": {"averageValue": average}}})
            };
            let metrics: Vec<_> = wanted.into_iter().map(seen).collect();
            apiserver.edit::<HorizontalPodAutoscaler>(ACME, WORKER, |it| {
                it["status"] = json!({
                    "currentReplicas": pods,
                    "desiredReplicas": pods,
                    "currentMetrics": metrics,
                    "conditions": [
                        {"type": "AbleToScale", "status": "True", "reason": "ReadyForNewScale"},
                        {"type": "ScalingActive", "status": "True", "reason": "ValidMetricFound"},
                    ],
                });
            });
        }
    }
}

async fn one_pass(apiserver: &FakeApiServer) -> Next {
    pass(&apiserver.client(), &apiserver.client(), ACME).await.next
}

async fn settle(apiserver: &FakeApiServer) {
    for _ in 0..4 {
        one_pass(apiserver).await;
        play_kubernetes(apiserver, 60);
    }
    apiserver.forget_requests();
    let next = one_pass(apiserver).await;
    assert!(matches!(next, Next::Settled { .. }), "{next:?}");
    assert_eq!(apiserver.mutations(), [], "a settled worker was written to");
}

fn status(apiserver: &FakeApiServer) -> WorkflowWorkerStatus {
    apiserver.get::<WorkflowWorker>(ACME, WORKER).unwrap().status.unwrap()
}

fn reported(apiserver: &FakeApiServer) -> (Option<WorkerPhase>, String) {
    let status = status(apiserver);
    let ready = status.conditions.into_iter().find(|condition| condition.type_ == "Ready");
    (status.phase, ready.unwrap().reason)
}

fn as_reported(phase: WorkerPhase, reason: WorkerReason) -> (Option<WorkerPhase>, String) {
    (Some(phase), reason.as_str().to_owned())
}

fn writes(apiserver: &FakeApiServer) -> Vec<String> {
    let mutations = apiserver.mutations();
    let mutations = mutations.iter().filter(|request| !request.path.contains("/events"));
    mutations.map(|request| format!("{} {}", request.method, request.path)).collect()
}

#[tokio::test]
async fn the_seed_converges_and_then_nothing_is_written() {
    let apiserver = world(&seed());
    settle(&apiserver).await;
    let status = status(&apiserver);
    assert_eq!(
        (status.phase, status.ready, status.replicas, status.ready_replicas, status.current_lag_seconds),
        (Some(WorkerPhase::Running), true, Some(3), Some(3), Some(60))
    );
    let secret = apiserver.get::<Secret>(ACME, "payment-worker-engine-access").unwrap().data.unwrap();
    assert_eq!(String::from_utf8(secret["token"].0.clone()).unwrap(), token("acme", "uid-of-acme"));
}

/// Whom the fleet works for: by its token, its label and its environment.
fn served_tenant(apiserver: &FakeApiServer, namespace: &str) -> (String, Option<String>, Option<String>) {
    let secret = apiserver.get::<Secret>(namespace, "payment-worker-engine-access").unwrap();
    let deployment = apiserver.get::<Deployment>(namespace, WORKER).unwrap();
    let pod = deployment.spec.unwrap().template.spec.unwrap();
    let reported = pod.containers[0].env.iter().flatten().find(|variable| variable.name == "WORKFLOW_TENANT");
    (
        String::from_utf8(secret.data.unwrap()["token"].0.clone()).unwrap(),
        deployment.metadata.labels.unwrap().get(TENANT).cloned(),
        reported.and_then(|variable| variable.value.clone()),
    )
}

fn of_tenant(name: &str) -> (String, Option<String>, Option<String>) {
    (token(name, &format!("uid-of-{name}")), Some(name.to_owned()), Some(name.to_owned()))
}

#[tokio::test]
async fn a_worker_that_names_no_tenant_works_for_the_one_that_its_namespace_is_labelled_with() {
    let apiserver = world(&worker(SEED, ACME, |_| ()));
    settle(&apiserver).await;
    assert_eq!(served_tenant(&apiserver, ACME), of_tenant("acme"));

    // The label names another tenant: one that does not exist takes access away, one that does gets the fleet.
    apiserver.edit::<Namespace>("", ACME, |it| it["metadata"]["labels"] = json!({TENANT: "beta"}));
    one_pass(&apiserver).await;
    assert_eq!(children(&apiserver), [0, 0, 0, 0]);
    one_pass(&apiserver).await;
    assert_eq!(
        reported(&apiserver),
        as_reported(WorkerPhase::Pending, WorkerReason::ReferenceNotPermittedOrMissing)
    );
    let message = "spec.clusterRef prod-east, tenant beta (from label workflow.example.com/tenant of Namespace \
                   acme-tenant): not found or not permitted there; create the WorkflowTenant, or correct the label";
    assert_eq!(status(&apiserver).message.as_deref(), Some(message));
    let cluster = builders::running_cluster(HOME, CLUSTER);
    apiserver.seed(&builders::active_tenant(HOME, "beta", &cluster));
    settle(&apiserver).await;
    assert_eq!(served_tenant(&apiserver, ACME), of_tenant("beta"));

    apiserver.edit::<Namespace>("", ACME, |it| it["metadata"]["labels"] = json!({}));
    one_pass(&apiserver).await;
    assert_eq!(children(&apiserver), [0, 0, 0, 0]);
}

#[tokio::test]
async fn beside_its_cluster_a_worker_follows_the_label_to_a_tenant_and_back_to_the_default_one() {
    let apiserver = world(&worker(SEED, HOME, |_| ()));
    let served = async || {
        pass(&apiserver.client(), &apiserver.client(), HOME).await;
        served_tenant(&apiserver, HOME)
    };
    let of_default = (token("_default", ""), None, Some("_default".to_owned()));
    assert_eq!(served().await, of_default);
    apiserver.edit::<Namespace>("", HOME, |it| it["metadata"]["labels"] = json!({TENANT: "acme"}));
    assert_eq!(served().await, of_tenant("acme"));
    apiserver.edit::<Namespace>("", HOME, |it| it["metadata"]["labels"] = json!({}));
    assert_eq!(served().await, of_default);
}

#[tokio::test]
async fn a_tenant_of_the_label_that_cannot_be_read_takes_no_fleet_down() {
    let apiserver = world(&worker(SEED, ACME, |_| ()));
    settle(&apiserver).await;
    let client = apiserver.client();
    let mut blind = directory(&client).await;
    blind.tenants = store_of(Vec::new());
    let context = context(&client, blind, caches(&client, ACME).await);
    let pass = pass_with(context, &client, ACME).await;
    assert!(matches!(pass.next, Next::Wait { .. }), "{:?}", pass.next);
    assert_eq!(children(&apiserver), [1, 1, 1, 1]);
}

#[tokio::test]
async fn a_crash_at_any_write_ends_where_an_undisturbed_run_ends() {
    let report = survives_crash_at_every_write(
        async || world(&worker(EVERY_FIELD, ACME, |_| ())),
        async |apiserver, faults| {
            let client = faults.wrap(apiserver.client());
            run_until_settled(faults, 10, async || {
                let next = pass(&client, &apiserver.client(), ACME).await.next;
                play_kubernetes(apiserver, 60);
                if let Next::Failed(class) = next { Err(class) } else { Ok(()) }
            })
            .await
        },
        async |apiserver| apiserver.snapshot(),
    )
    .await;
    let children: Vec<_> = report.writes.iter().take(4).map(String::as_str).collect();
    assert_eq!(
        children,
        [
            "PATCH /api/v1/namespaces/acme-tenant/secrets/payment-worker-engine-access",
            "PATCH /apis/apps/v1/namespaces/acme-tenant/deployments/payment-worker",
            "PATCH /apis/autoscaling/v2/namespaces/acme-tenant/horizontalpodautoscalers/payment-worker",
            "PATCH /apis/policy/v1/namespaces/acme-tenant/poddisruptionbudgets/payment-worker",
        ]
    );
}

fn children(apiserver: &FakeApiServer) -> [usize; 4] {
    let secrets = apiserver.list::<Secret>(ACME);
    [
        secrets
            .iter()
            .filter(|it| it.metadata.name.as_deref() == Some("payment-worker-engine-access"))
            .count(),
        apiserver.list::<Deployment>(ACME).len(),
        apiserver.list::<HorizontalPodAutoscaler>(ACME).len(),
        apiserver.list::<PodDisruptionBudget>(ACME).len(),
    ]
}

#[tokio::test]
async fn a_grant_that_ends_takes_the_fleet_along_in_one_pass_and_one_that_returns_brings_it_back() {
    let apiserver = world(&seed());
    settle(&apiserver).await;
    apiserver.edit::<Namespace>("", ACME, |it| it["metadata"]["labels"] = json!({}));
    one_pass(&apiserver).await;
    assert_eq!(children(&apiserver), [0, 0, 0, 0]);

    // The pass after it knows that nothing is left.
    one_pass(&apiserver).await;
    assert_eq!(
        reported(&apiserver),
        as_reported(WorkerPhase::Pending, WorkerReason::ReferenceNotPermittedOrMissing)
    );
    apiserver.forget_requests();
    one_pass(&apiserver).await;
    assert_eq!(apiserver.mutations(), []);

    apiserver.edit::<Namespace>("", ACME, |it| it["metadata"]["labels"] = json!({TENANT: "acme"}));
    settle(&apiserver).await;
    assert_eq!(children(&apiserver), [1, 1, 1, 1]);
}

#[tokio::test]
async fn a_pause_does_not_keep_what_is_no_longer_granted() {
    let apiserver = world(&seed());
    settle(&apiserver).await;
    apiserver.edit::<WorkflowWorker>(ACME, WORKER, |it| it["spec"]["paused"] = json!(true));
    apiserver.edit::<Namespace>("", ACME, |it| it["metadata"]["labels"] = json!({}));
    one_pass(&apiserver).await;
    assert_eq!(children(&apiserver), [0, 0, 0, 0]);
}

#[tokio::test]
async fn a_cluster_that_exists_and_cannot_be_read_takes_no_fleet_down() {
    let apiserver = world(&seed());
    settle(&apiserver).await;
    let client = apiserver.client();
    let mut blind = directory(&client).await;
    blind.clusters = store_of(Vec::new());
    let context = context(&client, blind, caches(&client, ACME).await);
    let pass = pass_with(context, &client, ACME).await;
    assert!(matches!(pass.next, Next::Wait { .. }), "{:?}", pass.next);
    assert_eq!(children(&apiserver), [1, 1, 1, 1]);
    assert_eq!(reported(&apiserver), as_reported(WorkerPhase::Degraded, WorkerReason::ClusterNotReady));
}

#[tokio::test]
async fn a_paused_worker_gets_no_writes_but_its_status() {
    let apiserver = world(&seed());
    settle(&apiserver).await;
    apiserver.edit::<WorkflowWorker>(ACME, WORKER, |it| {
        it["spec"]["paused"] = json!(true);
        it["spec"]["image"] = json!("acme/payment-worker:2.0.0");
    });
    one_pass(&apiserver).await;
    assert_eq!(
        writes(&apiserver),
        [
            "PATCH /apis/workflow.example.com/v1alpha1/namespaces/acme-tenant/workflowworkers/payment-worker/status"
        ]
    );
    assert_eq!(reported(&apiserver), as_reported(WorkerPhase::Running, WorkerReason::Paused));
}

#[tokio::test]
async fn a_worker_that_goes_is_left_to_the_garbage_collector() {
    let apiserver = world(&seed());
    apiserver.edit::<WorkflowWorker>(ACME, WORKER, |it| {
        it["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        it["metadata"]["finalizers"] = json!(["foregroundDeletion"]);
    });
    assert_eq!(one_pass(&apiserver).await, Next::Gone);
    assert_eq!(apiserver.mutations(), []);
}

#[tokio::test]
async fn a_foreign_deployment_is_neither_adopted_nor_scaled() {
    let apiserver = world(&seed());
    let foreign: Deployment = serde_json::from_value(json!({
        "metadata": {"name": WORKER, "namespace": ACME}, "spec": {"replicas": 1, "selector": {}, "template": {}},
    }))
    .unwrap();
    apiserver.seed(&foreign);
    let before = apiserver.get::<Deployment>(ACME, WORKER);
    one_pass(&apiserver).await;
    assert_eq!(apiserver.get::<Deployment>(ACME, WORKER), before);
    assert_eq!(children(&apiserver), [1, 1, 0, 0]);
    assert_eq!(reported(&apiserver), as_reported(WorkerPhase::Failed, WorkerReason::NameTaken));

    apiserver.remove::<Deployment>(ACME, WORKER);
    settle(&apiserver).await;
}

/// As RBAC refuses, in whichever namespace the path names.
fn refuse(apiserver: &FakeApiServer, part_of_path: &'static str, namespace: &'static str) {
    apiserver.intercept(move |request| {
        let why = format!(
            r#"User "system:serviceaccount:workflow-system:workflow-worker-controller" cannot get resource "x" in API group "" in the namespace "{namespace}""#
        );
        let is_meant = request.path.contains(part_of_path);
        is_meant.then(|| reply::forbidden("x", WORKER, &why).into())
    });
}

#[tokio::test]
async fn a_namespace_that_did_not_opt_in_is_reported_with_the_role_binding_that_is_missing() {
    let apiserver = world(&seed());
    refuse(&apiserver, "/namespaces/acme-tenant/deployments/", ACME);
    assert_eq!(one_pass(&apiserver).await, Next::Failed(ErrorClass::Denied));
    assert_eq!(reported(&apiserver), as_reported(WorkerPhase::Pending, WorkerReason::Denied));
    let message = "no permission in namespace acme-tenant: create a RoleBinding there of ClusterRole \
                   workflow-worker-controller-workload-namespace to ServiceAccount workflow-system/workflow-worker-controller";
    assert_eq!(status(&apiserver).message.as_deref(), Some(message));
}

#[tokio::test]
async fn a_key_that_the_cluster_has_not_permitted_yet_is_no_task_for_a_person() {
    let apiserver = world(&seed());
    refuse(&apiserver, "/secrets/prod-east-engine-worker-key", HOME);
    assert_eq!(one_pass(&apiserver).await, Next::Failed(ErrorClass::Denied));
    assert_eq!(
        reported(&apiserver),
        as_reported(WorkerPhase::Pending, WorkerReason::EngineCredentialsMissing)
    );
    let message = "no permission yet to read Secret prod-east-engine-worker-key of WorkflowCluster \
                   workflow-system/prod-east: the cluster-controller makes a Role and a RoleBinding of that name; \
                   if this lasts, look at the WorkflowCluster";
    assert_eq!(status(&apiserver).message.as_deref(), Some(message));
}

#[tokio::test]
async fn a_clusters_namespace_that_is_closed_is_reported_with_the_role_binding_that_is_missing() {
    let apiserver = world(&seed());
    refuse(&apiserver, "/configmaps/prod-east-engine-ca", HOME);
    assert_eq!(one_pass(&apiserver).await, Next::Failed(ErrorClass::Denied));
    assert_eq!(
        reported(&apiserver),
        as_reported(WorkerPhase::Pending, WorkerReason::EngineCredentialsMissing)
    );
    let message = "no permission in namespace workflow-system: create a RoleBinding there of ClusterRole \
                   workflow-worker-controller-cluster-namespace to ServiceAccount workflow-system/workflow-worker-controller";
    assert_eq!(status(&apiserver).message.as_deref(), Some(message));
}

#[tokio::test]
async fn a_settled_worker_costs_one_read_per_resync() {
    let apiserver = world(&worker(EVERY_FIELD, ACME, |_| ()));
    settle(&apiserver).await;
    let client = apiserver.client();
    let context = context(&client, directory(&client).await, caches(&client, ACME).await);
    let reconciler = passes(context);
    let settled = std::sync::Arc::new(apiserver.get::<WorkflowWorker>(ACME, WORKER).unwrap());
    let requests = async || {
        apiserver.forget_requests();
        let next = Box::pin(reconciler.reconcile(settled.clone())).await.next;
        assert_eq!(next, Next::Settled { resync: RESYNC });
        let requests = apiserver.requests().into_iter();
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
async fn a_write_that_is_refused_ends_the_pass_and_is_reported() {
    let apiserver = world(&seed());
    apiserver.intercept(|request| {
        let is_apply = request.method == "PATCH" && request.path.contains("/deployments/");
        is_apply.then(|| reply::forbidden("deployments.apps", WORKER, "exceeded quota: pods").into())
    });
    assert_eq!(one_pass(&apiserver).await, Next::Failed(ErrorClass::Denied));
    assert_eq!(children(&apiserver), [1, 0, 0, 0]);
    assert_eq!(reported(&apiserver), as_reported(WorkerPhase::Pending, WorkerReason::Denied));
    let message = status(&apiserver).message.unwrap();
    assert!(message.starts_with("failed to apply Deployment acme-tenant/payment-worker: "), "{message}");
    assert!(message.contains("exceeded quota: pods"), "{message}");
}

#[tokio::test]
async fn what_the_spec_names_and_is_missing_is_reported_and_awaited() {
    let apiserver = world(&worker(EVERY_FIELD, ACME, |_| ()));
    apiserver.remove::<ServiceAccount>(ACME, "worker-sa");
    apiserver.edit::<Secret>(ACME, "stripe", |it| it["data"] = json!({"other": "eA=="}));
    apiserver.remove::<Secret>(ACME, "registry");
    apiserver.edit::<Secret>(ACME, "mirror", |it| it["type"] = json!("Opaque"));
    one_pass(&apiserver).await;
    assert_eq!(reported(&apiserver), as_reported(WorkerPhase::Pending, WorkerReason::ServiceAccountMissing));

    let account: ServiceAccount =
        serde_json::from_value(json!({"metadata": {"name": "worker-sa", "namespace": ACME}})).unwrap();
    apiserver.seed(&account);
    for (secret, problem) in [
        ("registry", "does not exist"),
        ("mirror", "is of type Opaque, expected kubernetes.io/dockerconfigjson"),
    ] {
        one_pass(&apiserver).await;
        assert_eq!(reported(&apiserver), as_reported(WorkerPhase::Pending, WorkerReason::PullSecretMissing));
        let message = format!("spec.imagePullSecrets: Secret acme-tenant/{secret} {problem}");
        assert_eq!(status(&apiserver).message, Some(message));
        apiserver.remove::<Secret>(ACME, secret);
        apiserver.seed(&registry_login(secret));
    }
    one_pass(&apiserver).await;
    assert_eq!(reported(&apiserver), as_reported(WorkerPhase::Pending, WorkerReason::EnvSecretMissing));

    apiserver.edit::<Secret>(ACME, "stripe", |it| it["data"] = json!({"api-key": "eA=="}));
    settle(&apiserver).await;
}

#[tokio::test]
async fn a_pod_that_does_not_start_is_named_in_the_status() {
    let apiserver = world(&seed());
    one_pass(&apiserver).await;
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "payment-worker-x", "namespace": ACME, "labels": {
            "app.kubernetes.io/name": "workflow-worker", "app.kubernetes.io/instance": WORKER,
            "app.kubernetes.io/component": "worker",
        }},
        "status": {"containerStatuses": [{
            "name": "worker", "ready": false, "restartCount": 0, "image": "i", "imageID": "i",
            "state": {"waiting": {"reason": "ErrImagePull"}},
        }]},
    }))
    .unwrap();
    apiserver.seed(&pod);
    one_pass(&apiserver).await;
    assert_eq!(reported(&apiserver), as_reported(WorkerPhase::Failed, WorkerReason::RolloutFailed));
    let message = "pod payment-worker-x does not start: ImagePullBackOff";
    assert_eq!(status(&apiserver).message.as_deref(), Some(message));

    apiserver.remove::<Pod>(ACME, "payment-worker-x");
    settle(&apiserver).await;
}

#[tokio::test]
async fn a_secret_that_was_deleted_or_edited_is_made_again() {
    let apiserver = world(&seed());
    settle(&apiserver).await;
    let before = apiserver.get::<Secret>(ACME, "payment-worker-engine-access").unwrap();
    apiserver.remove::<Secret>(ACME, "payment-worker-engine-access");
    settle(&apiserver).await;
    let again = apiserver.get::<Secret>(ACME, "payment-worker-engine-access").unwrap();
    assert_eq!(again.data, before.data);
    apiserver.edit::<Secret>(ACME, "payment-worker-engine-access", |it| it["data"]["token"] = json!("eA=="));
    settle(&apiserver).await;
    let again = apiserver.get::<Secret>(ACME, "payment-worker-engine-access").unwrap();
    assert_eq!(again.data, before.data);
}

#[tokio::test]
async fn credentials_that_are_not_there_yet_are_awaited() {
    let apiserver = world(&seed());
    apiserver.remove::<Secret>(HOME, "prod-east-engine-worker-key");
    assert_eq!(one_pass(&apiserver).await, Next::Failed(ErrorClass::Transient));
    assert_eq!(
        reported(&apiserver),
        as_reported(WorkerPhase::Pending, WorkerReason::EngineCredentialsMissing)
    );
    assert_eq!(children(&apiserver), [0, 0, 0, 0]);
    apiserver.seed(&worker_key(HOME));
    settle(&apiserver).await;
}

#[tokio::test]
async fn a_lag_that_moves_a_little_is_not_written_and_one_that_moves_much_is_written_once() {
    let apiserver = world(&seed());
    settle(&apiserver).await;
    for lag in [61, 63, 57, 65] {
        play_kubernetes(&apiserver, lag);
        one_pass(&apiserver).await;
    }
    assert_eq!(writes(&apiserver), Vec::<String>::new());
    play_kubernetes(&apiserver, 120);
    one_pass(&apiserver).await;
    one_pass(&apiserver).await;
    assert_eq!(
        writes(&apiserver),
        [
            "PATCH /apis/workflow.example.com/v1alpha1/namespaces/acme-tenant/workflowworkers/payment-worker/status"
        ]
    );
    assert_eq!(status(&apiserver).current_lag_seconds, Some(120));
}

/// One pass whose watches show the world as it was when `before` was called, and whose worker is current.
async fn late_pass(client: &Client, caches: controller_kit::children::ChildCaches) -> Next {
    pass_with(context(client, directory(client).await, caches), client, ACME).await.next
}

#[tokio::test]
async fn a_scale_that_the_watch_has_not_seen_is_never_taken_back() {
    let apiserver = world(&seed());
    settle(&apiserver).await;
    let client = apiserver.client();
    let stale = caches(&client, ACME).await;
    apiserver.edit::<Deployment>(ACME, WORKER, |it| it["spec"]["replicas"] = json!(8));
    apiserver
        .edit::<WorkflowWorker>(ACME, WORKER, |it| it["spec"]["image"] = json!("acme/payment-worker:2.0.0"));
    let reported_before = reported(&apiserver);
    assert_eq!(late_pass(&client, stale).await, Next::Failed(ErrorClass::Conflict));
    assert_eq!(reported(&apiserver), reported_before, "a conflict is not reported");
    settle(&apiserver).await;
    let spec = apiserver.get::<Deployment>(ACME, WORKER).unwrap().spec.unwrap();
    assert_eq!(spec.replicas, Some(8));
    let container = spec.template.spec.unwrap().containers.remove(0);
    assert_eq!(container.image.as_deref(), Some("acme/payment-worker:2.0.0"));
}
