use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use kube::api::ObjectMeta;
use rstest::rstest;
use test_support::certificates::TestCa;

use super::*;

const HOST: &str = "git.example.com";

fn secret(host: Option<&str>, data: &[(&str, &str)]) -> Secret {
    let data = data.iter().map(|(key, value)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec())));
    Secret {
        metadata: ObjectMeta {
            name: Some("forge".to_owned()),
            namespace: Some("acme-tenant".to_owned()),
            annotations: host.map(|host| BTreeMap::from([(GIT_HOST.to_owned(), host.to_owned())])),
            ..ObjectMeta::default()
        },
        data: Some(data.collect()),
        ..Secret::default()
    }
}

fn build(url: &str, secret: &Secret) -> Result<Access, Problem<Reason>> {
    let built = build_access(secret, &RepositoryUrl::parse(url).unwrap(), Access::default());
    built.map(|(access, installation)| {
        assert!(installation.is_none(), "no GitHub App");
        access
    })
}

#[test]
fn the_keys_of_a_github_app() {
    let keys = [("githubAppID", "7\n"), ("githubAppInstallationID", "42"), ("githubAppPrivateKey", "PEM")];
    let url = RepositoryUrl::parse("https://git.example.com/acme").unwrap();
    let (access, installation) = build_access(&secret(Some(HOST), &keys), &url, Access::default()).unwrap();
    assert_eq!(access.authorization, None);
    let [app_id, installation_id, private_key] = ["7", "42", "PEM"].map(str::to_owned);
    assert!(installation == Some(GithubApp { app_id, installation_id, private_key }));
}

#[rstest]
#[case::token(&[("bearerToken", "t0ken")], "Bearer t0ken")]
#[case::token_of_an_editor(&[("bearerToken", "t0ken\n")], "Bearer t0ken")]
#[case::password(&[("username", "acme"), ("password", "s:cret")], "Basic YWNtZTpzOmNyZXQ=")]
#[case::both(&[("bearerToken", "t0ken"), ("username", "acme"), ("password", "x")], "Bearer t0ken")]
fn credentials_for_the_host(#[case] data: &[(&str, &str)], #[case] authorization: &str) {
    let access = build("https://git.example.com/acme", &secret(Some(HOST), data)).unwrap();
    assert_eq!(access.authorization, Some(Authorization::new(authorization).unwrap()));
    let shown = format!("{access:?}");
    assert!(!shown.contains("t0ken") && !shown.contains("cret"), "{shown}");
}

#[test]
fn an_authority_alone_is_enough() {
    let pem = TestCa::new("forge").pem();
    let access = build("https://git.example.com/acme", &secret(Some(HOST), &[("ca.crt", &pem)])).unwrap();
    assert_eq!(access.authorization, None);
    assert!(matches!(access.trust, TrustedCertificates::Only(found) if found.len() == 1));
}

#[rstest]
#[case::no_annotation(None, "https://git.example.com/acme", HOST)]
#[case::another_host(Some("git.example.com"), "https://evil.example.net/acme", "evil.example.net")]
#[case::another_port(Some("git.example.com"), "https://git.example.com:8443/acme", "git.example.com:8443")]
#[case::end_of_a_name(Some("example.com"), "https://git.example.com/acme", HOST)]
fn a_secret_goes_to_its_own_host_only(
    #[case] annotated: Option<&str>,
    #[case] url: &str,
    #[case] host: &str,
) {
    let problem = build(url, &secret(annotated, &[("bearerToken", "t0ken")])).unwrap_err();
    let message = format!(
        "Secret acme-tenant/forge is not for host {host}; if its credentials may be sent there, set its annotation workflow.example.com/git-host: {host}"
    );
    assert_eq!(problem, Problem::new(Reason::SourceCredentialsMissing, ErrorClass::Denied, message));
}

#[test]
fn a_port_is_part_of_the_host() {
    let secret = secret(Some("git.example.com:8443"), &[("bearerToken", "t0ken")]);
    assert!(build("https://git.example.com:8443/acme", &secret).is_ok());
}

#[rstest]
#[case::empty(&[], "has no credentials; expected the keys username and password, or bearerToken, or those of a GitHub App, or ca.crt alone")]
#[case::half(&[("username", "acme")], "has no credentials; expected the keys username and password, or bearerToken, or those of a GitHub App, or ca.crt alone")]
#[case::no_value(&[("bearerToken", "")], "has no credentials; expected the keys username and password, or bearerToken, or those of a GitHub App, or ca.crt alone")]
#[case::half_an_app(&[("githubAppID", "7")], "has a part of a GitHub App; expected githubAppID, githubAppInstallationID and githubAppPrivateKey")]
#[case::lines(&[("bearerToken", "a\nHost: b")], "the credentials have characters that no HTTP header can have")]
#[case::no_authority(&[("ca.crt", "-----BEGIN")], "ca.crt has no certificate; expected the PEM of the authorities that sign the host's certificate")]
fn keys_that_are_wrong(#[case] data: &[(&str, &str)], #[case] what: &str) {
    let problem = build("https://git.example.com/acme", &secret(Some(HOST), data)).unwrap_err();
    assert_eq!(problem.reason, Reason::SourceCredentialsMissing);
    assert!(problem.message.ends_with(what), "{}", problem.message);
    assert!(problem.message.starts_with("Secret acme-tenant/forge"), "{}", problem.message);
}
