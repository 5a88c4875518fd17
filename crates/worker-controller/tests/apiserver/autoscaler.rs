//! The number of pods is the autoscaler's. Some of the tests have a real kube-controller-manager.

use std::time::Duration;

use api_types::WorkflowWorker;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use kube::api::DeleteParams;
use serde_json::json;
use test_support::wait::{await_condition, await_gone};

use crate::world::{ACCESS, SEED, WORKER, World, autoscaling, fixed};

const PATIENCE: Duration = Duration::from_mins(1);

/// Raising its least number makes an autoscaler scale also without metrics, through the scale subresource as always.
async fn scale_by_least(home: &World, least: i32, most: i32) {
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
    let home = World::new(apiserver, "hpa").await;
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
    let home = World::new(apiserver, "rival").await;
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
    let home = World::new(apiserver, "gone").await;
    scale_by_least(&home, 2, 20).await;
    home.api::<WorkflowWorker>().delete(WORKER, &DeleteParams::default()).await.unwrap();
    await_gone(&home.api::<Deployment>(), WORKER, PATIENCE).await;
    await_gone(&home.api::<HorizontalPodAutoscaler>(), WORKER, PATIENCE).await;
    await_gone(&home.api::<Secret>(), ACCESS, PATIENCE).await;
}

#[tokio::test]
async fn what_the_autoscaler_scaled_stays_whatever_else_changes() {
    let apiserver = test_support::require_apiserver!();
    let home = World::new(apiserver, "scale").await;
    home.apply(SEED, |worker| worker["spec"]["replicas"] = json!(2)).await;
    home.passes(2).await;
    assert_eq!(home.replicas().await, 2);

    home.scale(8).await;
    home.passes(3).await;
    assert_eq!(home.replicas().await, 8);
    home.apply(SEED, |worker| worker["spec"]["image"] = json!("acme/payment-worker:2.0.0")).await;
    home.passes(2).await;
    assert_eq!(home.replicas().await, 8);
    let image = home.deployment().await.spec.unwrap().template.spec.unwrap().containers.remove(0).image;
    assert_eq!(image.as_deref(), Some("acme/payment-worker:2.0.0"));
    home.scale(5).await;
    home.passes(2).await;
    assert_eq!(home.replicas().await, 5);
}

/// The number of pods is the autoscaler's until it is switched off: taking it back is no conflict. Later it is one.
#[tokio::test]
async fn a_handover_of_the_number_of_pods_is_no_conflict() {
    let apiserver = test_support::require_apiserver!();
    let home = World::new(apiserver, "handover").await;
    home.apply(SEED, autoscaling).await;
    home.passes(2).await;
    home.scale(9).await;
    home.passes(1).await;
    home.apply(SEED, fixed(4)).await;
    home.passes(2).await;
    assert_eq!((home.replicas().await, home.conflicts().await), (4, Vec::new()));

    home.scale(7).await;
    home.passes(1).await;
    let reported = format!(
        r#"Conflict: set back what others changed: Deployment {}/{WORKER}: "kube-controller-manager" set .spec.replicas"#,
        home.name
    );
    assert_eq!((home.replicas().await, home.conflicts().await), (4, vec![("Warning".to_owned(), reported)]));
}

/// Without the handover the apply that no longer names the number would set it to 1.
#[tokio::test]
async fn autoscaling_switched_on_and_off_never_drops_a_pod() {
    let apiserver = test_support::require_apiserver!();
    let home = World::new(apiserver, "toggle").await;
    home.apply(SEED, fixed(6)).await;
    home.passes(2).await;
    assert_eq!(home.replicas().await, 6);

    home.apply(SEED, autoscaling).await;
    home.passes(2).await;
    assert_eq!(home.replicas().await, 6);
    home.apply(SEED, |worker| {
        autoscaling(worker);
        worker["spec"]["image"] = json!("acme/payment-worker:2.0.0");
    })
    .await;
    home.passes(2).await;
    assert_eq!(home.replicas().await, 6, "still nobody else owns the number");
    home.scale(9).await;
    home.passes(2).await;
    assert_eq!(home.replicas().await, 9);

    // The seed's `replicas: 3` is what the autoscaled fleet does not follow.
    home.apply(SEED, fixed(3)).await;
    home.passes(3).await;
    assert_eq!(home.replicas().await, 9, "switched off, the pods that run stay");
    assert_eq!(home.api::<HorizontalPodAutoscaler>().get_opt(WORKER).await.unwrap(), None);
    home.apply(SEED, |worker| {
        fixed(3)(worker);
        worker["spec"]["image"] = json!("acme/payment-worker:3.0.0");
    })
    .await;
    home.passes(2).await;
    assert_eq!(home.replicas().await, 9, "whatever else changes");
    home.apply(SEED, fixed(4)).await;
    home.passes(2).await;
    assert_eq!(home.replicas().await, 4, "until the spec names another number");
    home.apply(SEED, autoscaling).await;
    home.passes(2).await;
    assert_eq!(home.replicas().await, 4);
}

#[tokio::test]
async fn a_fleet_that_stands_at_zero_is_woken_for_its_autoscaler() {
    let apiserver = test_support::require_apiserver!();
    let home = World::new(apiserver, "zero").await;
    home.apply(SEED, fixed(0)).await;
    home.passes(2).await;
    assert_eq!(home.replicas().await, 0);
    home.apply(SEED, |worker| {
        autoscaling(worker);
        worker["spec"]["replicas"] = json!(0);
    })
    .await;
    home.passes(2).await;
    assert_eq!(home.replicas().await, 2);
}

#[tokio::test]
async fn we_own_what_we_apply_and_not_the_number_of_pods() {
    let apiserver = test_support::require_apiserver!();
    let home = World::new(apiserver, "owners").await;
    home.apply(SEED, |_| ()).await;
    home.passes(1).await;
    home.scale(8).await;
    home.passes(1).await;
    let owners: Vec<_> = home
        .deployment()
        .await
        .managed_fields()
        .iter()
        .filter(|entry| {
            entry.fields_v1.as_ref().is_some_and(|fields| fields.0.pointer("/f:spec/f:replicas").is_some())
        })
        .map(|entry| (entry.manager.clone().unwrap(), entry.subresource.clone().unwrap_or_default()))
        .collect();
    assert_eq!(owners, [("kube-controller-manager".to_owned(), "scale".to_owned())]);
}
