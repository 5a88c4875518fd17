//! A serving engine of the real binary, on a database that syncs every commit.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use engine_api::{CLIENT_KEY, CONTROLLER_TOKEN, CURRENT, MONITOR_TOKEN, WORKER_KEY};
use engine_client::model::{DEFAULT_TENANT, DeployProcess, LintMode};
use engine_client::{
    Credential, Engine as _, EngineAccess, EngineAddress, EngineClient, EnginePool, EngineTls, TenantEpoch,
    TenantKey, Timeouts, TokenRole,
};
use sqlx::{Connection as _, Executor as _, PgConnection};
use test_support::builders::ORDER_BPMN;
use test_support::certificates::TestCa;
use test_support::postgres::{PostgresOptions, TestDatabase, TestPostgres};
use tokio::process::{Child, Command};

use crate::local::Processes;

/// Both sides have them.
const SETTINGS: [(&str, &str); 5] = [
    ("fsync", "on"),
    ("full_page_writes", "on"),
    ("synchronous_commit", "on"),
    ("shared_buffers", "512MB"),
    ("max_wal_size", "4GB"),
];

/// Everything ends with it.
pub(crate) struct World {
    pub(crate) postgres: TestPostgres,
    pub(crate) database: TestDatabase,
    pub(crate) engine: Processes,
    pub(crate) version: String,
    address: EngineAddress,
    controller: Credential,
    worker: Credential,
    client: Credential,
    _child: Child,
    _files: tempfile::TempDir,
}

impl World {
    pub(crate) async fn start(binary: &Path) -> anyhow::Result<Self> {
        let settings = SETTINGS.map(|(name, value)| (name, value.to_owned())).to_vec();
        let options = PostgresOptions { settings, ..PostgresOptions::default() };
        let postgres = TestPostgres::start(options).await.context("PostgreSQL is not installed")?;
        let database = postgres.fresh_database().await;
        let files = tempfile::tempdir()?;
        let (authority, controller) = (TestCa::new("bench"), Credential::generate()?);
        let (worker_key, client_key) = (TenantKey::generate()?, TenantKey::generate()?);
        let certificate = authority.server(&["localhost"]);
        for (name, content) in [
            ("tls.crt", certificate.certificate_pem.as_str()),
            ("tls.key", &certificate.key_pem),
            ("user", &database.user),
            ("password", &database.password),
        ] {
            std::fs::write(files.path().join(name), content)?;
        }
        for (name, content) in [
            (CONTROLLER_TOKEN, controller.expose()),
            (MONITOR_TOKEN, Credential::generate()?.expose()),
            (WORKER_KEY, &worker_key.expose()),
            (CLIENT_KEY, &client_key.expose()),
        ] {
            std::fs::create_dir(files.path().join(name))?;
            std::fs::write(files.path().join(name).join(CURRENT), content)?;
        }
        let version = version(binary).await?;
        let migrated =
            command(binary, "migrate", &database, files.path()).args(["--to", &version]).output().await?;
        ensure!(migrated.status.success(), "migrating: {}", String::from_utf8_lossy(&migrated.stderr));
        let port = free_port()?;
        let child = command(binary, "serve", &database, files.path())
            .env("WORKFLOW_NODE_ID", "bench")
            .env("WORKFLOW_GRPC_ADDRESS", format!("127.0.0.1:{port}"))
            .env("WORKFLOW_ADMIN_ADDRESS", "127.0.0.1:0")
            .env("WORKFLOW_TLS_DIR", files.path())
            .env("WORKFLOW_CREDENTIALS_DIR", files.path())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let tls = EngineTls { ca_pem: authority.pem(), server_name: Some("localhost".to_owned()) };
        // Nobody owns the default tenant.
        let tenant = TenantEpoch { tenant_id: DEFAULT_TENANT.to_owned(), epoch: String::new() };
        let world = Self {
            postgres,
            database,
            engine: Processes::one(child.id().context("the engine ended")?),
            version,
            address: EngineAddress { host: "127.0.0.1".to_owned(), port, tls: Some(tls) },
            controller,
            worker: worker_key.mint(TokenRole::Worker, &tenant),
            client: client_key.mint(TokenRole::Client, &tenant),
            _child: child,
            _files: files,
        };
        world.deploy("bench/order", ORDER_BPMN).await?;
        Ok(world)
    }

    pub(crate) fn controller(&self) -> anyhow::Result<EngineClient> {
        self.connect(&self.controller)
    }

    /// Takes jobs and ends them.
    pub(crate) fn worker(&self) -> anyhow::Result<EngineClient> {
        self.connect(&self.worker)
    }

    /// Starts instances.
    pub(crate) fn client(&self) -> anyhow::Result<EngineClient> {
        self.connect(&self.client)
    }

    /// How a worker and a client of the default tenant come in.
    pub(crate) fn accesses(&self) -> [EngineAccess; 2] {
        [self.access(&self.worker), self.access(&self.client)]
    }

    fn access(&self, credential: &Credential) -> EngineAccess {
        EngineAccess { address: self.address.clone(), credential: credential.clone() }
    }

    /// With a connection of its own, as another process has.
    fn connect(&self, credential: &Credential) -> anyhow::Result<EngineClient> {
        Ok(EnginePool::new(Timeouts::default()).client(&self.access(credential))?)
    }

    /// A session of the superuser in the engine's database: row-level security hides nothing from it.
    pub(crate) async fn session(&self) -> anyhow::Result<PgConnection> {
        Ok(PgConnection::connect_with(&self.postgres.superuser().database(&self.database.name)).await?)
    }

    /// What is compared begins after one.
    pub(crate) async fn checkpoint(&self) -> anyhow::Result<()> {
        self.session().await?.execute("CHECKPOINT").await?;
        Ok(())
    }

    /// The server, and one process for each of its connections.
    pub(crate) fn postgres_processes(&self) -> Processes {
        Processes::of_program("postgres", &[&format!("port={}", self.postgres.port())]).with_descendants()
    }

    /// Tried until the engine serves.
    pub(crate) async fn deploy(&self, resource_name: &str, document: &str) -> anyhow::Result<()> {
        let request = DeployProcess {
            request_id: String::new(),
            tenant_id: DEFAULT_TENANT.to_owned(),
            resource_name: resource_name.to_owned(),
            content: document.as_bytes().to_vec(),
            content_sha256: bpmn::digest(document.as_bytes()),
            version_tag: None,
            mode: LintMode::Strict,
            owner: None,
            follows_version: None,
        };
        for _ in 0..100 {
            match self.controller()?.deploy_process(&request).await {
                Ok(_) => return Ok(()),
                Err(error) if error.is_unavailable() => tokio::time::sleep(Duration::from_millis(100)).await,
                Err(error) => return Err(error.into()),
            }
        }
        bail!("the engine does not serve")
    }
}

fn command(binary: &Path, subcommand: &str, database: &TestDatabase, files: &Path) -> Command {
    let mut command = Command::new(binary);
    command
        .arg(subcommand)
        .env("WORKFLOW_DATABASE_HOST", &database.host)
        .env("WORKFLOW_DATABASE_PORT", database.port.to_string())
        .env("WORKFLOW_DATABASE_NAME", &database.name)
        .env("WORKFLOW_DATABASE_USER_FILE", files.join("user"))
        .env("WORKFLOW_DATABASE_PASSWORD_FILE", files.join("password"))
        .env("WORKFLOW_LOG", "warn");
    command
}

/// `workflow-engine 1.2.3`
async fn version(binary: &Path) -> anyhow::Result<String> {
    let output = Command::new(binary).arg("--version").output().await;
    let output = output.with_context(|| format!("starting {}", binary.display()))?;
    let text = String::from_utf8(output.stdout)?;
    text.split_whitespace().last().map(str::to_owned).context("the engine does not tell its version")
}

fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Where the scripts of `pgbench` lie.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sql").join(name)
}
