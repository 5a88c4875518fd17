use rstest::rstest;
use serde_json::json;

use super::*;

#[test]
fn variables_survive_the_wire_and_back() {
    let variables = json!({
        "order": {"id": "o-1", "total": 12.5, "items": [1, 2, 3], "paid": true, "note": null},
        "huge": -9_007_199_254_740_992_i64,
    });
    let back = from_wire(Some(to_wire(&variables))).expect("should be readable");
    assert_eq!(Value::Object(back), variables);
}

#[test]
fn absent_variables_are_none() {
    assert_eq!(from_wire(None).expect("should be readable"), Map::new());
}

#[rstest]
#[case::not_a_number(Kind::NumberValue(f64::NAN))]
#[case::infinite(Kind::NumberValue(f64::INFINITY))]
#[case::nul_character(Kind::StringValue("a\0b".to_owned()))]
fn what_cannot_be_stored_is_refused(#[case] kind: Kind) {
    let fields = [("a".to_owned(), WireValue { kind: Some(kind) })].into();
    assert!(matches!(from_wire(Some(Struct { fields })), Err(Error::Invalid(_))));
}

#[test]
fn a_completed_jobs_variables_win() {
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
