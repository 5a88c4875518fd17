//! Tenants, their quotas and their usage.

use engine_api::model::Owner;
use jiff::Timestamp;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::owners;
use crate::database::{MonitorTx, TenantTx};

/// 0 = no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quotas {
    pub max_active_instances: i64,
    pub max_jobs_per_minute: i64,
    pub max_storage_bytes: i64,
}

impl Quotas {
    /// Whether starts must update the exact counter row.
    pub fn limit_starts(&self) -> bool {
        self.max_active_instances > 0 || self.max_jobs_per_minute > 0
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    pub id: String,
    pub display_name: String,
    pub quotas: Quotas,
    pub suspended: bool,
    /// The object that manages the tenant; `None` = none.
    pub owner: Option<Owner>,
    pub generation: i64,
    /// Set by [`super::purge::mark_deleting`].
    pub being_deleted: bool,
}

macro_rules! select_tenant {
    ($rest:literal) => {
        concat!(
            "SELECT tenant_id, display_name, max_active_instances, max_jobs_per_minute, max_storage_bytes, suspended,
                    owner, owner_uid, owner_created_at, generation, deleting_since IS NOT NULL AS being_deleted
             FROM workflow.tenant ",
            $rest
        )
    };
}

impl Tenant {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("tenant_id")?,
            display_name: row.try_get("display_name")?,
            quotas: Quotas {
                max_active_instances: row.try_get("max_active_instances")?,
                max_jobs_per_minute: row.try_get("max_jobs_per_minute")?,
                max_storage_bytes: row.try_get("max_storage_bytes")?,
            },
            suspended: row.try_get("suspended")?,
            owner: owners::from_row(row)?,
            generation: row.try_get("generation")?,
            being_deleted: row.try_get("being_deleted")?,
        })
    }
}

pub async fn find_tenant(tx: &mut TenantTx) -> Result<Option<Tenant>, sqlx::Error> {
    let tenant = tx.tenant().clone();
    sqlx::query(select_tenant!("WHERE tenant_id = $1"))
        .bind(tenant.as_str())
        .fetch_optional(tx.connection())
        .await?
        .map(|row| Tenant::from_row(&row))
        .transpose()
}

pub async fn list_tenants(tx: &mut MonitorTx, after: &str, limit: i64) -> Result<Vec<Tenant>, sqlx::Error> {
    sqlx::query(select_tenant!(
        r"WHERE tenant_id > $1 AND tenant_id NOT LIKE '\_canary-%' ORDER BY tenant_id LIMIT $2"
    ))
    .bind(after)
    .bind(limit)
    .fetch_all(tx.connection())
    .await?
    .iter()
    .map(Tenant::from_row)
    .collect()
}

/// Inserts or updates the tenant's row.
pub async fn upsert_tenant(tx: &mut TenantTx, tenant: &Tenant) -> Result<(), sqlx::Error> {
    let (owner, owner_uid, owner_created_at) = owners::to_columns(tenant.owner.as_ref());
    sqlx::query(
        "INSERT INTO workflow.tenant (tenant_id, display_name, max_active_instances, max_jobs_per_minute,
                                      max_storage_bytes, suspended, generation, owner, owner_uid, owner_created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (tenant_id) DO UPDATE
         SET display_name = EXCLUDED.display_name, max_active_instances = EXCLUDED.max_active_instances,
             max_jobs_per_minute = EXCLUDED.max_jobs_per_minute, max_storage_bytes = EXCLUDED.max_storage_bytes,
             suspended = EXCLUDED.suspended, generation = EXCLUDED.generation, owner = EXCLUDED.owner,
             owner_uid = EXCLUDED.owner_uid, owner_created_at = EXCLUDED.owner_created_at",
    )
    .bind(&tenant.id)
    .bind(&tenant.display_name)
    .bind(tenant.quotas.max_active_instances)
    .bind(tenant.quotas.max_jobs_per_minute)
    .bind(tenant.quotas.max_storage_bytes)
    .bind(tenant.suspended)
    .bind(tenant.generation)
    .bind(owner)
    .bind(owner_uid)
    .bind(owner_created_at)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Numbers of running instances, and of process ids with an owner. Running instances come from the counters, without
/// reading instances.
pub async fn observe_work(tx: &mut TenantTx) -> Result<(i64, i64), sqlx::Error> {
    let tenant = tx.tenant().clone();
    sqlx::query_as(
        "SELECT (SELECT coalesce(sum(active_instances), 0)::bigint FROM workflow.tenant_counter WHERE tenant_id = $1),
                (SELECT count(*) FROM workflow.process WHERE tenant_id = $1 AND owner <> '')",
    )
    .bind(tenant.as_str())
    .fetch_one(tx.connection())
    .await
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantUsage {
    pub tenant_id: String,
    pub quotas: Quotas,
    pub active_instances: i64,
    pub jobs_last_minute: i64,
    pub storage_bytes: i64,
}

/// Usage of these tenants (an empty list = all), and the database's time.
pub async fn observe_usage(
    tx: &mut MonitorTx,
    tenant_ids: &[String],
) -> Result<(Vec<TenantUsage>, Timestamp), sqlx::Error> {
    let rows = sqlx::query(
        "SELECT t.tenant_id, t.max_active_instances, t.max_jobs_per_minute, t.max_storage_bytes, used.storage_bytes,
                used.active_instances, used.jobs_last_minute
         FROM workflow.tenant t CROSS JOIN LATERAL (
             SELECT coalesce(sum(c.active_instances), 0)::bigint AS active_instances,
                    coalesce(sum(c.storage_bytes), 0)::bigint AS storage_bytes,
                    coalesce(sum(CASE this.minute - c.minute WHEN 0 THEN c.jobs_before WHEN 1 THEN c.jobs ELSE 0 END), 0)::bigint
                        AS jobs_last_minute
             FROM workflow.tenant_counter c, (SELECT floor(extract(epoch FROM now()) / 60)::bigint AS minute) this
             WHERE c.tenant_id = t.tenant_id
         ) used
         WHERE t.tenant_id NOT LIKE '\\_canary-%' AND (cardinality($1::text[]) = 0 OR t.tenant_id = ANY ($1))
         ORDER BY t.tenant_id",
    )
    .bind(tenant_ids)
    .fetch_all(tx.connection())
    .await?;
    let measured_at: jiff_sqlx::Timestamp =
        sqlx::query_scalar("SELECT now()").fetch_one(tx.connection()).await?;
    let usages = rows
        .iter()
        .map(|row| {
            Ok(TenantUsage {
                tenant_id: row.try_get("tenant_id")?,
                quotas: Quotas {
                    max_active_instances: row.try_get("max_active_instances")?,
                    max_jobs_per_minute: row.try_get("max_jobs_per_minute")?,
                    max_storage_bytes: row.try_get("max_storage_bytes")?,
                },
                active_instances: row.try_get("active_instances")?,
                jobs_last_minute: row.try_get("jobs_last_minute")?,
                storage_bytes: row.try_get("storage_bytes")?,
            })
        })
        .collect::<Result<Vec<_>, sqlx::Error>>()?;
    Ok((usages, measured_at.to_jiff()))
}
