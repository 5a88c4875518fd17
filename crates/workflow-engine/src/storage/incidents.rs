//! Open incidents: reading, counting and resolving them.

use engine_api::model::IncidentKind;
use jiff::Timestamp;
use serde_json::Value;
use sqlx::FromRow;
use sqlx::types::Json;

use super::usage::count_usage;
use crate::database::TenantTx;
use crate::runtime::tokens::{self, Marking};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    pub key: i64,
    pub kind: IncidentKind,
    pub instance_key: i64,
    pub definition_key: i64,
    pub process_id: String,
    pub version: i32,
    pub element_id: String,
    pub message: String,
    pub raised_at: Timestamp,
    /// `None` = its tokens have no job.
    pub job_key: Option<i64>,
    pub flow_id: Option<String>,
    pub tokens: u32,
}

#[derive(FromRow)]
struct IncidentColumns {
    key: i64,
    /// `None` = the version before 1.3.0 raised it, and the schema is not contracted yet.
    kind: Option<i16>,
    instance_key: i64,
    definition_key: i64,
    process_id: String,
    version: i32,
    element_id: String,
    message: String,
    raised_at: jiff_sqlx::Timestamp,
    job_key: Option<i64>,
    flow_id: Option<String>,
    tokens: i32,
}

/// The kind as it is stored.
pub const fn kind_number(kind: IncidentKind) -> i16 {
    match kind {
        IncidentKind::JobNoRetries => 1,
        IncidentKind::ConditionError => 2,
        IncidentKind::ExtractValueError => 3,
        IncidentKind::EndlessLoop => 4,
        IncidentKind::StuckJoin => 5,
    }
}

impl IncidentColumns {
    /// A row without a kind is judged as the contracting migration does it.
    fn kind(&self) -> IncidentKind {
        match self.kind {
            Some(1) => IncidentKind::JobNoRetries,
            Some(2) => IncidentKind::ConditionError,
            Some(3) => IncidentKind::ExtractValueError,
            Some(4) => IncidentKind::EndlessLoop,
            Some(_) => IncidentKind::StuckJoin,
            None if self.job_key.is_some() => IncidentKind::JobNoRetries,
            None if self.tokens == 0 => IncidentKind::StuckJoin,
            None if self.message == tokens::ENDLESS_LOOP => IncidentKind::EndlessLoop,
            None if self.message == tokens::NO_NUMBER => IncidentKind::ExtractValueError,
            None => IncidentKind::ConditionError,
        }
    }
}

impl From<IncidentColumns> for Incident {
    fn from(row: IncidentColumns) -> Self {
        Self {
            key: row.key,
            kind: row.kind(),
            instance_key: row.instance_key,
            definition_key: row.definition_key,
            process_id: row.process_id,
            version: row.version,
            element_id: row.element_id,
            message: row.message,
            raised_at: row.raised_at.to_jiff(),
            job_key: row.job_key,
            flow_id: row.flow_id,
            tokens: u32::try_from(row.tokens).unwrap_or_default(),
        }
    }
}

/// Columns of an [`Incident`], from incident `n` and definition `d`.
macro_rules! select_incident {
    ($rest:literal) => {
        concat!(
            "SELECT n.key, n.kind, n.instance_key, n.definition_key, d.process_id, d.version, n.element_id, n.message, n.raised_at,
                    n.job_key, n.flow_id, n.tokens ",
            $rest
        )
    };
}

/// Open incidents of the chosen versions, in the order of their keys, after the key `after`. The LATERAL uses the index
/// for each version.
pub async fn list(
    tx: &mut TenantTx,
    process_id: &str,
    version: i32,
    after: i64,
    limit: i64,
) -> Result<Vec<Incident>, sqlx::Error> {
    let tenant = tx.tenant().clone();
    let rows = sqlx::query_as::<_, IncidentColumns>(select_incident!(
        "FROM workflow.process_definition d CROSS JOIN LATERAL (
             SELECT * FROM workflow.incident n
             WHERE n.tenant_id = $1 AND n.definition_key = d.key AND n.definition_key > 0 AND n.key > $4
             ORDER BY n.key LIMIT $5
         ) n
         WHERE d.tenant_id = $1 AND ($2 = '' OR d.process_id = $2) AND ($3 = 0 OR d.version = $3)
         ORDER BY n.key LIMIT $5"
    ))
    .bind(tenant.as_str())
    .bind(process_id)
    .bind(version)
    .bind(after)
    .bind(limit)
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(Incident::from).collect())
}

pub async fn list_of_instance(
    tx: &mut TenantTx,
    instance_key: i64,
    after: i64,
    limit: i64,
) -> Result<Vec<Incident>, sqlx::Error> {
    let tenant = tx.tenant().clone();
    let rows = sqlx::query_as::<_, IncidentColumns>(select_incident!(
        "FROM (
             SELECT * FROM workflow.incident n
             WHERE n.tenant_id = $1 AND n.instance_key = $2 AND n.instance_key > 0 OFFSET 0
         ) n CROSS JOIN LATERAL (
             SELECT d.process_id, d.version FROM workflow.process_definition d
             WHERE d.tenant_id = $1 AND d.key = n.definition_key LIMIT 1
         ) d
         WHERE n.key > $3 ORDER BY n.key LIMIT $4"
    ))
    .bind(tenant.as_str())
    .bind(instance_key)
    .bind(after)
    .bind(limit)
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(Incident::from).collect())
}

/// The open incidents with these keys, ordered by instance.
pub async fn find(tx: &mut TenantTx, keys: &[i64]) -> Result<Vec<Incident>, sqlx::Error> {
    let tenant = tx.tenant().clone();
    let rows = sqlx::query_as::<_, IncidentColumns>(select_incident!(
        "FROM workflow.incident n CROSS JOIN LATERAL (
             SELECT d.process_id, d.version FROM workflow.process_definition d
             WHERE d.tenant_id = $1 AND d.key = n.definition_key LIMIT 1
         ) d
         WHERE n.tenant_id = $1 AND n.key = ANY ($2) ORDER BY n.instance_key, n.key"
    ))
    .bind(tenant.as_str())
    .bind(keys)
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(Incident::from).collect())
}

/// Number of open incidents of one version of a process.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Count {
    pub definition_key: i64,
    pub process_id: String,
    pub version: i32,
    pub open: i64,
}

/// Counts the open incidents of each version that has any. Reads the index entries of all of them.
pub async fn count(tx: &mut TenantTx) -> Result<Vec<Count>, sqlx::Error> {
    let tenant = tx.tenant().clone();
    sqlx::query_as(
        "SELECT c.definition_key, d.process_id, d.version, c.open
         FROM (
             SELECT n.definition_key, count(*) AS open FROM workflow.incident n
             WHERE n.tenant_id = $1 AND n.definition_key > 0 GROUP BY n.definition_key
         ) c CROSS JOIN LATERAL (
             SELECT d.process_id, d.version FROM workflow.process_definition d
             WHERE d.tenant_id = $1 AND d.key = c.definition_key LIMIT 1
         ) d
         ORDER BY d.process_id, d.version",
    )
    .bind(tenant.as_str())
    .fetch_all(tx.connection())
    .await
}

/// Number of instances with open incidents.
pub async fn count_instances(tx: &mut TenantTx) -> Result<i64, sqlx::Error> {
    let tenant = tx.tenant().clone();
    sqlx::query_scalar(
        "SELECT count(DISTINCT instance_key) FROM workflow.incident WHERE tenant_id = $1 AND instance_key > 0",
    )
        .bind(tenant.as_str())
        .fetch_one(tx.connection())
        .await
}

pub async fn delete(tx: &mut TenantTx, keys: &[i64]) -> Result<u64, sqlx::Error> {
    let tenant = tx.tenant().clone();
    let deleted = sqlx::query("DELETE FROM workflow.incident WHERE tenant_id = $1 AND key = ANY ($2)")
        .bind(tenant.as_str())
        .bind(keys)
        .execute(tx.connection())
        .await?;
    Ok(deleted.rows_affected())
}

/// Locks jobs in the order of their keys, before their instances, as completions do. Returns the parked ones. (With a
/// condition on `parked` the planner might read all parked jobs of the tenant.)
pub async fn lock_parked(tx: &mut TenantTx, jobs: &[i64]) -> Result<Vec<i64>, sqlx::Error> {
    let tenant = tx.tenant().clone();
    let locked = sqlx::query_as::<_, (i64, bool)>(
        "SELECT j.key, j.parked FROM workflow.job j WHERE j.tenant_id = $1 AND j.key = ANY ($2)
         ORDER BY j.key FOR UPDATE",
    )
    .bind(tenant.as_str())
    .bind(jobs)
    .fetch_all(tx.connection())
    .await?;
    Ok(locked.into_iter().filter(|(_, parked)| *parked).map(|(key, _)| key).collect())
}

/// Gives parked jobs new retries: they can be activated at once, and all former leases are lost. Returns their types.
pub async fn unpark(tx: &mut TenantTx, jobs: &[i64], retries: i32) -> Result<Vec<String>, sqlx::Error> {
    let tenant = tx.tenant().clone();
    sqlx::query_scalar(
        "UPDATE workflow.job SET parked = false, retries = $3, run_at = now(), lease_epoch = lease_epoch + 1
         WHERE tenant_id = $1 AND key = ANY ($2) RETURNING type",
    )
    .bind(tenant.as_str())
    .bind(jobs)
    .bind(retries)
    .fetch_all(tx.connection())
    .await
}

/// A running instance, locked until the transaction ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Running {
    pub key: i64,
    pub definition_key: i64,
    pub marking: Marking,
    pub variables: Value,
}

/// Locks those of the instances that are running, in the order of their keys.
pub async fn lock_running(tx: &mut TenantTx, keys: &[i64]) -> Result<Vec<Running>, sqlx::Error> {
    let tenant = tx.tenant().clone();
    let rows = sqlx::query_as::<_, (i64, i64, Json<Marking>, Value)>(
        "SELECT i.key, i.definition_key, i.marking, i.variables
         FROM (SELECT key FROM unnest($2::bigint[]) AS named(key) ORDER BY key) named
         CROSS JOIN LATERAL (
             SELECT * FROM workflow.instance i
             WHERE i.tenant_id = $1 AND i.key = named.key AND i.state = 1 FOR UPDATE
         ) i",
    )
    .bind(tenant.as_str())
    .bind(keys)
    .fetch_all(tx.connection())
    .await?;
    let running =
        |(key, definition_key, Json(marking), variables)| Running { key, definition_key, marking, variables };
    Ok(rows.into_iter().map(running).collect())
}

pub async fn update_variables(
    tx: &mut TenantTx,
    instance_key: i64,
    variables: &Value,
) -> Result<(), sqlx::Error> {
    let tenant = tx.tenant().clone();
    sqlx::query(concat!(
        "WITH former AS (
             SELECT bytes FROM workflow.instance WHERE tenant_id = $1 AND key = $2
         ), changed AS (
             UPDATE workflow.instance SET variables = $3 WHERE tenant_id = $1 AND key = $2 RETURNING bytes
         ) ",
        count_usage!(active: "0", bytes: "sum(changed.bytes - former.bytes)", from: "changed CROSS JOIN former")
    ))
    .bind(tenant.as_str())
    .bind(instance_key)
    .bind(Json(variables))
    .execute(tx.connection())
    .await?;
    Ok(())
}
