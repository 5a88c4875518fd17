//! A tenant in a namespace of its own.

use api_types::WorkflowTenant;
use api_types::labels::TENANT;
use controller_kit::outcome::{ErrorClass, Next};
use controller_testing::World as _;
use k8s_openapi::api::core::v1::Namespace;
use serde_json::{Value, json};

use crate::testing::{HOME, SETTLED, World, applied};

#[tokio::test]
async fn a_tenant_elsewhere_needs_the_label_of_its_namespace_and_is_cleaned_up_without() {
    let world = World::with(&[]);
    let mut elsewhere = applied("acme");
    elsewhere.metadata.namespace = Some("acme-home".into());
    elsewhere.spec.cluster_ref.namespace = Some(HOME.into());
    world.apiserver.seed(&elsewhere);
    let mut namespace = Namespace::default();
    namespace.metadata.name = Some("acme-home".into());
    world.apiserver.seed(&namespace);
    let reconciler = world.started();
    let pass = async || {
        use controller_kit::controller::Reconciler as _;
        let tenant: Option<WorkflowTenant> = world.apiserver.get("acme-home", "acme");
        match tenant {
            Some(tenant) => reconciler.reconcile(std::sync::Arc::new(tenant)).await.next,
            None => Next::Gone,
        }
    };
    let label = |labels: Value| {
        world
            .apiserver
            .edit::<Namespace>("", "acme-home", |namespace| namespace["metadata"]["labels"] = labels);
    };

    assert_eq!(pass().await, Next::Failed(ErrorClass::Invalid));
    assert_eq!(world.engine().calls(), []);
    label(json!({TENANT: "acme"}));
    assert_eq!(pass().await, SETTLED);
    assert!(world.engine().tenant("acme").is_some());

    label(json!({}));
    assert_eq!(pass().await, Next::Failed(ErrorClass::Invalid));
    let api: kube::Api<WorkflowTenant> = kube::Api::namespaced(world.apiserver.client(), "acme-home");
    api.delete("acme", &kube::api::DeleteParams::default()).await.unwrap();
    assert_eq!(pass().await, Next::Gone);
    assert_eq!(world.engine().tenant("acme"), None);
}
