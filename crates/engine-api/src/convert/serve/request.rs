//! Requests: proto → model.

use std::{ops::RangeInclusive, time::Duration};

use crate::convert::{InvalidRequest, non_empty, requested_variables};
use crate::{model, proto};

const LEASE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(1);
const DEFAULT_LEASE: Duration = Duration::from_mins(5);
/// A reporter looks no more often than this, and confirms no less often.
const INTERVAL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_mins(1);
const WAIT: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(30);
const BACKOFF: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(24);

/// An absent duration is the default; one outside the range is refused.
fn duration(
    field: &str,
    value: Option<prost_types::Duration>,
    default: Duration,
    range: &RangeInclusive<Duration>,
) -> Result<Duration, InvalidRequest> {
    let Some(value) = value else { return Ok(default) };
    let duration = Duration::try_from(value).ok().filter(|duration| range.contains(duration));
    duration.ok_or_else(|| {
        InvalidRequest::new(format!(
            "{field} must be {} s to {} s",
            range.start().as_secs_f64(),
            range.end().as_secs_f64()
        ))
    })
}

fn lease(value: Option<prost_types::Duration>) -> Result<Duration, InvalidRequest> {
    duration("lease", value, DEFAULT_LEASE, &LEASE)
}

/// How much of a list is asked for. The wire's 0 = 100.
pub fn page_request(size: i32, token: String) -> Result<model::PageRequest, InvalidRequest> {
    let size = match u32::try_from(size) {
        Ok(0) => 100,
        Ok(size @ 1..=1000) => size,
        _ => return Err(InvalidRequest::new("page_size must be 0 to 1000")),
    };
    Ok(model::PageRequest { size, token })
}

/// Absent = nobody.
fn owner(value: Option<proto::Owner>) -> Result<Option<model::Owner>, InvalidRequest> {
    Ok(value.map(model::Owner::try_from).transpose()?)
}

fn lint_mode(mode: proto::LintMode) -> Result<model::LintMode, InvalidRequest> {
    mode.try_into().map_err(|_| InvalidRequest::new("mode is required: STRICT or LENIENT"))
}

impl TryFrom<proto::ValidateProcessRequest> for model::ValidateProcess {
    type Error = InvalidRequest;

    fn try_from(request: proto::ValidateProcessRequest) -> Result<Self, InvalidRequest> {
        Ok(Self { mode: lint_mode(request.mode())?, tenant_id: request.tenant_id, content: request.content })
    }
}

impl TryFrom<proto::DeployProcessRequest> for model::DeployProcess {
    type Error = InvalidRequest;

    fn try_from(request: proto::DeployProcessRequest) -> Result<Self, InvalidRequest> {
        Ok(Self {
            mode: lint_mode(request.mode())?,
            request_id: request.request_id,
            tenant_id: request.tenant_id,
            resource_name: request.resource_name,
            content: request.content,
            content_sha256: request.content_sha256,
            version_tag: non_empty(request.version_tag),
            owner: owner(request.owner)?,
            follows_version: request.follows_version.map(follows_version).transpose()?,
        })
    }
}

impl TryFrom<proto::GetProcessDefinitionRequest> for model::DefinitionRef {
    type Error = InvalidRequest;

    fn try_from(request: proto::GetProcessDefinitionRequest) -> Result<Self, InvalidRequest> {
        use proto::get_process_definition_request::By;
        match request.by {
            Some(By::Key(key)) => Ok(Self::Key(key)),
            Some(By::ProcessId(process_id)) => Ok(Self::LatestOf(process_id)),
            None => Err(InvalidRequest::new("one of key and process_id is required")),
        }
    }
}

impl TryFrom<proto::DeleteProcessRequest> for model::DeleteProcess {
    type Error = InvalidRequest;

    fn try_from(request: proto::DeleteProcessRequest) -> Result<Self, InvalidRequest> {
        let on_instances = match request.on_instances() {
            // Giving up touches no instance.
            proto::OnInstances::Unspecified if request.retain => model::OnInstances::KeepRunning,
            on_instances => on_instances
                .try_into()
                .map_err(|_| InvalidRequest::new("on_instances is required: FAIL, KEEP_RUNNING or CANCEL"))?,
        };
        Ok(Self {
            on_instances,
            request_id: request.request_id,
            tenant_id: request.tenant_id,
            process_id: request.process_id,
            owner: owner(request.owner)?,
            retain: request.retain,
        })
    }
}

impl TryFrom<proto::DeleteTenantRequest> for model::DeleteTenant {
    type Error = InvalidRequest;

    fn try_from(request: proto::DeleteTenantRequest) -> Result<Self, InvalidRequest> {
        let mode = request.mode().try_into();
        Ok(Self {
            mode: mode
                .map_err(|_| InvalidRequest::new("mode is required: REFUSE_IF_ACTIVE, PURGE or RETAIN"))?,
            request_id: request.request_id,
            tenant_id: request.tenant_id,
            owner: owner(request.owner)?,
        })
    }
}

impl TryFrom<proto::PutTenantRequest> for model::Tenant {
    type Error = InvalidRequest;

    fn try_from(request: proto::PutTenantRequest) -> Result<Self, InvalidRequest> {
        let tenant = request.tenant.ok_or_else(|| InvalidRequest::new("tenant is required"))?;
        let quotas = tenant.quotas.unwrap_or_default();
        let given = [
            ("max_active_instances", quotas.max_active_instances),
            ("max_jobs_per_minute", quotas.max_jobs_per_minute),
            ("max_storage_bytes", quotas.max_storage_bytes),
        ];
        if let Some((field, _)) = given.into_iter().find(|(_, quota)| *quota < 0) {
            let message = format!("tenant.quotas.{field} must be 0 (no limit) or above");
            return Err(InvalidRequest(message));
        }
        Ok(tenant.try_into()?)
    }
}

/// 0 = no version.
fn follows_version(version: i32) -> Result<u32, InvalidRequest> {
    u32::try_from(version)
        .map_err(|_| InvalidRequest::new("follows_version must be 0 (there is none) or above"))
}

/// 0 = the latest.
fn version(version: i32) -> Result<Option<u32>, InvalidRequest> {
    let version =
        u32::try_from(version).map_err(|_| InvalidRequest::new("version must be 0 (the latest) or above"))?;
    Ok(Some(version).filter(|version| *version > 0))
}

impl TryFrom<proto::StartInstanceRequest> for model::StartInstance {
    type Error = InvalidRequest;

    fn try_from(request: proto::StartInstanceRequest) -> Result<Self, InvalidRequest> {
        Ok(Self {
            request_id: request.request_id,
            tenant_id: request.tenant_id,
            process_id: request.process_id,
            version: version(request.version)?,
            variables: requested_variables(request.variables)?,
        })
    }
}

impl TryFrom<proto::StartInstancesRequest> for model::StartInstances {
    type Error = InvalidRequest;

    fn try_from(request: proto::StartInstancesRequest) -> Result<Self, InvalidRequest> {
        let all = request.variables.into_iter().map(|instance| requested_variables(Some(instance)));
        Ok(Self {
            variables: all.collect::<Result<_, _>>()?,
            request_id: request.request_id,
            tenant_id: request.tenant_id,
            process_id: request.process_id,
            version: version(request.version)?,
        })
    }
}

/// Less than one is as wrong as none.
fn number_of_jobs(jobs: i32) -> u32 {
    u32::try_from(jobs).unwrap_or(0)
}

impl TryFrom<proto::ActivateJobsRequest> for model::ActivateJobs {
    type Error = InvalidRequest;

    fn try_from(request: proto::ActivateJobsRequest) -> Result<Self, InvalidRequest> {
        Ok(Self {
            tenant_id: request.tenant_id,
            job_types: request.job_types,
            worker: request.worker,
            max_jobs: number_of_jobs(request.max_jobs),
            lease: lease(request.lease)?,
            wait: duration("wait", request.wait, Duration::ZERO, &WAIT)?,
        })
    }
}

impl TryFrom<proto::StreamActivatedJobsRequest> for model::StreamJobs {
    type Error = InvalidRequest;

    fn try_from(request: proto::StreamActivatedJobsRequest) -> Result<Self, InvalidRequest> {
        Ok(Self {
            tenant_id: request.tenant_id,
            job_types: request.job_types,
            worker: request.worker,
            max_in_flight: number_of_jobs(request.max_in_flight),
            lease: lease(request.lease)?,
        })
    }
}

impl TryFrom<proto::CompleteJobRequest> for model::CompleteJob {
    type Error = InvalidRequest;

    fn try_from(request: proto::CompleteJobRequest) -> Result<Self, InvalidRequest> {
        let (tenant_id, key, lease_epoch) = (request.tenant_id, request.key, request.lease_epoch);
        let job = model::JobRef { tenant_id, key, lease_epoch };
        Ok(Self { job, variables: requested_variables(request.variables)? })
    }
}

impl TryFrom<proto::FailJobRequest> for model::FailJob {
    type Error = InvalidRequest;

    fn try_from(request: proto::FailJobRequest) -> Result<Self, InvalidRequest> {
        let (tenant_id, key, lease_epoch) = (request.tenant_id, request.key, request.lease_epoch);
        let retries = u32::try_from(request.retries)
            .map_err(|_| InvalidRequest::new("retries must be 0 (raise an incident) or above"))?;
        Ok(Self {
            job: model::JobRef { tenant_id, key, lease_epoch },
            retries,
            retry_backoff: duration("retry_backoff", request.retry_backoff, Duration::ZERO, &BACKOFF)?,
            error_message: request.error_message,
        })
    }
}

impl TryFrom<proto::ExtendJobRequest> for (model::JobRef, Duration) {
    type Error = InvalidRequest;

    fn try_from(request: proto::ExtendJobRequest) -> Result<Self, InvalidRequest> {
        let (tenant_id, key, lease_epoch) = (request.tenant_id, request.key, request.lease_epoch);
        Ok((model::JobRef { tenant_id, key, lease_epoch }, lease(request.lease)?))
    }
}

impl TryFrom<proto::CompleteJobsRequest> for Vec<model::CompleteJob> {
    type Error = InvalidRequest;

    fn try_from(request: proto::CompleteJobsRequest) -> Result<Self, InvalidRequest> {
        request.jobs.into_iter().map(TryInto::try_into).collect()
    }
}

impl TryFrom<proto::WatchJobLagRequest> for (model::JobLagFilter, Duration) {
    type Error = InvalidRequest;

    fn try_from(request: proto::WatchJobLagRequest) -> Result<Self, InvalidRequest> {
        let interval = duration("min_interval", request.min_interval, *INTERVAL.start(), &INTERVAL)?;
        let filter = model::JobLagFilter { tenant_ids: request.tenant_ids, job_types: request.job_types };
        Ok((filter, interval))
    }
}
