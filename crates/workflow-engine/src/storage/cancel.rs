//! Canceling instances. The order of locks is jobs, instances, incidents, as everywhere else, so that deadlocks with
//! completions are rare. After a deadlock the aborted transaction is retried.

use std::collections::BTreeSet;

use sqlx::types::Json;

use super::usage::count_usage;
use crate::database::TenantTx;
use crate::runtime::tokens::Marking;

/// Keys of the canceled instances and of their deleted jobs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Canceled {
    pub instances: Vec<i64>,
    pub jobs: Vec<i64>,
}

/// Cancels those of the instances that are running, and deletes their jobs and incidents.
pub async fn cancel(tx: &mut TenantTx, keys: &[i64]) -> Result<Canceled, sqlx::Error> {
    let known = find_jobs(tx, keys).await?;
    delete_jobs(tx, &known).await?;
    let running = lock(tx, keys).await?;
    let instances: Vec<i64> = running.iter().map(|(key, _)| *key).collect();
    let jobs: Vec<i64> = running.into_iter().flat_map(|(_, jobs)| jobs).collect();
    // Created by a completion after the jobs were read and before the instances were locked.
    let newer: Vec<i64> = jobs.iter().copied().filter(|key| !known.contains(key)).collect();
    if !newer.is_empty() {
        delete_jobs(tx, &newer).await?;
    }
    if !instances.is_empty() {
        end(tx, &instances).await?;
    }
    Ok(Canceled { instances, jobs })
}

async fn find_jobs(tx: &mut TenantTx, keys: &[i64]) -> Result<BTreeSet<i64>, sqlx::Error> {
    let tenant = tx.tenant().clone();
    let markings = sqlx::query_scalar::<_, Json<Marking>>(
        "SELECT i.marking FROM unnest($2::bigint[]) AS named(key) CROSS JOIN LATERAL (
             SELECT i.marking FROM workflow.instance i
             WHERE i.tenant_id = $1 AND i.key = named.key AND i.state = 1 LIMIT 1
         ) i",
    )
    .bind(tenant.as_str())
    .bind(keys)
    .fetch_all(tx.connection())
    .await?;
    Ok(markings.into_iter().flat_map(|Json(marking)| marking.jobs).collect())
}

async fn delete_jobs(tx: &mut TenantTx, keys: impl IntoIterator<Item = &i64>) -> Result<(), sqlx::Error> {
    let tenant = tx.tenant().clone();
    sqlx::query(concat!(
        "WITH gone AS (DELETE FROM workflow.job WHERE tenant_id = $1 AND key = ANY ($2) RETURNING bytes) ",
        count_usage!(active: "0", bytes: "-sum(bytes)", from: "gone")
    ))
    .bind(tenant.as_str())
    .bind(keys.into_iter().copied().collect::<Vec<i64>>())
    .execute(tx.connection())
    .await?;
    Ok(())
}

async fn lock(tx: &mut TenantTx, keys: &[i64]) -> Result<Vec<(i64, Vec<i64>)>, sqlx::Error> {
    let tenant = tx.tenant().clone();
    let rows = sqlx::query_as::<_, (i64, Json<Marking>)>(
        "SELECT i.key, i.marking
         FROM (SELECT key FROM unnest($2::bigint[]) AS named(key) ORDER BY key) named
         CROSS JOIN LATERAL (
             SELECT i.key, i.marking FROM workflow.instance i
             WHERE i.tenant_id = $1 AND i.key = named.key AND i.state = 1 FOR UPDATE
         ) i",
    )
    .bind(tenant.as_str())
    .bind(keys)
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(|(key, Json(marking))| (key, marking.jobs)).collect())
}

/// The instances exist and are locked, so the insert always becomes an update. Their markings and variables stay.
async fn end(tx: &mut TenantTx, instances: &[i64]) -> Result<(), sqlx::Error> {
    let tenant = tx.tenant().clone();
    sqlx::query(concat!(
        "WITH ended AS (
             INSERT INTO workflow.instance (tenant_id, key, definition_key, state, marking, variables)
             SELECT $1, ended.key, 0, 3, '{}', '{}' FROM unnest($2::bigint[]) AS ended(key)
             ON CONFLICT (tenant_id, key) DO UPDATE SET state = 3, ended_at = now()
         ), incidents AS (
             DELETE FROM workflow.incident WHERE tenant_id = $1 AND key = ANY (ARRAY(
                 SELECT n.key FROM unnest($2::bigint[]) AS ended(key) CROSS JOIN LATERAL (
                     SELECT n.key FROM workflow.incident n
                     WHERE n.tenant_id = $1 AND n.instance_key = ended.key AND n.instance_key > 0 OFFSET 0
                 ) n))
         ) ",
        count_usage!(active: "-count(*)", bytes: "0", from: "unnest($2::bigint[])")
    ))
    .bind(tenant.as_str())
    .bind(instances)
    .execute(tx.connection())
    .await?;
    Ok(())
}
