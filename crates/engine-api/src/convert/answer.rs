//! Answers: proto → model.

use super::{Malformed, count, maybe_timestamp, non_empty, small_count, timestamp, variables};
use crate::{model, proto};

/// No engine takes a longer one.
const MAX_DOCUMENT_BYTES: usize = 1 << 20;

fn all<Wire, Model>(wire: Vec<Wire>) -> Result<Vec<Model>, Malformed>
where
    Model: TryFrom<Wire, Error = Malformed>,
{
    wire.into_iter().map(Model::try_from).collect()
}

fn present<T>(field: &'static str, value: Option<T>) -> Result<T, Malformed> {
    value.ok_or(Malformed { field, expected: "present" })
}

/// Absent = nobody.
fn maybe_owner(owner: Option<proto::Owner>) -> Result<Option<model::Owner>, Malformed> {
    owner.map(TryInto::try_into).transpose()
}

impl TryFrom<proto::Owner> for model::Owner {
    type Error = Malformed;

    fn try_from(owner: proto::Owner) -> Result<Self, Malformed> {
        Ok(Self {
            id: owner.id,
            uid: owner.uid,
            created_at: timestamp("owner.created_at", owner.created_at)?,
        })
    }
}

impl TryFrom<proto::GetInfoResponse> for model::EngineInfo {
    type Error = Malformed;

    fn try_from(info: proto::GetInfoResponse) -> Result<Self, Malformed> {
        Ok(Self {
            engine_kind: info.engine_kind,
            version: info.version,
            schema_version: info.schema_version,
            min_schema_version: info.min_schema_version,
            max_schema_version: info.max_schema_version,
            node_id: info.node_id,
            nodes: all(info.nodes)?,
            capabilities: info.capabilities.into_iter().collect(),
            started_at: timestamp("started_at", info.started_at)?,
        })
    }
}

impl TryFrom<proto::Node> for model::Node {
    type Error = Malformed;

    fn try_from(node: proto::Node) -> Result<Self, Malformed> {
        Ok(Self {
            id: node.id,
            version: node.version,
            last_seen_at: timestamp("nodes.last_seen_at", node.last_seen_at)?,
        })
    }
}

impl TryFrom<proto::GetHealthResponse> for model::EngineHealth {
    type Error = Malformed;

    fn try_from(health: proto::GetHealthResponse) -> Result<Self, Malformed> {
        Ok(Self { overall: health.overall().try_into()?, checks: all(health.checks)? })
    }
}

impl TryFrom<proto::HealthCheck> for model::HealthCheck {
    type Error = Malformed;

    fn try_from(check: proto::HealthCheck) -> Result<Self, Malformed> {
        Ok(Self {
            component: check.component().into(),
            state: check.state().try_into()?,
            reason: non_empty(check.reason),
            since: maybe_timestamp("checks.since", check.since)?,
        })
    }
}

impl TryFrom<proto::RunCanaryResponse> for model::CanaryReport {
    type Error = Malformed;

    fn try_from(report: proto::RunCanaryResponse) -> Result<Self, Malformed> {
        let step = match report.failed_step() {
            proto::CanaryStep::Unspecified if report.failed_step != 0 => {
                return Err(Malformed { field: "failed_step", expected: "a known step" });
            }
            proto::CanaryStep::Unspecified => None,
            proto::CanaryStep::Prepare => Some(model::CanaryStep::Prepare),
            proto::CanaryStep::Deploy => Some(model::CanaryStep::Deploy),
            proto::CanaryStep::Start => Some(model::CanaryStep::Start),
            proto::CanaryStep::Activate => Some(model::CanaryStep::Activate),
            proto::CanaryStep::Complete => Some(model::CanaryStep::Complete),
            proto::CanaryStep::ReadBack => Some(model::CanaryStep::ReadBack),
        };
        Ok(Self {
            failure: step.map(|step| model::CanaryFailure { step, message: report.message }),
            took: report.took.and_then(|took| took.try_into().ok()).unwrap_or_default(),
        })
    }
}

impl TryFrom<proto::Finding> for model::Finding {
    type Error = Malformed;

    fn try_from(finding: proto::Finding) -> Result<Self, Malformed> {
        Ok(Self {
            severity: finding.severity().try_into()?,
            rule_id: finding.rule_id,
            element_id: non_empty(finding.element_id),
            line: finding.line,
            column: finding.column,
            message: finding.message,
        })
    }
}

impl TryFrom<proto::ValidateProcessResponse> for model::Validation {
    type Error = Malformed;

    fn try_from(validation: proto::ValidateProcessResponse) -> Result<Self, Malformed> {
        Ok(Self {
            deployable: validation.deployable,
            findings: all(validation.findings)?,
            truncated: validation.truncated,
            process_ids: validation.process_ids,
            job_types: validation.job_types,
        })
    }
}

impl TryFrom<proto::ProcessDefinition> for model::ProcessDefinition {
    type Error = Malformed;

    fn try_from(definition: proto::ProcessDefinition) -> Result<Self, Malformed> {
        Ok(Self {
            key: definition.key,
            tenant_id: definition.tenant_id,
            process_id: definition.process_id,
            version: small_count("definition.version", definition.version)?,
            version_tag: non_empty(definition.version_tag),
            content_sha256: definition.content_sha256,
            deployed_at: timestamp("definition.deployed_at", definition.deployed_at)?,
            job_types: definition.job_types,
        })
    }
}

impl TryFrom<proto::DeployProcessResponse> for model::DeployResult {
    type Error = Malformed;

    fn try_from(response: proto::DeployProcessResponse) -> Result<Self, Malformed> {
        use proto::deploy_process_response::Result as Wire;
        Ok(match present("result", response.result)? {
            Wire::Deployed(deployed) => Self::Deployed {
                outcome: deployed.outcome().try_into()?,
                adopted: deployed.adopted,
                definition: present("deployed.definition", deployed.definition)?.try_into()?,
            },
            Wire::Rejected(rejected) => {
                Self::Rejected { findings: all(rejected.findings)?, truncated: rejected.truncated }
            }
        })
    }
}

impl TryFrom<proto::GetProcessDefinitionResponse> for model::ManagedDefinition {
    type Error = Malformed;

    fn try_from(response: proto::GetProcessDefinitionResponse) -> Result<Self, Malformed> {
        Ok(Self {
            definition: present("definition", response.definition)?.try_into()?,
            owner: maybe_owner(response.owner)?,
        })
    }
}

impl TryFrom<proto::GetProcessDocumentResponse> for model::ProcessDocument {
    type Error = Malformed;

    fn try_from(response: proto::GetProcessDocumentResponse) -> Result<Self, Malformed> {
        if response.content.len() > MAX_DOCUMENT_BYTES {
            return Err(Malformed { field: "content", expected: "at most 1 MiB" });
        }
        Ok(Self { content: response.content, content_sha256: response.content_sha256 })
    }
}

impl TryFrom<proto::CountWaitingInstancesResponse> for model::WaitingInstances {
    type Error = Malformed;

    fn try_from(response: proto::CountWaitingInstancesResponse) -> Result<Self, Malformed> {
        Ok(Self {
            counts: all(response.counts)?,
            instances: count("instances", response.instances)?,
            is_at_least: response.is_at_least,
        })
    }
}

impl TryFrom<proto::WaitingCount> for model::WaitingCount {
    type Error = Malformed;

    fn try_from(waiting: proto::WaitingCount) -> Result<Self, Malformed> {
        Ok(Self { instances: count("count.instances", waiting.instances)?, element_id: waiting.element_id })
    }
}

impl TryFrom<proto::DeleteProcessResponse> for model::ProcessDeletion {
    type Error = Malformed;

    fn try_from(response: proto::DeleteProcessResponse) -> Result<Self, Malformed> {
        if response.owned_by_other {
            return Ok(Self::OwnedByOther);
        }
        Ok(Self::Retired { versions: small_count("deleted", response.deleted)? })
    }
}

impl TryFrom<proto::TenantQuotas> for model::TenantQuotas {
    type Error = Malformed;

    fn try_from(quotas: proto::TenantQuotas) -> Result<Self, Malformed> {
        let limit = |field, value| Ok(Some(count(field, value)?).filter(|limit| *limit > 0));
        Ok(Self {
            max_active_instances: limit("quotas.max_active_instances", quotas.max_active_instances)?,
            max_jobs_per_minute: limit("quotas.max_jobs_per_minute", quotas.max_jobs_per_minute)?,
            max_storage_bytes: limit("quotas.max_storage_bytes", quotas.max_storage_bytes)?,
        })
    }
}

impl TryFrom<proto::Tenant> for model::Tenant {
    type Error = Malformed;

    fn try_from(tenant: proto::Tenant) -> Result<Self, Malformed> {
        Ok(Self {
            id: tenant.id,
            display_name: tenant.display_name,
            quotas: tenant.quotas.unwrap_or_default().try_into()?,
            rls: tenant.rls,
            suspended: tenant.suspended,
            owner: maybe_owner(tenant.owner)?,
            generation: tenant.generation,
        })
    }
}

impl TryFrom<proto::GetTenantResponse> for model::Tenant {
    type Error = Malformed;

    fn try_from(response: proto::GetTenantResponse) -> Result<Self, Malformed> {
        present("tenant", response.tenant)?.try_into()
    }
}

impl TryFrom<proto::PutTenantResponse> for model::PutTenant {
    type Error = Malformed;

    fn try_from(response: proto::PutTenantResponse) -> Result<Self, Malformed> {
        Ok(Self { outcome: response.outcome().try_into()?, adopted: response.adopted })
    }
}

impl From<proto::DeleteTenantResponse> for model::TenantDeletion {
    fn from(response: proto::DeleteTenantResponse) -> Self {
        match response {
            proto::DeleteTenantResponse { owned_by_other: true, .. } => Self::OwnedByOther,
            proto::DeleteTenantResponse { deleted: true, .. } => Self::Deleted,
            proto::DeleteTenantResponse { purging: true, .. } => Self::Purging,
            proto::DeleteTenantResponse { .. } => Self::Kept,
        }
    }
}

impl TryFrom<proto::TenantUsage> for model::TenantUsage {
    type Error = Malformed;

    fn try_from(usage: proto::TenantUsage) -> Result<Self, Malformed> {
        Ok(Self {
            active_instances: count("usage.active_instances", usage.active_instances)?,
            jobs_last_minute: count("usage.jobs_last_minute", usage.jobs_last_minute)?,
            storage_bytes: count("usage.storage_bytes", usage.storage_bytes)?,
            measured_at: timestamp("usage.measured_at", usage.measured_at)?,
            over: usage.over().map(model::QuotaKind::try_from).collect::<Result<_, _>>()?,
            tenant_id: usage.tenant_id,
        })
    }
}

impl TryFrom<proto::ListTenantUsageResponse> for Vec<model::TenantUsage> {
    type Error = Malformed;

    fn try_from(response: proto::ListTenantUsageResponse) -> Result<Self, Malformed> {
        all(response.usages)
    }
}

impl From<proto::VerifyIsolationResponse> for model::Isolation {
    fn from(response: proto::VerifyIsolationResponse) -> Self {
        Self { isolated: response.isolated, violations: response.violations }
    }
}

impl From<proto::StartInstanceResponse> for model::StartedInstance {
    fn from(started: proto::StartInstanceResponse) -> Self {
        Self { instance_key: started.instance_key, process_definition_key: started.process_definition_key }
    }
}

impl From<proto::StartInstancesResponse> for model::StartedInstances {
    fn from(started: proto::StartInstancesResponse) -> Self {
        Self { instance_keys: started.instance_keys, process_definition_key: started.process_definition_key }
    }
}

impl TryFrom<proto::Job> for model::Job {
    type Error = Malformed;

    fn try_from(job: proto::Job) -> Result<Self, Malformed> {
        Ok(Self {
            key: job.key,
            tenant_id: job.tenant_id,
            job_type: job.r#type,
            instance_key: job.instance_key,
            process_definition_key: job.process_definition_key,
            process_id: job.process_id,
            element_id: job.element_id,
            headers: job.headers,
            variables: variables(job.variables)?,
            retries: small_count("job.retries", job.retries)?,
            lease_epoch: job.lease_epoch,
            lease_expires_at: timestamp("job.lease_expires_at", job.lease_expires_at)?,
            created_at: timestamp("job.created_at", job.created_at)?,
        })
    }
}

impl TryFrom<proto::ActivateJobsResponse> for Vec<model::Job> {
    type Error = Malformed;

    fn try_from(response: proto::ActivateJobsResponse) -> Result<Self, Malformed> {
        all(response.jobs)
    }
}

impl TryFrom<proto::StreamActivatedJobsResponse> for Vec<model::Job> {
    type Error = Malformed;

    fn try_from(response: proto::StreamActivatedJobsResponse) -> Result<Self, Malformed> {
        all(response.jobs)
    }
}

impl TryFrom<proto::ExtendJobResponse> for jiff::Timestamp {
    type Error = Malformed;

    fn try_from(response: proto::ExtendJobResponse) -> Result<Self, Malformed> {
        timestamp("lease_expires_at", response.lease_expires_at)
    }
}

impl TryFrom<proto::JobLag> for model::JobLag {
    type Error = Malformed;

    fn try_from(lag: proto::JobLag) -> Result<Self, Malformed> {
        Ok(Self {
            activatable: count("lag.activatable", lag.activatable)?,
            oldest_run_at: maybe_timestamp("lag.oldest_run_at", lag.oldest_run_at)?,
            activated: count("lag.activated", lag.activated)?,
            series: lag.into(),
        })
    }
}

impl From<proto::JobLag> for model::JobSeries {
    fn from(lag: proto::JobLag) -> Self {
        Self { tenant_id: lag.tenant_id, job_type: lag.job_type }
    }
}

impl TryFrom<proto::ListJobLagResponse> for model::JobLagReport {
    type Error = Malformed;

    fn try_from(page: proto::ListJobLagResponse) -> Result<Self, Malformed> {
        Ok(Self { lags: all(page.lags)?, measured_at: timestamp("measured_at", page.measured_at)? })
    }
}

impl TryFrom<proto::WatchJobLagResponse> for model::JobLagUpdate {
    type Error = Malformed;

    fn try_from(update: proto::WatchJobLagResponse) -> Result<Self, Malformed> {
        Ok(Self {
            snapshot: update.snapshot,
            complete: !update.more,
            lags: all(update.lags)?,
            removed: update.removed.into_iter().map(Into::into).collect(),
            measured_at: timestamp("measured_at", update.measured_at)?,
        })
    }
}
