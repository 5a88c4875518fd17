use rstest::rstest;

use super::*;

fn worker_of(tenant_id: &str) -> Role {
    Role::Worker { tenant_id: tenant_id.to_owned() }
}

#[rstest]
#[case::controller_deploys(Role::Controller, Method::DeployProcess, "acme", true)]
#[case::controller_takes_jobs(Role::Controller, Method::ActivateJobs, "acme", true)]
#[case::monitor_reads_lag(Role::Monitor, Method::WatchJobLag, "", true)]
#[case::monitor_reads_usage(Role::Monitor, Method::ListTenantUsage, "", true)]
#[case::monitor_reads_info(Role::Monitor, Method::GetInfo, "", true)]
#[case::monitor_sees_no_tenants(Role::Monitor, Method::ListTenants, "", false)]
#[case::monitor_deploys_nothing(Role::Monitor, Method::DeployProcess, "acme", false)]
#[case::monitor_takes_no_jobs(Role::Monitor, Method::ActivateJobs, "acme", false)]
#[case::worker_takes_its_jobs(worker_of("acme"), Method::ActivateJobs, "acme", true)]
#[case::worker_streams_its_jobs(worker_of("acme"), Method::StreamActivatedJobs, "acme", true)]
#[case::worker_completes_its_jobs(worker_of("acme"), Method::CompleteJobs, "acme", true)]
#[case::worker_takes_no_foreign_jobs(worker_of("acme"), Method::ActivateJobs, "globex", false)]
#[case::worker_fails_no_foreign_jobs(worker_of("acme"), Method::FailJob, "globex", false)]
#[case::worker_has_no_tenantless_jobs(worker_of("acme"), Method::ActivateJobs, "", false)]
#[case::worker_starts_nothing(worker_of("acme"), Method::StartInstance, "acme", false)]
#[case::worker_deploys_nothing(worker_of("acme"), Method::DeployProcess, "acme", false)]
#[case::worker_sees_no_lag(worker_of("acme"), Method::ListJobLag, "", false)]
#[case::worker_reads_health(worker_of("acme"), Method::GetHealth, "", true)]
fn a_role_opens_its_methods_only(
    #[case] role: Role,
    #[case] method: Method,
    #[case] tenant_id: &str,
    #[case] allowed: bool,
) {
    assert_eq!(method.is_allowed(&role, tenant_id), allowed);
}
