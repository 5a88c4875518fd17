//! Killed before and after every write, of the apiserver or of the engine, a controller ends where an undisturbed one
//! does.

use controller_kit::outcome::Next;
use controller_testing::World as _;
use k8s_openapi::api::core::v1::Namespace;
use serde_json::json;
use test_support::Faults;
use test_support::crash::{CrashReport, run_until_settled, survives_crash_at_every_write};
use test_support::snapshot::Snapshot;

use crate::testing::{World, applied, namespace};

/// Everything that must be equal in the end: objects, and the tenant in the engine.
fn end_state(world: &World) -> Snapshot {
    let mut end = world.apiserver.snapshot();
    end.insert("engine".into(), json!(format!("{:?}", world.engine().tenant("acme"))));
    end
}

async fn life(world: &World, faults: &Faults) -> Result<(), Next> {
    let client = faults.wrap(world.apiserver.client());
    let reconciler = world.reconciler(client, faults.wrap_engines(world.engines.clone()));
    run_until_settled(faults, 20, async || match world.pass_of(&reconciler, "acme").await {
        next @ Next::Failed(_) => Err(next),
        _ => Ok(()),
    })
    .await
}

fn writes(report: &CrashReport) -> Vec<String> {
    let last = |write: &String| write.rsplit('/').next().unwrap_or_default().to_owned();
    report.writes.iter().map(last).collect()
}

#[tokio::test]
async fn the_creation_of_a_tenant_survives() {
    let report = survives_crash_at_every_write(
        async || World::with(&[applied("acme")]),
        life,
        async |world| end_state(world),
    )
    .await;
    let expected = ["acme", "put tenant", "status", "secrets", "status", "events", "status"];
    assert_eq!(writes(&report), expected);
}

/// A tenant that lists one namespace and is granted another by its label.
fn granted() -> World {
    let mut tenant = applied("acme");
    tenant.spec.namespaces = vec!["acme-tenant".into()];
    let world = World::with(&[tenant]);
    world.apiserver.seed(&namespace("acme-tenant", None));
    world.apiserver.seed(&namespace("acme-reports", Some("acme")));
    world
}

#[tokio::test]
async fn the_secrets_of_clients_survive_their_creation() {
    let report =
        survives_crash_at_every_write(async || granted(), life, async |world| end_state(world)).await;
    let expected =
        ["acme", "put tenant", "status", "secrets", "secrets", "secrets", "status", "events", "status"];
    assert_eq!(writes(&report), expected);
}

#[tokio::test]
async fn the_end_of_a_grant_survives() {
    let report = survives_crash_at_every_write(
        async || {
            let world = granted();
            world.settle("acme").await;
            world.edit("acme", |tenant| tenant["spec"]["namespaces"] = json!([]));
            world.apiserver.edit::<Namespace>("", "acme-reports", |it| {
                it["metadata"]["labels"] = json!({});
            });
            world
        },
        life,
        async |world| end_state(world),
    )
    .await;
    assert_eq!(writes(&report), ["put tenant", "acme-client", "acme-client", "status"]);
}

#[tokio::test]
async fn a_deletion_survives() {
    let report = survives_crash_at_every_write(
        async || {
            let world = World::with(&[applied("acme")]);
            world.settle("acme").await;
            world.delete("acme").await;
            world
        },
        life,
        async |world| end_state(world),
    )
    .await;
    assert_eq!(writes(&report), ["delete tenant", "acme-client", "acme"]);
}
