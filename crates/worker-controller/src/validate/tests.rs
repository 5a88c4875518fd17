use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::testing::{EVERY_FIELD, SEED, worker, worker_with};

fn job_type(name: &str, label_value: &str) -> JobType {
    JobType { name: name.into(), label_value: label_value.into() }
}

#[test]
fn the_seed_is_accepted() {
    let job_types =
        vec![job_type("charge-payment", "charge-payment"), job_type("refund-payment", "refund-payment")];
    assert_eq!(validate(&worker(SEED)), Ok(Fleet { job_types }));
}

#[test]
fn job_types_are_sorted_and_encoded_as_label_values() {
    let job_types = vec![
        job_type("charge-payment", "charge-payment"),
        job_type("io.camunda:http-json:1", "x_io.camunda_3ahttp-json_3a1_x"),
        job_type("refund-payment", "refund-payment"),
    ];
    assert_eq!(validate(&worker(EVERY_FIELD)), Ok(Fleet { job_types }));
}

#[rstest]
#[case::bound(
    |spec: &mut Value| spec["replicas"] = json!(1001),
    "spec.replicas is 1001, expected at most 1000"
)]
#[case::rule(
    |spec: &mut Value| spec["autoscaling"] = json!({"minReplicas": 3, "maxReplicas": 2}),
    "spec.autoscaling.minReplicas must not be greater than maxReplicas"
)]
#[case::our_variable(
    |spec: &mut Value| spec["env"] = json!([{"name": "WORKFLOW_TENANT", "value": "other"}]),
    "spec.env names must not start with WORKFLOW_: those variables belong to the operator"
)]
#[case::several(
    |spec: &mut Value| { spec["jobTypes"] = json!([]); spec["replicas"] = json!(-1); },
    "spec.jobTypes has 0 items, expected at least 1; and 1 more"
)]
fn an_object_older_than_the_schema_is_judged_by_the_same_words(
    #[case] change: fn(&mut Value),
    #[case] message: &str,
) {
    let worker = worker_with(|worker| change(&mut worker["spec"]));
    assert_eq!(validate(&worker), Err(Problem::invalid_spec(message)));
}
