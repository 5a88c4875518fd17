//! The end of a cluster, alone and together with tenants and processes.

use api_types::cluster::{ClusterPhase, ClusterReason as Reason};
use api_types::labels::{CLUSTER_CONTROLLER, PROCESS_CONTROLLER, TENANT_CONTROLLER};
use api_types::{WorkflowCluster, WorkflowProcess, WorkflowTenant};
use controller_kit::outcome::{ErrorClass, Next};
use controller_testing::World as _;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Service;
use kube::api::DeleteParams;
use kube::{Api, ResourceExt as _};
use rstest::rstest;
use serde_json::json;

use crate::testing::MINIMAL;
use crate::testing::world::{IMAGE, World, as_reported};

/// A tenant and a process, as their controllers left them when they wrote them to the engine.
fn seed_dependants(world: &World, namespace: &str, cluster: &serde_json::Value) {
    let object = |kind: &str, name: &str, finalizer: &str, spec: serde_json::Value| {
        json!({
            "apiVersion": "workflow.example.com/v1alpha1", "kind": kind,
            "metadata": {"name": name, "namespace": namespace, "finalizers": [finalizer]}, "spec": spec,
        })
    };
    let tenant =
        object("WorkflowTenant", "solo", TENANT_CONTROLLER.finalizer, json!({"clusterRef": cluster}));
    world.apiserver.seed(&serde_json::from_value::<WorkflowTenant>(tenant).unwrap());
    let spec =
        json!({"clusterRef": cluster, "tenantRef": {"name": "solo"}, "source": {"bpmn": "<definitions/>"}});
    let process = object("WorkflowProcess", "flow", PROCESS_CONTROLLER.finalizer, spec);
    world.apiserver.seed(&serde_json::from_value::<WorkflowProcess>(process).unwrap());
}

async fn delete<K>(world: &World, namespace: &str, name: &str)
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(world.apiserver.client(), namespace);
    api.delete(name, &DeleteParams::default()).await.unwrap();
}

/// Its controller is done with it.
fn release<K>(world: &World, namespace: &str, name: &str)
where
    K: kube::Resource<DynamicType = ()> + Clone + serde::Serialize + serde::de::DeserializeOwned,
{
    world.apiserver.remove::<K>(namespace, name);
}

pub(super) fn is_there(world: &World) -> bool {
    world.apiserver.get::<WorkflowCluster>("acme", "dev").is_some()
}

/// A running cluster, a tenant and a process of it, and the cluster deleted at the time of the world.
pub(super) async fn deleted_with_dependants() -> World {
    let world = World::running(MINIMAL).await;
    seed_dependants(&world, "acme", &json!({"name": "dev"}));
    world.apiserver.set_now(crate::testing::today());
    delete::<WorkflowCluster>(&world, "acme", "dev").await;
    world
}

pub(super) fn seconds(seconds: i64) -> jiff::SignedDuration {
    jiff::SignedDuration::from_secs(seconds)
}

async fn pass(world: &World) -> Next {
    world.pass("dev").await
}

const WAITS: Next = Next::Wait { recheck: std::time::Duration::from_secs(1) };

#[tokio::test]
async fn a_cluster_has_the_finalizer_before_anything_else_of_it_exists() {
    let world = World::new(MINIMAL);
    pass(&world).await;
    let first = world.apiserver.mutations().remove(0);
    let finalizers = first.body.unwrap()["metadata"]["finalizers"].clone();
    assert_eq!((first.method.as_str(), finalizers), ("PATCH", json!([CLUSTER_CONTROLLER.finalizer])));
    world.settle("dev").await;
    assert_eq!(world.object("dev").unwrap().finalizers(), [CLUSTER_CONTROLLER.finalizer]);
}

#[tokio::test]
async fn without_dependants_a_cluster_goes_at_once_and_writes_nothing_else() {
    let world = World::running(MINIMAL).await;
    delete::<WorkflowCluster>(&world, "acme", "dev").await;
    world.apiserver.forget_requests();
    assert_eq!(pass(&world).await, Next::Gone);
    assert!(!is_there(&world));
    let written: Vec<_> =
        world.apiserver.mutations().into_iter().map(|it| format!("{} {}", it.method, it.path)).collect();
    assert_eq!(written, ["PATCH /apis/workflow.example.com/v1alpha1/namespaces/acme/workflowclusters/dev"]);
}

#[tokio::test]
async fn it_serves_on_until_those_that_are_deleted_with_it_are_done() {
    let world = deleted_with_dependants().await;
    let before = world.end_state();
    assert_eq!(pass(&world).await, WAITS);
    let found = world.status("dev");
    assert_eq!(
        world.reported(),
        as_reported(
            ClusterPhase::Deleting,
            Reason::AwaitingDependants,
            "the engine serves on for 10 s, should these be deleted too: WorkflowProcess acme/flow, WorkflowTenant acme/solo"
        )
    );
    assert!(found.endpoint.is_some() && !found.accepts_deployments && !found.ready);

    // Theirs arrives within the grace.
    world.pass_time(seconds(5));
    delete::<WorkflowTenant>(&world, "acme", "solo").await;
    delete::<WorkflowProcess>(&world, "acme", "flow").await;
    assert_eq!(pass(&world).await, WAITS);
    world.pass_time(seconds(60));
    assert_eq!(pass(&world).await, WAITS);
    release::<WorkflowProcess>(&world, "acme", "flow");
    assert_eq!(pass(&world).await, WAITS);
    assert_eq!(
        world.reported().2,
        "the engine serves on, for at most 5 minutes, until these are cleaned up: WorkflowTenant acme/solo"
    );
    assert!(world.status("dev").endpoint.is_some());
    let children = |state: test_support::snapshot::Snapshot| {
        state.into_iter().filter(|(path, _)| !path.starts_with("workflow")).collect::<Vec<_>>()
    };
    let during: Vec<_> = children(world.end_state());
    assert_eq!(during, children(before), "nothing that it consists of was touched");

    release::<WorkflowTenant>(&world, "acme", "solo");
    assert_eq!(pass(&world).await, Next::Gone);
    assert!(!is_there(&world));
    let events = world.event_lines("dev");
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(events[0].starts_with("Normal AwaitingDependants the engine serves on"), "{events:?}");
}

#[tokio::test]
async fn it_does_not_wait_for_those_that_stay() {
    let world = deleted_with_dependants().await;
    assert_eq!(pass(&world).await, WAITS);
    world.pass_time(seconds(10));
    assert_eq!(pass(&world).await, Next::Gone);
    assert!(!is_there(&world));
    assert_eq!(
        world.event_lines("dev").last().unwrap(),
        "Warning LeftInDatabase LeftInDatabase: the database keeps what was not deleted; the same objects applied again \
         take it over: WorkflowProcess acme/flow, WorkflowTenant acme/solo"
    );
}

#[tokio::test]
async fn a_dependant_that_is_never_done_does_not_hold_it_for_ever() {
    let world = deleted_with_dependants().await;
    delete::<WorkflowTenant>(&world, "acme", "solo").await;
    for _ in 0..4 {
        assert_eq!(pass(&world).await, WAITS);
        world.pass_time(seconds(75));
    }
    assert_eq!(pass(&world).await, Next::Gone);
    assert!(!is_there(&world));
}

#[rstest]
#[case::gone(|world: &World| world.apiserver.remove::<StatefulSet>("acme", "dev-engine"))]
#[case::going(|world: &World| world.apiserver.edit::<StatefulSet>("acme", "dev-engine", |set| {
    set["metadata"]["deletionTimestamp"] = json!("2026-06-01T12:00:00Z");
    set["metadata"]["finalizers"] = json!(["foregroundDeletion"]);
}))]
#[tokio::test]
async fn when_a_namespace_takes_the_engine_along_nobody_waits(#[case] take: fn(&World)) {
    let world = deleted_with_dependants().await;
    delete::<WorkflowTenant>(&world, "acme", "solo").await;
    assert_eq!(pass(&world).await, WAITS);
    take(&world);
    // The rights in the namespace are gone, too.
    world.apiserver.intercept(|request| {
        let is_ours = request.path.contains("/workflowclusters/") || request.path.contains("/events");
        (!is_ours && request.path.contains("/namespaces/acme/"))
            .then(|| test_support::reply::forbidden("anything", "any", "no RBAC policy matched").into())
    });
    assert_eq!(pass(&world).await, Next::Gone);
    assert!(!is_there(&world));
    assert!(
        world.event_lines("dev").last().unwrap().contains("the engine is gone already"),
        "{:?}",
        world.event_lines("dev")
    );
}

#[tokio::test]
async fn force_delete_ends_the_wait() {
    let world = deleted_with_dependants().await;
    delete::<WorkflowTenant>(&world, "acme", "solo").await;
    assert_eq!(pass(&world).await, WAITS);
    world.edit("dev", |cluster| {
        cluster["metadata"]["annotations"] = json!({"workflow.example.com/force-delete": "true"});
    });
    assert_eq!(pass(&world).await, Next::Gone);
    assert!(
        world.event_lines("dev").last().unwrap().starts_with("Warning DeletionForced"),
        "{:?}",
        world.event_lines("dev")
    );
}

#[tokio::test]
async fn a_paused_or_invalid_cluster_is_deleted_like_any_other() {
    for change in [json!({"paused": true}), json!({"replicas": 1000}), json!({"version": "banana"})] {
        let world = deleted_with_dependants().await;
        world.edit("dev", |cluster| {
            for (field, value) in change.as_object().unwrap() {
                cluster["spec"][field] = value.clone();
            }
        });
        delete::<WorkflowTenant>(&world, "acme", "solo").await;
        assert_eq!(pass(&world).await, WAITS, "{change}");
        release::<WorkflowTenant>(&world, "acme", "solo");
        world.pass_time(seconds(10));
        assert_eq!(pass(&world).await, Next::Gone, "{change}");
    }
}

/// A reference without namespace means the own namespace's cluster, then that of the installation's namespace.
#[rstest]
#[case::own(json!({"name": "dev"}), "acme", true)]
#[case::from_elsewhere(json!({"name": "dev", "namespace": "acme"}), "beta", true)]
#[case::another_name(json!({"name": "prod"}), "acme", false)]
#[case::not_the_installations(json!({"name": "dev"}), "beta", false)]
#[tokio::test]
async fn only_those_that_refer_to_it_are_awaited(
    #[case] reference: serde_json::Value,
    #[case] namespace: &str,
    #[case] awaited: bool,
) {
    let world = World::running(MINIMAL).await;
    seed_dependants(&world, namespace, &reference);
    world.apiserver.set_now(crate::testing::today());
    delete::<WorkflowTenant>(&world, namespace, "solo").await;
    delete::<WorkflowCluster>(&world, "acme", "dev").await;
    assert_eq!(pass(&world).await, if awaited { WAITS } else { Next::Gone });
}

#[tokio::test]
async fn an_object_that_never_reached_the_engine_is_not_awaited() {
    let world = World::running(MINIMAL).await;
    seed_dependants(&world, "acme", &json!({"name": "dev"}));
    world
        .apiserver
        .edit::<WorkflowTenant>("acme", "solo", |tenant| tenant["metadata"]["finalizers"] = json!([]));
    world.apiserver.edit::<WorkflowProcess>("acme", "flow", |process| {
        process["metadata"]["finalizers"] = json!(["example.com/somebody-elses"]);
    });
    delete::<WorkflowCluster>(&world, "acme", "dev").await;
    assert_eq!(pass(&world).await, Next::Gone);
}

#[tokio::test]
async fn a_stopped_engine_is_not_waited_for() {
    let world = World::running(MINIMAL).await;
    world.edit("dev", |cluster| cluster["spec"]["replicas"] = json!(0));
    world.settle("dev").await;
    seed_dependants(&world, "acme", &json!({"name": "dev"}));
    delete::<WorkflowCluster>(&world, "acme", "dev").await;
    assert_eq!(pass(&world).await, Next::Gone);
    assert!(
        world.event_lines("dev").last().unwrap().contains("the engine is stopped"),
        "{:?}",
        world.event_lines("dev")
    );
}

#[tokio::test]
async fn a_migration_ends_with_the_wait_and_holds_nothing() {
    let world = World::running(MINIMAL).await;
    world.set_bad_image(&format!("{IMAGE}:1.3.0"));
    world.edit("dev", |cluster| cluster["spec"]["version"] = json!("1.3.0"));
    world.settle("dev").await;
    seed_dependants(&world, "acme", &json!({"name": "dev"}));
    world.apiserver.set_now(crate::testing::today());
    delete::<WorkflowCluster>(&world, "acme", "dev").await;
    assert_eq!(pass(&world).await, WAITS);
    assert!(world.apiserver.list::<Job>("acme").iter().all(|job| job.status.is_some()));
}

#[tokio::test]
async fn a_migration_that_cannot_be_deleted_holds_no_cluster() {
    let world = World::running(MINIMAL).await;
    world.set_bad_image(&format!("{IMAGE}:1.3.0"));
    world.edit("dev", |cluster| cluster["spec"]["version"] = json!("1.3.0"));
    world.settle("dev").await;
    delete::<WorkflowCluster>(&world, "acme", "dev").await;
    world.apiserver.intercept(|request| {
        let is_job = request.method == "DELETE" && request.path.contains("/jobs/");
        is_job.then(|| test_support::reply::forbidden("jobs", "any", "no RBAC policy matched").into())
    });
    assert_eq!(pass(&world).await, Next::Gone);
    assert!(!is_there(&world));
}

#[tokio::test]
async fn an_api_server_that_does_not_let_it_go_is_reported_and_asked_again() {
    let world = World::running(MINIMAL).await;
    delete::<WorkflowCluster>(&world, "acme", "dev").await;
    world.apiserver.intercept(|request| {
        let is_finalizer = request.method == "PATCH" && request.path.ends_with("/workflowclusters/dev");
        is_finalizer.then(|| {
            test_support::reply::forbidden("workflowclusters", "dev", "no RBAC policy matched").into()
        })
    });
    assert_eq!(pass(&world).await, Next::Failed(ErrorClass::Denied));
    let (phase, reason, message) = world.reported();
    assert_eq!((phase, reason.as_str()), (Some(ClusterPhase::Deleting), "Deleting"));
    assert!(message.starts_with("failed to remove the finalizer from WorkflowCluster acme/dev"), "{message}");
}

#[tokio::test]
async fn what_others_hold_stays_and_is_not_reported_twice() {
    let world = deleted_with_dependants().await;
    world.edit("dev", |cluster| {
        let finalizers = json!([CLUSTER_CONTROLLER.finalizer, "foregroundDeletion"]);
        cluster["metadata"]["finalizers"] = finalizers;
    });
    world.apiserver.remove::<StatefulSet>("acme", "dev-engine");
    assert_eq!(pass(&world).await, Next::Gone);
    assert_eq!(world.object("dev").unwrap().finalizers(), ["foregroundDeletion"]);
    assert_eq!(pass(&world).await, Next::Gone);
    let reported_left =
        world.event_lines("dev").iter().filter(|event| event.contains("LeftInDatabase")).count();
    assert_eq!((reported_left, world.reported().1.as_str()), (1, "Deleting"));
}

#[tokio::test]
async fn a_cluster_on_its_way_out_is_reported_and_nothing_is_made_anew() {
    let world = World::running(MINIMAL).await;
    world.apiserver.remove::<Service>("acme", "dev-engine");
    world.edit("dev", |cluster| {
        cluster["metadata"]["deletionTimestamp"] = json!("2026-06-01T12:00:00Z");
        cluster["metadata"]["finalizers"] = json!(["foregroundDeletion"]);
    });
    let next = world.pass("dev").await;
    assert_eq!((next, world.reported().0), (Next::Gone, Some(ClusterPhase::Deleting)));
    assert!(world.apiserver.get::<Service>("acme", "dev-engine").is_none());
}
