use rstest::rstest;

use super::*;
use crate::testing::{autoscaled, running};

fn concern_after(change: impl FnOnce(&mut Value)) -> Value {
    let worker = autoscaled();
    let children = running(&worker, 4, 100).children;
    let mut value = serde_json::to_value(children.get(&Autoscaler)).unwrap();
    change(&mut value);
    Autoscaler.trigger(&serde_json::from_value(value).unwrap())
}

#[test]
fn crossing_the_target_by_a_second_is_a_concern() {
    let concern_at = |lag: &str| {
        concern_after(|it| {
            it["spec"]["metrics"][0]["external"]["target"]["averageValue"] = json!("100");
            *average(it) = json!(lag);
        })
    };
    assert_eq!(concern_at("25250m"), concern_at("25500m"));
    assert_ne!(concern_at("25"), concern_at("25250m"));
}

fn average(value: &mut Value) -> &mut Value {
    &mut value["status"]["currentMetrics"][0]["external"]["current"]["averageValue"]
}

#[rstest]
#[case::its_version(|it: &mut Value| it["metadata"]["resourceVersion"] = json!("99"))]
#[case::the_lag_by_a_little(|it: &mut Value| *average(it) = json!("25500m"))]
#[case::when_it_scaled(|it: &mut Value| it["status"]["lastScaleTime"] = json!("2026-01-01T00:00:00Z"))]
#[case::the_words_of_a_condition(|it: &mut Value| it["status"]["conditions"][0]["message"] = json!("recommended size matches"))]
fn an_autoscalers_every_sync_is_no_concern(#[case] change: fn(&mut Value)) {
    assert_eq!(concern_after(change), concern_after(|_| ()));
}

#[rstest]
#[case::its_spec(|it: &mut Value| it["spec"]["maxReplicas"] = json!(3))]
#[case::our_annotation(|it: &mut Value| it["metadata"]["annotations"] = json!({}))]
#[case::its_owner(|it: &mut Value| it["metadata"]["ownerReferences"] = json!([]))]
#[case::that_it_goes(|it: &mut Value| it["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"))]
#[case::a_condition(|it: &mut Value| it["status"]["conditions"][1]["status"] = json!("False"))]
#[case::the_lag_by_much(|it: &mut Value| *average(it) = json!("50"))]
#[case::a_metric_that_is_missing(|it: &mut Value| it["status"]["currentMetrics"] = json!([{"type": ""}]))]
fn what_can_make_a_pass_do_something_is_a_concern(#[case] change: fn(&mut Value)) {
    assert_ne!(concern_after(change), concern_after(|_| ()));
}
