use rstest::rstest;
use serde_json::json;

use super::*;

#[rstest]
#[case::text(json!({"a": "b\0"}))]
#[case::name(json!({"a\0": 1}))]
#[case::deep(json!({"a": [1, {"b": "\0"}]}))]
#[case::deep_name(json!({"a": [1, {"\0": "b"}]}))]
fn variables_that_cannot_be_stored_are_refused(#[case] variables: Value) {
    assert!(matches!(require_storable(&object(variables)), Err(Error::Invalid(_))));
}

#[test]
fn variables_that_can_be_stored_are_not_refused() {
    let variables = json!({"order": {"id": "o-1", "items": [1, 2.5], "paid": true, "note": null}});
    assert!(require_storable(&object(variables)).is_ok());
}

#[test]
fn a_completed_jobs_variables_overwrite_the_instances() {
    let mut variables = json!({"a": 1, "b": {"c": 2}});
    let Value::Object(changes) = json!({"b": 3, "d": 4}) else { unreachable!() };
    merge(&mut variables, changes);
    assert_eq!(variables, json!({"a": 1, "b": 3, "d": 4}));
}

#[test]
fn variables_above_a_mebibyte_are_refused() {
    assert!(require_small(&json!({"a": "x".repeat(MAX_BYTES / 2)})).is_ok());
    assert!(require_small(&json!({"a": "x".repeat(MAX_BYTES)})).is_err());
}
