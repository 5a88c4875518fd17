use rstest::rstest;

use super::*;

const OF_THE_CHART: &str =
    include_str!("../../../../charts/workflow-operator/charts/cluster-controller/engine-versions.yaml");
const LIST: &str = r#"
supported: ">=1.2.0, <3.0.0"
denied:
  - { versions: "=1.2.9", reason: "it loses timers; use 1.2.10" }
steps:
  - { from: "<1.3.0", to: ">=2.0.0", via: "1.3.0" }
"#;

fn refusal(list: &str, from: Option<&str>, to: &str) -> Option<String> {
    let version = |text: &str| Version::parse(text).unwrap();
    list.parse::<EngineVersions>().unwrap().refusal(from.map(version).as_ref(), &version(to))
}

#[rstest]
#[case::first(None, "1.2.3", None)]
#[case::next(Some("1.2.3"), "1.3.0", None)]
#[case::older_than_all(
    None,
    "1.1.9",
    Some("spec.version 1.1.9: this installation runs versions >=1.2.0, <3.0.0 of the engine")
)]
#[case::newer_than_all(
    Some("2.9.0"),
    "3.0.0",
    Some("spec.version 3.0.0: this installation runs versions >=1.2.0, <3.0.0 of the engine")
)]
#[case::denied(
    Some("1.2.3"),
    "1.2.9",
    Some("spec.version 1.2.9 must not be used: it loses timers; use 1.2.10")
)]
#[case::past_a_stop(
    Some("1.2.3"),
    "2.0.0",
    Some("1.2.3 → 2.0.0 goes by way of 1.3.0: set spec.version to 1.3.0 first")
)]
#[case::from_the_stop(Some("1.3.0"), "2.0.0", None)]
#[case::nothing_to_come_from(None, "2.0.0", None)]
fn a_version_is_run_or_refused(#[case] from: Option<&str>, #[case] to: &str, #[case] expected: Option<&str>) {
    assert_eq!(refusal(LIST, from, to).as_deref(), expected);
}

#[test]
fn without_a_list_every_version_is_allowed() {
    assert_eq!(EngineVersions::default().refusal(None, &Version::new(9, 9, 9)), None);
}

#[test]
fn the_list_of_the_chart_has_the_versions_of_this_source() {
    assert_eq!(refusal(OF_THE_CHART, Some("1.2.3"), "1.3.0"), None);
}

#[rstest]
#[case::unknown_key("supportet: '*'")]
#[case::no_range("supported: newest")]
#[case::no_reason("denied: [{versions: '=1.2.9'}]")]
fn a_list_that_is_misspelled_is_refused(#[case] text: &str) {
    assert!(text.parse::<EngineVersions>().is_err());
}
