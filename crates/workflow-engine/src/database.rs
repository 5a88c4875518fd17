//! Access to Postgres: connection settings from files, the pools, and the kinds of transaction that all other modules
//! must use. Only this module hands out connections, so that no query of a tenant runs without row level security.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use postgres_guard::{Guard, Patience};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgListener};
use sqlx::{AssertSqlSafe, Executor};
use tokio_util::sync::CancellationToken;

use crate::args::DatabaseArgs;
use crate::claim::Claim;
use crate::schema::roles::Roles;
use crate::tenant_id::TenantId;
use crate::tenant_scope::TenantScope;
use pools::Pools;
use transaction::Transaction;

mod history;
mod pools;
mod transaction;

pub use history::History;

/// Short, so that a request fails fast when Postgres is unavailable: its caller retries.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A node must get ready also when Postgres is slow.
const WARM_UP: Duration = Duration::from_secs(1);
/// How often the credential files are read.
const CREDENTIALS_INTERVAL: Duration = Duration::from_secs(10);
/// SQLSTATE that `workflow.require_epoch` raises.
const OTHER_EPOCH: &str = "WF001";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("failed to read the database credential file {}", path.display())]
    ReadCredential {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("failed to reach the database")]
    Reach(#[source] sqlx::Error),
    #[error("failed to reach the database within {} s", CONNECT_TIMEOUT.as_secs())]
    ReachTimedOut,
}

/// Reads the credential files: call it again when they may have changed.
pub fn connect_options(args: &DatabaseArgs, application: &str) -> Result<PgConnectOptions, Error> {
    let user = read_credential(&args.user_file)?;
    let password = read_credential(&args.password_file)?;
    let options = PgConnectOptions::new_without_pgpass()
        .host(&args.host)
        .port(args.port)
        .database(&args.name)
        .username(&user)
        .password(&password)
        .ssl_mode(args.ssl_mode.into())
        .application_name(application);
    Ok(match &args.ca_file {
        Some(file) => options.ssl_root_cert(file),
        None => options,
    })
}

fn read_credential(path: &PathBuf) -> Result<String, Error> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| Error::ReadCredential { path: path.clone(), source })?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// One connection outside the pools, for migrations and for checks before the pools are opened.
pub async fn connect(options: &PgConnectOptions) -> Result<PgConnection, Error> {
    match tokio::time::timeout(CONNECT_TIMEOUT, postgres_guard::connect(options)).await {
        Ok(connected) => connected.map(|(connection, _)| connection).map_err(Error::Reach),
        Err(_) => Err(Error::ReachTimedOut),
    }
}

/// Settings of every session of the engine: names must be qualified, statements have timeouts, and the session acts as
/// the app role if there is one.
///
/// Each statement is planned once (`force_generic_plan`). A plan that was made for an empty queue must stay right for a
/// million jobs: so sequential scans are off, and the statements in `storage` leave the planner no choice. Bitmap scans
/// are off, because only index scans mark dead entries, which bitmap scans would read again and again.
pub async fn prepare_session(connection: &mut PgConnection, roles: &Roles) -> Result<(), sqlx::Error> {
    let role = match &roles.app {
        Some(role) => format!("SET ROLE \"{role}\";"),
        None => String::new(),
    };
    connection
        .execute(AssertSqlSafe(format!(
            "{role} SET search_path = pg_catalog, pg_temp; SET statement_timeout = '5s'; SET lock_timeout = '4s'; \
             SET idle_in_transaction_session_timeout = '10s'; SET timezone = 'UTC'; SET jit = off; \
             SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_bitmapscan = off;"
        )))
        .await?;
    Ok(())
}

/// On which terms a serving process works on a database.
#[derive(Debug, Default)]
pub struct Terms {
    /// The roles that it serves as.
    pub roles: Roles,
    /// Whose the database must be; `None` = it is not compared.
    pub claim: Option<Claim>,
}

/// The connections of a serving process to its database.
#[derive(Debug)]
pub struct Database {
    pools: RwLock<Pools>,
    terms: Arc<Terms>,
    /// Proxy of every connection to a server whose certificate is not verified; `None` = it is verified.
    guard: Option<Guard>,
}

impl Database {
    pub fn open(options: &PgConnectOptions, max_connections: u32, terms: Terms) -> Result<Self, sqlx::Error> {
        let terms = Arc::new(terms);
        let guard = Guard::open(options, Patience::UntilGivenUp)?;
        let guarded = guard.as_ref().map_or_else(|| options.clone(), |guard| guard.lead(options));
        Ok(Self { pools: RwLock::new(Pools::build(&guarded, max_connections, &terms)), terms, guard })
    }

    fn current(&self) -> Pools {
        self.pools.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Closes every connection and builds new pools. Used when Postgres gives no answer at all: a connection to a
    /// machine that is gone does not fail for a quarter of an hour, but a new one may reach the new primary at once.
    pub fn renew(&self) {
        self.replace(&self.current());
    }

    /// Builds new pools, unless another task has already replaced the outdated ones.
    fn replace(&self, outdated: &Pools) {
        let mut pools = self.pools.write().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&pools.shared, &outdated.shared) {
            return;
        }
        let (options, limit) =
            (pools.serving.connect_options(), pools.serving.options().get_max_connections());
        let replaced = std::mem::replace(&mut *pools, Pools::build(&options, limit, &self.terms));
        // In the background: closing waits for the connections that are in use.
        tokio::spawn(replaced.close());
    }

    /// Opens up to this many sessions, one after another, for at most [`WARM_UP`]. A request that finds none waits until one is
    /// opened, and many that are opened at once take the processors from everybody. Fewer are no obstacle.
    pub async fn open_sessions(&self, count: u32) {
        let pool = self.current().serving;
        let mut sessions = Vec::new();
        let opened = tokio::time::timeout(WARM_UP, async {
            for _ in 0..count {
                sessions.push(pool.acquire().await?);
            }
            Ok::<(), sqlx::Error>(())
        });
        if !matches!(opened.await, Ok(Ok(()))) {
            tracing::debug!(opened = sessions.len(), "the other sessions are opened by requests");
        }
    }

    /// The history of the current pools; `None` until a connection was made. A transaction may still begin on another
    /// one.
    pub fn history(&self) -> Option<History> {
        self.current().shared.history()
    }

    /// Why the engine rejected the latest connection, although Postgres accepted it.
    pub fn refusal(&self) -> Option<String> {
        self.current().shared.refusal()
    }

    /// A transaction that sees and writes this tenant's rows only.
    pub async fn tenant(&self, tenant: &TenantScope) -> Result<TenantTx, crate::error::Error> {
        self.begin_tenant(tenant, "").await
    }

    /// Like [`Self::tenant`], with a shared lock: neither the tenant nor its processes are deleted meanwhile.
    pub async fn tenant_shared(&self, tenant: &TenantScope) -> Result<TenantTx, crate::error::Error> {
        let lock = match tenant.epoch() {
            None => format!("SELECT pg_advisory_xact_lock_shared({});", lock_key(tenant)),
            // `require_epoch` takes this lock.
            Some(_) => String::new(),
        };
        self.begin_tenant(tenant, &lock).await
    }

    /// Like [`Self::tenant`], with an exclusive lock: for deletions, which must not run beside starts and deployments.
    /// Its timeouts are longer than those of workers' requests.
    pub async fn tenant_exclusive(&self, tenant: &TenantScope) -> Result<TenantTx, crate::error::Error> {
        let lock = format!(
            "SET LOCAL statement_timeout = '60s'; SET LOCAL lock_timeout = '30s'; SELECT pg_advisory_xact_lock({});",
            lock_key(tenant)
        );
        self.begin_tenant(tenant, &lock).await
    }

    async fn begin_tenant(&self, tenant: &TenantScope, lock: &str) -> Result<TenantTx, crate::error::Error> {
        // Safe to format: neither a TenantId nor an epoch can contain a quote.
        let check = match tenant.epoch() {
            Some(epoch) => format!("SELECT workflow.require_epoch('{epoch}', {});", lock_key(tenant)),
            None => String::new(),
        };
        // One round trip.
        let begin = format!("BEGIN; SET LOCAL workflow.tenant_id = '{tenant}'; {lock} {check}");
        match self.begin(&begin).await {
            Ok(Begun { transaction, history }) => {
                Ok(TenantTx { transaction, history, tenant: TenantId::clone(tenant) })
            }
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(OTHER_EPOCH) => {
                Err(crate::error::Error::former_epoch(tenant.as_str()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A transaction that reads the few tables that may be read across tenants, and writes nothing.
    pub async fn monitor(&self) -> Result<MonitorTx, sqlx::Error> {
        let role = match &self.terms.roles.monitor {
            Some(role) => format!("SET LOCAL ROLE \"{role}\";"),
            None => String::new(),
        };
        // Longer than elsewhere: counting a backlog of millions takes seconds, and this transaction holds no locks.
        let begin = format!(
            "BEGIN READ ONLY; {role} SET LOCAL workflow.scope = 'monitor'; SET LOCAL statement_timeout = '30s';"
        );
        let Begun { transaction, history } = self.begin(&begin).await?;
        Ok(MonitorTx { transaction, history })
    }

    /// A transaction for the tables that hold no tenant's data.
    pub async fn cluster(&self) -> Result<ClusterTx, sqlx::Error> {
        Ok(ClusterTx { transaction: self.begin("BEGIN").await?.transaction })
    }

    async fn begin(&self, statements: &str) -> Result<Begun, sqlx::Error> {
        let mut attempts = 0;
        loop {
            let pools = self.current();
            let begun = tokio::select! {
                begun = Transaction::begin(&pools.serving, statements) => begun,
                // The pool itself would retry to connect until its acquire timeout.
                () = pools.shared.outdated.cancelled() => Err(sqlx::Error::PoolClosed),
            };
            if pools.shared.outdated.is_cancelled() {
                tracing::warn!("the database is not the one that it was; what was known of it is dropped");
                self.replace(&pools);
            }
            match (begun, pools.shared.history()) {
                (Ok(transaction), Some(history)) => return Ok(Begun { transaction, history }),
                // After a restart of Postgres every pooled connection fails once, and then the pools may be replaced.
                // BEGIN has no effect, so it is safe to retry it that often.
                (Err(error), _)
                    if attempts <= pools.serving.options().get_max_connections()
                        && (is_dead_connection(&error) || matches!(error, sqlx::Error::PoolClosed)) =>
                {
                    attempts += 1;
                }
                (Err(error), _) => return Err(error),
                // Cannot happen: a connection is accepted only with a history.
                (Ok(_), None) => return Err(sqlx::Error::BeginFailed),
            }
        }
    }

    /// A connection for LISTEN, separate from those of transactions. It ends when [`Self::renew`] closes all
    /// connections.
    pub async fn listener(&self) -> Result<PgListener, sqlx::Error> {
        PgListener::connect_with(&self.current().listening).await
    }

    /// One statement without a transaction, so that a call that is dropped leaves no open transaction.
    pub async fn notify(&self, channel: &str, payloads: &[String]) -> Result<(), sqlx::Error> {
        sqlx::query("SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload")
            .bind(channel)
            .bind(payloads)
            .execute(&self.current().serving)
            .await?;
        Ok(())
    }

    /// Numbers of open connections for transactions, and of those that are in use.
    pub fn usage(&self) -> (u32, u32) {
        let pool = self.current().serving;
        let open = pool.size();
        (open, open.saturating_sub(u32::try_from(pool.num_idle()).unwrap_or(u32::MAX)))
    }

    /// Watches the credential files until `stop`. New connections use the changed credentials.
    pub async fn follow_credentials(&self, args: &DatabaseArgs, application: &str, stop: &CancellationToken) {
        let read =
            || Ok::<_, Error>((read_credential(&args.user_file)?, read_credential(&args.password_file)?));
        let mut current = read().ok();
        while stop.run_until_cancelled(tokio::time::sleep(CREDENTIALS_INTERVAL)).await.is_some() {
            match read() {
                Ok(fresh) if current.as_ref() != Some(&fresh) => match connect_options(args, application) {
                    Ok(options) => {
                        let guarded = self.guard.as_ref().map(|guard| guard.lead(&options));
                        self.current().set_connect_options(&guarded.unwrap_or(options));
                        current = Some(fresh);
                        tracing::info!("database credentials changed");
                    }
                    Err(error) => tracing::warn!(error = %error, "database credentials are unreadable"),
                },
                Ok(_) => {}
                Err(error) => tracing::warn!(error = %error, "database credentials are unreadable"),
            }
        }
    }
}

#[derive(Debug)]
struct Begun {
    transaction: Transaction,
    history: History,
}

/// A transaction that sees and writes the rows of one tenant only.
#[derive(Debug)]
pub struct TenantTx {
    transaction: Transaction,
    history: History,
    tenant: TenantId,
}

impl TenantTx {
    pub fn connection(&mut self) -> &mut PgConnection {
        self.transaction.connection()
    }

    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Data that was read in this transaction may be cached for this history only.
    pub fn history(&self) -> &History {
        &self.history
    }

    pub async fn commit(self) -> Result<(), sqlx::Error> {
        self.transaction.commit().await
    }
}

/// A read-only transaction across tenants: lag, usage and the list of tenants.
#[derive(Debug)]
pub struct MonitorTx {
    transaction: Transaction,
    history: History,
}

impl MonitorTx {
    /// As [`TenantTx::history`].
    pub fn history(&self) -> &History {
        &self.history
    }

    pub fn connection(&mut self) -> &mut PgConnection {
        self.transaction.connection()
    }

    pub async fn commit(self) -> Result<(), sqlx::Error> {
        self.transaction.commit().await
    }
}

/// A transaction for the tables that hold no tenant's data.
#[derive(Debug)]
pub struct ClusterTx {
    transaction: Transaction,
}

impl ClusterTx {
    pub fn connection(&mut self) -> &mut PgConnection {
        self.transaction.connection()
    }

    pub async fn commit(self) -> Result<(), sqlx::Error> {
        self.transaction.commit().await
    }
}

/// Limits background work on the database; after `limit` it fails like an acquire timeout of the pool.
pub async fn in_time<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, crate::error::Error>>,
) -> Result<T, crate::error::Error> {
    tokio::time::timeout(limit, work).await.unwrap_or(Err(sqlx::Error::PoolTimedOut.into()))
}

/// Why the database cannot be used. Not the server's own message, which may contain names and addresses of others.
pub fn describe(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Io(error) => format!("the database cannot be reached: {}", error.kind()),
        sqlx::Error::Tls(_) => {
            "the database cannot be reached over TLS: check its certificate, the ssl mode and the CA"
                .to_owned()
        }
        sqlx::Error::PoolTimedOut => "no database connection became free in time".to_owned(),
        error if postgres_guard::is_clear_text_refused(error) => {
            "the database asks for the password in clear text and was not verified, so it got none: set the ssl mode to verify-full, or have the database use scram-sha-256"
                .to_owned()
        }
        sqlx::Error::Database(error) => match error.code().as_deref().unwrap_or_default() {
            code if code.starts_with("28") => "the database refuses the user or its password".to_owned(),
            "3D000" => "the database does not exist on the server".to_owned(),
            "53300" => "the database has no connection slot left".to_owned(),
            "57P03" => "the database is starting up or shutting down".to_owned(),
            "42501" => "the database user lacks a privilege on the engine's schema".to_owned(),
            code => format!("the database refuses the engine's statement with code {code}"),
        },
        _ => "the database connection failed".to_owned(),
    }
}

fn lock_key(tenant: &TenantId) -> i64 {
    crate::digest::lock_key("workflow-tenant", tenant.as_str())
}

fn is_dead_connection(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => true,
        // Postgres ended the session: 57P01 shutdown, 57P02 crash of another session, 25P03 idle in a transaction.
        sqlx::Error::Database(error) => matches!(error.code().as_deref(), Some("57P01" | "57P02" | "25P03")),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
