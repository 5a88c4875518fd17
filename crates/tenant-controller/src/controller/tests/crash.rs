//! Killed before and after every write, of the apiserver or of the engine, a controller ends where an undisturbed one
//! does.

use controller_kit::outcome::Next;
use serde_json::json;
use test_support::Faults;
use test_support::crash::{CrashReport, run_until_settled, survives_crash_at_every_write};
use test_support::snapshot::Snapshot;

use crate::testing::{World, applied};

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
    assert_eq!(writes(&report), ["acme", "put tenant", "status", "events", "status"]);
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
    assert_eq!(writes(&report), ["delete tenant", "acme"]);
}
