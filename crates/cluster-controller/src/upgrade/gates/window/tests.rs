use rstest::rstest;

use super::*;

fn window(days: &[Weekday], start: &str, duration_minutes: i32, time_zone: &str) -> MaintenanceWindow {
    MaintenanceWindow {
        days: days.to_vec(),
        start: start.to_owned(),
        duration_minutes,
        time_zone: Some(time_zone.to_owned()),
    }
}

/// 2026-06-01 is a Monday.
#[rstest]
#[case::before(&[Weekday::Monday], "14:00", 60, "UTC", "2026-06-01T13:59:59Z", Some("2026-06-01T14:00:00Z"))]
#[case::first_moment(&[Weekday::Monday], "14:00", 60, "UTC", "2026-06-01T14:00:00Z", None)]
#[case::last_moment(&[Weekday::Monday], "14:00", 60, "UTC", "2026-06-01T14:59:59Z", None)]
#[case::after(&[Weekday::Monday], "14:00", 60, "UTC", "2026-06-01T15:00:00Z", Some("2026-06-08T14:00:00Z"))]
#[case::over_midnight(&[Weekday::Sunday], "23:00", 240, "UTC", "2026-06-01T02:59:00Z", None)]
#[case::a_week_long(&[Weekday::Tuesday], "12:00", 10_080, "UTC", "2026-06-02T11:59:00Z", None)]
#[case::every_day(&[], "02:30", 30, "UTC", "2026-06-01T12:00:00Z", Some("2026-06-02T02:30:00Z"))]
#[case::another_zone(&[Weekday::Tuesday], "02:00", 60, "Europe/Berlin", "2026-06-01T23:59:00Z", Some("2026-06-02T00:00:00Z"))]
#[case::day_of_the_zone(&[Weekday::Monday], "20:00", 120, "America/New_York", "2026-06-02T01:00:00Z", None)]
#[case::hour_that_the_clock_skips(&[Weekday::Sunday], "02:30", 60, "Europe/Berlin", "2026-03-29T00:00:00Z", Some("2026-03-29T01:30:00Z"))]
fn a_window_is_open_or_opens(
    #[case] days: &[Weekday],
    #[case] start: &str,
    #[case] minutes: i32,
    #[case] zone: &str,
    #[case] now: &str,
    #[case] expected: Option<&str>,
) {
    let expected = expected.map(|time| time.parse::<Timestamp>().unwrap());
    assert_eq!(next_opening(&[window(days, start, minutes, zone)], now.parse().unwrap()), expected);
}

#[test]
fn the_first_of_several_windows_counts() {
    let windows =
        [window(&[Weekday::Friday], "02:00", 60, "UTC"), window(&[Weekday::Wednesday], "02:00", 60, "UTC")];
    let opening = |now: &str| next_opening(&windows, now.parse().unwrap()).map(|time| time.to_string());
    assert_eq!(opening("2026-06-01T12:00:00Z").as_deref(), Some("2026-06-03T02:00:00Z"));
    assert_eq!(opening("2026-06-05T02:30:00Z"), None);
    assert_eq!(next_opening(&[], "2026-06-01T12:00:00Z".parse().unwrap()), None);
}
