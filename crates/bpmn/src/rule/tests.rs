use std::collections::BTreeSet;

use super::Rule;

#[test]
fn every_rule_has_its_own_id_and_a_sentence() {
    let ids: BTreeSet<&str> = Rule::ALL.iter().map(|rule| rule.id()).collect();
    assert_eq!(ids.len(), Rule::ALL.len());
    for rule in Rule::ALL {
        assert!(rule.id().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{rule:?}");
        assert!(rule.summary().ends_with('.'), "{rule:?}");
    }
}
