use rstest::rstest;

use super::*;

/// An applied step, with this binary's checksum if it knows the step.
fn applied(version: i64) -> Applied {
    let known = known_steps().iter().find(|step| step.migration.version == version);
    let checksum = known.map(|step| step.migration.checksum.to_vec()).unwrap_or_default();
    Applied { version, description: String::new(), checksum, applied_at: Timestamp::UNIX_EPOCH }
}

#[test]
fn every_migration_declares_whether_it_expands_or_contracts() {
    for step in known_steps() {
        let first_line = step.migration.sql.as_str().lines().next();
        assert!(
            matches!(first_line, Some("-- EXPAND" | "-- CONTRACT")),
            "migration {} begins with {first_line:?}",
            step.migration.version
        );
    }
}

#[test]
fn migrations_are_numbered_without_a_gap() {
    let numbers: Vec<i64> = known_steps().iter().map(|step| step.migration.version).collect();
    assert_eq!(numbers, (1..=newest_known()).collect::<Vec<_>>());
}

#[rstest]
#[case::no_schema(State::default(), Some("has no schema yet"))]
#[case::up_to_date(State { applied: vec![applied(newest_known())], ..State::default() }, None)]
#[case::expanded_by_a_newer_version(
    State { applied: vec![applied(newest_known()), applied(newest_known() + 1)], contracted_to: 0, ..State::default() },
    None
)]
#[case::contracted_by_a_newer_version(
    State {
        applied: vec![applied(newest_known()), applied(newest_known() + 1)],
        contracted_to: newest_known() + 1,
        ..State::default()
    },
    Some("no longer serves this version")
)]
#[case::applied_with_another_text(
    State { applied: vec![Applied { checksum: vec![1], ..applied(newest_known()) }], ..State::default() },
    Some("with another text than this version has")
)]
fn a_schema_serves_only_versions_that_fit_it(#[case] state: State, #[case] refusal: Option<&str>) {
    match (state.refusal(), refusal) {
        (None, None) => {}
        (Some(actual), Some(expected)) => assert!(actual.contains(expected), "{actual}"),
        (actual, expected) => panic!("{actual:?} instead of {expected:?}"),
    }
}

#[test]
fn a_begun_step_is_dirty_only_while_no_migration_runs() {
    let begun = State { begun: Some(1), ..State::default() };
    let worked_on = State { begun: Some(1), lock_holder: Some("migrate-0".to_owned()), ..State::default() };
    assert_eq!((begun.is_dirty(), worked_on.is_dirty(), State::default().is_dirty()), (true, false, false));
}
