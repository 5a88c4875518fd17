//! What controllers and the metrics adapter need of an engine.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::stream::BoxStream;

use crate::{
    EngineAccess, EngineError,
    model::{
        CanaryReport, DefinitionFilter, DefinitionRef, DeleteProcess, DeleteTenant, DeployProcess,
        DeployResult, EngineHealth, EngineInfo, IncidentCount, JobLagFilter, JobLagUpdate, ManagedDefinition,
        ProcessDefinition, ProcessDeletion, ProcessDocument, PutTenant, Tenant, TenantDeletion, TenantUsage,
        WaitingInstances,
    },
};

/// The lags of an engine as they change: a snapshot, then changes, then heartbeats.
pub type JobLagStream = BoxStream<'static, Result<JobLagUpdate, EngineError>>;

/// One engine cluster, seen by those who manage it.
///
/// Every call ends: it has a deadline of its own. Mutations are never repeated by an implementation: the caller does so
/// with the same `request_id`. What is absent is `None`. An engine that lacks a capability ([`EngineInfo::capabilities`])
/// answers its calls with [`ErrorClass::Unsupported`](crate::ErrorClass::Unsupported); [`CheckedEngine`](crate::CheckedEngine)
/// asks before it calls.
///
/// Doing the work (starting instances, taking jobs) is not part of it: workers bring their engine's own client, for the
/// engine of this repository [`EngineClient`](crate::EngineClient).
#[async_trait]
pub trait Engine: fmt::Debug + Send + Sync {
    /// What the answering node is and what it can do.
    async fn info(&self) -> Result<EngineInfo, EngineError>;

    /// The health of the engine.
    async fn health(&self) -> Result<EngineHealth, EngineError>;

    /// Runs a small process on the called node. A step that failed is an `Ok` that names it.
    async fn run_canary(&self) -> Result<CanaryReport, EngineError>;

    /// Makes a document the latest version of its process. A refused document is an `Ok` with findings.
    async fn deploy_process(&self, request: &DeployProcess) -> Result<DeployResult, EngineError>;

    /// One version of one process of a tenant.
    async fn get_process_definition(
        &self,
        tenant_id: &str,
        definition: &DefinitionRef,
    ) -> Result<Option<ManagedDefinition>, EngineError>;

    /// Versions of processes of a tenant.
    async fn list_process_definitions(
        &self,
        tenant_id: &str,
        filter: &DefinitionFilter,
    ) -> Result<Vec<ProcessDefinition>, EngineError>;

    /// The document of one version, by the version's key. Its digest is the one that the engine recorded: the caller compares it
    /// with that of the bytes. [`ErrorClass::Unsupported`](crate::ErrorClass::Unsupported) by an engine that is too old for it.
    async fn get_process_document(
        &self,
        tenant_id: &str,
        key: i64,
    ) -> Result<Option<ProcessDocument>, EngineError>;

    /// How many running instances of a process wait at these elements, over all its versions. `element_ids` are 1 to 1000, each
    /// once; ids that no version has are no error. [`ErrorClass::Unsupported`](crate::ErrorClass::Unsupported) by an engine
    /// that is too old for it.
    async fn count_waiting_instances(
        &self,
        tenant_id: &str,
        process_id: &str,
        element_ids: &[String],
    ) -> Result<WaitingInstances, EngineError>;

    /// Retires a process id. Deleting what is not there succeeds.
    async fn delete_process(&self, request: &DeleteProcess) -> Result<ProcessDeletion, EngineError>;

    /// Makes the tenant what it should be.
    async fn put_tenant(&self, request_id: &str, tenant: &Tenant) -> Result<PutTenant, EngineError>;

    /// All tenants.
    async fn list_tenants(&self) -> Result<Vec<Tenant>, EngineError>;

    /// Deletes a tenant. Deleting what is not there succeeds.
    async fn delete_tenant(&self, request: &DeleteTenant) -> Result<TenantDeletion, EngineError>;

    /// What these tenants use, all of them when the list is empty; unknown ones are left out.
    async fn list_tenant_usage(&self, tenant_ids: &[String]) -> Result<Vec<TenantUsage>, EngineError>;

    /// How many incidents are open, per version of a process that has any: all of a tenant in one call.
    async fn count_incidents(&self, tenant_id: &str) -> Result<Vec<IncidentCount>, EngineError>;

    /// How long jobs wait, as it changes, at most one message per `min_interval` (1 s to 60 s). The stream ends with an
    /// error, always: when the engine says nothing for too long with
    /// [`ErrorClass::Unavailable`](crate::ErrorClass::Unavailable).
    async fn watch_job_lag(
        &self,
        filter: &JobLagFilter,
        min_interval: Duration,
    ) -> Result<JobLagStream, EngineError>;
}

/// Where engines come from: a pool of connections, or fakes.
#[async_trait]
pub trait EngineProvider: fmt::Debug + Send + Sync {
    /// The engine at this address, seen with this credential. Does not wait for a connection: an engine that is not
    /// there is found out by the first call.
    async fn engine(&self, access: &EngineAccess) -> Result<Arc<dyn Engine>, EngineError>;
}
