use jiff::Timestamp;
use rstest::rstest;

use super::*;
use crate::schema::Applied;
use crate::schema::known_steps;

fn order(to: &str, up_to: UpTo, approve_breaking: bool) -> Order {
    let to = Version::parse(to).expect("should be a version");
    Order { to, up_to, approve_breaking, lock_timeout: Duration::ZERO, claim: None }
}

fn recorded(engine_version: &str) -> State {
    State { engine_version: Some(engine_version.to_owned()), ..State::default() }
}

fn planned(state: &State, order: &Order) -> Result<Vec<i64>, String> {
    plan_steps(state, order)
        .map(|steps| steps.iter().map(|step| step.migration.version).collect())
        .map_err(|error| error.to_string())
}

#[test]
fn an_empty_database_gets_every_step() {
    let all: Vec<i64> = (1..=newest_known()).collect();
    assert_eq!(planned(&State::default(), &order(release::version(), UpTo::All, false)), Ok(all));
}

#[test]
fn expanding_ends_before_the_first_step_that_contracts() {
    let expand: Vec<i64> = known_steps()
        .iter()
        .take_while(|step| step.kind == Kind::Expand)
        .map(|step| step.migration.version)
        .collect();
    assert_eq!(planned(&State::default(), &order(release::version(), UpTo::Expand, false)), Ok(expand));
}

#[rstest]
#[case::one_minor_up("1.2.3", "1.3.0", false, None)]
#[case::two_minors_up("1.2.3", "1.4.0", false, Some("at most one MINOR"))]
#[case::down("1.2.3", "1.2.2", false, Some("downgrade"))]
#[case::major_without_approval("1.2.3", "2.0.0", false, Some("--approve-breaking"))]
#[case::major_with_approval("1.2.3", "2.0.0", true, None)]
#[case::two_majors_even_with_approval("1.2.3", "3.0.0", true, Some("at most one MAJOR"))]
#[case::prerelease("1.2.3", "1.3.0-rc.1", false, Some("pre-releases"))]
#[case::unreadable_record("one", "1.2.3", false, Some("which is no version"))]
fn the_version_policy_decides(
    #[case] from: &str,
    #[case] to: &str,
    #[case] approved: bool,
    #[case] refusal: Option<&str>,
) {
    match (planned(&recorded(from), &order(to, UpTo::All, approved)), refusal) {
        (Ok(_), None) => {}
        (Err(message), Some(expected)) => assert!(message.contains(expected), "{message}"),
        (planned, expected) => panic!("{planned:?} instead of {expected:?}"),
    }
}

#[test]
fn a_schema_newer_than_known_is_refused() {
    let unknown = Applied {
        version: newest_known() + 1,
        description: "from the future".to_owned(),
        checksum: Vec::new(),
        applied_at: Timestamp::UNIX_EPOCH,
    };
    let state = State { applied: vec![unknown], ..State::default() };
    let message =
        planned(&state, &order(release::version(), UpTo::All, false)).expect_err("should be refused");
    assert!(message.contains("run the image that made it"), "{message}");
}

#[test]
fn a_step_with_another_text_is_refused() {
    let changed = Applied {
        version: 1,
        description: "first schema".to_owned(),
        checksum: vec![0],
        applied_at: Timestamp::UNIX_EPOCH,
    };
    let state = State { applied: vec![changed], ..State::default() };
    let message =
        planned(&state, &order(release::version(), UpTo::All, false)).expect_err("should be refused");
    assert!(message.contains("another text"), "{message}");
}
