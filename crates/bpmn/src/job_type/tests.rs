use rstest::rstest;

use super::problem;

#[rstest]
#[case("charge-payment", None)]
#[case("io.camunda:http-json:1", None)]
#[case("charge payment", None)]
#[case("größe", None)]
#[case("x_y_x", None)]
#[case("", Some("is empty"))]
#[case(" charge", Some("begins with a blank"))]
#[case("charge ", Some("ends with a blank"))]
#[case(" ", Some("begins and ends with a blank"))]
#[case("charge,refund", Some("holds a comma"))]
#[case("charge\t", Some("holds the control character U+0009"))]
#[case("charge\u{7f}", Some("holds the control character U+007F"))]
#[case(&"a".repeat(63), None)]
#[case(&"a".repeat(64), Some("needs 64 characters as a label value, at most 63; letters, digits, '.' and '-' need 1, every other byte 3"))]
#[case(
    "支払い処理を行う仕事",
    Some(
        "needs 94 characters as a label value, at most 63; letters, digits, '.' and '-' need 1, every other byte 3"
    )
)]
fn job_types_that_no_worker_can_serve_are_reported(#[case] job_type: &str, #[case] expected: Option<&str>) {
    assert_eq!(problem(job_type).as_deref(), expected);
}
