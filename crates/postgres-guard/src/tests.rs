use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use test_support::certificates::TestCa;
use test_support::postgres::{PostgresOptions, TestPostgres};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use super::*;

const PASSWORD: &str = "correct horse battery";

/// `AuthenticationCleartextPassword`, `AuthenticationOk`.
const CLEAR_TEXT: [u8; 9] = [b'R', 0, 0, 0, 8, 0, 0, 0, 3];
const OK: [u8; 9] = [b'R', 0, 0, 0, 8, 0, 0, 0, 0];

/// A server without TLS that says `answer` after the startup packet, and all that it was reported until the client left.
async fn overheard(answer: Vec<u8>, mode: PgSslMode) -> (sqlx::Error, Vec<u8>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(listener.local_addr().unwrap().port())
        .username("engine")
        .password(PASSWORD)
        .ssl_mode(mode);
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut heard = vec![0; 8];
        if !matches!(mode, PgSslMode::Disable) {
            socket.read_exact(&mut heard).await.unwrap();
            socket.write_all(b"N").await.unwrap();
        }
        let mut startup = [0; 1024];
        let read = socket.read(&mut startup).await.unwrap();
        heard.extend(&startup[..read]);
        socket.write_all(&answer).await.unwrap();
        let _ = tokio::time::timeout(Duration::from_secs(5), socket.read_to_end(&mut heard)).await;
        heard
    });
    let error = connect(&options).await.expect_err("should be refused");
    (error, server.await.unwrap())
}

fn holds_password(heard: &[u8]) -> bool {
    heard.windows(PASSWORD.len()).any(|window| window == PASSWORD.as_bytes())
}

#[tokio::test]
async fn a_server_that_was_not_verified_gets_no_password_in_clear_text() {
    for mode in [PgSslMode::Prefer, PgSslMode::Disable] {
        let (error, heard) = overheard(CLEAR_TEXT.to_vec(), mode).await;
        assert!(is_clear_text_refused(&error), "{error}");
        assert!(!holds_password(&heard), "{}", String::from_utf8_lossy(&heard));
    }
}

/// sqlx goes on answering until the server says that it is ready.
#[tokio::test]
async fn a_server_that_asks_again_after_the_login_gets_none_either() {
    let (error, heard) = overheard([OK, CLEAR_TEXT].concat(), PgSslMode::Prefer).await;
    assert!(is_clear_text_refused(&error), "{error}");
    assert!(!holds_password(&heard));
}

#[tokio::test]
async fn a_message_without_end_is_not_kept() {
    let (error, _) = overheard(vec![b'R', 0x7f, 0, 0, 0, 0], PgSslMode::Prefer).await;
    assert!(matches!(error, sqlx::Error::Io(_)), "{error}");
}

#[tokio::test]
async fn tls_that_is_asked_for_and_not_offered_is_a_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let _ = socket.read_exact(&mut [0; 8]).await;
        let _ = socket.write_all(b"N").await;
    });
    let options =
        PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(port).ssl_mode(PgSslMode::Require);
    let error = connect(&options).await.expect_err("should fail");
    assert!(matches!(error, sqlx::Error::Tls(_)), "{error}");
}

#[tokio::test]
async fn what_keeps_from_the_server_is_reported_as_without_the_guard() {
    let options = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(1);
    let error = connect(&options).await.expect_err("nobody should listen there");
    assert!(
        matches!(&error, sqlx::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused),
        "{error}"
    );
}

#[tokio::test]
async fn a_real_server_says_how_the_connection_is_protected() {
    let ca = TestCa::new("ca");
    let encrypted = PostgresOptions { tls: Some(ca.server(&["127.0.0.1"])), ..PostgresOptions::default() };
    let Some(plain) = TestPostgres::start(PostgresOptions::default()).await else { return };
    let Some(encrypted) = TestPostgres::start(encrypted).await else { return };
    let protection = async |postgres: &TestPostgres, mode: PgSslMode| {
        let options = postgres.fresh_database().await.options().ssl_mode(mode);
        let options = options.ssl_root_cert_from_pem(ca.pem().into_bytes());
        let (mut connection, protection) = connect(&options).await.unwrap();
        // More than one buffer, in both directions.
        let text = "x".repeat(300_000);
        let echoed: String =
            sqlx::query_scalar("SELECT $1").bind(&text).fetch_one(&mut connection).await.unwrap();
        assert_eq!(echoed, text);
        let seen: bool = sqlx::query_scalar("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        (protection, seen)
    };
    assert_eq!(protection(&plain, PgSslMode::Prefer).await, (Protection::Plain, false));
    assert_eq!(protection(&encrypted, PgSslMode::Disable).await, (Protection::Plain, false));
    assert_eq!(protection(&encrypted, PgSslMode::Prefer).await, (Protection::Encrypted, true));
    assert_eq!(protection(&encrypted, PgSslMode::Require).await, (Protection::Encrypted, true));
    assert_eq!(protection(&encrypted, PgSslMode::VerifyFull).await, (Protection::Verified, true));
}

/// A pool opens connections by itself, long after the first one.
#[tokio::test]
async fn every_connection_of_a_pool_is_guarded_and_waits_for_a_server_that_starts() {
    let Some(mut postgres) = TestPostgres::start(PostgresOptions::default()).await else { return };
    let options = postgres.fresh_database().await.options();
    let guard = Guard::open(&options, Patience::UntilGivenUp).unwrap().unwrap();
    let pool =
        PgPoolOptions::new().acquire_timeout(Duration::from_secs(20)).connect_lazy_with(guard.lead(&options));
    postgres.stop();
    let (answer, ()) = tokio::join!(sqlx::query_scalar::<_, i32>("SELECT 1").fetch_one(&pool), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        postgres.start_again().await;
    });
    assert_eq!(answer.unwrap(), 1);
    assert_eq!(guard.latest_protection(), Protection::Plain);
}
