use rstest::rstest;

use super::*;

fn claim(text: &str) -> Claim {
    text.parse().expect("should be a claim")
}

#[test]
fn a_claim_reads_back_as_it_was_written() {
    let text = "11111111-2222-3333-4444-555555555555/acme/prod-east.1#7";
    assert_eq!(claim(text).to_string(), text);
}

#[rstest]
#[case::empty("")]
#[case::no_epoch("i/acme/dev")]
#[case::no_number("i/acme/dev#one")]
#[case::two_parts("acme/dev#1")]
#[case::four_parts("i/acme/dev/x#1")]
#[case::empty_part("i//dev#1")]
#[case::capital("i/Acme/dev#1")]
#[case::white_space("i/acme/dev #1")]
fn anything_else_is_refused(#[case] text: &str) {
    assert_eq!(text.parse::<Claim>(), Err(Invalid));
}

#[rstest]
#[case::own(Some("i/acme/dev#2"), None)]
#[case::later_epoch(Some("i/acme/dev#3"), Some("epoch 3, this engine was started with 2"))]
#[case::former_epoch(Some("i/acme/dev#1"), Some("epoch 1, this engine was started with 2"))]
#[case::another_name(Some("i/acme/prod#2"), Some("another WorkflowCluster"))]
#[case::another_namespace(Some("i/beta/dev#2"), Some("another WorkflowCluster"))]
#[case::another_installation(Some("j/acme/dev#2"), Some("another WorkflowCluster"))]
#[case::nobody(None, Some("claimed by no WorkflowCluster"))]
fn only_the_own_claim_admits(#[case] recorded: Option<&str>, #[case] expected: Option<&str>) {
    let recorded = recorded.map(claim);
    let refused = refusal(Some(&claim("i/acme/dev#2")), recorded.as_ref());
    assert_eq!(refused.is_some(), expected.is_some(), "{refused:?}");
    for (refused, expected) in refused.into_iter().zip(expected) {
        assert!(refused.contains(expected), "{refused}");
        assert!(!refused.contains("prod") && !refused.contains("beta"), "{refused}");
    }
    assert_eq!(refusal(None, recorded.as_ref()), None, "an engine that was given nothing compares nothing");
}
