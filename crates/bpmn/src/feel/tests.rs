use rstest::rstest;
use serde_json::{Value, json};

use super::{Decimal, Error, Expr, MAX_DEPTH, Operator, evaluate, is_true, parse};

fn variables() -> Value {
    json!({
        "total": 12.5, "count": 3, "name": "Ada", "vip": true, "nothing": null,
        "order": {"customer": {"country": "DE"}, "items": [1, 2]}, "big": 1e40
    })
}

#[rstest]
#[case("1 + 2 * 3", json!(7))]
#[case("(1 + 2) * 3", json!(9))]
#[case("10 / 4", json!(2.5))]
#[case("-count + 1", json!(-2))]
#[case("7 - 2 - 1", json!(4))]
#[case("0.1 + 0.2 = 0.3", json!(true))]
#[case(".5 * 2", json!(1))]
#[case("1 / 0", json!(null))]
#[case("big", json!(null))]
#[case("\"a\" + \"b\"", json!("ab"))]
#[case("\"say \\\"hi\\\" \\u0041\"", json!("say \"hi\" A"))]
#[case("1 + \"b\"", json!(null))]
#[case("name + nothing", json!(null))]
#[case("order.customer.country", json!("DE"))]
#[case("order.customer.city", json!(null))]
#[case("name.first", json!(null))]
#[case("`order`.items", json!([1, 2]))]
#[case("order.items = order.items", json!(true))]
#[case("total > 12", json!(true))]
#[case("count >= 3 and count <= 3", json!(true))]
#[case("name < \"B\"", json!(true))]
#[case("name != \"Bob\"", json!(true))]
#[case("count = 3.0", json!(true))]
#[case("count = \"3\"", json!(null))]
#[case("count < \"3\"", json!(null))]
#[case("missing > 1", json!(null))]
#[case("missing = null", json!(true))]
#[case("count = null", json!(false))]
#[case("count != null", json!(true))]
#[case("vip and missing", json!(null))]
#[case("false and missing", json!(false))]
#[case("vip or missing", json!(true))]
#[case("false or missing", json!(null))]
#[case("not(vip)", json!(false))]
#[case("not(missing)", json!(null))]
#[case("not(count > 2) or vip", json!(true))]
#[case("false or true and false", json!(false))]
#[case("count /* three */ = 3 // yes", json!(true))]
fn expression_has_its_value(#[case] text: &str, #[case] expected: Value) {
    assert_eq!(evaluate(&parse(text).unwrap(), &variables()), expected);
}

#[rstest]
#[case("vip", true)]
#[case("missing", false)]
#[case("count", false)]
#[case("\"true\"", false)]
#[case("total > 1000", false)]
fn only_true_takes_a_flow(#[case] text: &str, #[case] expected: bool) {
    assert_eq!(is_true(&parse(text).unwrap(), &variables()), expected);
}

#[rstest]
#[case("count(items) > 3", "a function call")]
#[case("list contains(items, 3)", "a function call")]
#[case("date and time(\"2026-11-22T00:00:00Z\") > now()", "a function call")]
#[case("items[1]", "a filter")]
#[case("items[item > 5]", "a filter")]
#[case("[1, 2, 3]", "a list")]
#[case("{a: 1, \"b\": 2}", "a context")]
#[case("if a then b else c", "`if`")]
#[case("for x in 1..3 return x * 2", "`for`")]
#[case("some x in items satisfies x > 3", "`some` and `every`")]
#[case("total between 1 and 5", "`between`")]
#[case("total in [1..5]", "a range")]
#[case("total in (< 5, > 10)", "`in`")]
#[case("name in (\"a\", \"b\")", "`in`")]
#[case("total in (1..5]", "a range")]
#[case("total in (a) + 1", "`in`")]
#[case("x instance of number", "`instance of`")]
#[case("x instance of days and time duration", "`instance of`")]
#[case("function(a, b) a + b", "a function definition")]
#[case("@\"P1D\"", "a date, time or duration")]
#[case("2 ** 3", "`**`")]
#[case("f(a).b", "a function call")]
fn feel_outside_the_subset_is_told_apart(#[case] text: &str, #[case] feature: &'static str) {
    assert_eq!(parse(text), Err(Error::Unsupported { feature }));
}

#[rstest]
#[case("")]
#[case("total == 3")]
#[case("a && b")]
#[case("a || b")]
#[case("!a")]
#[case("${total > 3}")]
#[case("(1 + 2")]
#[case("1 +")]
#[case("\"open")]
#[case("a b")]
#[case("if a then b")]
#[case("total > ")]
#[case("'single'")]
#[case("a ; b")]
#[case("/* open")]
fn what_cannot_be_feel_is_a_syntax_error(#[case] text: &str) {
    assert!(matches!(parse(text), Err(Error::Syntax { .. })), "{:?}", parse(text));
}

#[test]
fn syntax_error_tells_what_was_expected_where() {
    let expected = Error::Syntax { expected: "a value", position: 8 };
    assert_eq!(parse("total ==3"), Err(expected.clone()));
    assert_eq!(expected.to_string(), "a value expected at character 8");
}

#[test]
fn operators_bind_like_feel_has_it() {
    let number = |value: i64| Box::new(Expr::Number(Decimal::from(value)));
    let path = |name: &str| Box::new(Expr::Path(vec![name.to_owned()]));
    let expected = Expr::Binary(
        Operator::Or,
        path("a"),
        Box::new(Expr::Binary(
            Operator::And,
            path("b"),
            Box::new(Expr::Binary(
                Operator::Less,
                path("c"),
                Box::new(Expr::Binary(Operator::Subtract, number(4), Box::new(Expr::Negate(number(5))))),
            )),
        )),
    );
    assert_eq!(parse("a or b and c < 4 - -5"), Ok(expected));
}

#[rstest]
#[case("(".repeat(100_000))]
#[case("-".repeat(30_000) + "1")]
#[case("not(".repeat(8_000))]
#[case(vec!["1"; 16_000].join("+"))]
#[case("[".repeat(30_000))]
#[case(vec!["a"; 16_000].join("."))]
#[case("1 in ((".repeat(60) + "1" + &") in 1)".repeat(60))]
#[case("x(".repeat(10_000))]
fn depth_is_bounded(#[case] text: String) {
    assert!(parse(&text).is_err());
}

#[test]
fn usual_depth_is_evaluated() {
    let text = vec!["1"; MAX_DEPTH].join(" + ");
    assert_eq!(evaluate(&parse(&text).unwrap(), &Value::Null), json!(MAX_DEPTH));
}
