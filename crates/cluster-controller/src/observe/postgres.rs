//! The database: whether it can be used, the version of its schema, and whose it is. Here is also the only way to write to it:
//! its claim.

mod problem;
mod survey;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use api_types::WorkflowCluster;
use api_types::cluster::SslMode;
use api_types::condition::MIGRATED;
use async_trait::async_trait;
use controller_kit::condition::find;
use engine_client::join_host_port;
use postgres_guard::Protection;
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

use crate::claim::sql::{apply_claim, apply_release, is_lost_race};
use crate::claim::{Claim, ClaimChange, Identity};
use crate::recovery::Restored;
pub use problem::PostgresProblem;
use problem::{explain, explain_login, unreachable};
use survey::{prepare_session, survey};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Connection and queries together.
const DEADLINE: Duration = Duration::from_secs(10);
/// A deletion waits no longer for a database.
const RELEASE_DEADLINE: Duration = Duration::from_secs(3);
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
    /// Whose it is; `None` = nobody has claimed it.
    pub claim: Option<Claim>,
    /// What it says of a restore.
    pub restored: Option<Box<Restored>>,
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

    /// Writes the claim, if nobody wrote another one since it was observed; `false` = somebody did.
    async fn claim(&self, login: &Login, change: &ClaimChange) -> Result<bool, PostgresProblem>;

    /// Gives the database up, if it is this WorkflowCluster's; `false` = it is not. Gives up itself after a few seconds.
    async fn release(&self, login: &Login, identity: &Identity, uid: &str) -> Result<bool, PostgresProblem>;
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

    /// Writes the claim of the cluster with this uid; see [`Databases::claim`]. What is remembered is out of date then.
    pub async fn claim(
        &self,
        uid: &str,
        login: &Login,
        change: &ClaimChange,
    ) -> Result<bool, PostgresProblem> {
        let written = self.databases.claim(login, change).await;
        self.forget(uid);
        written
    }

    /// See [`Databases::release`].
    pub async fn release(
        &self,
        login: &Login,
        identity: &Identity,
        uid: &str,
    ) -> Result<bool, PostgresProblem> {
        self.databases.release(login, identity, uid).await
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

impl Servers {
    /// In a task of its own: a hostile server can make the login expensive, and that must not hold up other passes.
    async fn ask<T: Send + 'static>(
        &self,
        login: &Login,
        deadline: Duration,
        question: impl Future<Output = Result<T, PostgresProblem>> + Send + 'static,
    ) -> Result<T, PostgresProblem> {
        let permits = self.permits.clone();
        let asking = tokio::spawn(async move {
            let _permit = permits.acquire_owned().await;
            tokio::time::timeout(deadline, question).await.unwrap_or_else(|_| Err(unreachable("timeout")))
        });
        let answer = AbortOnDropHandle::new(asking).await;
        answer.unwrap_or_else(|_| Err(unreachable("the question was given up"))).map_err(|it| it.at(login))
    }
}

#[async_trait]
impl Databases for Servers {
    async fn probe(&self, login: &Login) -> PostgresView {
        let asked = login.clone();
        let question = async move {
            let (mut connection, protection) = connect(&asked).await?;
            let database = survey(&mut connection, protection).await?;
            // Whether the server hears that the connection ends changes nothing.
            let _ = connection.close().await;
            Ok(database)
        };
        match self.ask(login, DEADLINE, question).await {
            Ok(database) => PostgresView::Reachable(database),
            Err(problem) => PostgresView::Unusable(problem),
        }
    }

    async fn claim(&self, login: &Login, change: &ClaimChange) -> Result<bool, PostgresProblem> {
        let (asked, change) = (login.clone(), change.clone());
        let question = async move {
            let (mut connection, _) = connect(&asked).await?;
            prepare_session(&mut connection).await.map_err(|error| explain(&error))?;
            let written = match apply_claim(&mut connection, &change).await {
                Err(error) if is_lost_race(&error) => false,
                written => written.map_err(|error| explain(&error))?,
            };
            let _ = connection.close().await;
            Ok(written)
        };
        self.ask(login, DEADLINE, question).await
    }

    async fn release(&self, login: &Login, identity: &Identity, uid: &str) -> Result<bool, PostgresProblem> {
        let (asked, identity, uid) = (login.clone(), identity.clone(), uid.to_owned());
        let question = async move {
            let (mut connection, _) = connect(&asked).await?;
            prepare_session(&mut connection).await.map_err(|error| explain(&error))?;
            let released = apply_release(&mut connection, &identity, &uid).await;
            let _ = connection.close().await;
            released.map_err(|error| explain(&error))
        };
        let released = tokio::time::timeout(RELEASE_DEADLINE, self.ask(login, RELEASE_DEADLINE, question));
        released.await.unwrap_or_else(|_| Err(unreachable("timeout").at(login)))
    }
}

async fn connect(login: &Login) -> Result<(PgConnection, Protection), PostgresProblem> {
    let connecting = async {
        // Looked up first, because a name without address is a mistake of its own.
        let found = tokio::net::lookup_host((login.host.as_str(), login.port)).await;
        if !found.is_ok_and(|mut addresses| addresses.next().is_some()) {
            return Err(unreachable("the host's name does not resolve"));
        }
        postgres_guard::connect(&login.options()).await.map_err(|error| explain_login(&error))
    };
    tokio::time::timeout(CONNECT_TIMEOUT, connecting).await.map_err(|_| unreachable("timeout"))?
}

#[cfg(test)]
mod tests;
