//! Fences of controllers, of which only one replica may write. A former replica that does not know yet that it was
//! replaced must not change anything. So the highest recorded fence of a writer is the valid one.

use crate::database::{ClusterTx, TenantTx};

/// Records a fence, unless a higher one is recorded.
pub async fn record_fence(tx: &mut ClusterTx, writer: &str, fence: i64) -> Result<(), sqlx::Error> {
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

/// The highest fence of a writer. The lock prevents that a higher one is recorded before the transaction ends.
pub async fn lock_fence(tx: &mut TenantTx, writer: &str) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar("SELECT fence FROM workflow.writer WHERE name = $1 FOR SHARE")
        .bind(writer)
        .fetch_optional(tx.connection())
        .await
}
