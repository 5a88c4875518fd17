//! What we ask: model → proto.

use super::{TooPrecise, wire_count, wire_duration, wire_small_count, wire_timestamp, wire_variables};
use crate::{model, proto};

impl From<&model::ValidateProcess> for proto::ValidateProcessRequest {
    fn from(request: &model::ValidateProcess) -> Self {
        Self {
            tenant_id: request.tenant_id.clone(),
            content: request.content.clone(),
            mode: proto::LintMode::from(request.mode).into(),
        }
    }
}

impl From<&model::DeployProcess> for proto::DeployProcessRequest {
    fn from(request: &model::DeployProcess) -> Self {
        Self {
            request_id: request.request_id.clone(),
            tenant_id: request.tenant_id.clone(),
            resource_name: request.resource_name.clone(),
            content: request.content.clone(),
            content_sha256: request.content_sha256.clone(),
            version_tag: request.version_tag.clone().unwrap_or_default(),
            mode: proto::LintMode::from(request.mode).into(),
            owner: request.owner.as_ref().map(Into::into),
            follows_version: request.follows_version.map(wire_small_count),
        }
    }
}

impl From<&model::Owner> for proto::Owner {
    fn from(owner: &model::Owner) -> Self {
        Self {
            id: owner.id.clone(),
            uid: owner.uid.clone(),
            created_at: Some(wire_timestamp(owner.created_at)),
        }
    }
}

impl From<&model::DefinitionRef> for proto::get_process_definition_request::By {
    fn from(definition: &model::DefinitionRef) -> Self {
        match definition {
            model::DefinitionRef::Key(key) => Self::Key(*key),
            model::DefinitionRef::LatestOf(process_id) => Self::ProcessId(process_id.clone()),
        }
    }
}

impl From<&model::DeleteProcess> for proto::DeleteProcessRequest {
    fn from(request: &model::DeleteProcess) -> Self {
        Self {
            request_id: request.request_id.clone(),
            tenant_id: request.tenant_id.clone(),
            process_id: request.process_id.clone(),
            owner: request.owner.as_ref().map(Into::into),
            on_instances: proto::OnInstances::from(request.on_instances).into(),
            retain: request.retain,
        }
    }
}

impl From<&model::TenantQuotas> for proto::TenantQuotas {
    fn from(quotas: &model::TenantQuotas) -> Self {
        Self {
            max_active_instances: quotas.max_active_instances.map_or(0, wire_count),
            max_jobs_per_minute: quotas.max_jobs_per_minute.map_or(0, wire_count),
            max_storage_bytes: quotas.max_storage_bytes.map_or(0, wire_count),
        }
    }
}

impl From<&model::Tenant> for proto::Tenant {
    fn from(tenant: &model::Tenant) -> Self {
        Self {
            id: tenant.id.clone(),
            display_name: tenant.display_name.clone(),
            quotas: Some((&tenant.quotas).into()),
            rls: tenant.rls,
            suspended: tenant.suspended,
            owner: tenant.owner.as_ref().map(Into::into),
            generation: tenant.generation,
        }
    }
}

impl From<&model::DeleteTenant> for proto::DeleteTenantRequest {
    fn from(request: &model::DeleteTenant) -> Self {
        Self {
            request_id: request.request_id.clone(),
            tenant_id: request.tenant_id.clone(),
            owner: request.owner.as_ref().map(Into::into),
            mode: proto::DeleteTenantMode::from(request.mode).into(),
        }
    }
}

impl TryFrom<&model::StartInstance> for proto::StartInstanceRequest {
    type Error = TooPrecise;

    fn try_from(request: &model::StartInstance) -> Result<Self, TooPrecise> {
        Ok(Self {
            request_id: request.request_id.clone(),
            tenant_id: request.tenant_id.clone(),
            process_id: request.process_id.clone(),
            version: request.version.map_or(0, wire_small_count),
            variables: Some(wire_variables(&request.variables)?),
        })
    }
}

impl TryFrom<&model::StartInstances> for proto::StartInstancesRequest {
    type Error = TooPrecise;

    fn try_from(request: &model::StartInstances) -> Result<Self, TooPrecise> {
        Ok(Self {
            request_id: request.request_id.clone(),
            tenant_id: request.tenant_id.clone(),
            process_id: request.process_id.clone(),
            version: request.version.map_or(0, wire_small_count),
            variables: request.variables.iter().map(wire_variables).collect::<Result<_, _>>()?,
        })
    }
}

impl From<&model::ActivateJobs> for proto::ActivateJobsRequest {
    fn from(request: &model::ActivateJobs) -> Self {
        Self {
            tenant_id: request.tenant_id.clone(),
            job_types: request.job_types.clone(),
            worker: request.worker.clone(),
            max_jobs: wire_small_count(request.max_jobs),
            lease: Some(wire_duration(request.lease)),
            wait: Some(wire_duration(request.wait)),
        }
    }
}

impl From<&model::StreamJobs> for proto::StreamActivatedJobsRequest {
    fn from(request: &model::StreamJobs) -> Self {
        Self {
            tenant_id: request.tenant_id.clone(),
            job_types: request.job_types.clone(),
            worker: request.worker.clone(),
            max_in_flight: wire_small_count(request.max_in_flight),
            lease: Some(wire_duration(request.lease)),
        }
    }
}

impl TryFrom<&model::CompleteJob> for proto::CompleteJobRequest {
    type Error = TooPrecise;

    fn try_from(request: &model::CompleteJob) -> Result<Self, TooPrecise> {
        Ok(Self {
            tenant_id: request.job.tenant_id.clone(),
            key: request.job.key,
            lease_epoch: request.job.lease_epoch,
            variables: Some(wire_variables(&request.variables)?),
        })
    }
}

impl From<&model::FailJob> for proto::FailJobRequest {
    fn from(request: &model::FailJob) -> Self {
        Self {
            tenant_id: request.job.tenant_id.clone(),
            key: request.job.key,
            lease_epoch: request.job.lease_epoch,
            retries: wire_small_count(request.retries),
            retry_backoff: Some(wire_duration(request.retry_backoff)),
            error_message: request.error_message.clone(),
        }
    }
}
