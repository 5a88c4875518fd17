//! The database: whether it can be used, and the version of its schema. Reads only.

use std::collections::HashMap;
use std::fmt;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use api_types::WorkflowCluster;
use api_types::cluster::{ClusterReason as Reason, SslMode};
use api_types::condition::MIGRATED;
use async_trait::async_trait;
use controller_kit::condition::find;
use engine_client::join_host_port;
use postgres_guard::Protection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{Connection as _, Executor as _};
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

/// The engine needs Postgres 15.
const MIN_SERVER_VERSION: i32 = 150_000;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Connection and queries together.
const DEADLINE: Duration = Duration::from_secs(10);
/// Databases asked at the same time.
const CONCURRENCY: usize = 8;
/// An answer is used again for so long: many changes of children must not open many connections.
const FRESH_WHEN_SETTLED: Duration = Duration::from_secs(30);
/// While the next step depends on the answer.
const FRESH_WHEN_MOVING: Duration = Duration::from_secs(2);

/// How to log in. Never shown by `Debug`, never written as a connection string.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// DNS name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Role.
    pub user: String,
    /// Its password.
    pub password: String,
    /// Database.
    pub database: String,
    /// Protection of the connection.
    pub ssl_mode: SslMode,
    /// Trusted authorities; the system's when absent.
    pub ca_pem: Option<String>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({}/{})", self.place(), self.database)
    }
}

impl Login {
    fn place(&self) -> String {
        join_host_port(&self.host, self.port)
    }

    fn options(&self) -> PgConnectOptions {
        let options = PgConnectOptions::new_without_pgpass()
            .host(&self.host)
            .port(self.port)
            .username(&self.user)
            .password(&self.password)
            .database(&self.database)
            .ssl_mode(match self.ssl_mode {
                SslMode::Prefer => PgSslMode::Prefer,
                SslMode::Require => PgSslMode::Require,
                SslMode::VerifyCa => PgSslMode::VerifyCa,
                SslMode::VerifyFull => PgSslMode::VerifyFull,
            })
            .application_name("cluster-controller")
            .statement_cache_capacity(0);
        match &self.ca_pem {
            Some(pem) => options.ssl_root_cert_from_pem(pem.clone().into_bytes()),
            None => options,
        }
    }
}

/// The database as it answered.
#[derive(Clone, Debug, PartialEq)]
pub enum PostgresView {
    /// It accepts the login.
    Reachable(Database),
    /// It cannot be used.
    Unusable(PostgresProblem),
}

/// A usable database.
#[derive(Clone, Debug, PartialEq)]
pub struct Database {
    /// How the connection to it is protected, as it was seen.
    pub protection: Protection,
    /// `server_version_num`: 150004 is 15.4.
    pub server_version: i32,
    /// Number of the newest applied migration; `None` = the engine's schema is not there.
    pub schema_version: Option<i64>,
    /// The engine version whose migrations are complete: the durable marker.
    pub engine_version: Option<String>,
}

/// Why a database cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresProblem {
    /// The condition's reason.
    pub reason: Reason,
    /// The cause in our own words.
    pub cause: String,
}

/// How old an answer may be.
#[must_use]
pub fn freshness(cluster: &WorkflowCluster, is_rolled_out: bool) -> Duration {
    let status = cluster.status.as_ref();
    let is_migrated = status.is_some_and(|status| {
        status.version.as_ref() == Some(&cluster.spec.version)
            && find(&status.conditions, MIGRATED).is_some_and(|migrated| migrated.status == "True")
    });
    if is_migrated && is_rolled_out { FRESH_WHEN_SETTLED } else { FRESH_WHEN_MOVING }
}

/// What can ask a database: servers in production, a table in tests.
#[async_trait]
pub trait Databases: Send + Sync {
    /// Logs in and reads.
    async fn probe(&self, login: &Login) -> PostgresView;
}

/// Asks databases, not more often than needed. Cheap to clone.
#[derive(Clone)]
pub struct PostgresProbe {
    databases: Arc<dyn Databases>,
    answers: Arc<Mutex<HashMap<String, Answer>>>,
}

struct Answer {
    login: Login,
    at: Instant,
    view: PostgresView,
}

impl PostgresProbe {
    /// Remembers nothing yet.
    #[must_use]
    pub fn new(databases: Arc<dyn Databases>) -> Self {
        Self { databases, answers: Arc::default() }
    }

    /// The database of the cluster with this uid, as it answered at most `freshness` ago. A changed login asks anew.
    pub async fn observe(&self, uid: &str, login: &Login, freshness: Duration) -> PostgresView {
        if let Some(view) = self.recall(uid, login, freshness) {
            return view;
        }
        let view = self.databases.probe(login).await;
        let answer = Answer { login: login.clone(), at: Instant::now(), view: view.clone() };
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).insert(uid.to_owned(), answer);
        view
    }

    /// Drops what is remembered of a cluster that is gone.
    pub fn forget(&self, uid: &str) {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }

    fn recall(&self, uid: &str, login: &Login, freshness: Duration) -> Option<PostgresView> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = answers.get(uid)?;
        (answer.login == *login && answer.at.elapsed() < freshness).then(|| answer.view.clone())
    }
}

/// Real servers.
#[derive(Clone)]
pub struct Servers {
    permits: Arc<Semaphore>,
}

impl Default for Servers {
    fn default() -> Self {
        Self { permits: Arc::new(Semaphore::new(CONCURRENCY)) }
    }
}

#[async_trait]
impl Databases for Servers {
    /// In a task of its own: a hostile server can make the login expensive, and that must not hold up other passes.
    async fn probe(&self, login: &Login) -> PostgresView {
        let (permits, login) = (self.permits.clone(), login.clone());
        let asking = tokio::spawn(async move {
            let _permit = permits.acquire_owned().await;
            match tokio::time::timeout(DEADLINE, probe(&login)).await {
                Ok(Ok(database)) => judge(database),
                Ok(Err(problem)) => PostgresView::Unusable(problem.at(&login)),
                Err(_) => PostgresView::Unusable(unreachable("timeout").at(&login)),
            }
        });
        let answer = AbortOnDropHandle::new(asking).await;
        answer.unwrap_or_else(|_| PostgresView::Unusable(unreachable("the probe was given up")))
    }
}

fn judge(database: Database) -> PostgresView {
    if database.server_version >= MIN_SERVER_VERSION {
        return PostgresView::Reachable(database);
    }
    PostgresView::Unusable(PostgresProblem {
        reason: Reason::PostgresVersionUnsupported,
        cause: format!("PostgreSQL {}, expected 15 or later", database.server_version / 10_000),
    })
}

impl PostgresProblem {
    fn at(self, login: &Login) -> Self {
        let cause = match self.reason {
            Reason::PostgresAuthenticationFailed => {
                format!("{} ({}, database {})", self.cause, login.place(), login.database)
            }
            _ => format!("{} ({})", self.cause, login.place()),
        };
        Self { cause, ..self }
    }
}

fn unreachable(cause: &str) -> PostgresProblem {
    PostgresProblem { reason: Reason::PostgresUnreachable, cause: cause.to_owned() }
}

async fn probe(login: &Login) -> Result<Database, PostgresProblem> {
    let (mut connection, protection) =
        tokio::time::timeout(CONNECT_TIMEOUT, connect(login)).await.map_err(|_| unreachable("timeout"))??;
    let database = read(&mut connection, protection).await.map_err(|error| explain(&error))?;
    // Whether the server hears that the connection ends changes nothing.
    let _ = connection.close().await;
    Ok(database)
}

async fn connect(login: &Login) -> Result<(PgConnection, Protection), PostgresProblem> {
    // Looked up first, because a name without address is a mistake of its own.
    let found = tokio::net::lookup_host((login.host.as_str(), login.port)).await;
    if !found.is_ok_and(|mut addresses| addresses.next().is_some()) {
        return Err(unreachable("the host's name does not resolve"));
    }
    postgres_guard::connect(&login.options()).await.map_err(|error| explain(&error))
}

/// Everything is qualified and the search path is pinned: functions that a database's owner planted are not called.
async fn read(connection: &mut PgConnection, protection: Protection) -> Result<Database, sqlx::Error> {
    connection.execute("SET search_path = pg_catalog, pg_temp; SET statement_timeout = '4s'").await?;
    let server_version = sqlx::query_scalar("SELECT current_setting('server_version_num')::int4")
        .fetch_one(&mut *connection)
        .await?;
    let exists: bool = sqlx::query_scalar(
        "SELECT to_regclass('workflow.schema_migration') IS NOT NULL AND to_regclass('workflow.schema_state') IS NOT NULL",
    )
    .fetch_one(&mut *connection)
    .await?;
    if !exists {
        return Ok(Database { protection, server_version, schema_version: None, engine_version: None });
    }
    let schema_version = sqlx::query_scalar("SELECT max(version) FROM workflow.schema_migration")
        .fetch_one(&mut *connection)
        .await?;
    let engine_version: Option<Option<String>> =
        sqlx::query_scalar("SELECT engine_version FROM workflow.schema_state")
            .fetch_optional(&mut *connection)
            .await?;
    Ok(Database { protection, server_version, schema_version, engine_version: engine_version.flatten() })
}

/// The cause in our own words: what a server says may be anything.
fn explain(error: &sqlx::Error) -> PostgresProblem {
    let problem = |reason, cause: &str| PostgresProblem { reason, cause: cause.to_owned() };
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
            Some("28P01") => problem(Reason::PostgresAuthenticationFailed, "password authentication failed"),
            Some("28000") => problem(
                Reason::PostgresAuthenticationFailed,
                "the server refuses this login (pg_hba.conf, or no such role)",
            ),
            Some("3D000") => problem(Reason::PostgresAuthenticationFailed, "database does not exist"),
            Some("42501") => problem(
                Reason::PostgresAuthenticationFailed,
                "permission denied: the login must own the database's schema workflow",
            ),
            Some("53300") => unreachable("the server has no connection left"),
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

const TLS_CAUSE: &str =
    "TLS failed: the server offers none, or its certificate is not trusted or not made for this host";

#[cfg(test)]
mod tests;
