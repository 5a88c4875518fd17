use rstest::rstest;
use serde_json::{Value, json};

use super::{Variables, perform};

#[rstest]
#[case::small("charge-payment", json!({"amount": 12.5}), Ok(json!({"paymentApproved": true, "paymentMessage": "approved"})))]
#[case::at_the_limit("charge-payment", json!({"amount": 1000}), Ok(json!({"paymentApproved": true, "paymentMessage": "approved"})))]
#[case::above_the_limit(
    "charge-payment",
    json!({"amount": 1000.01}),
    Ok(json!({"paymentApproved": false, "paymentMessage": "declined: amount is above the limit"}))
)]
#[case::refund("refund-payment", json!({"amount": 5000}), Ok(json!({"paymentRefunded": true})))]
#[case::no_amount("charge-payment", json!({}), Err("variable amount is missing: expected a number above 0"))]
#[case::text("refund-payment", json!({"amount": "5"}), Err("variable amount is \"5\": expected a number above 0"))]
#[case::nothing("charge-payment", json!({"amount": 0}), Err("variable amount is 0: expected a number above 0"))]
#[case::negative("charge-payment", json!({"amount": -1}), Err("variable amount is -1: expected a number above 0"))]
#[case::unknown("send-mail", json!({}), Err("this worker serves charge-payment and refund-payment, not send-mail"))]
fn job_gives_its_variables(
    #[case] job_type: &str,
    #[case] variables: Value,
    #[case] expected: Result<Value, &str>,
) {
    let variables = Variables(serde_json::from_value(variables).expect("variables should be an object"));
    let done = perform(job_type, &variables).map(|done| Value::Object(done.0));
    assert_eq!(done, expected.map_err(ToOwned::to_owned));
}
