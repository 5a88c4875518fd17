//! Canceling the running instances of deleted versions, in slices.

use super::usage::count_usage;
use crate::database::TenantTx;

/// Versions whose instances are being canceled, and the types of their jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canceling {
    keys: Vec<i64>,
    job_types: Vec<String>,
    /// Instances with keys up to this one are already canceled.
    pub after: i64,
}

/// Marks all versions of the process: after the commit their running instances are canceled, even if the caller
/// disappears. No new instances are started, because the same transaction retires the versions and holds the tenant's
/// exclusive lock.
pub async fn mark_canceling(tx: &mut TenantTx, process_id: &str) -> Result<(), sqlx::Error> {
    let tenant = tx.tenant().clone();
    sqlx::query(
        "WITH tenant AS (UPDATE workflow.tenant SET canceling = true WHERE tenant_id = $1)
         UPDATE workflow.process_definition SET canceling_after = coalesce(canceling_after, 0)
         WHERE tenant_id = $1 AND process_id = $2",
    )
    .bind(tenant.as_str())
    .bind(process_id)
    .execute(tx.connection())
    .await?;
    Ok(())
}

pub async fn find_canceling(tx: &mut TenantTx) -> Result<Option<Canceling>, sqlx::Error> {
    let tenant = tx.tenant().clone();
    let rows = sqlx::query_as::<_, (i64, Vec<String>, i64)>(
        "SELECT key, job_types, canceling_after FROM workflow.process_definition
         WHERE tenant_id = $1 AND canceling_after IS NOT NULL",
    )
    .bind(tenant.as_str())
    .fetch_all(tx.connection())
    .await?;
    let Some(after) = rows.iter().map(|row| row.2).min() else { return Ok(None) };
    let keys = rows.iter().map(|row| row.0).collect();
    let mut job_types: Vec<String> = rows.into_iter().flat_map(|row| row.1).collect();
    job_types.sort_unstable();
    job_types.dedup();
    Ok(Some(Canceling { keys, job_types, after }))
}

/// Reads `limit` instances after the key `after`, and cancels those of the versions, with their incidents. Returns the
/// last key read; `None` = there are no more. Their remaining jobs have no effect: a completion finds no running
/// instance.
pub async fn cancel_slice(
    tx: &mut TenantTx,
    canceling: &Canceling,
    after: i64,
    limit: i64,
) -> Result<Option<i64>, sqlx::Error> {
    let tenant = tx.tenant().clone();
    sqlx::query_scalar(concat!(
        "WITH slice AS MATERIALIZED (
             SELECT key, definition_key, state FROM workflow.instance
             WHERE tenant_id = $1 AND key > $2 ORDER BY key LIMIT $3
         ), canceled AS (
             UPDATE workflow.instance i SET state = 3, ended_at = now()
             WHERE i.tenant_id = $1 AND i.state = 1 AND i.key = ANY (ARRAY(
                 SELECT key FROM slice WHERE state = 1 AND definition_key = ANY ($4)))
             RETURNING i.key
         ), incidents AS (
             DELETE FROM workflow.incident n
             WHERE n.tenant_id = $1 AND n.instance_key = ANY (ARRAY(SELECT key FROM canceled))
         ), counted AS (",
        count_usage!(active: "-count(*)", bytes: "0", from: "canceled"),
        "), passed AS (
             UPDATE workflow.process_definition d
             SET canceling_after = greatest(d.canceling_after, (SELECT max(key) FROM slice))
             WHERE d.tenant_id = $1 AND d.key = ANY ($4) AND d.canceling_after IS NOT NULL
         )
         SELECT max(key) FROM slice HAVING count(*) = $3"
    ))
    .bind(tenant.as_str())
    .bind(after)
    .bind(limit)
    .bind(&canceling.keys)
    .fetch_optional(tx.connection())
    .await
    .map(Option::flatten)
}

/// Deletes at most `2 * limit` of their jobs; false = there were none.
pub async fn delete_jobs(tx: &mut TenantTx, canceling: &Canceling, limit: i64) -> Result<bool, sqlx::Error> {
    let tenant = tx.tenant().clone();
    sqlx::query_scalar(concat!(
        "WITH gone AS (
             DELETE FROM workflow.job WHERE tenant_id = $1 AND key = ANY (ARRAY(
                 (SELECT key FROM workflow.job
                  WHERE tenant_id = $1 AND type = ANY ($2) AND NOT parked AND definition_key = ANY ($3) LIMIT $4)
                 UNION ALL
                 (SELECT key FROM workflow.job
                  WHERE tenant_id = $1 AND parked AND definition_key = ANY ($3) LIMIT $4)))
             RETURNING bytes
         ), counted AS (",
        count_usage!(active: "0", bytes: "-sum(bytes)", from: "gone"),
        ")
         SELECT count(*) > 0 FROM gone"
    ))
    .bind(tenant.as_str())
    .bind(&canceling.job_types)
    .bind(&canceling.keys)
    .bind(limit)
    .fetch_one(tx.connection())
    .await
}

/// Removes the mark when none of their instances runs. The transaction must hold the tenant's exclusive lock, so that
/// no version is marked meanwhile.
pub async fn mark_canceled(tx: &mut TenantTx, canceling: &Canceling) -> Result<(), sqlx::Error> {
    let tenant = tx.tenant().clone();
    sqlx::query(
        "UPDATE workflow.process_definition SET canceling_after = NULL WHERE tenant_id = $1 AND key = ANY ($2)",
    )
    .bind(tenant.as_str())
    .bind(&canceling.keys)
    .execute(tx.connection())
    .await?;
    sqlx::query(
        "UPDATE workflow.tenant SET canceling = false WHERE tenant_id = $1 AND NOT EXISTS (
             SELECT FROM workflow.process_definition d WHERE d.tenant_id = $1 AND d.canceling_after IS NOT NULL)",
    )
    .bind(tenant.as_str())
    .execute(tx.connection())
    .await?;
    Ok(())
}
