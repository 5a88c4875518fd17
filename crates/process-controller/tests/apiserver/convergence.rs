//! A process from its creation to its end, under the running controller.

use std::collections::BTreeMap;
use std::time::Duration;

use api_types::WorkflowProcess;
use controller_kit::message;
use controller_testing::real::accept_everything;
use engine_client::Operation;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, CustomResourceExt as _, ResourceExt as _};
use serde_json::{Value, json};
use test_support::apiserver::ApiServerOptions;
use test_support::wait::{await_condition, await_gone, eventually};
use test_support::{TestApiServer, require_controller_manager};

use crate::world::{ORDER_FLOW, SOON, World};

fn bpmn_of(id: &str) -> String {
    ORDER_FLOW.replace("id=\"order-flow\"", &format!("id=\"{id}\""))
}

fn from_config_map() -> Value {
    json!({"configMapRef": {"name": "order-flow-bpmn", "key": "process.bpmn"}})
}

fn renamed_task() -> String {
    ORDER_FLOW.replace("Refund payment", "Give the money back")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_processes_become_deployed() {
    let apiserver = require_controller_manager!();
    let mut world = World::start(apiserver).await;
    let names: Vec<String> = (0..200).map(|n| format!("process-{n}")).collect();
    let began = std::time::Instant::now();
    for name in &names {
        world.apply(name, json!({"bpmn": bpmn_of(name)})).await;
    }
    for name in &names {
        world.await_deployed(name).await;
    }
    println!("200 processes in {:?}", began.elapsed());
    assert_eq!(world.engine.definitions("acme").len(), 200);
    assert_eq!(world.engine.count(Operation::DeployProcess), 200);
    world.stop_controller().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_object_is_reported_and_stops_nobody() {
    let apiserver = require_controller_manager!();
    let mut world = World::start(apiserver).await;
    let broken = json!({
        "apiVersion": "workflow.example.com/v1alpha1",
        "kind": "WorkflowProcess",
        "metadata": {"name": "broken", "namespace": world.name},
        "spec": {"clusterRef": "prod", "source": {"bpmn": 7}},
    });
    let broken: DynamicObject = serde_json::from_value(broken).unwrap();
    let resource = ApiResource::erase::<WorkflowProcess>(&());
    let objects: Api<DynamicObject> = Api::namespaced_with(world.client.clone(), &world.name, &resource);
    accept_everything::<WorkflowProcess>(&world.client).await;
    eventually("the loosened schema accepts the broken object", SOON, async || {
        objects.create(&PostParams::default(), &broken).await
    })
    .await;
    Box::pin(apiserver.apply_crds(&[WorkflowProcess::crd()])).await;

    let reported = world.await_event("Unreadable").await;
    assert_eq!(reported.regarding.unwrap().name.as_deref(), Some("broken"));
    let note = reported.note.unwrap();
    assert!(note.starts_with("Unreadable: the object does not fit this version's schema ("), "{note}");
    assert!(note.chars().count() <= message::MAX_CHARS);

    world.apply("before", json!({"bpmn": bpmn_of("before")})).await;
    world.await_deployed("before").await;
    world.stop_controller().await;
    world.start_controller().await;
    world.apply("after", json!({"bpmn": bpmn_of("after")})).await;
    world.await_deployed("after").await;
    objects.delete("broken", &DeleteParams::default()).await.unwrap();
    world.stop_controller().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edited_config_map_is_seen_and_deployed() {
    let apiserver = require_controller_manager!();
    let mut world = World::start(apiserver).await;
    world.apply("order-flow", from_config_map()).await;
    let message =
        format!("spec.source.configMapRef.name: ConfigMap {}/order-flow-bpmn does not exist", world.name);
    world.await_reported("order-flow", &message).await;
    world.put_config_map(ORDER_FLOW).await;
    world.await_reported("order-flow", "Deployed v1 (key=1)").await;
    world.put_config_map(&renamed_task()).await;
    world.await_reported("order-flow", "Deployed v2 (key=2)").await;
    world.stop_controller().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_takes_effect_and_so_does_its_removal() {
    let apiserver = require_controller_manager!();
    let mut world = World::start(apiserver).await;
    world.revoke().await;
    world.apply("order-flow", json!({"bpmn": ORDER_FLOW})).await;
    let refused = format!(
        "spec.clusterRef {home}/prod, spec.tenantRef {home}/acme: not found or not permitted from namespace {}; \
         grant: label that Namespace workflow.example.com/tenant=acme",
        world.name,
        home = world.home.name,
    );
    world.await_reported("order-flow", &refused).await;
    assert_eq!(world.engine.calls(), []);
    world.grant("acme").await;
    world.await_deployed("order-flow").await;
    world.revoke().await;
    world.await_reported("order-flow", &refused).await;
    world.stop_controller().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_settled_process_is_not_written_over_fifty_passes() {
    let apiserver = require_controller_manager!();
    let mut world = World::start(apiserver).await;
    world.apply("order-flow", json!({"bpmn": ORDER_FLOW})).await;
    let before = world.await_deployed("order-flow").await.resource_version();
    for n in 0..50 {
        world.touch(n).await;
    }
    let after = world.processes().get("order-flow").await.unwrap().resource_version();
    assert_eq!(after, before);
    assert_eq!(world.engine.count(Operation::DeployProcess), 1);
    world.stop_controller().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conditions_that_come_back_in_another_order_are_no_reason_to_write() {
    let apiserver = require_controller_manager!();
    let mut world = World::start(apiserver).await;
    world.apply("order-flow", json!({"bpmn": ORDER_FLOW})).await;
    world.await_deployed("order-flow").await;
    // A state with other conditions in between: the list comes back in another order than it is built in.
    let pause = |paused: bool| json!({"spec": {"paused": paused}});
    for paused in [true, false] {
        let generation = world.processes().get("order-flow").await.unwrap().metadata.generation;
        let patch = Patch::Merge(pause(paused));
        world.processes().patch("order-flow", &PatchParams::default(), &patch).await.unwrap();
        let seen = |process: &WorkflowProcess| {
            process.status.as_ref().and_then(|status| status.observed_generation) > generation
        };
        await_condition(&world.processes(), "order-flow", SOON, "is seen", seen).await;
    }
    let before = world.processes().get("order-flow").await.unwrap().resource_version();
    for n in 0..5 {
        world.touch(n).await;
    }
    assert_eq!(world.processes().get("order-flow").await.unwrap().resource_version(), before);
    world.stop_controller().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_namespace_ends() {
    let apiserver = require_controller_manager!();
    let mut world = World::start(apiserver).await;
    world.put_config_map(ORDER_FLOW).await;
    world.apply("order-flow", from_config_map()).await;
    world.apply("inline", json!({"bpmn": bpmn_of("inline")})).await;
    world.await_deployed("order-flow").await;
    world.await_deployed("inline").await;
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    namespaces.delete(&world.name, &DeleteParams::default()).await.unwrap();
    await_gone(&namespaces, &world.name, SOON).await;
    assert_eq!(world.engine.definitions("acme"), []);
    world.stop_controller().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_the_apiserver_is_survived_and_nothing_of_it_is_missed() {
    let Some(mut apiserver) = TestApiServer::start(ApiServerOptions::default()).await else { return };
    let mut world = World::start(&apiserver).await;
    world.put_config_map(ORDER_FLOW).await;
    world.apply("order-flow", from_config_map()).await;
    let before = world.await_deployed("order-flow").await;
    apiserver.stop();
    tokio::time::sleep(Duration::from_secs(3)).await;
    apiserver.start_again().await;
    world.put_config_map(&renamed_task()).await;
    world.await_reported("order-flow", "Deployed v2 (key=2)").await;
    world.apply("new", json!({"bpmn": bpmn_of("new")})).await;
    world.await_deployed("new").await;
    let reported: BTreeMap<_, _> =
        world.engine.definitions("acme").into_iter().map(|d| (d.process_id, d.version)).collect();
    assert_eq!(reported, BTreeMap::from([("new".to_owned(), 1), ("order-flow".to_owned(), 2)]));
    assert_eq!(before.status.unwrap().version, Some(1));
    world.stop_controller().await;
}
