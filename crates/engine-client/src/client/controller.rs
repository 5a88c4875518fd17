//! [`Engine`] over gRPC.

use std::time::Duration;

use async_trait::async_trait;
use engine_api::{
    convert::{Malformed, wire_duration},
    proto::{
        CountIncidentsRequest, CountWaitingInstancesRequest, GetHealthRequest, GetInfoRequest,
        GetProcessDefinitionRequest, GetProcessDocumentRequest, ListJobLagRequest,
        ListProcessDefinitionsRequest, ListTenantUsageRequest, ListTenantsRequest, PutTenantRequest,
        RunCanaryRequest, WatchJobLagRequest, cluster_service_client::ClusterServiceClient,
        instance_service_client::InstanceServiceClient, job_service_client::JobServiceClient,
        process_service_client::ProcessServiceClient, tenant_service_client::TenantServiceClient,
    },
};
use jiff::Timestamp;

use super::EngineClient;
use crate::{
    Engine, EngineError, ErrorClass, JobLagStream, Operation,
    model::{
        CanaryReport, DefinitionFilter, DefinitionRef, DeleteProcess, DeleteTenant, DeployProcess,
        DeployResult, EngineHealth, EngineInfo, IncidentCount, JobLagFilter, JobLagReport, ManagedDefinition,
        ProcessDefinition, ProcessDeletion, ProcessDocument, PutTenant, Tenant, TenantDeletion, TenantUsage,
        WaitingInstances,
    },
};

const PAGE_SIZE: i32 = 1000;
/// A list that does not end must end here.
const MAX_PAGES: usize = 1000;

#[async_trait]
impl Engine for EngineClient {
    async fn info(&self) -> Result<EngineInfo, EngineError> {
        let operation = Operation::GetInfo;
        let answer = self
            .read(operation, self.timeouts.read, GetInfoRequest {}, |channel, request| async {
                ClusterServiceClient::new(channel).get_info(request).await
            })
            .await?;
        convert(operation, answer)
    }

    async fn health(&self) -> Result<EngineHealth, EngineError> {
        let operation = Operation::GetHealth;
        let answer = self
            .read(operation, self.timeouts.read, GetHealthRequest {}, |channel, request| async {
                ClusterServiceClient::new(channel).get_health(request).await
            })
            .await?;
        convert(operation, answer)
    }

    async fn run_canary(&self) -> Result<CanaryReport, EngineError> {
        let operation = Operation::RunCanary;
        let answer = self
            .write(operation, self.timeouts.deploy, RunCanaryRequest {}, |channel, request| async {
                ClusterServiceClient::new(channel).run_canary(request).await
            })
            .await?;
        convert(operation, answer)
    }

    async fn deploy_process(&self, request: &DeployProcess) -> Result<DeployResult, EngineError> {
        let operation = Operation::DeployProcess;
        let answer = self
            .write(operation, self.timeouts.deploy, request.into(), |channel, request| async {
                ProcessServiceClient::new(channel).deploy_process(request).await
            })
            .await?;
        convert(operation, answer)
    }

    async fn get_process_definition(
        &self,
        tenant_id: &str,
        definition: &DefinitionRef,
    ) -> Result<Option<ManagedDefinition>, EngineError> {
        let operation = Operation::GetProcessDefinition;
        let ask =
            GetProcessDefinitionRequest { tenant_id: tenant_id.to_owned(), by: Some(definition.into()) };
        let answer = self
            .read(operation, self.timeouts.read, ask, |channel, request| async {
                ProcessServiceClient::new(channel).get_process_definition(request).await
            })
            .await;
        maybe(answer)?.map(|answer| convert(operation, answer)).transpose()
    }

    async fn list_process_definitions(
        &self,
        tenant_id: &str,
        filter: &DefinitionFilter,
    ) -> Result<Vec<ProcessDefinition>, EngineError> {
        let operation = Operation::ListProcessDefinitions;
        let mut pages = Pages::new(operation);
        while let Some(page_token) = pages.next_token() {
            let ask = ListProcessDefinitionsRequest {
                tenant_id: tenant_id.to_owned(),
                latest_only: filter.latest_only,
                page_size: PAGE_SIZE,
                page_token,
                owner_id: filter.owner_id.clone().unwrap_or_default(),
            };
            let page = self
                .read(operation, self.timeouts.read, ask, |channel, request| async {
                    ProcessServiceClient::new(channel).list_process_definitions(request).await
                })
                .await?;
            pages.add(page.definitions, page.next_page_token)?;
        }
        Ok(pages.entries)
    }

    async fn get_process_document(
        &self,
        tenant_id: &str,
        key: i64,
    ) -> Result<Option<ProcessDocument>, EngineError> {
        let operation = Operation::GetProcessDocument;
        let ask = GetProcessDocumentRequest { tenant_id: tenant_id.to_owned(), key };
        let answer = self
            .read(operation, self.timeouts.read, ask, |channel, request| async {
                ProcessServiceClient::new(channel).get_process_document(request).await
            })
            .await;
        maybe(answer)?.map(|answer| convert(operation, answer)).transpose()
    }

    async fn count_waiting_instances(
        &self,
        tenant_id: &str,
        process_id: &str,
        element_ids: &[String],
    ) -> Result<WaitingInstances, EngineError> {
        let operation = Operation::CountWaitingInstances;
        let ask = CountWaitingInstancesRequest {
            tenant_id: tenant_id.to_owned(),
            process_id: process_id.to_owned(),
            element_ids: element_ids.to_vec(),
        };
        let answer = self
            .read(operation, self.timeouts.read, ask, |channel, request| async {
                ProcessServiceClient::new(channel).count_waiting_instances(request).await
            })
            .await?;
        convert(operation, answer)
    }

    async fn delete_process(&self, request: &DeleteProcess) -> Result<ProcessDeletion, EngineError> {
        let operation = Operation::DeleteProcess;
        let answer = self
            .write(operation, self.timeouts.write, request.into(), |channel, request| async {
                ProcessServiceClient::new(channel).delete_process(request).await
            })
            .await?;
        convert(operation, answer)
    }

    async fn put_tenant(&self, request_id: &str, tenant: &Tenant) -> Result<PutTenant, EngineError> {
        let operation = Operation::PutTenant;
        let ask = PutTenantRequest { request_id: request_id.to_owned(), tenant: Some(tenant.into()) };
        let answer = self
            .write(operation, self.timeouts.write, ask, |channel, request| async {
                TenantServiceClient::new(channel).put_tenant(request).await
            })
            .await?;
        convert(operation, answer)
    }

    async fn list_tenants(&self) -> Result<Vec<Tenant>, EngineError> {
        let operation = Operation::ListTenants;
        let mut pages = Pages::new(operation);
        while let Some(page_token) = pages.next_token() {
            let ask = ListTenantsRequest { page_size: PAGE_SIZE, page_token };
            let page = self
                .read(operation, self.timeouts.read, ask, |channel, request| async {
                    TenantServiceClient::new(channel).list_tenants(request).await
                })
                .await?;
            pages.add(page.tenants, page.next_page_token)?;
        }
        Ok(pages.entries)
    }

    async fn delete_tenant(&self, request: &DeleteTenant) -> Result<TenantDeletion, EngineError> {
        let answer = self
            .write(Operation::DeleteTenant, self.timeouts.write, request.into(), |channel, request| async {
                TenantServiceClient::new(channel).delete_tenant(request).await
            })
            .await?;
        Ok(answer.into())
    }

    async fn list_tenant_usage(&self, tenant_ids: &[String]) -> Result<Vec<TenantUsage>, EngineError> {
        let operation = Operation::ListTenantUsage;
        let ask = ListTenantUsageRequest { tenant_ids: tenant_ids.to_vec() };
        let answer = self
            .read(operation, self.timeouts.read, ask, |channel, request| async {
                TenantServiceClient::new(channel).list_tenant_usage(request).await
            })
            .await?;
        convert(operation, answer)
    }

    async fn count_incidents(&self, tenant_id: &str) -> Result<Vec<IncidentCount>, EngineError> {
        let operation = Operation::CountIncidents;
        let ask = CountIncidentsRequest { tenant_id: tenant_id.to_owned() };
        let answer = self
            .read(operation, self.timeouts.read, ask, |channel, request| async {
                InstanceServiceClient::new(channel).count_incidents(request).await
            })
            .await?;
        convert(operation, answer)
    }

    async fn watch_job_lag(
        &self,
        filter: &JobLagFilter,
        min_interval: Duration,
    ) -> Result<JobLagStream, EngineError> {
        let JobLagFilter { tenant_ids, job_types } = filter.clone();
        let ask =
            WatchJobLagRequest { tenant_ids, job_types, min_interval: Some(wire_duration(min_interval)) };
        self.open(Operation::WatchJobLag, ask, |channel, request| async {
            JobServiceClient::new(channel).watch_job_lag(request).await
        })
        .await
    }
}

impl EngineClient {
    /// How long jobs wait now. For people and benchmarks: who scales by it watches it.
    pub async fn list_job_lag(&self, filter: &JobLagFilter) -> Result<JobLagReport, EngineError> {
        let operation = Operation::ListJobLag;
        let JobLagFilter { tenant_ids, job_types } = filter.clone();
        let mut pages = Pages::<JobLagReport>::new(operation);
        while let Some(page_token) = pages.next_token() {
            let ask = ListJobLagRequest {
                tenant_ids: tenant_ids.clone(),
                job_types: job_types.clone(),
                page_token,
            };
            let mut page = self
                .read(operation, self.timeouts.read, ask, |channel, request| async {
                    JobServiceClient::new(channel).list_job_lag(request).await
                })
                .await?;
            let next_page_token = std::mem::take(&mut page.next_page_token);
            pages.add(vec![page], next_page_token)?;
        }
        let first = JobLagReport { lags: Vec::new(), measured_at: Timestamp::MAX };
        Ok(pages.entries.into_iter().fold(first, |mut report, page| {
            report.lags.extend(page.lags);
            JobLagReport { measured_at: report.measured_at.min(page.measured_at), ..report }
        }))
    }
}

pub(super) fn convert<Answer, Model>(operation: Operation, answer: Answer) -> Result<Model, EngineError>
where
    Model: TryFrom<Answer, Error = Malformed>,
{
    Model::try_from(answer).map_err(|malformed| EngineError::malformed(operation, &malformed))
}

/// What is not there is `None`.
pub(super) fn maybe<T>(answer: Result<T, EngineError>) -> Result<Option<T>, EngineError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if *error.class() == ErrorClass::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A list as its pages come in.
struct Pages<Model> {
    operation: Operation,
    entries: Vec<Model>,
    read: usize,
    next: Option<String>,
}

impl<Model> Pages<Model> {
    fn new(operation: Operation) -> Self {
        Self { operation, entries: Vec::new(), read: 0, next: Some(String::new()) }
    }

    /// The token of the page to ask for; `None` after the last one.
    fn next_token(&mut self) -> Option<String> {
        self.next.take()
    }

    fn add<Wire>(&mut self, entries: Vec<Wire>, next_page_token: String) -> Result<(), EngineError>
    where
        Model: TryFrom<Wire, Error = Malformed>,
    {
        for entry in entries {
            self.entries.push(convert(self.operation, entry)?);
        }
        self.read += 1;
        if !next_page_token.is_empty() {
            if self.read == MAX_PAGES {
                let endless = Malformed { field: "next_page_token", expected: "empty at some time" };
                return Err(EngineError::malformed(self.operation, &endless));
            }
            self.next = Some(next_page_token);
        }
        Ok(())
    }
}
