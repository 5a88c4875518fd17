use engine_api::convert::page_request;
use engine_api::proto::tenant_service_server::TenantService;
use engine_api::proto::{
    DeleteTenantRequest, DeleteTenantResponse, GetTenantRequest, GetTenantResponse, ListTenantUsageRequest,
    ListTenantUsageResponse, ListTenantsRequest, ListTenantsResponse, PutTenantRequest, PutTenantResponse,
    VerifyIsolationRequest, VerifyIsolationResponse,
};
use tonic::{Request, Response, Status};

use super::{Api, Method};
use crate::engine::Fence;

#[tonic::async_trait]
impl TenantService for Api {
    async fn put_tenant(
        &self,
        request: Request<PutTenantRequest>,
    ) -> Result<Response<PutTenantResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let fence = extensions.get::<Fence>();
        self.call(Method::PutTenant, &extensions, |engine| async move {
            let remembered = Method::PutTenant.identify(&request.request_id, &request)?;
            engine.put_tenant(request.try_into()?, remembered, fence).await.map(Into::into)
        })
        .await
    }

    async fn get_tenant(
        &self,
        request: Request<GetTenantRequest>,
    ) -> Result<Response<GetTenantResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        self.call(Method::GetTenant, &extensions, |engine| async move {
            engine.get_tenant(&request.tenant_id).await.map(Into::into)
        })
        .await
    }

    async fn list_tenants(
        &self,
        request: Request<ListTenantsRequest>,
    ) -> Result<Response<ListTenantsResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        self.call(Method::ListTenants, &extensions, |engine| async move {
            let page = page_request(request.page_size, request.page_token)?;
            engine.list_tenants(&page).await.map(Into::into)
        })
        .await
    }

    async fn delete_tenant(
        &self,
        request: Request<DeleteTenantRequest>,
    ) -> Result<Response<DeleteTenantResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let fence = extensions.get::<Fence>();
        self.call(Method::DeleteTenant, &extensions, |engine| async move {
            let remembered = Method::DeleteTenant.identify(&request.request_id, &request)?;
            engine.delete_tenant(request.try_into()?, remembered, fence).await.map(Into::into)
        })
        .await
    }

    async fn list_tenant_usage(
        &self,
        request: Request<ListTenantUsageRequest>,
    ) -> Result<Response<ListTenantUsageResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        self.call(Method::ListTenantUsage, &extensions, |engine| async move {
            engine.list_usage(&request.tenant_ids).await.map(Into::into)
        })
        .await
    }

    async fn verify_isolation(
        &self,
        request: Request<VerifyIsolationRequest>,
    ) -> Result<Response<VerifyIsolationResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        self.call(Method::VerifyIsolation, &extensions, |engine| async move {
            engine.verify_isolation(&request.tenant_id).await.map(Into::into)
        })
        .await
    }
}
