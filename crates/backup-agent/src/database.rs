//! Access to a database: for this process through sqlx, for pg_dump through its environment.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use backup_format::{Failure, Reason};
use postgres_guard::{Guard, Patience};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
use tempfile::TempDir;

use crate::args::DatabaseArgs;

/// A new primary may take a while; a Job is tried again after that.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Where Debian has the authorities of the system. libpq before 16 has no word for "the system's".
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Settings of every session: names must be qualified, the text of a value is the same on every server, all tenants' rows
/// are visible through the policies `monitor_read`, nothing but the agent itself limits the time, and the server notices
/// within two minutes that the agent's machine is gone.
const SESSION: &str = "SET search_path = pg_catalog, pg_temp; SET client_min_messages = warning; \
    SET DateStyle = 'ISO, YMD'; SET TimeZone = 'UTC'; SET IntervalStyle = 'postgres'; SET extra_float_digits = 1; \
    SET bytea_output = 'hex'; SET row_security = on; SET workflow.scope = 'monitor'; SET statement_timeout = 0; \
    SET idle_in_transaction_session_timeout = 0; SET lock_timeout = '10s'; SET jit = off; \
    SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 15; SET tcp_keepalives_count = 6; \
    SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'transaction_timeout'";

/// Settings with which pg_dump's session begins. It sets the timeouts itself.
const CLIENT_OPTIONS: &str = "-c workflow.scope=monitor -c tcp_keepalives_idle=30 -c tcp_keepalives_interval=15 \
    -c tcp_keepalives_count=6 -c jit=off";

/// How to log in to one database. Has no `Debug`: it holds the password.
pub struct Login {
    options: PgConnectOptions,
    name: String,
    user: String,
    password: String,
    way: Way,
}

/// How the server is reached.
enum Way {
    Network {
        host: String,
        port: u16,
        ssl_mode: &'static str,
        ca_file: Option<PathBuf>,
    },
    /// A server of the agent's own, on a Unix socket in this folder.
    Socket(PathBuf),
}

impl Login {
    /// Reads the credential files.
    pub fn read(args: &DatabaseArgs) -> Result<Self, Failure> {
        let user = read_credential(&args.user_file)?;
        let password = read_credential(&args.password_file)?;
        let mut options = PgConnectOptions::new_without_pgpass()
            .host(&args.host)
            .port(args.port)
            .database(&args.name)
            .username(&user)
            .password(&password)
            .ssl_mode(args.ssl_mode.into());
        if let Some(file) = &args.ca_file {
            options = options.ssl_root_cert(file);
        }
        let way = Way::Network {
            host: args.host.clone(),
            port: args.port,
            ssl_mode: args.ssl_mode.as_str(),
            ca_file: args.ca_file.clone(),
        };
        Ok(Self { options, name: args.name.clone(), user, password, way })
    }

    /// The superuser of a server of the agent's own, whose socket nobody else can reach.
    pub fn local(socket_folder: &Path, user: &str, name: &str) -> Self {
        let options = PgConnectOptions::new_without_pgpass()
            .socket(socket_folder)
            .username(user)
            .database(name)
            .ssl_mode(PgSslMode::Disable);
        let way = Way::Socket(socket_folder.to_owned());
        Self { options, name: name.to_owned(), user: user.to_owned(), password: String::new(), way }
    }

    /// A session with the settings that the digests need. `purpose` is the last word of its application name.
    pub async fn connect(&self, purpose: &str) -> Result<PgConnection, Failure> {
        // Reading every row takes its time, which is nothing to warn of.
        let options = self
            .options
            .clone()
            .application_name(&format!("backup-agent {purpose}"))
            .disable_statement_logging();
        let connecting = async {
            let mut connection = match &self.way {
                Way::Network { .. } => postgres_guard::connect(&options).await?.0,
                Way::Socket(_) => PgConnection::connect_with(&options).await?,
            };
            connection.execute(SESSION).await?;
            Ok(connection)
        };
        match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(unreachable(&error)),
            Err(_) => Err(Failure::new(
                Reason::DatabaseUnreachable,
                format!("the database gives no answer within {} s", CONNECT_TIMEOUT.as_secs()),
            )),
        }
    }

    /// Prepares what pg_dump needs to log in.
    pub fn open_client_access(&self) -> Result<ClientAccess, Failure> {
        let prepare = |error: &std::io::Error| {
            Failure::new(
                Reason::InternalError,
                format!("the temporary folder cannot be used: {}; mount an emptyDir at /tmp", error.kind()),
            )
        };
        let folder = tempfile::tempdir().map_err(|error| prepare(&error))?;
        let password_file = folder.path().join("pgpass");
        let written = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&password_file)
            .and_then(|mut file| writeln!(file, "*:*:*:*:{}", escape_pgpass(&self.password)));
        written.map_err(|error| prepare(&error))?;
        let mut variables = vec![
            ("PGDATABASE", self.name.clone()),
            ("PGUSER", self.user.clone()),
            ("PGPASSFILE", password_file.display().to_string()),
            ("PGAPPNAME", "backup-agent pg_dump".to_owned()),
            ("PGOPTIONS", CLIENT_OPTIONS.to_owned()),
            ("PGCONNECT_TIMEOUT", CONNECT_TIMEOUT.as_secs().to_string()),
            ("PGGSSENCMODE", "disable".to_owned()),
            ("PGCLIENTENCODING", "UTF8".to_owned()),
        ];
        let mut guard = None;
        match &self.way {
            Way::Socket(folder) => variables.push(("PGHOST", folder.display().to_string())),
            Way::Network { host, port, ssl_mode, ca_file } => {
                variables.push(("PGPORT", port.to_string()));
                guard = Guard::open(&self.options, Patience::None).map_err(|error| prepare(&error))?;
                let socket = guard.as_ref().and_then(|guard| guard.lead(&self.options).get_socket().cloned());
                if let Some(socket) = socket {
                    // libpq too would hand the password to any server in clear text. '@' is its sign for Linux'
                    // abstract names, which begin with a zero byte.
                    variables.push(("PGHOST", socket.display().to_string().replacen('\0', "@", 1)));
                    variables.push(("PGSSLMODE", "disable".to_owned()));
                } else {
                    let authorities = ca_file.clone().unwrap_or_else(|| PathBuf::from(SYSTEM_AUTHORITIES));
                    variables.push(("PGHOST", host.clone()));
                    variables.push(("PGSSLMODE", (*ssl_mode).to_owned()));
                    variables.push(("PGSSLROOTCERT", authorities.display().to_string()));
                }
            }
        }
        Ok(ClientAccess { variables, _folder: folder, _guard: guard })
    }
}

/// How a program of PostgreSQL logs in, for as long as this value lives. The password is in a file.
pub struct ClientAccess {
    /// The whole environment that concerns PostgreSQL. No secrets.
    pub variables: Vec<(&'static str, String)>,
    _folder: TempDir,
    _guard: Option<Guard>,
}

fn read_credential(path: &Path) -> Result<String, Failure> {
    let text = fs::read_to_string(path).map_err(|error| {
        Failure::new(
            Reason::DatabaseUnreachable,
            format!("the database credential file {} cannot be read: {}", path.display(), error.kind()),
        )
    })?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// In a password file `:` and `\` are written with a `\` before them.
fn escape_pgpass(password: &str) -> String {
    password.replace('\\', "\\\\").replace(':', "\\:")
}

/// The failure of a statement. `doing` completes "failed to …".
pub fn failed(doing: &str, error: &sqlx::Error) -> Failure {
    tracing::warn!(%error, "failed to {doing}");
    let sqlx::Error::Database(database) = error else {
        return unreachable(error);
    };
    let code = database.code().unwrap_or_default();
    let reason = match code.as_ref() {
        "42501" => Reason::DatabaseNotReadable,
        "53100" => Reason::DatabaseFull,
        code if code.starts_with("57P") => Reason::DatabaseUnreachable,
        _ => Reason::InternalError,
    };
    let why = match reason {
        Reason::DatabaseNotReadable => "the database user lacks a privilege".to_owned(),
        Reason::DatabaseFull => "the database server has no space left".to_owned(),
        Reason::DatabaseUnreachable => "the database ended the session".to_owned(),
        _ => format!("the database answers with SQLSTATE {code}"),
    };
    Failure::new(reason, format!("failed to {doing}: {why}"))
}

/// Why there is no session. Not the server's own message, which may contain names and addresses of others.
fn unreachable(error: &sqlx::Error) -> Failure {
    tracing::warn!(%error, "no session with the database");
    let why = match error {
        // A certificate that rustls refuses is invalid data of the connection.
        sqlx::Error::Io(error) if error.kind() != std::io::ErrorKind::InvalidData => {
            format!("the database cannot be reached: {}", error.kind())
        }
        sqlx::Error::Tls(_) | sqlx::Error::Io(_) => {
            "the database cannot be reached over TLS: check its certificate, the ssl mode and the CA".to_owned()
        }
        error if postgres_guard::is_clear_text_refused(error) => {
            "the database asks for the password in clear text and was not verified, so it got none: set the ssl mode to verify-full, or have the database use scram-sha-256"
                .to_owned()
        }
        sqlx::Error::Database(error) => match error.code().as_deref().unwrap_or_default() {
            code if code.starts_with("28") => "the database refuses the user or its password".to_owned(),
            "3D000" => "the database does not exist on the server".to_owned(),
            "53300" => "the database has no connection slot left".to_owned(),
            "57P03" => "the database is starting up or shutting down".to_owned(),
            code => format!("the database refuses the session with SQLSTATE {code}"),
        },
        _ => "the database connection failed".to_owned(),
    };
    Failure::new(Reason::DatabaseUnreachable, why)
}

/// Whether the database answered with this SQLSTATE.
pub fn has_code(error: &sqlx::Error, code: &str) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.code().as_deref() == Some(code))
}

/// A name as SQL writes it.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_escaped_for_the_password_file() {
        assert_eq!(escape_pgpass(r"a:b\c"), r"a\:b\\c");
    }

    #[test]
    fn names_are_quoted() {
        assert_eq!(quoted("job"), "\"job\"");
        assert_eq!(quoted("o\"dd"), "\"o\"\"dd\"");
    }
}
