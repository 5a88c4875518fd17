//! [`CheckedEngine`]: what not every engine can do is asked for before it is used.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

use crate::{
    Engine, EngineError, ErrorClass, JobLagStream, Operation,
    model::{
        CanaryReport, Capability, DefinitionFilter, DefinitionRef, DeleteProcess, DeleteTenant,
        DeleteTenantMode, DeployProcess, DeployResult, EngineHealth, EngineInfo, IncidentCount, JobLagFilter,
        ManagedDefinition, ProcessDefinition, ProcessDeletion, ProcessDocument, PutTenant, Tenant,
        TenantDeletion, TenantQuotas, TenantUsage, WaitingInstances,
    },
};

/// An engine whose capabilities are looked at before a call that needs one. A call that the engine cannot do is not made:
/// it is [`ErrorClass::Unsupported`], and the message names the capability.
///
/// What an engine announced once is not asked for again. What it did not announce is asked for each time, so that an
/// upgrade is noticed by the next call.
#[derive(Debug)]
pub struct CheckedEngine<E> {
    engine: E,
    announced: Mutex<BTreeSet<String>>,
}

impl<E: Engine> CheckedEngine<E> {
    /// This engine, of which nothing is known yet.
    pub fn new(engine: E) -> Self {
        Self { engine, announced: Mutex::default() }
    }

    /// The engine itself, without the checks.
    pub fn unchecked(&self) -> &E {
        &self.engine
    }

    async fn require<const N: usize>(
        &self,
        operation: Operation,
        needed: [Option<Capability>; N],
    ) -> Result<(), EngineError> {
        let needed = || needed.iter().copied().flatten();
        let is_known = {
            let announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
            needed().all(|capability| announced.contains(capability.as_str()))
        };
        if is_known {
            return Ok(());
        }
        let info = self.engine.info().await.map_err(|error| error.during(operation))?;
        let lacking = needed().find(|capability| !info.has(*capability));
        *self.announced.lock().unwrap_or_else(PoisonError::into_inner) = info.capabilities;
        match lacking {
            None => Ok(()),
            Some(capability) => {
                let message = format!("engine cannot do it: it lacks the capability {capability}");
                Err(EngineError::new(operation, ErrorClass::Unsupported, message))
            }
        }
    }
}

#[async_trait]
impl<E: Engine> Engine for CheckedEngine<E> {
    async fn info(&self) -> Result<EngineInfo, EngineError> {
        self.engine.info().await
    }

    async fn health(&self) -> Result<EngineHealth, EngineError> {
        self.engine.health().await
    }

    async fn run_canary(&self) -> Result<CanaryReport, EngineError> {
        self.require(Operation::RunCanary, [Some(Capability::Canary)]).await?;
        self.engine.run_canary().await
    }

    async fn deploy_process(&self, request: &DeployProcess) -> Result<DeployResult, EngineError> {
        self.engine.deploy_process(request).await
    }

    async fn get_process_definition(
        &self,
        tenant_id: &str,
        definition: &DefinitionRef,
    ) -> Result<Option<ManagedDefinition>, EngineError> {
        self.engine.get_process_definition(tenant_id, definition).await
    }

    async fn list_process_definitions(
        &self,
        tenant_id: &str,
        filter: &DefinitionFilter,
    ) -> Result<Vec<ProcessDefinition>, EngineError> {
        self.engine.list_process_definitions(tenant_id, filter).await
    }

    async fn get_process_document(
        &self,
        tenant_id: &str,
        key: i64,
    ) -> Result<Option<ProcessDocument>, EngineError> {
        self.require(Operation::GetProcessDocument, [Some(Capability::ProcessDocuments)]).await?;
        self.engine.get_process_document(tenant_id, key).await
    }

    async fn count_waiting_instances(
        &self,
        tenant_id: &str,
        process_id: &str,
        element_ids: &[String],
    ) -> Result<WaitingInstances, EngineError> {
        self.require(Operation::CountWaitingInstances, [Some(Capability::WaitingInstances)]).await?;
        self.engine.count_waiting_instances(tenant_id, process_id, element_ids).await
    }

    async fn delete_process(&self, request: &DeleteProcess) -> Result<ProcessDeletion, EngineError> {
        self.engine.delete_process(request).await
    }

    async fn put_tenant(&self, request_id: &str, tenant: &Tenant) -> Result<PutTenant, EngineError> {
        let limits = tenant.quotas != TenantQuotas::default();
        let needed = [
            Some(Capability::Tenants),
            limits.then_some(Capability::TenantQuotas),
            tenant.rls.then_some(Capability::TenantRls),
        ];
        self.require(Operation::PutTenant, needed).await?;
        self.engine.put_tenant(request_id, tenant).await
    }

    async fn list_tenants(&self) -> Result<Vec<Tenant>, EngineError> {
        self.require(Operation::ListTenants, [Some(Capability::Tenants)]).await?;
        self.engine.list_tenants().await
    }

    async fn delete_tenant(&self, request: &DeleteTenant) -> Result<TenantDeletion, EngineError> {
        let purges = request.mode == DeleteTenantMode::Purge;
        let needed = [Some(Capability::Tenants), purges.then_some(Capability::TenantPurge)];
        self.require(Operation::DeleteTenant, needed).await?;
        self.engine.delete_tenant(request).await
    }

    async fn list_tenant_usage(&self, tenant_ids: &[String]) -> Result<Vec<TenantUsage>, EngineError> {
        self.require(Operation::ListTenantUsage, [Some(Capability::Tenants)]).await?;
        self.engine.list_tenant_usage(tenant_ids).await
    }

    async fn count_incidents(&self, tenant_id: &str) -> Result<Vec<IncidentCount>, EngineError> {
        self.require(Operation::CountIncidents, [Some(Capability::Incidents)]).await?;
        self.engine.count_incidents(tenant_id).await
    }

    async fn watch_job_lag(
        &self,
        filter: &JobLagFilter,
        min_interval: Duration,
    ) -> Result<JobLagStream, EngineError> {
        self.require(Operation::WatchJobLag, [Some(Capability::JobLag)]).await?;
        self.engine.watch_job_lag(filter, min_interval).await
    }
}
