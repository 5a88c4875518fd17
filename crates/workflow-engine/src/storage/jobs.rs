//! Jobs: activating, completing, failing and releasing them, and extending leases. A lease is `worker` and an epoch
//! that grows with each activation. A caller with an older epoch has lost the lease.

use std::time::Duration;

use engine_api::model::IncidentKind;
use jiff::Timestamp;
use serde_json::Value;
use sqlx::Row;
use sqlx::postgres::PgRow;
use sqlx::types::Json;

use super::incidents::kind_number;
use crate::database::TenantTx;
use crate::runtime::tokens::Marking;

#[derive(Debug, Clone)]
pub struct ActivatedJob {
    pub key: i64,
    pub job_type: String,
    pub instance_key: i64,
    pub definition_key: i64,
    pub element_id: String,
    pub retries: i32,
    pub lease_epoch: i64,
    pub lease_expires_at: Timestamp,
    pub created_at: Timestamp,
    /// Since when it could be activated. Restored when it is released unseen.
    pub waited_since: Timestamp,
    pub variables: Value,
}

/// A job to release that was not sent to a worker.
#[derive(Debug, Clone, Copy)]
pub struct Unseen {
    pub key: i64,
    pub lease_epoch: i64,
    pub waited_since: Timestamp,
}

impl ActivatedJob {
    pub fn unseen(&self) -> Unseen {
        Unseen { key: self.key, lease_epoch: self.lease_epoch, waited_since: self.waited_since }
    }

    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let time = |column| row.try_get::<jiff_sqlx::Timestamp, _>(column).map(jiff_sqlx::Timestamp::to_jiff);
        Ok(Self {
            key: row.try_get("key")?,
            job_type: row.try_get("type")?,
            instance_key: row.try_get("instance_key")?,
            definition_key: row.try_get("definition_key")?,
            element_id: row.try_get("element_id")?,
            retries: row.try_get("retries")?,
            lease_epoch: row.try_get("lease_epoch")?,
            lease_expires_at: time("lease_expires_at")?,
            created_at: time("created_at")?,
            waited_since: time("waited_since")?,
            variables: row.try_get("variables")?,
        })
    }
}

/// Parameters of an activation.
#[derive(Debug, Clone)]
pub struct Demand {
    pub job_types: Vec<String>,
    pub worker: String,
    pub max_jobs: usize,
    pub lease: Duration,
}

/// Leases the jobs that have waited longest, in one statement. None if the tenant is suspended or being deleted.
pub async fn activate_jobs(tx: &mut TenantTx, demand: &Demand) -> Result<Vec<ActivatedJob>, sqlx::Error> {
    let tenant = tx.tenant().clone();
    let rows = sqlx::query(
        "WITH picked AS MATERIALIZED (
             SELECT waiting.key, waiting.run_at
             FROM unnest($2::text[]) AS wanted(type)
             CROSS JOIN LATERAL (
                 SELECT j.key, j.run_at FROM workflow.job j
                 WHERE j.tenant_id = $1 AND j.type = wanted.type AND NOT j.parked AND j.run_at <= now()
                 ORDER BY j.run_at LIMIT $3 FOR UPDATE SKIP LOCKED
             ) waiting
             WHERE EXISTS (SELECT FROM workflow.tenant t WHERE t.tenant_id = $1 AND NOT t.suspended AND t.deleting_since IS NULL)
             ORDER BY waiting.run_at LIMIT $3
         ), chosen AS MATERIALIZED (
             SELECT array_agg(key) AS keys, array_agg(run_at) AS run_ats FROM picked
         )
         UPDATE workflow.job AS j
         SET worker = $4, lease_epoch = j.lease_epoch + 1, run_at = now() + make_interval(secs => $5)
         WHERE j.tenant_id = $1 AND j.key = ANY ((SELECT keys FROM chosen)::bigint[])
         RETURNING j.key, j.type, j.instance_key, j.definition_key, j.element_id, j.retries, j.lease_epoch,
                   j.run_at AS lease_expires_at, j.created_at,
                   ((SELECT run_ats FROM chosen))[array_position((SELECT keys FROM chosen), j.key)] AS waited_since,
                   (SELECT i.variables FROM workflow.instance i
                    WHERE i.tenant_id = $1 AND i.key = j.instance_key) AS variables",
    )
    .bind(tenant.as_str())
    .bind(&demand.job_types)
    .bind(i64::try_from(demand.max_jobs).unwrap_or(i64::MAX))
    .bind(&demand.worker)
    .bind(demand.lease.as_secs_f64())
    .fetch_all(tx.connection())
    .await?;
    let mut jobs = rows.iter().map(ActivatedJob::from_row).collect::<Result<Vec<_>, _>>()?;
    jobs.sort_by_key(|job| (job.waited_since, job.key));
    Ok(jobs)
}

/// A completed job: its row is deleted, and its token must be advanced. Its instance is locked until the transaction
/// ends.
#[derive(Debug, Clone, PartialEq)]
pub struct CompletedJob {
    pub key: i64,
    pub element_id: String,
    pub instance_key: i64,
    pub definition_key: i64,
    pub marking: Marking,
    pub variables: Value,
}

/// The jobs that one statement completed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Completed {
    pub jobs: Vec<CompletedJob>,
    /// Stored bytes of the deleted jobs.
    pub bytes: i64,
}

/// Deletes those of the jobs whose lease is held and locks their instances, in one statement. Both are in the order of
/// their keys (the index scan sorts the array), so that two batches cannot deadlock. The result is ordered by instance.
pub async fn delete_completed(
    tx: &mut TenantTx,
    keys: &[i64],
    epochs: &[i64],
) -> Result<Completed, sqlx::Error> {
    type Row = (i64, String, i64, i64, Json<Marking>, Value, i64);
    let tenant = tx.tenant().clone();
    let rows = sqlx::query_as::<_, Row>(
        "WITH deleted AS (
             DELETE FROM workflow.job j
             WHERE j.tenant_id = $1 AND j.key = ANY ($2) AND j.worker IS NOT NULL
               AND j.lease_epoch = $3[array_position($2, j.key)]
             RETURNING j.key, j.element_id, j.instance_key, j.bytes
         )
         SELECT d.key, d.element_id, d.instance_key, i.definition_key, i.marking, i.variables,
                (SELECT sum(bytes) FROM deleted)
         FROM (SELECT * FROM deleted ORDER BY instance_key, key) d
         CROSS JOIN LATERAL (
             SELECT i.definition_key, i.marking, i.variables FROM workflow.instance i
             WHERE i.tenant_id = $1 AND i.key = d.instance_key AND i.state = 1 FOR UPDATE
         ) i",
    )
    .bind(tenant.as_str())
    .bind(keys)
    .bind(epochs)
    .fetch_all(tx.connection())
    .await?;
    let bytes = rows.first().map_or(0, |row| row.6);
    let jobs =
        rows.into_iter()
            .map(|(key, element_id, instance_key, definition_key, Json(marking), variables, ..)| {
                CompletedJob { key, element_id, instance_key, definition_key, marking, variables }
            })
            .collect();
    Ok(Completed { jobs, bytes })
}

/// The state of the lease that a worker refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    Held,
    /// The job exists, but another worker or none has its lease.
    Lost,
    /// The job does not exist.
    NoJob,
}

/// Reads why a job could not be changed.
pub async fn observe_lease(tx: &mut TenantTx, key: i64, epoch: i64) -> Result<Lease, sqlx::Error> {
    let tenant = tx.tenant().clone();
    let held: Option<bool> = sqlx::query_scalar(
        "SELECT lease_epoch = $3 AND worker IS NOT NULL FROM workflow.job
         WHERE tenant_id = $1 AND key = $2",
    )
    .bind(tenant.as_str())
    .bind(key)
    .bind(epoch)
    .fetch_optional(tx.connection())
    .await?;
    Ok(match held {
        Some(true) => Lease::Held,
        Some(false) => Lease::Lost,
        None => Lease::NoJob,
    })
}

/// Records a failure with retries left: the job can be activated after its backoff, which does not count as lag.
/// Returns its type; `None` = the lease is lost.
pub async fn record_failure(
    tx: &mut TenantTx,
    key: i64,
    epoch: i64,
    retries: i32,
    backoff: Duration,
) -> Result<Option<String>, sqlx::Error> {
    let tenant = tx.tenant().clone();
    sqlx::query_scalar(
        "UPDATE workflow.job SET worker = NULL, retries = $4, run_at = now() + make_interval(secs => $5)
         WHERE tenant_id = $1 AND key = $2 AND lease_epoch = $3 AND worker IS NOT NULL
         RETURNING type",
    )
    .bind(tenant.as_str())
    .bind(key)
    .bind(epoch)
    .bind(retries)
    .bind(backoff.as_secs_f64())
    .fetch_optional(tx.connection())
    .await
}

/// Records the last failure: the job is parked, and an incident is raised. Returns its type; `None` = the lease is
/// lost.
pub async fn record_incident(
    tx: &mut TenantTx,
    key: i64,
    epoch: i64,
    incident_key: i64,
    message: &str,
) -> Result<Option<String>, sqlx::Error> {
    let tenant = tx.tenant().clone();
    sqlx::query_scalar(
        "WITH parked AS (
             UPDATE workflow.job SET worker = NULL, retries = 0, parked = true
             WHERE tenant_id = $1 AND key = $2 AND lease_epoch = $3 AND worker IS NOT NULL
             RETURNING instance_key, definition_key, element_id, type
         ), raised AS (
             INSERT INTO workflow.incident
                 (tenant_id, key, instance_key, definition_key, element_id, message, job_key, tokens, kind)
             SELECT $1, $4, instance_key, definition_key, element_id, $5, $2, 1, $6 FROM parked
         )
         SELECT type FROM parked",
    )
    .bind(tenant.as_str())
    .bind(key)
    .bind(epoch)
    .bind(incident_key)
    .bind(message)
    .bind(kind_number(IncidentKind::JobNoRetries))
    .fetch_optional(tx.connection())
    .await
}

/// Sets a lease's end to `lease` from now, and returns it; `None` = the lease is lost.
pub async fn extend_lease(
    tx: &mut TenantTx,
    key: i64,
    epoch: i64,
    lease: Duration,
) -> Result<Option<Timestamp>, sqlx::Error> {
    let tenant = tx.tenant().clone();
    let expires_at: Option<jiff_sqlx::Timestamp> = sqlx::query_scalar(
        "UPDATE workflow.job SET run_at = now() + make_interval(secs => $4)
         WHERE tenant_id = $1 AND key = $2 AND lease_epoch = $3 AND worker IS NOT NULL
         RETURNING run_at",
    )
    .bind(tenant.as_str())
    .bind(key)
    .bind(epoch)
    .bind(lease.as_secs_f64())
    .fetch_optional(tx.connection())
    .await?;
    Ok(expires_at.map(jiff_sqlx::Timestamp::to_jiff))
}

/// Releases jobs that were not sent to a worker, as if they had never been activated.
pub async fn release_unseen(tx: &mut TenantTx, jobs: &[Unseen]) -> Result<(), sqlx::Error> {
    use jiff_sqlx::ToSqlx;

    let tenant = tx.tenant().clone();
    sqlx::query(
        "UPDATE workflow.job AS j SET worker = NULL, run_at = $4[array_position($2, j.key)]
         WHERE j.tenant_id = $1 AND j.key = ANY ($2) AND j.worker IS NOT NULL
           AND j.lease_epoch = $3[array_position($2, j.key)]",
    )
    .bind(tenant.as_str())
    .bind(jobs.iter().map(|job| job.key).collect::<Vec<_>>())
    .bind(jobs.iter().map(|job| job.lease_epoch).collect::<Vec<_>>())
    .bind(jobs.iter().map(|job| job.waited_since.to_sqlx()).collect::<Vec<_>>())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// The keys of the jobs whose lease is held and has not expired.
pub async fn list_running_leases(
    tx: &mut TenantTx,
    keys: &[i64],
    epochs: &[i64],
) -> Result<Vec<i64>, sqlx::Error> {
    let tenant = tx.tenant().clone();
    sqlx::query_scalar(
        "SELECT j.key FROM workflow.job j
         WHERE j.tenant_id = $1 AND j.key = ANY ($2) AND j.worker IS NOT NULL AND j.run_at > now()
           AND j.lease_epoch = $3[array_position($2, j.key)]",
    )
    .bind(tenant.as_str())
    .bind(keys)
    .bind(epochs)
    .fetch_all(tx.connection())
    .await
}
