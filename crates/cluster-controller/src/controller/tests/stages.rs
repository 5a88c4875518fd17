//! How an upgrade is watched, reported, ended and taken back.

use api_types::cluster::{ClusterPhase, ClusterReason as Reason, UpgradeStage};
use controller_kit::outcome::Next;
use controller_testing::World as _;
use engine_client::model::{CanaryFailure, CanaryStep};
use serde_json::json;

use crate::status::RESYNC;
use crate::testing::minimal_with;
use crate::testing::world::{IMAGE, World, as_reported};

#[tokio::test]
async fn a_version_that_is_ready_and_fails_its_work_goes_back_by_itself() {
    let world = World::running(&minimal_with(3)).await;
    let failure = CanaryFailure { step: CanaryStep::Complete, message: "no".to_owned() };
    world.engine.set_canary_failure(Some(failure));
    world.edit("dev", |cluster| cluster["spec"]["version"] = json!("1.3.0"));
    world.settle("dev").await;
    assert_eq!(
        world.reported(),
        as_reported(
            ClusterPhase::Degraded,
            Reason::UpgradeRolledBack,
            "1.3.0 failed and the engine runs 1.2.3 again: engine pod dev-engine-2 is ready, but it fails to complete the \
             job: no; correct the spec"
        )
    );
    assert_eq!(world.partitions(), [3, 2, 3, 2, 3], "no other pod followed");
    assert_eq!(world.pods_reported(), vec![(format!("{IMAGE}:1.2.3"), true); 3]);
    let found = world.status("dev");
    assert_eq!((found.ready, found.accepts_deployments), (false, true));
    world.apiserver.forget_requests();
    world.pass("dev").await;
    assert_eq!(world.apiserver.mutations(), [], "it waits for another spec");

    // The same version, corrected, begins when the spec says so.
    world.engine.set_canary_failure(None);
    world.edit("dev", |cluster| cluster["spec"]["version"] = json!("1.3.1"));
    world.settle("dev").await;
    assert!(world.status("dev").ready, "{:?}", world.status("dev"));
}

/// The reasons of `Ready`, one after the other, until nothing moves.
async fn reasons(world: &World) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    for _ in 0..60 {
        world.pass("dev").await;
        let (_, reason, _) = world.reported();
        if seen.last() != Some(&reason) {
            seen.push(reason);
        }
        world.answer();
    }
    seen
}

#[tokio::test]
async fn each_stage_is_reported_with_a_reason_of_its_own() {
    let world = World::running(&minimal_with(3)).await;
    world.edit("dev", |cluster| cluster["spec"]["version"] = json!("1.3.0"));
    let expected = [
        "UpgradePlanned",
        "MigrationRunning",
        "CanaryWatched",
        "RollingOut",
        "UpgradeSoaking",
        "MigrationRunning",
        "Running",
    ];
    assert_eq!(reasons(&world).await, expected);
    world.set_bad_image("registry.example/bad:1.3.0");
    world.edit("dev", |cluster| cluster["spec"]["image"] = json!("registry.example/bad"));
    let expected =
        ["UpgradePlanned", "CanaryWatched", "EngineUnhealthy", "UpgradeRollingBack", "UpgradeRolledBack"];
    assert_eq!(reasons(&world).await, expected);
}

#[tokio::test]
async fn a_manual_upgrade_waits_for_its_annotation_and_can_go_back_until_then() {
    let world = World::running(&minimal_with(2)).await;
    world.edit("dev", |cluster| {
        cluster["spec"]["version"] = json!("1.3.0");
        cluster["spec"]["upgrade"] = json!({"finalize": "Manual"});
    });
    let next = world.settle("dev").await;
    let message = "every engine pod runs 1.3.0; annotate the WorkflowCluster with workflow.example.com/finalize-upgrade=1.3.0";
    assert_eq!(world.reported(), as_reported(ClusterPhase::Upgrading, Reason::FinalizeAwaited, message));
    assert_eq!(next, Next::Wait { recheck: RESYNC });
    let upgrade = world.status("dev").upgrade.unwrap();
    assert_eq!((upgrade.stage, upgrade.rollbackable), (UpgradeStage::Soaking, true));
    world.edit("dev", |cluster| {
        cluster["metadata"]["annotations"] = json!({"workflow.example.com/finalize-upgrade": "1.3.0"});
    });
    world.settle("dev").await;
    assert_eq!(
        world.reported(),
        as_reported(ClusterPhase::Running, Reason::Running, "2 engine pods serve at version 1.3.0")
    );
    assert!(!world.status("dev").upgrade.unwrap().rollbackable);
}
