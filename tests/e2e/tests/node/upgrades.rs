//! Another version of the engine, and the way back.

use std::time::Duration;

use api_types::WorkflowCluster;
use k8s_openapi::api::batch::v1::Job;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use test_support::wait::{await_condition, eventually};

use crate::deletion::ALL;
use crate::fixture::{EDIT, api, named_cluster};
use crate::lane::Lane;

/// Its image does not exist: the migration waits for it, and must not begin when it turns up some day.
#[tokio::test]
async fn a_version_that_is_called_off_leaves_no_migration_behind() {
    let Some(cluster) = named_cluster("a_version_that_is_called_off").await else { return };
    let lane = Lane::fresh(&cluster, "called-off").await;
    lane.apply().await;
    lane.await_ready().await;
    let clusters: Api<WorkflowCluster> = api(&cluster, ALL);
    let jobs: Api<Job> = api(&cluster, ALL);
    let of_this = ListParams::default().labels("workflow.example.com/cluster=called-off");
    let set_version = async |version: &str| {
        let spec = json!({"spec": {"version": version}});
        clusters
            .patch(&lane.name, &PatchParams::default(), &Patch::Merge(&spec))
            .await
            .expect("should patch");
    };
    let migrations = async || {
        let listed = jobs.list(&of_this).await.map_err(|error| error.to_string())?;
        Ok::<Vec<String>, String>(listed.items.iter().map(ResourceExt::name_any).collect())
    };

    set_version("1.2.4").await;
    eventually("a migration to 1.2.4 is made", EDIT, async || {
        let names = migrations().await?;
        if names.iter().any(|name| name.contains("v1-2-4")) { Ok(()) } else { Err(format!("{names:?}")) }
    })
    .await;
    set_version("1.2.3").await;
    eventually("the migration to 1.2.4 is gone", Duration::from_mins(2), async || {
        let names = migrations().await?;
        if names.iter().any(|name| name.contains("v1-2-4")) { Err(format!("{names:?}")) } else { Ok(()) }
    })
    .await;
    await_condition(&clusters, &lane.name, EDIT, "runs 1.2.3", |it: &WorkflowCluster| {
        it.status.as_ref().is_some_and(|status| {
            status.ready && status.version.as_deref() == Some("1.2.3") && status.accepts_deployments
        })
    })
    .await;
    lane.remove().await;
}
