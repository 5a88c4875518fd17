//! Settings from the command line and the environment, all read before anything starts.
//!
//! The database flags are those of `workflow-engine`, by name and variable. They are a copy: the agent would otherwise link
//! the whole engine, and could not back up a database of another engine version than its own.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use sqlx::postgres::PgSslMode;

/// Backs up, verifies, restores and drills the database of one engine.
#[derive(Debug, Parser)]
#[command(name = "backup-agent", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// Log filter in `tracing` syntax.
    #[arg(long, env = "WORKFLOW_LOG", default_value = "info", global = true)]
    pub log: String,

    /// Where the result goes, as one JSON document; the pod's termination message in a cluster. Standard error when absent.
    #[arg(long, env = "WORKFLOW_BACKUP_RESULT_FILE", global = true)]
    pub result_file: Option<PathBuf>,

    /// The folder with `pg_dump`, `pg_restore`, `initdb` and `postgres`; found by itself when absent.
    #[arg(long, env = "WORKFLOW_POSTGRES_BINDIR", global = true)]
    pub postgres_bindir: Option<PathBuf>,
}

/// What the agent can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a backup of the database.
    Backup(BackupArgs),
    /// Read a backup as a restore would, without a database.
    Verify(VerifyArgs),
    /// Load a backup into an empty database.
    Restore(RestoreArgs),
    /// Complete a database that was recovered from a base backup.
    Adopt(AdoptArgs),
    /// Look whether a base backup is complete.
    Inspect(InspectArgs),
    /// Delete a backup.
    Delete(DeleteArgs),
    /// Load a backup into a PostgreSQL server that exists only for that.
    Drill(DrillArgs),
}

/// How to reach Postgres. Credentials come from files only, so that they never show in a process list.
#[derive(Debug, Clone, Args)]
pub struct DatabaseArgs {
    /// Name or address of the server.
    #[arg(long = "database-host", env = "WORKFLOW_DATABASE_HOST")]
    pub host: String,
    /// Its port.
    #[arg(long = "database-port", env = "WORKFLOW_DATABASE_PORT", default_value_t = 5432)]
    pub port: u16,
    /// The database.
    #[arg(long = "database-name", env = "WORKFLOW_DATABASE_NAME", default_value = "workflow")]
    pub name: String,
    /// Whether TLS is used and what is verified.
    #[arg(long = "database-ssl-mode", env = "WORKFLOW_DATABASE_SSL_MODE", default_value = "prefer")]
    pub ssl_mode: SslMode,
    /// PEM of the authorities to trust; the system's when absent.
    #[arg(long = "database-ca-file", env = "WORKFLOW_DATABASE_CA_FILE")]
    pub ca_file: Option<PathBuf>,
    /// The user, who owns the engine's schema.
    #[arg(long = "database-user-file", env = "WORKFLOW_DATABASE_USER_FILE")]
    pub user_file: PathBuf,
    /// The user's password.
    #[arg(long = "database-password-file", env = "WORKFLOW_DATABASE_PASSWORD_FILE")]
    pub password_file: PathBuf,
}

/// The words of libpq.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SslMode {
    /// No TLS.
    Disable,
    /// TLS if the server has it.
    Prefer,
    /// TLS, with any certificate.
    Require,
    /// TLS, with a certificate of a trusted authority.
    VerifyCa,
    /// TLS, with a certificate of a trusted authority for this host.
    VerifyFull,
}

impl SslMode {
    /// As libpq writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
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

/// Where backups are kept.
#[derive(Debug, Clone, Args)]
pub struct StorageArgs {
    /// Which backup: 1 to 63 of a-z, 0-9 and '-'.
    #[arg(long, env = "WORKFLOW_BACKUP_ID")]
    pub backup_id: String,
    /// `s3://bucket/prefix` or `file:///absolute/folder`.
    #[arg(long, env = "WORKFLOW_BACKUP_DESTINATION")]
    pub destination: String,
    /// URL of the S3 service; that of AWS in the region when absent.
    #[arg(long, env = "WORKFLOW_BACKUP_S3_ENDPOINT")]
    pub s3_endpoint: Option<String>,
    /// Region of the bucket.
    #[arg(long, env = "WORKFLOW_BACKUP_S3_REGION", default_value = "us-east-1")]
    pub s3_region: String,
    /// The bucket is named in the path and not in the host.
    #[arg(long, env = "WORKFLOW_BACKUP_S3_FORCE_PATH_STYLE")]
    pub s3_force_path_style: bool,
    /// Allow an endpoint without TLS.
    #[arg(long, env = "WORKFLOW_BACKUP_S3_ALLOW_HTTP")]
    pub s3_allow_http: bool,
    /// PEM of the authorities to trust beside the system's.
    #[arg(long, env = "WORKFLOW_BACKUP_S3_CA_FILE")]
    pub s3_ca_file: Option<PathBuf>,
    /// The access key's id. Without it the pod's own identity is used.
    #[arg(long, env = "WORKFLOW_BACKUP_S3_ACCESS_KEY_ID_FILE", requires = "s3_secret_access_key_file")]
    pub s3_access_key_id_file: Option<PathBuf>,
    /// The access key's secret.
    #[arg(long, env = "WORKFLOW_BACKUP_S3_SECRET_ACCESS_KEY_FILE", requires = "s3_access_key_id_file")]
    pub s3_secret_access_key_file: Option<PathBuf>,
    /// The token of temporary credentials. The file may be absent: the key of a Secret is optional.
    #[arg(long, env = "WORKFLOW_BACKUP_S3_SESSION_TOKEN_FILE", requires = "s3_access_key_id_file")]
    pub s3_session_token_file: Option<PathBuf>,
}

/// Settings of `backup`.
#[derive(Debug, Clone, Args)]
pub struct BackupArgs {
    #[command(flatten)]
    pub database: DatabaseArgs,
    #[command(flatten)]
    pub storage: StorageArgs,
    /// The engine's version.
    #[arg(long, env = "WORKFLOW_BACKUP_ENGINE_VERSION")]
    pub engine_version: String,
    /// Identity of the `WorkflowCluster`: `<installation>/<namespace>/<name>`, at most 300 characters.
    #[arg(long, env = "WORKFLOW_BACKUP_OWNER")]
    pub owner: String,
    /// File with an age X25519 recipient (`age1…`). Without it the backup is not encrypted.
    #[arg(long, env = "WORKFLOW_BACKUP_RECIPIENT_FILE")]
    pub recipient_file: Option<PathBuf>,
    /// How long the snapshot may be held: it keeps the database from removing dead rows.
    #[arg(
        long,
        env = "WORKFLOW_BACKUP_MAX_SECONDS",
        default_value_t = 3600,
        value_parser = clap::value_parser!(u64).range(1..=604_800)
    )]
    pub max_seconds: u64,
}

/// Settings of `verify`.
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    pub storage: StorageArgs,
    /// File with an age secret key (`AGE-SECRET-KEY-1…`).
    #[arg(long, env = "WORKFLOW_BACKUP_IDENTITY_FILE")]
    pub identity_file: Option<PathBuf>,
}

/// Who goes on with a database that is restored.
#[derive(Debug, Clone, Args)]
pub struct TargetArgs {
    /// The engine version that will be started on the database.
    #[arg(long = "target-engine-version", env = "WORKFLOW_RESTORE_TARGET_ENGINE_VERSION")]
    pub engine_version: String,
    /// The newest migration step that this engine version knows.
    #[arg(long, env = "WORKFLOW_RESTORE_MAX_SCHEMA_VERSION")]
    pub max_schema_version: i64,
    /// Identity of the `WorkflowCluster` that gets the database, at most 300 characters.
    #[arg(long, env = "WORKFLOW_RESTORE_NEW_OWNER")]
    pub new_owner: String,
}

/// Settings of `restore`.
#[derive(Debug, Clone, Args)]
pub struct RestoreArgs {
    #[command(flatten)]
    pub database: DatabaseArgs,
    #[command(flatten)]
    pub storage: StorageArgs,
    /// File with an age secret key (`AGE-SECRET-KEY-1…`).
    #[arg(long, env = "WORKFLOW_BACKUP_IDENTITY_FILE")]
    pub identity_file: Option<PathBuf>,
    #[command(flatten)]
    pub target: TargetArgs,
    /// The digest in the status of the backup, if it is known: a manifest with another is refused.
    #[arg(long, env = "WORKFLOW_RESTORE_EXPECTED_DIGEST")]
    pub expected_digest: Option<String>,
}

/// Settings of `adopt`.
#[derive(Debug, Clone, Args)]
pub struct AdoptArgs {
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// The base backup that the database was recovered from: `<server>-<yyyymmdd>t<hhmmss>`.
    #[arg(long, env = "WORKFLOW_BACKUP_ID")]
    pub backup_id: String,
    #[command(flatten)]
    pub target: TargetArgs,
}

/// Settings of `inspect`. The backup is a base backup: `<server>-<yyyymmdd>t<hhmmss>`.
#[derive(Debug, Clone, Args)]
pub struct InspectArgs {
    #[command(flatten)]
    pub storage: StorageArgs,
    /// The engine's version.
    #[arg(long, env = "WORKFLOW_BACKUP_ENGINE_VERSION")]
    pub engine_version: String,
}

/// Settings of `delete`.
#[derive(Debug, Clone, Args)]
pub struct DeleteArgs {
    #[command(flatten)]
    pub storage: StorageArgs,
    /// The server of a base backup archives no more: with its last base backup its WAL goes as well.
    #[arg(long, env = "WORKFLOW_BACKUP_SERVER_IS_GONE")]
    pub server_is_gone: bool,
}

/// Settings of `drill`.
#[derive(Debug, Clone, Args)]
pub struct DrillArgs {
    #[command(flatten)]
    pub storage: StorageArgs,
    /// File with an age secret key (`AGE-SECRET-KEY-1…`).
    #[arg(long, env = "WORKFLOW_BACKUP_IDENTITY_FILE")]
    pub identity_file: Option<PathBuf>,
    /// How long the drill may take.
    #[arg(
        long,
        env = "WORKFLOW_DRILL_MAX_SECONDS",
        default_value_t = 3600,
        value_parser = clap::value_parser!(u64).range(1..=604_800)
    )]
    pub max_seconds: u64,
}

#[cfg(test)]
mod tests;
