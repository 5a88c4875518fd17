//! Deletion always ends, in whatever order, and the same manifests applied again on the same database work again.

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;
use test_support::wait::await_gone;

use crate::fixture::{api, named_cluster};
use crate::lane::{KINDS, Kind, Lane};

pub(crate) const ALL: &str = e2e::sample::PLAYGROUND;

/// Deleted all at once, the cluster waits at most five minutes for the others.
const END: Duration = Duration::from_mins(7);

#[tokio::test]
async fn with_the_cluster_first_the_others_are_cleaned_up_and_all_of_it_applied_again_works() {
    let Some(cluster) = named_cluster("with_the_cluster_first").await else { return };
    let lane = Lane::fresh(&cluster, "first").await;
    lane.apply().await;
    lane.await_ready().await;
    for kind in KINDS {
        lane.delete(kind).await;
    }
    lane.await_gone(END).await;
    lane.apply().await;
    lane.await_ready().await;
    // The engine was asked: nothing of the former life was left to be taken over.
    assert_eq!(lane.adopted().await, (false, false));
    lane.remove().await;
}

#[tokio::test]
async fn what_a_forced_deletion_leaves_in_the_database_is_taken_over_by_the_same_objects() {
    let Some(cluster) = named_cluster("what_a_forced_deletion_leaves").await else { return };
    let lane = Lane::fresh(&cluster, "forced").await;
    lane.apply().await;
    lane.await_ready().await;
    for kind in [Kind::Tenant, Kind::Process, Kind::Cluster] {
        lane.force(kind).await;
    }
    for kind in [Kind::Worker, Kind::Process, Kind::Tenant, Kind::Cluster] {
        lane.delete(kind).await;
    }
    lane.await_gone(END).await;
    lane.apply().await;
    lane.await_ready().await;
    assert_eq!(lane.adopted().await, (true, true));
    lane.remove().await;
}

#[tokio::test]
async fn a_namespace_with_all_kinds_is_deleted_and_all_of_it_applied_again_works() {
    let Some(cluster) = named_cluster("a_namespace_with_all_kinds_is_deleted").await else { return };
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    let bindings: Api<RoleBinding> = api(&cluster, ALL);
    let mut rights = bindings.list(&ListParams::default()).await.expect("should list the rights").items;
    // Those of a cluster are its controller's to make: a copy without an owner would be in its way.
    rights.retain(|right| right.owner_references().is_empty());
    let lane = Lane::fresh(&cluster, "namespace").await;
    lane.apply().await;
    lane.await_ready().await;

    namespaces.delete(ALL, &DeleteParams::default()).await.expect("should delete");
    await_gone(&namespaces, ALL, Duration::from_mins(3)).await;
    restore(&namespaces, &bindings, rights).await;
    lane.apply().await;
    lane.await_ready().await;
    lane.remove().await;
}

/// All 24 orders, in four lanes at a time.
#[tokio::test]
#[ignore = "takes minutes: `./dev nightly`"]
async fn every_order_of_deletion_ends_and_all_of_it_applied_again_works() {
    let Some(cluster) = named_cluster("every_order_of_deletion").await else { return };
    let orders = orders();
    assert_eq!(orders.len(), 24);
    let lanes = orders.chunks(6).enumerate().map(|(number, orders)| {
        let (cluster, orders) = (cluster.clone(), orders.to_vec());
        tokio::spawn(async move {
            let lane = Lane::fresh(&cluster, &format!("order-{number}")).await;
            lane.apply().await;
            lane.await_ready().await;
            for order in orders {
                eprintln!("{}: {order:?}", lane.name);
                for kind in order {
                    lane.delete(kind).await;
                }
                lane.await_gone(END).await;
                lane.apply().await;
                lane.await_ready().await;
            }
            lane.remove().await;
        })
    });
    for lane in lanes.collect::<Vec<_>>() {
        lane.await.expect("every order should end");
    }
}

/// Every order of the four kinds.
fn orders() -> Vec<[Kind; 4]> {
    let mut orders = Vec::new();
    for first in KINDS {
        for second in KINDS.into_iter().filter(|kind| *kind != first) {
            for third in KINDS.into_iter().filter(|kind| ![first, second].contains(kind)) {
                for fourth in KINDS.into_iter().filter(|kind| ![first, second, third].contains(kind)) {
                    orders.push([first, second, third, fourth]);
                }
            }
        }
    }
    orders
}

/// The charts keep rights in this namespace; what comes next needs it and them.
async fn restore(namespaces: &Api<Namespace>, bindings: &Api<RoleBinding>, rights: Vec<RoleBinding>) {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ALL,
        "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    let params = PatchParams::apply("e2e").force();
    namespaces.patch(ALL, &params, &Patch::Apply(&namespace)).await.expect("should restore the namespace");
    for right in rights {
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {
                "name": right.name_any(), "namespace": ALL,
                "labels": right.metadata.labels, "annotations": right.metadata.annotations,
            },
            "roleRef": right.role_ref, "subjects": right.subjects,
        });
        bindings
            .patch(&right.name_any(), &params, &Patch::Apply(&binding))
            .await
            .expect("should restore the rights");
    }
}
