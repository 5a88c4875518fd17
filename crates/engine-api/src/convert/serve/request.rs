//! Requests: proto → model.

use std::time::Duration;

use crate::convert::{Malformed, non_empty, small_count, variables};
use crate::{model, proto};

fn duration(field: &'static str, value: Option<prost_types::Duration>) -> Result<Duration, Malformed> {
    Duration::try_from(value.unwrap_or_default()).map_err(|_| Malformed { field, expected: "0 or more" })
}

fn owner(value: Option<proto::Owner>) -> Result<model::Owner, Malformed> {
    value.ok_or(Malformed { field: "owner", expected: "present" })?.try_into()
}

impl TryFrom<proto::ValidateProcessRequest> for model::ValidateProcess {
    type Error = Malformed;

    fn try_from(request: proto::ValidateProcessRequest) -> Result<Self, Malformed> {
        Ok(Self { mode: request.mode().try_into()?, tenant_id: request.tenant_id, content: request.content })
    }
}

impl TryFrom<proto::DeployProcessRequest> for model::DeployProcess {
    type Error = Malformed;

    fn try_from(request: proto::DeployProcessRequest) -> Result<Self, Malformed> {
        Ok(Self {
            mode: request.mode().try_into()?,
            request_id: request.request_id,
            tenant_id: request.tenant_id,
            resource_name: request.resource_name,
            content: request.content,
            content_sha256: request.content_sha256,
            version_tag: non_empty(request.version_tag),
            owner: request.owner.map(TryInto::try_into).transpose()?,
            follows_version: request
                .follows_version
                .map(|version| small_count("follows_version", version))
                .transpose()?,
        })
    }
}

impl TryFrom<proto::GetProcessDefinitionRequest> for model::DefinitionRef {
    type Error = Malformed;

    fn try_from(request: proto::GetProcessDefinitionRequest) -> Result<Self, Malformed> {
        use proto::get_process_definition_request::By;
        match request.by {
            Some(By::Key(key)) => Ok(Self::Key(key)),
            Some(By::ProcessId(process_id)) => Ok(Self::LatestOf(process_id)),
            None => Err(Malformed { field: "by", expected: "present" }),
        }
    }
}

impl TryFrom<proto::DeleteProcessRequest> for model::DeleteProcess {
    type Error = Malformed;

    fn try_from(request: proto::DeleteProcessRequest) -> Result<Self, Malformed> {
        Ok(Self {
            on_instances: request.on_instances().try_into()?,
            request_id: request.request_id,
            tenant_id: request.tenant_id,
            process_id: request.process_id,
            owner: owner(request.owner)?,
            retain: request.retain,
        })
    }
}

impl TryFrom<proto::DeleteTenantRequest> for model::DeleteTenant {
    type Error = Malformed;

    fn try_from(request: proto::DeleteTenantRequest) -> Result<Self, Malformed> {
        Ok(Self {
            mode: request.mode().try_into()?,
            request_id: request.request_id,
            tenant_id: request.tenant_id,
            owner: owner(request.owner)?,
        })
    }
}

fn version(value: i32) -> Result<Option<u32>, Malformed> {
    Ok(Some(small_count("version", value)?).filter(|version| *version > 0))
}

impl TryFrom<proto::StartInstanceRequest> for model::StartInstance {
    type Error = Malformed;

    fn try_from(request: proto::StartInstanceRequest) -> Result<Self, Malformed> {
        Ok(Self {
            request_id: request.request_id,
            tenant_id: request.tenant_id,
            process_id: request.process_id,
            version: version(request.version)?,
            variables: variables(request.variables)?,
        })
    }
}

impl TryFrom<proto::StartInstancesRequest> for model::StartInstances {
    type Error = Malformed;

    fn try_from(request: proto::StartInstancesRequest) -> Result<Self, Malformed> {
        let all = request.variables.into_iter().map(|instance| variables(Some(instance)));
        Ok(Self {
            variables: all.collect::<Result<_, _>>()?,
            request_id: request.request_id,
            tenant_id: request.tenant_id,
            process_id: request.process_id,
            version: version(request.version)?,
        })
    }
}

impl TryFrom<proto::ActivateJobsRequest> for model::ActivateJobs {
    type Error = Malformed;

    fn try_from(request: proto::ActivateJobsRequest) -> Result<Self, Malformed> {
        Ok(Self {
            tenant_id: request.tenant_id,
            job_types: request.job_types,
            worker: request.worker,
            max_jobs: small_count("max_jobs", request.max_jobs)?,
            lease: duration("lease", request.lease)?,
            wait: duration("wait", request.wait)?,
        })
    }
}

impl TryFrom<proto::StreamActivatedJobsRequest> for model::StreamJobs {
    type Error = Malformed;

    fn try_from(request: proto::StreamActivatedJobsRequest) -> Result<Self, Malformed> {
        Ok(Self {
            tenant_id: request.tenant_id,
            job_types: request.job_types,
            worker: request.worker,
            max_in_flight: small_count("max_in_flight", request.max_in_flight)?,
            lease: duration("lease", request.lease)?,
        })
    }
}

impl TryFrom<proto::CompleteJobRequest> for model::CompleteJob {
    type Error = Malformed;

    fn try_from(request: proto::CompleteJobRequest) -> Result<Self, Malformed> {
        let (tenant_id, key, lease_epoch) = (request.tenant_id, request.key, request.lease_epoch);
        let job = model::JobRef { tenant_id, key, lease_epoch };
        Ok(Self { job, variables: variables(request.variables)? })
    }
}

impl TryFrom<proto::FailJobRequest> for model::FailJob {
    type Error = Malformed;

    fn try_from(request: proto::FailJobRequest) -> Result<Self, Malformed> {
        let (tenant_id, key, lease_epoch) = (request.tenant_id, request.key, request.lease_epoch);
        Ok(Self {
            job: model::JobRef { tenant_id, key, lease_epoch },
            retries: small_count("retries", request.retries)?,
            retry_backoff: duration("retry_backoff", request.retry_backoff)?,
            error_message: request.error_message,
        })
    }
}

impl TryFrom<proto::ExtendJobRequest> for (model::JobRef, Duration) {
    type Error = Malformed;

    fn try_from(request: proto::ExtendJobRequest) -> Result<Self, Malformed> {
        let (tenant_id, key, lease_epoch) = (request.tenant_id, request.key, request.lease_epoch);
        Ok((model::JobRef { tenant_id, key, lease_epoch }, duration("lease", request.lease)?))
    }
}
