//! Faults between a controller and an engine: the engine's writes count together with the apiserver's.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use engine_client::model::{
    CanaryReport, DefinitionFilter, DefinitionRef, DeleteProcess, DeleteTenant, DeployProcess, DeployResult,
    EngineHealth, EngineInfo, IncidentCount, JobLagFilter, ManagedDefinition, ProcessDefinition,
    ProcessDeletion, ProcessDocument, PutTenant, Tenant, TenantDeletion, TenantUsage, WaitingInstances,
};
use engine_client::{Engine, EngineAccess, EngineError, EngineProvider, ErrorClass, JobLagStream, Operation};

use super::{Faults, Stopped};

impl Faults {
    /// The same engines with these faults in between.
    pub fn wrap_engines(&self, engines: impl EngineProvider + 'static) -> Arc<dyn EngineProvider> {
        Arc::new(FaultyEngines { engines: Box::new(engines), faults: self.clone() })
    }
}

#[derive(Debug)]
struct FaultyEngines {
    engines: Box<dyn EngineProvider>,
    faults: Faults,
}

#[async_trait]
impl EngineProvider for FaultyEngines {
    async fn engine(&self, access: &EngineAccess) -> Result<Arc<dyn Engine>, EngineError> {
        let engine = self.engines.engine(access).await?;
        Ok(Arc::new(FaultyEngine { engine, faults: self.faults.clone() }))
    }
}

#[derive(Debug)]
struct FaultyEngine {
    engine: Arc<dyn Engine>,
    faults: Faults,
}

/// A caller that counts as killed ignores it; for any other it is a lost connection.
fn lost(operation: Operation) -> impl FnOnce(Stopped) -> EngineError {
    move |stopped| EngineError::new(operation, ErrorClass::Unavailable, stopped.to_string())
}

macro_rules! pass {
    ($self:ident, read $operation:ident, $call:ident($($argument:ident),*)) => {
        $self.faults.pass(None, $self.engine.$call($($argument),*), lost(Operation::$operation)).await
    };
    ($self:ident, write $operation:ident, $call:ident($($argument:ident),*)) => {{
        let operation = Operation::$operation;
        $self.faults.pass(Some(operation.as_str()), $self.engine.$call($($argument),*), lost(operation)).await
    }};
}

#[async_trait]
impl Engine for FaultyEngine {
    async fn info(&self) -> Result<EngineInfo, EngineError> {
        pass!(self, read GetInfo, info())
    }

    async fn health(&self) -> Result<EngineHealth, EngineError> {
        pass!(self, read GetHealth, health())
    }

    // Nothing of it stays, so it is no write.
    async fn run_canary(&self) -> Result<CanaryReport, EngineError> {
        pass!(self, read RunCanary, run_canary())
    }

    async fn deploy_process(&self, request: &DeployProcess) -> Result<DeployResult, EngineError> {
        pass!(self, write DeployProcess, deploy_process(request))
    }

    async fn get_process_definition(
        &self,
        tenant_id: &str,
        definition: &DefinitionRef,
    ) -> Result<Option<ManagedDefinition>, EngineError> {
        pass!(self, read GetProcessDefinition, get_process_definition(tenant_id, definition))
    }

    async fn list_process_definitions(
        &self,
        tenant_id: &str,
        filter: &DefinitionFilter,
    ) -> Result<Vec<ProcessDefinition>, EngineError> {
        pass!(self, read ListProcessDefinitions, list_process_definitions(tenant_id, filter))
    }

    async fn get_process_document(
        &self,
        tenant_id: &str,
        key: i64,
    ) -> Result<Option<ProcessDocument>, EngineError> {
        pass!(self, read GetProcessDocument, get_process_document(tenant_id, key))
    }

    async fn count_waiting_instances(
        &self,
        tenant_id: &str,
        process_id: &str,
        element_ids: &[String],
    ) -> Result<WaitingInstances, EngineError> {
        pass!(self, read CountWaitingInstances, count_waiting_instances(tenant_id, process_id, element_ids))
    }

    async fn delete_process(&self, request: &DeleteProcess) -> Result<ProcessDeletion, EngineError> {
        pass!(self, write DeleteProcess, delete_process(request))
    }

    async fn put_tenant(&self, request_id: &str, tenant: &Tenant) -> Result<PutTenant, EngineError> {
        pass!(self, write PutTenant, put_tenant(request_id, tenant))
    }

    async fn list_tenants(&self) -> Result<Vec<Tenant>, EngineError> {
        pass!(self, read ListTenants, list_tenants())
    }

    async fn delete_tenant(&self, request: &DeleteTenant) -> Result<TenantDeletion, EngineError> {
        pass!(self, write DeleteTenant, delete_tenant(request))
    }

    async fn list_tenant_usage(&self, tenant_ids: &[String]) -> Result<Vec<TenantUsage>, EngineError> {
        pass!(self, read ListTenantUsage, list_tenant_usage(tenant_ids))
    }

    async fn count_incidents(&self, tenant_id: &str) -> Result<Vec<IncidentCount>, EngineError> {
        pass!(self, read CountIncidents, count_incidents(tenant_id))
    }

    async fn watch_job_lag(
        &self,
        filter: &JobLagFilter,
        min_interval: Duration,
    ) -> Result<JobLagStream, EngineError> {
        pass!(self, read WatchJobLag, watch_job_lag(filter, min_interval))
    }
}
