//! Killed before and after every write, to the apiserver or to the engine, a controller ends where an undisturbed one
//! does.

use std::sync::Arc;

use api_types::{WorkflowCluster, WorkflowProcess};
use controller_kit::controller::Reconciler as _;
use controller_kit::outcome::Next;
use controller_testing::World as _;
use controller_testing::crash::{crash_at_every_write, last_segments};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::{ApiResource, DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;
use test_support::crash::{run_until_settled, survives_crash_at_every_write};
use test_support::snapshot::{Snapshot, snapshot_of};
use test_support::{Faults, builders, require_controller_manager};

use crate::testing::{HOME, ORDER_FLOW, World, applied};

#[tokio::test]
async fn a_deployment_survives() {
    let fresh = async || World::with(&[applied("order-flow", &json!({"bpmn": ORDER_FLOW}))]);
    let writes = crash_at_every_write(fresh, "order-flow").await;
    assert_eq!(last_segments(&writes), ["order-flow", "deploy process", "status", "events"]);
}

#[tokio::test]
async fn a_deletion_survives() {
    let fresh = async || {
        let world = World::with(&[applied("order-flow", &json!({"bpmn": ORDER_FLOW}))]);
        world.settle("order-flow").await;
        world.delete("order-flow").await;
        world
    };
    let writes = crash_at_every_write(fresh, "order-flow").await;
    assert_eq!(last_segments(&writes), ["delete process", "order-flow"]);
}

#[tokio::test]
async fn a_change_of_the_process_id_survives() {
    let fresh = async || {
        let world = World::with(&[applied("order-flow", &json!({"bpmn": ORDER_FLOW}))]);
        world.settle("order-flow").await;
        let renamed = ORDER_FLOW.replace("id=\"order-flow\"", "id=\"order-flow-2\"");
        world.edit("order-flow", |process| process["spec"]["source"]["bpmn"] = json!(renamed));
        world
    };
    let writes = crash_at_every_write(fresh, "order-flow").await;
    assert_eq!(last_segments(&writes), ["deploy process", "delete process", "status", "events"]);
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
        let reconciler = self.world.started_with(faults.wrap(self.client.clone()), faults);
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
        self.world.with_definitions(snapshot_of(&self.client, HOME, &kinds).await.unwrap())
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
    Box::pin(apiserver.apply_crds(&api_types::crds())).await;
    let client = apiserver.client().await;
    prepare(&client, &crate::testing::cluster()).await;

    let deployment = survives_crash_at_every_write(
        async || RealWorld::fresh(&client).await,
        async |world, faults| world.life(faults).await,
        async |world| world.end_state().await,
    )
    .await;
    assert_eq!(last_segments(&deployment.writes), ["order-flow", "deploy process", "status", "events"]);

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
    assert_eq!(last_segments(&deletion.writes), ["delete process", "order-flow"]);
}
