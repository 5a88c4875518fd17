use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn runs(cron: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
    let schedule = Schedule::parse(cron, zone).unwrap();
    let mut at = at(from);
    (0..count)
        .map(|_| {
            at = schedule.next_after(at).unwrap();
            at.to_string()
        })
        .collect()
}

#[rstest]
#[case::daily("0 3 * * *", "UTC", "2026-06-01T12:00:00Z", &["2026-06-02T03:00:00Z", "2026-06-03T03:00:00Z"])]
#[case::in_a_zone("0 3 * * *", "Europe/Berlin", "2026-06-01T12:00:00Z", &["2026-06-02T01:00:00Z"])]
#[case::weekdays("30 22 * * MON-FRI", "UTC", "2026-06-05T12:00:00Z", &["2026-06-05T22:30:00Z", "2026-06-08T22:30:00Z"])]
#[case::either_day("0 3 13 * FRI", "UTC", "2026-06-10T12:00:00Z", &["2026-06-12T03:00:00Z", "2026-06-13T03:00:00Z"])]
#[case::last_day("0 3 L * *", "UTC", "2026-06-10T12:00:00Z", &["2026-06-30T03:00:00Z", "2026-07-31T03:00:00Z"])]
#[case::leap_day("0 3 29 2 *", "UTC", "2026-06-10T12:00:00Z", &["2028-02-29T03:00:00Z"])]
// Clocks are set forward at 2:00 on 29 March: the run is made after the gap, once.
#[case::in_the_gap("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", &["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"])]
// Clocks are set back at 3:00 on 25 October: 2:30 comes twice, the run is made once.
#[case::that_comes_twice("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"])]
#[case::every_hour("0 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", &["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"])]
fn times(#[case] cron: &str, #[case] zone: &str, #[case] from: &str, #[case] expected: &[&str]) {
    assert_eq!(runs(cron, zone, from, expected.len()), expected);
}

#[rstest]
#[case::number(
    "61 3 * * *",
    "UTC",
    "spec.backup.schedule: '61 3 * * *' are no five fields of cron, like 0 3 * * *"
)]
#[case::seconds(
    "0 0 3 * * *",
    "UTC",
    "spec.backup.schedule: '0 0 3 * * *' are no five fields of cron, like 0 3 * * *"
)]
#[case::day_that_no_month_has("0 3 30 2 *", "UTC", "spec.backup.schedule: '0 3 30 2 *' never comes")]
#[case::zone(
    "0 3 * * *",
    "Europe/Atlantis",
    "spec.backup.timeZone: Europe/Atlantis is no time zone of the IANA database, like Europe/Berlin"
)]
fn what_is_none_says_why(#[case] cron: &str, #[case] zone: &str, #[case] expected: &str) {
    let error = Schedule::parse(cron, zone).unwrap_err();
    assert_eq!(error.message("spec.backup.schedule"), expected);
}

fn any_schedule() -> impl Strategy<Value = Schedule> {
    let crons = [
        "0 3 * * *",
        "30 2 * * *",
        "*/30 * * * *",
        "15 */6 * * *",
        "0 0 * * SUN",
        "59 23 L * *",
        "0 1,2,3 * * *",
    ];
    let zones = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"];
    (proptest::sample::select(crons.to_vec()), proptest::sample::select(zones.to_vec()))
        .prop_map(|(cron, zone)| Schedule::parse(cron, zone).unwrap())
}

proptest! {
    /// Forward and backward meet the same times, also where clocks are set.
    #[test]
    fn the_last_run_up_to_a_run_is_that_run(schedule in any_schedule(), second in 1_767_225_600_i64..1_830_000_000) {
        let from = Timestamp::from_second(second).unwrap();
        let next = schedule.next_after(from).unwrap();
        prop_assert!(next > from);
        prop_assert_eq!(schedule.last_between(from, next), Some(next));
        // Nothing lies between.
        let before = next - jiff::SignedDuration::from_secs(1);
        prop_assert_eq!(schedule.last_between(from, before), None);
    }
}
