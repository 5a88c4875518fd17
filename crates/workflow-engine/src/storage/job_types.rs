//! The job types that are known of a tenant, and how many they may be.

use crate::database::TenantTx;

/// Four of the largest processes, far more than anybody runs workers for. A look at the lag of one takes some 50 µs, and
/// all tenants together must be looked at within seconds.
pub const MAX_PER_TENANT: i64 = 2_000;

/// Deployments that bring new types take turns, so that all of them count.
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

/// How many of these are not known yet.
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

/// Forgets types that no latest version has, and no job that could be taken: `successor` becomes the latest of its process.
/// A job that still comes of an older version makes its type known again.
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
