//! The database that is restored into: whether it may be, and the notes of how far it got.

use std::time::Duration;

use backup_format::{BackupId, Failure, Manifest, OPERATOR_TABLES, Reason, RestoreReport};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::database::{failed, quoted};

/// The advisory lock of the engine's migrations (`workflow_engine::schema::migrate::LOCK`): neither a migration nor another
/// restore may write meanwhile.
const LOCK: i64 = 0x0077_6662_706d_6e31;
/// A session whose pod was killed ends a moment later.
const LOCK_TRIES: u32 = 30;
/// Names in a message.
const NAMED: usize = 3;

/// What is in the database.
#[derive(Debug)]
pub(super) enum Target {
    Empty,
    /// An interrupted restore of the same backup.
    Begun,
    /// This backup was restored already.
    Restored(Box<RestoreReport>),
}

/// Takes the lock for as long as the session lasts.
pub(crate) async fn lock(connection: &mut PgConnection) -> Result<(), Failure> {
    for _ in 0..LOCK_TRIES {
        let locked: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
            .bind(LOCK)
            .fetch_one(&mut *connection)
            .await
            .map_err(|error| failed("lock the database for the restore", &error))?;
        if locked {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Err(Failure::new(
        Reason::RestoreFailed,
        "another restore or a migration is at work in this database: wait for its end",
    ))
}

/// Looks at what is there; an error when it is something else than what a restore may replace.
pub(super) async fn observe(connection: &mut PgConnection, manifest: &Manifest) -> Result<Target, Failure> {
    if let Some(RestoredRow { backup_id: backup, report, .. }) = observe_restored(connection).await? {
        if backup != manifest.backup_id.as_str() {
            return Err(not_empty(&format!(
                "was restored from backup {}",
                plain_text::one_line(&backup, 63)
            )));
        }
        let report: RestoreReport = serde_json::from_value(report)
            .map_err(|_| not_empty("was restored from this backup by another version of the agent"))?;
        return Ok(Target::Restored(Box::new(report)));
    }
    match observe_begun(connection).await? {
        Some((backup, digest)) if backup == manifest.backup_id.as_str() && digest == manifest.digest => {
            return Ok(Target::Begun);
        }
        Some((backup, _)) => {
            let backup = plain_text::one_line(&backup, 63);
            return Err(not_empty(&format!("has an interrupted restore of backup {backup} in it")));
        }
        None => {}
    }
    let found = observe_names(connection).await?;
    if found.is_empty() {
        return Ok(Target::Empty);
    }
    let more = if found.len() > NAMED { ", …" } else { "" };
    let named: Vec<&str> = found.iter().take(NAMED).map(|object| object.name.as_str()).collect();
    Err(not_empty(&format!("has {}{more} in the schema 'workflow'", named.join(", "))))
}

fn not_empty(what: &str) -> Failure {
    Failure::new(
        Reason::DatabaseNotEmpty,
        format!(
            "the database {what}: give an empty one, or drop the schema 'workflow' if nothing in it is needed"
        ),
    )
}

async fn is_table(connection: &mut PgConnection, name: &str) -> Result<bool, Failure> {
    sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(name)
        .fetch_one(connection)
        .await
        .map_err(|error| failed("look at the database", &error))
}

/// The row that says that a restore was complete.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct RestoredRow {
    pub(crate) backup_id: String,
    pub(crate) owner: String,
    pub(crate) report: serde_json::Value,
}

pub(crate) async fn observe_restored(connection: &mut PgConnection) -> Result<Option<RestoredRow>, Failure> {
    if !is_table(connection, "workflow.restored").await? {
        return Ok(None);
    }
    sqlx::query_as("SELECT backup_id, owner, report FROM workflow.restored")
        .fetch_optional(connection)
        .await
        .map_err(|error| failed("read workflow.restored", &error))
}

async fn observe_begun(connection: &mut PgConnection) -> Result<Option<(String, String)>, Failure> {
    if !is_table(connection, "workflow.restore_begun").await? {
        return Ok(None);
    }
    sqlx::query_as("SELECT backup_id, digest FROM workflow.restore_begun")
        .fetch_optional(connection)
        .await
        .map_err(|error| failed("read workflow.restore_begun", &error))
}

#[derive(Debug, sqlx::FromRow)]
struct Named {
    /// With its kind: `table job`.
    name: String,
    /// As SQL drops it: `TABLE workflow."job"`.
    dropped: String,
}

/// Everything in the schema that is not the operator's, except what belongs to one of these things itself.
async fn observe_names(connection: &mut PgConnection) -> Result<Vec<Named>, Failure> {
    let operators: Vec<String> = OPERATOR_TABLES.iter().map(|table| (*table).to_owned()).collect();
    sqlx::query_as(
        "WITH kind(relkind, word) AS (
             VALUES ('r'::\"char\", 'table'), ('p', 'table'), ('v', 'view'), ('m', 'materialized view'),
                    ('f', 'foreign table'), ('S', 'sequence')
         ), named AS (
             SELECT word || ' ' || c.relname AS name, upper(word) || format(' workflow.%I', c.relname) AS dropped
             FROM pg_class c JOIN kind USING (relkind)
             WHERE c.relnamespace = to_regnamespace('workflow') AND c.relname <> ALL ($1)
               -- Not the sequences of identity and serial columns.
               AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.classid = 'pg_class'::regclass
                               AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i'))
             UNION ALL
             SELECT 'function ' || p.proname, 'ROUTINE ' || p.oid::regprocedure
             FROM pg_proc p WHERE p.pronamespace = to_regnamespace('workflow')
             UNION ALL
             SELECT 'type ' || t.typname, 'TYPE ' || format('workflow.%I', t.typname)
             FROM pg_type t WHERE t.typnamespace = to_regnamespace('workflow') AND t.typtype IN ('d', 'e', 'r')
         )
         SELECT name, dropped FROM named ORDER BY name COLLATE \"C\"",
    )
    .bind(operators)
    .fetch_all(connection)
    .await
    .map_err(|error| failed("look at the database", &error))
}

/// Notes that the restore begins, and removes what an interrupted one has loaded; all in one transaction.
pub(super) async fn apply_begin(
    connection: &mut PgConnection,
    manifest: &Manifest,
    found: &Target,
) -> Result<(), Failure> {
    let leftovers = match found {
        Target::Begun => observe_names(connection).await?,
        Target::Empty | Target::Restored(_) => Vec::new(),
    };
    let Manifest { backup_id, digest, owner, .. } = manifest;
    begin(connection, &leftovers, backup_id, digest, owner).await.map_err(|error| {
        if crate::database::has_code(&error, "42501") {
            return Failure::new(
                Reason::RestoreFailed,
                "the database user may not create the schema 'workflow': give it the privilege CREATE on the database, or make the schema with the user as its owner",
            );
        }
        failed("begin the restore", &error)
    })
}

async fn begin(
    connection: &mut PgConnection,
    leftovers: &[Named],
    backup: &BackupId,
    digest: &str,
    owner: &str,
) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    // IF NOT EXISTS would need the privilege to create one also when it exists.
    transaction
        .execute(
            "DO $$ BEGIN
                 IF to_regnamespace('workflow') IS NULL THEN
                     CREATE SCHEMA workflow;
                     REVOKE ALL ON SCHEMA workflow FROM PUBLIC;
                 END IF;
             END $$;
             CREATE TABLE IF NOT EXISTS workflow.restore_begun (
                 singleton    boolean PRIMARY KEY DEFAULT true CHECK (singleton),
                 backup_id    text NOT NULL,
                 digest       text NOT NULL,
                 source_owner text NOT NULL,
                 begun_at     timestamptz NOT NULL DEFAULT now()
             );",
        )
        .await?;
    for Named { dropped, .. } in leftovers {
        transaction.execute(AssertSqlSafe(format!("DROP {} CASCADE", if_exists(dropped)))).await?;
    }
    sqlx::query(
        "INSERT INTO workflow.restore_begun (backup_id, digest, source_owner) VALUES ($1, $2, $3)
         ON CONFLICT (singleton) DO UPDATE SET begun_at = now()",
    )
    .bind(backup.as_str())
    .bind(digest)
    .bind(owner)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
}

/// An earlier DROP … CASCADE may have removed it.
fn if_exists(dropped: &str) -> String {
    match dropped.split_once(" workflow.") {
        Some((kind, name)) => format!("{kind} IF EXISTS workflow.{name}"),
        None => dropped.to_owned(),
    }
}

/// The table's name as SQL writes it.
pub(super) fn qualified(table: &str) -> String {
    format!("workflow.{}", quoted(table))
}
