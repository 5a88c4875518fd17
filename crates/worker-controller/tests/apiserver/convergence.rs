//! A worker from its creation on, on a real API server, where defaults and schemas are.

use api_types::WorkflowWorker;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use test_support::Faults;

use crate::world::{ACCESS, CLUSTER, EVERY_FIELD, SEED, WORKER, World};

#[tokio::test]
async fn the_seed_applied_unchanged_gives_the_expected_children_and_is_then_left_alone() {
    let apiserver = test_support::require_apiserver!();
    let home = World::new(apiserver, "seed").await;
    home.apply(SEED, |_| ()).await;
    home.passes(2).await;

    let spec = home.deployment().await.spec.unwrap();
    let pod = spec.template.spec.unwrap();
    let container = &pod.containers[0];
    assert_eq!(
        (spec.replicas, pod.service_account_name.as_deref(), container.image.as_deref()),
        (Some(3), Some("worker-sa"), Some("acme/payment-worker:1.2.3"))
    );
    assert_eq!(
        serde_json::to_value(&container.resources).unwrap(),
        json!({"requests": {"cpu": "500m", "memory": "256Mi"}, "limits": {"cpu": "2", "memory": "1Gi"}})
    );
    let autoscaler = home.api::<HorizontalPodAutoscaler>().get(WORKER).await.unwrap().spec.unwrap();
    let metrics: Vec<_> =
        autoscaler.metrics.into_iter().flatten().filter_map(|metric| metric.external).collect();
    let seen: Vec<_> = metrics
        .iter()
        .map(|external| {
            let labels = external.metric.selector.clone().unwrap().match_labels.unwrap();
            (labels["job_type"].clone(), external.target.average_value.clone().unwrap().0)
        })
        .collect();
    assert_eq!(seen, [("charge-payment".into(), "100".into()), ("refund-payment".into(), "100".to_owned())]);
    assert_eq!((autoscaler.min_replicas, autoscaler.max_replicas), (Some(2), 20));

    let before = home.written_versions().await;
    let faults = Faults::none();
    let counted = faults.wrap(home.client.clone());
    for _ in 0..50 {
        home.good_pass(&counted).await;
    }
    assert_eq!(home.written_versions().await, before, "a settled worker was written to");
    assert_eq!(faults.writes(), Vec::<String>::new(), "nor was anything asked of the API server");
}

#[tokio::test]
async fn every_field_is_accepted_and_settles() {
    let apiserver = test_support::require_apiserver!();
    let home = World::new(apiserver, "every-field").await;
    let tenant = |worker: &mut Value| {
        worker["spec"]["clusterRef"] = json!({"name": CLUSTER});
        worker["spec"]["tenantRef"] = json!({"name": "acme"});
    };
    home.apply(EVERY_FIELD, tenant).await;
    home.passes(2).await;
    let before = home.written_versions().await;
    home.passes(5).await;
    assert_eq!(home.written_versions().await, before, "a settled worker was written to");
}

#[tokio::test]
async fn drift_of_our_fields_is_undone_once_and_foreign_fields_stay() {
    let apiserver = test_support::require_apiserver!();
    let home = World::new(apiserver, "drift").await;
    home.apply(SEED, |_| ()).await;
    home.passes(2).await;
    let edit = Patch::Strategic(json!({
        "metadata": {"annotations": {"example.com/note": "theirs"}, "labels": {"app.kubernetes.io/managed-by": "me"}},
        "spec": {
            "minReadySeconds": 0,
            "template": {"spec": {"containers": [{"name": "worker", "image": "evil/image"}], "hostNetwork": true}},
        },
    }));
    let by_hand = PatchParams { field_manager: Some("kubectl-edit".into()), ..PatchParams::default() };
    home.api::<Deployment>().patch(WORKER, &by_hand, &edit).await.unwrap();
    home.passes(1).await;
    let deployment = home.deployment().await;
    assert_eq!(deployment.annotations()["example.com/note"], "theirs");
    assert_eq!(deployment.labels()["app.kubernetes.io/managed-by"], "workflow-operator");
    let spec = deployment.spec.clone().unwrap();
    let image = &spec.template.spec.unwrap().containers[0].image;
    assert_eq!((spec.min_ready_seconds, image.as_deref()), (Some(10), Some("acme/payment-worker:1.2.3")));
    let before = home.written_versions().await;
    home.passes(3).await;
    assert_eq!(home.written_versions().await, before, "a settled worker was written to");
}

#[tokio::test]
async fn a_variable_that_somebody_adds_to_the_deployment_costs_no_writes() {
    let apiserver = test_support::require_apiserver!();
    let home = World::new(apiserver, "added").await;
    home.apply(SEED, |_| ()).await;
    home.passes(2).await;
    let add = Patch::Strategic(json!({
        "spec": {"template": {"spec": {"containers": [{"name": "worker", "env": [{"name": "THEIRS", "value": "1"}]}]}}},
    }));
    let by_hand = PatchParams { field_manager: Some("kubectl-set".into()), ..PatchParams::default() };
    home.api::<Deployment>().patch(WORKER, &by_hand, &add).await.unwrap();
    home.passes(2).await;
    let faults = Faults::none();
    home.good_pass(&faults.wrap(home.client.clone())).await;
    assert_eq!(faults.writes(), Vec::<String>::new());
}

#[tokio::test]
async fn a_deleted_child_is_made_again() {
    let apiserver = test_support::require_apiserver!();
    let home = World::new(apiserver, "deleted").await;
    home.apply(SEED, |_| ()).await;
    home.passes(2).await;
    let delete = DeleteParams::default();
    home.api::<Deployment>().delete(WORKER, &delete).await.unwrap();
    home.api::<HorizontalPodAutoscaler>().delete(WORKER, &delete).await.unwrap();
    home.api::<PodDisruptionBudget>().delete(WORKER, &delete).await.unwrap();
    home.api::<Secret>().delete(ACCESS, &delete).await.unwrap();
    home.passes(2).await;
    assert_eq!(home.written_versions().await.len(), 5);
}

#[tokio::test]
async fn what_the_apiserver_refuses_of_the_spec_is_reported_as_the_specs_fault() {
    let apiserver = test_support::require_apiserver!();
    let home = World::new(apiserver, "refused").await;
    let valued = json!({"tolerations": [{"operator": "Exists", "key": "dedicated", "value": "workflow"}]});
    home.apply(SEED, |worker| worker["spec"]["scheduling"] = valued).await;
    home.pass(&home.client).await;
    let status = home.api::<WorkflowWorker>().get(WORKER).await.unwrap().status.unwrap();
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
    assert_eq!(ready.reason, "InvalidSpec");
    assert!(ready.message.starts_with("spec.scheduling.tolerations[0]"), "{}", ready.message);
}
