//! Writing instances: starting them, moving their tokens, and deleting finished ones.

use std::time::Duration;

use serde_json::Value;
use sqlx::types::Json;

use super::incidents::kind_number;
use super::tenants::Quotas;
use super::usage::count_usage;
use crate::database::TenantTx;
use crate::runtime::tokens::{Marking, NewIncident};

/// All that a start must read, in one statement.
#[derive(Debug)]
pub struct StartContext {
    pub suspended: bool,
    pub being_deleted: bool,
    pub quotas: Quotas,
    pub usage: Usage,
    pub definition_key: Option<i64>,
}

/// Current usage of the quotas that limit starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    pub active_instances: i64,
    pub jobs_this_minute: i64,
}

/// `None` = no such tenant. `version` 0 = the latest.
pub async fn observe_start_context(
    tx: &mut TenantTx,
    process_id: &str,
    version: i32,
) -> Result<Option<StartContext>, sqlx::Error> {
    let tenant = tx.tenant().clone();
    let row = sqlx::query_as::<_, (bool, bool, i64, i64, i64, i64, i64, Option<i64>)>(
        "SELECT t.suspended, t.deleting_since IS NOT NULL, t.max_active_instances, t.max_jobs_per_minute, t.max_storage_bytes,
                used.active_instances, used.jobs, d.key
         FROM workflow.tenant t
         CROSS JOIN LATERAL (
             SELECT coalesce(sum(c.active_instances), 0)::bigint AS active_instances,
                    coalesce(sum(c.jobs) FILTER (WHERE c.minute = floor(extract(epoch FROM now()) / 60)::bigint), 0)::bigint AS jobs
             FROM workflow.tenant_counter c
             WHERE c.tenant_id = $1 AND t.max_active_instances + t.max_jobs_per_minute > 0
         ) used
         LEFT JOIN workflow.process_definition d
           ON d.tenant_id = $1 AND d.process_id = $2 AND d.retired_at IS NULL
          AND d.version = CASE WHEN $3 <> 0 THEN $3
              ELSE (SELECT p.last_version FROM workflow.process p WHERE p.tenant_id = $1 AND p.process_id = $2) END
         WHERE t.tenant_id = $1",
    )
    .bind(tenant.as_str())
    .bind(process_id)
    .bind(version)
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(
        |(
            suspended,
            being_deleted,
            instances,
            jobs,
            storage,
            active_instances,
            jobs_this_minute,
            definition_key,
        )| {
            StartContext {
                suspended,
                being_deleted,
                quotas: Quotas {
                    max_active_instances: instances,
                    max_jobs_per_minute: jobs,
                    max_storage_bytes: storage,
                },
                usage: Usage { active_instances, jobs_this_minute },
                definition_key,
            }
        },
    ))
}

/// An instance to insert or update.
#[derive(Debug)]
pub struct InstanceRow {
    pub key: i64,
    pub definition_key: i64,
    pub marking: Marking,
    /// `None` = they do not change.
    pub variables: Option<Value>,
    pub completed: bool,
}

#[derive(Debug)]
pub struct JobRow {
    pub key: i64,
    pub job_type: String,
    pub instance_key: i64,
    pub definition_key: i64,
    pub element_id: String,
    pub retries: i32,
}

#[derive(Debug)]
pub struct IncidentRow {
    pub key: i64,
    pub instance_key: i64,
    pub definition_key: i64,
    pub incident: NewIncident,
}

/// All changes of one transaction that moves tokens.
#[derive(Debug, Default)]
pub struct Changes {
    pub started: Vec<InstanceRow>,
    pub moved: Vec<InstanceRow>,
    pub jobs: Vec<JobRow>,
    pub incidents: Vec<IncidentRow>,
    /// Stored bytes of the jobs that were deleted in the same transaction.
    pub freed_bytes: i64,
}

impl Changes {
    fn active_delta(&self) -> i64 {
        let count = |rows: &[InstanceRow], completed: bool| {
            i64::try_from(rows.iter().filter(|row| row.completed == completed).count()).unwrap_or(i64::MAX)
        };
        count(&self.started, false) - count(&self.moved, true)
    }
}

/// Rows of a tenant's counter. A row stays locked until the commit of its writer is synced.
const SHARDS: i16 = 64;

/// Which counter row a transaction updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CounterShard {
    /// A random one, so that writers rarely wait for each other.
    Any,
    /// Shard 0, for all starts of a tenant with a quota: its row lock makes the returned usage exact.
    Exact,
    /// A random one except shard 0, so that completions never wait for starts of a tenant with a quota.
    NotExact,
}

impl CounterShard {
    fn number(self) -> i16 {
        match self {
            Self::Any => rand::random_range(0..SHARDS),
            Self::Exact => 0,
            Self::NotExact => rand::random_range(1..SHARDS),
        }
    }
}

/// Writes the changes in one statement, and incidents in a second one. The returned usage is exact only with
/// [`CounterShard::Exact`]; otherwise it is that of the one shard. Postgres refuses a started instance whose key is in
/// use ([`crate::error::Error::is_key_collision`]). Moved instances exist and are locked, so their insert always
/// becomes an update.
pub async fn write_changes(
    tx: &mut TenantTx,
    changes: &Changes,
    shard: CounterShard,
) -> Result<Usage, sqlx::Error> {
    let tenant = tx.tenant().clone();
    let Changes { started, moved, .. } = changes;
    let (active_instances, jobs_this_minute) = sqlx::query_as::<_, (i64, i64)>(
        "WITH former AS (
             SELECT i.bytes FROM unnest($15::bigint[]) AS m(key) CROSS JOIN LATERAL (
                 SELECT i.bytes FROM workflow.instance i WHERE i.tenant_id = $1 AND i.key = m.key LIMIT 1
             ) i
         ), started AS (
             INSERT INTO workflow.instance (tenant_id, key, definition_key, state, marking, variables, ended_at)
             SELECT $1, s.key, s.definition_key, CASE WHEN s.completed THEN 2 ELSE 1 END, s.marking,
                    coalesce(s.variables, '{}'), CASE WHEN s.completed THEN now() END
             FROM unnest($2::bigint[], $3::bigint[], $4::jsonb[], $5::jsonb[], $6::boolean[])
                  AS s(key, definition_key, marking, variables, completed)
             RETURNING bytes
         ), moved AS (
             INSERT INTO workflow.instance AS i (tenant_id, key, definition_key, state, marking, variables, ended_at)
             SELECT $1, m.key, m.definition_key, CASE WHEN m.completed THEN 2 ELSE 1 END, m.marking,
                    coalesce(m.variables, 'null'), CASE WHEN m.completed THEN now() END
             FROM unnest($15::bigint[], $16::bigint[], $17::jsonb[], $18::jsonb[], $19::boolean[])
                  AS m(key, definition_key, marking, variables, completed)
             ON CONFLICT (tenant_id, key) DO UPDATE
             SET state = EXCLUDED.state, marking = EXCLUDED.marking, ended_at = EXCLUDED.ended_at,
                 variables = CASE EXCLUDED.variables WHEN 'null' THEN i.variables ELSE EXCLUDED.variables END
             RETURNING bytes
         ), queued AS (
             INSERT INTO workflow.job (tenant_id, key, type, instance_key, definition_key, element_id, retries, run_at)
             SELECT $1, j.key, j.type, j.instance_key, j.definition_key, j.element_id, j.retries, now()
             FROM unnest($7::bigint[], $8::text[], $9::bigint[], $10::bigint[], $11::text[], $12::integer[])
                  AS j(key, type, instance_key, definition_key, element_id, retries)
             RETURNING bytes
         ), written AS (
             SELECT bytes FROM started UNION ALL SELECT bytes FROM moved UNION ALL SELECT bytes FROM queued
         ), counted AS (
             INSERT INTO workflow.tenant_counter AS c
                 (tenant_id, shard, active_instances, minute, jobs, jobs_before, storage_bytes)
             SELECT $1, $13, $14, floor(extract(epoch FROM now()) / 60)::bigint, cardinality($7), 0,
                    coalesce(sum(bytes), 0) - (SELECT coalesce(sum(bytes), 0) FROM former) - $20 FROM written
             ON CONFLICT (tenant_id, shard) DO UPDATE
             SET active_instances = c.active_instances + EXCLUDED.active_instances,
                 storage_bytes = c.storage_bytes + EXCLUDED.storage_bytes,
                 jobs_before = CASE WHEN EXCLUDED.minute <= c.minute THEN c.jobs_before
                                    WHEN EXCLUDED.minute = c.minute + 1 THEN c.jobs ELSE 0 END,
                 jobs = CASE WHEN EXCLUDED.minute <= c.minute THEN c.jobs ELSE 0 END + EXCLUDED.jobs,
                 minute = greatest(EXCLUDED.minute, c.minute)
             WHERE EXCLUDED.active_instances <> 0 OR EXCLUDED.jobs <> 0 OR EXCLUDED.storage_bytes <> 0
             RETURNING c.active_instances, c.jobs, c.minute
         )
         SELECT coalesce(sum(active_instances), 0)::bigint, coalesce(sum(jobs), 0)::bigint
         FROM (
             SELECT active_instances, jobs FROM counted
             UNION ALL
             SELECT o.active_instances, CASE WHEN o.minute = (SELECT minute FROM counted) THEN o.jobs ELSE 0 END
             FROM workflow.tenant_counter o WHERE o.tenant_id = $1 AND $13 = 0 AND o.shard <> 0
         ) shards",
    )
    .bind(tenant.as_str())
    .bind(started.iter().map(|row| row.key).collect::<Vec<_>>())
    .bind(started.iter().map(|row| row.definition_key).collect::<Vec<_>>())
    .bind(started.iter().map(|row| Json(&row.marking)).collect::<Vec<_>>())
    .bind(started.iter().map(|row| row.variables.as_ref().map(Json)).collect::<Vec<_>>())
    .bind(started.iter().map(|row| row.completed).collect::<Vec<_>>())
    .bind(changes.jobs.iter().map(|job| job.key).collect::<Vec<_>>())
    .bind(changes.jobs.iter().map(|job| job.job_type.as_str()).collect::<Vec<_>>())
    .bind(changes.jobs.iter().map(|job| job.instance_key).collect::<Vec<_>>())
    .bind(changes.jobs.iter().map(|job| job.definition_key).collect::<Vec<_>>())
    .bind(changes.jobs.iter().map(|job| job.element_id.as_str()).collect::<Vec<_>>())
    .bind(changes.jobs.iter().map(|job| job.retries).collect::<Vec<_>>())
    .bind(shard.number())
    .bind(changes.active_delta())
    .bind(moved.iter().map(|row| row.key).collect::<Vec<_>>())
    .bind(moved.iter().map(|row| row.definition_key).collect::<Vec<_>>())
    .bind(moved.iter().map(|row| Json(&row.marking)).collect::<Vec<_>>())
    .bind(moved.iter().map(|row| row.variables.as_ref().map(Json)).collect::<Vec<_>>())
    .bind(moved.iter().map(|row| row.completed).collect::<Vec<_>>())
    .bind(changes.freed_bytes)
    .fetch_one(tx.connection())
    .await?;
    if !changes.incidents.is_empty() {
        insert_incidents(tx, &changes.incidents).await?;
    }
    Ok(Usage { active_instances, jobs_this_minute })
}

async fn insert_incidents(tx: &mut TenantTx, incidents: &[IncidentRow]) -> Result<(), sqlx::Error> {
    let tenant = tx.tenant().clone();
    let tokens = |row: &IncidentRow| i32::try_from(row.incident.tokens).unwrap_or(i32::MAX);
    sqlx::query(
        "INSERT INTO workflow.incident
             (tenant_id, key, instance_key, definition_key, element_id, message, flow_id, tokens, kind)
         SELECT $1, n.key, n.instance_key, n.definition_key, n.element_id, n.message, n.flow_id, n.tokens, n.kind
         FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::integer[],
                     $9::smallint[])
              AS n(key, instance_key, definition_key, element_id, message, flow_id, tokens, kind)",
    )
    .bind(tenant.as_str())
    .bind(incidents.iter().map(|row| row.key).collect::<Vec<_>>())
    .bind(incidents.iter().map(|row| row.instance_key).collect::<Vec<_>>())
    .bind(incidents.iter().map(|row| row.definition_key).collect::<Vec<_>>())
    .bind(incidents.iter().map(|row| row.incident.element_id.as_str()).collect::<Vec<_>>())
    .bind(incidents.iter().map(|row| row.incident.message.as_str()).collect::<Vec<_>>())
    .bind(incidents.iter().map(|row| row.incident.flow_id.as_deref()).collect::<Vec<_>>())
    .bind(incidents.iter().map(tokens).collect::<Vec<_>>())
    .bind(incidents.iter().map(|row| kind_number(row.incident.kind)).collect::<Vec<_>>())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Reads `limit` instances after the key `after`, and deletes those that finished more than `retention` ago. Returns
/// the last key read; `None` = there are no more.
pub async fn delete_finished(
    tx: &mut TenantTx,
    after: i64,
    limit: i64,
    retention: Duration,
) -> Result<Option<i64>, sqlx::Error> {
    let tenant = tx.tenant().clone();
    sqlx::query_scalar(
        concat!(
            "WITH slice AS MATERIALIZED (
             SELECT key, ended_at FROM workflow.instance WHERE tenant_id = $1 AND key > $2 ORDER BY key LIMIT $3
         ), old AS (
             DELETE FROM workflow.instance i USING slice s
             WHERE i.tenant_id = $1 AND i.key = s.key AND s.ended_at < now() - make_interval(secs => $4)
             RETURNING i.key, i.bytes
         ), incidents AS (
             DELETE FROM workflow.incident n USING old
             WHERE n.tenant_id = $1 AND n.instance_key = old.key AND n.instance_key > 0
         ), counted AS (",
            count_usage!(active: "0", bytes: "-sum(bytes)", from: "old"),
            ")
         SELECT max(key) FROM slice HAVING count(*) = $3"
        ),
    )
    .bind(tenant.as_str())
    .bind(after)
    .bind(limit)
    .bind(retention.as_secs_f64())
    .fetch_optional(tx.connection())
    .await
    .map(Option::flatten)
}
