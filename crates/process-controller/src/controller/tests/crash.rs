//! Killed before and after every write, of the apiserver or of the engine, a controller ends where an undisturbed one
//! does.

use controller_testing::World as _;
use std::sync::Arc;

use api_types::{WorkflowCluster, WorkflowProcess};
use controller_kit::controller::Reconciler as _;
use controller_kit::outcome::Next;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::{ApiResource, DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;
use test_support::Faults;
use test_support::crash::{run_until_settled, survives_crash_at_every_write};
use test_support::snapshot::{Snapshot, snapshot_of};
use test_support::{builders, require_controller_manager};

use super::apiserver::TURN;
use crate::testing::{HOME, ORDER_FLOW, World, applied};

/// Everything that must be equal in the end: objects, definitions and who owns them. Keys count upwards with every
/// attempt and are no part of it.
fn end_state(world: &World) -> Snapshot {
    complete(world, world.apiserver.snapshot())
}

fn complete(world: &World, mut end: Snapshot) -> Snapshot {
    for object in end.values_mut().filter(|object| object["kind"] == "WorkflowProcess") {
        let masked =
            object.to_string().replace(&format!("key={}", object["status"]["processDefinitionKey"]), "key=");
        *object = serde_json::from_str(&masked).unwrap();
        object["status"]["processDefinitionKey"] = json!("<masked>");
    }
    let definitions = world.engine().definitions("acme").into_iter().map(|found| {
        let is_owned = world.engine().process_owner("acme", &found.process_id).is_some();
        json!([found.process_id, found.version, found.content_sha256, is_owned])
    });
    end.insert("engine".into(), definitions.collect());
    end
}

async fn life(world: &World, faults: &Faults) -> Result<(), Next> {
    let client = faults.wrap(world.apiserver.client());
    let reconciler = world.reconciler(client, faults.wrap_engines(world.engines.clone()));
    run_until_settled(faults, 20, async || match world.pass_of(&reconciler, "order-flow").await {
        next @ Next::Failed(_) => Err(next),
        _ => Ok(()),
    })
    .await
}

fn writes(report: &test_support::crash::CrashReport) -> Vec<String> {
    let last = |write: &String| write.rsplit('/').next().unwrap_or_default().to_owned();
    report.writes.iter().map(last).collect()
}

#[tokio::test]
async fn a_deployment_survives() {
    let report = survives_crash_at_every_write(
        async || World::with(&[applied("order-flow", &json!({"bpmn": ORDER_FLOW}))]),
        life,
        async |world| end_state(world),
    )
    .await;
    assert_eq!(writes(&report), ["order-flow", "deploy process", "status", "events"]);
}

#[tokio::test]
async fn a_deletion_survives() {
    let report = survives_crash_at_every_write(
        async || {
            let world = World::with(&[applied("order-flow", &json!({"bpmn": ORDER_FLOW}))]);
            world.settle("order-flow").await;
            world.delete("order-flow").await;
            world
        },
        life,
        async |world| end_state(world),
    )
    .await;
    assert_eq!(writes(&report), ["delete process", "order-flow"]);
}

#[tokio::test]
async fn a_change_of_the_process_id_survives() {
    let report = survives_crash_at_every_write(
        async || {
            let world = World::with(&[applied("order-flow", &json!({"bpmn": ORDER_FLOW}))]);
            world.settle("order-flow").await;
            let renamed = ORDER_FLOW.replace("id=\"order-flow\"", "id=\"order-flow-2\"");
            world.edit("order-flow", |process| process["spec"]["source"]["bpmn"] = json!(renamed));
            world
        },
        life,
        async |world| end_state(world),
    )
    .await;
    assert_eq!(writes(&report), ["deploy process", "delete process", "status", "events"]);
}

/// The objects are on a real apiserver; the world's own one only answers for cluster and tenant.
struct RealWorld {
    world: World,
    client: Client,
}

impl RealWorld {
    fn processes(client: &Client) -> Api<WorkflowProcess> {
        Api::namespaced(client.clone(), HOME)
    }

    /// The process is new, whatever a former run left of it.
    async fn fresh(client: &Client) -> Self {
        let processes = Self::processes(client);
        if processes.get_opt("order-flow").await.unwrap().is_some() {
            let patch = Patch::Merge(json!({"metadata": {"finalizers": null}}));
            processes.patch("order-flow", &PatchParams::default(), &patch).await.unwrap();
            processes.delete("order-flow", &DeleteParams::default()).await.unwrap();
        }
        let mut process = applied("order-flow", &json!({"bpmn": ORDER_FLOW}));
        process.metadata.resource_version = None;
        processes.create(&PostParams::default(), &process).await.unwrap();
        Self { world: World::new(), client: client.clone() }
    }

    async fn life(&self, faults: &Faults) -> Result<(), Next> {
        let client = faults.wrap(self.client.clone());
        let reconciler = self.world.reconciler(client, faults.wrap_engines(self.world.engines.clone()));
        run_until_settled(faults, 20, async || {
            let Some(process) = Self::processes(&self.client).get_opt("order-flow").await.unwrap() else {
                return Ok(());
            };
            match reconciler.reconcile(Arc::new(process)).await.next {
                next @ Next::Failed(_) => Err(next),
                _ => Ok(()),
            }
        })
        .await
    }

    async fn end_state(&self) -> Snapshot {
        let kinds = [ApiResource::erase::<WorkflowProcess>(&())];
        complete(&self.world, snapshot_of(&self.client, HOME, &kinds).await.unwrap())
    }
}

async fn prepare(client: &Client, cluster: &WorkflowCluster) {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    for name in [HOME, "workflow-system"] {
        let mut namespace = Namespace::default();
        namespace.metadata.name = Some(name.to_owned());
        namespaces.create(&PostParams::default(), &namespace).await.unwrap();
    }
    let (ca, credentials) = builders::engine_access(cluster);
    let home = cluster.namespace().unwrap();
    let config_maps: Api<ConfigMap> = Api::namespaced(client.clone(), &home);
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &home);
    config_maps.create(&PostParams::default(), &ca).await.unwrap();
    for secret in &credentials {
        secrets.create(&PostParams::default(), secret).await.unwrap();
    }
}

#[tokio::test]
async fn a_deployment_and_a_deletion_survive_on_a_real_apiserver() {
    let apiserver = require_controller_manager!();
    let _turn = TURN.lock().await;
    Box::pin(apiserver.apply_crds(&api_types::crds())).await;
    let client = apiserver.client().await;
    prepare(&client, &crate::testing::cluster()).await;

    let deployment = survives_crash_at_every_write(
        async || RealWorld::fresh(&client).await,
        async |world, faults| world.life(faults).await,
        async |world| world.end_state().await,
    )
    .await;
    assert_eq!(writes(&deployment), ["order-flow", "deploy process", "status", "events"]);

    let deletion = survives_crash_at_every_write(
        async || {
            let world = RealWorld::fresh(&client).await;
            world.life(&Faults::none()).await.unwrap();
            let processes = RealWorld::processes(&client);
            processes.delete("order-flow", &DeleteParams::default()).await.unwrap();
            world
        },
        async |world, faults| world.life(faults).await,
        async |world| world.end_state().await,
    )
    .await;
    assert_eq!(writes(&deletion), ["delete process", "order-flow"]);
}
