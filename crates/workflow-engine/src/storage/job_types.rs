//! The known job types of a tenant, and their limit.

use crate::database::TenantTx;

/// As many as four of the largest processes have, and far more than anybody runs workers for. Reading the lag of one
/// type takes some 50 µs, and that of all tenants must be read within seconds.
pub const MAX_PER_TENANT: i64 = 2_000;

/// Serializes deployments with new types, so that each sees the types of the others.
pub async fn lock(tx: &mut TenantTx) -> Result<(), sqlx::Error> {
    let tenant = tx.tenant().clone();
    sqlx::query("SELECT FROM workflow.tenant WHERE tenant_id = $1 FOR NO KEY UPDATE")
        .bind(tenant.as_str())
        .execute(tx.connection())
        .await?;
    Ok(())
}

pub async fn count(tx: &mut TenantTx) -> Result<i64, sqlx::Error> {
    let tenant = tx.tenant().clone();
    sqlx::query_scalar("SELECT count(*) FROM workflow.job_type WHERE tenant_id = $1")
        .bind(tenant.as_str())
        .fetch_one(tx.connection())
        .await
}

/// How many of `types` are not known yet.
pub async fn count_new(tx: &mut TenantTx, types: &[String]) -> Result<i64, sqlx::Error> {
    let tenant = tx.tenant().clone();
    sqlx::query_scalar(
        "SELECT count(*) FROM unnest($2::text[]) AS t(type) WHERE NOT EXISTS (
             SELECT FROM workflow.job_type k WHERE k.tenant_id = $1 AND k.type = t.type)",
    )
    .bind(tenant.as_str())
    .bind(types)
    .fetch_one(tx.connection())
    .await
}

/// Deletes the types that neither a latest version nor a job that is not parked has. `successor` are the types of the
/// version that becomes the latest of `process_id`. A later job of an older version makes its type known again.
pub async fn forget_superseded(
    tx: &mut TenantTx,
    process_id: &str,
    successor: &[String],
) -> Result<(), sqlx::Error> {
    let tenant = tx.tenant().clone();
    sqlx::query(
        "DELETE FROM workflow.job_type t WHERE t.tenant_id = $1 AND t.type <> ALL ($3) AND NOT EXISTS (
             SELECT FROM workflow.process_definition d
             JOIN workflow.process p ON p.tenant_id = d.tenant_id AND p.process_id = d.process_id
             WHERE d.tenant_id = $1 AND d.process_id <> $2 AND d.version = p.last_version AND d.retired_at IS NULL
               AND t.type = ANY (d.job_types))
         AND NOT EXISTS (
             SELECT FROM workflow.job j WHERE j.tenant_id = $1 AND j.type = t.type AND NOT j.parked)",
    )
    .bind(tenant.as_str())
    .bind(process_id)
    .bind(successor)
    .execute(tx.connection())
    .await?;
    Ok(())
}
