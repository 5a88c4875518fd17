//! What one end writes is what the other end reads. No field has its default, so that none is forgotten.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use serde_json::json;

use super::object;
use crate::{
    model::{
        ActivateJobs, CanaryFailure, CanaryReport, CanaryStep, CancelInstances, CanceledInstances,
        CompleteJob, DefinitionRef, DeleteProcess, DeleteTenant, DeleteTenantMode, DeployOutcome,
        DeployProcess, DeployResult, EngineHealth, EngineInfo, FailJob, Finding, HealthCheck,
        HealthComponent, HealthState, Incident, IncidentCount, IncidentFilter, IncidentKind, Instance,
        InstanceFilter, InstanceState, InstanceSummary, Isolation, Job, JobLag, JobLagUpdate, JobRef,
        JobSeries, LintMode, ManagedDefinition, Node, OnInstances, OpenElement, OpenJob, Owner, Page,
        ProcessDefinition, ProcessDeletion, ProcessDocument, PutOutcome, PutTenant, QuotaKind,
        ResolveIncidents, ResolvedIncidents, Selection, SetVariables, Severity, StartInstance,
        StartInstances, StartedInstance, StartedInstances, StreamJobs, Tenant, TenantDeletion, TenantQuotas,
        TenantUsage, UnresolvedIncident, ValidateProcess, Validation, Variables, WaitingCount,
        WaitingInstances,
    },
    proto,
};

fn time(second: i64) -> Timestamp {
    Timestamp::new(second, 500).expect("should be within range")
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn variables() -> Variables {
    object(json!({"amount": 12.5, "lines": [1, null, {"deep": "er"}], "paid": true}))
}

fn owner() -> Owner {
    Owner { id: text("WorkflowTenant/work/acme"), uid: text("uid-1"), created_at: time(3) }
}

fn tenant() -> Tenant {
    Tenant {
        id: text("acme"),
        display_name: text("Acme"),
        quotas: TenantQuotas {
            max_active_instances: Some(1),
            max_jobs_per_minute: Some(2),
            max_storage_bytes: Some(3),
        },
        rls: true,
        suspended: true,
        owner: Some(owner()),
        generation: 4,
    }
}

fn job_ref() -> JobRef {
    JobRef { tenant_id: text("acme"), key: 7, lease_epoch: 2 }
}

/// The client's request, written and read.
macro_rules! asked {
    ($wire:ty, $model:ty, $request:expr) => {{
        let request: $model = $request;
        let wire = <$wire>::try_from(&request).expect("should be written");
        assert_eq!(<$model>::try_from(wire), Ok(request));
    }};
}

/// The engine's answer, written and read.
macro_rules! answered {
    ($wire:ty, $model:ty, $answer:expr) => {{
        let answer: $model = $answer;
        let wire = <$wire>::from(answer.clone());
        assert_eq!(<$model>::try_from(wire), Ok(answer));
    }};
}

#[test]
fn requests_of_controllers() {
    asked!(
        proto::DeployProcessRequest,
        DeployProcess,
        DeployProcess {
            request_id: text("r"),
            tenant_id: text("acme"),
            resource_name: text("order.bpmn"),
            content: b"<xml/>".to_vec(),
            content_sha256: text("ab"),
            version_tag: Some(text("v1")),
            mode: LintMode::Lenient,
            owner: Some(owner()),
            follows_version: Some(0),
        }
    );
    asked!(
        proto::DeleteProcessRequest,
        DeleteProcess,
        DeleteProcess {
            request_id: text("r"),
            tenant_id: text("acme"),
            process_id: text("order"),
            owner: Some(owner()),
            on_instances: OnInstances::Cancel,
            retain: true,
        }
    );
    asked!(
        proto::DeleteTenantRequest,
        DeleteTenant,
        DeleteTenant {
            request_id: text("r"),
            tenant_id: text("acme"),
            owner: Some(owner()),
            mode: DeleteTenantMode::Purge,
        }
    );
    let wire = proto::PutTenantRequest { request_id: text("r"), tenant: Some((&tenant()).into()) };
    assert_eq!(Tenant::try_from(wire), Ok(tenant()));
    for wanted in [DefinitionRef::Key(7), DefinitionRef::LatestOf(text("order"))] {
        let by = Some((&wanted).into());
        let wire = proto::GetProcessDefinitionRequest { tenant_id: text("acme"), by };
        assert_eq!(DefinitionRef::try_from(wire), Ok(wanted));
    }
    asked!(
        proto::ValidateProcessRequest,
        ValidateProcess,
        ValidateProcess { tenant_id: text("acme"), content: b"<xml/>".to_vec(), mode: LintMode::Strict }
    );
}

#[test]
fn requests_of_workers() {
    asked!(
        proto::StartInstanceRequest,
        StartInstance,
        StartInstance {
            request_id: text("r"),
            tenant_id: text("acme"),
            process_id: text("order"),
            version: Some(2),
            variables: variables(),
        }
    );
    asked!(
        proto::StartInstancesRequest,
        StartInstances,
        StartInstances {
            request_id: text("r"),
            tenant_id: text("acme"),
            process_id: text("order"),
            version: None,
            variables: vec![variables(), Variables::default()],
        }
    );
    asked!(
        proto::ActivateJobsRequest,
        ActivateJobs,
        ActivateJobs {
            tenant_id: text("acme"),
            job_types: vec![text("charge")],
            worker: text("worker-0"),
            max_jobs: 5,
            lease: Duration::from_millis(1500),
            wait: Duration::from_secs(30),
        }
    );
    asked!(
        proto::StreamActivatedJobsRequest,
        StreamJobs,
        StreamJobs {
            tenant_id: text("acme"),
            job_types: vec![text("charge")],
            worker: text("worker-0"),
            max_in_flight: 5,
            lease: Duration::from_hours(1),
        }
    );
    asked!(proto::CompleteJobRequest, CompleteJob, CompleteJob { job: job_ref(), variables: variables() });
    asked!(
        proto::FailJobRequest,
        FailJob,
        FailJob {
            job: job_ref(),
            retries: 2,
            retry_backoff: Duration::from_secs(9),
            error_message: text("declined"),
        }
    );
}

#[test]
fn requests_of_people() {
    asked!(
        proto::SetVariablesRequest,
        SetVariables,
        SetVariables {
            request_id: text("r"),
            tenant_id: text("acme"),
            instance_key: 7,
            variables: variables(),
        }
    );
    let filter = InstanceFilter {
        state: Some(InstanceState::Active),
        process_id: Some(text("order")),
        version: Some(2),
        has_incident: Some(false),
    };
    for selection in [Selection::Keys(vec![1, 2]), Selection::Filter { filter, page: Some(text("7")) }] {
        asked!(
            proto::CancelInstancesRequest,
            CancelInstances,
            CancelInstances { request_id: text("r"), tenant_id: text("acme"), selection }
        );
    }
    let of_process =
        IncidentFilter { process_id: Some(text("order")), version: Some(2), instance_key: Some(7) };
    for selection in
        [Selection::Keys(vec![1, 2]), Selection::Filter { filter: of_process, page: Some(text("7")) }]
    {
        asked!(
            proto::ResolveIncidentsRequest,
            ResolveIncidents,
            ResolveIncidents {
                request_id: text("r"),
                tenant_id: text("acme"),
                selection,
                retries: 3,
                variables: variables(),
            }
        );
    }
}

fn finding() -> Finding {
    Finding {
        rule_id: text("task-without-type"),
        severity: Severity::Warning,
        element_id: Some(text("task-1")),
        line: 7,
        column: 8,
        message: text("missing taskDefinition"),
    }
}

fn definition() -> ProcessDefinition {
    ProcessDefinition {
        key: 7,
        tenant_id: text("acme"),
        process_id: text("order"),
        version: 2,
        version_tag: Some(text("v2")),
        content_sha256: text("ab"),
        deployed_at: time(9),
        job_types: vec![text("charge")],
    }
}

#[test]
fn answers_to_controllers() {
    answered!(
        proto::GetInfoResponse,
        EngineInfo,
        EngineInfo {
            engine_kind: text("workflow-engine"),
            version: text("1.2.3"),
            schema_version: 2,
            min_schema_version: 1,
            max_schema_version: 3,
            node_id: text("engine-0"),
            nodes: vec![Node { id: text("engine-0"), version: text("1.2.3"), last_seen_at: time(1) }],
            capabilities: BTreeSet::from([text("tenants")]),
            started_at: time(2),
        }
    );
    answered!(
        proto::GetHealthResponse,
        EngineHealth,
        EngineHealth {
            overall: HealthState::Degraded,
            checks: vec![HealthCheck {
                component: HealthComponent::Leases,
                state: HealthState::NotServing,
                reason: Some(text("slow")),
                since: Some(time(3)),
            }],
        }
    );
    for step in [
        CanaryStep::Prepare,
        CanaryStep::Deploy,
        CanaryStep::Start,
        CanaryStep::Activate,
        CanaryStep::Complete,
        CanaryStep::ReadBack,
    ] {
        let failure = Some(CanaryFailure { step, message: text("no") });
        answered!(
            proto::RunCanaryResponse,
            CanaryReport,
            CanaryReport { failure, took: Duration::from_millis(1500) }
        );
    }
    answered!(
        proto::RunCanaryResponse,
        CanaryReport,
        CanaryReport { failure: None, took: Duration::from_millis(20) }
    );
    answered!(
        proto::DeployProcessResponse,
        DeployResult,
        DeployResult::Deployed { outcome: DeployOutcome::Unchanged, definition: definition(), adopted: true }
    );
    answered!(
        proto::DeployProcessResponse,
        DeployResult,
        DeployResult::Rejected { findings: vec![finding()], truncated: true }
    );
    answered!(
        proto::GetProcessDefinitionResponse,
        ManagedDefinition,
        ManagedDefinition { definition: definition(), owner: Some(owner()) }
    );
    answered!(
        proto::ValidateProcessResponse,
        Validation,
        Validation {
            deployable: true,
            findings: vec![finding()],
            truncated: true,
            process_ids: vec![text("order")],
            job_types: vec![text("charge")],
        }
    );
    for deletion in [ProcessDeletion::Retired { versions: 3 }, ProcessDeletion::OwnedByOther] {
        answered!(proto::DeleteProcessResponse, ProcessDeletion, deletion);
    }
    answered!(proto::PutTenantResponse, PutTenant, PutTenant { outcome: PutOutcome::Updated, adopted: true });
    answered!(proto::GetTenantResponse, Tenant, tenant());
    for deletion in
        [TenantDeletion::Deleted, TenantDeletion::Purging, TenantDeletion::Kept, TenantDeletion::OwnedByOther]
    {
        answered!(proto::DeleteTenantResponse, TenantDeletion, deletion);
    }
    let usage = TenantUsage {
        tenant_id: text("acme"),
        active_instances: 1,
        jobs_last_minute: 2,
        storage_bytes: 3,
        measured_at: time(4),
        over: BTreeSet::from([QuotaKind::JobsPerMinute, QuotaKind::Storage]),
    };
    answered!(proto::ListTenantUsageResponse, Vec<TenantUsage>, vec![usage]);
    answered!(
        proto::VerifyIsolationResponse,
        Isolation,
        Isolation { isolated: true, violations: vec![text("no policy")] }
    );
}

#[test]
fn answers_about_former_versions() {
    answered!(
        proto::GetProcessDocumentResponse,
        ProcessDocument,
        ProcessDocument { content: b"<xml/>".to_vec(), content_sha256: text("ab") }
    );
    let waiting = |element_id, instances| WaitingCount { element_id: text(element_id), instances };
    answered!(
        proto::CountWaitingInstancesResponse,
        WaitingInstances,
        WaitingInstances {
            counts: vec![waiting("task-1", 2), waiting("task-2", 3)],
            instances: 4,
            is_at_least: true,
        }
    );
}

#[test]
fn answers_to_workers() {
    answered!(
        proto::StartInstanceResponse,
        StartedInstance,
        StartedInstance { instance_key: 7, process_definition_key: 8 }
    );
    answered!(
        proto::StartInstancesResponse,
        StartedInstances,
        StartedInstances { instance_keys: vec![7, 9], process_definition_key: 8 }
    );
    let job = Job {
        key: 1,
        tenant_id: text("acme"),
        job_type: text("charge"),
        instance_key: 2,
        process_definition_key: 3,
        process_id: text("order"),
        element_id: text("task-1"),
        headers: [(text("queue"), text("fast"))].into(),
        variables: variables(),
        retries: 4,
        lease_epoch: 5,
        lease_expires_at: time(6),
        created_at: time(7),
    };
    answered!(proto::ActivateJobsResponse, Vec<Job>, vec![job.clone()]);
    answered!(proto::StreamActivatedJobsResponse, Vec<Job>, vec![job]);
    answered!(proto::ExtendJobResponse, Timestamp, time(8));
    let series = |job_type| JobSeries { tenant_id: text("acme"), job_type: text(job_type) };
    let lag = JobLag { series: series("charge"), activatable: 1, oldest_run_at: Some(time(2)), activated: 3 };
    answered!(
        proto::WatchJobLagResponse,
        JobLagUpdate,
        JobLagUpdate {
            snapshot: true,
            complete: false,
            lags: vec![lag],
            removed: vec![series("refund")],
            measured_at: time(4),
        }
    );
}

#[test]
fn answers_to_people() {
    let incident = Incident {
        key: 1,
        kind: Some(IncidentKind::JobNoRetries),
        element_id: text("task-1"),
        message: text("declined"),
        raised_at: time(2),
        instance_key: 3,
        process_definition_key: 4,
        process_id: text("order"),
        version: 5,
        job_key: Some(6),
    };
    let element = OpenElement {
        element_id: text("task-1"),
        tokens: 1,
        job: Some(OpenJob { key: 6, job_type: text("charge"), retries: 2 }),
        incident_key: Some(1),
    };
    answered!(
        proto::GetInstanceResponse,
        Instance,
        Instance {
            key: 3,
            process_definition_key: 4,
            process_id: text("order"),
            version: 5,
            state: InstanceState::Canceled,
            variables: variables(),
            incidents: vec![incident.clone()],
            open_elements: vec![element],
            started_at: Some(time(1)),
            ended_at: Some(time(9)),
        }
    );
    let summary = InstanceSummary {
        key: 3,
        process_definition_key: 4,
        process_id: text("order"),
        version: 5,
        state: InstanceState::Completed,
        started_at: time(1),
        ended_at: Some(time(9)),
        open_incidents: 2,
    };
    let next = || Some(text("3"));
    answered!(
        proto::ListInstancesResponse,
        Page<InstanceSummary>,
        Page { entries: vec![summary], next: next() }
    );
    answered!(proto::ListIncidentsResponse, Page<Incident>, Page { entries: vec![incident], next: next() });
    answered!(
        proto::CancelInstancesResponse,
        CanceledInstances,
        CanceledInstances { canceled: 1, not_running: vec![2], next: next() }
    );
    let left = UnresolvedIncident { key: 2, reason: text("INCIDENT_UNKNOWN"), message: text("no such") };
    answered!(
        proto::ResolveIncidentsResponse,
        ResolvedIncidents,
        ResolvedIncidents { resolved: 1, unresolved: vec![left], next: next() }
    );
    let count = IncidentCount { process_definition_key: 4, process_id: text("order"), version: 5, open: 6 };
    answered!(proto::CountIncidentsResponse, Vec<IncidentCount>, vec![count]);
}
