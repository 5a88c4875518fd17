//! Job lag: how long jobs have waited, by tenant and job type.

use jiff::Timestamp;

use super::job_types::MAX_PER_TENANT;
use crate::database::MonitorTx;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lag {
    pub tenant_id: String,
    pub job_type: String,
    pub activatable: i64,
    pub oldest_run_at: Option<Timestamp>,
    pub activated: i64,
}

/// The lag of each known pair, without the count of activatable jobs, and the database's time.
///
/// Known are the types of deployed processes and those of existing jobs, except for tenants that are being deleted.
/// Types of jobs are found by skipping through the index from pair to pair, without reading every job: some 50 µs per
/// pair, however many jobs wait. Jobs of deleted processes may have any number of types, so only the first
/// [`MAX_PER_TENANT`] types of a tenant's jobs are found: one tenant must not use up the time of all.
pub async fn observe_oldest(tx: &mut MonitorTx) -> Result<(Vec<Lag>, Timestamp), sqlx::Error> {
    type Row = (String, String, Option<jiff_sqlx::Timestamp>, i64);
    let rows = sqlx::query_as::<_, Row>(
        "WITH RECURSIVE pair AS (
             (SELECT tenant_id, type, 1 AS nth FROM workflow.job WHERE NOT parked ORDER BY tenant_id, type LIMIT 1)
             UNION ALL
             SELECT next.tenant_id, next.type, CASE next.tenant_id WHEN pair.tenant_id THEN pair.nth + 1 ELSE 1 END
             FROM pair CROSS JOIN LATERAL (
                 SELECT j.tenant_id, j.type FROM workflow.job j
                 WHERE NOT j.parked AND (j.tenant_id, j.type) > (pair.tenant_id, CASE
                     -- Greater than every possible type.
                     WHEN pair.nth >= $1 THEN repeat(chr(1114111), 256) ELSE pair.type END)
                 ORDER BY j.tenant_id, j.type LIMIT 1
             ) next
         ), known AS (
             SELECT all_pairs.tenant_id, all_pairs.type
             FROM (SELECT tenant_id, type FROM pair UNION SELECT tenant_id, type FROM workflow.job_type) all_pairs
             WHERE all_pairs.tenant_id NOT LIKE '\\_canary-%'
               AND NOT EXISTS (SELECT FROM workflow.tenant t
                               WHERE t.tenant_id = all_pairs.tenant_id AND t.deleting_since IS NOT NULL)
         )
         SELECT known.tenant_id, known.type, oldest.run_at, taken.count
         FROM known
         LEFT JOIN LATERAL (
             SELECT j.run_at FROM workflow.job j
             WHERE j.tenant_id = known.tenant_id AND j.type = known.type AND NOT j.parked AND j.run_at <= now()
             ORDER BY j.run_at LIMIT 1
         ) oldest ON true
         CROSS JOIN LATERAL (
             SELECT count(*) FROM workflow.job j
             WHERE j.tenant_id = known.tenant_id AND j.type = known.type AND NOT j.parked AND j.run_at > now()
               AND j.worker IS NOT NULL
         ) taken
         ORDER BY 1, 2",
    )
    .bind(MAX_PER_TENANT)
    .fetch_all(tx.connection())
    .await?;
    let lags = rows
        .into_iter()
        .map(|(tenant_id, job_type, oldest, activated)| Lag {
            tenant_id,
            job_type,
            activatable: 0,
            oldest_run_at: oldest.map(jiff_sqlx::Timestamp::to_jiff),
            activated,
        })
        .collect();
    let measured_at: jiff_sqlx::Timestamp =
        sqlx::query_scalar("SELECT now()").fetch_one(tx.connection()).await?;
    Ok((lags, measured_at.to_jiff()))
}

/// Counts the activatable jobs of each pair that has any. Reads the index entry of every waiting job: half a second for
/// a million.
pub async fn count_activatable(tx: &mut MonitorTx) -> Result<Vec<(String, String, i64)>, sqlx::Error> {
    sqlx::query_as(
        "SELECT tenant_id, type, count(*) FROM workflow.job
         WHERE NOT parked AND run_at <= now() AND tenant_id NOT LIKE '\\_canary-%' GROUP BY tenant_id, type",
    )
    .fetch_all(tx.connection())
    .await
}
