//! Controllers of which only one replica may write. A replica that was succeeded, and does not know it yet, must not
//! change anything: the highest fence that a writer has shown counts.

use crate::database::{NobodyTx, TenantTx};

/// Records a fence, unless a higher one is known.
pub async fn record_fence(tx: &mut NobodyTx, writer: &str, fence: i64) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO workflow.writer AS w (name, fence) VALUES ($1, $2)
         ON CONFLICT (name) DO UPDATE SET fence = EXCLUDED.fence WHERE w.fence < EXCLUDED.fence",
    )
    .bind(writer)
    .bind(fence)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// The highest fence of a writer; no higher one is recorded before the transaction ends.
pub async fn lock_fence(tx: &mut TenantTx, writer: &str) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar("SELECT fence FROM workflow.writer WHERE name = $1 FOR SHARE")
        .bind(writer)
        .fetch_optional(tx.connection())
        .await
}
