//! A Postgres that another operator makes: what a former one of its name left.

use std::time::Duration;

use api_types::cluster::ClusterReason;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams};
use serde_json::{Value, json};
use test_support::apiserver::{ApiServerOptions, TestApiServer};
use test_support::wait::eventually;

use crate::provider::definition;
use crate::world::{CLUSTER, World, read};

const LEFT: &str = "prod-east-postgres-1";

/// A volume of a former Postgres of this name.
fn leftover() -> PersistentVolumeClaim {
    read(json!({
        "metadata": {"name": LEFT, "labels": {"cnpg.io/cluster": "prod-east-postgres"}},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }))
}

impl World {
    /// Reason of `Ready`, and message.
    async fn reported(&self) -> (String, String) {
        let status = self.cluster().await.status.unwrap();
        let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
        (ready.reason.clone(), status.message.unwrap_or_default())
    }

    async fn await_reported(&self, reason: ClusterReason, begin: &str) {
        let what = format!("{reason}: {begin}");
        Box::pin(eventually(&what, Duration::from_secs(30), async || {
            self.pass().await;
            let (found, message) = self.reported().await;
            let is_it = found == reason.to_string() && message.starts_with(begin);
            if is_it { Ok(()) } else { Err(format!("{found}: {message}")) }
        }))
        .await;
    }
}

#[tokio::test]
async fn what_a_former_postgres_left_is_awaited() {
    let Some(apiserver) = TestApiServer::start(ApiServerOptions::default()).await else { return };
    Box::pin(apiserver.apply_crds(&[definition()])).await;
    let home = Box::pin(World::new(&apiserver, "managed")).await;
    home.add(&leftover()).await;
    home.apply(|cluster: &mut Value| cluster["spec"]["postgres"] = json!({"managed": {"replicas": 1}})).await;
    home.await_rights().await;
    let expected =
        format!("PersistentVolumeClaims of a former Postgres of this name are still there: {LEFT};");
    home.await_reported(ClusterReason::PostgresProvisioning, &expected).await;
    let kind = GroupVersionKind::gvk("postgresql.cnpg.io", "v1", "Cluster");
    let made: Api<DynamicObject> =
        Api::namespaced_with(home.client.clone(), &home.name, &ApiResource::from_gvk(&kind));
    let name = format!("{CLUSTER}-postgres");
    assert!(made.get_opt(&name).await.unwrap().is_none());

    // No controller takes the finalizer of a volume in use away here.
    let claims = home.api::<PersistentVolumeClaim>();
    let none = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    claims.patch(LEFT, &PatchParams::default(), &none).await.unwrap();
    claims.delete(LEFT, &DeleteParams::default()).await.unwrap();
    home.await_reported(ClusterReason::PostgresProvisioning, "Cluster prod-east-postgres").await;
    assert_eq!(made.get(&name).await.unwrap().data["spec"]["instances"], json!(1));
}
