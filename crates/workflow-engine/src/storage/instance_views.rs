//! Reading instances: one with all details, and lists with a filter.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use sqlx::types::Json;
use sqlx::{FromRow, Row};

use crate::database::TenantTx;
use crate::runtime::tokens::Marking;

/// An instance and its open jobs, from one snapshot.
#[derive(Debug)]
pub struct Instance {
    pub key: i64,
    pub definition_key: i64,
    pub process_id: String,
    pub version: i32,
    pub state: i16,
    pub marking: Marking,
    pub variables: Value,
    pub started_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    pub jobs: Vec<OpenJob>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct OpenJob {
    pub key: i64,
    #[serde(rename = "type")]
    pub job_type: String,
    pub element_id: String,
    pub retries: i32,
}

pub async fn find_instance(tx: &mut TenantTx, key: i64) -> Result<Option<Instance>, sqlx::Error> {
    let tenant = tx.tenant().clone();
    let row = sqlx::query(
        "SELECT i.definition_key, d.process_id, d.version, i.state, i.marking, i.variables, i.started_at, i.ended_at,
                (SELECT coalesce(jsonb_agg(jsonb_build_object('key', j.key, 'type', j.type, 'element_id', j.element_id,
                                                              'retries', j.retries) ORDER BY j.key), '[]')
                 FROM workflow.job j WHERE j.tenant_id = $1 AND j.key = ANY (ARRAY(
                     SELECT jsonb_array_elements_text(i.marking -> 'jobs')::bigint))) AS jobs
         FROM workflow.instance i
         JOIN workflow.process_definition d ON d.tenant_id = i.tenant_id AND d.key = i.definition_key
         WHERE i.tenant_id = $1 AND i.key = $2",
    )
    .bind(tenant.as_str())
    .bind(key)
    .fetch_optional(tx.connection())
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Instance {
        key,
        definition_key: row.try_get("definition_key")?,
        process_id: row.try_get("process_id")?,
        version: row.try_get("version")?,
        state: row.try_get("state")?,
        marking: row.try_get::<Json<_>, _>("marking")?.0,
        variables: row.try_get("variables")?,
        started_at: row.try_get::<jiff_sqlx::Timestamp, _>("started_at")?.to_jiff(),
        ended_at: row
            .try_get::<Option<jiff_sqlx::Timestamp>, _>("ended_at")?
            .map(jiff_sqlx::Timestamp::to_jiff),
        jobs: row.try_get::<Json<_>, _>("jobs")?.0,
    }))
}

/// Filter of a list of instances.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Choice {
    /// 0 = any.
    pub state: i16,
    /// Empty = any.
    pub process_id: String,
    /// 0 = any.
    pub version: i32,
    pub has_incident: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    pub key: i64,
    pub definition_key: i64,
    pub process_id: String,
    pub version: i32,
    pub state: i16,
    pub started_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    pub open_incidents: i64,
}

/// The key after which the next page begins; `None` = this is the last page.
pub type Next = Option<i64>;

/// Instances that one statement reads, whether they match or not.
const SLICE: i64 = 5_000;
/// Slices per page; reading them takes about a tenth of a second.
const MAX_SLICES: usize = 10;

/// At most `limit` matching instances after the key `after`, in the order of their keys. There is no index of running
/// instances, since every start and end would have to write it. So the primary key is read in slices.
pub async fn list(
    tx: &mut TenantTx,
    choice: &Choice,
    after: i64,
    limit: usize,
) -> Result<(Vec<Summary>, Next), sqlx::Error> {
    let definitions =
        if choice.process_id.is_empty() { None } else { Some(find_definition_keys(tx, choice).await?) };
    let (mut chosen, mut after) = (Vec::new(), after);
    for _ in 0..MAX_SLICES {
        let (found, next) = list_slice(tx, choice, definitions.as_deref(), after).await?;
        chosen.extend(found);
        if chosen.len() > limit {
            chosen.truncate(limit);
            let last = chosen.last().map(|last| last.key);
            return Ok((chosen, last));
        }
        match next {
            Some(next) => after = next,
            None => return Ok((chosen, None)),
        }
    }
    Ok((chosen, Some(after)))
}

async fn find_definition_keys(tx: &mut TenantTx, choice: &Choice) -> Result<Vec<i64>, sqlx::Error> {
    let tenant = tx.tenant().clone();
    sqlx::query_scalar(
        "SELECT key FROM workflow.process_definition
         WHERE tenant_id = $1 AND process_id = $2 AND ($3 = 0 OR version = $3)",
    )
    .bind(tenant.as_str())
    .bind(&choice.process_id)
    .bind(choice.version)
    .fetch_all(tx.connection())
    .await
}

/// Selects the matching instances of one slice. `$slice` selects the slice's instances.
macro_rules! list_slice {
    ($slice:literal) => {
        concat!(
            "WITH slice AS MATERIALIZED (",
            $slice,
            "), chosen AS (
                 SELECT i.*, n.open FROM slice i
                 CROSS JOIN LATERAL (
                     SELECT count(*) AS open FROM workflow.incident n
                     WHERE n.tenant_id = $1 AND n.instance_key = i.key AND n.instance_key > 0
                 ) n
                 WHERE ($4 = 0 OR i.state = $4) AND ($5::bigint[] IS NULL OR i.definition_key = ANY ($5))
                   AND ($6::boolean IS NULL OR $6 = (n.open > 0))
             )
             SELECT (SELECT max(key) FROM slice HAVING count(*) = $3) AS next,
                    c.key, c.definition_key, c.state, c.started_at, c.ended_at, c.open, d.process_id, d.version
             FROM (VALUES (1)) once
             LEFT JOIN (chosen c CROSS JOIN LATERAL (
                 SELECT d.process_id, d.version FROM workflow.process_definition d
                 WHERE d.tenant_id = $1 AND d.key = c.definition_key LIMIT 1
             ) d) ON true
             ORDER BY c.key"
        )
    };
}

#[derive(FromRow)]
struct SliceRow {
    next: Option<i64>,
    key: Option<i64>,
    definition_key: Option<i64>,
    state: Option<i16>,
    started_at: Option<jiff_sqlx::Timestamp>,
    ended_at: Option<jiff_sqlx::Timestamp>,
    open: Option<i64>,
    process_id: Option<String>,
    version: Option<i32>,
}

async fn list_slice(
    tx: &mut TenantTx,
    choice: &Choice,
    definitions: Option<&[i64]>,
    after: i64,
) -> Result<(Vec<Summary>, Next), sqlx::Error> {
    let tenant = tx.tenant().clone();
    let statement = match choice.has_incident {
        Some(true) => list_slice!(
            "SELECT i.* FROM (
                 SELECT DISTINCT n.instance_key FROM workflow.incident n
                 WHERE n.tenant_id = $1 AND n.instance_key > $2 AND n.instance_key > 0 ORDER BY 1 LIMIT $3
             ) stuck CROSS JOIN LATERAL (
                 SELECT i.key, i.definition_key, i.state, i.started_at, i.ended_at FROM workflow.instance i
                 WHERE i.tenant_id = $1 AND i.key = stuck.instance_key LIMIT 1
             ) i"
        ),
        _ => list_slice!(
            "SELECT i.key, i.definition_key, i.state, i.started_at, i.ended_at FROM workflow.instance i
             WHERE i.tenant_id = $1 AND i.key > $2 ORDER BY i.key LIMIT $3"
        ),
    };
    let rows = sqlx::query_as::<_, SliceRow>(statement)
        .bind(tenant.as_str())
        .bind(after)
        .bind(SLICE)
        .bind(choice.state)
        .bind(definitions)
        .bind(choice.has_incident)
        .fetch_all(tx.connection())
        .await?;
    let next = rows.first().and_then(|row| row.next);
    Ok((rows.into_iter().filter_map(SliceRow::summary).collect(), next))
}

impl SliceRow {
    /// `None` for the single row of a slice without a match.
    fn summary(self) -> Option<Summary> {
        Some(Summary {
            key: self.key?,
            definition_key: self.definition_key?,
            process_id: self.process_id?,
            version: self.version?,
            state: self.state?,
            started_at: self.started_at?.to_jiff(),
            ended_at: self.ended_at.map(jiff_sqlx::Timestamp::to_jiff),
            open_incidents: self.open?,
        })
    }
}

/// Numbers of running instances by process, the highest first. Reads all instances of the tenant.
pub async fn count_running(tx: &mut TenantTx) -> Result<Vec<(String, i64)>, sqlx::Error> {
    let tenant = tx.tenant().clone();
    sqlx::query_as(
        "SELECT d.process_id, count(*) FROM workflow.instance i
         JOIN workflow.process_definition d ON d.tenant_id = i.tenant_id AND d.key = i.definition_key
         WHERE i.tenant_id = $1 AND i.state = 1 GROUP BY d.process_id ORDER BY 2 DESC, 1",
    )
    .bind(tenant.as_str())
    .fetch_all(tx.connection())
    .await
}
