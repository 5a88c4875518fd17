//! Requests outside of the contract are refused in words for the caller; what is left out has the documented meaning.

use std::time::Duration;

use rstest::rstest;

use super::InvalidRequest;
use crate::{
    convert::page_request,
    model::{
        ActivateJobs, CancelInstances, DefinitionRef, DeleteProcess, DeleteTenant, DeployProcess, FailJob,
        IncidentFilter, InstanceFilter, JobLagFilter, OnInstances, PageRequest, ResolveIncident,
        ResolveIncidents, StartInstance, Tenant,
    },
    proto,
};

fn said<Wire, Model>(wire: Wire) -> String
where
    Model: TryFrom<Wire, Error = InvalidRequest>,
{
    Model::try_from(wire).err().map(|invalid| invalid.to_string()).unwrap_or_default()
}

fn seconds(seconds: i64) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos: 0 }
}

#[rstest]
#[case::no_mode(
    said::<_, DeployProcess>(proto::DeployProcessRequest::default()),
    "mode is required: STRICT or LENIENT"
)]
#[case::negative_version(
    said::<_, DeployProcess>(proto::DeployProcessRequest {
        mode: proto::LintMode::Strict.into(),
        follows_version: Some(-1),
        ..Default::default()
    }),
    "follows_version must be 0 (there is none) or above"
)]
#[case::owner_without_a_time(
    said::<_, DeployProcess>(proto::DeployProcessRequest {
        mode: proto::LintMode::Strict.into(),
        owner: Some(proto::Owner::default()),
        ..Default::default()
    }),
    "owner.created_at should be present"
)]
#[case::no_definition(
    said::<_, DefinitionRef>(proto::GetProcessDefinitionRequest::default()),
    "one of key and process_id is required"
)]
#[case::nothing_for_instances(
    said::<_, DeleteProcess>(proto::DeleteProcessRequest::default()),
    "on_instances is required: FAIL, KEEP_RUNNING or CANCEL"
)]
#[case::no_deletion_mode(
    said::<_, DeleteTenant>(proto::DeleteTenantRequest::default()),
    "mode is required: REFUSE_IF_ACTIVE, PURGE or RETAIN"
)]
#[case::no_tenant(said::<_, Tenant>(proto::PutTenantRequest::default()), "tenant is required")]
#[case::negative_quota(
    said::<_, Tenant>(proto::PutTenantRequest {
        request_id: String::new(),
        tenant: Some(proto::Tenant {
            quotas: Some(proto::TenantQuotas { max_jobs_per_minute: -1, ..Default::default() }),
            ..Default::default()
        }),
    }),
    "tenant.quotas.max_jobs_per_minute must be 0 (no limit) or above"
)]
#[case::negative_start(
    said::<_, StartInstance>(proto::StartInstanceRequest { version: -1, ..Default::default() }),
    "version must be 0 (the latest) or above"
)]
#[case::long_lease(
    said::<_, ActivateJobs>(proto::ActivateJobsRequest { lease: Some(seconds(7200)), ..Default::default() }),
    "lease must be 1 s to 3600 s"
)]
#[case::negative_lease(
    said::<_, ActivateJobs>(proto::ActivateJobsRequest { lease: Some(seconds(-1)), ..Default::default() }),
    "lease must be 1 s to 3600 s"
)]
#[case::long_wait(
    said::<_, ActivateJobs>(proto::ActivateJobsRequest { wait: Some(seconds(31)), ..Default::default() }),
    "wait must be 0 s to 30 s"
)]
#[case::negative_retries(
    said::<_, FailJob>(proto::FailJobRequest { retries: -1, ..Default::default() }),
    "retries must be 0 (raise an incident) or above"
)]
#[case::negative_backoff(
    said::<_, FailJob>(proto::FailJobRequest { retry_backoff: Some(seconds(-1)), ..Default::default() }),
    "retry_backoff must be 0 s to 86400 s"
)]
#[case::no_attempt(
    said::<_, ResolveIncident>(proto::ResolveIncidentRequest::default()),
    "retries must be 1 or above: how often the job is tried"
)]
#[case::nothing_to_resolve(
    said::<_, ResolveIncidents>(proto::ResolveIncidentsRequest { retries: 1, ..Default::default() }),
    "one of keys and filter is required"
)]
#[case::nothing_to_cancel(
    said::<_, CancelInstances>(proto::CancelInstancesRequest::default()),
    "one of keys and filter is required"
)]
#[case::unknown_state(
    said::<_, InstanceFilter>(proto::InstanceFilter { state: 99, ..Default::default() }),
    "filter.state is not a state of instances"
)]
#[case::version_of_no_process(
    said::<_, InstanceFilter>(proto::InstanceFilter { version: 1, ..Default::default() }),
    "filter.version must be 0 (all) or a version of filter.process_id"
)]
#[case::negative_filter(
    said::<_, IncidentFilter>(proto::IncidentFilter {
        process_id: "order".to_owned(),
        version: -1,
        ..Default::default()
    }),
    "filter.version must be 0 (all) or a version of filter.process_id"
)]
#[case::short_interval(
    said::<_, (JobLagFilter, Duration)>(proto::WatchJobLagRequest {
        min_interval: Some(seconds(0)),
        ..Default::default()
    }),
    "min_interval must be 1 s to 60 s"
)]
fn invalid_request_is_refused(#[case] said: String, #[case] expected: &str) {
    assert_eq!(said, expected);
}

#[rstest]
#[case(0, Ok(100))]
#[case(1, Ok(1))]
#[case(1000, Ok(1000))]
#[case(1001, Err("page_size must be 0 to 1000"))]
#[case(-1, Err("page_size must be 0 to 1000"))]
fn page_size_has_a_default_and_a_bound(#[case] asked: i32, #[case] expected: Result<u32, &str>) {
    let token = || "7".to_owned();
    let expected = expected.map(|size| PageRequest { size, token: token() });
    assert_eq!(page_request(asked, token()), expected.map_err(|said| InvalidRequest(said.to_owned())));
}

#[test]
fn what_is_left_out_has_its_default() {
    let activate = ActivateJobs::try_from(proto::ActivateJobsRequest::default());
    let activate = activate.map(|activate| (activate.lease, activate.wait, activate.max_jobs));
    assert_eq!(activate, Ok((Duration::from_mins(5), Duration::ZERO, 0)));
    let fail = FailJob::try_from(proto::FailJobRequest::default());
    assert_eq!(fail.map(|fail| fail.retry_backoff), Ok(Duration::ZERO));
    let watch = <(JobLagFilter, Duration)>::try_from(proto::WatchJobLagRequest::default());
    assert_eq!(watch, Ok((JobLagFilter::default(), Duration::from_secs(1))));
    let start = StartInstance::try_from(proto::StartInstanceRequest::default());
    assert_eq!(start.map(|start| start.version), Ok(None));
    let give_up = proto::DeleteProcessRequest { retain: true, ..Default::default() };
    let give_up = DeleteProcess::try_from(give_up).map(|delete| (delete.owner, delete.on_instances));
    assert_eq!(give_up, Ok((None, OnInstances::KeepRunning)));
}
