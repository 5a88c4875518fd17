//! A real PostgreSQL (15 or later) in a temporary folder, on a free port of 127.0.0.1, gone with the test process.
//!
//! ```no_run
//! # async fn example() {
//! use sqlx::{Connection, PgConnection};
//!
//! let postgres = test_support::require_postgres!();
//! let database = postgres.fresh_database().await;
//! let mut connection = PgConnection::connect_with(&database.options()).await.unwrap();
//! sqlx::query("CREATE TABLE t (id int)").execute(&mut connection).await.unwrap();
//! # }
//! ```
//!
//! The server's programs come from the folder in `TEST_POSTGRES_BINDIR`, else from `/usr/lib/postgresql/*/bin` (the
//! newest), else from `pg_config --bindir`. As root, it runs as the account `postgres`, else `nobody`: it refuses root.
//! Nothing is synced to disk. Roles log in by password (SCRAM) over TCP, superusers too.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::sync::OnceCell;

use crate::certificates::TestCertificate;
use crate::gate;
use crate::guarded::{Account, GuardedFolder, GuardedProcess, free_port};

mod image;
#[cfg(test)]
mod tests;

/// Set to `1`, a machine without PostgreSQL fails the test instead of skipping it. `CI=true` does the same.
pub const REQUIRE: &str = "REQUIRE_POSTGRES";

const SUPERUSER: &str = "postgres";
const SUPERUSER_PASSWORD: &str = "superuser-of-this-test";
/// A start takes well below a second; initdb before it two or three on a busy machine.
const START_TIMEOUT: Duration = Duration::from_mins(1);

/// How a server is set up. The default has no TLS and PostgreSQL's own settings, without syncing.
#[derive(Clone, Default)]
pub struct PostgresOptions {
    /// Serve TLS with this certificate.
    pub tls: Option<TestCertificate>,
    /// Refuse connections without TLS.
    pub tls_required: bool,
    /// Further settings as in postgresql.conf: `("max_connections", "5")`.
    pub settings: Vec<(&'static str, String)>,
}

/// A running server, or one that [`TestPostgres::stop`] stopped. Dropping it ends it and removes its data.
pub struct TestPostgres {
    // The order is the order of drop: the server ends before its folder is removed.
    server: Option<GuardedProcess>,
    folder: GuardedFolder,
    bindir: PathBuf,
    account: Option<Account>,
    options: PostgresOptions,
    port: u16,
    databases: AtomicU32,
}

/// A database of its own, owned by a role of its own that is no superuser and does not bypass row security.
#[derive(Clone, Debug)]
pub struct TestDatabase {
    /// Always 127.0.0.1; certificates may name `localhost` as well.
    pub host: String,
    /// The server's port.
    pub port: u16,
    /// The database.
    pub name: String,
    /// Its owner. It may create roles, as the owner of a real engine database may.
    pub user: String,
    /// The owner's password.
    pub password: String,
}

/// The server shared by all tests of this binary, or a skip: `let postgres = require_postgres!();`
#[macro_export]
macro_rules! require_postgres {
    () => {
        match $crate::postgres::TestPostgres::shared().await {
            Some(postgres) => postgres,
            None => return,
        }
    };
}

impl TestPostgres {
    /// The server that all tests of this binary share, started by the first; `None`, with a line on stderr, when
    /// this machine has no PostgreSQL. Do not stop this one: [`TestPostgres::start`] your own for that.
    pub async fn shared() -> Option<&'static Self> {
        static SHARED: OnceCell<Option<TestPostgres>> = OnceCell::const_new();
        present(SHARED.get_or_init(|| Self::start_if_there(PostgresOptions::default())).await.as_ref())
    }

    /// A server of one's own; `None` as for [`TestPostgres::shared`].
    pub async fn start(options: PostgresOptions) -> Option<Self> {
        present(Self::start_if_there(options).await)
    }

    /// Another server that all tests of this binary share: that of the image whose files are in the folder
    /// `TEST_POSTGRES_ROOTFS`. `None` as for [`TestPostgres::shared`], when the variable is not set.
    pub async fn shared_of_image() -> Option<&'static Self> {
        static SHARED: OnceCell<Option<TestPostgres>> = OnceCell::const_new();
        let start = async || match image::shared_bindir() {
            Some(bindir) => Some(Self::start_from(bindir, PostgresOptions::default()).await),
            None => None,
        };
        let why =
            "TEST_POSTGRES_ROOTFS does not name the folder that `tests/cluster/cluster agent-rootfs` prints";
        gate::present_or_skipped(SHARED.get_or_init(start).await.as_ref(), REQUIRE, why)
    }

    async fn start_if_there(options: PostgresOptions) -> Option<Self> {
        Some(Self::start_from(find_bindir()?, options).await)
    }

    async fn start_from(bindir: PathBuf, options: PostgresOptions) -> Self {
        let account = unprivileged_account();
        let folder =
            GuardedFolder::create("test-postgres-", account).expect("a temporary folder should be created");
        let mut postgres =
            Self { server: None, folder, bindir, account, options, port: 0, databases: AtomicU32::new(0) };
        postgres.initialize();
        // Between finding a port free and listening on it another process may take it.
        for attempt in 1.. {
            postgres.port = free_port().expect("127.0.0.1 should have a free port");
            match postgres.start_server().await {
                Ok(()) => break,
                Err(why) => assert!(attempt < 3, "PostgreSQL does not start: {why}"),
            }
        }
        postgres
    }

    /// Stops the server and waits until it is gone: connections are cut, new ones refused. The data stays.
    pub fn stop(&mut self) {
        self.server = None;
    }

    /// Starts a stopped server again, on the same port with the same data.
    pub async fn start_again(&mut self) {
        assert!(self.server.is_none(), "the server was not stopped");
        if let Err(why) = self.start_server().await {
            panic!("PostgreSQL does not start again: {why}");
        }
    }

    /// Lets a stopped server start as a standby: it reads, and accepts no writes until `SELECT pg_promote()`.
    pub fn make_standby(&self) {
        assert!(self.server.is_none(), "the server was not stopped");
        self.write_file("data/standby.signal", "");
    }

    /// Copies the data of a stopped server, as a backup does; [`TestPostgres::restore_data`] goes back to it.
    pub fn save_data(&self) {
        self.copy_data("data", "saved");
    }

    /// Takes a stopped server back to where it was at [`TestPostgres::save_data`].
    pub fn restore_data(&self) {
        self.copy_data("saved", "data");
    }

    fn copy_data(&self, from: &str, to: &str) {
        assert!(self.server.is_none(), "the server was not stopped");
        let (from, to) = (self.folder.path().join(from), self.folder.path().join(to));
        if to.exists() {
            std::fs::remove_dir_all(&to).expect("the former data should be removed");
        }
        // With owners and permissions, which the server requires.
        let copied = Command::new("cp").arg("-a").arg(&from).arg(&to).status().expect("cp should start");
        assert!(copied.success(), "{} was not copied", from.display());
    }

    /// An empty database with its own owner.
    pub async fn fresh_database(&self) -> TestDatabase {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        let database = TestDatabase {
            host: "127.0.0.1".to_owned(),
            port: self.port,
            user: format!("{name}_owner"),
            password: format!("{name}_password"),
            name,
        };
        let mut connection =
            PgConnection::connect_with(&self.superuser()).await.expect("the superuser should connect");
        let TestDatabase { name, user, password, .. } = &database;
        for statement in [
            format!("CREATE ROLE {user} LOGIN CREATEROLE PASSWORD '{password}'"),
            format!("CREATE DATABASE {name} OWNER {user}"),
            // As on a well-managed server: permissions are granted to a role, not to PUBLIC.
            format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC"),
        ] {
            // Safe: the names are made above, not by others.
            let done = sqlx::query(AssertSqlSafe(statement.as_str())).execute(&mut connection).await;
            done.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
        let _ = connection.close().await;
        database
    }

    /// Where to connect as superuser; choose the database with `.database(..)`.
    pub fn superuser(&self) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port)
            .username(SUPERUSER)
            .password(SUPERUSER_PASSWORD)
            .database("postgres")
            .ssl_mode(if self.options.tls_required { PgSslMode::Require } else { PgSslMode::Prefer })
    }

    /// The port of 127.0.0.1 that it listens on; the same after [`TestPostgres::start_again`].
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of `psql`, `pgbench` and the others.
    pub fn bindir(&self) -> &Path {
        &self.bindir
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Makes the data folder, its access rules and its certificate.
    fn initialize(&self) {
        let password_file = self.write_file("superuser-password", SUPERUSER_PASSWORD);
        let mut initdb = Command::new(self.bindir.join("initdb"));
        initdb
            .arg("--pgdata")
            .arg(self.data())
            .arg("--pwfile")
            .arg(password_file)
            .args(["--username", SUPERUSER, "--auth", "scram-sha-256", "--encoding", "UTF8"])
            .args(["--locale", "C.UTF-8", "--no-sync", "--no-instructions"])
            .current_dir("/");
        if let Some(account) = self.account {
            use std::os::unix::process::CommandExt as _;
            initdb.uid(account.uid).gid(account.gid);
        }
        let output = initdb.output().expect("initdb should start");
        assert!(output.status.success(), "initdb failed:\n{}", String::from_utf8_lossy(&output.stderr));

        let connection_type = if self.options.tls_required { "hostssl" } else { "host" };
        self.write_file("pg_hba.conf", &format!("{connection_type} all all 127.0.0.1/32 scram-sha-256\n"));
        if let Some(tls) = &self.options.tls {
            self.write_file("server.crt", &tls.certificate_pem);
            self.write_file("server.key", &tls.key_pem);
        }
    }

    async fn start_server(&mut self) -> Result<(), String> {
        let file = |name: &str| self.folder.path().join(name).display().to_string();
        let mut settings = vec![
            ("port", self.port.to_string()),
            ("listen_addresses", "127.0.0.1".to_owned()),
            ("unix_socket_directories", String::new()),
            ("hba_file", file("pg_hba.conf")),
            ("fsync", "off".to_owned()),
            ("full_page_writes", "off".to_owned()),
            ("synchronous_commit", "off".to_owned()),
        ];
        if self.options.tls.is_some() {
            settings.extend([
                ("ssl", "on".to_owned()),
                ("ssl_cert_file", file("server.crt")),
                ("ssl_key_file", file("server.key")),
            ]);
        }
        settings.extend(self.options.settings.iter().cloned());
        let mut args = vec!["-D".to_owned(), self.data().display().to_string()];
        args.extend(settings.iter().flat_map(|(key, value)| ["-c".to_owned(), format!("{key}={value}")]));

        let log = self.folder.path().join("log");
        let program = self.bindir.join("postgres");
        // INT is its "fast" shutdown: it does not wait for clients.
        let mut server = GuardedProcess::start(&program, &args, "INT", self.account, &log)
            .map_err(|error| error.to_string())?;
        let start = Instant::now();
        loop {
            let error = match PgConnection::connect_with(&self.superuser()).await {
                Ok(connection) => {
                    let _ = connection.close().await;
                    self.server = Some(server);
                    return Ok(());
                }
                Err(error) => error,
            };
            let exited = server.exited().map_err(|error| error.to_string())?;
            if exited.is_some() || start.elapsed() > START_TIMEOUT {
                return Err(format!("{error}\n{}", server.log_tail()));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Writes a file that only the server's account may read, as the server requires for keys.
    fn write_file(&self, name: &str, content: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).expect("a file in the temporary folder should be written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))
            .expect("its permissions should be set");
        if let Some(account) = self.account {
            std::os::unix::fs::chown(&path, Some(account.uid), Some(account.gid))
                .expect("its owner should be set");
        }
        path
    }
}

impl TestDatabase {
    /// Where to connect as the owner. TLS is used when the server has it, and not verified: set `ssl_mode` to test that.
    pub fn options(&self) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .host(&self.host)
            .port(self.port)
            .username(&self.user)
            .password(&self.password)
            .database(&self.name)
    }

    /// The same as a URL: `postgres://user:password@127.0.0.1:port/name`.
    pub fn url(&self) -> String {
        let Self { host, port, name, user, password } = self;
        format!("postgres://{user}:{password}@{host}:{port}/{name}")
    }
}

fn present<T>(found: Option<T>) -> Option<T> {
    let why = "PostgreSQL 15 or later is not installed (apt-get install postgresql-15)";
    gate::present_or_skipped(found, REQUIRE, why)
}

fn find_bindir() -> Option<PathBuf> {
    let has_server = |bindir: &PathBuf| bindir.join("initdb").is_file() && bindir.join("postgres").is_file();
    if let Some(bindir) = std::env::var_os("TEST_POSTGRES_BINDIR") {
        return Some(PathBuf::from(bindir)).filter(has_server);
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let version = |name: &str| name.parse().ok().filter(|version: &u32| *version >= 15);
    let newest = versions
        .filter_map(|entry| Some((version(entry.file_name().to_str()?)?, entry.path().join("bin"))))
        .filter(|(_, bindir)| has_server(bindir))
        .max();
    if let Some((_, bindir)) = newest {
        return Some(bindir);
    }
    let output = |option: &str| {
        let output = Command::new("pg_config").arg(option).output().ok()?;
        String::from_utf8(output.stdout).ok()
    };
    // "PostgreSQL 15.13 (Debian 15.13-0+deb12u1)"
    let major = output("--version")?.split_whitespace().nth(1)?.split('.').next().and_then(version);
    major.and_then(|_| Some(PathBuf::from(output("--bindir")?.trim()))).filter(has_server)
}

/// The account to run as: `None` (the account of this process) unless that is root.
fn unprivileged_account() -> Option<Account> {
    use std::os::unix::fs::MetadataExt as _;
    let own = std::fs::metadata("/proc/self").expect("/proc should be mounted").uid();
    if own != 0 {
        return None;
    }
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let account = |name: &str| {
        let mut fields =
            passwd.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?.split(':');
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Account { uid, gid })
    };
    account("postgres").or_else(|| account("nobody")).or(Some(Account { uid: 65534, gid: 65534 }))
}
