//! The last transaction of a restore: nobody's leases, owners in the new cluster's namespace, keys that nobody has, and the row
//! that says it is complete.

use std::time::Instant;

use backup_format::{Failure, Manifest, RestoreReport};
use jiff::Timestamp;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use super::target::qualified;
use crate::database::failed;

/// Blocks of keys that are left out. The source may have gone on after the backup, and gave out keys that its workers and
/// clients may still show; at one block of 1024 keys per second it is ahead of this after twelve days.
const KEY_BLOCK_MARGIN: i64 = 1 << 20;

/// Completes the restore.
pub(super) async fn apply_finish(
    connection: &mut PgConnection,
    manifest: &Manifest,
    new_owner: &str,
    began: Instant,
) -> Result<RestoreReport, Failure> {
    finish(connection, manifest, new_owner, began)
        .await
        .map_err(|error| failed("complete the restore", &error))
}

async fn finish(
    connection: &mut PgConnection,
    manifest: &Manifest,
    new_owner: &str,
    began: Instant,
) -> Result<RestoreReport, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let leases_cleared = clear_leases(&mut transaction).await?;
    move_owners(&mut transaction, namespace_of(&manifest.owner), namespace_of(new_owner)).await?;
    let key_block: i64 = sqlx::query_scalar(
        "SELECT setval('workflow.key_block', greatest(last_value, $1) + $2) FROM workflow.key_block",
    )
    .bind(manifest.key_block)
    .bind(KEY_BLOCK_MARGIN)
    .fetch_one(&mut *transaction)
    .await?;
    forget_version(&mut transaction).await?;
    let restored_at: jiff_sqlx::Timestamp =
        sqlx::query_scalar("SELECT now()").fetch_one(&mut *transaction).await?;
    let report = plan_report(manifest, restored_at.to_jiff(), began, leases_cleared, key_block);
    transaction
        .execute(
            "CREATE TABLE workflow.restored (
                 singleton    boolean PRIMARY KEY DEFAULT true CHECK (singleton),
                 backup_id    text NOT NULL,
                 source_owner text NOT NULL,
                 owner        text NOT NULL,
                 restored_at  timestamptz NOT NULL,
                 report       jsonb NOT NULL
             );
             DROP TABLE workflow.restore_begun;",
        )
        .await?;
    sqlx::query(
        "INSERT INTO workflow.restored (backup_id, source_owner, owner, restored_at, report)
         VALUES ($1, $2, $3, now(), $4)",
    )
    .bind(manifest.backup_id.as_str())
    .bind(&manifest.owner)
    .bind(new_owner)
    .bind(serde_json::to_value(&report).map_err(|error| sqlx::Error::Encode(error.into()))?)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(report)
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

fn plan_report(
    manifest: &Manifest,
    restored_at: Timestamp,
    began: Instant,
    leases_cleared: u64,
    key_block: i64,
) -> RestoreReport {
    RestoreReport {
        backup_id: manifest.backup_id.clone(),
        source_owner: manifest.owner.clone(),
        snapshot_at: manifest.snapshot_at,
        restored_at,
        seconds: began.elapsed().as_secs(),
        engine_version: manifest.engine_version.clone(),
        schema_version: manifest.schema_version,
        digest: manifest.digest.clone(),
        totals: manifest.totals,
        leases_cleared,
        key_block,
    }
}
