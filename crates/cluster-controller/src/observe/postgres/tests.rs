mod claim;
mod usable;

use std::sync::atomic::{AtomicUsize, Ordering};

use rstest::rstest;
use sqlx::{AssertSqlSafe, Executor as _};
use test_support::certificates::TestCa;
use test_support::postgres::{PostgresOptions, TestDatabase, TestPostgres};

use super::problem::TLS_CAUSE;
use super::survey::{MIN_SERVER_VERSION, Rights, Server};
use super::*;
use api_types::cluster::ClusterReason as Reason;

fn login(database: &TestDatabase) -> Login {
    Login {
        host: database.host.clone(),
        port: database.port,
        user: database.user.clone(),
        password: database.password.clone(),
        database: database.name.clone(),
        ssl_mode: SslMode::Prefer,
        ca_pem: None,
    }
}

async fn probe(login: &Login) -> PostgresView {
    Servers::default().probe(login).await
}

fn unusable(reason: Reason, cause: String) -> PostgresView {
    PostgresView::Unusable(PostgresProblem { reason, cause })
}

async fn run(database: &TestDatabase, statements: &str) {
    run_as(&database.options(), statements).await;
}

async fn run_as(options: &PgConnectOptions, statements: &str) {
    let mut connection = PgConnection::connect_with(options).await.unwrap();
    for statement in statements.split_inclusive(";\n") {
        connection.execute(AssertSqlSafe(statement.to_owned())).await.unwrap();
    }
    connection.close().await.unwrap();
}

fn first_claim(namespace: &str, uid: &str) -> ClaimChange {
    let identity = Identity {
        installation: "11111111-2222-3333-4444-555555555555".to_owned(),
        namespace: namespace.to_owned(),
        name: "dev".to_owned(),
    };
    let next = Claim { identity, uid: uid.to_owned(), epoch: 1, is_released: false };
    ClaimChange { former: None, next }
}

#[test]
fn a_server_that_is_too_old_is_refused() {
    let server = |version| {
        let read_only_by = "default".to_owned();
        Server { version, is_standby: false, is_read_only: false, read_only_by }.problem()
    };
    assert_eq!(server(150_000), None);
    let cause = "PostgreSQL 14, expected 15 or later".to_owned();
    assert_eq!(server(140_011), Some(PostgresProblem { reason: Reason::PostgresVersionUnsupported, cause }));
}

#[rstest]
#[case::may_create_it(true, None, true, None)]
#[case::owns_it(false, Some(true), true, None)]
#[case::may_not_create_it(false, None, true, Some("may not create schema workflow"))]
#[case::anothers(true, Some(false), true, Some("does not own schema workflow"))]
#[case::anothers_table(true, Some(true), false, Some("does not own the tables of schema workflow"))]
fn a_role_needs_rights(
    #[case] may_create_schema: bool,
    #[case] owns_schema: Option<bool>,
    #[case] owns_tables: bool,
    #[case] expected: Option<&str>,
) {
    let problem = Rights { may_create_schema, owns_schema, owns_tables }.problem();
    assert_eq!(problem.is_some(), expected.is_some());
    for (problem, expected) in problem.into_iter().zip(expected) {
        assert_eq!(problem.reason, Reason::PostgresPrivilegeMissing);
        assert!(problem.cause.contains(expected), "{}", problem.cause);
    }
}

#[tokio::test]
async fn an_empty_database_is_reachable_and_has_no_schema() {
    let postgres = test_support::require_postgres!();
    let database = postgres.fresh_database().await;
    let PostgresView::Reachable(found) = probe(&login(&database)).await else { panic!("not reachable") };
    assert_eq!((found.schema_version, found.engine_version), (None, None));
    assert!(found.server_version >= MIN_SERVER_VERSION);
}

#[tokio::test]
async fn the_engines_marker_is_read_and_planted_functions_are_not_called() {
    let postgres = test_support::require_postgres!();
    let database = postgres.fresh_database().await;
    run(
        &database,
        "CREATE SCHEMA workflow;
         CREATE TABLE workflow.schema_migration (version bigint, description text);
         INSERT INTO workflow.schema_migration VALUES (1, 'a'), (7, 'b');
         CREATE TABLE workflow.schema_state (engine_version text);
         INSERT INTO workflow.schema_state VALUES ('1.2.3');
         CREATE SCHEMA evil;
         CREATE FUNCTION evil.to_regclass(text) RETURNS regclass LANGUAGE sql AS 'SELECT NULL::regclass';
         DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = evil, pg_catalog', current_database()); END $$;",
    )
    .await;
    let PostgresView::Reachable(found) = probe(&login(&database)).await else { panic!("not reachable") };
    assert_eq!((found.schema_version, found.engine_version.as_deref()), (Some(7), Some("1.2.3")));
}

#[tokio::test]
async fn a_wrong_password_and_a_missing_database_are_reported_in_our_words() {
    let postgres = test_support::require_postgres!();
    let database = postgres.fresh_database().await;
    let wrong = Login { password: "wrong".into(), ..login(&database) };
    let place = format!("127.0.0.1:{}", database.port);
    assert_eq!(
        probe(&wrong).await,
        unusable(
            Reason::PostgresAuthenticationFailed,
            format!(
                "password authentication failed: correct keys username and password of databaseSecret \
                 ({place}, database {})",
                database.name
            )
        )
    );
    let mut superuser = login(&database);
    superuser.database = "nowhere".into();
    assert_eq!(
        probe(&superuser).await,
        unusable(
            Reason::PostgresDatabaseMissing,
            format!(
                "the database does not exist: create it, or correct its name in the spec or in databaseSecret \
                 ({place}, database nowhere)"
            )
        )
    );
}

#[tokio::test]
async fn what_cannot_be_connected_to_is_reported_with_its_cause() {
    let at = |host: &str, port| Login {
        host: host.into(),
        port,
        user: "u".into(),
        password: "p".into(),
        database: "d".into(),
        ssl_mode: SslMode::Prefer,
        ca_pem: None,
    };
    assert_eq!(
        probe(&at("127.0.0.1", 1)).await,
        unusable(Reason::PostgresUnreachable, "connection refused (127.0.0.1:1)".into())
    );
    assert_eq!(
        probe(&at("nowhere.invalid", 5432)).await,
        unusable(
            Reason::PostgresUnreachable,
            "the host's name does not resolve (nowhere.invalid:5432)".into()
        )
    );
    // A user who wrote the port after an IPv6 address sees which address that is.
    let PostgresView::Unusable(problem) = probe(&at("::1:1", 1)).await else { panic!("reachable") };
    assert!(problem.cause.ends_with(" ([::1:1]:1)"), "{}", problem.cause);
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let login = Login {
        host: "127.0.0.1".into(),
        port,
        user: "u".into(),
        password: "p".into(),
        database: "d".into(),
        ssl_mode: SslMode::Prefer,
        ca_pem: None,
    };
    let began = Instant::now();
    assert_eq!(
        probe(&login).await,
        unusable(Reason::PostgresUnreachable, format!("timeout (127.0.0.1:{port})"))
    );
    assert!(began.elapsed() < DEADLINE);
}

#[tokio::test]
async fn a_server_that_speaks_another_protocol_is_no_postgres() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let other = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = other.local_addr().unwrap().port();
    let serve = async {
        let (mut socket, _) = other.accept().await.unwrap();
        let mut buffer = [0; 64];
        let _ = socket.read(&mut buffer).await;
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    };
    let login = Login {
        host: "127.0.0.1".into(),
        port,
        user: "u".into(),
        password: "p".into(),
        database: "d".into(),
        ssl_mode: SslMode::Require,
        ca_pem: None,
    };
    let (found, ()) = tokio::join!(probe(&login), serve);
    let PostgresView::Unusable(problem) = found else { panic!("{found:?}") };
    assert_eq!(problem.reason, Reason::PostgresUnreachable);
}

#[tokio::test]
async fn a_server_that_goes_down_and_comes_back_is_seen() {
    let Some(mut postgres) = TestPostgres::start(PostgresOptions::default()).await else { return };
    let login = login(&postgres.fresh_database().await);
    assert!(matches!(probe(&login).await, PostgresView::Reachable(_)));
    postgres.stop();
    let expected =
        unusable(Reason::PostgresUnreachable, format!("connection refused (127.0.0.1:{})", login.port));
    assert_eq!(probe(&login).await, expected);
    postgres.start_again().await;
    assert!(matches!(probe(&login).await, PostgresView::Reachable(_)));
}

#[tokio::test]
async fn the_servers_certificate_is_checked_as_far_as_the_spec_asks() {
    let (ca, other) = (TestCa::new("ca"), TestCa::new("other"));
    let options = PostgresOptions {
        tls: Some(ca.server(&["127.0.0.1"])),
        tls_required: true,
        ..PostgresOptions::default()
    };
    let Some(postgres) = TestPostgres::start(options).await else { return };
    let database = postgres.fresh_database().await;
    let with = |ssl_mode, pem: Option<String>, host: &str| Login {
        ssl_mode,
        ca_pem: pem,
        host: host.to_owned(),
        ..login(&database)
    };
    for (good, expected) in [
        (with(SslMode::Prefer, None, "127.0.0.1"), Protection::Encrypted),
        (with(SslMode::Require, None, "127.0.0.1"), Protection::Encrypted),
        (with(SslMode::VerifyCa, Some(ca.pem()), "localhost"), Protection::Verified),
        (with(SslMode::VerifyFull, Some(ca.pem()), "127.0.0.1"), Protection::Verified),
    ] {
        let found = probe(&good).await;
        let PostgresView::Reachable(found) = found else { panic!("{:?}: {found:?}", good.ssl_mode) };
        assert_eq!(found.protection, expected, "{:?}", good.ssl_mode);
    }
    for bad in [
        with(SslMode::VerifyCa, Some(other.pem()), "127.0.0.1"),
        with(SslMode::VerifyFull, Some(ca.pem()), "localhost"),
    ] {
        let expected =
            unusable(Reason::PostgresTlsFailed, format!("{TLS_CAUSE} ({}:{})", bad.host, bad.port));
        assert_eq!(probe(&bad).await, expected, "{:?}", bad.ssl_mode);
    }
}

#[tokio::test]
async fn tls_that_is_asked_for_and_not_offered_is_a_failure() {
    let postgres = test_support::require_postgres!();
    let login = Login { ssl_mode: SslMode::Require, ..login(&postgres.fresh_database().await) };
    let expected = unusable(Reason::PostgresTlsFailed, format!("{TLS_CAUSE} (127.0.0.1:{})", login.port));
    assert_eq!(probe(&login).await, expected);
}

#[tokio::test]
async fn a_server_without_tls_is_seen_as_such() {
    let postgres = test_support::require_postgres!();
    let PostgresView::Reachable(found) = probe(&login(&postgres.fresh_database().await)).await else {
        panic!("not reachable")
    };
    assert_eq!(found.protection, Protection::Plain);
}

#[tokio::test]
async fn a_password_in_clear_text_is_refused_to_a_server_that_was_not_verified() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = server.local_addr().unwrap().port();
    let serve = async {
        let (mut socket, _) = server.accept().await.unwrap();
        socket.read_exact(&mut [0; 8]).await.unwrap();
        socket.write_all(b"N").await.unwrap();
        let _ = socket.read(&mut [0; 1024]).await.unwrap();
        socket.write_all(&[b'R', 0, 0, 0, 8, 0, 0, 0, 3]).await.unwrap();
        let mut heard = Vec::new();
        let _ = socket.read_to_end(&mut heard).await;
        heard
    };
    let login = Login {
        host: "127.0.0.1".into(),
        port,
        user: "u".into(),
        password: "correct horse".into(),
        database: "d".into(),
        ssl_mode: SslMode::Prefer,
        ca_pem: None,
    };
    let (found, heard) = tokio::join!(probe(&login), serve);
    let cause = format!(
        "the server asks for the password in clear text and was not verified, so it got none: set sslMode verify-full, or use scram-sha-256 in its pg_hba.conf (127.0.0.1:{port})"
    );
    assert_eq!(found, unusable(Reason::PostgresClearTextRefused, cause));
    assert_eq!(heard, b"");
}

struct Counted(AtomicUsize);

#[async_trait]
impl Databases for Counted {
    async fn probe(&self, _: &Login) -> PostgresView {
        self.0.fetch_add(1, Ordering::Relaxed);
        unusable(Reason::PostgresUnreachable, "timeout".into())
    }

    async fn claim(&self, _: &Login, _: &ClaimChange) -> Result<bool, PostgresProblem> {
        Ok(true)
    }

    async fn release(&self, _: &Login, _: &Identity, _: &str) -> Result<bool, PostgresProblem> {
        Ok(true)
    }
}

#[tokio::test]
async fn an_answer_is_used_again_until_it_is_stale_or_the_login_changes() {
    let counted = Arc::new(Counted(AtomicUsize::new(0)));
    let probe = PostgresProbe::new(counted.clone());
    let login = Login {
        host: "h".into(),
        port: 1,
        user: "u".into(),
        password: "p".into(),
        database: "d".into(),
        ssl_mode: SslMode::Prefer,
        ca_pem: None,
    };
    let hour = Duration::from_hours(1);
    probe.observe("uid", &login, hour).await;
    probe.observe("uid", &login, hour).await;
    assert_eq!(counted.0.load(Ordering::Relaxed), 1);
    probe.observe("uid", &Login { password: "rotated".into(), ..login.clone() }, hour).await;
    assert_eq!(counted.0.load(Ordering::Relaxed), 2);
    probe.observe("uid", &Login { password: "rotated".into(), ..login.clone() }, Duration::ZERO).await;
    assert_eq!(counted.0.load(Ordering::Relaxed), 3);
    probe.forget("uid");
    let rotated = Login { password: "rotated".into(), ..login };
    probe.observe("uid", &rotated, hour).await;
    assert_eq!(counted.0.load(Ordering::Relaxed), 4);
    // A claim that was written, or was not, shows in the next answer.
    probe.claim("uid", &rotated, &first_claim("acme", "uid-1")).await.unwrap();
    probe.observe("uid", &rotated, hour).await;
    assert_eq!(counted.0.load(Ordering::Relaxed), 5);
}
