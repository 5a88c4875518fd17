//! Test setup: a database, its schema, and serving processes of the real binary.

mod caller;
mod engine;
mod requests;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use engine_api::{Credential, TenantKey};
use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;
use tempfile::TempDir;
use test_support::certificates::TestCa;

pub(crate) use self::caller::Caller;
pub(crate) use self::engine::{Engine, minted};
pub(crate) use self::requests::{
    activation, completion, deployed, deployment, owner, tenant, wire_variables,
};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_workflow-engine");
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The uid of the owner of tenants that [`Caller::put_tenant`] puts.
pub(crate) const FIRST_EPOCH: &str = "uid-1";

/// A test's own database, and everything that engines on it share.
pub(crate) struct World {
    pub(crate) options: PgConnectOptions,
    pub(crate) database: Database,
    files: TempDir,
    ca: TestCa,
    worker_key: TenantKey,
    client_key: TenantKey,
    controller: String,
    monitor: String,
    /// Whose the database must be, as engines and migrations are given it.
    pub(crate) claim: Option<&'static str>,
}

pub(crate) struct Database {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) name: String,
    pub(crate) user: String,
    pub(crate) password: String,
}

impl World {
    /// With this version's schema.
    pub(crate) fn new(database: Database) -> Self {
        let world = Self::unmigrated(database);
        let migrated = world.migrate(&["--up-to", "all"]);
        assert!(migrated.status.success(), "{}", stderr(&migrated));
        world
    }

    pub(crate) fn unmigrated(database: Database) -> Self {
        // Fails if another test of this process has already installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let ca = TestCa::new("engine-test");
        let certificate = ca.server(&["127.0.0.1", "localhost"]);
        let credential = || Credential::generate().expect("should be random").expose().to_owned();
        let world = Self {
            options: PgConnectOptions::new_without_pgpass()
                .host(&database.host)
                .port(database.port)
                .database(&database.name)
                .username(&database.user)
                .password(&database.password),
            database,
            files: tempfile::tempdir().expect("should make a directory"),
            ca,
            worker_key: TenantKey::generate().expect("should be random"),
            client_key: TenantKey::generate().expect("should be random"),
            controller: credential(),
            monitor: credential(),
            claim: None,
        };
        world.write("tls.crt", &certificate.certificate_pem);
        world.write("tls.key", &certificate.key_pem);
        for directory in ["controller-token", "monitor-token", "worker-key", "client-key"] {
            std::fs::create_dir(world.path(directory)).expect("should make a directory");
        }
        world.write("controller-token/current", &world.controller);
        world.write("monitor-token/current", &world.monitor);
        world.write("worker-key/current", &world.worker_key.expose());
        world.write("client-key/current", &world.client_key.expose());
        world.write("user", &world.database.user);
        world.write("password", &world.database.password);
        world
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).expect("should write a file");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    pub(crate) fn directory(&self) -> &Path {
        self.files.path()
    }

    /// A command of the binary with the settings of this world.
    pub(crate) fn command(&self, subcommand: &str) -> Command {
        let mut command = Command::new(BINARY);
        command
            .arg(subcommand)
            .env("WORKFLOW_DATABASE_HOST", &self.database.host)
            .env("WORKFLOW_DATABASE_PORT", self.database.port.to_string())
            .env("WORKFLOW_DATABASE_NAME", &self.database.name)
            .env("WORKFLOW_DATABASE_USER_FILE", self.path("user"))
            .env("WORKFLOW_DATABASE_PASSWORD_FILE", self.path("password"))
            .env("RUST_BACKTRACE", "0");
        if let Some(claim) = self.claim {
            command.env("WORKFLOW_DATABASE_CLAIM", claim);
        }
        command
    }

    pub(crate) fn migrate(&self, arguments: &[&str]) -> Output {
        self.command("migrate").args(["--to", VERSION]).args(arguments).output().expect("should run")
    }

    /// Starts a serving process and waits until it is ready.
    pub(crate) async fn serve(&self, node: &str) -> Engine {
        let engine = self.serve_unready(node).await;
        engine.await_ready().await;
        engine
    }

    /// Starts a serving process and waits until it listens.
    pub(crate) async fn serve_unready(&self, node: &str) -> Engine {
        let (api, admin) = (free_port(), free_port());
        let log = std::fs::File::create(self.path(&format!("{node}.log"))).expect("should make a log");
        let child = self
            .command("serve")
            .env("WORKFLOW_NODE_ID", node)
            .env("WORKFLOW_GRPC_ADDRESS", format!("127.0.0.1:{api}"))
            .env("WORKFLOW_ADMIN_ADDRESS", format!("127.0.0.1:{admin}"))
            .env("WORKFLOW_TLS_DIR", self.directory())
            .env("WORKFLOW_CREDENTIALS_DIR", self.directory())
            .env("WORKFLOW_DATABASE_MAX_CONNECTIONS", "6")
            .stdout(Stdio::from(log))
            .spawn()
            .expect("should start");
        let engine = Engine {
            child: Some(child),
            log: self.path(&format!("{node}.log")),
            api,
            admin,
            ca_pem: self.ca.pem(),
            controller: self.controller.clone(),
            monitor: self.monitor.clone(),
            worker_key: self.worker_key.clone(),
            client_key: self.client_key.clone(),
        };
        engine.await_listening().await;
        engine
    }

    /// A database session as the user of the Secret.
    pub(crate) async fn session(&self) -> PgConnection {
        use sqlx::ConnectOptions;
        self.options.connect().await.expect("should connect")
    }

    /// A database session as the role that serves.
    pub(crate) async fn app_session(&self) -> PgConnection {
        let mut session = self.session().await;
        let role: String = sqlx::query_scalar(
            "SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'wf_app_%' AND pg_has_role(session_user, oid, 'MEMBER')
             AND has_schema_privilege(oid, 'workflow', 'USAGE')",
        )
        .fetch_one(&mut session)
        .await
        .expect("should have an app role");
        sqlx::query(sqlx::AssertSqlSafe(format!("SET ROLE \"{role}\"")))
            .execute(&mut session)
            .await
            .expect("should switch roles");
        session
    }
}

/// The error output of a process, for messages of assertions.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("should bind");
    listener.local_addr().expect("should have an address").port()
}

/// A new database on the server that the tests share. Ends the test if there is no PostgreSQL.
macro_rules! database {
    () => {{
        let database = test_support::require_postgres!().fresh_database().await;
        $crate::support::Database {
            host: database.host,
            port: database.port,
            name: database.name,
            user: database.user,
            password: database.password,
        }
    }};
}
pub(crate) use database;
