//! Each way in which a real server lets the login in, and cannot be used all the same; and how it heals.

use test_support::wait::eventually;

use super::login as login_to;
use super::*;

async fn assert_unusable(login: &Login, reason: Reason, expected: &str) {
    let PostgresView::Unusable(problem) = probe(login).await else { panic!("usable instead of {reason}") };
    assert_eq!(problem.reason, reason, "{}", problem.cause);
    assert!(problem.cause.contains(expected), "{}", problem.cause);
    assert!(!problem.cause.contains(&login.password), "{}", problem.cause);
    assert!(problem.cause.chars().count() <= controller_kit::message::MAX_CHARS, "{}", problem.cause);
}

async fn assert_usable(login: &Login) {
    let view = probe(login).await;
    assert!(matches!(view, PostgresView::Reachable(_)), "{view:?}");
}

/// What ends a moment after it was asked to: a connection, a setting.
async fn await_usable(login: &Login) {
    eventually("the database to be usable", Duration::from_secs(10), async || {
        matches!(probe(login).await, PostgresView::Reachable(_)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_standby_is_read_only_until_it_is_promoted() {
    let Some(mut postgres) = TestPostgres::start(PostgresOptions::default()).await else { return };
    let login = login_to(&postgres.fresh_database().await);
    assert_usable(&login).await;
    postgres.stop();
    postgres.make_standby();
    postgres.start_again().await;
    assert_unusable(&login, Reason::PostgresReadOnly, "set host to the primary").await;
    let refused = Servers::default().claim(&login, &first_claim("acme", "uid-1")).await.unwrap_err();
    assert_eq!(refused.reason, Reason::PostgresReadOnly, "{}", refused.cause);
    run_as(&postgres.superuser(), "SELECT pg_promote()").await;
    assert_usable(&login).await;
}

#[tokio::test]
async fn a_role_a_database_or_a_server_that_is_read_only_is_told_apart() {
    let postgres = test_support::require_postgres!();
    let database = postgres.fresh_database().await;
    let (login, TestDatabase { name, user, .. }) = (login_to(&database), &database);
    let in_database = format!("ALTER ROLE {user} IN DATABASE {name}");
    for (alter, expected) in [
        (format!("ALTER ROLE {user}"), "ALTER ROLE … RESET"),
        (format!("ALTER DATABASE {name}"), "ALTER DATABASE … RESET"),
        (in_database, "ALTER ROLE … IN DATABASE … RESET"),
    ] {
        let superuser = postgres.superuser();
        run_as(&superuser, &format!("{alter} SET default_transaction_read_only = on")).await;
        assert_unusable(&login, Reason::PostgresReadOnly, expected).await;
        run_as(&superuser, &format!("{alter} RESET default_transaction_read_only")).await;
        assert_usable(&login).await;
    }
    let Some(server) = TestPostgres::start(PostgresOptions::default()).await else { return };
    let login = login_to(&server.fresh_database().await);
    let reload = "SELECT pg_reload_conf()";
    run_as(&server.superuser(), &format!("ALTER SYSTEM SET default_transaction_read_only = on;\n{reload}"))
        .await;
    eventually("the server to read its configuration", Duration::from_secs(10), async || {
        matches!(probe(&login).await, PostgresView::Unusable(_)).then_some(())
    })
    .await;
    assert_unusable(&login, Reason::PostgresReadOnly, "ALTER SYSTEM RESET").await;
    run_as(&server.superuser(), &format!("ALTER SYSTEM RESET default_transaction_read_only;\n{reload}"))
        .await;
    await_usable(&login).await;
}

#[tokio::test]
async fn a_role_without_the_rights_says_what_to_grant() {
    let postgres = test_support::require_postgres!();
    let database = postgres.fresh_database().await;
    let TestDatabase { name, user, .. } = &database;
    let plain =
        Login { user: format!("{name}_plain"), password: "plain-pw".to_owned(), ..login_to(&database) };
    let (superuser, inside) = (postgres.superuser(), postgres.superuser().database(name));
    let role = &plain.user;
    run_as(&superuser, &format!("CREATE ROLE {role} LOGIN PASSWORD 'plain-pw'")).await;
    assert_unusable(&plain, Reason::PostgresPrivilegeMissing, "GRANT CONNECT ON DATABASE").await;
    run_as(&superuser, &format!("GRANT CONNECT ON DATABASE {name} TO {role}")).await;
    assert_unusable(&plain, Reason::PostgresPrivilegeMissing, "GRANT CREATE ON DATABASE").await;
    run_as(&superuser, &format!("GRANT CREATE ON DATABASE {name} TO {role}")).await;
    assert_usable(&plain).await;

    run_as(&inside, &format!("CREATE SCHEMA workflow AUTHORIZATION {user}")).await;
    assert_unusable(&plain, Reason::PostgresPrivilegeMissing, "ALTER SCHEMA workflow OWNER TO").await;
    // A member of the owner owns, too.
    run_as(&superuser, &format!("GRANT {user} TO {role}")).await;
    assert_usable(&plain).await;
    run_as(&superuser, &format!("REVOKE {user} FROM {role}")).await;
    run_as(&inside, &format!("ALTER SCHEMA workflow OWNER TO {role}")).await;
    assert_usable(&plain).await;

    run_as(
        &inside,
        &format!(
            "CREATE TABLE workflow.schema_state (id text);\nALTER TABLE workflow.schema_state OWNER TO {user}"
        ),
    )
    .await;
    assert_unusable(&plain, Reason::PostgresPrivilegeMissing, "ALTER TABLE … OWNER TO").await;
    run_as(&inside, &format!("ALTER TABLE workflow.schema_state OWNER TO {role}")).await;
    assert_usable(&plain).await;
}

#[tokio::test]
async fn a_role_that_may_not_log_in_is_refused() {
    let postgres = test_support::require_postgres!();
    let database = postgres.fresh_database().await;
    let login = login_to(&database);
    run_as(&postgres.superuser(), &format!("ALTER ROLE {} NOLOGIN", database.user)).await;
    assert_unusable(&login, Reason::PostgresAuthenticationFailed, "a role with LOGIN").await;
    run_as(&postgres.superuser(), &format!("ALTER ROLE {} LOGIN", database.user)).await;
    assert_usable(&login).await;
}

/// The two limits that are set for one database and for one role: each is reached by one connection.
#[rstest]
#[case::database("ALTER DATABASE", false, "the database has no connection left")]
#[case::role("ALTER ROLE", true, "the role has no connection left")]
#[tokio::test]
async fn a_limit_of_connections_is_named(
    #[case] alter: &str,
    #[case] is_of_role: bool,
    #[case] expected: &str,
) {
    let postgres = test_support::require_postgres!();
    let database = postgres.fresh_database().await;
    let limited = if is_of_role { &database.user } else { &database.name };
    run_as(&postgres.superuser(), &format!("{alter} {limited} CONNECTION LIMIT 1")).await;
    let held = PgConnection::connect_with(&database.options()).await.unwrap();
    let login = login_to(&database);
    assert_unusable(&login, Reason::PostgresConnectionLimit, expected).await;
    held.close().await.unwrap();
    await_usable(&login).await;
}

#[tokio::test]
async fn a_full_server_is_named() {
    let options = PostgresOptions {
        settings: vec![
            ("max_connections", "4".to_owned()),
            ("superuser_reserved_connections", "2".to_owned()),
        ],
        ..PostgresOptions::default()
    };
    let Some(postgres) = TestPostgres::start(options).await else { return };
    let database = postgres.fresh_database().await;
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(PgConnection::connect_with(&database.options()).await.unwrap());
    }
    let login = login_to(&database);
    assert_unusable(&login, Reason::PostgresConnectionLimit, "raise its max_connections").await;
    for connection in held {
        connection.close().await.unwrap();
    }
    await_usable(&login).await;
}
