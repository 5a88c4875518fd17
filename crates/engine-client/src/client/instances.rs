//! The calls of people who look after instances.

use engine_api::proto::{
    CancelInstanceRequest, CancelInstancesRequest, ListIncidentsRequest, ListInstancesRequest,
    ResolveIncidentsRequest, SetVariablesRequest, instance_service_client::InstanceServiceClient,
};

use super::{EngineClient, controller::convert};
use crate::{
    EngineError, Operation,
    model::{
        CancelInstances, CanceledInstances, Incident, IncidentFilter, InstanceFilter, InstanceSummary, Page,
        ResolveIncidents, ResolvedIncidents, SetVariables,
    },
};

const PAGE_SIZE: i32 = 1000;

impl EngineClient {
    /// Up to 1000 instances of a tenant, from the beginning or from where an earlier page ended.
    pub async fn list_instances(
        &self,
        tenant_id: &str,
        filter: &InstanceFilter,
        page: Option<&str>,
    ) -> Result<Page<InstanceSummary>, EngineError> {
        let operation = Operation::ListInstances;
        let ask = ListInstancesRequest {
            tenant_id: tenant_id.to_owned(),
            filter: Some(filter.into()),
            page_size: PAGE_SIZE,
            page_token: page.unwrap_or_default().to_owned(),
        };
        let answer = self
            .read(operation, self.timeouts.read, ask, |channel, request| async {
                InstanceServiceClient::new(channel).list_instances(request).await
            })
            .await?;
        convert(operation, answer)
    }

    /// Merges variables into a running instance.
    pub async fn set_variables(&self, request: &SetVariables) -> Result<(), EngineError> {
        let operation = Operation::SetVariables;
        let ask = SetVariablesRequest::try_from(request)
            .map_err(|variables| EngineError::too_precise(operation, &variables))?;
        self.write(operation, self.timeouts.write, ask, |channel, request| async {
            InstanceServiceClient::new(channel).set_variables(request).await
        })
        .await
        .map(drop)
    }

    /// Ends one running instance. One that was cancelled before is a success, one that completed is
    /// [`ErrorClass::Precondition`](crate::ErrorClass::Precondition).
    pub async fn cancel_instance(
        &self,
        request_id: &str,
        tenant_id: &str,
        key: i64,
    ) -> Result<(), EngineError> {
        let ask =
            CancelInstanceRequest { request_id: request_id.to_owned(), tenant_id: tenant_id.to_owned(), key };
        self.write(Operation::CancelInstance, self.timeouts.write, ask, |channel, request| async {
            InstanceServiceClient::new(channel).cancel_instance(request).await
        })
        .await
        .map(drop)
    }

    /// Ends up to 1000 running instances.
    pub async fn cancel_instances(
        &self,
        request: &CancelInstances,
    ) -> Result<CanceledInstances, EngineError> {
        let operation = Operation::CancelInstances;
        let ask = CancelInstancesRequest::from(request);
        let answer = self
            .write(operation, self.timeouts.deploy, ask, |channel, request| async {
                InstanceServiceClient::new(channel).cancel_instances(request).await
            })
            .await?;
        convert(operation, answer)
    }

    /// Up to 1000 open incidents of a tenant, from the beginning or from where an earlier page ended.
    pub async fn list_incidents(
        &self,
        tenant_id: &str,
        filter: &IncidentFilter,
        page: Option<&str>,
    ) -> Result<Page<Incident>, EngineError> {
        let operation = Operation::ListIncidents;
        let ask = ListIncidentsRequest {
            tenant_id: tenant_id.to_owned(),
            filter: Some(filter.into()),
            page_size: PAGE_SIZE,
            page_token: page.unwrap_or_default().to_owned(),
        };
        let answer = self
            .read(operation, self.timeouts.read, ask, |channel, request| async {
                InstanceServiceClient::new(channel).list_incidents(request).await
            })
            .await?;
        convert(operation, answer)
    }

    /// Lets what up to 1000 incidents hold go on, each by itself.
    pub async fn resolve_incidents(
        &self,
        request: &ResolveIncidents,
    ) -> Result<ResolvedIncidents, EngineError> {
        let operation = Operation::ResolveIncidents;
        let ask = ResolveIncidentsRequest::try_from(request)
            .map_err(|variables| EngineError::too_precise(operation, &variables))?;
        let answer = self
            .write(operation, self.timeouts.deploy, ask, |channel, request| async {
                InstanceServiceClient::new(channel).resolve_incidents(request).await
            })
            .await?;
        convert(operation, answer)
    }
}
