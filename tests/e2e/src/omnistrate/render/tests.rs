use rstest::rstest;

use super::*;

fn values() -> Values {
    [("$sys.namespace", "instance-1"), ("$secret.key", "top secret"), ("$var.size", "20Gi")]
        .into_iter()
        .collect()
}

#[rstest]
#[case::no_expression("plain", "plain")]
#[case::system("{{ $sys.namespace }}", "instance-1")]
#[case::without_spaces("{{$var.size}}", "20Gi")]
#[case::in_a_text("a-{{ $sys.namespace }}-{{ $var.size }}", "a-instance-1-20Gi")]
#[case::encoded("{{ $func.base64encode($secret.key) }}", "dG9wIHNlY3JldA==")]
fn the_platform_puts_values_in(#[case] text: &str, #[case] expected: &str) {
    assert_eq!(render_platform(text, &values()).unwrap(), expected);
}

#[rstest]
#[case::unknown("{{ $var.other }}", "$var.other has no value")]
#[case::input("{{inputs.parameters.namespace}}", "expected $sys.…")]
#[case::open("{{ $var.size", "without `}}`")]
#[case::function("{{ $func.random(3) }}", "expected $sys.…")]
#[case::open_function("{{ $func.base64encode($var.size }}", "no closing bracket")]
fn what_has_no_value_is_refused(#[case] text: &str, #[case] expected: &str) {
    let why = format!("{:#}", render_platform(text, &values()).unwrap_err());
    assert!(why.contains(expected), "{why}");
    assert!(!why.contains("top secret"), "{why}");
}

#[test]
fn a_template_gets_its_inputs_and_no_others() {
    let inputs: Values = [("name", "x")].into_iter().collect();
    assert_eq!(render_inputs("n: {{inputs.parameters.name}}", &inputs).unwrap(), "n: x");
    let why = format!("{:#}", render_inputs("{{inputs.parameters.other}}", &inputs).unwrap_err());
    assert_eq!(why, "input other has no value");
    let why = format!("{:#}", render_inputs("{{ $sys.namespace }}", &inputs).unwrap_err());
    assert_eq!(why, "$sys.namespace: expected inputs.parameters.<name>");
    assert_eq!(inputs_of("{{inputs.parameters.a}}{{ inputs.parameters.b }}").unwrap(), ["a", "b"]);
}

#[test]
fn values_are_never_shown() {
    assert_eq!(format!("{:?}", values()), r#"{"$secret.key", "$sys.namespace", "$var.size"}"#);
}
