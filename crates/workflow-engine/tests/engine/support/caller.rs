use engine_api::proto::cluster_service_client::ClusterServiceClient;
use engine_api::proto::deploy_process_response::Deployed;
use engine_api::proto::instance_service_client::InstanceServiceClient;
use engine_api::proto::job_service_client::JobServiceClient;
use engine_api::proto::migration_service_client::MigrationServiceClient;
use engine_api::proto::process_service_client::ProcessServiceClient;
use engine_api::proto::tenant_service_client::TenantServiceClient;
use engine_api::proto::{
    ActivateJobsRequest, DeployProcessRequest, DeployProcessResponse, GetInstanceRequest,
    GetInstanceResponse, Job, PutTenantRequest, StartInstanceRequest, TenantQuotas,
};
use serde_json::Value;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

use super::requests::{activation, completion, deployed, deployment, tenant, wire_variables};

#[derive(Clone)]
pub(crate) struct Bearer {
    pub(super) authorization: Option<MetadataValue<Ascii>>,
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.authorization {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

pub(crate) type Authenticated = InterceptedService<Channel, Bearer>;

/// A client with a token.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(super) channel: Channel,
    pub(super) bearer: Bearer,
}

impl Caller {
    pub(crate) fn service(&self) -> Authenticated {
        InterceptedService::new(self.channel.clone(), self.bearer.clone())
    }

    pub(crate) fn cluster(&self) -> ClusterServiceClient<Authenticated> {
        ClusterServiceClient::new(self.service())
    }

    pub(crate) fn migration(&self) -> MigrationServiceClient<Authenticated> {
        MigrationServiceClient::new(self.service())
    }

    pub(crate) fn processes(&self) -> ProcessServiceClient<Authenticated> {
        ProcessServiceClient::new(self.service())
    }

    pub(crate) fn tenants(&self) -> TenantServiceClient<Authenticated> {
        TenantServiceClient::new(self.service())
    }

    pub(crate) fn jobs(&self) -> JobServiceClient<Authenticated> {
        JobServiceClient::new(self.service())
    }

    pub(crate) fn instances(&self) -> InstanceServiceClient<Authenticated> {
        InstanceServiceClient::new(self.service())
    }

    pub(crate) async fn try_deploy(
        &self,
        request: DeployProcessRequest,
    ) -> Result<DeployProcessResponse, Status> {
        self.processes().deploy_process(request).await.map(tonic::Response::into_inner)
    }

    /// Deploys a document, which must succeed.
    pub(crate) async fn deploy(&self, tenant_id: &str, document: &str) -> Deployed {
        deployed(self.try_deploy(deployment(tenant_id, document)).await.expect("should be answered"))
    }

    pub(crate) async fn put_tenant(&self, id: &str, quotas: TenantQuotas) {
        let request = PutTenantRequest { request_id: String::new(), tenant: Some(tenant(id, quotas)) };
        self.tenants().put_tenant(request).await.expect("should put a tenant");
    }

    pub(crate) async fn try_start(
        &self,
        tenant_id: &str,
        process_id: &str,
        variables: &Value,
    ) -> Result<i64, Status> {
        let request = StartInstanceRequest {
            request_id: String::new(),
            tenant_id: tenant_id.to_owned(),
            process_id: process_id.to_owned(),
            version: 0,
            variables: Some(wire_variables(variables)),
        };
        self.jobs().start_instance(request).await.map(|started| started.into_inner().instance_key)
    }

    pub(crate) async fn start(&self, tenant_id: &str, process_id: &str, variables: &Value) -> i64 {
        self.try_start(tenant_id, process_id, variables).await.expect("should start")
    }

    /// Activates jobs of one type with a lease of a minute, without waiting.
    pub(crate) async fn activate(&self, tenant_id: &str, job_type: &str, max_jobs: i32) -> Vec<Job> {
        self.try_activate(activation(tenant_id, job_type, max_jobs)).await.expect("should activate")
    }

    pub(crate) async fn try_activate(&self, request: ActivateJobsRequest) -> Result<Vec<Job>, Status> {
        self.jobs().activate_jobs(request).await.map(|activated| activated.into_inner().jobs)
    }

    pub(crate) async fn try_complete(&self, job: &Job, variables: &Value) -> Result<(), Status> {
        self.jobs().complete_job(completion(job, variables)).await.map(drop)
    }

    pub(crate) async fn complete(&self, job: &Job, variables: &Value) {
        self.try_complete(job, variables).await.expect("should complete");
    }

    /// Activates the only job of a type and completes it.
    pub(crate) async fn work(&self, tenant_id: &str, job_type: &str, variables: &Value) {
        let jobs = self.activate(tenant_id, job_type, 10).await;
        assert_eq!(jobs.len(), 1, "jobs of type {job_type}");
        self.complete(&jobs[0], variables).await;
    }

    pub(crate) async fn instance(&self, tenant_id: &str, key: i64) -> GetInstanceResponse {
        let request = GetInstanceRequest { tenant_id: tenant_id.to_owned(), key };
        self.jobs().get_instance(request).await.expect("should be there").into_inner()
    }
}
