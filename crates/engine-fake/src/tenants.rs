//! Tenants of the fake.

use super::{FakeEngine, World, refusal};
use engine_client::{
    EngineError, ErrorClass, Operation,
    model::{
        Claim, DeleteTenant, DeleteTenantMode, InstanceState, PutOutcome, PutTenant, Tenant, TenantDeletion,
        TenantUsage, claim,
    },
};

impl FakeEngine {
    /// Puts a tenant there behind everybody's back.
    pub fn set_tenant(&self, tenant: Tenant) {
        self.change(|world| world.tenants.insert(tenant.id.clone(), tenant));
    }

    /// The tenant as the engine has it.
    pub fn tenant(&self, tenant_id: &str) -> Option<Tenant> {
        self.world().tenants.get(tenant_id).cloned()
    }

    /// What [`Engine::list_tenant_usage`](engine_client::Engine::list_tenant_usage) tells about a tenant, instead of counting.
    pub fn set_usage(&self, usage: TenantUsage) {
        self.change(|world| world.usages.insert(usage.tenant_id.clone(), usage));
    }

    /// Lets so many deletions of a tenant be answered with [`TenantDeletion::Purging`] before it is gone; meanwhile it cannot
    /// be put.
    pub fn set_purge(&self, tenant_id: &str, answers: u32) {
        self.change(|world| world.purges.insert(tenant_id.to_owned(), answers));
    }
}

impl World {
    pub(super) fn put_tenant(&mut self, tenant: &Tenant) -> Result<PutTenant, EngineError> {
        let refuse = |class, message: String| Err(EngineError::new(Operation::PutTenant, class, message));
        if tenant.id.is_empty() || tenant.id.starts_with('_') {
            return refuse(ErrorClass::Invalid, format!("tenant id {:?} belongs to the engine", tenant.id));
        }
        if self.purging.contains(&tenant.id) {
            let message = format!("tenant {} is being deleted", tenant.id);
            return Err(refusal(Operation::PutTenant, "TENANT_BEING_DELETED", message));
        }
        let known = self.tenants.get(&tenant.id);
        let claim = claim(tenant.owner.as_ref(), known.and_then(|known| known.owner.as_ref()));
        match (claim, known) {
            (Claim::Foreign, _) => {
                return refuse(
                    ErrorClass::AlreadyOwned,
                    format!("tenant {} is managed by another owner", tenant.id),
                );
            }
            (Claim::Superseded, _) => {
                return refuse(ErrorClass::Stale, format!("tenant {} has a later owner", tenant.id));
            }
            (Claim::Held, Some(known)) if known.generation > tenant.generation => {
                return refuse(
                    ErrorClass::Stale,
                    format!("generation {} was there already", known.generation),
                );
            }
            _ => {}
        }
        let adopted = known.is_some() && tenant.owner.is_some() && claim != Claim::Held;
        let outcome = match known {
            None => PutOutcome::Created,
            Some(known) if known == tenant => PutOutcome::Unchanged,
            Some(_) => PutOutcome::Updated,
        };
        self.tenants.insert(tenant.id.clone(), tenant.clone());
        Ok(PutTenant { outcome, adopted })
    }

    pub(super) fn delete_tenant(&mut self, request: &DeleteTenant) -> Result<TenantDeletion, EngineError> {
        let id = &request.tenant_id;
        let active = self.active_instances(id);
        let managed =
            self.processes.iter().any(|((tenant, _), process)| tenant == id && process.owner.is_some());
        let Some(tenant) = self.tenants.get_mut(id) else { return Ok(TenantDeletion::Deleted) };
        match claim(request.owner.as_ref(), tenant.owner.as_ref()) {
            Claim::Held | Claim::Inherited => {}
            Claim::Free if request.mode == DeleteTenantMode::Retain => {}
            Claim::Free | Claim::Superseded | Claim::Foreign => return Ok(TenantDeletion::OwnedByOther),
        }
        let refuse = |reason, message| Err(refusal(Operation::DeleteTenant, reason, message));
        match request.mode {
            DeleteTenantMode::Retain => {
                tenant.owner = None;
                return Ok(TenantDeletion::Kept);
            }
            DeleteTenantMode::RefuseIfActive if active > 0 => {
                return refuse("INSTANCES_ACTIVE", format!("tenant {id} has {active} active instances"));
            }
            DeleteTenantMode::RefuseIfActive if managed => {
                return refuse("PROCESSES_MANAGED", format!("tenant {id} has managed processes"));
            }
            DeleteTenantMode::RefuseIfActive | DeleteTenantMode::Purge => {}
        }
        if let Some(answers) = self.purges.get_mut(id).filter(|answers| **answers > 0) {
            *answers -= 1;
            self.purging.insert(id.clone());
            return Ok(TenantDeletion::Purging);
        }
        self.purging.remove(id);
        self.tenants.remove(id);
        self.usages.remove(id);
        self.processes.retain(|(tenant, _), _| tenant != id);
        self.waiting.retain(|(tenant, _), _| tenant != id);
        self.instances.retain(|_, (tenant, _)| tenant != id);
        self.jobs.retain(|_, job| job.job.tenant_id != *id);
        self.lags.retain(|series, _| series.tenant_id != *id);
        Ok(TenantDeletion::Deleted)
    }

    pub(super) fn usage(&self, tenant_id: &str) -> TenantUsage {
        self.usages.get(tenant_id).cloned().unwrap_or_else(|| TenantUsage {
            tenant_id: tenant_id.to_owned(),
            active_instances: self.active_instances(tenant_id),
            jobs_last_minute: 0,
            storage_bytes: 0,
            measured_at: self.now,
            over: std::collections::BTreeSet::new(),
        })
    }

    /// What was set, else what is there.
    pub(super) fn active_instances(&self, tenant_id: &str) -> u64 {
        let active = |(tenant, instance): &&(String, engine_client::model::Instance)| {
            tenant == tenant_id && instance.state == InstanceState::Active
        };
        match self.usages.get(tenant_id) {
            Some(usage) => usage.active_instances,
            None => self.instances.values().filter(active).count() as u64,
        }
    }
}
