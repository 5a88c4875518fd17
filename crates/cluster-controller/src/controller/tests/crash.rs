//! Killed before and after every write, a controller ends where an undisturbed one does.

use controller_testing::World as _;
use controller_testing::crash::{crash_at_every_write, run_until_settled};
use serde_json::json;
use test_support::crash::survives_crash_at_every_write;

use super::deletion::{deleted_with_dependants, is_there, seconds};
use super::rotation::ask;
use crate::claim::Claim;
use crate::testing::world::World;
use crate::testing::{MINIMAL, cluster, days, held, minimal_with};

#[tokio::test]
async fn a_new_cluster_survives() {
    let writes = crash_at_every_write(async || World::new(&minimal_with(2)), "dev").await;
    let count = |words: &str| writes.iter().filter(|write| write.contains(words)).count();
    assert_eq!((count("/jobs"), count("/secrets/"), count("/configmaps/")), (1, 6, 1), "{writes:#?}");
}

/// The claim is a write like any other, and the first one outside of Kubernetes.
#[tokio::test]
async fn a_database_that_is_taken_over_survives() {
    let fresh = async || {
        let world = World::new(&minimal_with(2));
        let other = Claim { epoch: 7, uid: "uid-former".to_owned(), ..held(&cluster(MINIMAL)) };
        world.set_claim(Some(other));
        world
    };
    let end = async |world: &World| {
        let claim = world.claim().expect("a claim");
        let mut end = world.end_state();
        end.insert("claim".to_owned(), json!([claim.for_engine(), claim.uid]));
        end
    };
    let run = async |world: &World, faults: &_| run_until_settled(world, faults, "dev").await;
    let writes = survives_crash_at_every_write(fresh, run, end).await.writes;
    let claims: Vec<_> = writes.iter().filter(|write| write.starts_with("CLAIM")).collect();
    assert_eq!(claims.len(), 1, "{writes:#?}");
    let place = |words: &str| writes.iter().position(|write| write.contains(words)).unwrap();
    assert!(place("CLAIM") < place("/jobs") && place("CLAIM") < place("/statefulsets/"), "{writes:#?}");
}

#[tokio::test]
async fn an_upgrade_survives() {
    let fresh = async || {
        let world = World::running(&minimal_with(2)).await;
        world.edit("dev", |cluster| cluster["spec"]["version"] = json!("1.3.0"));
        world
    };
    let writes = crash_at_every_write(fresh, "dev").await;
    assert!(writes.len() > 8, "{writes:#?}");
}

#[tokio::test]
async fn a_rollback_survives() {
    let fresh = async || {
        let world = World::running(&minimal_with(2)).await;
        world.set_bad_image("registry.example/bad:1.2.3");
        world.edit("dev", |cluster| cluster["spec"]["image"] = json!("registry.example/bad"));
        world
    };
    let writes = crash_at_every_write(fresh, "dev").await;
    assert!(writes.len() > 8, "{writes:#?}");
}

#[tokio::test]
async fn a_stop_survives() {
    let fresh = async || {
        let world = World::running(&minimal_with(2)).await;
        world.edit("dev", |cluster| cluster["spec"]["stopped"] = json!(true));
        world
    };
    let writes = crash_at_every_write(fresh, "dev").await;
    assert!(writes.len() >= 3, "{writes:#?}");
}

#[tokio::test]
async fn a_start_survives() {
    let fresh = async || {
        let world = World::running(&minimal_with(2)).await;
        world.edit("dev", |cluster| cluster["spec"]["stopped"] = json!(true));
        world.settle("dev").await;
        world.edit("dev", |cluster| cluster["spec"]["stopped"] = json!(false));
        world
    };
    let writes = crash_at_every_write(fresh, "dev").await;
    assert!(writes.len() >= 3, "{writes:#?}");
}

#[tokio::test]
async fn scaling_in_survives() {
    let fresh = async || {
        let world = World::running(&minimal_with(3)).await;
        world.edit("dev", |cluster| cluster["spec"]["replicas"] = json!(1));
        world
    };
    let writes = crash_at_every_write(fresh, "dev").await;
    assert!(writes.len() >= 4, "{writes:#?}");
}

#[tokio::test]
async fn a_rotation_survives() {
    let report = survives_crash_at_every_write(
        async || {
            let world = World::running(MINIMAL).await;
            ask(&world, "now");
            world
        },
        async |world, faults| {
            for _ in 0..4 {
                run_until_settled(world, faults, "dev").await?;
                world.pass_time(days(2));
            }
            run_until_settled(world, faults, "dev").await
        },
        async |world| {
            let mut end = world.end_state();
            end.retain(|key, _| key.starts_with("secrets/"));
            end
        },
    )
    .await;
    let secrets = report.writes.iter().filter(|write| write.contains("/secrets/")).count();
    // Two keys more than two tokens: since when nobody has the former one.
    assert_eq!(secrets, 4 * 3 + 2, "{:#?}", report.writes);
}

#[tokio::test]
async fn a_deletion_survives() {
    let report = survives_crash_at_every_write(
        async || deleted_with_dependants().await,
        async |world, faults| {
            for _ in 0..5 {
                if !is_there(world) {
                    break;
                }
                world.pass_of(&mut world.started_behind(faults), "dev").await;
                if faults.stopped() {
                    return Err("killed");
                }
                world.pass_time(seconds(6));
            }
            Ok(())
        },
        async |world| {
            let mut end = world.end_state();
            end.insert("claim".to_owned(), json!(world.claim().map(|claim| claim.is_released)));
            end
        },
    )
    .await;
    assert!(report.writes.len() >= 4, "{:#?}", report.writes);
    let place = |words: &str| report.writes.iter().rposition(|write| write.contains(words));
    let (released, let_go) = (place("RELEASE /database"), place("/workflowclusters/dev"));
    assert!(released.is_some() && released < let_go, "{:#?}", report.writes);
}
