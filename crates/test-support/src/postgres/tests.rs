use sqlx::Row as _;

use super::*;
use crate::certificates::TestCa;

async fn scalar(options: &PgConnectOptions, query: &'static str) -> Result<String, sqlx::Error> {
    let mut connection = PgConnection::connect_with(options).await?;
    let row = sqlx::query(query).fetch_one(&mut connection).await?;
    row.try_get(0)
}

/// The SQLSTATE of a refusal, or the text of any other error.
fn code(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(database) => database.code().unwrap_or_default().into_owned(),
        other => other.to_string(),
    }
}

#[tokio::test]
async fn fresh_databases_are_separate_and_owned_by_a_role_without_privileges() {
    let postgres = crate::require_postgres!();
    let (first, second) = (postgres.fresh_database().await, postgres.fresh_database().await);
    assert_eq!(scalar(&first.options(), "SELECT current_database()::text").await.unwrap(), first.name);
    let flags =
        "SELECT rolsuper::text || ' ' || rolbypassrls::text FROM pg_roles WHERE rolname = current_user";
    assert_eq!(scalar(&first.options(), flags).await.unwrap(), "false false");
    assert_eq!(scalar(&postgres.superuser(), "SELECT current_user::text").await.unwrap(), "postgres");

    let elsewhere = first.options().database(&second.name);
    assert_eq!(code(&scalar(&elsewhere, "SELECT 'x'").await.unwrap_err()), "42501");
    let wrong = first.options().password("wrong");
    assert_eq!(code(&scalar(&wrong, "SELECT 'x'").await.unwrap_err()), "28P01");

    let by_url: PgConnectOptions = first.url().parse().unwrap();
    assert_eq!(scalar(&by_url, "SELECT current_user::text").await.unwrap(), first.user);
}

#[tokio::test]
async fn stopped_server_refuses_and_keeps_its_data() {
    let Some(mut postgres) = TestPostgres::start(PostgresOptions::default()).await else { return };
    let database = postgres.fresh_database().await;
    let mut connection = PgConnection::connect_with(&database.options()).await.unwrap();
    sqlx::query("CREATE TABLE kept AS SELECT 'yes' AS answer").execute(&mut connection).await.unwrap();

    postgres.stop();
    assert!(sqlx::query("SELECT 1").execute(&mut connection).await.is_err(), "the connection should be cut");
    let refused = scalar(&database.options(), "SELECT 'x'").await.unwrap_err();
    assert!(matches!(refused, sqlx::Error::Io(_)), "{refused:?}");

    postgres.start_again().await;
    assert_eq!(scalar(&database.options(), "SELECT answer FROM kept").await.unwrap(), "yes");
}

#[tokio::test]
async fn tls_is_verified_against_its_authority() {
    let ca = TestCa::new("test postgres ca");
    let options = PostgresOptions {
        tls: Some(ca.server(&["127.0.0.1", "localhost"])),
        tls_required: true,
        settings: vec![("max_connections", "7".to_owned())],
    };
    let Some(postgres) = TestPostgres::start(options).await else { return };
    let database = postgres.fresh_database().await;
    let mode = |mode| database.options().ssl_mode(mode);
    let verified = |ca: &TestCa| mode(PgSslMode::VerifyFull).ssl_root_cert_from_pem(ca.pem().into_bytes());

    let in_use = "SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert_eq!(scalar(&verified(&ca), in_use).await.unwrap(), "true");
    assert_eq!(scalar(&verified(&ca), "SHOW max_connections").await.unwrap(), "7");
    assert_eq!(code(&scalar(&mode(PgSslMode::Disable), in_use).await.unwrap_err()), "28000");
    let other = TestCa::new("another ca");
    let error = scalar(&verified(&other), in_use).await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
}
