//! Objects that other writers made impossible, on a real API server.

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use test_support::Faults;

use crate::apiserver::Home;
use crate::world::{SEED, WORKER, good_pass};

/// A volume has one source. Server-side apply keeps that of the other writer beside ours.
#[tokio::test]
async fn a_volume_that_somebody_gave_another_source_gets_ours_back() {
    let apiserver = test_support::require_apiserver!();
    let home = Home::new(apiserver, "impossible").await;
    home.apply(SEED, |_| ()).await;
    home.passes(2).await;
    let edit = Patch::Strategic(json!({
        "spec": {"template": {"spec": {"volumes": [
            {"name": "engine-access", "secret": null, "hostPath": {"path": "/tmp"}},
        ]}}},
    }));
    let by_hand = PatchParams { field_manager: Some("kubectl-edit".into()), ..PatchParams::default() };
    home.api::<Deployment>().patch(WORKER, &by_hand, &edit).await.unwrap();
    home.passes(1).await;
    let pod = home.deployment().await.spec.unwrap().template.spec.unwrap();
    let access = pod.volumes.unwrap().into_iter().find(|volume| volume.name == "engine-access").unwrap();
    assert!(access.host_path.is_none() && access.secret.is_some(), "{access:?}");
    let faults = Faults::none();
    home.passes(1).await;
    good_pass(&faults.wrap(home.client.clone()), &home.namespace).await;
    assert_eq!(faults.writes(), Vec::<String>::new());
}
