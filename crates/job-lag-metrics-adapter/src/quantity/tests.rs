use rstest::rstest;

use super::*;

#[rstest]
#[case::zero(0, "0")]
#[case::one_thousandth(1, "1m")]
#[case::below_a_unit(999, "999m")]
#[case::a_unit(1000, "1")]
#[case::sub_second(1500, "1500m")]
#[case::whole(30_000, "30")]
#[case::thirty_days(30 * 24 * 3600 * 1000, "2592000")]
fn quantity_is_whole_or_in_thousandths(#[case] millis: u64, #[case] expected: &str) {
    assert_eq!(from_millis(millis), expected);
}
