//! Usage of tenants: active instances, jobs per minute, and stored bytes. Counters are updated by the statements that
//! change the rows, so that reading the usage scans no rows. Definitions, instances and jobs have a column `bytes`,
//! which Postgres generates from their content. A statement that inserts, deletes or resizes such rows must add the
//! difference to the tenant's counter: [`instances::write_changes`] with its other counts (it reads the former size of
//! moved instances), every other one with [`count_usage`]. A test compares the counters with the rows after random
//! operations: add new operations to it.
//!
//! [`instances::write_changes`]: super::instances::write_changes

use crate::database::TenantTx;

/// Adds the changes of a statement to the counter of tenant $1, as a CTE or as the end of the statement. `active` and
/// `bytes` are aggregates over the rows of `from`; without rows nothing is written. Never uses shard 0, which starts of
/// tenants with a quota lock.
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

/// Stored bytes of the tenant.
pub async fn observe_storage(tx: &mut TenantTx) -> Result<i64, sqlx::Error> {
    let tenant = tx.tenant().clone();
    sqlx::query_scalar(
        "SELECT coalesce(sum(storage_bytes), 0)::bigint FROM workflow.tenant_counter WHERE tenant_id = $1",
    )
    .bind(tenant.as_str())
    .fetch_one(tx.connection())
    .await
}
