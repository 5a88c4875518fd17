use rstest::rstest;
use serde_json::json;

use super::*;

fn live() -> Value {
    json!({"status": {"phase": "Running", "ready": true, "replicas": 2, "versionKey": "v1-3-0", "none": null,
        "conditions": [{"type": "Ready", "status": "True"}], "upgrade": {"stage": "Done"}}})
}

#[rstest]
#[case::word("status.phase == Running", true)]
#[case::other_word("status.phase == Stopped", false)]
#[case::word_with_dashes("status.versionKey == v1-3-0", true)]
#[case::boolean("status.ready == true", true)]
#[case::boolean_is_no_word("status.phase == true", false)]
#[case::number("status.replicas == 2", true)]
#[case::number_with_a_fraction("status.replicas == 2.0", true)]
#[case::number_is_no_word("status.phase == 2", false)]
#[case::inner("status.upgrade.stage == Done", true)]
#[case::and("status.phase == Running && status.ready == true", true)]
#[case::comma("status.phase == Running, status.replicas == 3", false)]
#[case::without_spaces("status.replicas==2,status.ready==true", true)]
#[case::not_equal("status.phase != Stopped", true)]
#[case::not_equal_to_itself("status.phase != Running", false)]
#[case::less("status.replicas < 3", true)]
#[case::not_less("status.replicas < 2", false)]
#[case::at_most("status.replicas <= 2", true)]
#[case::more("status.replicas > 1", true)]
#[case::at_least("status.replicas >= 3", false)]
#[case::a_word_is_not_less("status.phase < 3", false)]
#[case::absent("status.backupId == x", false)]
#[case::absent_is_not_equal("status.backupId != x", true)]
#[case::absent_is_not_less("status.backupId < 1", false)]
#[case::null("status.none == x", false)]
fn a_condition_is_judged_on_the_live_object(#[case] condition: &str, #[case] expected: bool) {
    assert_eq!(Condition::parse(condition).unwrap().holds(&live()).unwrap(), expected);
}

#[rstest]
#[case::query_of_a_list(r#"status.conditions.#(type=="Ready").status == True"#, "no queries of lists")]
#[case::index("status.conditions[0].status == True", "no queries of lists")]
#[case::word_with_a_dot("status.version == 1.3.0", "a word with a dot cannot be compared")]
#[case::quoted("status.phase == \"Running\"", "without quotes")]
#[case::several_words("status.phase == Cluster in healthy state", "a word of letters")]
#[case::no_value("status.phase ==", "a word of letters")]
#[case::no_operator("status.ready", "expected <path> == <value>")]
#[case::no_path("== 1", "only dotted paths")]
#[case::order_of_words("status.phase < Running", "only numbers are less or greater")]
#[case::empty("", "expected <path> == <value>")]
#[case::nothing_after_and("status.ready == true &&", "expected <path> == <value>")]
fn what_the_platform_does_not_know_is_refused(#[case] condition: &str, #[case] expected: &str) {
    let why = format!("{:#}", Condition::parse(condition).unwrap_err());
    assert!(why.contains(expected), "{why}");
}

#[test]
fn lists_and_objects_are_not_compared() {
    for path in ["status.conditions", "status.upgrade"] {
        let why = Condition::parse(&format!("{path} == x")).unwrap().holds(&live()).unwrap_err();
        assert_eq!(why.to_string(), format!("{path} is no plain value"));
    }
}

#[test]
fn a_condition_tells_itself_and_what_it_sees() {
    let condition =
        Condition::parse("status.phase==Stopped , status.replicas<=1, status.backupId==x").unwrap();
    assert_eq!(
        condition.to_string(),
        "status.phase == Stopped && status.replicas <= 1 && status.backupId == x"
    );
    assert_eq!(
        condition.seen(&live()),
        r#"status.phase="Running", status.replicas=2, status.backupId is not there"#
    );
}
