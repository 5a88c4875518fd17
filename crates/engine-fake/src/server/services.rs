//! Each service: read the request, ask the fake, write the answer.

use std::pin::Pin;

use futures::{TryFutureExt as _, future, stream::BoxStream};
use tonic::{Request, Response, Status, async_trait};

use super::{Engine, FakeEngine, Operation, found, status};
use engine_api::convert::InvalidRequest;
use engine_api::proto::{
    self, cluster_service_server::ClusterService, job_service_server::JobService,
    process_service_server::ProcessService,
};
use engine_client::model::{CompleteJob, DefinitionFilter, DefinitionRef, JobLagFilter, Page, StreamJobs};

type Answer<T> = Result<Response<T>, Status>;

/// Calls that no test makes.
macro_rules! unserved {
    ($($call:ident($request:ident) -> $answer:ident;)*) => { $(
        // As `async_trait` writes it.
        fn $call<'call, 'answer>(
            &'call self,
            _: Request<proto::$request>,
        ) -> Pin<Box<dyn Future<Output = Answer<proto::$answer>> + Send + 'answer>>
        where
            'call: 'answer,
            Self: 'answer,
        {
            Box::pin(future::ready(Err(Status::unimplemented("the fake engine does not serve it"))))
        }
    )* };
}

/// The request in domain terms.
fn read<Wire, Model>(request: Request<Wire>) -> Result<Model, Status>
where
    Model: TryFrom<Wire, Error = InvalidRequest>,
{
    Model::try_from(request.into_inner()).map_err(|invalid| Status::invalid_argument(invalid.0))
}

#[async_trait]
impl ClusterService for FakeEngine {
    async fn get_info(&self, _: Request<proto::GetInfoRequest>) -> Answer<proto::GetInfoResponse> {
        let info = async {
            self.admit(Operation::GetInfo, "").await?;
            self.info().await
        };
        self.answer(info).await
    }

    async fn get_health(&self, _: Request<proto::GetHealthRequest>) -> Answer<proto::GetHealthResponse> {
        self.answer(self.health()).await
    }

    async fn run_canary(&self, _: Request<proto::RunCanaryRequest>) -> Answer<proto::RunCanaryResponse> {
        self.answer(Engine::run_canary(self)).await
    }
}

#[async_trait]
impl ProcessService for FakeEngine {
    unserved! {
        validate_process(ValidateProcessRequest) -> ValidateProcessResponse;
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
        self.answer(all.map_ok(|entries| Page { entries, next: None })).await
    }

    async fn get_process_document(
        &self,
        request: Request<proto::GetProcessDocumentRequest>,
    ) -> Answer<proto::GetProcessDocumentResponse> {
        let proto::GetProcessDocumentRequest { tenant_id, key } = request.into_inner();
        let document = Engine::get_process_document(self, &tenant_id, key);
        self.answer(document.and_then(async |maybe| found(Operation::GetProcessDocument, maybe))).await
    }

    async fn count_waiting_instances(
        &self,
        request: Request<proto::CountWaitingInstancesRequest>,
    ) -> Answer<proto::CountWaitingInstancesResponse> {
        let proto::CountWaitingInstancesRequest { tenant_id, process_id, element_ids } = request.into_inner();
        self.answer(Engine::count_waiting_instances(self, &tenant_id, &process_id, &element_ids)).await
    }

    async fn delete_process(
        &self,
        request: Request<proto::DeleteProcessRequest>,
    ) -> Answer<proto::DeleteProcessResponse> {
        self.answer(Engine::delete_process(self, &read(request)?)).await
    }
}

#[async_trait]
impl JobService for FakeEngine {
    type StreamActivatedJobsStream = BoxStream<'static, Result<proto::StreamActivatedJobsResponse, Status>>;
    type WatchJobLagStream = BoxStream<'static, Result<proto::WatchJobLagResponse, Status>>;

    unserved! {
        start_instance(StartInstanceRequest) -> StartInstanceResponse;
        start_instances(StartInstancesRequest) -> StartInstancesResponse;
        activate_jobs(ActivateJobsRequest) -> ActivateJobsResponse;
        complete_jobs(CompleteJobsRequest) -> CompleteJobsResponse;
        extend_job(ExtendJobRequest) -> ExtendJobResponse;
        get_instance(GetInstanceRequest) -> GetInstanceResponse;
        list_job_lag(ListJobLagRequest) -> ListJobLagResponse;
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

    async fn fail_job(&self, request: Request<proto::FailJobRequest>) -> Answer<proto::FailJobResponse> {
        let request = read(request)?;
        let failed = FakeEngine::fail_job(self, &request);
        self.answer(failed.map_ok(|incident| proto::FailJobResponse { incident })).await
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
