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
        self.call(
            Method::PutTenant,
            &extensions,
            |engine| async move { engine.put_tenant(request, fence).await },
        )
        .await
    }

    async fn get_tenant(
        &self,
        request: Request<GetTenantRequest>,
    ) -> Result<Response<GetTenantResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        self.call(Method::GetTenant, &extensions, |engine| async move { engine.get_tenant(request).await })
            .await
    }

    async fn list_tenants(
        &self,
        request: Request<ListTenantsRequest>,
    ) -> Result<Response<ListTenantsResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        self.call(
            Method::ListTenants,
            &extensions,
            |engine| async move { engine.list_tenants(request).await },
        )
        .await
    }

    async fn delete_tenant(
        &self,
        request: Request<DeleteTenantRequest>,
    ) -> Result<Response<DeleteTenantResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let fence = extensions.get::<Fence>();
        self.call(Method::DeleteTenant, &extensions, |engine| async move {
            engine.delete_tenant(request, fence).await
        })
        .await
    }

    async fn list_tenant_usage(
        &self,
        request: Request<ListTenantUsageRequest>,
    ) -> Result<Response<ListTenantUsageResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        self.call(
            Method::ListTenantUsage,
            &extensions,
            |engine| async move { engine.list_usage(request).await },
        )
        .await
    }

    async fn verify_isolation(
        &self,
        request: Request<VerifyIsolationRequest>,
    ) -> Result<Response<VerifyIsolationResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        self.call(Method::VerifyIsolation, &extensions, |engine| async move {
            engine.verify_isolation(request).await
        })
        .await
    }
}
