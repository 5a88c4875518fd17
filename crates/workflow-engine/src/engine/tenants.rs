//! Tenants: upsert, reading, deleting, usage, and whether their walls hold.

use engine_api::model::{Claim, Owner, claim};
use engine_api::proto::{
    DeleteTenantMode, DeleteTenantRequest, DeleteTenantResponse, GetTenantRequest, GetTenantResponse,
    ListTenantUsageRequest, ListTenantUsageResponse, ListTenantsRequest, ListTenantsResponse, PutOutcome,
    PutTenantRequest, PutTenantResponse, QuotaKind, Tenant, TenantQuotas, TenantUsage,
    VerifyIsolationRequest, VerifyIsolationResponse,
};

use tokio::time::Instant;

use super::{
    Engine, Fence, any_epoch, fences, may_delete, owner, page_size, refuse_claim, require_short, settle_races,
};
use crate::database::TenantTx;
use crate::deletion;
use crate::error::Error;
use crate::schema::isolation;
use crate::storage::purge;
use crate::storage::request_log::{self, Request};
use crate::storage::tenants::{self, Quotas};
use crate::storage::{incidents, instance_views};
use crate::tenant_scope::TenantScope;
use crate::wire;

impl Engine {
    pub async fn put_tenant(
        &self,
        request: PutTenantRequest,
        fence: Option<&Fence>,
    ) -> Result<PutTenantResponse, Error> {
        let wanted =
            request.tenant.as_ref().ok_or_else(|| Error::Invalid("tenant is required".to_owned()))?;
        let id = any_epoch(&wanted.id)?;
        refuse_reserved(&id)?;
        require_short("tenant.display_name", &wanted.display_name, 255)?;
        let quotas = build_quotas(wanted.quotas)?;
        if !wanted.rls {
            return Err(Error::Precondition {
                reason: "RLS_REQUIRED",
                message: "this engine forces row-level security for every tenant: set rls to true".to_owned(),
            });
        }
        let remembered = Request::of("PutTenant", &request.request_id, &request)?;
        let wanted = tenants::Tenant {
            id: id.to_string(),
            display_name: wanted.display_name.clone(),
            quotas,
            suspended: wanted.suspended,
            owner: owner(wanted.owner.clone())?,
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
        remembered: Option<&Request>,
    ) -> Result<PutTenantResponse, Error> {
        // Alone: when a suspension is answered, no start that began before it is still on its way.
        let mut tx = self.database.tenant_exclusive(id).await?;
        fences::require_current(&mut tx, fence).await?;
        if let Some(answer) = request_log::find_answer(&mut tx, remembered).await? {
            return Ok(answer);
        }
        let found = tenants::find_tenant(&mut tx).await?;
        // Nothing of the old one may appear in the new one.
        if found.as_ref().is_some_and(|found| found.being_deleted) {
            return Err(Error::tenant_being_deleted(id.as_str()));
        }
        let claim = claim(wanted.owner.as_ref(), found.as_ref().and_then(|found| found.owner.as_ref()));
        refuse_claim(claim, || format!("tenant {id}"))?;
        // Generations of different lives cannot be compared.
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
        let response = PutTenantResponse { outcome: outcome.into(), adopted };
        request_log::record_answer(&mut tx, remembered, &response).await?;
        tx.commit().await?;
        Ok(response)
    }

    pub async fn get_tenant(&self, request: GetTenantRequest) -> Result<GetTenantResponse, Error> {
        let id = any_epoch(&request.tenant_id)?;
        let mut tx = self.database.tenant(&id).await?;
        let found = tenants::find_tenant(&mut tx).await?;
        let found = found.ok_or_else(|| Error::NotFound(format!("there is no tenant {id}")))?;
        Ok(GetTenantResponse { tenant: Some(wire_tenant(found)) })
    }

    pub async fn list_tenants(&self, request: ListTenantsRequest) -> Result<ListTenantsResponse, Error> {
        let limit = page_size(request.page_size)?;
        let mut tx = self.database.monitor().await?;
        let page = tenants::list_tenants(&mut tx, &request.page_token, limit).await?;
        let is_full = i64::try_from(page.len()).is_ok_and(|length| length == limit);
        let next_page_token = match page.last() {
            Some(last) if is_full => last.id.clone(),
            _ => String::new(),
        };
        Ok(ListTenantsResponse { tenants: page.into_iter().map(wire_tenant).collect(), next_page_token })
    }

    pub async fn delete_tenant(
        &self,
        request: DeleteTenantRequest,
        fence: Option<&Fence>,
    ) -> Result<DeleteTenantResponse, Error> {
        let id = any_epoch(&request.tenant_id)?;
        refuse_reserved(&id)?;
        let mode = request.mode();
        if mode == DeleteTenantMode::Unspecified {
            return Err(Error::Invalid("mode is required: REFUSE_IF_ACTIVE, PURGE or RETAIN".to_owned()));
        }
        let owner = owner(request.owner.clone())?;
        let remembered = Request::of("DeleteTenant", &request.request_id, &request)?;
        let until = Instant::now() + deletion::CALL_BUDGET;
        loop {
            let once = || self.delete_tenant_once(&id, owner.as_ref(), mode, fence, remembered.as_ref());
            let response = settle_races(&self.keys, once).await?;
            // The upkeep ends what this does not.
            if !response.purging || !deletion::purge(&self.database, &id, until).await? {
                return Ok(response);
            }
        }
    }

    /// Marks the tenant, and deletes it once nothing else of it is left.
    async fn delete_tenant_once(
        &self,
        id: &TenantScope,
        owner: Option<&Owner>,
        mode: DeleteTenantMode,
        fence: Option<&Fence>,
        remembered: Option<&Request>,
    ) -> Result<DeleteTenantResponse, Error> {
        let mut tx = self.database.tenant_exclusive(id).await?;
        fences::require_current(&mut tx, fence).await?;
        if let Some(answer) = request_log::find_answer(&mut tx, remembered).await? {
            return Ok(answer);
        }
        let response = match tenants::find_tenant(&mut tx).await? {
            None => DeleteTenantResponse { deleted: true, ..DeleteTenantResponse::default() },
            Some(found) if !may_delete(owner, found.owner.as_ref()) => {
                // Given up before: giving it up again is done.
                let given_up = mode == DeleteTenantMode::Retain && found.owner.is_none();
                DeleteTenantResponse { owned_by_other: !given_up, ..DeleteTenantResponse::default() }
            }
            // What is being deleted cannot be kept any more.
            Some(found) if mode == DeleteTenantMode::Retain && !found.being_deleted => {
                tenants::upsert_tenant(&mut tx, &tenants::Tenant { owner: None, ..found }).await?;
                DeleteTenantResponse::default()
            }
            Some(found) => {
                if mode == DeleteTenantMode::RefuseIfActive && !found.being_deleted {
                    refuse_work(&mut tx).await?;
                }
                purge::mark_deleting(&mut tx).await?;
                let deleted = purge::delete_emptied(&mut tx).await?;
                DeleteTenantResponse { deleted, purging: !deleted, ..DeleteTenantResponse::default() }
            }
        };
        // Who asks again under the same id wants to know how far it is.
        if !response.purging {
            request_log::record_answer(&mut tx, remembered, &response).await?;
        }
        tx.commit().await?;
        Ok(response)
    }

    pub async fn list_usage(
        &self,
        request: ListTenantUsageRequest,
    ) -> Result<ListTenantUsageResponse, Error> {
        let mut tx = self.database.monitor().await?;
        let (usages, measured_at) = tenants::observe_usage(&mut tx, &request.tenant_ids).await?;
        let usages = usages
            .into_iter()
            .map(|usage| TenantUsage {
                over: over(&usage).into_iter().map(i32::from).collect(),
                tenant_id: usage.tenant_id,
                active_instances: usage.active_instances.max(0),
                jobs_last_minute: usage.jobs_last_minute.max(0),
                storage_bytes: usage.storage_bytes.max(0),
                measured_at: Some(wire::timestamp(measured_at)),
            })
            .collect();
        Ok(ListTenantUsageResponse { usages })
    }

    pub async fn verify_isolation(
        &self,
        request: VerifyIsolationRequest,
    ) -> Result<VerifyIsolationResponse, Error> {
        let id = any_epoch(&request.tenant_id)?;
        let mut tx = self.database.tenant(&id).await?;
        if tenants::find_tenant(&mut tx).await?.is_none() {
            return Err(Error::NotFound(format!("there is no tenant {id}")));
        }
        let mut violations = isolation::observe_violations(tx.connection()).await?;
        violations.extend(isolation::observe_foreign_rows(tx.connection(), id.as_str()).await?);
        Ok(VerifyIsolationResponse { isolated: violations.is_empty(), violations })
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

/// Names what holds the deletion up, as far as one message can. Only when something runs are instances looked at.
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

fn build_quotas(quotas: Option<TenantQuotas>) -> Result<Quotas, Error> {
    let quotas = quotas.unwrap_or_default();
    let given = [
        ("max_active_instances", quotas.max_active_instances),
        ("max_jobs_per_minute", quotas.max_jobs_per_minute),
        ("max_storage_bytes", quotas.max_storage_bytes),
    ];
    if let Some((field, _)) = given.into_iter().find(|(_, quota)| *quota < 0) {
        return Err(Error::Invalid(format!("tenant.quotas.{field} must be 0 (no limit) or above")));
    }
    Ok(Quotas {
        max_active_instances: quotas.max_active_instances,
        max_jobs_per_minute: quotas.max_jobs_per_minute,
        max_storage_bytes: quotas.max_storage_bytes,
    })
}

/// Quotas that are used up.
fn over(usage: &tenants::TenantUsage) -> Vec<QuotaKind> {
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

fn wire_tenant(tenant: tenants::Tenant) -> Tenant {
    Tenant {
        id: tenant.id,
        display_name: tenant.display_name,
        quotas: Some(TenantQuotas {
            max_active_instances: tenant.quotas.max_active_instances,
            max_jobs_per_minute: tenant.quotas.max_jobs_per_minute,
            max_storage_bytes: tenant.quotas.max_storage_bytes,
        }),
        rls: true,
        suspended: tenant.suspended,
        owner: tenant.owner.as_ref().map(Into::into),
        generation: tenant.generation,
    }
}
