use rstest::rstest;

use super::*;

fn labels(pairs: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<&'static str> {
    move |key| pairs.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
}

const SERIES: &[(&str, &str)] = &[("job_type", "charge"), ("tenant", "acme"), ("shard", "7")];

#[rstest]
#[case::empty_is_everything("", true)]
#[case::blank_is_everything("  ", true)]
#[case::equal("job_type=charge", true)]
#[case::double_equal("job_type==charge", true)]
#[case::equal_with_spaces(" job_type = charge ", true)]
#[case::equal_other("job_type=refund", false)]
#[case::equal_missing_key("region=eu", false)]
#[case::equal_empty_value("job_type=", false)]
#[case::not_equal("job_type!=refund", true)]
#[case::not_equal_same("job_type!=charge", false)]
#[case::not_equal_missing_key("region!=eu", true)]
#[case::set("job_type in (refund,charge)", true)]
#[case::set_without_spaces("job_type in(charge)", true)]
#[case::set_other("job_type in (refund)", false)]
#[case::set_empty_is_the_empty_value("job_type in ()", false)]
#[case::set_with_empty_first("job_type in (,charge)", true)]
#[case::set_with_empty_last("job_type in (charge,)", true)]
#[case::not_in_set("job_type notin (refund)", true)]
#[case::not_in_set_same("job_type notin (charge)", false)]
#[case::not_in_set_missing_key("region notin (eu)", true)]
#[case::not_in_empty_set("job_type notin ()", true)]
#[case::exists("tenant", true)]
#[case::exists_missing("region", false)]
#[case::absent("!region", true)]
#[case::absent_with_space("! region", true)]
#[case::absent_present("!tenant", false)]
#[case::greater("shard>6", true)]
#[case::not_greater("shard>7", false)]
#[case::less("shard<8", true)]
#[case::greater_on_a_word("tenant>1", false)]
#[case::and("job_type=charge,tenant=acme", true)]
#[case::and_one_fails("job_type=charge,tenant=other", false)]
#[case::as_the_autoscaler_sends_it("!canary,job_type=charge,tenant in (acme,other)", true)]
#[case::key_named_like_an_operator("in=x", false)]
#[case::value_named_like_an_operator("job_type=in", false)]
#[case::prefixed_key("example.com/team=a", false)]
fn selector_matches_as_kubernetes_does(#[case] selector: &str, #[case] expected: bool) {
    let parsed: Selector = selector.parse().expect("selector should parse");
    assert_eq!(parsed.matches(labels(SERIES)), expected, "{selector}");
}

#[rstest]
#[case::triple_equal("a===b", "found '=', expected: identifier")]
#[case::only_a_comma(",", "found ',', expected: !, identifier")]
#[case::trailing_comma("a=b,", "found '', expected: identifier after ','")]
#[case::double_comma("a,,b", "found ',', expected: identifier after ','")]
#[case::two_words("a b", "found 'b', expected: in, notin, =, ==, !=, > or <")]
#[case::two_values("a=b c", "found 'c', expected: ',' or 'end of string'")]
#[case::absent_with_value("!a=b", "found '=', expected: ',' or 'end of string'")]
#[case::double_not("!!a", "found '!', expected: identifier")]
#[case::set_without_parenthesis("a in b", "found 'b', expected: '('")]
#[case::open_set("a in (b", "found '', expected: ',' or ')'")]
#[case::open_empty_set("a in (", "found '', expected: ',', ')' or identifier")]
#[case::nested_set("a in ((b))", "found '(', expected: ',', ')' or identifier")]
#[case::greater_or_equal("a>=1", "found '=', expected: identifier")]
#[case::greater_than_a_word("a>b", "for 'Gt', 'Lt' operators, the value must be an integer, got \"b\"")]
fn malformed_selector_is_refused(#[case] selector: &str, #[case] message: &str) {
    assert_eq!(
        selector.parse::<Selector>().map_err(|e| e.to_string()),
        Err(format!("unable to parse requirement: {message}"))
    );
}

#[rstest]
#[case::colon_in_value("job_type=io.camunda:http-json:1")]
#[case::umlaut_in_value("job_type=größe")]
#[case::long_value(&format!("job_type={}", "a".repeat(64)))]
#[case::value_starting_with_dash("job_type=-a")]
#[case::bad_value_in_set("job_type in (ok,a:b)")]
#[case::colon_in_key("job:type=a")]
#[case::empty_prefix("/a=b")]
#[case::upper_case_prefix("Example.com/a=b")]
#[case::empty_name("example.com/=b")]
#[case::two_slashes("a/b/c=d")]
fn key_or_value_that_is_no_label_is_refused(#[case] selector: &str) {
    let message = selector.parse::<Selector>().expect_err("selector should be refused").to_string();
    assert!(message.starts_with("unable to parse requirement: invalid label "), "{message}");
}

#[rstest]
#[case::free_key("job_type=charge", true)]
#[case::fixed_key("cluster=prod", true)]
#[case::fixed_key_other("cluster=dev,job_type=charge", false)]
#[case::fixed_key_absent("!cluster", false)]
fn selector_admits_a_cluster_by_its_fixed_labels(#[case] selector: &str, #[case] expected: bool) {
    let parsed: Selector = selector.parse().expect("selector should parse");
    assert_eq!(parsed.admits(labels(&[("cluster", "prod")])), expected);
}

#[rstest]
#[case::equal("job_type=charge", Some(&["charge"][..]))]
#[case::set("tenant=acme,job_type in (charge,refund)", Some(&["charge", "refund"][..]))]
#[case::not_equal("job_type!=charge", None)]
#[case::other_key("tenant=acme", None)]
fn candidates_are_the_values_that_a_key_must_have(#[case] selector: &str, #[case] expected: Option<&[&str]>) {
    let parsed: Selector = selector.parse().expect("selector should parse");
    let expected: Option<BTreeSet<String>> =
        expected.map(|values| values.iter().map(|value| (*value).to_owned()).collect());
    assert_eq!(parsed.candidates("job_type"), expected.as_ref());
}
