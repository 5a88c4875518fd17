use rstest::rstest;

use super::{
    Accepted, Credential, CredentialError, CredentialVerifier, Role, TenantEpoch, TenantKey, TokenRole,
};

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
const CLIENT_KEY: &str = "IAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

fn worker_key() -> TenantKey {
    TenantKey::parse(KEY).expect("key should be 32 bytes")
}

fn client_key() -> TenantKey {
    TenantKey::parse(CLIENT_KEY).expect("key should be 32 bytes")
}

fn acme() -> TenantEpoch {
    tenant("acme", "uid-1")
}

fn tenant(tenant_id: &str, epoch: &str) -> TenantEpoch {
    TenantEpoch { tenant_id: tenant_id.to_owned(), epoch: epoch.to_owned() }
}

fn token(text: &str) -> Credential {
    Credential::parse(text).expect("token should parse")
}

fn accepted() -> Accepted {
    Accepted {
        controller: vec![token("controller-secret"), token("next-controller-secret")],
        monitor: vec![token("monitor-secret")],
        worker: vec![worker_key()],
        client: vec![client_key()],
    }
}

fn verifier() -> CredentialVerifier {
    CredentialVerifier::new(accepted()).expect("random bytes should be there")
}

fn role_of(token: &Credential) -> Option<Role> {
    verifier().verify(&format!("Bearer {}", token.expose()))
}

#[test]
fn minted_tokens_are_stable_over_releases() {
    let minted = [TokenRole::Worker, TokenRole::Client].map(|role| worker_key().mint(role, &acme()));
    assert_eq!(
        minted.each_ref().map(Credential::expose),
        [
            "wfw2.nj5Pgbkn.uid-1.acme.FFiXLp8zbJcj6FmlyBFsWC3Qqg3Cxz9l_ByCP8jrsQk",
            "wfc2.nj5Pgbkn.uid-1.acme.p5uStbJiz3Ypbg-08dzV2eDZUQ95nc75VAV7HMcQV2k",
        ]
    );
}

#[rstest]
#[case::controller("Bearer controller-secret", Some(Role::Controller))]
#[case::the_other_controller_token("Bearer next-controller-secret", Some(Role::Controller))]
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
#[case("acme", "7f1c3b2a-0000-4000-8000-000000000001")]
#[case("_default", "")]
#[case("with.dots.in.it", "uid-1")]
fn minted_tokens_open_their_tenant_in_their_role(#[case] tenant_id: &str, #[case] epoch: &str) {
    let tenant = tenant(tenant_id, epoch);
    let worker = worker_key().mint(TokenRole::Worker, &tenant);
    let client = client_key().mint(TokenRole::Client, &tenant);
    assert_eq!(role_of(&worker), Some(Role::Worker(tenant.clone())));
    assert_eq!(role_of(&client), Some(Role::Client(tenant)));
}

#[test]
fn tokens_of_every_accepted_key_are_good_and_of_no_other() {
    let (former, stranger) = (TenantKey::generate(), TenantKey::generate());
    let (former, stranger) = (former.expect("should be random"), stranger.expect("should be random"));
    let accepted = Accepted { worker: vec![worker_key(), former.clone()], ..accepted() };
    let verifier = CredentialVerifier::new(accepted).expect("random bytes should be there");
    let role = |key: &TenantKey| {
        verifier.verify(&format!("Bearer {}", key.mint(TokenRole::Worker, &acme()).expose()))
    };
    let good = Some(Role::Worker(acme()));
    assert_eq!([role(&worker_key()), role(&former), role(&stranger)], [good.clone(), good, None]);
}

/// Who may mint for workers may not mint for clients.
#[rstest]
#[case::client_by_the_workers_key(worker_key(), TokenRole::Client)]
#[case::worker_by_the_clients_key(client_key(), TokenRole::Worker)]
fn a_key_mints_for_its_role_only(#[case] key: TenantKey, #[case] role: TokenRole) {
    assert_eq!(role_of(&key.mint(role, &acme())), None);
}

#[test]
fn tampered_token_is_refused() {
    let token = worker_key().mint(TokenRole::Worker, &acme()).expose().to_owned();
    let (signed, mac) = token.rsplit_once('.').expect("token should have parts");
    let id = worker_key().id().to_owned();
    let flipped = if mac.starts_with('A') { "B" } else { "A" };
    for forged in [
        format!("wfw2.{id}.uid-1.other.{mac}"),
        format!("wfw2.{id}.uid-2.acme.{mac}"),
        format!("wfw2.{id}.uid-1.acme.evil.{mac}"),
        format!("wfw2.{id}.uid-1..{mac}"),
        format!("wfw2.AAAAAAAA.uid-1.acme.{mac}"),
        format!("wfw2.{id}.acme.{mac}"),
        format!("{signed}.{flipped}{}", &mac[1..]),
        format!("{signed}.{}", &mac[..mac.len() - 1]),
        format!("{signed}.{mac}="),
        format!("{signed}."),
        signed.to_owned(),
        token.replacen("wfw2", "wfc2", 1),
        token.replacen("wfw2", "wfw1", 1),
        format!("{token} "),
    ] {
        assert_eq!(verifier().verify(&format!("Bearer {forged}")), None, "{forged}");
    }
}

#[test]
fn generated_secrets_can_be_read_back_and_differ() {
    let first = Credential::generate().expect("random bytes should be there");
    let second = Credential::generate().expect("random bytes should be there");
    assert_ne!(first, second);
    assert_eq!(Credential::parse(first.expose()), Ok(first));
    let key = TenantKey::generate().expect("random bytes should be there");
    let read = TenantKey::parse(&format!("{}\n", key.expose())).expect("exposed key should parse");
    let minted = |key: &TenantKey| key.mint(TokenRole::Client, &acme());
    assert_eq!((read.id(), minted(&read)), (key.id(), minted(&key)));
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
fn key_of_a_wrong_shape_is_refused(#[case] key: &str) {
    assert!(matches!(TenantKey::parse(key), Err(CredentialError::Key)));
}

#[test]
fn debug_shows_no_secret() {
    let shown = format!(
        "{:?} {:?} {:?} {:?} {:?}",
        Credential::parse("controller-secret"),
        worker_key(),
        accepted(),
        verifier(),
        worker_key().mint(TokenRole::Worker, &acme())
    );
    for secret in ["controller-secret", "monitor-secret", KEY, "wfw2"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
