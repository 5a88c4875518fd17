//! How an upgrade is watched, reported, ended and taken back.

use api_types::WorkflowProcess;
use api_types::cluster::{ClusterPhase, ClusterReason as Reason, UpgradeGateName, UpgradeStage};
use controller_kit::outcome::Next;
use controller_testing::World as _;
use engine_client::model::{CanaryFailure, CanaryStep};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::controller::stage_row;
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
        "DefinitionsVerified",
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
    let message = "1.3.0 waits until a person annotates the WorkflowCluster with workflow.example.com/finalize-upgrade=1.3.0";
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

/// The tests begin at noon of a Monday.
fn window(start: &str) -> Value {
    json!({"maintenanceWindows": [{"days": ["Monday"], "start": start, "durationMinutes": 30}]})
}

fn stage(world: &World) -> UpgradeStage {
    world.status("dev").upgrade.unwrap().stage
}

#[tokio::test]
async fn an_upgrade_waits_for_its_window_and_stays_where_it_is_when_the_window_closes() {
    let world = World::running(&minimal_with(3)).await;
    world.edit("dev", |cluster| {
        cluster["spec"]["version"] = json!("1.3.0");
        cluster["spec"]["upgrade"] = window("18:00");
    });
    let next = world.settle("dev").await;
    let message = "1.3.0 waits until the maintenance window opens at 2026-06-01T18:00:00Z";
    let awaited = as_reported(ClusterPhase::Upgrading, Reason::MaintenanceWindowAwaited, message);
    assert_eq!((world.reported(), next), (awaited, Next::Wait { recheck: RESYNC }));
    assert_eq!((stage(&world), world.partitions()), (UpgradeStage::Planned, vec![3]));
    assert!(world.status("dev").accepts_deployments, "nothing has begun");

    world.pass_time(SignedDuration::from_hours(6));
    for _ in 0..60 {
        world.pass("dev").await;
        world.answer();
        world.pass_time(SignedDuration::from_secs(20));
        if world.partitions().ends_with(&[1]) {
            break;
        }
    }
    assert_eq!(stage(&world), UpgradeStage::Rolling);
    world.pass_time(SignedDuration::from_mins(30));
    let next = world.settle("dev").await;
    let message = "1.3.0 waits until the maintenance window opens at 2026-06-08T18:00:00Z";
    let awaited = as_reported(ClusterPhase::Upgrading, Reason::MaintenanceWindowAwaited, message);
    assert_eq!((world.reported(), next), (awaited, Next::Wait { recheck: RESYNC }));
    assert_eq!(world.partitions().last(), Some(&1), "no other pod followed");

    // Going back does not wait.
    world.edit("dev", |cluster| cluster["spec"]["version"] = json!("1.2.3"));
    world.settle("dev").await;
    assert_eq!(world.reported().0, Some(ClusterPhase::Running));
    assert_eq!(world.pods_reported(), vec![(format!("{IMAGE}:1.2.3"), true); 3]);
}

#[tokio::test]
async fn an_upgrade_waits_for_a_backup_of_its_own_plan() {
    let world = World::running(&minimal_with(1)).await;
    world.edit("dev", |cluster| {
        cluster["spec"]["version"] = json!("1.3.0");
        cluster["metadata"]["annotations"] = json!({"workflow.example.com/backup-before-upgrade": "true"});
    });
    world.settle("dev").await;
    let upgrade = world.status("dev").upgrade.unwrap();
    let hash = upgrade.plan_hash.unwrap();
    let message = format!(
        "1.3.0 waits until a backup is made and the WorkflowCluster is annotated with \
         workflow.example.com/backup-completed={hash}"
    );
    assert_eq!(world.reported(), as_reported(ClusterPhase::Upgrading, Reason::BackupAwaited, &message));
    let gate = upgrade.gate.unwrap();
    assert_eq!((upgrade.stage, gate.name), (UpgradeStage::BackingUp, UpgradeGateName::Backup));
    world.edit("dev", |cluster| {
        cluster["metadata"]["annotations"]["workflow.example.com/backup-completed"] = json!(hash);
    });
    world.settle("dev").await;
    assert_eq!((stage(&world), world.status("dev").ready), (UpgradeStage::Done, true));
}

#[tokio::test]
async fn a_version_that_this_installation_does_not_run_is_refused_before_anything_changes() {
    let world = World::running(&minimal_with(1)).await;
    world.edit("dev", |cluster| cluster["spec"]["version"] = json!("1.3.66"));
    world.settle("dev").await;
    let message = "spec.version 1.3.66 must not be used: it is denied; use 1.3.0";
    assert_eq!(world.reported(), as_reported(ClusterPhase::Degraded, Reason::VersionUnsupported, message));
    assert_eq!(world.pods_reported(), [(format!("{IMAGE}:1.2.3"), true)]);
    let gate = world.status("dev").upgrade.unwrap().gate.unwrap();
    assert_eq!((gate.name, gate.opens_when.as_str()), (UpgradeGateName::Version, message));
}

/// The status of the cluster lets processes ask the engine again, and each says in its own status that it did.
#[tokio::test]
async fn an_upgrade_ends_when_the_processes_have_confirmed_their_definitions() {
    let world = World::running(&minimal_with(1)).await;
    let process = |version: &str| {
        let manifest = json!({
            "apiVersion": "workflow.example.com/v1alpha1", "kind": "WorkflowProcess",
            "metadata": {"name": "order-flow", "namespace": "acme"},
            "spec": {"clusterRef": {"name": "dev"}, "source": {"bpmn": "<definitions/>"}},
            "status": {"phase": "Deployed", "processDefinitionKey": 7, "confirmedByVersion": version},
        });
        serde_json::from_value::<WorkflowProcess>(manifest).unwrap()
    };
    world.apiserver.seed(&process("1.2.3"));
    world.edit("dev", |cluster| cluster["spec"]["version"] = json!("1.3.0"));
    world.settle("dev").await;
    let message = "1.3.0 waits until WorkflowProcesses confirmed their definitions: acme/order-flow";
    assert_eq!(world.reported(), as_reported(ClusterPhase::Upgrading, Reason::DefinitionsVerified, message));
    let status = world.status("dev");
    assert_eq!((stage(&world), status.accepts_deployments), (UpgradeStage::Verifying, true));
    world.apiserver.seed(&process("1.3.0"));
    world.settle("dev").await;
    assert_eq!((stage(&world), world.status("dev").ready), (UpgradeStage::Done, true));
}

/// Pods that are made at the start would else all have a version that was on trial.
#[tokio::test]
async fn an_engine_that_is_stopped_in_the_middle_of_an_upgrade_starts_as_it_was_and_tries_again() {
    let world = World::running(&minimal_with(3)).await;
    world.edit("dev", |cluster| {
        cluster["spec"]["version"] = json!("1.3.0");
        cluster["spec"]["upgrade"] = json!({"finalize": "Manual"});
    });
    world.settle("dev").await;
    assert_eq!(stage(&world), UpgradeStage::Soaking);
    world.edit("dev", |cluster| cluster["spec"]["stopped"] = json!(true));
    world.settle("dev").await;
    let stopped = world.status("dev");
    let gate = stopped.upgrade.unwrap().gate.unwrap();
    assert_eq!((stage(&world), gate.opens_when.as_str()), (UpgradeStage::Canary, "the engine is started"));
    assert_eq!((stopped.phase, stopped.ready), (Some(ClusterPhase::Stopped), true));
    assert_eq!(stopped.last_stable.unwrap().version, "1.2.3");

    world.edit("dev", |cluster| cluster["spec"]["stopped"] = json!(false));
    let mut images = Vec::new();
    for _ in 0..60 {
        world.pass("dev").await;
        world.answer();
        let new = world.pods_reported().iter().filter(|(image, _)| image.ends_with(":1.3.0")).count();
        if images.last() != Some(&new) {
            images.push(new);
        }
    }
    assert_eq!(images, [0, 1, 2, 3], "one after the other gets the new version");
    assert_eq!(
        (stage(&world), world.status("dev").upgrade.unwrap().rollbackable),
        (UpgradeStage::Soaking, true)
    );
}

#[tokio::test]
async fn a_version_that_failed_does_not_become_final_because_the_engine_is_stopped() {
    let world = World::running(&minimal_with(2)).await;
    let failure = CanaryFailure { step: CanaryStep::Complete, message: "no".to_owned() };
    world.engine.set_canary_failure(Some(failure));
    world.edit("dev", |cluster| cluster["spec"]["version"] = json!("1.3.0"));
    world.settle("dev").await;
    for stopped in [true, false] {
        world.edit("dev", |cluster| cluster["spec"]["stopped"] = json!(stopped));
        world.settle("dev").await;
        assert_eq!(stage(&world), UpgradeStage::RolledBack, "stopped: {stopped}");
        assert_eq!(world.status("dev").last_stable.unwrap().version, "1.2.3");
    }
    assert_eq!(world.pods_reported(), vec![(format!("{IMAGE}:1.2.3"), true); 2]);
}

#[tokio::test]
async fn the_stage_of_each_upgrade_is_a_metric() {
    let world = World::running(&minimal_with(1)).await;
    let row = || stage_row(&world.object("dev").unwrap());
    assert_eq!(row(), None);
    world.edit("dev", |cluster| cluster["spec"]["version"] = json!("1.3.0"));
    world.pass("dev").await;
    let of = |stage: &str| Some(("acme".to_owned(), "dev".to_owned(), stage.to_owned()));
    assert_eq!(row(), of("Preflight"));
    world.settle("dev").await;
    assert_eq!(row(), of("Done"));
}
