//! The table of the claim. Names are qualified, and the caller pins the search path.

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Executor as _};

use super::{Claim, ClaimChange, Identity};

/// Advisory lock of the transactions that make the table, so that two controllers do not make it at the same time.
const LOCK: i64 = 0x0077_6663_6c61_696d;

const TABLE: &str = include_str!("table.sql");

/// The claim; `None` before the first one.
pub async fn observe_claim(connection: &mut PgConnection) -> Result<Option<Claim>, sqlx::Error> {
    let exists: bool = sqlx::query_scalar("SELECT to_regclass('workflow.database_claim') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await?;
    if !exists {
        return Ok(None);
    }
    let row = sqlx::query_as::<_, (String, String, String, String, i64, bool)>(
        "SELECT installation, namespace, name, uid, epoch, released_at IS NOT NULL FROM workflow.database_claim",
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|(installation, namespace, name, uid, epoch, is_released)| Claim {
        identity: Identity { installation, namespace, name },
        uid,
        epoch,
        is_released,
    }))
}

/// Writes the claim if the row is still the former one, and makes the table if it is missing; `false` = another write came
/// first.
pub async fn apply_claim(connection: &mut PgConnection, change: &ClaimChange) -> Result<bool, sqlx::Error> {
    let mut tx = connection.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *tx).await?;
    // The engine's migration copes with a schema that is there.
    tx.execute(TABLE).await?;
    let next = &change.next;
    let written = match &change.former {
        None => {
            sqlx::query(
                "INSERT INTO workflow.database_claim (installation, namespace, name, uid, epoch)
                 VALUES ($1, $2, $3, $4, $5) ON CONFLICT (singleton) DO NOTHING",
            )
            .bind(&next.identity.installation)
            .bind(&next.identity.namespace)
            .bind(&next.identity.name)
            .bind(&next.uid)
            .bind(next.epoch)
            .execute(&mut *tx)
            .await?
        }
        Some(former) => {
            sqlx::query(
                "UPDATE workflow.database_claim
                 SET installation = $1, namespace = $2, name = $3, uid = $4, epoch = $5, claimed_at = now(),
                     released_at = NULL
                 WHERE installation = $6 AND namespace = $7 AND name = $8 AND uid = $9 AND epoch = $10
                   AND (released_at IS NOT NULL) = $11",
            )
            .bind(&next.identity.installation)
            .bind(&next.identity.namespace)
            .bind(&next.identity.name)
            .bind(&next.uid)
            .bind(next.epoch)
            .bind(&former.identity.installation)
            .bind(&former.identity.namespace)
            .bind(&former.identity.name)
            .bind(&former.uid)
            .bind(former.epoch)
            .bind(former.is_released)
            .execute(&mut *tx)
            .await?
        }
    };
    tx.commit().await?;
    Ok(written.rows_affected() == 1)
}

/// Gives the database up, if it is claimed by this WorkflowCluster; `false` = it is not.
pub async fn apply_release(
    connection: &mut PgConnection,
    identity: &Identity,
    uid: &str,
) -> Result<bool, sqlx::Error> {
    if observe_claim(connection).await?.is_none() {
        return Ok(false);
    }
    let released = sqlx::query(
        "UPDATE workflow.database_claim SET released_at = now()
         WHERE installation = $1 AND namespace = $2 AND name = $3 AND uid = $4 AND released_at IS NULL",
    )
    .bind(&identity.installation)
    .bind(&identity.namespace)
    .bind(&identity.name)
    .bind(uid)
    .execute(connection)
    .await?;
    Ok(released.rows_affected() == 1)
}

/// Whether another transaction made the schema or the table at the same time, as a migration by hand may do.
#[must_use]
pub fn is_lost_race(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    // duplicate_schema, duplicate_table, unique_violation, serialization_failure, deadlock_detected, lock_not_available.
    matches!(error.code().as_deref(), Some("42P06" | "42P07" | "23505" | "40001" | "40P01" | "55P03"))
}
