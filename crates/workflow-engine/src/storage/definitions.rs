//! Process ids and their deployed versions.

use engine_api::model::Owner;
use jiff::Timestamp;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::owners;
use super::usage::count_usage;
use crate::database::TenantTx;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    pub key: i64,
    pub tenant_id: String,
    pub process_id: String,
    pub version: i32,
    pub version_tag: String,
    pub sha256: String,
    pub deployed_at: Timestamp,
    pub job_types: Vec<String>,
    /// The object that manages the process id; `None` = none.
    pub owner: Option<Owner>,
}

/// Columns of a [`Definition`], from definition `d` and process `p`.
macro_rules! select_definition {
    ($rest:literal) => {
        concat!(
            "SELECT d.key, d.tenant_id, d.process_id, d.version, d.version_tag, d.sha256, d.deployed_at, d.job_types,
                    p.owner, p.owner_uid, p.owner_created_at
             FROM workflow.process_definition d
             JOIN workflow.process p ON p.tenant_id = d.tenant_id AND p.process_id = d.process_id ",
            $rest
        )
    };
}

impl Definition {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            key: row.try_get("key")?,
            tenant_id: row.try_get("tenant_id")?,
            process_id: row.try_get("process_id")?,
            version: row.try_get("version")?,
            version_tag: row.try_get("version_tag")?,
            sha256: row.try_get("sha256")?,
            deployed_at: row.try_get::<jiff_sqlx::Timestamp, _>("deployed_at")?.to_jiff(),
            job_types: row.try_get("job_types")?,
            owner: owners::from_row(row)?,
        })
    }
}

/// A process id, locked until the transaction ends. The lock serializes its deployments over all replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedProcess {
    pub owner: Option<Owner>,
    pub last_version: i32,
}

impl LockedProcess {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self { owner: owners::from_row(row)?, last_version: row.try_get("last_version")? })
    }
}

/// Inserts the process id if it is new, and locks it. A new one has no owner.
pub async fn lock_or_insert_process(
    tx: &mut TenantTx,
    process_id: &str,
) -> Result<LockedProcess, sqlx::Error> {
    let tenant = tx.tenant().clone();
    let row = sqlx::query(
        "INSERT INTO workflow.process AS p (tenant_id, process_id, owner, owner_uid, owner_created_at, last_version)
         VALUES ($1, $2, '', '', 'epoch', 0)
         ON CONFLICT (tenant_id, process_id) DO UPDATE SET owner = p.owner
         RETURNING p.owner, p.owner_uid, p.owner_created_at, p.last_version",
    )
    .bind(tenant.as_str())
    .bind(process_id)
    .fetch_one(tx.connection())
    .await?;
    LockedProcess::from_row(&row)
}

/// Locks the process id; `None` = it was never deployed.
pub async fn lock_process(tx: &mut TenantTx, process_id: &str) -> Result<Option<LockedProcess>, sqlx::Error> {
    let tenant = tx.tenant().clone();
    sqlx::query(
        "SELECT owner, owner_uid, owner_created_at, last_version FROM workflow.process
         WHERE tenant_id = $1 AND process_id = $2 FOR UPDATE",
    )
    .bind(tenant.as_str())
    .bind(process_id)
    .fetch_optional(tx.connection())
    .await?
    .map(|row| LockedProcess::from_row(&row))
    .transpose()
}

/// Sets the owner; `None` removes it.
pub async fn set_owner(
    tx: &mut TenantTx,
    process_id: &str,
    owner: Option<&Owner>,
) -> Result<(), sqlx::Error> {
    let tenant = tx.tenant().clone();
    let (id, uid, created_at) = owners::to_columns(owner);
    sqlx::query(
        "UPDATE workflow.process SET owner = $3, owner_uid = $4, owner_created_at = $5
         WHERE tenant_id = $1 AND process_id = $2",
    )
    .bind(tenant.as_str())
    .bind(process_id)
    .bind(id)
    .bind(uid)
    .bind(created_at)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// The latest version, unless the process was deleted.
pub async fn find_latest(tx: &mut TenantTx, process_id: &str) -> Result<Option<Definition>, sqlx::Error> {
    let tenant = tx.tenant().clone();
    sqlx::query(select_definition!(
        "WHERE d.tenant_id = $1 AND d.process_id = $2 AND d.version = p.last_version AND d.retired_at IS NULL"
    ))
    .bind(tenant.as_str())
    .bind(process_id)
    .fetch_optional(tx.connection())
    .await?
    .map(|row| Definition::from_row(&row))
    .transpose()
}

pub async fn find_by_key(tx: &mut TenantTx, key: i64) -> Result<Option<Definition>, sqlx::Error> {
    let tenant = tx.tenant().clone();
    sqlx::query(select_definition!("WHERE d.tenant_id = $1 AND d.key = $2 AND d.retired_at IS NULL"))
        .bind(tenant.as_str())
        .bind(key)
        .fetch_optional(tx.connection())
        .await?
        .map(|row| Definition::from_row(&row))
        .transpose()
}

/// Definitions in the order of their keys, after the key `after`; an empty `owner_id` = of every owner.
pub async fn list(
    tx: &mut TenantTx,
    latest_only: bool,
    owner_id: &str,
    after: i64,
    limit: i64,
) -> Result<Vec<Definition>, sqlx::Error> {
    let tenant = tx.tenant().clone();
    sqlx::query(select_definition!(
        "WHERE d.tenant_id = $1 AND d.retired_at IS NULL AND (NOT $2 OR d.version = p.last_version) AND d.key > $3
           AND ($5 = '' OR p.owner = $5)
         ORDER BY d.key LIMIT $4"
    ))
    .bind(tenant.as_str())
    .bind(latest_only)
    .bind(after)
    .bind(limit)
    .bind(owner_id)
    .fetch_all(tx.connection())
    .await?
    .iter()
    .map(Definition::from_row)
    .collect()
}

/// A version to insert.
#[derive(Debug, Clone, Copy)]
pub struct NewDefinition<'a> {
    pub key: i64,
    pub process_id: &'a str,
    pub version: i32,
    pub version_tag: &'a str,
    pub sha256: &'a str,
    pub resource_name: &'a str,
    pub content: &'a [u8],
    pub job_types: &'a [String],
}

/// Records the version as the latest one, and its job types as known.
pub async fn insert_definition(tx: &mut TenantTx, new: &NewDefinition<'_>) -> Result<Timestamp, sqlx::Error> {
    let tenant = tx.tenant().clone();
    let deployed_at: jiff_sqlx::Timestamp = sqlx::query_scalar(
        concat!(
            "WITH latest AS (
             UPDATE workflow.process SET last_version = $4 WHERE tenant_id = $1 AND process_id = $3
         ), types AS (
             INSERT INTO workflow.job_type (tenant_id, type) SELECT $1, type FROM unnest($9::text[]) AS t(type)
             ON CONFLICT DO NOTHING
         ), definition AS (
             INSERT INTO workflow.process_definition
                 (tenant_id, key, process_id, version, version_tag, sha256, resource_name, content, job_types)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING deployed_at, bytes
         ), counted AS (",
            count_usage!(active: "0", bytes: "sum(bytes)", from: "definition"),
            ")
         SELECT deployed_at FROM definition"
        ),
    )
    .bind(tenant.as_str())
    .bind(new.key)
    .bind(new.process_id)
    .bind(new.version)
    .bind(new.version_tag)
    .bind(new.sha256)
    .bind(new.resource_name)
    .bind(new.content)
    .bind(new.job_types)
    .fetch_one(tx.connection())
    .await?;
    Ok(deployed_at.to_jiff())
}

/// Process id, version and document of a definition, also of a retired one, since its instances may still run.
pub async fn find_content(
    tx: &mut TenantTx,
    key: i64,
) -> Result<Option<(String, i32, Vec<u8>)>, sqlx::Error> {
    let tenant = tx.tenant().clone();
    sqlx::query_as(
        "SELECT process_id, version, content FROM workflow.process_definition WHERE tenant_id = $1 AND key = $2",
    )
    .bind(tenant.as_str())
    .bind(key)
    .fetch_optional(tx.connection())
    .await
}

/// Document and digest of a version, unless it was deleted.
pub async fn find_document(tx: &mut TenantTx, key: i64) -> Result<Option<(Vec<u8>, String)>, sqlx::Error> {
    let tenant = tx.tenant().clone();
    sqlx::query_as(
        "SELECT content, sha256 FROM workflow.process_definition
         WHERE tenant_id = $1 AND key = $2 AND retired_at IS NULL",
    )
    .bind(tenant.as_str())
    .bind(key)
    .fetch_optional(tx.connection())
    .await
}

/// Number of running instances of all versions of a process. Reads every instance of the tenant, unless none is
/// running.
pub async fn count_active_instances(tx: &mut TenantTx, process_id: &str) -> Result<i64, sqlx::Error> {
    let tenant = tx.tenant().clone();
    sqlx::query_scalar(
        "SELECT CASE
             WHEN (SELECT sum(active_instances) FROM workflow.tenant_counter WHERE tenant_id = $1) > 0 THEN (
                 SELECT count(*) FROM workflow.instance i
                 JOIN workflow.process_definition d ON d.tenant_id = i.tenant_id AND d.key = i.definition_key
                 WHERE i.tenant_id = $1 AND i.state = 1 AND d.process_id = $2)
             ELSE 0 END",
    )
    .bind(tenant.as_str())
    .bind(process_id)
    .fetch_one(tx.connection())
    .await
}

/// Retires every version of a process, and deletes the job types that no other process has. Returns the number of
/// versions.
pub async fn retire_process(tx: &mut TenantTx, process_id: &str) -> Result<i64, sqlx::Error> {
    let tenant = tx.tenant().clone();
    let retired: i64 = sqlx::query_scalar(
        "WITH retired AS (
             UPDATE workflow.process_definition SET retired_at = now()
             WHERE tenant_id = $1 AND process_id = $2 AND retired_at IS NULL RETURNING key
         )
         SELECT count(*) FROM retired",
    )
    .bind(tenant.as_str())
    .bind(process_id)
    .fetch_one(tx.connection())
    .await?;
    sqlx::query(
        "DELETE FROM workflow.job_type t WHERE t.tenant_id = $1 AND NOT EXISTS (
             SELECT FROM workflow.process_definition d
             WHERE d.tenant_id = $1 AND d.retired_at IS NULL AND t.type = ANY (d.job_types))",
    )
    .bind(tenant.as_str())
    .execute(tx.connection())
    .await?;
    Ok(retired)
}
