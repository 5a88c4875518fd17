//! The service for people who look after instances.

use futures::TryFutureExt as _;
use tonic::{Request, Response, Status, async_trait};

use super::{Engine, FakeEngine};
use super::{refused, services::read};
use engine_api::proto::{self, instance_service_server::InstanceService};
use engine_client::{
    EngineError, ErrorClass, Operation,
    model::{IncidentFilter, InstanceFilter, ResolveIncidents, SetVariables},
};

type Answer<T> = Result<Response<T>, Status>;

#[async_trait]
impl InstanceService for FakeEngine {
    async fn list_instances(
        &self,
        request: Request<proto::ListInstancesRequest>,
    ) -> Answer<proto::ListInstancesResponse> {
        let proto::ListInstancesRequest { tenant_id, filter, .. } = request.into_inner();
        let filter = InstanceFilter::try_from(filter.unwrap_or_default()).map_err(|error| refused(&error))?;
        self.answer(FakeEngine::list_instances(self, &tenant_id, &filter, None)).await
    }

    async fn set_variables(
        &self,
        request: Request<proto::SetVariablesRequest>,
    ) -> Answer<proto::SetVariablesResponse> {
        let request: SetVariables = read(request)?;
        let set = FakeEngine::set_variables(self, &request);
        self.answer(set.map_ok(|()| proto::SetVariablesResponse {})).await
    }

    async fn cancel_instance(
        &self,
        request: Request<proto::CancelInstanceRequest>,
    ) -> Answer<proto::CancelInstanceResponse> {
        let request = request.into_inner();
        let canceled =
            FakeEngine::cancel_instance(self, &request.request_id, &request.tenant_id, request.key);
        self.answer(canceled.map_ok(|()| proto::CancelInstanceResponse {})).await
    }

    async fn cancel_instances(
        &self,
        request: Request<proto::CancelInstancesRequest>,
    ) -> Answer<proto::CancelInstancesResponse> {
        self.answer(FakeEngine::cancel_instances(self, &read(request)?)).await
    }

    async fn list_incidents(
        &self,
        request: Request<proto::ListIncidentsRequest>,
    ) -> Answer<proto::ListIncidentsResponse> {
        let proto::ListIncidentsRequest { tenant_id, filter, .. } = request.into_inner();
        let filter = IncidentFilter::try_from(filter.unwrap_or_default()).map_err(|error| refused(&error))?;
        self.answer(FakeEngine::list_incidents(self, &tenant_id, &filter, None)).await
    }

    async fn count_incidents(
        &self,
        request: Request<proto::CountIncidentsRequest>,
    ) -> Answer<proto::CountIncidentsResponse> {
        self.answer(Engine::count_incidents(self, &request.get_ref().tenant_id)).await
    }

    async fn resolve_incident(
        &self,
        request: Request<proto::ResolveIncidentRequest>,
    ) -> Answer<proto::ResolveIncidentResponse> {
        let request = request.into_inner();
        let key = request.key;
        let many: ResolveIncidents = read(Request::new(proto::ResolveIncidentsRequest {
            request_id: request.request_id,
            tenant_id: request.tenant_id,
            selection: Some(proto::resolve_incidents_request::Selection::Keys(proto::Keys {
                keys: vec![key],
            })),
            retries: request.retries,
            variables: request.variables,
            page_token: String::new(),
        }))?;
        let resolved = FakeEngine::resolve_incidents(self, &many).and_then(async |resolved| {
            match resolved.unresolved.into_iter().next() {
                None => Ok(proto::ResolveIncidentResponse {}),
                Some(left) => {
                    Err(EngineError::new(Operation::ResolveIncident, ErrorClass::NotFound, left.message))
                }
            }
        });
        self.answer(resolved).await
    }

    async fn resolve_incidents(
        &self,
        request: Request<proto::ResolveIncidentsRequest>,
    ) -> Answer<proto::ResolveIncidentsResponse> {
        self.answer(FakeEngine::resolve_incidents(self, &read(request)?)).await
    }
}
