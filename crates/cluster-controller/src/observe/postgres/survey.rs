//! What a database that accepts the login says of itself. Reads only.

use api_types::cluster::ClusterReason as Reason;
use postgres_guard::Protection;
use sqlx::Executor as _;
use sqlx::postgres::PgConnection;

use super::Database;
use super::problem::{PostgresProblem, explain};
use crate::claim::sql::observe_claim;
use crate::recovery::sql::observe_restored;

/// The engine needs Postgres 15.
pub(super) const MIN_SERVER_VERSION: i32 = 150_000;

/// Every session of this controller: functions that a database's owner planted are not called, because everything is
/// qualified and the search path is pinned; and no statement waits long.
pub(super) async fn prepare_session(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    connection
        .execute(
            "SET search_path = pg_catalog, pg_temp; SET statement_timeout = '4s'; SET lock_timeout = '3s';
             SET client_min_messages = 'warning'",
        )
        .await?;
    Ok(())
}

/// Reads, and judges whether an engine could work here.
pub(super) async fn survey(
    connection: &mut PgConnection,
    protection: Protection,
) -> Result<Database, PostgresProblem> {
    prepare_session(connection).await.map_err(|error| explain(&error))?;
    let server = observe_server(connection).await.map_err(|error| explain(&error))?;
    if let Some(problem) = server.problem() {
        return Err(problem);
    }
    let rights = observe_rights(connection).await.map_err(|error| explain(&error))?;
    if let Some(problem) = rights.problem() {
        return Err(problem);
    }
    read(connection, protection, server.version).await.map_err(|error| explain(&error))
}

/// A server, as far as it decides whether an engine can work on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) version: i32,
    pub(super) is_standby: bool,
    pub(super) is_read_only: bool,
    /// Where the setting that makes it read-only is from (`pg_settings.source`).
    pub(super) read_only_by: String,
}

async fn observe_server(connection: &mut PgConnection) -> Result<Server, sqlx::Error> {
    let (version, is_standby, is_read_only, read_only_by) = sqlx::query_as::<_, (i32, bool, bool, String)>(
        "SELECT current_setting('server_version_num')::int4, pg_is_in_recovery(), setting = 'on', source
         FROM pg_settings WHERE name = 'default_transaction_read_only'",
    )
    .fetch_one(connection)
    .await?;
    Ok(Server { version, is_standby, is_read_only, read_only_by })
}

impl Server {
    pub(super) fn problem(&self) -> Option<PostgresProblem> {
        if self.version < MIN_SERVER_VERSION {
            return Some(PostgresProblem::new(
                Reason::PostgresVersionUnsupported,
                format!("PostgreSQL {}, expected 15 or later", self.version / 10_000),
            ));
        }
        if self.is_standby {
            return Some(PostgresProblem::new(
                Reason::PostgresReadOnly,
                "the server is a standby, which accepts no writes: set host to the primary, or to an address that follows it",
            ));
        }
        self.is_read_only.then(|| {
            let reset = match self.read_only_by.as_str() {
                "user" => "ALTER ROLE … RESET it",
                "database" => "ALTER DATABASE … RESET it",
                "database user" => "ALTER ROLE … IN DATABASE … RESET it",
                _ => "ALTER SYSTEM RESET it, or take it out of postgresql.conf",
            };
            PostgresProblem::new(
                Reason::PostgresReadOnly,
                format!("default_transaction_read_only is on, so nothing can be written: {reset}"),
            )
        })
    }
}

/// What the role may do, as far as migrations and the engine need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rights {
    pub(super) may_create_schema: bool,
    /// Whether it owns schema `workflow`, directly or as a member of the owner; `None` = there is none.
    pub(super) owns_schema: Option<bool>,
    /// Whether it owns the tables that every engine has, so far as they are there. Others may have tables beside them.
    pub(super) owns_tables: bool,
}

async fn observe_rights(connection: &mut PgConnection) -> Result<Rights, sqlx::Error> {
    let (may_create_schema, owns_schema, owns_tables) = sqlx::query_as::<_, (bool, Option<bool>, bool)>(
        "SELECT has_database_privilege(current_database(), 'CREATE'),
                (SELECT pg_has_role(nspowner, 'USAGE') FROM pg_namespace WHERE nspname = 'workflow'),
                NOT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                            WHERE n.nspname = 'workflow'
                              AND c.relname IN ('schema_migration', 'schema_state', 'database_claim')
                              AND NOT pg_has_role(c.relowner, 'USAGE'))",
    )
    .fetch_one(connection)
    .await?;
    Ok(Rights { may_create_schema, owns_schema, owns_tables })
}

impl Rights {
    pub(super) fn problem(self) -> Option<PostgresProblem> {
        let missing = match self {
            Self { owns_schema: None, may_create_schema: false, .. } => {
                "the role may not create schema workflow: GRANT CREATE ON DATABASE to it, or CREATE SCHEMA workflow AUTHORIZATION it"
            }
            Self { owns_schema: Some(false), .. } => {
                "the role does not own schema workflow: ALTER SCHEMA workflow OWNER TO it, and what is in it"
            }
            Self { owns_tables: false, .. } => {
                "the role does not own the tables of schema workflow: ALTER TABLE … OWNER TO it, or REASSIGN OWNED"
            }
            _ => return None,
        };
        Some(PostgresProblem::new(Reason::PostgresPrivilegeMissing, missing))
    }
}

async fn read(
    connection: &mut PgConnection,
    protection: Protection,
    server_version: i32,
) -> Result<Database, sqlx::Error> {
    let claim = observe_claim(connection).await?;
    let restored = observe_restored(connection).await?.map(Box::new);
    let exists: bool = sqlx::query_scalar(
        "SELECT to_regclass('workflow.schema_migration') IS NOT NULL AND to_regclass('workflow.schema_state') IS NOT NULL",
    )
    .fetch_one(&mut *connection)
    .await?;
    if !exists {
        return Ok(Database {
            protection,
            server_version,
            schema_version: None,
            engine_version: None,
            claim,
            restored,
        });
    }
    let schema_version = sqlx::query_scalar("SELECT max(version) FROM workflow.schema_migration")
        .fetch_one(&mut *connection)
        .await?;
    let engine_version: Option<Option<String>> =
        sqlx::query_scalar("SELECT engine_version FROM workflow.schema_state")
            .fetch_optional(&mut *connection)
            .await?;
    let engine_version = engine_version.flatten();
    Ok(Database { protection, server_version, schema_version, engine_version, claim, restored })
}
