//! A process that names no tenant.

use api_types::WorkflowProcess;
use api_types::labels::{DEPLOYED_FOR, TENANT};
use controller_kit::outcome::{ErrorClass, Next};
use controller_testing::World as _;
use engine_client::model::Tenant;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt as _;
use serde_json::json;
use test_support::faulty::{Faults, Stop};

use crate::testing::{HOME, ORDER_FLOW, World, applied, tenant};

const UNTIL_CHANGED: Next = Next::Failed(ErrorClass::Invalid);

fn unnamed() -> WorkflowProcess {
    let mut process = applied("order-flow", &json!({"bpmn": ORDER_FLOW}));
    process.spec.tenant_ref = None;
    process
}

/// `acme` and `beta` are there and ready; the namespace is labelled with `acme`.
fn world() -> World {
    let world = World::with(&[unnamed()]);
    let mut beta = tenant();
    beta.metadata.name = Some("beta".to_owned());
    beta.metadata.uid = Some("uid-beta".to_owned());
    world.apiserver.seed(&beta);
    let acme = world.engine().tenant("acme").unwrap();
    world.engine().set_tenant(Tenant { id: "beta".to_owned(), ..acme });
    world
}

fn label(world: &World, tenant: Option<&str>) {
    let labels = tenant.map_or_else(|| json!({}), |tenant| json!({TENANT: tenant}));
    world.apiserver.edit::<Namespace>("", HOME, |namespace| namespace["metadata"]["labels"] = labels);
}

/// Definitions of `acme`, of `beta` and of the default tenant.
fn deployed(world: &World) -> [usize; 3] {
    ["acme", "beta", "_default"].map(|tenant| world.engine().definitions(tenant).len())
}

fn noted(world: &World) -> Option<String> {
    let process = world.apiserver.get::<WorkflowProcess>(HOME, "order-flow")?;
    process.annotations().get(DEPLOYED_FOR).cloned()
}

#[tokio::test]
async fn it_is_deployed_for_the_tenant_that_its_namespace_is_labelled_with() {
    let world = world();
    world.settle("order-flow").await;
    assert_eq!(world.reported("order-flow"), ("Deployed".into(), Some(1), "Deployed v1 (key=1)".into()));
    assert_eq!(deployed(&world), [1, 0, 0]);
    assert_eq!(noted(&world).as_deref(), Some("acme"));
}

#[tokio::test]
async fn it_stands_still_under_another_label_and_goes_on_under_its_own() {
    let world = world();
    world.settle("order-flow").await;
    label(&world, Some("beta"));
    assert_eq!(world.settle("order-flow").await, UNTIL_CHANGED);
    let message = "deployed for tenant acme, where it stays; by label workflow.example.com/tenant of this Namespace it \
                   would now belong to tenant beta: set the label back, or delete this object and apply it again";
    assert_eq!(world.reported("order-flow"), ("Blocked".into(), Some(1), message.into()));
    assert_eq!(deployed(&world), [1, 0, 0], "neither lost nor moved");
    let event = ("DeployedForAnotherTenant".to_owned(), format!("DeployedForAnotherTenant: {message}"));
    assert_eq!(world.events("order-flow").pop(), Some(event));

    label(&world, Some("acme"));
    world.settle("order-flow").await;
    assert_eq!(world.reported("order-flow"), ("Deployed".into(), Some(1), "Deployed v1 (key=1)".into()));
}

#[tokio::test]
async fn without_the_label_it_is_refused_and_keeps_what_runs() {
    let world = world();
    world.settle("order-flow").await;
    label(&world, None);
    assert_eq!(world.settle("order-flow").await, UNTIL_CHANGED);
    let (phase, version, message) = world.reported("order-flow");
    assert_eq!((phase.as_str(), version), ("Pending", Some(1)));
    assert!(message.starts_with("spec.clusterRef prod-east: not found or not permitted"), "{message}");
    assert_eq!(deployed(&world), [1, 0, 0]);
}

#[tokio::test]
async fn a_label_without_its_tenant_deploys_nothing_and_says_where_the_name_is_from() {
    let world = world();
    label(&world, Some("gamma"));
    assert_eq!(world.settle("order-flow").await, UNTIL_CHANGED);
    let message = "spec.clusterRef prod-east, tenant gamma (from label workflow.example.com/tenant of Namespace \
                   acme-tenant): not found or not permitted there; create the WorkflowTenant, or correct the label";
    assert_eq!(world.reported("order-flow"), ("Pending".into(), None, message.into()));
    assert_eq!((deployed(&world), noted(&world)), ([0, 0, 0], None));
}

#[tokio::test]
async fn deleted_under_another_label_it_retires_what_it_deployed_and_comes_back_for_the_new_tenant() {
    for changed in [Some("beta"), Some("gamma"), None] {
        let world = world();
        world.settle("order-flow").await;
        label(&world, changed);
        world.settle("order-flow").await;
        world.delete("order-flow").await;
        assert_eq!(world.settle("order-flow").await, Next::Gone, "{changed:?}");
        assert_eq!(deployed(&world), [0, 0, 0], "{changed:?}");

        label(&world, Some("beta"));
        let mut again = unnamed();
        again.metadata.uid = Some("uid-of-its-next-life".to_owned());
        world.apiserver.seed(&again);
        world.settle("order-flow").await;
        assert_eq!(deployed(&world), [0, 1, 0], "{changed:?}");
        assert_eq!(noted(&world).as_deref(), Some("beta"), "{changed:?}");
    }
}

#[tokio::test]
async fn whatever_write_it_is_killed_at_a_label_that_changes_then_leaves_nothing_behind() {
    for stop in (1..=3).flat_map(|write| [Stop::Before(write), Stop::After(write)]) {
        let world = world();
        let faults = Faults::stop(stop);
        let mut killed = world.started_behind(&faults);
        world.pass_of(&mut killed, "order-flow").await;
        assert!(faults.stopped(), "{stop:?}");

        label(&world, Some("beta"));
        world.settle("order-flow").await;
        let reported = world.reported("order-flow").0;
        let expected = if stop == Stop::Before(1) { "Deployed" } else { "Blocked" };
        assert_eq!(reported, expected, "{stop:?}");
        world.delete("order-flow").await;
        world.settle("order-flow").await;
        assert_eq!(deployed(&world), [0, 0, 0], "{stop:?}");
    }
}
