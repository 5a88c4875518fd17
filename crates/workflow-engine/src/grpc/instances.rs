use engine_api::convert::page_request;
use engine_api::proto::instance_service_server::InstanceService;
use engine_api::proto::{
    CancelInstanceRequest, CancelInstanceResponse, CancelInstancesRequest, CancelInstancesResponse,
    CountIncidentsRequest, CountIncidentsResponse, GetInstanceRequest, GetInstanceResponse,
    ListIncidentsRequest, ListIncidentsResponse, ListInstancesRequest, ListInstancesResponse,
    ResolveIncidentRequest, ResolveIncidentResponse, ResolveIncidentsRequest, ResolveIncidentsResponse,
    SetVariablesRequest, SetVariablesResponse, StartInstanceRequest, StartInstanceResponse,
};
use tonic::{Extensions, Request, Response, Status};

use super::{Api, Method};

/// Calls that gRPC and the JSON gateway share: authorization, then the use case.
impl Api {
    pub async fn start_instance_as(
        &self,
        extensions: &Extensions,
        request: StartInstanceRequest,
    ) -> Result<Response<StartInstanceResponse>, Status> {
        let tenant_id = request.tenant_id.clone();
        self.call_tenant(Method::StartInstance, extensions, &tenant_id, |engine, tenant| async move {
            let remembered = Method::StartInstance.identify(&request.request_id, &request)?;
            engine.start_instance(&tenant, request.try_into()?, remembered).await.map(Into::into)
        })
        .await
    }

    pub async fn get_instance_as(
        &self,
        extensions: &Extensions,
        request: GetInstanceRequest,
    ) -> Result<Response<GetInstanceResponse>, Status> {
        let tenant_id = request.tenant_id.clone();
        self.call_tenant(Method::GetInstance, extensions, &tenant_id, |engine, tenant| async move {
            engine.get_instance(&tenant, request.key).await.map(Into::into)
        })
        .await
    }

    pub async fn list_instances_as(
        &self,
        extensions: &Extensions,
        request: ListInstancesRequest,
    ) -> Result<Response<ListInstancesResponse>, Status> {
        let tenant_id = request.tenant_id.clone();
        self.call_tenant(Method::ListInstances, extensions, &tenant_id, |engine, tenant| async move {
            let page = page_request(request.page_size, request.page_token)?;
            let filter = request.filter.unwrap_or_default().try_into()?;
            engine.list_instances(&tenant, &filter, &page).await.map(Into::into)
        })
        .await
    }

    pub async fn set_variables_as(
        &self,
        extensions: &Extensions,
        request: SetVariablesRequest,
    ) -> Result<Response<SetVariablesResponse>, Status> {
        let tenant_id = request.tenant_id.clone();
        self.call_tenant(Method::SetVariables, extensions, &tenant_id, |engine, tenant| async move {
            let remembered = Method::SetVariables.identify(&request.request_id, &request)?;
            engine.set_variables(&tenant, request.try_into()?, remembered).await?;
            Ok(SetVariablesResponse {})
        })
        .await
    }

    pub async fn cancel_instance_as(
        &self,
        extensions: &Extensions,
        request: CancelInstanceRequest,
    ) -> Result<Response<CancelInstanceResponse>, Status> {
        let tenant_id = request.tenant_id.clone();
        self.call_tenant(Method::CancelInstance, extensions, &tenant_id, |engine, tenant| async move {
            let remembered = Method::CancelInstance.identify(&request.request_id, &request)?;
            engine.cancel_instance(&tenant, request.key, remembered).await?;
            Ok(CancelInstanceResponse {})
        })
        .await
    }

    pub async fn cancel_instances_as(
        &self,
        extensions: &Extensions,
        request: CancelInstancesRequest,
    ) -> Result<Response<CancelInstancesResponse>, Status> {
        let tenant_id = request.tenant_id.clone();
        self.call_tenant(Method::CancelInstances, extensions, &tenant_id, |engine, tenant| async move {
            let remembered = Method::CancelInstances.identify(&request.request_id, &request)?;
            engine.cancel_instances(&tenant, request.try_into()?, remembered).await.map(Into::into)
        })
        .await
    }

    pub async fn list_incidents_as(
        &self,
        extensions: &Extensions,
        request: ListIncidentsRequest,
    ) -> Result<Response<ListIncidentsResponse>, Status> {
        let tenant_id = request.tenant_id.clone();
        self.call_tenant(Method::ListIncidents, extensions, &tenant_id, |engine, tenant| async move {
            let page = page_request(request.page_size, request.page_token)?;
            let filter = request.filter.unwrap_or_default().try_into()?;
            engine.list_incidents(&tenant, &filter, &page).await.map(Into::into)
        })
        .await
    }

    pub async fn count_incidents_as(
        &self,
        extensions: &Extensions,
        request: CountIncidentsRequest,
    ) -> Result<Response<CountIncidentsResponse>, Status> {
        self.call_tenant(
            Method::CountIncidents,
            extensions,
            &request.tenant_id,
            |engine, tenant| async move { engine.count_incidents(&tenant).await.map(Into::into) },
        )
        .await
    }

    pub async fn resolve_incident_as(
        &self,
        extensions: &Extensions,
        request: ResolveIncidentRequest,
    ) -> Result<Response<ResolveIncidentResponse>, Status> {
        let tenant_id = request.tenant_id.clone();
        self.call_tenant(Method::ResolveIncident, extensions, &tenant_id, |engine, tenant| async move {
            let remembered = Method::ResolveIncident.identify(&request.request_id, &request)?;
            engine.resolve_incident(&tenant, request.try_into()?, remembered).await?;
            Ok(ResolveIncidentResponse {})
        })
        .await
    }

    pub async fn resolve_incidents_as(
        &self,
        extensions: &Extensions,
        request: ResolveIncidentsRequest,
    ) -> Result<Response<ResolveIncidentsResponse>, Status> {
        let tenant_id = request.tenant_id.clone();
        self.call_tenant(Method::ResolveIncidents, extensions, &tenant_id, |engine, tenant| async move {
            let remembered = Method::ResolveIncidents.identify(&request.request_id, &request)?;
            engine.resolve_incidents(&tenant, request.try_into()?, remembered).await.map(Into::into)
        })
        .await
    }
}

#[tonic::async_trait]
impl InstanceService for Api {
    async fn list_instances(
        &self,
        request: Request<ListInstancesRequest>,
    ) -> Result<Response<ListInstancesResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        self.list_instances_as(&extensions, request).await
    }

    async fn set_variables(
        &self,
        request: Request<SetVariablesRequest>,
    ) -> Result<Response<SetVariablesResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        self.set_variables_as(&extensions, request).await
    }

    async fn cancel_instance(
        &self,
        request: Request<CancelInstanceRequest>,
    ) -> Result<Response<CancelInstanceResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        self.cancel_instance_as(&extensions, request).await
    }

    async fn cancel_instances(
        &self,
        request: Request<CancelInstancesRequest>,
    ) -> Result<Response<CancelInstancesResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        self.cancel_instances_as(&extensions, request).await
    }

    async fn list_incidents(
        &self,
        request: Request<ListIncidentsRequest>,
    ) -> Result<Response<ListIncidentsResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        self.list_incidents_as(&extensions, request).await
    }

    async fn count_incidents(
        &self,
        request: Request<CountIncidentsRequest>,
    ) -> Result<Response<CountIncidentsResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        self.count_incidents_as(&extensions, request).await
    }

    async fn resolve_incident(
        &self,
        request: Request<ResolveIncidentRequest>,
    ) -> Result<Response<ResolveIncidentResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        self.resolve_incident_as(&extensions, request).await
    }

    async fn resolve_incidents(
        &self,
        request: Request<ResolveIncidentsRequest>,
    ) -> Result<Response<ResolveIncidentsResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        self.resolve_incidents_as(&extensions, request).await
    }
}
