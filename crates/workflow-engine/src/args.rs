//! Settings from the command line and the environment, all read before anything starts.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use semver::Version;
use sqlx::postgres::PgSslMode;

use crate::claim::Claim;

/// The BPMN engine that a WorkflowCluster runs, on Postgres.
#[derive(Debug, Parser)]
#[command(name = "workflow-engine", version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,

    /// Log filter in `tracing` syntax.
    #[arg(long, env = "WORKFLOW_LOG", default_value = "info", global = true)]
    pub log: String,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the gRPC API, the JSON gateway, probes and metrics.
    Serve(ServeArgs),
    /// Bring the database's schema to this version.
    Migrate(MigrateArgs),
    /// Judge BPMN files as a deployment would. Exit code 0: all would be deployed; 1: at least one would be refused; 2: a file could
    /// not be read, or there is none.
    Lint(LintArgs),
}

/// How to reach Postgres. Credentials come from files only, so that they never show in a process list.
#[derive(Debug, Clone, Args)]
pub struct DatabaseArgs {
    #[arg(long = "database-host", env = "WORKFLOW_DATABASE_HOST")]
    pub host: String,
    #[arg(long = "database-port", env = "WORKFLOW_DATABASE_PORT", default_value_t = 5432)]
    pub port: u16,
    #[arg(long = "database-name", env = "WORKFLOW_DATABASE_NAME", default_value = "workflow")]
    pub name: String,
    #[arg(long = "database-ssl-mode", env = "WORKFLOW_DATABASE_SSL_MODE", default_value = "prefer")]
    pub ssl_mode: SslMode,
    /// PEM of the authorities to trust; the system's when absent.
    #[arg(long = "database-ca-file", env = "WORKFLOW_DATABASE_CA_FILE")]
    pub ca_file: Option<PathBuf>,
    #[arg(long = "database-user-file", env = "WORKFLOW_DATABASE_USER_FILE")]
    pub user_file: PathBuf,
    #[arg(long = "database-password-file", env = "WORKFLOW_DATABASE_PASSWORD_FILE")]
    pub password_file: PathBuf,
    /// Whose the database must be, `<Kubernetes cluster>/<namespace>/<name>#<epoch>`: another claim in it is a reason not to
    /// work on it. Nothing is compared when absent.
    #[arg(long = "database-claim", env = "WORKFLOW_DATABASE_CLAIM")]
    pub claim: Option<Claim>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum SslMode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl From<SslMode> for PgSslMode {
    fn from(mode: SslMode) -> Self {
        match mode {
            SslMode::Disable => Self::Disable,
            SslMode::Prefer => Self::Prefer,
            SslMode::Require => Self::Require,
            SslMode::VerifyCa => Self::VerifyCa,
            SslMode::VerifyFull => Self::VerifyFull,
        }
    }
}

#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// Connections per process, beside the one that listens for wake-ups.
    #[arg(
        long,
        env = "WORKFLOW_DATABASE_MAX_CONNECTIONS",
        default_value_t = 16,
        value_parser = clap::value_parser!(u32).range(2..=1000)
    )]
    pub database_max_connections: u32,
    /// Name of this node; the pod's name in a cluster.
    #[arg(long, env = "WORKFLOW_NODE_ID")]
    pub node_id: Option<String>,
    /// gRPC and the JSON gateway, TLS only.
    #[arg(long, env = "WORKFLOW_GRPC_ADDRESS", default_value = "[::]:26500")]
    pub grpc_address: SocketAddr,
    /// Probes and metrics, plain.
    #[arg(long, env = "WORKFLOW_ADMIN_ADDRESS", default_value = "[::]:8080")]
    pub admin_address: SocketAddr,
    /// Directory with `tls.crt` and `tls.key`.
    #[arg(long, env = "WORKFLOW_TLS_DIR")]
    pub tls_dir: PathBuf,
    /// Directory with `controller-token`, `monitor-token`, `worker-key` and `client-key`: a directory each, with the file `current`, and
    /// while it is being replaced `next` or `previous`.
    #[arg(long, env = "WORKFLOW_CREDENTIALS_DIR")]
    pub credentials_dir: PathBuf,
    /// Seconds for which the node accepts connections after SIGTERM, 0 to 15: endpoints are updated with a delay.
    #[arg(
        long,
        env = "WORKFLOW_DRAIN_SECONDS",
        default_value_t = 5,
        value_parser = clap::value_parser!(u64).range(0..=15)
    )]
    pub drain_seconds: u64,
    /// How long a finished instance can still be read.
    #[arg(
        long,
        env = "WORKFLOW_INSTANCE_RETENTION_HOURS",
        default_value_t = 24,
        value_parser = clap::value_parser!(u32).range(1..=8760)
    )]
    pub instance_retention_hours: u32,
}

impl ServeArgs {
    pub fn instance_retention(&self) -> Duration {
        Duration::from_secs(u64::from(self.instance_retention_hours) * 3600)
    }
}

#[derive(Debug, Clone, Args)]
pub struct MigrateArgs {
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// The version to migrate to: this binary's own.
    #[arg(long, env = "WORKFLOW_MIGRATE_TO")]
    pub to: Version,
    /// `expand` keeps the former version working; `all` also takes the steps it cannot survive.
    #[arg(long, env = "WORKFLOW_MIGRATE_UP_TO", default_value = "all")]
    pub up_to: UpTo,
    /// Allow one MAJOR step up.
    #[arg(long, env = "WORKFLOW_MIGRATE_APPROVE_BREAKING")]
    pub approve_breaking: bool,
    /// Seconds to wait for another migration to end.
    #[arg(long, env = "WORKFLOW_MIGRATE_LOCK_TIMEOUT", default_value_t = 300)]
    pub lock_timeout: u64,
    /// Name of this process in the lock's record; the pod's name in a cluster.
    #[arg(long, env = "WORKFLOW_NODE_ID")]
    pub node_id: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum UpTo {
    Expand,
    All,
}

#[derive(Debug, Clone, Args)]
pub struct LintArgs {
    /// BPMN files, and directories that are searched for `*.bpmn` and `*.bpmn20.xml`.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// `lenient` leaves style out.
    #[arg(long, env = "WORKFLOW_LINT_MODE", default_value = "strict")]
    pub mode: LintMode,
    /// `text` is a line per finding, `json` one document for programs, `sarif` is for code scanning.
    #[arg(long, env = "WORKFLOW_LINT_FORMAT", default_value = "text")]
    pub format: LintFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum LintFormat {
    Text,
    Json,
    Sarif,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum LintMode {
    Strict,
    Lenient,
}

impl From<LintMode> for bpmn::Mode {
    fn from(mode: LintMode) -> Self {
        match mode {
            LintMode::Strict => Self::Strict,
            LintMode::Lenient => Self::Lenient,
        }
    }
}

/// The given name, else the host's.
pub fn node_id(given: Option<&str>) -> String {
    given.map(str::to_owned).or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_else(|| "local".to_owned())
}

#[cfg(test)]
mod tests;
