use engine_api::convert::page_request;
use engine_api::model::DefinitionFilter;
use engine_api::proto::process_service_server::ProcessService;
use engine_api::proto::{
    CountWaitingInstancesRequest, CountWaitingInstancesResponse, DeleteProcessRequest, DeleteProcessResponse,
    DeployProcessRequest, DeployProcessResponse, GetProcessDefinitionRequest, GetProcessDefinitionResponse,
    GetProcessDocumentRequest, GetProcessDocumentResponse, ListProcessDefinitionsRequest,
    ListProcessDefinitionsResponse, ValidateProcessRequest, ValidateProcessResponse,
};
use tonic::{Request, Response, Status};

use super::{Api, Method};
use crate::engine::Fence;

#[tonic::async_trait]
impl ProcessService for Api {
    async fn validate_process(
        &self,
        request: Request<ValidateProcessRequest>,
    ) -> Result<Response<ValidateProcessResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let method = Method::ValidateProcess;
        self.call(method, &extensions, |engine| async move {
            engine.validate(request.try_into()?).await.map(Into::into)
        })
        .await
    }

    async fn deploy_process(
        &self,
        request: Request<DeployProcessRequest>,
    ) -> Result<Response<DeployProcessResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let fence = extensions.get::<Fence>();
        self.call(Method::DeployProcess, &extensions, |engine| async move {
            let remembered = Method::DeployProcess.identify(&request.request_id, &request)?;
            engine.deploy(request.try_into()?, remembered, fence).await.map(Into::into)
        })
        .await
    }

    async fn get_process_definition(
        &self,
        request: Request<GetProcessDefinitionRequest>,
    ) -> Result<Response<GetProcessDefinitionResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let tenant_id = request.tenant_id.clone();
        self.call_tenant(Method::GetProcessDefinition, &extensions, &tenant_id, |engine, tenant| async move {
            engine.get_definition(&tenant, &request.try_into()?).await.map(Into::into)
        })
        .await
    }

    async fn list_process_definitions(
        &self,
        request: Request<ListProcessDefinitionsRequest>,
    ) -> Result<Response<ListProcessDefinitionsResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let tenant_id = request.tenant_id.clone();
        let method = Method::ListProcessDefinitions;
        self.call_tenant(method, &extensions, &tenant_id, |engine, tenant| async move {
            let page = page_request(request.page_size, request.page_token)?;
            let owner_id = Some(request.owner_id).filter(|id| !id.is_empty());
            let filter = DefinitionFilter { latest_only: request.latest_only, owner_id };
            engine.list_definitions(&tenant, &filter, &page).await.map(Into::into)
        })
        .await
    }

    async fn get_process_document(
        &self,
        request: Request<GetProcessDocumentRequest>,
    ) -> Result<Response<GetProcessDocumentResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let method = Method::GetProcessDocument;
        self.call_tenant(method, &extensions, &request.tenant_id, |engine, tenant| async move {
            engine.get_document(&tenant, request.key).await.map(Into::into)
        })
        .await
    }

    async fn count_waiting_instances(
        &self,
        request: Request<CountWaitingInstancesRequest>,
    ) -> Result<Response<CountWaitingInstancesResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let CountWaitingInstancesRequest { tenant_id, process_id, element_ids } = request;
        let method = Method::CountWaitingInstances;
        self.call_tenant(method, &extensions, &tenant_id, |engine, tenant| async move {
            engine.count_waiting_instances(&tenant, &process_id, element_ids).await.map(Into::into)
        })
        .await
    }

    async fn delete_process(
        &self,
        request: Request<DeleteProcessRequest>,
    ) -> Result<Response<DeleteProcessResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let method = Method::DeleteProcess;
        let fence = extensions.get::<Fence>();
        self.call(method, &extensions, |engine| async move {
            let remembered = Method::DeleteProcess.identify(&request.request_id, &request)?;
            engine.delete_process(request.try_into()?, remembered, fence).await.map(Into::into)
        })
        .await
    }
}
