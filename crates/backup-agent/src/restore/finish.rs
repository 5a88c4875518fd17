//! The last transaction of a restore: nobody's leases, owners in the new cluster's namespace, keys that nobody has, and the row
//! that says it is complete.

use std::time::Instant;

use backup_format::{BackupId, Failure, Manifest, RestoreReport, Totals, VOLATILE_TABLES};
use jiff::Timestamp;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use super::target::qualified;
use crate::database::failed;

/// Blocks of keys that are left out. The source may have gone on after the backup, and gave out keys that its workers and
/// clients may still show; at one block of 1024 keys per second it is ahead of this after twelve days.
const KEY_BLOCK_MARGIN: i64 = 1 << 20;

/// What was restored.
pub(crate) struct Recovered {
    pub(crate) backup_id: BackupId,
    /// The `WorkflowCluster` of which the backup was made.
    pub(crate) source_owner: String,
    /// The state to which the database went back.
    pub(crate) snapshot_at: Timestamp,
    pub(crate) engine_version: String,
    pub(crate) schema_version: i64,
    pub(crate) digest: Option<String>,
    pub(crate) totals: Totals,
    /// The last block of keys that the source is known to have given out.
    pub(crate) key_block: i64,
}

impl From<&Manifest> for Recovered {
    fn from(manifest: &Manifest) -> Self {
        Self {
            backup_id: manifest.backup_id.clone(),
            source_owner: manifest.owner.clone(),
            snapshot_at: manifest.snapshot_at,
            engine_version: manifest.engine_version.clone(),
            schema_version: manifest.schema_version,
            digest: Some(manifest.digest.clone()),
            totals: manifest.totals,
            key_block: manifest.key_block,
        }
    }
}

/// Completes the restore.
pub(crate) async fn apply_finish(
    connection: &mut PgConnection,
    restored: Recovered,
    new_owner: &str,
    began: Instant,
) -> Result<RestoreReport, Failure> {
    finish(connection, restored, new_owner, began)
        .await
        .map_err(|error| failed("complete the restore", &error))
}

async fn finish(
    connection: &mut PgConnection,
    restored: Recovered,
    new_owner: &str,
    began: Instant,
) -> Result<RestoreReport, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let leases_cleared = clear_leases(&mut transaction).await?;
    move_owners(&mut transaction, namespace_of(&restored.source_owner), namespace_of(new_owner)).await?;
    let key_block: i64 = sqlx::query_scalar(
        "SELECT setval('workflow.key_block', greatest(last_value, $1) + $2) FROM workflow.key_block",
    )
    .bind(restored.key_block)
    .bind(KEY_BLOCK_MARGIN)
    .fetch_one(&mut *transaction)
    .await?;
    forget_version(&mut transaction).await?;
    clear_volatile(&mut transaction).await?;
    release_claim(&mut transaction, new_owner).await?;
    let restored_at: jiff_sqlx::Timestamp =
        sqlx::query_scalar("SELECT now()").fetch_one(&mut *transaction).await?;
    let report = RestoreReport {
        backup_id: restored.backup_id,
        source_owner: restored.source_owner,
        snapshot_at: restored.snapshot_at,
        restored_at: restored_at.to_jiff(),
        seconds: began.elapsed().as_secs(),
        engine_version: restored.engine_version,
        schema_version: restored.schema_version,
        digest: restored.digest,
        totals: restored.totals,
        leases_cleared,
        key_block,
    };
    // A source that was restored itself has a row of its own restore.
    transaction
        .execute(
            "DROP TABLE IF EXISTS workflow.restored;
             CREATE TABLE workflow.restored (
                 singleton    boolean PRIMARY KEY DEFAULT true CHECK (singleton),
                 backup_id    text NOT NULL,
                 source_owner text NOT NULL,
                 owner        text NOT NULL,
                 restored_at  timestamptz NOT NULL,
                 report       jsonb NOT NULL
             );
             DROP TABLE IF EXISTS workflow.restore_begun;",
        )
        .await?;
    sqlx::query(
        "INSERT INTO workflow.restored (backup_id, source_owner, owner, restored_at, report)
         VALUES ($1, $2, $3, now(), $4)",
    )
    .bind(report.backup_id.as_str())
    .bind(&report.source_owner)
    .bind(new_owner)
    .bind(serde_json::to_value(&report).map_err(|error| sqlx::Error::Encode(error.into()))?)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(report)
}

/// The nodes are others, and the fences of another installation's controllers would lock out the new ones. A dump has these
/// tables without rows; a base backup has them as they were.
async fn clear_volatile(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    for table in VOLATILE_TABLES {
        let walled = lower_wall(connection, table).await?;
        connection.execute(AssertSqlSafe(format!("DELETE FROM {}", qualified(table)))).await?;
        raise_wall(connection, walled).await?;
    }
    Ok(())
}

/// The claim of the cluster that a base backup was made of counts no more here. Its epoch stays, and goes on growing.
async fn release_claim(connection: &mut PgConnection, new_owner: &str) -> Result<(), sqlx::Error> {
    let has_claim: bool = sqlx::query_scalar("SELECT to_regclass('workflow.database_claim') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await?;
    if !has_claim {
        return Ok(());
    }
    sqlx::query(
        "UPDATE workflow.database_claim SET released_at = now()
         WHERE released_at IS NULL AND installation || '/' || namespace || '/' || name <> $1",
    )
    .bind(new_owner)
    .execute(connection)
    .await
    .map(drop)
}

/// Roles, privileges and the policies that name them are the migration's, and no backup has them. A schema that says of no
/// version that it is complete is migrated before an engine serves on it, also to the version that it had.
async fn forget_version(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    connection.execute("UPDATE workflow.schema_state SET engine_version = NULL").await.map(drop)
}

/// Jobs that a worker held can be taken at once, and the worker's late answer is refused by the higher epoch.
async fn clear_leases(connection: &mut PgConnection) -> Result<u64, sqlx::Error> {
    let cleared = sqlx::query(
        "UPDATE workflow.job SET worker = NULL, run_at = least(run_at, now()), lease_epoch = lease_epoch + 1
         WHERE worker IS NOT NULL",
    );
    let walled = lower_wall(connection, "job").await?;
    let cleared = cleared.execute(&mut *connection).await?.rows_affected();
    raise_wall(connection, walled).await?;
    Ok(cleared)
}

/// What the objects of the source's namespace managed is managed by those of the same names in the new one's. To the engine
/// they would be others, whom it refuses. What other namespaces manage stays theirs.
async fn move_owners(connection: &mut PgConnection, from: &str, to: &str) -> Result<(), sqlx::Error> {
    if from == to {
        return Ok(());
    }
    for table in ["tenant", "process"] {
        let walled = lower_wall(connection, table).await?;
        // `<kind>/<namespace>/<name>`
        let update = format!(
            "UPDATE {} SET owner = split_part(owner, '/', 1) || '/' || $2 || '/' || split_part(owner, '/', 3)
             WHERE split_part(owner, '/', 2) = $1",
            qualified(table)
        );
        sqlx::query(AssertSqlSafe(update)).bind(from).bind(to).execute(&mut *connection).await?;
        raise_wall(connection, walled).await?;
    }
    Ok(())
}

/// The namespace in `<installation>/<namespace>/<name>`.
fn namespace_of(cluster: &str) -> &str {
    cluster.split('/').nth(1).unwrap_or_default()
}

/// FORCE applies row-level security to the owner as well. Nobody else can be in this database. Gives the table if it had FORCE.
async fn lower_wall<'a>(
    connection: &mut PgConnection,
    table: &'a str,
) -> Result<Option<&'a str>, sqlx::Error> {
    let is_forced: bool =
        sqlx::query_scalar("SELECT relforcerowsecurity FROM pg_class WHERE oid = $1::text::regclass")
            .bind(qualified(table))
            .fetch_one(&mut *connection)
            .await?;
    if !is_forced {
        return Ok(None);
    }
    let alter = format!("ALTER TABLE {} NO FORCE ROW LEVEL SECURITY", qualified(table));
    connection.execute(AssertSqlSafe(alter)).await?;
    Ok(Some(table))
}

async fn raise_wall(connection: &mut PgConnection, walled: Option<&str>) -> Result<(), sqlx::Error> {
    let Some(table) = walled else { return Ok(()) };
    let alter = format!("ALTER TABLE {} FORCE ROW LEVEL SECURITY", qualified(table));
    connection.execute(AssertSqlSafe(alter)).await.map(drop)
}
