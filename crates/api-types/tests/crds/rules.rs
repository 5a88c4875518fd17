//! The rules in code, over the same cases as the apiserver.

use api_types::violation::{Checked, Violation, violations};
use api_types::{WorkflowCluster, WorkflowProcess, WorkflowTenant, WorkflowWorker};
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
