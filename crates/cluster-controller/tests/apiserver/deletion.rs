//! The end of a cluster under Kubernetes' own garbage collector and namespace controller. The tests play the tenant- and the
//! process-controller.

use std::time::Duration;

use api_types::labels::TENANT_CONTROLLER;
use api_types::{WorkflowCluster, WorkflowTenant, cluster::ClusterPhase};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, Service};
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;
use test_support::apiserver::TestApiServer;
use test_support::wait::eventually;

use crate::world::{CLUSTER, ENGINE, World, read};

const PATIENCE: Duration = Duration::from_mins(2);

/// A running cluster and a tenant of it, which its controller has written to the engine.
async fn with_tenant(apiserver: &TestApiServer, prefix: &str) -> World {
    let home = World::new(apiserver, prefix).await;
    home.apply(|_| ()).await;
    home.await_rights().await;
    for _ in 0..4 {
        home.pass().await;
        *home.database.0.lock().unwrap() = Some("1.2.3".to_owned());
    }
    let tenant: WorkflowTenant = read(json!({
        "apiVersion": "workflow.example.com/v1alpha1", "kind": "WorkflowTenant",
        "metadata": {"name": "solo", "finalizers": [TENANT_CONTROLLER.finalizer]},
        "spec": {"clusterRef": {"name": CLUSTER}},
    }));
    home.api().create(&PostParams::default(), &tenant).await.unwrap();
    assert!(home.cluster().await.status.unwrap().endpoint.is_some());
    assert!(home.api::<StatefulSet>().get_opt(ENGINE).await.unwrap().is_some());
    home
}

impl World {
    /// The tenant-controller is done.
    async fn release_tenant(&self) {
        let nothing = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        self.api::<WorkflowTenant>().patch("solo", &PatchParams::default(), &nothing).await.unwrap();
    }

    /// Passes until the cluster is gone.
    async fn await_end(&self) {
        let gone = eventually("the cluster is gone", PATIENCE, || async {
            match self.api::<WorkflowCluster>().get_opt(CLUSTER).await.unwrap() {
                None => Ok(()),
                Some(cluster) => {
                    let message = cluster.status.clone().unwrap_or_default().message.unwrap_or_default();
                    self.pass_over(cluster).await;
                    Err(message)
                }
            }
        });
        Box::pin(gone).await;
    }

    async fn notes(&self) -> Vec<String> {
        let events = self.api::<Event>().list(&ListParams::default()).await.unwrap();
        events.into_iter().filter_map(|event| event.note).collect()
    }
}

#[tokio::test]
async fn a_cluster_and_its_children_stay_until_the_tenant_is_cleaned_up() {
    let apiserver = test_support::require_controller_manager!();
    let home = with_tenant(apiserver, "together").await;
    home.api::<WorkflowCluster>().delete(CLUSTER, &DeleteParams::default()).await.unwrap();
    home.api::<WorkflowTenant>().delete("solo", &DeleteParams::default()).await.unwrap();
    for _ in 0..8 {
        home.pass().await;
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let status = home.cluster().await.status.unwrap();
    assert_eq!((status.phase, status.endpoint.is_some()), (Some(ClusterPhase::Deleting), true));
    assert!(status.message.unwrap().ends_with(&format!("WorkflowTenant {}/solo", home.name)));
    let children = async || {
        (
            home.api::<StatefulSet>().get_opt(ENGINE).await.unwrap().is_some(),
            home.api::<Service>().get_opt(ENGINE).await.unwrap().is_some(),
            home.api::<Secret>().get_opt("prod-east-engine-worker-key").await.unwrap().is_some(),
            home.api::<ConfigMap>().get_opt("prod-east-engine-ca").await.unwrap().is_some(),
        )
    };
    assert_eq!(children().await, (true, true, true, true));
    home.release_tenant().await;
    home.await_end().await;
    let collected = eventually("the children are collected", PATIENCE, || async {
        match children().await {
            (false, false, false, false) => Ok(()),
            left => Err(format!("{left:?}")),
        }
    });
    Box::pin(collected).await;
}

#[tokio::test]
async fn a_foreground_deletion_ends_though_it_takes_the_engine_first() {
    let apiserver = test_support::require_controller_manager!();
    let home = with_tenant(apiserver, "foreground").await;
    home.api::<WorkflowTenant>().delete("solo", &DeleteParams::default()).await.unwrap();
    home.api::<WorkflowCluster>().delete(CLUSTER, &DeleteParams::foreground()).await.unwrap();
    home.await_end().await;
    let events = home.notes().await;
    assert!(events.iter().any(|note| note.contains("the engine is gone already")), "{events:#?}");
    home.release_tenant().await;
}

#[tokio::test]
async fn a_namespace_that_is_deleted_is_not_held_up() {
    let apiserver = test_support::require_controller_manager!();
    let home = with_tenant(apiserver, "namespace").await;
    let namespaces: Api<Namespace> = Api::all(home.client.clone());
    namespaces.delete(&home.name, &DeleteParams::default()).await.unwrap();
    home.await_end().await;
    // The tenant is not the cluster-controller's to release.
    assert!(home.api::<WorkflowTenant>().get_opt("solo").await.unwrap().is_some());
    home.release_tenant().await;
    let gone = eventually("the namespace is gone", PATIENCE, || async {
        match namespaces.get_opt(&home.name).await.unwrap() {
            None => Ok(()),
            Some(namespace) => Err(format!("{:?}", namespace.status)),
        }
    });
    Box::pin(gone).await;
}
