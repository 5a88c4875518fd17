use proptest::prelude::*;
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
fn feel_outside_the_subset_is_unsupported(#[case] text: &str, #[case] feature: &'static str) {
    assert_eq!(parse(text), Err(Error::Unsupported { feature }));
}

#[rstest]
#[case("")]
#[case("total == 3")]
#[case("${total > 3}")]
#[case("(1 + 2")]
#[case("1 +")]
#[case("\"open")]
#[case("a b")]
#[case("if a then b")]
#[case("total > ")]
#[case("/* open")]
fn text_that_is_not_feel_is_a_syntax_error(#[case] text: &str) {
    assert!(matches!(parse(text), Err(Error::Syntax { .. })), "{:?}", parse(text));
}

#[test]
fn syntax_error_has_the_expectation_and_position() {
    let expected = Error::Syntax { expected: "a value", position: 8 };
    assert_eq!(parse("total ==3"), Err(expected.clone()));
    assert_eq!(expected.to_string(), "a value expected at character 8");
}

#[test]
fn operators_have_feels_precedence() {
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

/// Expressions with characters that word processors insert, and what to write instead.
#[rstest]
#[case("status = “APPROVED”", '“', 10, "\"")]
#[case("status = „APPROVED“", '„', 10, "\"")]
#[case("status = «APPROVED»", '«', 10, "\"")]
#[case("status = ‘APPROVED’", '‘', 10, "\"")]
#[case("status = ‚APPROVED‘", '‚', 10, "\"")]
#[case("status = 'APPROVED'", '\'', 10, "\"")]
#[case("status = ″APPROVED″", '″', 10, "\"")]
#[case("status = ʺAPPROVEDʺ", 'ʺ', 10, "\"")]
#[case("status = ＂APPROVED＂", '＂', 10, "\"")]
// A string with a correct start and a wrong end.
#[case("status = \"APPROVED”", '”', 19, "\"")]
#[case("status＝\"APPROVED\"", '＝', 7, "=")]
#[case("total ≤ 3", '≤', 7, "<=")]
#[case("total ≥ 3", '≥', 7, ">=")]
#[case("total ≠ 3", '≠', 7, "!=")]
#[case("total × 3", '×', 7, "*")]
#[case("total·3", '·', 6, "*")]
#[case("total ÷ 3", '÷', 7, "/")]
#[case("total − 3", '−', 7, "-")]
#[case("total – 3", '–', 7, "-")]
#[case("order．total", '．', 6, ".")]
#[case("order＿total", '＿', 6, "_")]
#[case("total > ５", '５', 9, "digits 0 to 9")]
#[case("total > ٣", '٣', 9, "digits 0 to 9")]
#[case("vip & new", '&', 5, "and")]
#[case("vip ∧ new", '∧', 5, "and")]
#[case("vip || new", '|', 5, "or")]
#[case("!vip", '!', 1, "not(…)")]
fn look_alike_characters_are_refused_with_a_replacement(
    #[case] text: &str,
    #[case] character: char,
    #[case] position: usize,
    #[case] instead: &'static str,
) {
    assert_eq!(parse(text), Err(Error::Character { character, position, instead: Some(instead) }));
}

#[rstest]
#[case("status = “x”", "write \" instead of “ (U+201C) at character 10")]
#[case("sta\u{200b}tus", "remove the invisible character U+200B at character 4")]
#[case("\u{feff}status", "remove the invisible character U+FEFF at character 1")]
#[case("status\u{7}", "remove the invisible character U+0007 at character 7")]
#[case("葛\u{e0100}", "remove the invisible character U+E0100 at character 2")]
#[case("\u{3164} = null", "remove the invisible character U+3164 at character 1")]
#[case("😀 > 1", "😀 (U+1F600) at character 1 may stand only in a string")]
#[case("price€", "€ (U+20AC) at character 6 may stand only in a string")]
#[case("x²", "² (U+00B2) at character 2 may stand only in a string")]
#[case("a ; b", "; (U+003B) at character 3 may stand only in a string")]
fn characters_that_feel_does_not_allow_are_named_with_their_position(
    #[case] text: &str,
    #[case] message: &str,
) {
    assert_eq!(parse(text).map_err(|error| error.to_string()), Err(message.to_owned()));
}

#[rstest]
#[case("größe")]
#[case("café")]
#[case("cafe\u{301}")]
#[case("ſtraße_2")]
#[case("総額")]
#[case("ユーザー名")]
#[case("ग्राहक")]
#[case("عميل")]
#[case("заказ")]
#[case("πελάτης")]
#[case("고객")]
fn names_may_be_of_any_script(#[case] name: &str) {
    assert_eq!(parse(name), Ok(Expr::Path(vec![name.to_owned()])));
    let variables = json!({ name: { name: 3 } });
    assert_eq!(evaluate(&parse(&format!("{name}.{name} = 3")).unwrap(), &variables), json!(true));
}

#[rstest]
#[case("$total", "`$` in a name")]
#[case("customer's", "`'` in a name")]
fn names_with_signs_are_outside_the_subset(#[case] text: &str, #[case] feature: &'static str) {
    assert_eq!(parse(text), Err(Error::Unsupported { feature }));
}

/// FEEL's grammar counts them as white space. They occur in text that was copied from web pages.
#[test]
fn wide_and_no_break_spaces_are_white_space() {
    for blank in ['\u{a0}', '\u{1680}', '\u{2003}', '\u{2009}', '\u{2028}', '\u{202f}', '\u{3000}'] {
        assert_eq!(parse(&format!("count{blank}={blank}3")), parse("count = 3"), "{blank:?}");
    }
}

/// Every character of Unicode is a letter of a name, white space, a sign of FEEL, or refused at its position.
#[test]
fn every_character_has_one_meaning_or_is_refused() {
    let all = ('\0'..='\u{1ffff}').chain('\u{e0000}'..='\u{e01ff}');
    for character in all.filter(|character| !character.is_ascii()) {
        let read = parse(&format!("total > {character}"));
        match &read {
            Ok(Expr::Binary(Operator::Greater, _, right)) => {
                assert_eq!(**right, Expr::Path(vec![character.to_string()]));
                assert!(character.is_alphabetic(), "{character:?} is a name");
            }
            Err(Error::Character { character: refused, position: 9, .. }) => assert_eq!(*refused, character),
            Err(Error::Syntax { expected: "a value", position: 10 }) => {
                assert!(character.is_whitespace(), "{character:?} is a blank");
            }
            other => panic!("{character:?} gives {other:?}"),
        }
        let constant = parse(&format!("\"{character}\""));
        assert_eq!(constant, Ok(Expr::String(character.to_string())), "text may hold anything");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// A foreign character anywhere in an expression is refused with its position.
    #[test]
    fn foreign_characters_are_reported_at_their_position(
        text in "(not\\()?[a-zäж漢_]{1,6}(\\.[a-z]{1,4})?( (=|<=|>|and|or|\\+|-) ?(\"[^\"\\\\]{0,6}\"|[0-9]{1,3}(\\.[0-9])?|[a-z]{1,3})){0,4}",
        place in any::<prop::sample::Index>(),
        foreign in prop::sample::select(vec![
            '“', '”', '„', '‘', '’', '«', '\u{200b}', '\u{200d}', '\u{feff}', '\u{ad}', '−', '–', '×', '≤', '＝', '＂', '″',
            '😀', '²', '€', '·', '\u{1}', ';', '&', '#', '\\',
        ]),
    ) {
        let mut characters: Vec<char> = text.chars().collect();
        let outside: Vec<usize> = (0..=characters.len())
            .filter(|at| characters[..*at].iter().filter(|character| **character == '"').count() % 2 == 0)
            .collect();
        let at = *place.get(&outside);
        characters.insert(at, foreign);
        let changed: String = characters.into_iter().collect();
        let found = match parse(&changed) {
            Err(Error::Character { character, position, .. }) => Some((character, position)),
            _ => None,
        };
        prop_assert_eq!(found, Some((foreign, at + 1)), "{}", changed);
    }
}
