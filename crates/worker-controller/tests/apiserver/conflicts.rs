//! Fields that another writer sets, on a real API server, where field ownership is.

use std::time::Duration;

use api_types::WorkflowWorker;
use api_types::labels::WORKER_CONTROLLER;
use controller_kit::apply::Writer;
use controller_kit::outcome::{ErrorClass, Next};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams};
use rstest::rstest;
use serde_json::json;
use test_support::Faults;

use crate::world::{SEED, WORKER, World};

/// Another controller that sets the image whenever it differs from what it wants, for as long as anybody likes.
#[tokio::test]
async fn a_fight_over_a_field_is_reported_and_not_fought_at_full_speed() {
    let apiserver = test_support::require_apiserver!();
    let home = World::new(apiserver, "fight").await;
    home.apply(SEED, |worker| worker["spec"]["image"] = json!("ours:1")).await;
    home.passes(2).await;
    let faults = Faults::none();
    let counted = faults.wrap(home.client.clone());
    let writer = Writer::new(counted.clone(), WORKER_CONTROLLER.field_manager);
    let pass = async || home.pass_of(&writer, &counted).await;
    let rival = async || {
        let image = json!([{"name": "worker", "image": "theirs:1"}]);
        let patch = Patch::Strategic(json!({"spec": {"template": {"spec": {"containers": image}}}}));
        let params = PatchParams { field_manager: Some("image-updater".into()), ..PatchParams::default() };
        home.api::<Deployment>().patch(WORKER, &params, &patch).await.unwrap();
    };
    let image = async || {
        home.deployment().await.spec.unwrap().template.spec.unwrap().containers.remove(0).image.unwrap()
    };
    let of_deployment =
        |writes: Vec<String>| writes.into_iter().filter(|write| write.contains("/deployments/")).count();

    rival().await;
    pass().await;
    assert_eq!(image().await, "ours:1");
    let fields = r#""image-updater" set .spec.template.spec.containers[name="worker"].image"#;
    let object = format!("Deployment {}/{WORKER}", home.name);
    let note = format!("Conflict: set back what others changed: {object}: {fields}");
    assert_eq!(home.conflicts().await, [("Warning".to_owned(), note)]);

    rival().await;
    let writes_before = of_deployment(faults.writes());
    for _ in 0..10 {
        assert_eq!(pass().await.next, Next::Failed(ErrorClass::FieldConflict));
    }
    assert_eq!(of_deployment(faults.writes()) - writes_before, 1, "asked once, and then left alone");
    assert_eq!(image().await, "theirs:1");
    let status = home.api::<WorkflowWorker>().get(WORKER).await.unwrap().status.unwrap();
    let conditions: Vec<_> = status
        .conditions
        .iter()
        .filter(|condition| ["Ready", "Reconciling", "Stalled"].contains(&condition.type_.as_str()))
        .map(|condition| (condition.type_.as_str(), condition.status.as_str(), condition.reason.as_str()))
        .collect();
    assert_eq!(conditions, [("Ready", "False", "Conflict"), ("Stalled", "True", "Conflict")]);
    let message =
        format!("changed by others again and again, set back at most once a minute: {object}: {fields}");
    assert_eq!(status.message, Some(message));

    tokio::time::sleep(Duration::from_secs(2)).await;
    pass().await;
    assert_eq!(
        (image().await.as_str(), home.ready_reason().await.as_str()),
        ("ours:1", "ServiceAccountMissing")
    );
}

/// A volume has one source. Server-side apply keeps that of the other writer beside ours.
#[rstest]
#[case::of_the_credentials("engine-access", "secret")]
#[case::for_temporary_files("tmp", "emptyDir")]
#[tokio::test]
async fn a_volume_that_somebody_gave_another_source_gets_ours_back(#[case] name: &str, #[case] source: &str) {
    let apiserver = test_support::require_apiserver!();
    let home = World::new(apiserver, "impossible").await;
    home.apply(SEED, |_| ()).await;
    home.passes(2).await;
    let edit = Patch::Strategic(json!({
        "spec": {"template": {"spec": {"volumes": [
            {"name": name, source: null, "hostPath": {"path": "/tmp"}},
        ]}}},
    }));
    let by_hand = PatchParams { field_manager: Some("kubectl-edit".into()), ..PatchParams::default() };
    home.api::<Deployment>().patch(WORKER, &by_hand, &edit).await.unwrap();
    home.passes(1).await;
    let pod = home.deployment().await.spec.unwrap().template.spec.unwrap();
    let volume = pod.volumes.unwrap().into_iter().find(|volume| volume.name == name).unwrap();
    let volume = json!(volume);
    assert!(volume.get("hostPath").is_none() && volume.get(source).is_some(), "{volume}");
    let faults = Faults::none();
    home.passes(1).await;
    home.good_pass(&faults.wrap(home.client.clone())).await;
    assert_eq!(faults.writes(), Vec::<String>::new());
}
