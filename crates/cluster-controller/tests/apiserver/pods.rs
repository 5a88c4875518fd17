//! Pods that Kubernetes refuses to create, with its own controllers at work.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use test_support::wait::eventually;

use crate::world::{ENGINE, World, read};

fn unheard_of(cluster: &mut Value) {
    cluster["spec"]["scheduling"] = json!({"priorityClassName": "nobody-made-it"});
}

/// Reason and message of `Ready`, as soon as the reason is this one.
async fn reported(home: &World, reason: &'static str) -> String {
    let reported = eventually("the status tells it", Duration::from_secs(30), || async {
        home.pass().await;
        let status = home.cluster().await.status.unwrap_or_default();
        let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
        let ready = ready.map(|ready| (ready.reason.clone(), ready.message.clone())).unwrap_or_default();
        if ready.0 == reason { Ok(ready.1) } else { Err(format!("{ready:?}")) }
    });
    Box::pin(reported).await
}

#[tokio::test]
async fn a_migration_without_a_pod_says_why() {
    let apiserver = test_support::require_controller_manager!();
    let home = World::new(apiserver, "no-migration").await;
    home.apply(unheard_of).await;
    home.await_rights().await;
    let message = reported(&home, "FailedCreate").await;
    let job = home.api::<Job>().list(&ListParams::default()).await.unwrap().items.remove(0).name_any();
    assert_eq!(
        message,
        format!(
            "the pods of Job {job} cannot be created: PriorityClass nobody-made-it does not exist; see kubectl -n {} describe job {job}",
            home.name
        )
    );
}

#[tokio::test]
async fn an_engine_without_pods_says_why_until_they_can_be_made() {
    let apiserver = test_support::require_controller_manager!();
    let home = World::new(apiserver, "no-pods").await;
    *home.database.0.lock().unwrap() = Some("1.2.3".to_owned());
    let quota = json!({"metadata": {"name": "small"}, "spec": {"hard": {"pods": "0"}}});
    let quotas: Api<k8s_openapi::api::core::v1::ResourceQuota> = home.api();
    quotas.create(&PostParams::default(), &read(quota)).await.unwrap();
    home.apply(|_| ()).await;
    home.await_rights().await;
    assert_eq!(
        reported(&home, "FailedCreate").await,
        format!(
            "the pods of StatefulSet {ENGINE} cannot be created: ResourceQuota small is used up; see kubectl -n {} describe statefulset {ENGINE}",
            home.name
        )
    );
    quotas.delete("small", &DeleteParams::default()).await.unwrap();
    reported(&home, "EngineStarting").await;
}
