//! What a cluster's status says when the API server refuses a read or a write.

use api_types::cluster::ClusterPhase;
use controller_kit::outcome::{ErrorClass, Next};
use controller_testing::World as _;
use k8s_openapi::api::apps::v1::StatefulSet;

use crate::testing::MINIMAL;
use crate::testing::world::World;

#[tokio::test]
async fn one_refused_step_does_not_keep_the_others_from_being_done() {
    let world = World::new(MINIMAL);
    world.apiserver.intercept(|request| {
        (request.method == "PATCH" && request.path.contains("/networkpolicies/")).then(|| {
            test_support::reply::forbidden(
                "networkpolicies.networking.k8s.io",
                "dev-engine",
                "quota exceeded",
            )
            .into()
        })
    });
    let next = world.pass("dev").await;
    assert_eq!(next, Next::Failed(ErrorClass::Denied));
    for _ in 0..5 {
        world.answer();
        world.pass("dev").await;
    }
    assert_eq!(world.reported().1, "Denied");
    assert!(world.apiserver.get::<StatefulSet>("acme", "dev-engine").is_some());
}

#[tokio::test]
async fn a_namespace_without_rights_is_reported() {
    let world = World::new(MINIMAL);
    world.apiserver.intercept(|request| {
        let is_read = request.method == "GET" && request.path.contains("/secrets/");
        is_read.then(|| test_support::reply::forbidden("secrets", "db", "no RBAC policy matched").into())
    });
    let next = world.pass("dev").await;
    assert_eq!(next, Next::Failed(ErrorClass::Denied));
    let (phase, reason, message) = world.reported();
    assert_eq!((phase, reason.as_str()), (Some(ClusterPhase::Pending), "Denied"));
    assert!(message.starts_with("failed to read Secret acme/"), "{message}");
}
