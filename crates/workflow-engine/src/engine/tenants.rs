//! Tenants: upserting, reading, deleting, usage, and the check of their isolation.

use std::collections::BTreeSet;

use engine_api::model::{
    Claim, DeleteTenant, DeleteTenantMode, Isolation, Owner, Page, PageRequest, PutOutcome, PutTenant,
    QuotaKind, Tenant, TenantDeletion, TenantQuotas, TenantUsage, claim,
};

use tokio::time::Instant;

use super::{
    Engine, Fence, any_epoch, fences, may_delete, next_token, refuse_claim, require_owner, require_short,
    settle_races,
};
use crate::database::TenantTx;
use crate::deletion;
use crate::error::Error;
use crate::schema::isolation;
use crate::storage::purge;
use crate::storage::request_log::{self, Remembered};
use crate::storage::tenants::{self, Quotas};
use crate::storage::{incidents, instance_views};
use crate::tenant_scope::TenantScope;
use crate::wire;

impl Engine {
    pub async fn put_tenant(
        &self,
        wanted: Tenant,
        remembered: Option<Remembered>,
        fence: Option<&Fence>,
    ) -> Result<PutTenant, Error> {
        let id = any_epoch(&wanted.id)?;
        refuse_reserved(&id)?;
        require_short("tenant.display_name", &wanted.display_name, 255)?;
        if !wanted.rls {
            return Err(Error::Precondition {
                reason: "RLS_REQUIRED",
                message: "this engine forces row-level security for every tenant: set rls to true".to_owned(),
            });
        }
        require_owner(wanted.owner.as_ref())?;
        let wanted = tenants::Tenant {
            id: wanted.id,
            display_name: wanted.display_name,
            quotas: store_quotas(wanted.quotas),
            suspended: wanted.suspended,
            owner: wanted.owner,
            generation: wanted.generation,
            being_deleted: false,
        };
        settle_races(&self.keys, || self.put_tenant_once(&id, &wanted, fence, remembered.as_ref())).await
    }

    async fn put_tenant_once(
        &self,
        id: &TenantScope,
        wanted: &tenants::Tenant,
        fence: Option<&Fence>,
        remembered: Option<&Remembered>,
    ) -> Result<PutTenant, Error> {
        // Exclusive: after a suspension is answered, no start that began before it can still commit.
        let mut tx = self.database.tenant_exclusive(id).await?;
        fences::require_current(&mut tx, fence).await?;
        if let Some(answer) = request_log::find_answer(&mut tx, remembered).await? {
            return Ok(answer);
        }
        let found = tenants::find_tenant(&mut tx).await?;
        // Data of the old tenant must not appear in the new one.
        if found.as_ref().is_some_and(|found| found.being_deleted) {
            return Err(Error::tenant_being_deleted(id.as_str()));
        }
        let claim = claim(wanted.owner.as_ref(), found.as_ref().and_then(|found| found.owner.as_ref()));
        refuse_claim(claim, || format!("tenant {id}"))?;
        // Generations of objects with different uids cannot be compared.
        if let Some(found) = &found
            && claim == Claim::Held
            && found.generation > wanted.generation
        {
            return Err(Error::Stale(format!(
                "tenant {id} is at generation {}, which is newer than {}",
                found.generation, wanted.generation
            )));
        }
        let adopted = found.is_some() && wanted.owner.is_some() && claim != Claim::Held;
        let outcome = match &found {
            None => PutOutcome::Created,
            Some(found) if found == wanted => PutOutcome::Unchanged,
            Some(_) => PutOutcome::Updated,
        };
        if outcome != PutOutcome::Unchanged {
            tenants::upsert_tenant(&mut tx, wanted).await?;
        }
        let response = PutTenant { outcome, adopted };
        request_log::record_answer(&mut tx, remembered, &response).await?;
        tx.commit().await?;
        Ok(response)
    }

    pub async fn get_tenant(&self, tenant_id: &str) -> Result<Tenant, Error> {
        let id = any_epoch(tenant_id)?;
        let mut tx = self.database.tenant(&id).await?;
        let found = tenants::find_tenant(&mut tx).await?;
        let found = found.ok_or_else(|| Error::NotFound(format!("there is no tenant {id}")))?;
        Ok(build_tenant(found))
    }

    pub async fn list_tenants(&self, page: &PageRequest) -> Result<Page<Tenant>, Error> {
        let limit = i64::from(page.size);
        let mut tx = self.database.monitor().await?;
        let found = tenants::list_tenants(&mut tx, &page.token, limit).await?;
        let next = next_token(&found, limit, |last| last.id.clone());
        Ok(Page { entries: found.into_iter().map(build_tenant).collect(), next })
    }

    pub async fn delete_tenant(
        &self,
        request: DeleteTenant,
        remembered: Option<Remembered>,
        fence: Option<&Fence>,
    ) -> Result<TenantDeletion, Error> {
        let id = any_epoch(&request.tenant_id)?;
        refuse_reserved(&id)?;
        require_owner(request.owner.as_ref())?;
        let (owner, mode) = (request.owner.as_ref(), request.mode);
        let until = Instant::now() + deletion::CALL_BUDGET;
        loop {
            let once = || self.delete_tenant_once(&id, owner, mode, fence, remembered.as_ref());
            let deletion = settle_races(&self.keys, once).await?;
            // The upkeep deletes the rest.
            if deletion != TenantDeletion::Purging || !deletion::purge(&self.database, &id, until).await? {
                return Ok(deletion);
            }
        }
    }

    /// Marks the tenant as being deleted, and deletes it when none of its other rows is left.
    async fn delete_tenant_once(
        &self,
        id: &TenantScope,
        owner: Option<&Owner>,
        mode: DeleteTenantMode,
        fence: Option<&Fence>,
        remembered: Option<&Remembered>,
    ) -> Result<TenantDeletion, Error> {
        let mut tx = self.database.tenant_exclusive(id).await?;
        fences::require_current(&mut tx, fence).await?;
        if let Some(answer) = request_log::find_answer(&mut tx, remembered).await? {
            return Ok(answer);
        }
        let response = match tenants::find_tenant(&mut tx).await? {
            None => TenantDeletion::Deleted,
            Some(found) if !may_delete(owner, found.owner.as_ref()) => {
                // The owner was removed before: doing it again succeeds.
                let owner_removed = mode == DeleteTenantMode::Retain && found.owner.is_none();
                if owner_removed { TenantDeletion::Kept } else { TenantDeletion::OwnedByOther }
            }
            // A deletion that has begun cannot be undone.
            Some(found) if mode == DeleteTenantMode::Retain && !found.being_deleted => {
                tenants::upsert_tenant(&mut tx, &tenants::Tenant { owner: None, ..found }).await?;
                TenantDeletion::Kept
            }
            Some(found) => {
                if mode == DeleteTenantMode::RefuseIfActive && !found.being_deleted {
                    refuse_work(&mut tx).await?;
                }
                purge::mark_deleting(&mut tx).await?;
                let is_gone = purge::delete_emptied(&mut tx).await?;
                if is_gone { TenantDeletion::Deleted } else { TenantDeletion::Purging }
            }
        };
        // `Purging` is not recorded, so that a retry with the same request id gets the current state.
        if response != TenantDeletion::Purging {
            request_log::record_answer(&mut tx, remembered, &response).await?;
        }
        tx.commit().await?;
        Ok(response)
    }

    pub async fn list_usage(&self, tenant_ids: &[String]) -> Result<Vec<TenantUsage>, Error> {
        let mut tx = self.database.monitor().await?;
        let (usages, measured_at) = tenants::observe_usage(&mut tx, tenant_ids).await?;
        let usages = usages.into_iter().map(|usage| TenantUsage {
            over: over(&usage),
            tenant_id: usage.tenant_id,
            active_instances: wire::count(usage.active_instances),
            jobs_last_minute: wire::count(usage.jobs_last_minute),
            storage_bytes: wire::count(usage.storage_bytes),
            measured_at,
        });
        Ok(usages.collect())
    }

    pub async fn verify_isolation(&self, tenant_id: &str) -> Result<Isolation, Error> {
        let id = any_epoch(tenant_id)?;
        let mut tx = self.database.tenant(&id).await?;
        if tenants::find_tenant(&mut tx).await?.is_none() {
            return Err(Error::NotFound(format!("there is no tenant {id}")));
        }
        let mut violations = isolation::observe_violations(tx.connection()).await?;
        violations.extend(isolation::observe_foreign_rows(tx.connection(), id.as_str()).await?);
        Ok(Isolation { isolated: violations.is_empty(), violations })
    }
}

fn refuse_reserved(id: &TenantScope) -> Result<(), Error> {
    if id.is_reserved() {
        return Err(Error::Invalid(format!(
            "tenant {id} belongs to the engine: it cannot be put or deleted"
        )));
    }
    Ok(())
}

/// Refuses the deletion of a tenant with running instances or managed processes. The message names up to `NAMED`
/// processes. Instances are only read when some are running.
async fn refuse_work(tx: &mut TenantTx) -> Result<(), Error> {
    const NAMED: usize = 10;
    let id = tx.tenant().clone();
    let (running, managed) = tenants::observe_work(tx).await?;
    if running > 0 {
        let stuck = match incidents::count_instances(tx).await? {
            0 => String::new(),
            stuck => format!(", {stuck} of them with an incident"),
        };
        let processes = instance_views::count_running(tx).await?;
        let mut named: Vec<String> =
            processes.iter().take(NAMED).map(|(process, count)| format!("{process}: {count}")).collect();
        if processes.len() > NAMED {
            named.push(format!("and {} other processes", processes.len() - NAMED));
        }
        return Err(Error::Precondition {
            reason: "INSTANCES_ACTIVE",
            message: format!("tenant {id} has {running} running instances{stuck} ({})", named.join(", ")),
        });
    }
    if managed > 0 {
        return Err(Error::Precondition {
            reason: "PROCESSES_MANAGED",
            message: format!("tenant {id} has {managed} managed processes: delete those first"),
        });
    }
    Ok(())
}

/// In the database 0 = no limit.
fn store_quotas(quotas: TenantQuotas) -> Quotas {
    let stored = |limit: Option<u64>| limit.map_or(0, |limit| i64::try_from(limit).unwrap_or(i64::MAX));
    Quotas {
        max_active_instances: stored(quotas.max_active_instances),
        max_jobs_per_minute: stored(quotas.max_jobs_per_minute),
        max_storage_bytes: stored(quotas.max_storage_bytes),
    }
}

/// Quotas that are used up.
fn over(usage: &tenants::TenantUsage) -> BTreeSet<QuotaKind> {
    let quotas = usage.quotas;
    [
        (QuotaKind::ActiveInstances, quotas.max_active_instances, usage.active_instances),
        (QuotaKind::JobsPerMinute, quotas.max_jobs_per_minute, usage.jobs_last_minute),
        (QuotaKind::Storage, quotas.max_storage_bytes, usage.storage_bytes),
    ]
    .into_iter()
    .filter(|(_, limit, used)| *limit > 0 && used >= limit)
    .map(|(quota, ..)| quota)
    .collect()
}

fn build_tenant(tenant: tenants::Tenant) -> Tenant {
    let limit = |stored| Some(wire::count(stored)).filter(|limit| *limit > 0);
    Tenant {
        id: tenant.id,
        display_name: tenant.display_name,
        quotas: TenantQuotas {
            max_active_instances: limit(tenant.quotas.max_active_instances),
            max_jobs_per_minute: limit(tenant.quotas.max_jobs_per_minute),
            max_storage_bytes: limit(tenant.quotas.max_storage_bytes),
        },
        rls: true,
        suspended: tenant.suspended,
        owner: tenant.owner,
        generation: tenant.generation,
    }
}
