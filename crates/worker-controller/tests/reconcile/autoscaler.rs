//! With a real kube-controller-manager: the autoscaler itself scales, and the garbage collector cleans up.

use std::time::Duration;

use api_types::WorkflowWorker;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Secret;
use kube::api::DeleteParams;
use serde_json::json;
use test_support::wait::{await_condition, await_gone};

use crate::apiserver::Home;
use crate::world::{SEED, WORKER};

const PATIENCE: Duration = Duration::from_mins(1);

/// Raising its least number makes an autoscaler scale also without metrics, through the scale subresource as always.
async fn scale_by_least(home: &Home, least: i32, most: i32) {
    home.apply(SEED, |worker| {
        worker["spec"]["autoscaling"] = json!({"minReplicas": least, "maxReplicas": most});
        worker["spec"]["replicas"] = json!(2);
        worker["spec"].as_object_mut().unwrap().remove("authentication");
    })
    .await;
    home.passes(2).await;
}

fn has_replicas(wanted: i32) -> impl Fn(&Deployment) -> bool {
    move |deployment| deployment.spec.as_ref().and_then(|spec| spec.replicas) == Some(wanted)
}

#[tokio::test]
async fn a_real_autoscaler_takes_over_and_is_never_fought() {
    let apiserver = test_support::require_controller_manager!();
    let home = Home::new(apiserver, "hpa").await;
    scale_by_least(&home, 2, 20).await;
    assert_eq!(home.replicas().await, 2);

    scale_by_least(&home, 8, 20).await;
    await_condition(&home.api::<Deployment>(), WORKER, PATIENCE, "has 8 pods", has_replicas(8)).await;
    home.passes(3).await;
    assert_eq!(home.replicas().await, 8);

    // Back to 2 at least: without metrics the autoscaler keeps what is there, and so do we.
    scale_by_least(&home, 2, 20).await;
    home.passes(3).await;
    assert_eq!(home.replicas().await, 8);

    let without_metrics = |autoscaler: &HorizontalPodAutoscaler| {
        let conditions = autoscaler.status.as_ref().and_then(|status| status.conditions.as_ref());
        conditions
            .is_some_and(|all| all.iter().any(|c| c.reason.as_deref() == Some("FailedGetExternalMetric")))
    };
    await_condition(&home.api(), WORKER, PATIENCE, "misses its metrics", without_metrics).await;
    home.passes(1).await;
    let status = home.api::<WorkflowWorker>().get(WORKER).await.unwrap().status.unwrap();
    let metrics = status.conditions.iter().find(|condition| condition.type_ == "MetricsAvailable").unwrap();
    assert_eq!((metrics.status.as_str(), metrics.reason.as_str()), ("False", "MetricsUnavailable"));
}

#[tokio::test]
async fn a_second_autoscaler_is_named() {
    let apiserver = test_support::require_controller_manager!();
    let home = Home::new(apiserver, "rival").await;
    scale_by_least(&home, 2, 20).await;
    let mut rival = home.api::<HorizontalPodAutoscaler>().get(WORKER).await.unwrap();
    rival.metadata = kube::api::ObjectMeta { name: Some("rival".into()), ..kube::api::ObjectMeta::default() };
    rival.status = None;
    home.api().create(&kube::api::PostParams::default(), &rival).await.unwrap();
    let is_ambiguous = |autoscaler: &HorizontalPodAutoscaler| {
        let conditions = autoscaler.status.as_ref().and_then(|status| status.conditions.as_ref());
        conditions.is_some_and(|all| all.iter().any(|c| c.reason.as_deref() == Some("AmbiguousSelector")))
    };
    await_condition(&home.api(), WORKER, PATIENCE, "sees its rival", is_ambiguous).await;
    home.passes(1).await;
    let status = home.api::<WorkflowWorker>().get(WORKER).await.unwrap().status.unwrap();
    let metrics = status.conditions.iter().find(|condition| condition.type_ == "MetricsAvailable").unwrap();
    assert_eq!((metrics.status.as_str(), metrics.reason.as_str()), ("False", "AutoscalerConflict"));
    assert!(metrics.message.contains("rival"), "{}", metrics.message);
}

#[tokio::test]
async fn a_deleted_worker_takes_its_children_along() {
    let apiserver = test_support::require_controller_manager!();
    let home = Home::new(apiserver, "gone").await;
    scale_by_least(&home, 2, 20).await;
    home.api::<WorkflowWorker>().delete(WORKER, &DeleteParams::default()).await.unwrap();
    await_gone(&home.api::<Deployment>(), WORKER, PATIENCE).await;
    await_gone(&home.api::<HorizontalPodAutoscaler>(), WORKER, PATIENCE).await;
    await_gone(&home.api::<Secret>(), "payment-worker-engine-access", PATIENCE).await;
}
