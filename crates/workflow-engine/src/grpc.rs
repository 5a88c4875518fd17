//! The gRPC services, with what all of them share: authorization, deadlines, panics and status codes.

mod cluster;
mod credentials;
mod health;
mod instances;
mod jobs;
mod migration;
mod processes;
mod status;
mod tenants;

use credentials::Withdrawn;
pub use credentials::{Authenticate, Credentials, Error as CredentialsError};
pub use status::to_status;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine_api::proto::{
    FILE_DESCRIPTOR_SET, cluster_service_server::ClusterServiceServer,
    instance_service_server::InstanceServiceServer, job_service_server::JobServiceServer,
    migration_service_server::MigrationServiceServer, process_service_server::ProcessServiceServer,
    tenant_service_server::TenantServiceServer,
};
use engine_api::{Role, TenantEpoch};
use futures::FutureExt;
use prost::Message;
use tonic::server::NamedService as _;
use tonic::service::Routes;
use tonic::service::interceptor::InterceptedService;
use tonic::{Code, Extensions, Response, Status};

use crate::engine::{Engine, Fence};
use crate::error::Error;
use crate::node::Node;
use crate::storage::request_log::Remembered;
use crate::tenant_id::TenantId;
use crate::tenant_scope::TenantScope;
use health::NodeHealth;

/// Every method of the API. It determines who may call it and its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    GetInfo,
    GetHealth,
    RunCanary,
    PlanMigration,
    GetMigrationStatus,
    ValidateProcess,
    DeployProcess,
    GetProcessDefinition,
    ListProcessDefinitions,
    GetProcessDocument,
    CountWaitingInstances,
    DeleteProcess,
    PutTenant,
    GetTenant,
    ListTenants,
    DeleteTenant,
    ListTenantUsage,
    VerifyIsolation,
    StartInstance,
    StartInstances,
    ActivateJobs,
    StreamActivatedJobs,
    CompleteJob,
    CompleteJobs,
    FailJob,
    ExtendJob,
    GetInstance,
    ListInstances,
    SetVariables,
    CancelInstance,
    CancelInstances,
    ListIncidents,
    CountIncidents,
    ResolveIncident,
    ResolveIncidents,
    ListJobLag,
    WatchJobLag,
}

impl Method {
    pub fn name(self) -> &'static str {
        match self {
            Self::GetInfo => "GetInfo",
            Self::GetHealth => "GetHealth",
            Self::RunCanary => "RunCanary",
            Self::PlanMigration => "PlanMigration",
            Self::GetMigrationStatus => "GetMigrationStatus",
            Self::ValidateProcess => "ValidateProcess",
            Self::DeployProcess => "DeployProcess",
            Self::GetProcessDefinition => "GetProcessDefinition",
            Self::ListProcessDefinitions => "ListProcessDefinitions",
            Self::GetProcessDocument => "GetProcessDocument",
            Self::CountWaitingInstances => "CountWaitingInstances",
            Self::DeleteProcess => "DeleteProcess",
            Self::PutTenant => "PutTenant",
            Self::GetTenant => "GetTenant",
            Self::ListTenants => "ListTenants",
            Self::DeleteTenant => "DeleteTenant",
            Self::ListTenantUsage => "ListTenantUsage",
            Self::VerifyIsolation => "VerifyIsolation",
            Self::StartInstance => "StartInstance",
            Self::StartInstances => "StartInstances",
            Self::ActivateJobs => "ActivateJobs",
            Self::StreamActivatedJobs => "StreamActivatedJobs",
            Self::CompleteJob => "CompleteJob",
            Self::CompleteJobs => "CompleteJobs",
            Self::FailJob => "FailJob",
            Self::ExtendJob => "ExtendJob",
            Self::GetInstance => "GetInstance",
            Self::ListInstances => "ListInstances",
            Self::SetVariables => "SetVariables",
            Self::CancelInstance => "CancelInstance",
            Self::CancelInstances => "CancelInstances",
            Self::ListIncidents => "ListIncidents",
            Self::CountIncidents => "CountIncidents",
            Self::ResolveIncident => "ResolveIncident",
            Self::ResolveIncidents => "ResolveIncidents",
            Self::ListJobLag => "ListJobLag",
            Self::WatchJobLag => "WatchJobLag",
        }
    }

    /// The idempotency record of a request; `None` when its request id is empty.
    pub fn identify<M: Message>(self, request_id: &str, message: &M) -> Result<Option<Remembered>, Error> {
        Remembered::of(self.name(), request_id, message)
    }

    /// Maximum duration of a unary call, even if Postgres does not answer.
    fn deadline(self) -> Duration {
        match self {
            // The caller may ask to wait up to 30 s.
            Self::ActivateJobs => Duration::from_secs(40),
            // Deletions wait for running starts and delete many rows.
            Self::DeleteTenant | Self::DeleteProcess => Duration::from_secs(90),
            // Its own steps end after 10 s, and then what they left is deleted.
            Self::RunCanary => Duration::from_secs(20),
            // Up to a thousand instances.
            Self::CancelInstances | Self::ResolveIncidents => Duration::from_secs(30),
            _ => Duration::from_secs(10),
        }
    }

    fn audience(self) -> Audience {
        match self {
            Self::GetInfo | Self::GetHealth => Audience::Everyone,
            Self::GetMigrationStatus
            | Self::ListTenantUsage
            | Self::ListJobLag
            | Self::WatchJobLag => Audience::Monitor,
            Self::CountIncidents => Audience::MonitorAndClients,
            Self::ActivateJobs
            | Self::StreamActivatedJobs
            | Self::CompleteJob
            | Self::CompleteJobs
            | Self::FailJob
            | Self::ExtendJob => Audience::Workers,
            Self::StartInstance
            | Self::StartInstances
            | Self::GetInstance
            | Self::ListInstances
            | Self::SetVariables
            | Self::CancelInstance
            | Self::CancelInstances
            | Self::ListIncidents
            | Self::ResolveIncident
            | Self::ResolveIncidents
            // So that clients see which processes they can start. The answers do not contain the documents.
            | Self::GetProcessDefinition
            | Self::ListProcessDefinitions => Audience::Clients,
            Self::RunCanary
            | Self::PlanMigration
            | Self::ValidateProcess
            | Self::DeployProcess
            | Self::GetProcessDocument
            | Self::CountWaitingInstances
            | Self::DeleteProcess
            | Self::PutTenant
            | Self::GetTenant
            | Self::ListTenants
            | Self::DeleteTenant
            | Self::VerifyIsolation => Audience::Controllers,
        }
    }

    /// `tenant_id` is the request's. Methods for controllers pass an empty string, which matches no tenant's token.
    fn is_allowed(self, role: &Role, tenant_id: &str) -> bool {
        match (role, self.audience()) {
            (Role::Controller, _)
            | (_, Audience::Everyone)
            | (Role::Monitor, Audience::Monitor | Audience::MonitorAndClients) => true,
            (Role::Worker(own), Audience::Workers)
            | (Role::Client(own), Audience::Clients | Audience::MonitorAndClients) => {
                own.tenant_id == tenant_id
            }
            _ => false,
        }
    }
}

/// Which callers may call a method, besides controllers, which may call all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Audience {
    Everyone,
    /// For figures that contain no tenant's data.
    Monitor,
    /// For figures of one tenant. The monitor may read every tenant's, a client only its own tenant's.
    MonitorAndClients,
    /// The jobs of one tenant.
    Workers,
    /// The instances of one tenant.
    Clients,
    Controllers,
}

/// All services of one node.
#[derive(Debug, Clone)]
pub struct Api {
    pub node: Arc<Node>,
}

impl Api {
    /// All services except health require a token. Reflection too, since it is useless without one.
    pub fn routes(&self, authenticate: &Authenticate) -> Result<Routes, tonic_reflection::server::Error> {
        let services = || self.clone();
        let known = [
            ClusterServiceServer::<Self>::NAME,
            MigrationServiceServer::<Self>::NAME,
            ProcessServiceServer::<Self>::NAME,
            TenantServiceServer::<Self>::NAME,
            JobServiceServer::<Self>::NAME,
            InstanceServiceServer::<Self>::NAME,
        ];
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        // Some clients use v1 of the reflection protocol, others v1alpha.
        let (newer, older) = (reflection().build_v1()?, reflection().build_v1alpha()?);
        Ok(Routes::new(ClusterServiceServer::with_interceptor(services(), authenticate.clone()))
            .add_service(MigrationServiceServer::with_interceptor(services(), authenticate.clone()))
            .add_service(ProcessServiceServer::with_interceptor(services(), authenticate.clone()))
            .add_service(TenantServiceServer::with_interceptor(services(), authenticate.clone()))
            .add_service(JobServiceServer::with_interceptor(services(), authenticate.clone()))
            .add_service(InstanceServiceServer::with_interceptor(services(), authenticate.clone()))
            .add_service(InterceptedService::new(newer, authenticate.clone()))
            .add_service(InterceptedService::new(older, authenticate.clone()))
            .add_service(NodeHealth::server(Arc::clone(&self.node), &known)))
    }

    /// Runs a unary call on the engine: checks the authorization, limits and measures its time, and turns a panic into
    /// an error of this call only.
    pub async fn call<T, F>(
        &self,
        method: Method,
        extensions: &Extensions,
        work: impl FnOnce(Arc<Engine>) -> F,
    ) -> Result<Response<T>, Status>
    where
        F: Future<Output = Result<T, Error>>,
    {
        self.call_node(method, extensions, "", async {
            let engine = self.engine_for(extensions).await?;
            // Boxed: a use case's future is large, and it would be copied through every layer above.
            Box::pin(work(engine)).await
        })
        .await
    }

    /// As [`Self::call`], on one tenant. Refused when the tenant has another epoch than the caller's token.
    pub async fn call_tenant<T, F>(
        &self,
        method: Method,
        extensions: &Extensions,
        tenant_id: &str,
        work: impl FnOnce(Arc<Engine>, TenantScope) -> F,
    ) -> Result<Response<T>, Status>
    where
        F: Future<Output = Result<T, Error>>,
    {
        self.call_node(method, extensions, tenant_id, async {
            let engine = self.engine_for(extensions).await?;
            let scope = build_scope(extensions, tenant_id)?;
            Box::pin(work(engine, scope)).await
        })
        .await
    }

    /// The engine, after it recorded the fence of the calling controller replica.
    async fn engine_for(&self, extensions: &Extensions) -> Result<Arc<Engine>, Error> {
        let engine = self.node.engine()?;
        if let Some(fence) = extensions.get::<Fence>() {
            engine.record_fence(fence).await?;
        }
        Ok(engine)
    }

    /// A unary call that needs no database.
    async fn call_node<T>(
        &self,
        method: Method,
        extensions: &Extensions,
        tenant_id: &str,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<Response<T>, Status> {
        let began = Instant::now();
        let answered = async {
            require_allowed(method, extensions, tenant_id)?;
            let guarded = AssertUnwindSafe(tokio::time::timeout(method.deadline(), work)).catch_unwind();
            match guarded.await {
                Ok(Ok(worked)) => worked.map_err(|error| to_status(method, error)),
                Ok(Err(_)) => Err(Status::deadline_exceeded(format!(
                    "{} took longer than {} s",
                    method.name(),
                    method.deadline().as_secs()
                ))),
                // The panic hook has logged it with its location.
                Err(_) => {
                    Err(Status::internal("the call failed inside the engine; the node's log says where"))
                }
            }
        }
        .await;
        let code = answered.as_ref().map_or_else(Status::code, |_| Code::Ok);
        self.node.metrics.call_ended(method, code, began.elapsed());
        answered.map(Response::new)
    }
}

/// The scope of a caller whose authorization was checked.
fn build_scope(extensions: &Extensions, tenant_id: &str) -> Result<TenantScope, Error> {
    let id = TenantId::parse(tenant_id)?;
    match extensions.get::<Role>() {
        Some(Role::Controller | Role::Monitor) => Ok(TenantScope::any_epoch(id)),
        Some(Role::Worker(own) | Role::Client(own)) => TenantScope::of_epoch(id, &own.epoch),
        None => Err(Error::Defect("a call without a role".to_owned())),
    }
}

fn require_allowed(method: Method, extensions: &Extensions, tenant_id: &str) -> Result<(), Status> {
    let role =
        extensions.get::<Role>().ok_or_else(|| Status::unauthenticated("a bearer token is required"))?;
    if method.is_allowed(role, tenant_id) {
        return Ok(());
    }
    Err(Status::permission_denied(match role {
        Role::Worker(TenantEpoch { tenant_id, .. }) => {
            format!("this token is for the jobs of tenant {tenant_id} only, not for {} here", method.name())
        }
        Role::Client(TenantEpoch { tenant_id, .. }) => {
            format!(
                "this token is for the instances of tenant {tenant_id} only, not for {} here",
                method.name()
            )
        }
        _ => format!("this token may not call {}", method.name()),
    }))
}

#[cfg(test)]
mod tests;
