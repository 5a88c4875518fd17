use clap::Parser;
use rstest::rstest;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::args::{Cli, Command};
use crate::metrics::Metrics;

fn worker_of(tenant_id: &str) -> Role {
    Role::Worker(TenantEpoch { tenant_id: tenant_id.to_owned(), epoch: String::new() })
}

fn client_of(tenant_id: &str) -> Role {
    Role::Client(TenantEpoch { tenant_id: tenant_id.to_owned(), epoch: String::new() })
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
#[case::worker_cancels_nothing(worker_of("acme"), Method::CancelInstance, "acme", false)]
#[case::worker_lists_nothing(worker_of("acme"), Method::ListInstances, "acme", false)]
#[case::worker_resolves_nothing(worker_of("acme"), Method::ResolveIncidents, "acme", false)]
#[case::worker_counts_nothing(worker_of("acme"), Method::CountIncidents, "acme", false)]
#[case::monitor_counts_incidents(Role::Monitor, Method::CountIncidents, "acme", true)]
#[case::monitor_reads_no_incidents(Role::Monitor, Method::ListIncidents, "acme", false)]
#[case::monitor_reads_no_instances(Role::Monitor, Method::GetInstance, "acme", false)]
#[case::monitor_resolves_nothing(Role::Monitor, Method::ResolveIncident, "acme", false)]
#[case::controller_resolves(Role::Controller, Method::ResolveIncident, "acme", true)]
#[case::client_starts(client_of("acme"), Method::StartInstance, "acme", true)]
#[case::client_reads(client_of("acme"), Method::GetInstance, "acme", true)]
#[case::client_lists(client_of("acme"), Method::ListInstances, "acme", true)]
#[case::client_cancels(client_of("acme"), Method::CancelInstance, "acme", true)]
#[case::client_sets_variables(client_of("acme"), Method::SetVariables, "acme", true)]
#[case::client_resolves(client_of("acme"), Method::ResolveIncident, "acme", true)]
#[case::client_starts_nothing_elsewhere(client_of("acme"), Method::StartInstance, "globex", false)]
#[case::client_has_no_tenantless_instances(client_of("acme"), Method::ListInstances, "", false)]
#[case::client_counts_its_incidents(client_of("acme"), Method::CountIncidents, "acme", true)]
#[case::client_counts_no_foreign_incidents(client_of("acme"), Method::CountIncidents, "globex", false)]
#[case::client_sees_what_it_can_start(client_of("acme"), Method::ListProcessDefinitions, "acme", true)]
#[case::client_sees_no_foreign_processes(client_of("acme"), Method::GetProcessDefinition, "globex", false)]
#[case::client_reads_no_documents(client_of("acme"), Method::GetProcessDocument, "acme", false)]
#[case::client_counts_no_waiting_instances(client_of("acme"), Method::CountWaitingInstances, "acme", false)]
#[case::monitor_counts_no_waiting_instances(Role::Monitor, Method::CountWaitingInstances, "acme", false)]
#[case::worker_sees_no_processes(worker_of("acme"), Method::ListProcessDefinitions, "acme", false)]
#[case::monitor_sees_no_processes(Role::Monitor, Method::ListProcessDefinitions, "acme", false)]
#[case::client_takes_no_jobs(client_of("acme"), Method::ActivateJobs, "acme", false)]
#[case::client_completes_no_jobs(client_of("acme"), Method::CompleteJob, "acme", false)]
#[case::client_deploys_nothing(client_of("acme"), Method::DeployProcess, "acme", false)]
#[case::client_sees_no_tenants(client_of("acme"), Method::ListTenants, "", false)]
#[case::client_sees_no_lag(client_of("acme"), Method::ListJobLag, "", false)]
#[case::worker_reads_health(worker_of("acme"), Method::GetHealth, "", true)]
fn a_role_may_call_only_its_methods(
    #[case] role: Role,
    #[case] method: Method,
    #[case] tenant_id: &str,
    #[case] allowed: bool,
) {
    assert_eq!(method.is_allowed(&role, tenant_id), allowed);
}

/// A node that was never connected to a database.
fn api() -> Api {
    let arguments =
        ["workflow-engine", "serve", "--database-host", "localhost", "--database-user-file", "/user"];
    let files =
        ["--database-password-file", "/password", "--tls-dir", "/tls", "--credentials-dir", "/credentials"];
    let Command::Serve(args) = Cli::parse_from(arguments.into_iter().chain(files)).command else {
        unreachable!()
    };
    Api {
        node: Arc::new(Node::new(
            "engine-0".to_owned(),
            args,
            Metrics::default(),
            CancellationToken::new(),
            CancellationToken::new(),
        )),
    }
}

fn extensions(role: Option<Role>) -> Extensions {
    let mut extensions = Extensions::new();
    if let Some(role) = role {
        extensions.insert(role);
    }
    extensions
}

#[tokio::test]
async fn a_panic_fails_its_own_call_only() {
    let api = api();
    let controller = extensions(Some(Role::Controller));
    let panicking = api
        .call_node(Method::GetInfo, &controller, "", async {
            assert_ne!(api.node.id, "engine-0", "boom");
            Ok(())
        })
        .await
        .expect_err("should fail");
    assert_eq!(panicking.code(), Code::Internal);
    assert!(!panicking.message().contains("boom"));
    assert!(api.call_node(Method::GetInfo, &controller, "", async { Ok(()) }).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_ends_at_its_deadline() {
    let hanging = std::future::pending::<Result<(), Error>>();
    let ended = api().call_node(Method::GetTenant, &extensions(Some(Role::Controller)), "", hanging).await;
    assert_eq!(ended.expect_err("should end").code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn a_node_without_a_database_says_why_it_does_not_serve() {
    let call = api().call(Method::GetTenant, &extensions(Some(Role::Controller)), |_| async { Ok(()) }).await;
    let refused = call.expect_err("should be refused");
    assert_eq!((refused.code(), refused.message()), (Code::Unavailable, "starting"));
}

#[tokio::test]
async fn an_unauthorized_call_does_no_work() {
    for (role, code) in [(None, Code::Unauthenticated), (Some(Role::Monitor), Code::PermissionDenied)] {
        let work = async { unreachable!("must not be polled") };
        let refused = api().call_node::<()>(Method::PutTenant, &extensions(role), "", work).await;
        assert_eq!(refused.expect_err("should be refused").code(), code);
    }
}
