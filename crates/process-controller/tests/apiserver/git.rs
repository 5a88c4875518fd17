//! A process from a git repository, with the rights that the charts grant.

use api_types::condition::SOURCE_READY;
use api_types::labels::{GIT_HOST, RECONCILE_AT};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use test_support::git_server::{Fault, GitServer, Stage};
use test_support::require_controller_manager;
use test_support::wait::await_condition;

use crate::world::{ORDER_FLOW, SOON, World};

/// The reason of `SourceReady`, when it has this status.
async fn await_source(world: &World, status: &str, reason: &str) -> api_types::WorkflowProcess {
    let what = format!("has SourceReady {status} for {reason}");
    await_condition(&world.processes(), "order-flow", SOON, &what, |process: &api_types::WorkflowProcess| {
        let conditions = process.status.iter().flat_map(|status| &status.conditions);
        conditions
            .filter(|condition| condition.type_ == SOURCE_READY)
            .any(|condition| condition.status == status && condition.reason == reason)
    })
    .await
}

async fn request_reconcile(world: &World, value: &str) {
    let annotated = Patch::Merge(json!({"metadata": {"annotations": {RECONCILE_AT: value}}}));
    world.processes().patch("order-flow", &PatchParams::default(), &annotated).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_read_only_where_the_namespace_opts_in_and_an_outage_survives_a_restart() {
    let apiserver = require_controller_manager!();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut world = World::start(apiserver).await;
    let server = GitServer::start().await;
    server.require("Basic YWNtZTpoaWRkZW4td29yZA==");
    let commit = server.repository("orders").commit("main", &[("order.bpmn", ORDER_FLOW.as_bytes())]);
    let secret: Secret = serde_json::from_value(json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "forge",
            "annotations": {GIT_HOST: format!("localhost:{}", server.address().port())},
        },
        "stringData": {"ca.crt": server.authority(), "username": "acme", "password": "hidden-word"},
    }))
    .unwrap();
    world.add(&secret).await;
    let source = json!({"gitRef": {
        "url": server.url("orders"),
        "path": "order.bpmn",
        "revision": "main",
        "secretRef": {"name": "forge"},
    }});
    world.apply("order-flow", source).await;
    let refused = await_source(&world, "False", "SourceCredentialsMissing").await;
    let message = refused.status.unwrap().message.unwrap();
    let hint = format!(
        "no permission in namespace {}: create a RoleBinding there of ClusterRole process-controller-workload-namespace to ServiceAccount {}/process-controller",
        world.name, world.home.name
    );
    assert_eq!(message, hint);

    world.opt_in().await;
    request_reconcile(&world, "1").await;
    let deployed = world.await_deployed("order-flow").await;
    assert_eq!(deployed.status.unwrap().source_revision, Some(commit.clone()));

    server.set_fault(Stage::Greeting, Fault::Status(503));
    world.stop_controller().await;
    world.start_controller().await;
    let away = await_source(&world, "False", "SourceUnreachable").await;
    let shown = serde_json::to_string(&away).unwrap();
    assert!(!shown.contains("hidden-word"), "{shown}");
    let status = away.status.unwrap();
    assert_eq!((status.ready, status.source_revision), (true, Some(commit)));
    world.stop_controller().await;
}
