//! Migrations and rolls.

use api_types::cluster::{ClusterPhase, ClusterReason as Reason, UpgradeStage};
use controller_kit::outcome::{ErrorClass, Next};
use controller_testing::World as _;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt as _;
use serde_json::json;

use crate::testing::world::{IMAGE, World, as_reported};
use crate::testing::{MINIMAL, days, minimal_with, reachable, unreachable};

#[tokio::test]
async fn an_upgrade_expands_rolls_one_by_one_and_contracts() {
    let world = World::running(&minimal_with(3)).await;
    world.edit("dev", |cluster| cluster["spec"]["version"] = json!("1.3.0"));
    world.settle("dev").await;
    assert_eq!(
        world.reported(),
        as_reported(ClusterPhase::Running, Reason::Running, "3 engine pods serve at version 1.3.0")
    );
    assert_eq!(world.partitions(), [3, 2, 1, 0, 3]);
    assert_eq!(world.pods_reported(), vec![(format!("{IMAGE}:1.3.0"), true); 3]);
    let posts = world.apiserver.mutations();
    let jobs = posts.iter().filter(|request| request.path.ends_with("/jobs"));
    let args: Vec<_> = jobs
        .map(|job| job.body.as_ref().unwrap()["spec"]["template"]["spec"]["containers"][0]["args"][4].clone())
        .collect();
    assert_eq!(args, ["expand", "all"]);
}

#[tokio::test]
async fn deployments_are_not_accepted_while_the_engine_is_upgraded() {
    let world = World::running(&minimal_with(2)).await;
    world.edit("dev", |cluster| cluster["spec"]["version"] = json!("1.3.0"));
    let mut seen = Vec::new();
    for _ in 0..40 {
        world.pass("dev").await;
        let found = world.status("dev");
        let now = (found.phase.unwrap(), found.accepts_deployments);
        if seen.last() != Some(&now) {
            seen.push(now);
        }
        world.answer();
    }
    assert_eq!(
        seen,
        [
            // Nothing has begun.
            (ClusterPhase::Upgrading, true),
            (ClusterPhase::Upgrading, false),
            // It soaks.
            (ClusterPhase::Upgrading, true),
            (ClusterPhase::Upgrading, false),
            // Definitions are confirmed, and deployed again where they are missing.
            (ClusterPhase::Upgrading, true),
            (ClusterPhase::Running, true),
        ]
    );
}

#[tokio::test]
async fn a_roll_stops_at_an_unhealthy_engine() {
    let world = World::running(&minimal_with(3)).await;
    world.engine.set_unreachable(true);
    world.edit("dev", |cluster| cluster["spec"]["version"] = json!("1.2.4"));
    world.settle("dev").await;
    let (phase, _, _) = world.reported();
    assert_eq!((phase, world.partitions()), (Some(ClusterPhase::Upgrading), vec![3]));
    world.engine.set_unreachable(false);
    world.settle("dev").await;
    assert_eq!(world.reported().2, "3 engine pods serve at version 1.2.4");
}

#[tokio::test]
async fn a_bad_image_stops_at_the_first_pod_and_a_good_one_recovers() {
    let world = World::running(&minimal_with(3)).await;
    let bad = "registry.example/broken";
    world.set_bad_image(&format!("{bad}:1.2.3"));
    world.edit("dev", |cluster| cluster["spec"]["image"] = json!(bad));
    world.settle("dev").await;
    assert_eq!(
        world.reported(),
        as_reported(
            ClusterPhase::Degraded,
            Reason::UpgradeRolledBack,
            "the new pod template of 1.2.3 failed and the engine runs the former one again: engine pod dev-engine-2: \
             ImagePullBackOff; correct the spec"
        )
    );
    assert_eq!(world.partitions(), [3, 2, 3, 2, 3]);
    assert_eq!(world.pods_reported(), vec![(format!("{IMAGE}:1.2.3"), true); 3]);
    world.edit("dev", |cluster| cluster["spec"]["image"] = json!("registry.example/good"));
    world.settle("dev").await;
    assert_eq!(
        world.reported(),
        as_reported(ClusterPhase::Running, Reason::Running, "3 engine pods serve at version 1.2.3")
    );
    assert_eq!(world.pods_reported(), vec![("registry.example/good:1.2.3".to_owned(), true); 3]);
}

#[tokio::test]
async fn an_engine_that_never_ran_recovers_from_a_bad_image() {
    let world = World::new(&minimal_with(2));
    world.set_postgres(reachable(Some("1.2.3")));
    world.set_bad_image(&format!("{IMAGE}:1.2.3"));
    world.settle("dev").await;
    assert_eq!(
        world.reported(),
        as_reported(
            ClusterPhase::Provisioning,
            Reason::EngineUnhealthy,
            "engine pod dev-engine-0: ImagePullBackOff"
        )
    );
    world.edit("dev", |cluster| cluster["spec"]["image"] = json!("registry.example/good"));
    world.settle("dev").await;
    assert!(world.status("dev").ready, "{:?}", world.status("dev"));
}

#[tokio::test]
async fn a_migration_whose_image_is_bad_is_replaced_by_that_of_the_next_spec() {
    let world = World::new(MINIMAL);
    world.set_bad_image(&format!("{IMAGE}:1.2.3"));
    world.settle("dev").await;
    assert_eq!(world.reported().1, "MigrationRunning");
    world.edit("dev", |cluster| cluster["spec"]["image"] = json!("registry.example/good"));
    world.settle("dev").await;
    assert!(world.status("dev").ready, "{:?}", world.status("dev"));
    assert_eq!(world.apiserver.list::<Job>("acme").len(), 1);
}

#[tokio::test]
async fn a_failed_migration_is_reported_with_its_job_and_not_repeated_by_itself() {
    let world = World::new(MINIMAL);
    world.set_failing_jobs(true);
    world.settle("dev").await;
    let job = world.apiserver.list::<Job>("acme").remove(0).name_any();
    let message =
        format!("migration Job {job} failed: read its log; delete it to try again, or change the spec");
    assert_eq!(world.reported(), as_reported(ClusterPhase::Failed, Reason::MigrationFailed, &message));
    world.set_failing_jobs(false);
    world.settle("dev").await;
    assert_eq!(world.reported().1, "MigrationFailed");
    world.apiserver.remove::<Job>("acme", &job);
    world.settle("dev").await;
    assert!(world.status("dev").ready);
}

#[tokio::test]
async fn a_migration_that_is_recorded_in_the_database_is_not_run_again() {
    let world = World::running(MINIMAL).await;
    let job = world.apiserver.list::<Job>("acme").remove(0).name_any();
    world.apiserver.remove::<Job>("acme", &job);
    world.settle("dev").await;
    assert_eq!(world.apiserver.mutations(), []);
}

#[tokio::test]
async fn a_migration_of_a_database_that_was_replaced_is_run_again() {
    let world = World::running(MINIMAL).await;
    world.set_postgres(reachable(None));
    world.pass_time(days(1));
    world.settle("dev").await;
    let verbs: Vec<_> = world
        .apiserver
        .mutations()
        .iter()
        .filter(|r| r.path.contains("/jobs"))
        .map(|r| r.method.clone())
        .collect();
    assert_eq!(verbs, ["DELETE", "POST"]);
    assert!(world.status("dev").ready);
}

#[tokio::test]
async fn a_refused_upgrade_keeps_the_engine_that_runs() {
    let world = World::running(MINIMAL).await;
    world.edit("dev", |cluster| cluster["spec"]["version"] = json!("1.1.0"));
    world.settle("dev").await;
    let message = "1.2.3 → 1.1.0: a downgrade is never possible, restore a backup instead; set spec.version back to 1.2.3";
    assert_eq!(world.reported(), as_reported(ClusterPhase::Degraded, Reason::UpgradeRefused, message));
    let found = world.status("dev");
    assert_eq!((found.version.as_deref(), found.accepts_deployments), (Some("1.2.3"), true));
    assert_eq!(world.pods_reported(), [(format!("{IMAGE}:1.2.3"), true)]);
    world.edit("dev", |cluster| cluster["spec"]["version"] = json!("1.2.3"));
    world.settle("dev").await;
    assert!(world.status("dev").ready);
}

/// Passes and answers until this many pods run this image, ready or not.
async fn roll_until(world: &World, image: &str, count: usize) {
    for _ in 0..60 {
        let on_it = world.pods_reported().iter().filter(|(found, _)| found == image).count();
        if on_it == count {
            return;
        }
        world.pass("dev").await;
        world.answer();
    }
    panic!("never {count} of {image}: {:?}", world.pods_reported());
}

#[tokio::test]
async fn back_in_the_middle_of_a_roll_no_pod_stays_behind() {
    for (count, partitions) in [(1, vec![3, 2, 3, 2, 3]), (2, vec![3, 2, 1, 3, 2, 1, 3])] {
        let world = World::running(&minimal_with(3)).await;
        world.edit("dev", |cluster| cluster["spec"]["version"] = json!("1.3.0"));
        roll_until(&world, &format!("{IMAGE}:1.3.0"), count).await;
        world.edit("dev", |cluster| cluster["spec"]["version"] = json!("1.2.3"));
        let next = world.pass("dev").await;
        world.answer();
        world.pass("dev").await;
        assert_ne!(world.reported().1, "Running", "{next:?}");
        world.settle("dev").await;
        assert_eq!(world.pods_reported(), vec![(format!("{IMAGE}:1.2.3"), true); 3]);
        assert_eq!(
            world.reported(),
            as_reported(ClusterPhase::Running, Reason::Running, "3 engine pods serve at version 1.2.3")
        );
        assert_eq!(world.partitions(), partitions, "{count}");
    }
}

#[tokio::test]
async fn back_from_a_template_that_cannot_start_its_pod_is_replaced_at_once() {
    let world = World::running(&minimal_with(3)).await;
    let bad = format!("{IMAGE}:1.3.0");
    world.set_bad_image(&bad);
    world.edit("dev", |cluster| {
        cluster["spec"]["version"] = json!("1.3.0");
        cluster["spec"]["upgrade"] = json!({"autoRollback": false});
    });
    // The migration's image is the same: what it does is done by hand.
    for job in {
        world.settle("dev").await;
        world.apiserver.list::<Job>("acme")
    } {
        world.end_job(&job);
    }
    world.settle("dev").await;
    assert_eq!(world.pods_reported().iter().filter(|(image, ready)| *image == bad && !ready).count(), 1);
    let message =
        "1.3.0 failed: engine pod dev-engine-2: ImagePullBackOff; go back to 1.2.3, or correct the spec";
    assert_eq!(world.reported(), as_reported(ClusterPhase::Degraded, Reason::UpgradeFailed, message));
    assert_eq!(world.status("dev").upgrade.unwrap().stage, UpgradeStage::Failed);
    // Not even a silent engine keeps a pod that does not serve.
    world.engine.set_unreachable(true);
    world.edit("dev", |cluster| cluster["spec"]["version"] = json!("1.2.3"));
    world.settle("dev").await;
    assert_eq!(world.pods_reported(), vec![(format!("{IMAGE}:1.2.3"), true); 3]);
}

#[tokio::test]
async fn a_third_template_in_the_middle_of_a_roll_reaches_every_pod() {
    let world = World::running(&minimal_with(3)).await;
    world.edit("dev", |cluster| cluster["spec"]["image"] = json!("registry.example/second"));
    roll_until(&world, "registry.example/second:1.2.3", 2).await;
    world.edit("dev", |cluster| cluster["spec"]["image"] = json!("registry.example/third"));
    world.settle("dev").await;
    assert_eq!(world.pods_reported(), vec![("registry.example/third:1.2.3".to_owned(), true); 3]);
    assert!(world.status("dev").ready);
}

#[tokio::test]
async fn a_stateful_set_that_was_made_anew_over_its_pods_is_no_proof_of_what_they_run() {
    let world = World::running(&minimal_with(3)).await;
    world.edit("dev", |cluster| cluster["spec"]["image"] = json!("registry.example/second"));
    roll_until(&world, "registry.example/second:1.2.3", 1).await;
    world.apiserver.remove::<StatefulSet>("acme", "dev-engine");
    world.settle("dev").await;
    assert_eq!(world.pods_reported(), vec![("registry.example/second:1.2.3".to_owned(), true); 3]);
    assert!(world.status("dev").ready);
}

#[tokio::test]
async fn replicas_may_change_on_the_way_back() {
    for replicas in [1, 2, 5] {
        let world = World::running(&minimal_with(3)).await;
        world.edit("dev", |cluster| cluster["spec"]["version"] = json!("1.3.0"));
        roll_until(&world, &format!("{IMAGE}:1.3.0"), 2).await;
        world.edit("dev", |cluster| {
            cluster["spec"]["version"] = json!("1.2.3");
            cluster["spec"]["replicas"] = json!(replicas);
        });
        world.settle("dev").await;
        assert_eq!(world.pods_reported(), vec![(format!("{IMAGE}:1.2.3"), true); replicas], "{replicas}");
        assert_eq!(
            (world.status("dev").ready, world.status("dev").version.as_deref()),
            (true, Some("1.2.3"))
        );
    }
}

#[tokio::test]
async fn scaling_out_in_the_middle_of_a_roll_does_not_begin_with_the_new_template() {
    let world = World::running(&minimal_with(3)).await;
    world.edit("dev", |cluster| cluster["spec"]["version"] = json!("1.3.0"));
    roll_until(&world, &format!("{IMAGE}:1.3.0"), 1).await;
    world.engine.set_unreachable(true);
    world.edit("dev", |cluster| cluster["spec"]["replicas"] = json!(5));
    world.settle("dev").await;
    let new = world.pods_reported().iter().filter(|(image, _)| *image == format!("{IMAGE}:1.3.0")).count();
    assert_eq!((world.pods_reported().len(), new), (5, 1));
    world.engine.set_unreachable(false);
    world.settle("dev").await;
    assert_eq!(world.pods_reported(), vec![(format!("{IMAGE}:1.3.0"), true); 5]);
}

/// A cluster of 1.2.3 on the way to 1.3.0, whose image cannot be pulled: its migration waits.
async fn called_off() -> World {
    let world = World::running(&minimal_with(2)).await;
    world.set_bad_image(&format!("{IMAGE}:1.3.0"));
    world.edit("dev", |cluster| cluster["spec"]["version"] = json!("1.3.0"));
    world.settle("dev").await;
    assert_eq!(migrations(&world), ["1.3.0"]);
    world
}

/// Versions of the migration Jobs that are not finished.
fn migrations(world: &World) -> Vec<String> {
    let jobs = world.apiserver.list::<Job>("acme");
    let unfinished = jobs.iter().filter(|job| job.status.is_none());
    unfinished
        .map(|job| {
            job.spec.as_ref().unwrap().template.spec.as_ref().unwrap().containers[0].args.clone().unwrap()
        })
        .map(|args| args[2].clone())
        .collect()
}

#[tokio::test]
async fn a_migration_that_is_no_longer_wanted_goes_and_the_engine_serves_on() {
    let world = called_off().await;
    world.apiserver.forget_requests();
    world.edit("dev", |cluster| cluster["spec"]["version"] = json!("1.2.3"));
    world.settle("dev").await;
    assert_eq!(migrations(&world), Vec::<String>::new());
    assert_eq!(
        world.reported(),
        as_reported(ClusterPhase::Running, Reason::Running, "2 engine pods serve at version 1.2.3")
    );
    assert_eq!(world.pods_reported(), vec![(format!("{IMAGE}:1.2.3"), true); 2]);
    let deleted: Vec<_> = world
        .apiserver
        .mutations()
        .into_iter()
        .filter(|request| request.method == "DELETE")
        .map(|request| request.body.unwrap()["propagationPolicy"].clone())
        .collect();
    assert_eq!(deleted, ["Foreground"], "its pods go before it does");
}

#[tokio::test]
async fn a_migration_that_is_no_longer_wanted_goes_also_while_postgres_is_away() {
    let world = called_off().await;
    world.set_postgres(unreachable());
    world.edit("dev", |cluster| cluster["spec"]["version"] = json!("1.2.3"));
    world.settle("dev").await;
    assert_eq!((migrations(&world), world.reported().1), (Vec::new(), "PostgresUnreachable".to_owned()));
}

#[tokio::test]
async fn a_migration_to_a_version_that_is_replaced_by_a_refused_one_goes() {
    let world = called_off().await;
    world.edit("dev", |cluster| cluster["spec"]["version"] = json!("1.1.0"));
    world.settle("dev").await;
    assert_eq!((migrations(&world), world.reported().1), (Vec::new(), "UpgradeRefused".to_owned()));
}

#[tokio::test]
async fn a_migration_whose_approval_is_withdrawn_goes() {
    let world = World::running(&minimal_with(2)).await;
    world.set_bad_image(&format!("{IMAGE}:2.0.0"));
    world.edit("dev", |cluster| {
        cluster["spec"]["version"] = json!("2.0.0");
        cluster["metadata"]["annotations"] = json!({"workflow.example.com/approve-upgrade": "2.0.0"});
    });
    world.settle("dev").await;
    assert_eq!(migrations(&world), ["2.0.0"]);
    world.edit("dev", |cluster| cluster["metadata"]["annotations"] = json!({}));
    world.settle("dev").await;
    assert_eq!((migrations(&world), world.reported().1), (Vec::new(), "UpgradeRefused".to_owned()));
}

#[tokio::test]
async fn of_an_invalid_spec_only_the_version_is_believed() {
    for (version, left) in [("1.2.3", vec![]), ("banana", vec![]), ("1.3.0", vec!["1.3.0"])] {
        let world = called_off().await;
        world.edit("dev", |cluster| {
            cluster["spec"]["version"] = json!(version);
            cluster["spec"]["replicas"] = json!(1000);
        });
        world.settle("dev").await;
        assert_eq!(
            (migrations(&world), world.reported().1),
            (left.iter().map(ToString::to_string).collect(), "InvalidSpec".to_owned())
        );
    }
}

#[tokio::test]
async fn a_migration_that_cannot_be_deleted_is_tried_again_though_the_spec_is_invalid() {
    let world = called_off().await;
    world.edit("dev", |cluster| cluster["spec"]["version"] = json!("banana"));
    world.apiserver.intercept(|request| {
        let is_job = request.method == "DELETE" && request.path.contains("/jobs/");
        is_job.then(|| test_support::reply::failure(503, "ServiceUnavailable", "try again").into())
    });
    let next = world.pass("dev").await;
    assert_eq!((next, world.reported().1), (Next::Failed(ErrorClass::Transient), "InvalidSpec".to_owned()));
}

#[tokio::test]
async fn a_paused_cluster_says_that_an_unwanted_migration_goes_on() {
    let world = called_off().await;
    world.edit("dev", |cluster| {
        cluster["spec"]["version"] = json!("1.2.3");
        cluster["spec"]["paused"] = json!(true);
    });
    world.settle("dev").await;
    let job = world
        .apiserver
        .list::<Job>("acme")
        .iter()
        .find(|job| job.status.is_none())
        .map(kube::ResourceExt::name_any)
        .unwrap();
    let message = format!(
        "spec.paused is true: no owned object is written; migration Job {job} for version 1.3.0, which the spec does not ask \
         for, stays until then"
    );
    assert_eq!(world.reported(), as_reported(ClusterPhase::Running, Reason::Paused, &message));
    world.edit("dev", |cluster| cluster["spec"]["paused"] = json!(false));
    world.settle("dev").await;
    assert_eq!((migrations(&world), world.status("dev").ready), (Vec::new(), true));
}

#[tokio::test]
async fn there_and_back_and_there_again_is_an_upgrade_like_any_other() {
    let world = called_off().await;
    world.edit("dev", |cluster| cluster["spec"]["version"] = json!("1.2.3"));
    world.settle("dev").await;
    world.set_good_image(&format!("{IMAGE}:1.3.0"));
    world.edit("dev", |cluster| cluster["spec"]["version"] = json!("1.3.0"));
    world.settle("dev").await;
    assert_eq!(
        world.reported(),
        as_reported(ClusterPhase::Running, Reason::Running, "2 engine pods serve at version 1.3.0")
    );
}
