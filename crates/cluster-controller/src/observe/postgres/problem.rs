//! Why a database cannot be used, in our own words: what a server says may be anything.

use std::io::ErrorKind;

use api_types::cluster::ClusterReason as Reason;
use sqlx::postgres::PgDatabaseError;

use super::Login;

/// Why a database cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresProblem {
    /// The condition's reason.
    pub reason: Reason,
    /// The cause in our own words.
    pub cause: String,
}

impl PostgresProblem {
    pub(super) fn new(reason: Reason, cause: impl Into<String>) -> Self {
        Self { reason, cause: cause.into() }
    }

    /// With the place that it is about.
    pub(super) fn at(self, login: &Login) -> Self {
        let is_about_database = matches!(
            self.reason,
            Reason::PostgresAuthenticationFailed
                | Reason::PostgresDatabaseMissing
                | Reason::PostgresPrivilegeMissing
                | Reason::PostgresReadOnly
        );
        let place = login.place();
        let cause = if is_about_database {
            format!("{} ({place}, database {})", self.cause, login.database)
        } else {
            format!("{} ({place})", self.cause)
        };
        Self { cause, ..self }
    }

    /// It may end without a person: a server comes back, a connection ends, a standby is promoted.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(
            self.reason,
            Reason::PostgresUnreachable | Reason::PostgresConnectionLimit | Reason::PostgresReadOnly
        )
    }
}

pub(super) fn unreachable(cause: &str) -> PostgresProblem {
    PostgresProblem::new(Reason::PostgresUnreachable, cause)
}

/// What keeps from logging in.
pub(super) fn explain_login(error: &sqlx::Error) -> PostgresProblem {
    match code_of(error).as_deref() {
        Some("42501") => PostgresProblem::new(
            Reason::PostgresPrivilegeMissing,
            "the role may not connect to the database: GRANT CONNECT ON DATABASE to it",
        ),
        _ => explain(error),
    }
}

fn code_of(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(String::from)
}

/// What keeps from reading or writing.
pub(super) fn explain(error: &sqlx::Error) -> PostgresProblem {
    let problem = |reason, cause: &str| PostgresProblem::new(reason, cause);
    match error {
        sqlx::Error::Io(error) => match error.kind() {
            ErrorKind::ConnectionRefused => unreachable("connection refused"),
            ErrorKind::TimedOut => unreachable("timeout"),
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
                unreachable("the host is unreachable")
            }
            ErrorKind::ConnectionReset
            | ErrorKind::UnexpectedEof
            | ErrorKind::BrokenPipe
            | ErrorKind::ConnectionAborted => unreachable("the server closed the connection"),
            // rustls reports a handshake that fails as invalid data.
            ErrorKind::InvalidData => problem(Reason::PostgresTlsFailed, TLS_CAUSE),
            _ => unreachable("the connection failed"),
        },
        sqlx::Error::Tls(_) => problem(Reason::PostgresTlsFailed, TLS_CAUSE),
        error if postgres_guard::is_clear_text_refused(error) => problem(
            Reason::PostgresClearTextRefused,
            "the server asks for the password in clear text and was not verified, so it got none: set sslMode verify-full, or use scram-sha-256 in its pg_hba.conf",
        ),
        sqlx::Error::Database(error) => match error.code().as_deref() {
            Some("28P01") => problem(
                Reason::PostgresAuthenticationFailed,
                "password authentication failed: correct keys username and password of databaseSecret",
            ),
            Some("28000") => problem(
                Reason::PostgresAuthenticationFailed,
                "the server refuses this login: it needs a role with LOGIN, and a line in pg_hba.conf",
            ),
            Some("3D000") => problem(
                Reason::PostgresDatabaseMissing,
                "the database does not exist: create it, or correct its name in the spec or in databaseSecret",
            ),
            Some("42501") => problem(
                Reason::PostgresPrivilegeMissing,
                "permission denied: the role must own schema workflow and all that is in it",
            ),
            Some("25006") => problem(
                Reason::PostgresReadOnly,
                "the server accepts no writes: set host to the primary, or to an address that follows it",
            ),
            Some("53300") => problem(
                Reason::PostgresConnectionLimit,
                limit_of(error.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::routine)),
            ),
            Some("57P03") => unreachable("the server is starting up or shutting down"),
            Some(code) if code.len() == 5 && code.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
                unreachable(&format!("the server answered with error {code}"))
            }
            _ => unreachable("the server answered with an error"),
        },
        sqlx::Error::Protocol(_) => unreachable("the server does not speak PostgreSQL's protocol"),
        _ => unreachable("the connection failed"),
    }
}

/// Which limit is reached. All three have the same code; the function of the server that refuses distinguishes them, whatever
/// language the server's messages are in.
fn limit_of(routine: Option<&str>) -> &'static str {
    match routine {
        Some("CheckMyDatabase") => {
            "the database has no connection left: ALTER DATABASE … CONNECTION LIMIT, or end other connections"
        }
        Some("InitializeSessionUserId") => {
            "the role has no connection left: ALTER ROLE … CONNECTION LIMIT, or end other connections"
        }
        _ => "the server has no connection left: raise its max_connections, or end other connections",
    }
}

pub(super) const TLS_CAUSE: &str =
    "TLS failed: the server offers none, or its certificate is not trusted or not made for this host";
