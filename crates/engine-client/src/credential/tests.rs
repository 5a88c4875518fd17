use rstest::rstest;

use super::{Credential, CredentialError, CredentialVerifier, Role, WorkerKey};

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

fn worker_key() -> WorkerKey {
    WorkerKey::parse(KEY).expect("key should be 32 bytes")
}

fn verifier() -> CredentialVerifier {
    let controller = Credential::parse("controller-secret").expect("token should parse");
    let monitor = Credential::parse("monitor-secret").expect("token should parse");
    CredentialVerifier::new(&controller, &monitor, worker_key()).expect("random bytes should be there")
}

#[test]
fn minted_token_is_stable_over_releases() {
    assert_eq!(worker_key().mint("acme").expose(), "wfw1.acme.oqbLt4wV-Q8Mh46ncekPkWGvsjACM9eTZa9_oDosgw4");
}

#[rstest]
#[case::controller("Bearer controller-secret", Some(Role::Controller))]
#[case::monitor("Bearer monitor-secret", Some(Role::Monitor))]
#[case::scheme_in_any_case("bearer monitor-secret", Some(Role::Monitor))]
#[case::unknown("Bearer other", None)]
#[case::prefix_of_a_token("Bearer controller-secre", None)]
#[case::longer_than_a_token("Bearer controller-secrets", None)]
#[case::empty_token("Bearer ", None)]
#[case::no_scheme("controller-secret", None)]
#[case::other_scheme("Basic controller-secret", None)]
#[case::nothing("", None)]
fn token_gives_its_role(#[case] authorization: &str, #[case] expected: Option<Role>) {
    assert_eq!(verifier().verify(authorization), expected);
}

#[rstest]
#[case("acme")]
#[case("_default")]
fn minted_token_opens_its_tenant(#[case] tenant_id: &str) {
    let token = worker_key().mint(tenant_id);
    let role = verifier().verify(&format!("Bearer {}", token.expose()));
    assert_eq!(role, Some(Role::Worker { tenant_id: tenant_id.to_owned() }));
}

#[test]
fn tampered_worker_token_is_refused() {
    let token = worker_key().mint("acme").expose().to_owned();
    let (signed, mac) = token.rsplit_once('.').expect("token should have three parts");
    let flipped = if mac.starts_with('A') { "B" } else { "A" };
    for forged in [
        format!("wfw1.other.{mac}"),
        format!("wfw1.acme.evil.{mac}"),
        format!("wfw1..{mac}"),
        format!("{signed}.{flipped}{}", &mac[1..]),
        format!("{signed}.{}", &mac[..mac.len() - 1]),
        format!("{signed}.{mac}="),
        format!("{signed}."),
        signed.to_owned(),
        token.replacen("wfw1", "wfw2", 1),
        format!("{token} "),
    ] {
        assert_eq!(verifier().verify(&format!("Bearer {forged}")), None, "{forged}");
    }
}

#[test]
fn token_of_another_key_is_refused() {
    let other = WorkerKey::generate().expect("random bytes should be there");
    assert_eq!(verifier().verify(&format!("Bearer {}", other.mint("acme").expose())), None);
}

#[test]
fn generated_secrets_can_be_read_back_and_differ() {
    let first = Credential::generate().expect("random bytes should be there");
    let second = Credential::generate().expect("random bytes should be there");
    assert_ne!(first, second);
    assert_eq!(Credential::parse(first.expose()), Ok(first));
    let key = WorkerKey::generate().expect("random bytes should be there");
    let read = WorkerKey::parse(&format!("{}\n", key.expose())).expect("exposed key should parse");
    assert_eq!(read.mint("acme"), key.mint("acme"));
}

#[rstest]
#[case::empty("")]
#[case::only_space(" \n")]
#[case::inner_space("a b")]
#[case::control("a\u{7}b")]
#[case::not_ascii("tökén")]
#[case::too_long(&"a".repeat(1025))]
fn token_that_no_header_carries_is_refused(#[case] token: &str) {
    assert_eq!(Credential::parse(token), Err(CredentialError::Token));
}

#[rstest]
#[case::empty("")]
#[case::short("AAECAw")]
#[case::padded("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")]
#[case::not_base64("!!")]
fn worker_key_of_a_wrong_shape_is_refused(#[case] key: &str) {
    assert!(matches!(WorkerKey::parse(key), Err(CredentialError::WorkerKey)));
}

#[test]
fn debug_shows_no_secret() {
    let shown = format!(
        "{:?} {:?} {:?} {:?}",
        Credential::parse("controller-secret"),
        worker_key(),
        verifier(),
        worker_key().mint("acme")
    );
    for secret in ["controller-secret", "monitor-secret", KEY, "wfw1"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
