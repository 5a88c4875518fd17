use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn label_values_are_those_of_the_pattern_and_its_length(text in "[-A-Za-z0-9_.]{0,66}|[ -~é]{0,4}") {
        let is_matched = regex::Regex::new(LABEL_VALUE).unwrap().is_match(&text);
        prop_assert_eq!(is_label_value(&text), is_matched && text.len() <= LABEL_VALUE_MAX as usize);
    }
}
