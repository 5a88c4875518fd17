use rstest::rstest;

use super::*;
use crate::testing::{FULL, MINIMAL, authority, cluster, secret, target, today};

fn login(
    yaml: &str,
    database_secret: Option<&[(&str, &str)]>,
    ca: Option<&str>,
) -> Result<Login, PostgresProblem> {
    let target = target(&cluster(yaml));
    let database_secret = database_secret.map(|entries| secret("db", entries));
    let ca = ca.map(|pem| secret("db-ca", &[("ca.crt", pem)]));
    build_login(&target, database_secret.as_ref(), ca.as_ref())
}

const USER: (&str, &str) = ("username", "engine\n");
const PASSWORD: (&str, &str) = ("password", "it's a \"secret\" =%\n");

#[test]
fn the_secrets_database_is_used_when_the_spec_names_none() {
    let with = |entries| login(MINIMAL, Some(entries), None).map(|login| login.database);
    assert_eq!(with(&[USER, PASSWORD]), Ok("workflow".to_owned()));
    assert_eq!(with(&[USER, PASSWORD, ("dbname", "orders")]), Ok("orders".to_owned()));
}

#[test]
fn every_field_reaches_the_login_as_it_is() {
    let pem = authority(today()).certificate;
    assert_eq!(
        login(FULL, Some(&[USER, PASSWORD, ("dbname", "ignored")]), Some(&pem)),
        Ok(Login {
            host: "2001:db8::1".into(),
            port: 6432,
            user: "engine".into(),
            password: "it's a \"secret\" =%".into(),
            database: "orders".into(),
            ssl_mode: api_types::cluster::SslMode::VerifyFull,
            ca_pem: Some(pem),
        })
    );
}

#[rstest]
#[case::no_secret(None, ClusterReason::PostgresSecretMissing, "Secret db does not exist in this namespace")]
#[case::no_key(Some(&[USER][..]), ClusterReason::PostgresSecretInvalid, "Secret db: key password is missing, empty or no text")]
#[case::empty_key(Some(&[USER, ("password", "")][..]), ClusterReason::PostgresSecretInvalid, "Secret db: key password is missing, empty or no text")]
#[case::two_lines(Some(&[("username", "a\nb"), PASSWORD][..]), ClusterReason::PostgresSecretInvalid, "Secret db: key username must be one line")]
fn an_unusable_secret_is_named(
    #[case] entries: Option<&[(&str, &str)]>,
    #[case] reason: ClusterReason,
    #[case] cause: &str,
) {
    let cause = format!("spec.postgres.externalRef.databaseSecret: {cause}");
    assert_eq!(login(MINIMAL, entries, None), Err(PostgresProblem { reason, cause }));
}

#[rstest]
#[case::missing(None, ClusterReason::PostgresSecretMissing, "Secret db-ca does not exist in this namespace")]
#[case::no_certificate(
    Some("hello"),
    ClusterReason::PostgresSecretInvalid,
    "Secret db-ca: key ca.crt is no PEM certificate"
)]
fn an_unusable_authority_is_named(
    #[case] pem: Option<&str>,
    #[case] reason: ClusterReason,
    #[case] cause: &str,
) {
    let cause = format!("spec.postgres.externalRef.caSecret: {cause}");
    assert_eq!(login(FULL, Some(&[USER, PASSWORD]), pem), Err(PostgresProblem { reason, cause }));
}

#[test]
fn logins_are_never_shown() {
    let login = login(MINIMAL, Some(&[USER, PASSWORD]), None).unwrap();
    assert_eq!(format!("{login:?}"), "Login(postgres.acme.svc:5432/workflow)");
}
