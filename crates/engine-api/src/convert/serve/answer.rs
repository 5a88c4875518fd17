//! Answers: model → proto.

use crate::convert::{wire_count, wire_duration, wire_object, wire_small_count, wire_timestamp};
use crate::{model, proto};

fn all<Wire, Model>(values: Vec<Model>) -> Vec<Wire>
where
    Wire: From<Model>,
{
    values.into_iter().map(Into::into).collect()
}

impl From<model::EngineInfo> for proto::GetInfoResponse {
    fn from(info: model::EngineInfo) -> Self {
        Self {
            engine_kind: info.engine_kind,
            version: info.version,
            schema_version: info.schema_version,
            min_schema_version: info.min_schema_version,
            max_schema_version: info.max_schema_version,
            node_id: info.node_id,
            nodes: all(info.nodes),
            capabilities: info.capabilities.into_iter().collect(),
            started_at: Some(wire_timestamp(info.started_at)),
        }
    }
}

impl From<model::Node> for proto::Node {
    fn from(node: model::Node) -> Self {
        Self { id: node.id, version: node.version, last_seen_at: Some(wire_timestamp(node.last_seen_at)) }
    }
}

impl From<model::HealthComponent> for proto::HealthComponent {
    fn from(component: model::HealthComponent) -> Self {
        match component {
            model::HealthComponent::Database => Self::Database,
            model::HealthComponent::Schema => Self::Schema,
            model::HealthComponent::Leases => Self::Leases,
            model::HealthComponent::Other => Self::Unspecified,
        }
    }
}

impl From<model::EngineHealth> for proto::GetHealthResponse {
    fn from(health: model::EngineHealth) -> Self {
        Self { overall: proto::HealthState::from(health.overall).into(), checks: all(health.checks) }
    }
}

impl From<model::HealthCheck> for proto::HealthCheck {
    fn from(check: model::HealthCheck) -> Self {
        Self {
            component: proto::HealthComponent::from(check.component).into(),
            state: proto::HealthState::from(check.state).into(),
            reason: check.reason.unwrap_or_default(),
            since: check.since.map(wire_timestamp),
        }
    }
}

impl From<model::CanaryReport> for proto::RunCanaryResponse {
    fn from(report: model::CanaryReport) -> Self {
        let (step, message) = match report.failure {
            None => (proto::CanaryStep::Unspecified, String::new()),
            Some(failure) => (failure.step.into(), failure.message),
        };
        Self { failed_step: step.into(), message, took: Some(wire_duration(report.took)) }
    }
}

impl From<model::CanaryStep> for proto::CanaryStep {
    fn from(step: model::CanaryStep) -> Self {
        match step {
            model::CanaryStep::Prepare => Self::Prepare,
            model::CanaryStep::Deploy => Self::Deploy,
            model::CanaryStep::Start => Self::Start,
            model::CanaryStep::Activate => Self::Activate,
            model::CanaryStep::Complete => Self::Complete,
            model::CanaryStep::ReadBack => Self::ReadBack,
        }
    }
}

impl From<model::Finding> for proto::Finding {
    fn from(finding: model::Finding) -> Self {
        Self {
            rule_id: finding.rule_id,
            severity: proto::Severity::from(finding.severity).into(),
            element_id: finding.element_id.unwrap_or_default(),
            line: finding.line,
            column: finding.column,
            message: finding.message,
        }
    }
}

impl From<model::Validation> for proto::ValidateProcessResponse {
    fn from(validation: model::Validation) -> Self {
        Self {
            deployable: validation.deployable,
            findings: all(validation.findings),
            truncated: validation.truncated,
            process_ids: validation.process_ids,
            job_types: validation.job_types,
        }
    }
}

impl From<model::ProcessDefinition> for proto::ProcessDefinition {
    fn from(definition: model::ProcessDefinition) -> Self {
        Self {
            key: definition.key,
            tenant_id: definition.tenant_id,
            process_id: definition.process_id,
            version: wire_small_count(definition.version),
            version_tag: definition.version_tag.unwrap_or_default(),
            content_sha256: definition.content_sha256,
            deployed_at: Some(wire_timestamp(definition.deployed_at)),
            job_types: definition.job_types,
        }
    }
}

impl From<model::Page<model::ProcessDefinition>> for proto::ListProcessDefinitionsResponse {
    fn from(page: model::Page<model::ProcessDefinition>) -> Self {
        Self { definitions: all(page.entries), next_page_token: page.next.unwrap_or_default() }
    }
}

impl From<model::DeployResult> for proto::DeployProcessResponse {
    fn from(result: model::DeployResult) -> Self {
        use proto::deploy_process_response::{Deployed, Rejected, Result as Wire};
        let wire = match result {
            model::DeployResult::Deployed { outcome, definition, adopted } => Wire::Deployed(Deployed {
                outcome: proto::DeployOutcome::from(outcome).into(),
                definition: Some(definition.into()),
                adopted,
            }),
            model::DeployResult::Rejected { findings, truncated } => {
                Wire::Rejected(Rejected { findings: all(findings), truncated })
            }
        };
        Self { result: Some(wire) }
    }
}

impl From<model::ManagedDefinition> for proto::GetProcessDefinitionResponse {
    fn from(managed: model::ManagedDefinition) -> Self {
        Self { definition: Some(managed.definition.into()), owner: managed.owner.as_ref().map(Into::into) }
    }
}

impl From<model::ProcessDocument> for proto::GetProcessDocumentResponse {
    fn from(document: model::ProcessDocument) -> Self {
        Self { content: document.content, content_sha256: document.content_sha256 }
    }
}

impl From<model::WaitingInstances> for proto::CountWaitingInstancesResponse {
    fn from(waiting: model::WaitingInstances) -> Self {
        let model::WaitingInstances { counts, instances, is_at_least } = waiting;
        Self { counts: all(counts), instances: wire_count(instances), is_at_least }
    }
}

impl From<model::WaitingCount> for proto::WaitingCount {
    fn from(waiting: model::WaitingCount) -> Self {
        Self { element_id: waiting.element_id, instances: wire_count(waiting.instances) }
    }
}

impl From<model::ProcessDeletion> for proto::DeleteProcessResponse {
    fn from(deletion: model::ProcessDeletion) -> Self {
        match deletion {
            model::ProcessDeletion::Retired { versions } => {
                Self { deleted: wire_small_count(versions), owned_by_other: false }
            }
            model::ProcessDeletion::OwnedByOther => Self { deleted: 0, owned_by_other: true },
        }
    }
}

impl From<model::PutTenant> for proto::PutTenantResponse {
    fn from(put: model::PutTenant) -> Self {
        Self { outcome: proto::PutOutcome::from(put.outcome).into(), adopted: put.adopted }
    }
}

impl From<model::TenantDeletion> for proto::DeleteTenantResponse {
    fn from(deletion: model::TenantDeletion) -> Self {
        Self {
            deleted: deletion == model::TenantDeletion::Deleted,
            owned_by_other: deletion == model::TenantDeletion::OwnedByOther,
            purging: deletion == model::TenantDeletion::Purging,
        }
    }
}

impl From<model::TenantUsage> for proto::TenantUsage {
    fn from(usage: model::TenantUsage) -> Self {
        Self {
            tenant_id: usage.tenant_id,
            active_instances: wire_count(usage.active_instances),
            jobs_last_minute: wire_count(usage.jobs_last_minute),
            storage_bytes: wire_count(usage.storage_bytes),
            measured_at: Some(wire_timestamp(usage.measured_at)),
            over: usage.over.into_iter().map(|quota| proto::QuotaKind::from(quota).into()).collect(),
        }
    }
}

impl From<Vec<model::TenantUsage>> for proto::ListTenantUsageResponse {
    fn from(usages: Vec<model::TenantUsage>) -> Self {
        Self { usages: all(usages) }
    }
}

impl From<model::Isolation> for proto::VerifyIsolationResponse {
    fn from(isolation: model::Isolation) -> Self {
        Self { isolated: isolation.isolated, violations: isolation.violations }
    }
}

impl From<model::StartedInstance> for proto::StartInstanceResponse {
    fn from(started: model::StartedInstance) -> Self {
        Self { instance_key: started.instance_key, process_definition_key: started.process_definition_key }
    }
}

impl From<model::StartedInstances> for proto::StartInstancesResponse {
    fn from(started: model::StartedInstances) -> Self {
        Self { instance_keys: started.instance_keys, process_definition_key: started.process_definition_key }
    }
}

impl From<model::Job> for proto::Job {
    fn from(job: model::Job) -> Self {
        Self {
            key: job.key,
            tenant_id: job.tenant_id,
            r#type: job.job_type,
            instance_key: job.instance_key,
            process_definition_key: job.process_definition_key,
            process_id: job.process_id,
            element_id: job.element_id,
            headers: job.headers,
            variables: Some(wire_object(job.variables.0)),
            retries: wire_small_count(job.retries),
            lease_epoch: job.lease_epoch,
            lease_expires_at: Some(wire_timestamp(job.lease_expires_at)),
            created_at: Some(wire_timestamp(job.created_at)),
        }
    }
}

impl From<Vec<model::Job>> for proto::ActivateJobsResponse {
    fn from(jobs: Vec<model::Job>) -> Self {
        Self { jobs: all(jobs) }
    }
}

impl From<Vec<model::Job>> for proto::StreamActivatedJobsResponse {
    fn from(jobs: Vec<model::Job>) -> Self {
        Self { jobs: all(jobs) }
    }
}

impl From<jiff::Timestamp> for proto::ExtendJobResponse {
    fn from(lease_expires_at: jiff::Timestamp) -> Self {
        Self { lease_expires_at: Some(wire_timestamp(lease_expires_at)) }
    }
}

impl From<model::JobLag> for proto::JobLag {
    fn from(lag: model::JobLag) -> Self {
        Self {
            tenant_id: lag.series.tenant_id,
            job_type: lag.series.job_type,
            activatable: wire_count(lag.activatable),
            oldest_run_at: lag.oldest_run_at.map(wire_timestamp),
            activated: wire_count(lag.activated),
        }
    }
}

impl From<model::JobSeries> for proto::JobLag {
    fn from(series: model::JobSeries) -> Self {
        Self { tenant_id: series.tenant_id, job_type: series.job_type, ..Self::default() }
    }
}

impl From<model::JobLagUpdate> for proto::WatchJobLagResponse {
    fn from(update: model::JobLagUpdate) -> Self {
        Self {
            snapshot: update.snapshot,
            lags: all(update.lags),
            removed: all(update.removed),
            measured_at: Some(wire_timestamp(update.measured_at)),
            more: !update.complete,
        }
    }
}

impl From<model::Page<model::Tenant>> for proto::ListTenantsResponse {
    fn from(page: model::Page<model::Tenant>) -> Self {
        Self {
            tenants: page.entries.iter().map(Into::into).collect(),
            next_page_token: page.next.unwrap_or_default(),
        }
    }
}

impl From<model::Tenant> for proto::GetTenantResponse {
    fn from(tenant: model::Tenant) -> Self {
        Self { tenant: Some((&tenant).into()) }
    }
}
