//! Deletion of a tenant's rows, in slices.

use super::usage::count_usage;
use crate::database::{MonitorTx, TenantTx};

/// The tables with a tenant's rows, in the order of their deletion. Instances are first: a completion locks its
/// instance and adds jobs in the same transaction, so that without instances no jobs are added. A failure locks its job
/// and adds an incident, so incidents follow jobs. Starts and deployments are refused from the tombstone on. The
/// counters and the tenant's own row are deleted last, in one transaction.
///
/// Arguments: the table, the column to find rows by its index, the condition of that index (there is no index of all
/// jobs of a tenant), and what a row counts in bytes and active instances.
macro_rules! for_each_table {
    ($statement:ident) => {
        [
            $statement!("instance", "key", "", "bytes, (state = 1)::integer"),
            $statement!("job", "key", " AND NOT parked", "bytes, 0"),
            $statement!("job", "key", " AND parked", "bytes, 0"),
            $statement!("incident", "instance_key", "", "0, 0"),
            $statement!("job_type", "type", "", "0, 0"),
            $statement!("process_definition", "key", "", "bytes, 0"),
            $statement!("process", "process_id", "", "0, 0"),
            $statement!("request_log", "request_id", "", "0, 0"),
        ]
    };
}

macro_rules! delete_slice {
    ($table:literal, $key:literal, $condition:literal, $counted:literal) => {
        concat!(
            "WITH gone(bytes, active) AS (DELETE FROM workflow.",
            $table,
            " WHERE tenant_id = $1 AND ",
            $key,
            " = ANY (ARRAY(SELECT ",
            $key,
            " FROM workflow.",
            $table,
            " WHERE tenant_id = $1",
            $condition,
            " LIMIT $2)) RETURNING ",
            $counted,
            "), counted AS (",
            count_usage!(active: "-sum(active)", bytes: "-sum(bytes)", from: "gone"),
            ") SELECT count(*) FROM gone"
        )
    };
}

macro_rules! is_there {
    ($table:literal, $key:literal, $condition:literal, $counted:literal) => {
        concat!("SELECT EXISTS (SELECT FROM workflow.", $table, " WHERE tenant_id = $1", $condition, ")")
    };
}

/// Tenants with an unfinished deletion: of the tenant itself (true), or of instances of retired versions (false). Also
/// tenants of canaries, which their node may have left behind.
pub async fn list_unfinished(tx: &mut MonitorTx) -> Result<Vec<(String, bool)>, sqlx::Error> {
    sqlx::query_as(
        "SELECT tenant_id, deleting_since IS NOT NULL FROM workflow.tenant WHERE deleting_since IS NOT NULL OR canceling
         UNION SELECT tenant_id, deleting_since IS NOT NULL FROM workflow.tenant
               WHERE tenant_id >= '_canary-' AND tenant_id < '_canary.'
         ORDER BY tenant_id",
    )
    .fetch_all(tx.connection())
    .await
}

/// Sets the tombstone. After its commit only transactions that are already running add rows to the tenant.
pub async fn mark_deleting(tx: &mut TenantTx) -> Result<(), sqlx::Error> {
    let tenant = tx.tenant().clone();
    sqlx::query(
        "UPDATE workflow.tenant SET deleting_since = coalesce(deleting_since, now()) WHERE tenant_id = $1",
    )
    .bind(tenant.as_str())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Deletes at most `limit` rows of a tenant with a tombstone; false = there were none.
pub async fn delete_slice(tx: &mut TenantTx, limit: i64) -> Result<bool, sqlx::Error> {
    let tenant = tx.tenant().clone();
    // The lock keeps the tenant until the end of this transaction: a late slice must not delete rows of a new tenant
    // with the same id.
    let marked: Option<bool> = sqlx::query_scalar(
        "SELECT true FROM workflow.tenant WHERE tenant_id = $1 AND deleting_since IS NOT NULL FOR KEY SHARE",
    )
    .bind(tenant.as_str())
    .fetch_optional(tx.connection())
    .await?;
    if marked.is_none() {
        return Ok(false);
    }
    let mut left = limit;
    for statement in for_each_table!(delete_slice) {
        let deleted: i64 =
            sqlx::query_scalar(statement).bind(tenant.as_str()).bind(left).fetch_one(tx.connection()).await?;
        left -= deleted;
        if left <= 0 {
            return Ok(true);
        }
    }
    Ok(left < limit)
}

/// Deletes the tenant's own row and counters. False, and nothing is deleted, while it has other rows.
pub async fn delete_emptied(tx: &mut TenantTx) -> Result<bool, sqlx::Error> {
    let tenant = tx.tenant().clone();
    for statement in for_each_table!(is_there) {
        if sqlx::query_scalar(statement).bind(tenant.as_str()).fetch_one(tx.connection()).await? {
            return Ok(false);
        }
    }
    for statement in [
        "DELETE FROM workflow.tenant_counter WHERE tenant_id = $1",
        "DELETE FROM workflow.tenant WHERE tenant_id = $1 AND deleting_since IS NOT NULL",
    ] {
        sqlx::query(statement).bind(tenant.as_str()).execute(tx.connection()).await?;
    }
    Ok(true)
}
