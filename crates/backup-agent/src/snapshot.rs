//! One state of the database, which pg_dump and the digests share.

use std::fmt::Write as _;

use backup_format::{Failure, Reason, Rows, Totals};
use jiff::Timestamp;
use sqlx::{AssertSqlSafe, Executor as _, PgConnection};

use crate::census::{Table, observe_rows, observe_tables};
use crate::database::{failed, quoted};

/// What is known of the database before the snapshot is taken.
#[derive(Debug)]
pub struct Source {
    /// `server_version`.
    pub server_version: String,
    /// The newest migration step.
    pub schema_version: i64,
    /// Engine version of the last complete migration.
    pub recorded_engine_version: Option<String>,
    /// Bytes of the tables on disk. An estimate of the size of the dump, which is mostly smaller.
    pub table_bytes: u64,
}

/// Reads it; an error when there is no engine's schema.
pub async fn observe_source(connection: &mut PgConnection) -> Result<Source, Failure> {
    let doing = |error: sqlx::Error| failed("read the state of the engine's schema", &error);
    let is_there: bool = sqlx::query_scalar(
        "SELECT to_regclass('workflow.schema_migration') IS NOT NULL AND to_regclass('workflow.schema_state') IS NOT NULL
            AND to_regclass('workflow.job') IS NOT NULL",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(doing)?;
    if !is_there {
        return Err(Failure::new(
            Reason::DatabaseNotReadable,
            "the database has no engine's schema 'workflow', so there is nothing to back up: check the name of the database, and that the engine was started once",
        ));
    }
    let (server_version, schema_version, recorded_engine_version, table_bytes): (
        String,
        i64,
        Option<String>,
        i64,
    ) = sqlx::query_as(
        "SELECT current_setting('server_version'),
                    (SELECT coalesce(max(version), 0) FROM workflow.schema_migration),
                    (SELECT max(engine_version) FROM workflow.schema_state),
                    (SELECT coalesce(sum(pg_table_size(oid)), 0)::bigint FROM pg_class
                     WHERE relnamespace = 'workflow'::regnamespace AND relkind = 'r')",
    )
    .fetch_one(connection)
    .await
    .map_err(doing)?;
    Ok(Source {
        server_version,
        schema_version,
        recorded_engine_version,
        table_bytes: u64::try_from(table_bytes).unwrap_or_default(),
    })
}

/// An open transaction whose snapshot other sessions can take.
#[derive(Debug)]
pub struct Snapshot {
    connection: PgConnection,
    tables: Vec<Table>,
    /// For `pg_dump --snapshot`.
    pub id: String,
    /// When it was taken, by the database's clock.
    pub at: Timestamp,
}

/// What a snapshot has in it.
#[derive(Debug)]
pub struct Contents {
    /// Every table and tenant.
    pub rows: Vec<Rows>,
    /// What a user knows.
    pub totals: Totals,
    /// Last value of the sequence of keys. It is read now and not in the snapshot: sequences have no versions, and a
    /// later value is as good.
    pub key_block: i64,
}

impl Snapshot {
    /// Locks the tables against a change of their structure, then takes the snapshot. In this order: a table that is
    /// rewritten between the snapshot and pg_dump's own lock would be dumped without rows.
    pub async fn open(mut connection: PgConnection) -> Result<Self, Failure> {
        let tables = observe_tables(&mut connection).await?;
        let mut begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; LOCK TABLE ".to_owned();
        for (number, table) in tables.iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            // Writing to a String cannot fail.
            let _ = write!(begin, "{comma}workflow.{}", quoted(&table.name));
        }
        begin.push_str(" IN ACCESS SHARE MODE");
        connection.execute(AssertSqlSafe(begin)).await.map_err(|error| {
            if crate::database::has_code(&error, "55P03") {
                Failure::new(
                    Reason::TimedOut,
                    "the engine's tables are locked, by a migration for example: try again after it",
                )
            } else {
                failed("lock the engine's tables for reading", &error)
            }
        })?;
        let (id, at): (String, jiff_sqlx::Timestamp) =
            sqlx::query_as("SELECT pg_export_snapshot(), clock_timestamp()")
                .fetch_one(&mut connection)
                .await
                .map_err(|error| failed("export a snapshot", &error))?;
        if observe_tables(&mut connection).await? != tables {
            return Err(Failure::new(
                Reason::TimedOut,
                "the engine's schema was changed while the backup began: try again after the migration",
            ));
        }
        Ok(Self { connection, tables, id, at: at.to_jiff() })
    }

    /// Reads every row once.
    pub async fn observe_contents(&mut self) -> Result<Contents, Failure> {
        let rows = observe_rows(&mut self.connection, &self.tables).await?;
        let totals = observe_totals(&mut self.connection).await?;
        let key_block: i64 = sqlx::query_scalar("SELECT last_value FROM workflow.key_block")
            .fetch_one(&mut self.connection)
            .await
            .map_err(|error| failed("read the sequence of keys", &error))?;
        let totals = Totals { rows: rows.iter().map(|line| line.rows).sum(), ..totals };
        Ok(Contents { rows, totals, key_block })
    }
}

/// How many there are of what a user knows; rows are not counted.
pub async fn observe_totals(connection: &mut PgConnection) -> Result<Totals, Failure> {
    let (definitions, active_instances, jobs, leased_jobs): (i64, i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM workflow.process_definition),
                (SELECT count(*) FROM workflow.instance WHERE state = 1),
                (SELECT count(*) FROM workflow.job),
                (SELECT count(*) FROM workflow.job WHERE worker IS NOT NULL)",
    )
    .fetch_one(connection)
    .await
    .map_err(|error| failed("count definitions, instances and jobs", &error))?;
    let count = |number: i64| u64::try_from(number).unwrap_or_default();
    Ok(Totals {
        definitions: count(definitions),
        active_instances: count(active_instances),
        jobs: count(jobs),
        leased_jobs: count(leased_jobs),
        rows: 0,
    })
}
