use remote_files::network::TrustedCertificates;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use rstest::rstest;
use serde_json::{Value, json};
use test_support::git_server::{Fault, GitServer, Stage};

use super::*;

const KEY: &str = include_str!("../../../../testdata/github-app-of-a-test.pem");
const PUBLIC_KEY: &[u8] = include_bytes!("../../../../testdata/github-app-of-a-test.pub.der");

fn now() -> Timestamp {
    Timestamp::from_second(1_778_754_600).unwrap()
}

fn installation() -> GithubApp {
    let [app_id, installation_id, private_key] = ["7", "42", KEY].map(str::to_owned);
    GithubApp { app_id, installation_id, private_key }
}

fn url(text: &str) -> RepositoryUrl {
    RepositoryUrl::parse(text).unwrap()
}

#[test]
fn the_request_is_signed_for_nine_minutes() {
    let jwt = build_jwt(&installation(), now()).unwrap();
    let (signed, signature) = jwt.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, PUBLIC_KEY);
    key.verify(signed.as_bytes(), &signature).unwrap();
    let parts: Vec<Value> = signed
        .split('.')
        .map(|part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap())
        .collect();
    let claims = json!({"iat": 1_778_754_540, "exp": 1_778_755_080, "iss": "7"});
    assert_eq!(parts, [json!({"alg": "RS256", "typ": "JWT"}), claims]);
}

#[rstest]
#[case::github("https://github.com/acme/x", "https://api.github.com/app/installations/42/access_tokens")]
#[case::enterprise(
    "https://git.example.com:8443/acme/x",
    "https://git.example.com:8443/api/v3/app/installations/42/access_tokens"
)]
fn the_api_is_that_of_the_repositorys_host(#[case] repository: &str, #[case] api: &str) {
    assert_eq!(build_url(&url(repository), "42").unwrap().as_str(), api);
}

#[rstest]
#[case::path("42/../../user")]
#[case::empty("")]
#[case::words("mine")]
fn an_installation_is_a_number(#[case] installation: &str) {
    let error = build_url(&url("https://github.com/acme/x"), installation).unwrap_err();
    assert_eq!(error, invalid("githubAppInstallationID is no number"));
}

#[rstest]
#[case::none("")]
#[case::no_key("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n")]
fn a_key_that_is_none_is_refused(#[case] pem: &str) {
    let broken = GithubApp { private_key: pem.to_owned(), ..installation() };
    let error = build_jwt(&broken, now()).unwrap_err();
    assert_eq!(
        error,
        invalid("githubAppPrivateKey is no RSA key; expected the PEM that GitHub made for the App")
    );
}

/// One token for an hour; a new one before it ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_used_until_shortly_before_its_end() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = GitServer::start().await;
    let repository = url(&server.url("orders"));
    let answer = |token: &str, minutes: i64| {
        let ends_at = now() + jiff::SignedDuration::from_mins(minutes);
        Fault::Answer(201, json!({"token": token, "expires_at": ends_at.to_string(), "more": 1}).to_string())
    };
    let policy = AddressPolicy {
        allowed: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
        denied: Vec::new(),
    };
    let trust = TrustedCertificates::only(server.authority().as_bytes()).unwrap();
    let tokens = Tokens::new(Clock::fixed(now()));
    let installation = installation();
    let observe = async || tokens.observe_token(&installation, &repository, &policy, &trust).await;

    server.set_fault(Stage::Other, answer("short", 4));
    assert_eq!(observe().await.unwrap(), "short");
    server.set_fault(Stage::Other, answer("long", 60));
    assert_eq!(observe().await.unwrap(), "long", "the former ends too soon");
    assert_eq!(observe().await.unwrap(), "long");
    let visits = server.take_visits();
    assert_eq!(visits.len(), 2, "{visits:?}");
    assert_eq!(visits[0].path, "/api/v3/app/installations/42/access_tokens");
    assert!(visits[0].authorization.as_ref().is_some_and(|value| value.starts_with("Bearer ey")));
}

#[rstest]
#[case::refused(401, ErrorKind::AccessDenied)]
#[case::no_installation(404, ErrorKind::AccessDenied)]
#[case::away(503, ErrorKind::Unreachable)]
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_says_what_to_check_and_nothing_that_github_says(
    #[case] status: u16,
    #[case] kind: ErrorKind,
) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = GitServer::start().await;
    server.set_fault(Stage::Other, Fault::Answer(status, "words of the host".to_owned()));
    let policy = AddressPolicy {
        allowed: vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()],
        denied: Vec::new(),
    };
    let trust = TrustedCertificates::only(server.authority().as_bytes()).unwrap();
    let tokens = Tokens::new(Clock::fixed(now()));
    let error = tokens
        .observe_token(&installation(), &url(&server.url("orders")), &policy, &trust)
        .await
        .unwrap_err();
    assert_eq!(error.kind, kind);
    assert!(error.message.contains("githubAppPrivateKey") && !error.message.contains("words"), "{error}");
}
