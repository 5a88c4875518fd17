use std::collections::BTreeMap;

use super::*;

/// Selectors are immutable: a change here breaks every installed object.
#[test]
fn selector_of_an_engine_never_changes() {
    let expected = BTreeMap::from(
        [
            ("app.kubernetes.io/component", "engine"),
            ("app.kubernetes.io/instance", "prod-east"),
            ("app.kubernetes.io/name", "workflow-engine"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    assert_eq!(selector(Component::Engine, "prod-east"), expected);
}

#[test]
fn selector_of_a_worker_never_changes() {
    let expected = "app.kubernetes.io/component=worker,app.kubernetes.io/instance=payment-worker,app.kubernetes.io/name=workflow-worker";
    assert_eq!(selector_text(&selector(Component::Worker, "payment-worker")), expected);
}

#[test]
fn recommended_labels_contain_the_selector() {
    for component in [Component::Engine, Component::Migration, Component::Worker, Component::Client] {
        let labels = recommended(component, "one");
        assert!(selector(component, "one").iter().all(|(key, value)| labels.get(key) == Some(value)));
    }
}

#[test]
fn engine_selector_does_not_select_migration_pods() {
    assert_ne!(selector(Component::Engine, "one"), selector(Component::Migration, "one"));
}

#[test]
fn controllers_share_neither_field_manager_nor_finalizer() {
    let owners = [CLUSTER_CONTROLLER, TENANT_CONTROLLER, PROCESS_CONTROLLER, WORKER_CONTROLLER];
    let managers: std::collections::BTreeSet<_> = owners.iter().map(|owner| owner.field_manager).collect();
    let finalizers: std::collections::BTreeSet<_> = owners.iter().map(|owner| owner.finalizer).collect();
    assert_eq!((managers.len(), finalizers.len()), (4, 4));
}

#[test]
fn every_own_label_and_annotation_is_documented() {
    let page = include_str!("../../../../docs/ownership.md");
    let own = [
        TENANT,
        CLUSTER,
        WORKER,
        FORCE_DELETE,
        APPROVE_UPGRADE,
        TEMPLATE_DIGEST,
        KEPT_OVER_REPLICAS,
        CONFIG_DIGEST,
        APPLIED_HASH,
    ];
    let missing: Vec<_> = own.into_iter().filter(|word| !page.contains(&format!("`{word}`"))).collect();
    assert_eq!(missing, Vec::<&str>::new());
}
