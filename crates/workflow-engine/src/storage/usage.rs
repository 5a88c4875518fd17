//! What tenants use, counted by the statements that change it: active instances, jobs per minute, and stored bytes. Nothing
//! is ever scanned to know it.
//!
//! Definitions, instances and jobs have a column `bytes`, which Postgres generates from what they hold. A statement that
//! inserts, deletes or resizes such rows gives the difference to the tenant's counter itself: [`instances::write_changes`]
//! together with what it counts anyway (what moved instances counted before, it looks up itself), every other one with
//! [`count_usage`]. A test compares the sum with the rows after random operations: a new operation belongs into it.
//!
//! [`instances::write_changes`]: super::instances::write_changes

use crate::database::TenantTx;

/// Adds to the tenant $1 what a statement changes: a CTE, or the statement's end. `active` and `bytes` are aggregates over
/// the rows of `from`; without rows nothing is counted. Not through shard 0, in which starts under a quota wait.
macro_rules! count_usage {
    (active: $active:literal, bytes: $bytes:literal, from: $from:literal) => {
        concat!(
            "INSERT INTO workflow.tenant_counter AS c
                 (tenant_id, shard, active_instances, minute, jobs, jobs_before, storage_bytes)
             SELECT $1, 1 + floor(random() * 63)::smallint, ",
            $active,
            ", 0, 0, 0, ",
            $bytes,
            " FROM ",
            $from,
            " HAVING count(*) > 0
             ON CONFLICT (tenant_id, shard) DO UPDATE
             SET active_instances = c.active_instances + EXCLUDED.active_instances,
                 storage_bytes = c.storage_bytes + EXCLUDED.storage_bytes"
        )
    };
}
pub(super) use count_usage;

/// Bytes that the tenant stores.
pub async fn observe_storage(tx: &mut TenantTx) -> Result<i64, sqlx::Error> {
    let tenant = tx.tenant().clone();
    sqlx::query_scalar(
        "SELECT coalesce(sum(storage_bytes), 0)::bigint FROM workflow.tenant_counter WHERE tenant_id = $1",
    )
    .bind(tenant.as_str())
    .fetch_one(tx.connection())
    .await
}
