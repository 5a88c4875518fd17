//! Each service: read the request, ask the fake, write the answer.

use futures::{TryFutureExt as _, stream::BoxStream};
use tonic::{Request, Response, Status, async_trait};

use super::{Engine, FakeEngine, Operation, found, page, refused, status};
use engine_api::proto::{
    self, cluster_service_server::ClusterService, job_service_server::JobService,
    migration_service_server::MigrationService, process_service_server::ProcessService,
    tenant_service_server::TenantService,
};
use engine_client::model::{
    CompleteJob, DefinitionFilter, DefinitionRef, JobLagFilter, JobRef, StreamJobs, Tenant,
};

type Answer<T> = Result<Response<T>, Status>;

/// The request in domain terms.
pub(super) fn read<Wire, Model>(request: Request<Wire>) -> Result<Model, Status>
where
    Model: TryFrom<Wire, Error = engine_api::convert::Malformed>,
{
    Model::try_from(request.into_inner()).map_err(|malformed| refused(&malformed))
}

#[async_trait]
impl ClusterService for FakeEngine {
    async fn get_info(&self, _: Request<proto::GetInfoRequest>) -> Answer<proto::GetInfoResponse> {
        self.answer(self.info()).await
    }

    async fn get_health(&self, _: Request<proto::GetHealthRequest>) -> Answer<proto::GetHealthResponse> {
        self.answer(self.health()).await
    }
}

#[async_trait]
impl MigrationService for FakeEngine {
    async fn plan_migration(
        &self,
        request: Request<proto::PlanMigrationRequest>,
    ) -> Answer<proto::PlanMigrationResponse> {
        self.answer(Engine::plan_migration(self, &request.get_ref().target_version)).await
    }

    async fn get_migration_status(
        &self,
        _: Request<proto::GetMigrationStatusRequest>,
    ) -> Answer<proto::GetMigrationStatusResponse> {
        self.answer(self.migration_status()).await
    }
}

#[async_trait]
impl ProcessService for FakeEngine {
    async fn validate_process(
        &self,
        request: Request<proto::ValidateProcessRequest>,
    ) -> Answer<proto::ValidateProcessResponse> {
        self.answer(Engine::validate_process(self, &read(request)?)).await
    }

    async fn deploy_process(
        &self,
        request: Request<proto::DeployProcessRequest>,
    ) -> Answer<proto::DeployProcessResponse> {
        self.answer(Engine::deploy_process(self, &read(request)?)).await
    }

    async fn get_process_definition(
        &self,
        request: Request<proto::GetProcessDefinitionRequest>,
    ) -> Answer<proto::GetProcessDefinitionResponse> {
        let tenant_id = request.get_ref().tenant_id.clone();
        let wanted: DefinitionRef = read(request)?;
        let definition = Engine::get_process_definition(self, &tenant_id, &wanted);
        self.answer(definition.and_then(async |maybe| found(Operation::GetProcessDefinition, maybe))).await
    }

    async fn list_process_definitions(
        &self,
        request: Request<proto::ListProcessDefinitionsRequest>,
    ) -> Answer<proto::ListProcessDefinitionsResponse> {
        let request = request.into_inner();
        let filter = DefinitionFilter {
            latest_only: request.latest_only,
            owner_id: Some(request.owner_id).filter(|id| !id.is_empty()),
        };
        let all = Engine::list_process_definitions(self, &request.tenant_id, &filter);
        let all = all.await.map_err(|error| status(&error))?;
        let (definitions, next_page_token) = page(all, request.page_size, &request.page_token)?;
        let definitions = definitions.into_iter().map(Into::into).collect();
        Ok(Response::new(proto::ListProcessDefinitionsResponse { definitions, next_page_token }))
    }

    async fn delete_process(
        &self,
        request: Request<proto::DeleteProcessRequest>,
    ) -> Answer<proto::DeleteProcessResponse> {
        self.answer(Engine::delete_process(self, &read(request)?)).await
    }
}

#[async_trait]
impl TenantService for FakeEngine {
    async fn put_tenant(
        &self,
        request: Request<proto::PutTenantRequest>,
    ) -> Answer<proto::PutTenantResponse> {
        let proto::PutTenantRequest { request_id, tenant } = request.into_inner();
        let tenant: Tenant = read(Request::new(proto::GetTenantResponse { tenant }))?;
        self.answer(Engine::put_tenant(self, &request_id, &tenant)).await
    }

    async fn get_tenant(
        &self,
        request: Request<proto::GetTenantRequest>,
    ) -> Answer<proto::GetTenantResponse> {
        let tenant = Engine::get_tenant(self, &request.get_ref().tenant_id);
        self.answer(tenant.and_then(async |maybe| found(Operation::GetTenant, maybe))).await
    }

    async fn list_tenants(
        &self,
        request: Request<proto::ListTenantsRequest>,
    ) -> Answer<proto::ListTenantsResponse> {
        let all = Engine::list_tenants(self).await.map_err(|error| status(&error))?;
        let (tenants, next_page_token) =
            page(all, request.get_ref().page_size, &request.get_ref().page_token)?;
        let tenants = tenants.iter().map(Into::into).collect();
        Ok(Response::new(proto::ListTenantsResponse { tenants, next_page_token }))
    }

    async fn delete_tenant(
        &self,
        request: Request<proto::DeleteTenantRequest>,
    ) -> Answer<proto::DeleteTenantResponse> {
        self.answer(Engine::delete_tenant(self, &read(request)?)).await
    }

    async fn list_tenant_usage(
        &self,
        request: Request<proto::ListTenantUsageRequest>,
    ) -> Answer<proto::ListTenantUsageResponse> {
        self.answer(Engine::list_tenant_usage(self, &request.get_ref().tenant_ids)).await
    }

    async fn verify_isolation(
        &self,
        request: Request<proto::VerifyIsolationRequest>,
    ) -> Answer<proto::VerifyIsolationResponse> {
        self.answer(Engine::verify_isolation(self, &request.get_ref().tenant_id)).await
    }
}

#[async_trait]
impl JobService for FakeEngine {
    type StreamActivatedJobsStream = BoxStream<'static, Result<proto::StreamActivatedJobsResponse, Status>>;
    type WatchJobLagStream = BoxStream<'static, Result<proto::WatchJobLagResponse, Status>>;

    async fn start_instance(
        &self,
        request: Request<proto::StartInstanceRequest>,
    ) -> Answer<proto::StartInstanceResponse> {
        self.answer(FakeEngine::start_instance(self, &read(request)?)).await
    }

    async fn start_instances(
        &self,
        request: Request<proto::StartInstancesRequest>,
    ) -> Answer<proto::StartInstancesResponse> {
        self.answer(FakeEngine::start_instances(self, &read(request)?)).await
    }

    async fn activate_jobs(
        &self,
        request: Request<proto::ActivateJobsRequest>,
    ) -> Answer<proto::ActivateJobsResponse> {
        self.answer(FakeEngine::activate_jobs(self, &read(request)?)).await
    }

    async fn stream_activated_jobs(
        &self,
        request: Request<proto::StreamActivatedJobsRequest>,
    ) -> Answer<Self::StreamActivatedJobsStream> {
        let request: StreamJobs = read(request)?;
        let batches = self.job_batches(request).await.map_err(|error| status(&error))?;
        Ok(self.answers(batches))
    }

    async fn complete_job(
        &self,
        request: Request<proto::CompleteJobRequest>,
    ) -> Answer<proto::CompleteJobResponse> {
        let request: CompleteJob = read(request)?;
        let done = FakeEngine::complete_job(self, &request);
        self.answer(done.map_ok(|()| proto::CompleteJobResponse {})).await
    }

    async fn complete_jobs(
        &self,
        request: Request<proto::CompleteJobsRequest>,
    ) -> Answer<proto::CompleteJobsResponse> {
        let proto::CompleteJobsRequest { tenant_id, jobs } = request.into_inner();
        let jobs: Result<Vec<CompleteJob>, _> = jobs.into_iter().map(|job| read(Request::new(job))).collect();
        let jobs = jobs?;
        let lost = FakeEngine::complete_jobs(self, &tenant_id, &jobs);
        self.answer(lost.map_ok(|lost| proto::CompleteJobsResponse { lost })).await
    }

    async fn fail_job(&self, request: Request<proto::FailJobRequest>) -> Answer<proto::FailJobResponse> {
        let request = read(request)?;
        let failed = FakeEngine::fail_job(self, &request);
        self.answer(failed.map_ok(|incident| proto::FailJobResponse { incident })).await
    }

    async fn extend_job(
        &self,
        request: Request<proto::ExtendJobRequest>,
    ) -> Answer<proto::ExtendJobResponse> {
        let (job, lease): (JobRef, std::time::Duration) = read(request)?;
        self.answer(FakeEngine::extend_job(self, &job, lease)).await
    }

    async fn get_instance(
        &self,
        request: Request<proto::GetInstanceRequest>,
    ) -> Answer<proto::GetInstanceResponse> {
        let instance = FakeEngine::get_instance(self, &request.get_ref().tenant_id, request.get_ref().key);
        self.answer(instance.and_then(async |maybe| found(Operation::GetInstance, maybe))).await
    }

    async fn list_job_lag(
        &self,
        request: Request<proto::ListJobLagRequest>,
    ) -> Answer<proto::ListJobLagResponse> {
        let proto::ListJobLagRequest { tenant_ids, job_types, .. } = request.into_inner();
        self.answer(Engine::list_job_lag(self, &JobLagFilter { tenant_ids, job_types })).await
    }

    async fn watch_job_lag(
        &self,
        request: Request<proto::WatchJobLagRequest>,
    ) -> Answer<Self::WatchJobLagStream> {
        let proto::WatchJobLagRequest { tenant_ids, job_types, .. } = request.into_inner();
        let filter = JobLagFilter { tenant_ids, job_types };
        let updates = Engine::watch_job_lag(self, &filter, std::time::Duration::ZERO).await;
        Ok(self.answers(updates.map_err(|error| status(&error))?))
    }
}
