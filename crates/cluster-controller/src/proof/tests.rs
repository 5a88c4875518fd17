use rstest::rstest;

use super::*;

fn secret(namespace: &str, name: &str, entries: &[(&str, &str)]) -> Secret {
    let mut secret = crate::testing::secret(name, entries).0;
    secret.metadata.namespace = Some(namespace.to_owned());
    secret
}

fn key(text: &str) -> ProofKey {
    ProofKey::parse(text).unwrap()
}

const OURS: &str = "0123456789abcdef0123456789abcdef";

#[rstest]
#[case::itself(OURS, "dev", secret("acme", "token", &[("current", "ab")]), true)]
#[case::another_installation("another-0123456789abcdef01234567", "dev", secret("acme", "token", &[("current", "ab")]), false)]
#[case::another_cluster(OURS, "prod", secret("acme", "token", &[("current", "ab")]), false)]
#[case::another_namespace(OURS, "dev", secret("beta", "token", &[("current", "ab")]), false)]
#[case::another_name(OURS, "dev", secret("acme", "key", &[("current", "ab")]), false)]
#[case::another_value(OURS, "dev", secret("acme", "token", &[("current", "abc")]), false)]
#[case::one_more_value(OURS, "dev", secret("acme", "token", &[("current", "ab"), ("next", "c")]), false)]
#[case::the_same_bytes_elsewhere(OURS, "dev", secret("acme", "token", &[("currenta", "b")]), false)]
fn a_proof_is_good_for_one_content_in_one_place(
    #[case] by: &str,
    #[case] cluster: &str,
    #[case] found: Secret,
    #[case] verifies: bool,
) {
    let proof = key(OURS).prove("dev", &secret("acme", "token", &[("current", "ab")]));
    assert_eq!(key(by).verifies(cluster, &found, &proof), verifies);
}

#[rstest]
#[case("")]
#[case("v1.")]
#[case("v1.AAAA")]
#[case("v2.AAAA")]
fn what_is_no_proof_proves_nothing(#[case] proof: &str) {
    assert!(!key(OURS).verifies("dev", &secret("acme", "token", &[]), proof));
}

#[test]
fn a_key_is_never_shown_and_a_short_one_is_none() {
    assert_eq!(format!("{:?}", key(OURS)), "ProofKey(redacted)");
    assert!(ProofKey::parse("short").is_none());
}
