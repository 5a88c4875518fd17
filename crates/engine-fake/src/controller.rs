//! The fake as an [`Engine`].

use std::time::Duration;

use async_trait::async_trait;

use super::FakeEngine;
use engine_client::{
    Engine, EngineError, JobLagStream, Operation,
    model::{
        CanaryReport, DefinitionFilter, DefinitionRef, DeleteProcess, DeleteTenant, DeployProcess,
        DeployResult, EngineHealth, EngineInfo, HealthState, IncidentCount, JobLagFilter, ManagedDefinition,
        ProcessDefinition, ProcessDeletion, ProcessDocument, PutTenant, Tenant, TenantDeletion, TenantUsage,
        WaitingInstances,
    },
};

#[async_trait]
impl Engine for FakeEngine {
    async fn info(&self) -> Result<EngineInfo, EngineError> {
        // Not a call that a test counts or lets fail: it goes before others.
        Ok(self.world().info.clone())
    }

    async fn health(&self) -> Result<EngineHealth, EngineError> {
        self.admit(Operation::GetHealth, "").await?;
        Ok(EngineHealth { overall: HealthState::Serving, checks: Vec::new() })
    }

    async fn run_canary(&self) -> Result<CanaryReport, EngineError> {
        self.admit(Operation::RunCanary, "").await?;
        Ok(CanaryReport { failure: self.world().canary_failure.clone(), took: Duration::from_millis(20) })
    }

    async fn deploy_process(&self, request: &DeployProcess) -> Result<DeployResult, EngineError> {
        self.admit(Operation::DeployProcess, &request.tenant_id).await?;
        self.change(|world| {
            world.once(Operation::DeployProcess, &request.request_id, request, |world| world.deploy(request))
        })
    }

    async fn get_process_definition(
        &self,
        tenant_id: &str,
        definition: &DefinitionRef,
    ) -> Result<Option<ManagedDefinition>, EngineError> {
        self.admit(Operation::GetProcessDefinition, tenant_id).await?;
        Ok(self.world().definition(tenant_id, definition))
    }

    async fn list_process_definitions(
        &self,
        tenant_id: &str,
        filter: &DefinitionFilter,
    ) -> Result<Vec<ProcessDefinition>, EngineError> {
        self.admit(Operation::ListProcessDefinitions, tenant_id).await?;
        Ok(self.world().listed(tenant_id, filter))
    }

    async fn get_process_document(
        &self,
        tenant_id: &str,
        key: i64,
    ) -> Result<Option<ProcessDocument>, EngineError> {
        self.admit(Operation::GetProcessDocument, tenant_id).await?;
        Ok(self.world().document(tenant_id, key))
    }

    async fn count_waiting_instances(
        &self,
        tenant_id: &str,
        process_id: &str,
        element_ids: &[String],
    ) -> Result<WaitingInstances, EngineError> {
        self.admit(Operation::CountWaitingInstances, format!("{tenant_id}/{process_id}")).await?;
        self.world().waiting_instances(tenant_id, process_id, element_ids)
    }

    async fn delete_process(&self, request: &DeleteProcess) -> Result<ProcessDeletion, EngineError> {
        let subject = format!("{}/{}", request.tenant_id, request.process_id);
        self.admit(Operation::DeleteProcess, subject).await?;
        self.change(|world| {
            world.once(Operation::DeleteProcess, &request.request_id, request, |world| {
                Ok(world.delete_process(request))
            })
        })
    }

    async fn put_tenant(&self, request_id: &str, tenant: &Tenant) -> Result<PutTenant, EngineError> {
        self.admit(Operation::PutTenant, &tenant.id).await?;
        self.change(|world| {
            world.once(Operation::PutTenant, request_id, tenant, |world| world.put_tenant(tenant))
        })
    }

    async fn list_tenants(&self) -> Result<Vec<Tenant>, EngineError> {
        self.admit(Operation::ListTenants, "").await?;
        Ok(self.world().tenants.values().cloned().collect())
    }

    async fn delete_tenant(&self, request: &DeleteTenant) -> Result<TenantDeletion, EngineError> {
        self.admit(Operation::DeleteTenant, &request.tenant_id).await?;
        self.change(|world| {
            let answer = world.once(Operation::DeleteTenant, &request.request_id, request, |world| {
                world.delete_tenant(request)
            });
            // Asked again, it tells how far it is.
            if answer == Ok(TenantDeletion::Purging) {
                world.answers.remove(&request.request_id);
            }
            answer
        })
    }

    async fn list_tenant_usage(&self, tenant_ids: &[String]) -> Result<Vec<TenantUsage>, EngineError> {
        self.admit(Operation::ListTenantUsage, tenant_ids.join(",")).await?;
        let world = self.world();
        let wanted = world.tenants.keys().filter(|id| tenant_ids.is_empty() || tenant_ids.contains(id));
        Ok(wanted.map(|id| world.usage(id)).collect())
    }

    async fn count_incidents(&self, tenant_id: &str) -> Result<Vec<IncidentCount>, EngineError> {
        self.admit(Operation::CountIncidents, tenant_id).await?;
        Ok(self.world().incidents.get(tenant_id).cloned().unwrap_or_default())
    }

    async fn watch_job_lag(&self, filter: &JobLagFilter, _: Duration) -> Result<JobLagStream, EngineError> {
        self.admit(Operation::WatchJobLag, filter.tenant_ids.join(",")).await?;
        Ok(self.lag_stream(filter))
    }
}
