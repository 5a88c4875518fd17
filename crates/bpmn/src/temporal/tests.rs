use rstest::rstest;

use super::{is_cycle, is_date_time, is_duration};

#[rstest]
#[case("2026-11-22T10:15:30Z", true)]
#[case("2026-11-22T10:15Z", true)]
#[case("2026-11-22T10:15:30.123456789+01:00", true)]
#[case("2026-11-22T10:15:30+01:00[Europe/Berlin]", true)]
#[case("2026-11-22T10:15:30[Europe/Berlin]", true)]
#[case("2024-02-29T00:00:00-05:30", true)]
#[case("2026-02-29T00:00:00Z", false)]
#[case("2026-11-22T10:15:30", false)]
#[case("2026-11-22", false)]
#[case("2026-13-01T00:00:00Z", false)]
#[case("2026-11-22T24:00:00Z", false)]
#[case("2026-11-22 10:15:30Z", false)]
#[case("26-11-22T10:15:30Z", false)]
#[case("2026-11-22T10:15:30Z]", false)]
#[case("", false)]
fn dates_have_a_time_and_a_zone(#[case] value: &str, #[case] expected: bool) {
    assert_eq!(is_date_time(value), expected);
}

#[rstest]
#[case("PT10S", true)]
#[case("P1Y2M3W4DT5H6M7.5S", true)]
#[case("-PT1M", true)]
#[case("P-1D", true)]
#[case("P1W", true)]
#[case("P", false)]
#[case("PT", false)]
#[case("P1DT", false)]
#[case("P1S", false)]
#[case("PT1D", false)]
#[case("P1.5D", false)]
#[case("P1M1Y", false)]
#[case("10S", false)]
#[case("PTS", false)]
fn durations_are_units_in_order(#[case] value: &str, #[case] expected: bool) {
    assert_eq!(is_duration(value), expected);
}

#[rstest]
#[case("R3/PT10S", true)]
#[case("R/P1D", true)]
#[case("R-1/PT1S", true)]
#[case("R2/2026-11-22T10:15:30Z/PT1H", true)]
#[case("R2/2026-11-22T10:15:30[Europe/Berlin]/PT1H", true)]
#[case("R3", false)]
#[case("R3/10S", false)]
#[case("Rx/PT1S", false)]
#[case("0 0 9-17 * * MON-FRI", true)]
#[case("*/10 0,30 * 1 JAN ?", true)]
#[case("0 0 0 L * *", true)]
#[case("0 0 0 L-3 * *", true)]
#[case("0 0 0 15W * *", true)]
#[case("0 0 0 ? * 5L", true)]
#[case("0 0 0 ? * MON#2", true)]
#[case("@daily", true)]
#[case("0 0 * * *", false)]
#[case("60 0 0 * * *", false)]
#[case("0 0 0 32 * *", false)]
#[case("0 0 0 * * MON#6", false)]
#[case("*/0 * * * * *", false)]
#[case("@never", false)]
#[case("0 0/5 * * * ?", true)]
fn cycles_are_repetitions_or_cron_expressions(#[case] value: &str, #[case] expected: bool) {
    assert_eq!(is_cycle(value), expected);
}
