//! The author's word for a version, which the object or the document may say.

use api_types::WorkflowTenant;
use controller_kit::outcome::Next;
use controller_testing::World as _;
use engine_client::Operation;
use rstest::rstest;
use serde_json::json;

use crate::status::RESYNC;
use crate::testing::{ORDER_FLOW, World, applied};

/// The object or the document names the version. It is deployed once, and changes elsewhere do not deploy it again.
#[rstest]
#[case::nobody(None, "", None)]
#[case::object(Some("v8"), "", Some("v8"))]
#[case::document(None, r#"<zeebe:versionTag value="v7"/>"#, Some("v7"))]
#[case::both(Some("v8"), r#"<zeebe:versionTag value="v7"/>"#, Some("v8"))]
#[case::empty_in_the_document(None, r#"<zeebe:versionTag value=""/>"#, None)]
#[case::object_and_empty_in_the_document(Some("v8"), r#"<zeebe:versionTag value=""/>"#, Some("v8"))]
#[case::without_a_value(None, "<zeebe:versionTag/>", None)]
#[tokio::test]
async fn a_version_tag_is_deployed_once_and_outlives_a_pause(
    #[case] spec: Option<&str>,
    #[case] extension: &str,
    #[case] expected: Option<&str>,
) {
    let process = r#"<bpmn:process id="order-flow" name="Order flow" isExecutable="true">"#;
    assert!(ORDER_FLOW.contains(process));
    let extensions = format!("{process}<bpmn:extensionElements>{extension}</bpmn:extensionElements>");
    let mut object = applied("order-flow", &json!({"bpmn": ORDER_FLOW.replace(process, &extensions)}));
    object.spec.version_tag = spec.map(str::to_owned);
    let world = World::with(&[object]);

    let reported = || {
        let status = world.status("order-flow");
        let deployed = status.conditions.iter().find(|condition| condition.type_ == "Deployed");
        (status.ready, deployed.map(|condition| condition.status.clone()), status.version, status.version_tag)
    };
    let runs = |ready| (ready, Some("True".to_owned()), Some(1), expected.map(str::to_owned));
    let pause = |paused: bool| world.edit("order-flow", |process| process["spec"]["paused"] = json!(paused));
    let suspend = |suspended: bool| {
        world.apiserver.edit::<WorkflowTenant>("workflow-system", "acme", |tenant| {
            tenant["spec"]["suspended"] = json!(suspended);
        });
    };

    assert_eq!(world.settle("order-flow").await, Next::Settled { resync: RESYNC });
    assert_eq!(reported(), runs(true));
    for _ in 0..5 {
        world.pass("order-flow").await;
    }
    pause(true);
    world.settle("order-flow").await;
    assert_eq!(reported(), runs(true), "paused");
    pause(false);
    world.settle("order-flow").await;
    suspend(true);
    world.settle("order-flow").await;
    assert_eq!(reported(), runs(false), "tenant suspended");
    suspend(false);
    world.settle("order-flow").await;
    assert_eq!(reported(), runs(true), "as before");
    assert_eq!(world.engine().count(Operation::DeployProcess), 1);
    let tags: Vec<Option<String>> =
        world.engine().definitions("acme").into_iter().map(|definition| definition.version_tag).collect();
    assert_eq!(tags, [expected.map(str::to_owned)]);
}
