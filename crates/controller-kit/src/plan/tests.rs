use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};

use super::*;

const OWNER: &str = "uid-1";

fn config_map(value: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some("a".into()),
            namespace: Some("ns".into()),
            owner_references: Some(vec![OwnerReference {
                uid: OWNER.into(),
                controller: Some(true),
                ..OwnerReference::default()
            }]),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([("key".into(), value.into())])),
        ..ConfigMap::default()
    }
}

fn live(desired: &Desired) -> ConfigMap {
    serde_json::from_value(desired.body.clone()).unwrap()
}

#[test]
fn a_missing_child_is_applied_and_an_equal_one_is_left_alone() {
    let desired = Desired::of(&config_map("1"));
    assert_eq!(plan_child::<ConfigMap>(OWNER, desired.clone(), None), ChildVerdict::Apply(desired.clone()));
    assert_eq!(plan_child(OWNER, desired.clone(), Some(&live(&desired))), ChildVerdict::Converged);
}

#[test]
fn drift_of_our_field_is_applied_and_foreign_fields_are_not() {
    let desired = Desired::of(&config_map("1"));
    let mut drifted = live(&desired);
    drifted.data = Some(BTreeMap::from([("key".into(), "2".into())]));
    assert_eq!(plan_child(OWNER, desired.clone(), Some(&drifted)), ChildVerdict::Apply(desired.clone()));

    let mut extended = live(&desired);
    extended.metadata.annotations.get_or_insert_default().insert("their/annotation".into(), "x".into());
    assert_eq!(plan_child(OWNER, desired, Some(&extended)), ChildVerdict::Converged);
}

#[test]
fn a_field_that_is_no_longer_wanted_is_noticed() {
    let mut before = config_map("1");
    before.immutable = Some(false);
    let live = live(&Desired::of(&before));
    let desired = Desired::of(&config_map("1"));
    assert_eq!(plan_child(OWNER, desired.clone(), Some(&live)), ChildVerdict::Apply(desired));
}

#[test]
fn a_foreign_object_is_never_taken_over() {
    let desired = Desired::of(&config_map("1"));
    let verdict = plan_child("uid-2", desired.clone(), Some(&live(&desired)));
    assert_eq!(verdict, ChildVerdict::NameTaken { object: "ConfigMap ns/a".into() });
}

#[test]
fn secrets_do_not_show_in_debug() {
    let secret = Secret {
        metadata: ObjectMeta { name: Some("s".into()), ..ObjectMeta::default() },
        string_data: Some(BTreeMap::from([("k".into(), "hunter2".into())])),
        ..Secret::default()
    };
    assert!(!format!("{:?}", Desired::of(&secret)).contains("hunter2"));
}
