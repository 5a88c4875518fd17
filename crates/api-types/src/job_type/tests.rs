use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::grammar::{JOB_TYPE, LABEL_VALUE};

#[rstest]
#[case("charge-payment", "charge-payment")]
#[case("a", "a")]
#[case("snake_case.v1", "snake_case.v1")]
#[case("io.camunda:http-json:1", "x_io.camunda_3ahttp-json_3a1_x")]
#[case("charge payment", "x_charge_20payment_x")]
#[case("größe", "x_gr_c3_b6_c3_9fe_x")]
#[case("-leading", "x_-leading_x")]
#[case("trailing_", "x_trailing_5f_x")]
#[case("x_a_x", "x_x_5fa_5fx_x")]
#[case("x__x", "x__x")]
fn job_type_has_one_label_value_which_decodes_to_it(#[case] job_type: &str, #[case] label_value: &str) {
    assert_eq!(encode(job_type), Ok(label_value.to_owned()));
    assert_eq!(decode(label_value), Ok(job_type.to_owned()));
}

#[rstest]
#[case::plain_type_spelt_as_encoded("x_charge-payment_x")]
#[case::letter_spelt_as_byte("x_a_3ab_63_x")]
#[case::upper_case_digits("x_a_3Ab_x")]
#[case::cut_digits("x_a_3_x")]
#[case::no_digits("x_a_zz_x")]
#[case::no_utf8("x_a_ff_x")]
#[case::no_label_value("a:b")]
#[case::empty("")]
fn label_value_that_encode_does_not_make_is_refused(#[case] label_value: &str) {
    assert_eq!(decode(label_value), Err(JobTypeError::NotEncoded { label_value: label_value.to_owned() }));
}

#[test]
fn empty_job_type_is_refused() {
    assert_eq!(encode(""), Err(JobTypeError::Empty));
}

#[rstest]
#[case::plain("a".repeat(63), Ok(63))]
#[case::plain_too_long("a".repeat(64), Err(64))]
#[case::one_colon(format!(":{}", "a".repeat(56)), Ok(63))]
#[case::one_colon_too_long(format!(":{}", "a".repeat(57)), Err(64))]
fn length_is_counted_in_label_characters(#[case] job_type: String, #[case] expected: Result<usize, usize>) {
    let actual = match encode(&job_type) {
        Ok(encoded) => Ok(encoded.len()),
        Err(JobTypeError::TooLong { needed, .. }) => Err(needed),
        Err(other) => panic!("{other}"),
    };
    assert_eq!(actual, expected);
}

proptest! {
    #[test]
    fn every_encoded_job_type_decodes_to_itself(job_type in "\\PC{1,24}") {
        if let Ok(encoded) = encode(&job_type) {
            prop_assert!(encoded.len() <= 63);
            prop_assert!(regex::Regex::new(LABEL_VALUE).unwrap().is_match(&encoded), "{encoded}");
            prop_assert_eq!(decode(&encoded), Ok(job_type));
        }
    }

    #[test]
    fn every_decoded_label_value_encodes_to_itself(label_value in "(x_)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,30}[A-Za-z0-9])?(_x)?") {
        if let Ok(job_type) = decode(&label_value) {
            prop_assert_eq!(encode(&job_type), Ok(label_value));
        }
    }

    /// The sum that the CRD's rule computes is the length that `encode` needs.
    #[test]
    fn rule_of_the_crd_counts_what_the_encoding_needs(job_type in "[-a-zA-Z0-9._: äß€😀]{1,30}") {
        prop_assume!(regex::Regex::new(JOB_TYPE).unwrap().is_match(&job_type));
        let count = |pattern: &str| regex::Regex::new(pattern).unwrap().find_iter(&job_type).count();
        let plain = count("^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$") == 1
            && !(job_type.starts_with("x_") && job_type.ends_with("_x"));
        let counted = 4
            + job_type.chars().count()
            + 2 * count(r"[^-A-Za-z0-9.]")
            + 3 * count(r"[^\x{00}-\x{7f}]")
            + 3 * count(r"[^\x{00}-\x{7ff}]")
            + 3 * count(r"[^\x{00}-\x{ffff}]");
        prop_assert_eq!(plain || counted <= 63, encode(&job_type).is_ok(), "counted {}", counted);
    }
}
