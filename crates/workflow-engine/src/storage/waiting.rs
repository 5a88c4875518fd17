//! Where running instances wait. There is no index by element, since every job would have to write it. Jobs are found by
//! their types, incidents by their versions, and joins by the instances of both: an instance with neither has ended.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::types::Json;

use crate::database::TenantTx;

/// Jobs that one statement reads, whether they match or not, and incidents. Reading them takes about a tenth of a second, and
/// with all their instances about half a second.
const MAX_READ: i64 = 50_000;

/// What has to be read for a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Of all its versions, retired ones included, since their instances may still run.
    versions: Vec<i64>,
    /// Types of its jobs. Each of them has a job that is not parked, perhaps of another process.
    job_types: Vec<String>,
}

impl Scope {
    /// How many jobs of each type are read. A type that is shared with a process with a large backlog must not use up what the
    /// other types need.
    fn share(&self) -> i64 {
        (MAX_READ / i64::try_from(self.job_types.len()).unwrap_or(i64::MAX).max(1)).max(1)
    }

    /// The same for these versions only.
    #[must_use]
    pub fn narrowed(&self, versions: Vec<i64>) -> Self {
        Self { versions, job_types: self.job_types.clone() }
    }
}

pub async fn find_scope(tx: &mut TenantTx, process_id: &str) -> Result<Scope, sqlx::Error> {
    let tenant = tx.tenant().clone();
    let versions = sqlx::query_as::<_, (i64, Vec<String>)>(
        "SELECT key, job_types FROM workflow.process_definition WHERE tenant_id = $1 AND process_id = $2",
    )
    .bind(tenant.as_str())
    .bind(process_id)
    .fetch_all(tx.connection())
    .await?;
    let keys = versions.iter().map(|(key, _)| *key).collect();
    let job_types: BTreeSet<String> = versions.into_iter().flat_map(|(_, job_types)| job_types).collect();
    let job_types = sqlx::query_scalar(
        "SELECT t.type FROM unnest($2::text[]) AS t(type) CROSS JOIN LATERAL (
             SELECT FROM workflow.job j WHERE j.tenant_id = $1 AND j.type = t.type AND NOT j.parked
             ORDER BY j.run_at LIMIT 1
         ) j",
    )
    .bind(tenant.as_str())
    .bind(job_types.into_iter().collect::<Vec<_>>())
    .fetch_all(tx.connection())
    .await?;
    Ok(Scope { versions: keys, job_types })
}

/// An instance, and an element at which it waits.
pub type Place = (i64, String);

/// What was found at jobs and incidents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub places: BTreeSet<Place>,
    /// Versions that have running instances.
    pub running: Vec<i64>,
    /// There are more jobs or incidents than were read.
    pub is_cut: bool,
}

/// At most `limit` places of running instances at the elements: with a job, leased or not, or with an incident. (A parked job
/// has an incident at the same element.)
pub async fn find_places(
    tx: &mut TenantTx,
    scope: &Scope,
    element_ids: &[String],
    limit: i64,
) -> Result<Found, sqlx::Error> {
    let tenant = tx.tenant().clone();
    let (is_cut, running, instances, elements) = sqlx::query_as::<_, (bool, Vec<i64>, Vec<i64>, Vec<String>)>(
        "WITH read AS MATERIALIZED (
             SELECT r.* FROM unnest($3::text[]) AS busy(type) CROSS JOIN LATERAL (
                 SELECT count(*) > $4 AS is_cut,
                        array_agg(DISTINCT j.definition_key) FILTER (WHERE j.is_ours) AS running,
                        array_agg(j.instance_key) FILTER (WHERE j.is_ours AND j.is_asked) AS instances,
                        array_agg(j.element_id) FILTER (WHERE j.is_ours AND j.is_asked) AS elements
                 FROM (
                     SELECT j.instance_key, j.definition_key, j.element_id,
                            j.definition_key IN (SELECT unnest($2::bigint[])) AS is_ours,
                            j.element_id IN (SELECT unnest($6::text[])) AS is_asked
                     FROM workflow.job j
                     WHERE j.tenant_id = $1 AND j.type = busy.type AND NOT j.parked
                     ORDER BY j.run_at LIMIT $4 + 1
                 ) j
             ) r
             UNION ALL
             SELECT count(*) > $5, array_agg(DISTINCT n.definition_key),
                    array_agg(n.instance_key) FILTER (WHERE n.is_asked),
                    array_agg(n.element_id) FILTER (WHERE n.is_asked)
             FROM (
                 SELECT n.instance_key, n.definition_key, n.element_id,
                        n.element_id IN (SELECT unnest($6::text[])) AS is_asked
                 FROM unnest($2::bigint[]) AS version(key) CROSS JOIN LATERAL (
                     SELECT n.instance_key, n.definition_key, n.element_id FROM workflow.incident n
                     WHERE n.tenant_id = $1 AND n.definition_key = version.key AND n.definition_key > 0
                     ORDER BY n.key LIMIT $5 + 1
                 ) n
                 LIMIT $5 + 1
             ) n
         ), found AS MATERIALIZED (
             SELECT p.instance_key, p.element_id
             FROM (
                 SELECT DISTINCT p.instance_key, p.element_id
                 FROM read CROSS JOIN LATERAL unnest(read.instances, read.elements) AS p(instance_key, element_id)
             ) p CROSS JOIN LATERAL (
                 SELECT i.state FROM workflow.instance i WHERE i.tenant_id = $1 AND i.key = p.instance_key LIMIT 1
             ) i
             WHERE i.state = 1 LIMIT $7
         )
         SELECT (SELECT bool_or(is_cut) FROM read), ARRAY(SELECT DISTINCT unnest(running) FROM read),
                ARRAY(SELECT instance_key FROM found), ARRAY(SELECT element_id FROM found)",
    )
    .bind(tenant.as_str())
    .bind(&scope.versions)
    .bind(&scope.job_types)
    .bind(scope.share())
    .bind(MAX_READ)
    .bind(element_ids)
    .bind(limit)
    .fetch_one(tx.connection())
    .await?;
    Ok(Found { places: instances.into_iter().zip(elements).collect(), running, is_cut })
}

/// An instance with tokens at joins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joining {
    pub instance_key: i64,
    pub definition_key: i64,
    /// As in [`Marking::arrived`](crate::runtime::tokens::Marking::arrived).
    pub arrived: BTreeMap<String, u32>,
}

/// At most `limit` running instances with tokens that came over one of the flows to a join. Reads the same jobs and incidents as
/// [`find_places`], and the instances of all of them.
pub async fn find_joining(
    tx: &mut TenantTx,
    scope: &Scope,
    flow_ids: &[String],
    limit: i64,
) -> Result<Vec<Joining>, sqlx::Error> {
    let tenant = tx.tenant().clone();
    let rows = sqlx::query_as::<_, (i64, i64, Json<BTreeMap<String, u32>>)>(
        "WITH running AS MATERIALIZED (
             SELECT j.instance_key FROM unnest($3::text[]) AS busy(type) CROSS JOIN LATERAL (
                 SELECT j.instance_key, j.definition_key FROM workflow.job j
                 WHERE j.tenant_id = $1 AND j.type = busy.type AND NOT j.parked
                 ORDER BY j.run_at LIMIT $4 + 1
             ) j
             WHERE j.definition_key IN (SELECT unnest($2::bigint[]))
             UNION
             SELECT n.instance_key FROM (
                 SELECT n.instance_key FROM unnest($2::bigint[]) AS version(key) CROSS JOIN LATERAL (
                     SELECT n.instance_key FROM workflow.incident n
                     WHERE n.tenant_id = $1 AND n.definition_key = version.key AND n.definition_key > 0
                     ORDER BY n.key LIMIT $5 + 1
                 ) n
                 LIMIT $5 + 1
             ) n
         )
         SELECT r.instance_key, i.definition_key, i.arrived
         FROM running r CROSS JOIN LATERAL (
             SELECT i.definition_key, i.state, i.marking -> 'arrived' AS arrived FROM workflow.instance i
             WHERE i.tenant_id = $1 AND i.key = r.instance_key LIMIT 1
         ) i
         WHERE i.state = 1 AND i.arrived ?| $6 LIMIT $7",
    )
    .bind(tenant.as_str())
    .bind(&scope.versions)
    .bind(&scope.job_types)
    .bind(scope.share())
    .bind(MAX_READ)
    .bind(flow_ids)
    .bind(limit)
    .fetch_all(tx.connection())
    .await?;
    let joining =
        |(instance_key, definition_key, Json(arrived))| Joining { instance_key, definition_key, arrived };
    Ok(rows.into_iter().map(joining).collect())
}
