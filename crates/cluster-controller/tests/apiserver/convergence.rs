//! A cluster from its creation on, on a real API server, where field ownership, defaults, schemas and RBAC are.

use std::time::Duration;

use api_types::WorkflowCluster;
use cluster_controller::status::RESYNC;
use controller_kit::outcome::Next;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;
use test_support::wait::eventually;

use crate::world::{CLUSTER, ENGINE, World, read};

#[tokio::test]
async fn a_settled_cluster_is_not_written_in_fifty_passes() {
    let apiserver = test_support::require_apiserver!();
    let home = World::new(apiserver, "settled").await;
    home.apply(|_| ()).await;
    home.settle_with_fresh_rights().await;
    let status = home.cluster().await.status.unwrap();
    assert!(status.ready, "{status:#?}");
    let before = home.written_versions().await;
    assert!(before.len() >= 12, "{before:#?}");
    for _ in 0..50 {
        assert_eq!(home.pass().await.next, Next::Settled { resync: RESYNC });
    }
    assert_eq!(home.written_versions().await, before);
}

#[tokio::test]
async fn what_is_ours_is_put_right_and_what_others_add_is_kept() {
    let apiserver = test_support::require_apiserver!();
    let home = World::new(apiserver, "drift").await;
    home.apply(|_| ()).await;
    home.settle_with_fresh_rights().await;
    let params = PatchParams { field_manager: Some("somebody".to_owned()), ..PatchParams::default() };
    let change = json!({
        "metadata": {"annotations": {"example.com/theirs": "kept"}, "labels": {"app.kubernetes.io/part-of": "drifted"}},
        "spec": {"updateStrategy": {"rollingUpdate": {"partition": 0}}},
    });
    home.api::<StatefulSet>().patch(ENGINE, &params, &Patch::Merge(change)).await.unwrap();
    let change = json!({"spec": {"ports": [{"name": "grpc", "port": 1}]}});
    home.api::<Service>().patch(ENGINE, &params, &Patch::Merge(change)).await.unwrap();
    home.api::<ConfigMap>()
        .patch("prod-east-engine-ca", &params, &Patch::Merge(json!({"data": {"ca.crt": "mine"}})))
        .await
        .unwrap();
    home.settle().await;

    let set = home.api::<StatefulSet>().get(ENGINE).await.unwrap();
    assert_eq!(set.annotations().get("example.com/theirs").map(String::as_str), Some("kept"));
    assert_eq!(set.labels().get("app.kubernetes.io/part-of").map(String::as_str), Some("workflow"));
    let strategy = set.spec.unwrap().update_strategy.unwrap().rolling_update.unwrap();
    assert_eq!(strategy.partition, Some(3));
    let service = home.api::<Service>().get(ENGINE).await.unwrap();
    let ports: Vec<_> = service.spec.unwrap().ports.unwrap().into_iter().map(|port| port.port).collect();
    assert_eq!(ports, [26500, 8080]);
    let bundle = home.api::<ConfigMap>().get("prod-east-engine-ca").await.unwrap().data.unwrap();
    assert!(bundle["ca.crt"].starts_with("-----BEGIN CERTIFICATE-----"));
}

#[tokio::test]
async fn a_deleted_child_is_made_again_and_no_key_changes() {
    let apiserver = test_support::require_apiserver!();
    let home = World::new(apiserver, "deleted").await;
    home.apply(|_| ()).await;
    home.settle_with_fresh_rights().await;
    let names = |versions: Vec<String>| {
        let mut names: Vec<String> = versions
            .iter()
            .filter_map(|line| line.rsplit_once(' '))
            .map(|(name, _)| name.to_owned())
            .collect();
        names.retain(|name| !name.starts_with("Job"));
        names
    };
    let before = names(home.written_versions().await);
    let credentials = async || home.api::<Secret>().get("prod-east-engine-worker-key").await.unwrap().data;
    let keys = credentials().await;
    let params = DeleteParams::background();
    home.api::<StatefulSet>().delete(ENGINE, &params).await.unwrap();
    home.api::<Service>().delete(ENGINE, &params).await.unwrap();
    home.api::<Service>().delete("prod-east-engine-headless", &params).await.unwrap();
    home.api::<ConfigMap>().delete("prod-east-engine-ca", &params).await.unwrap();
    home.api::<PodDisruptionBudget>().delete(ENGINE, &params).await.unwrap();
    home.api::<NetworkPolicy>().delete(ENGINE, &params).await.unwrap();
    home.api::<Ingress>().delete(ENGINE, &params).await.unwrap();
    home.settle().await;
    assert_eq!(names(home.written_versions().await), before);
    assert_eq!(credentials().await, keys);
    assert!(home.cluster().await.status.unwrap().ready);
}

#[tokio::test]
async fn a_name_that_is_taken_is_refused() {
    let apiserver = test_support::require_apiserver!();
    let home = World::new(apiserver, "taken").await;
    let foreign: Service = read(json!({"metadata": {"name": ENGINE}, "spec": {"ports": [{"port": 80}]}}));
    home.api().create(&PostParams::default(), &foreign).await.unwrap();
    let before = home.api::<Service>().get(ENGINE).await.unwrap();
    home.apply(|_| ()).await;
    home.settle_with_fresh_rights().await;
    assert_eq!(home.api::<Service>().get(ENGINE).await.unwrap(), before);
    let status = home.cluster().await.status.unwrap();
    let stalled = status.conditions.iter().find(|condition| condition.type_ == "Stalled").unwrap();
    assert_eq!(stalled.reason, "NameTaken");
    assert!(home.api::<StatefulSet>().get_opt(ENGINE).await.unwrap().is_some());
}

#[tokio::test]
async fn optional_children_come_and_go_with_the_spec() {
    let apiserver = test_support::require_apiserver!();
    let home = World::new(apiserver, "optional").await;
    home.apply(|_| ()).await;
    home.settle_with_fresh_rights().await;
    let optional = async || {
        (
            home.api::<Ingress>().get_opt(ENGINE).await.unwrap().is_some(),
            home.api::<PodDisruptionBudget>().get_opt(ENGINE).await.unwrap().is_some(),
        )
    };
    assert_eq!(optional().await, (true, true));
    home.apply(|cluster| {
        cluster["spec"]["replicas"] = json!(1);
        cluster["spec"].as_object_mut().unwrap().remove("network");
    })
    .await;
    home.settle().await;
    assert_eq!(optional().await, (false, false));
    let status = home.cluster().await.status.unwrap();
    assert_eq!((status.ready, status.ready_replicas), (true, Some(1)));
}

#[tokio::test]
async fn the_scale_subresource_changes_the_engine() {
    let apiserver = test_support::require_apiserver!();
    let home = World::new(apiserver, "scale").await;
    home.apply(|_| ()).await;
    home.settle_with_fresh_rights().await;
    let clusters = home.api::<WorkflowCluster>();
    let patch = Patch::Merge(json!({"spec": {"replicas": 5}}));
    clusters.patch_scale(CLUSTER, &PatchParams::default(), &patch).await.unwrap();
    home.settle().await;
    let scale = clusters.get_scale(CLUSTER).await.unwrap().status.unwrap();
    assert_eq!(scale.replicas, 5);
    assert_eq!(
        scale.selector.as_deref(),
        Some(
            "app.kubernetes.io/component=engine,app.kubernetes.io/instance=prod-east,app.kubernetes.io/name=workflow-engine"
        )
    );
    assert_eq!(home.api::<StatefulSet>().get(ENGINE).await.unwrap().spec.unwrap().replicas, Some(5));
}

#[tokio::test]
async fn retained_secrets_outlive_the_cluster_and_serve_the_next_one() {
    let apiserver = test_support::require_controller_manager!();
    let home = World::new(apiserver, "retain").await;
    home.apply(|cluster| cluster["spec"]["deletionPolicy"] = json!("Retain")).await;
    home.await_rights().await;
    home.pass().await;
    home.pass().await;
    let secrets = async || {
        let ours = ListParams::default().labels("workflow.example.com/cluster=prod-east");
        let found = home.api::<Secret>().list(&ours).await.unwrap().items;
        found.into_iter().map(|secret| (secret.name_any(), secret.data)).collect::<Vec<_>>()
    };
    let before = secrets().await;
    assert_eq!(before.len(), 6);
    home.api::<WorkflowCluster>().delete(CLUSTER, &DeleteParams::default()).await.unwrap();
    home.pass().await;
    let collected = eventually("the other children are collected", Duration::from_mins(1), || async {
        match home.api::<Service>().get_opt(ENGINE).await.unwrap() {
            Some(_) => Err("the Service is still there"),
            None => Ok(()),
        }
    });
    Box::pin(collected).await;
    assert_eq!(secrets().await, before);

    home.apply(|_| ()).await;
    home.pass().await;
    assert_eq!(secrets().await, before);
    let uid = home.cluster().await.uid();
    let adopted = home.api::<Secret>().get("prod-east-engine-worker-key").await.unwrap();
    assert_eq!(adopted.owner_references().first().map(|owner| owner.uid.clone()), uid);
}
