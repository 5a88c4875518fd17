use rstest::rstest;

use super::*;

#[rstest]
#[case::whole("2", Some(2_000_000_000))]
#[case::signed("+2", Some(2_000_000_000))]
#[case::negative("-500m", Some(-500_000_000))]
#[case::millis("1500m", Some(1_500_000_000))]
#[case::fraction("1.5", Some(1_500_000_000))]
#[case::point_at_the_end("1.", Some(1_000_000_000))]
#[case::point_at_the_start(".5", Some(500_000_000))]
#[case::nanos("7n", Some(7))]
#[case::less_than_can_be_stored("0.0000000001", Some(1))]
#[case::between_two("1.0000000001", Some(1_000_000_001))]
#[case::kilo("1k", Some(1_000_000_000_000))]
#[case::exponent("1e3", Some(1_000_000_000_000))]
#[case::exponent_down("25E-1", Some(2_500_000_000))]
#[case::exa("1E", Some(1_000_000_000_000_000_000_000_000_000))]
#[case::kibi("1Ki", Some(1_024_000_000_000))]
#[case::part_of_a_mebi("0.5Mi", Some(524_288_000_000_000))]
#[case::exbi("7Ei", Some(8_070_450_532_247_928_832_000_000_000))]
#[case::more_than_can_be_stored("8Ei", Some(GREATEST))]
#[case::far_more_than_can_be_stored("99999999999999999999999999999999", Some(GREATEST))]
#[case::huge_exponent("1e999999999", Some(GREATEST))]
#[case::tiny_exponent("1e-999999999", Some(1))]
#[case::many_zeros_first("0.00000000000000000000001E", Some(10_000))]
#[case::many_digits("1.000000000000000000000000000000", Some(1_000_000_000))]
#[case::zero("0", Some(0))]
#[case::zero_with_an_exponent("0e99", Some(0))]
#[case::no_number("m", None)]
#[case::empty("", None)]
#[case::word("abc", None)]
#[case::two_points("1.2.3", None)]
#[case::unknown_suffix("1Kib", None)]
fn text_is_read_as_billionths(#[case] text: &str, #[case] expected: Option<i128>) {
    assert_eq!(billionths(text), expected);
}
