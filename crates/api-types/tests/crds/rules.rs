//! The rules in code, tested with the same cases as the apiserver.

use std::sync::LazyLock;

use api_types::violation::{Checked, Violation, violations};
use api_types::{WorkflowBackup, WorkflowCluster, WorkflowProcess, WorkflowTenant, WorkflowWorker};
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::cases::{Case, cases};

/// `Err` when the object does not even have the types of its kind.
fn check<K: Checked + DeserializeOwned>(object: Value) -> Result<Vec<Violation>, serde_json::Error> {
    Ok(violations(&serde_json::from_value::<K>(object)?))
}

fn check_case(case: &Case) -> Result<Vec<Violation>, serde_json::Error> {
    let object = case.updated().unwrap_or_else(|| case.created());
    match case.kind.as_str() {
        "WorkflowCluster" => check::<WorkflowCluster>(object),
        "WorkflowTenant" => check::<WorkflowTenant>(object),
        "WorkflowProcess" => check::<WorkflowProcess>(object),
        "WorkflowWorker" => check::<WorkflowWorker>(object),
        "WorkflowBackup" => check::<WorkflowBackup>(object),
        other => panic!("{other}"),
    }
}

#[test]
fn code_refuses_what_the_crds_refuse_and_nothing_else() {
    let mut wrong = Vec::new();
    for case in cases() {
        let found = check_case(&case);
        let holds = match (&case.refused, &found) {
            (Some(_), _) if case.stored => found.is_err() || found.as_ref().is_ok_and(Vec::is_empty),
            (None, Ok(violations)) => violations.is_empty(),
            (Some(refusal), Ok(violations)) => violations.iter().any(|violation| {
                violation.path == refusal.path
                    && refusal.message.as_ref().is_none_or(|message| *message == violation.message)
            }),
            (_, Err(_)) => false,
        };
        if !holds {
            wrong.push(format!("{}: {found:?}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn messages_name_value_and_expectation() {
    let refused = |name: &str| {
        let case = cases().into_iter().find(|case| case.name == name).unwrap();
        check_case(&case).unwrap().into_iter().map(|violation| violation.message).collect::<Vec<_>>()
    };
    assert_eq!(
        refused("version of two parts"),
        [
            "spec.version has 3 characters, expected at least 5",
            "spec.version is \"1.2\", expected a version like 1.2.3 or 1.2.3-rc.1 (SemVer without build metadata)",
        ]
    );
    assert_eq!(refused("too many replicas"), ["spec.replicas is 65, expected at most 64"]);
    assert_eq!(refused("variable twice"), ["spec.env[1] repeats \"A\", expected each only once"]);
}

/// An object of each kind with every field set.
static COMPLETE: LazyLock<[Value; 5]> = LazyLock::new(|| {
    ["cluster", "tenant", "process", "worker", "backup"].map(|kind| {
        let name = format!("every field of a {kind}");
        cases().iter().find(|case| case.name == name).unwrap().created()
    })
});

/// A value that a schema without types could accept.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,80}".prop_map(Value::from),
        "[x_a-z.:\\-äß]{0,80}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-zA-Z]{0,12}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Every place below `value`, as JSON pointers.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                places(member, &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                places(item, &format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

proptest! {
    /// One broken object must never stop a controller: it is decoded and checked, or refused, without a panic.
    #[test]
    fn broken_objects_are_refused_without_a_panic(kind in 0_usize..5, place in any::<prop::sample::Index>(), broken in any_json()) {
        let mut object = COMPLETE[kind].clone();
        let mut found = Vec::new();
        places(&object["spec"], "/spec", &mut found);
        *object.pointer_mut(place.get(&found).as_str()).unwrap() = broken;
        let _ = match kind {
            0 => check::<WorkflowCluster>(object),
            1 => check::<WorkflowTenant>(object),
            2 => check::<WorkflowProcess>(object),
            3 => check::<WorkflowWorker>(object),
            _ => check::<WorkflowBackup>(object),
        };
    }
}
