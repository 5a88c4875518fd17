//! What a gate sees that can only compare a flat field: Omnistrate's `successCondition`, `kubectl wait`, Argo CD, Flux.

use api_types::WorkflowCluster;
use controller_testing::World as _;
use serde_json::{Value, json};

use crate::observe::postgres::PostgresView;
use crate::testing::minimal_with;
use crate::testing::world::{IMAGE, World};

/// More passes than any patch takes.
const PASSES: usize = 80;

/// Every pod runs this image and is ready, and there are so many.
fn runs(world: &World, image: &str, pods: usize) -> bool {
    world.pods_reported() == vec![(image.to_owned(), true); pods]
}

fn marker(world: &World) -> Option<String> {
    match world.postgres() {
        PostgresView::Reachable(database) => database.engine_version,
        PostgresView::Unusable(_) => None,
    }
}

/// After each write of the status: it speaks of the latest spec, and is ready only if that is reached.
#[tokio::test]
async fn ready_is_never_true_for_a_spec_that_is_not_reached() {
    type Patch = (&'static str, fn(&mut Value), fn(&World) -> bool, bool);
    let patches: [Patch; 10] = [
        ("create", |_| (), |it| runs(it, &format!("{IMAGE}:1.2.3"), 3), true),
        (
            "scale out",
            |it| it["spec"]["replicas"] = json!(4),
            |it| runs(it, &format!("{IMAGE}:1.2.3"), 4),
            true,
        ),
        (
            "scale in",
            |it| it["spec"]["replicas"] = json!(2),
            |it| runs(it, &format!("{IMAGE}:1.2.3"), 2),
            true,
        ),
        (
            "upgrade",
            |it| it["spec"]["version"] = json!("1.3.0"),
            |it| runs(it, &format!("{IMAGE}:1.3.0"), 2) && marker(it).as_deref() == Some("1.3.0"),
            true,
        ),
        ("a bad image", |it| it["spec"]["image"] = json!("registry.example/bad"), |_| false, false),
        ("back", |it| it["spec"]["image"] = json!(IMAGE), |it| runs(it, &format!("{IMAGE}:1.3.0"), 2), true),
        ("a downgrade", |it| it["spec"]["version"] = json!("1.2.3"), |_| false, false),
        (
            "and back",
            |it| it["spec"]["version"] = json!("1.3.0"),
            |it| runs(it, &format!("{IMAGE}:1.3.0"), 2),
            true,
        ),
        ("stop", |it| it["spec"]["stopped"] = json!(true), |it| it.pods_reported().is_empty(), true),
        (
            "start",
            |it| it["spec"]["stopped"] = json!(false),
            |it| runs(it, &format!("{IMAGE}:1.3.0"), 2),
            true,
        ),
    ];
    let world = World::new(&minimal_with(3));
    world.set_bad_image("registry.example/bad:1.3.0");
    for (name, patch, is_reached, ends_ready) in patches {
        world.edit("dev", patch);
        let mut quiet = 0;
        for _ in 0..PASSES {
            world.pass("dev").await;
            let cluster: WorkflowCluster = world.object("dev").unwrap();
            let status = cluster.status.clone().unwrap();
            assert_eq!(status.observed_generation, cluster.metadata.generation, "{name}");
            assert!(!status.ready || is_reached(&world), "{name}: {status:#?}");
            quiet = if world.answer() { 0 } else { quiet + 1 };
            if quiet > 3 && status.ready == ends_ready {
                break;
            }
        }
        let status = world.status("dev");
        assert_eq!((status.ready, is_reached(&world)), (ends_ready, ends_ready), "{name}: {status:#?}");
    }
}
