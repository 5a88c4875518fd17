//! Calls every method of the API as one caller for one tenant, and returns the answers' codes.

use std::collections::{BTreeMap, BTreeSet};

use engine_api::proto::{
    ActivateJobsRequest, CancelInstanceRequest, CancelInstancesRequest, CompleteJobRequest,
    CompleteJobsRequest, CountIncidentsRequest, CountWaitingInstancesRequest, DeleteProcessRequest,
    DeleteTenantRequest, DeployProcessRequest, ExtendJobRequest, FILE_DESCRIPTOR_SET, FailJobRequest,
    GetHealthRequest, GetInfoRequest, GetInstanceRequest, GetMigrationStatusRequest,
    GetProcessDefinitionRequest, GetProcessDocumentRequest, GetTenantRequest, Keys, ListIncidentsRequest,
    ListInstancesRequest, ListJobLagRequest, ListProcessDefinitionsRequest, ListTenantUsageRequest,
    ListTenantsRequest, PlanMigrationRequest, PutTenantRequest, ResolveIncidentRequest,
    ResolveIncidentsRequest, RunCanaryRequest, SetVariablesRequest, StartInstanceRequest,
    StartInstancesRequest, StreamActivatedJobsRequest, ValidateProcessRequest, VerifyIsolationRequest,
    WatchJobLagRequest, cancel_instances_request, get_process_definition_request, resolve_incidents_request,
};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use serde_json::{Value, json};
use tonic::{Code, Response, Status, Streaming};

use crate::gateway::http;
use crate::support::{Caller, Engine, activation, wire_variables};

/// The status code of each method, by the method's name.
pub(crate) type Answers = BTreeMap<String, Code>;

/// Methods that every token may call.
pub(crate) const OF_EVERYONE: [&str; 2] = ["GetHealth", "GetInfo"];

/// Methods that monitors may call.
pub(crate) const OF_MONITORS: [&str; 5] =
    ["CountIncidents", "GetMigrationStatus", "ListJobLag", "ListTenantUsage", "WatchJobLag"];

/// Methods that workers may call.
pub(crate) const OF_WORKERS: [&str; 6] =
    ["ActivateJobs", "CompleteJob", "CompleteJobs", "ExtendJob", "FailJob", "StreamActivatedJobs"];

/// Methods that clients may call.
pub(crate) const OF_CLIENTS: [&str; 13] = [
    "CancelInstance",
    "CancelInstances",
    "CountIncidents",
    "GetInstance",
    "GetProcessDefinition",
    "ListIncidents",
    "ListInstances",
    "ListProcessDefinitions",
    "ResolveIncident",
    "ResolveIncidents",
    "SetVariables",
    "StartInstance",
    "StartInstances",
];

/// The methods that were answered with this code.
pub(crate) fn answered(answers: &Answers, code: Code) -> BTreeSet<&str> {
    answers.iter().filter(|(_, found)| **found == code).map(|(name, _)| name.as_str()).collect()
}

/// Names of all methods of the API.
fn all_methods() -> BTreeSet<String> {
    let files = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("should be descriptors");
    let services = files.file.into_iter().flat_map(|file| file.service);
    services.flat_map(|service| service.method).map(|method| method.name().to_owned()).collect()
}

fn code<T>(answer: Result<Response<T>, Status>) -> Code {
    answer.map_or_else(|status| status.code(), |_| Code::Ok)
}

/// The code of an opened stream is that of its first message.
async fn first<T>(opened: Result<Response<Streaming<T>>, Status>) -> Code {
    match opened {
        Ok(opened) => opened.into_inner().message().await.map_or_else(|status| status.code(), |_| Code::Ok),
        Err(status) => status.code(),
    }
}

/// Calls every method. The requests are valid, so that a permitted call reaches the database. They name things that do
/// not exist, so that nothing changes.
pub(crate) async fn call_all_methods(caller: &Caller, tenant_id: &str) -> Answers {
    let mut answers = call_job_methods(caller, tenant_id).await;
    answers.extend(call_instance_methods(caller, tenant_id).await);
    answers.extend(call_other_methods(caller, tenant_id).await);
    let answers: Answers = answers.into_iter().map(|(name, code)| (name.to_owned(), code)).collect();
    assert_eq!(answers.keys().cloned().collect::<BTreeSet<_>>(), all_methods(), "a method is not called");
    answers
}

async fn call_job_methods(caller: &Caller, tenant_id: &str) -> Vec<(&'static str, Code)> {
    let (id, mut jobs) = (tenant_id.to_owned(), caller.jobs());
    let activate = ActivateJobsRequest { job_types: vec!["nothing".to_owned()], ..activation(&id, "", 1) };
    let stream = StreamActivatedJobsRequest {
        tenant_id: id.clone(),
        job_types: activate.job_types.clone(),
        worker: "tester".to_owned(),
        max_in_flight: 1,
        lease: None,
    };
    let complete = CompleteJobRequest {
        tenant_id: id.clone(),
        key: 42,
        lease_epoch: 1,
        ..CompleteJobRequest::default()
    };
    let complete_many = CompleteJobsRequest { tenant_id: id.clone(), jobs: vec![complete.clone()] };
    let fail = FailJobRequest { tenant_id: id.clone(), key: 42, retries: 1, ..FailJobRequest::default() };
    let extend = ExtendJobRequest { tenant_id: id.clone(), key: 42, ..ExtendJobRequest::default() };
    let start = StartInstanceRequest {
        tenant_id: id.clone(),
        process_id: "nothing".to_owned(),
        ..StartInstanceRequest::default()
    };
    let start_many = StartInstancesRequest {
        tenant_id: id.clone(),
        process_id: "nothing".to_owned(),
        variables: vec![wire_variables(&json!({}))],
        ..StartInstancesRequest::default()
    };
    vec![
        ("ActivateJobs", code(jobs.activate_jobs(activate).await)),
        ("StreamActivatedJobs", first(jobs.stream_activated_jobs(stream).await).await),
        ("CompleteJob", code(jobs.complete_job(complete).await)),
        ("CompleteJobs", code(jobs.complete_jobs(complete_many).await)),
        ("FailJob", code(jobs.fail_job(fail).await)),
        ("ExtendJob", code(jobs.extend_job(extend).await)),
        ("StartInstance", code(jobs.start_instance(start).await)),
        ("StartInstances", code(jobs.start_instances(start_many).await)),
        ("GetInstance", code(jobs.get_instance(GetInstanceRequest { tenant_id: id, key: 42 }).await)),
        ("ListJobLag", code(jobs.list_job_lag(ListJobLagRequest::default()).await)),
        ("WatchJobLag", first(jobs.watch_job_lag(WatchJobLagRequest::default()).await).await),
    ]
}

async fn call_instance_methods(caller: &Caller, tenant_id: &str) -> Vec<(&'static str, Code)> {
    let (id, mut instances) = (tenant_id.to_owned(), caller.instances());
    let list = ListInstancesRequest { tenant_id: id.clone(), ..ListInstancesRequest::default() };
    let set = SetVariablesRequest {
        tenant_id: id.clone(),
        instance_key: 42,
        variables: Some(wire_variables(&json!({"amount": 1}))),
        ..SetVariablesRequest::default()
    };
    let cancel = CancelInstanceRequest { tenant_id: id.clone(), key: 42, ..CancelInstanceRequest::default() };
    let keys = Keys { keys: vec![42] };
    let cancel_many = CancelInstancesRequest {
        tenant_id: id.clone(),
        selection: Some(cancel_instances_request::Selection::Keys(keys.clone())),
        ..CancelInstancesRequest::default()
    };
    let incidents = ListIncidentsRequest { tenant_id: id.clone(), ..ListIncidentsRequest::default() };
    let resolve = ResolveIncidentRequest {
        tenant_id: id.clone(),
        key: 42,
        retries: 1,
        ..ResolveIncidentRequest::default()
    };
    let resolve_many = ResolveIncidentsRequest {
        tenant_id: id.clone(),
        selection: Some(resolve_incidents_request::Selection::Keys(keys)),
        retries: 1,
        ..ResolveIncidentsRequest::default()
    };
    vec![
        ("ListInstances", code(instances.list_instances(list).await)),
        ("SetVariables", code(instances.set_variables(set).await)),
        ("CancelInstance", code(instances.cancel_instance(cancel).await)),
        ("CancelInstances", code(instances.cancel_instances(cancel_many).await)),
        ("ListIncidents", code(instances.list_incidents(incidents).await)),
        ("CountIncidents", code(instances.count_incidents(CountIncidentsRequest { tenant_id: id }).await)),
        ("ResolveIncident", code(instances.resolve_incident(resolve).await)),
        ("ResolveIncidents", code(instances.resolve_incidents(resolve_many).await)),
    ]
}

async fn call_other_methods(caller: &Caller, tenant_id: &str) -> Vec<(&'static str, Code)> {
    let id = tenant_id.to_owned();
    let (mut cluster, mut migration) = (caller.cluster(), caller.migration());
    let (mut processes, mut tenants) = (caller.processes(), caller.tenants());
    let find = GetProcessDefinitionRequest {
        tenant_id: id.clone(),
        by: Some(get_process_definition_request::By::ProcessId("nothing".to_owned())),
    };
    let list =
        ListProcessDefinitionsRequest { tenant_id: id.clone(), ..ListProcessDefinitionsRequest::default() };
    let validate = ValidateProcessRequest { tenant_id: id.clone(), ..ValidateProcessRequest::default() };
    let deploy = DeployProcessRequest { tenant_id: id.clone(), ..DeployProcessRequest::default() };
    let document = GetProcessDocumentRequest { tenant_id: id.clone(), key: 42 };
    let waiting = CountWaitingInstancesRequest {
        tenant_id: id.clone(),
        process_id: "nothing".to_owned(),
        element_ids: vec!["work".to_owned()],
    };
    let delete = DeleteProcessRequest { tenant_id: id.clone(), ..DeleteProcessRequest::default() };
    let delete_tenant = DeleteTenantRequest { tenant_id: id.clone(), ..DeleteTenantRequest::default() };
    let get_tenant = GetTenantRequest { tenant_id: id.clone() };
    let verify = VerifyIsolationRequest { tenant_id: id };
    vec![
        ("GetInfo", code(cluster.get_info(GetInfoRequest {}).await)),
        ("RunCanary", code(caller.cluster().run_canary(RunCanaryRequest {}).await)),
        ("GetHealth", code(cluster.get_health(GetHealthRequest {}).await)),
        ("PlanMigration", code(migration.plan_migration(PlanMigrationRequest::default()).await)),
        ("GetMigrationStatus", code(migration.get_migration_status(GetMigrationStatusRequest {}).await)),
        ("ValidateProcess", code(processes.validate_process(validate).await)),
        ("DeployProcess", code(processes.deploy_process(deploy).await)),
        ("GetProcessDefinition", code(processes.get_process_definition(find).await)),
        ("ListProcessDefinitions", code(processes.list_process_definitions(list).await)),
        ("GetProcessDocument", code(processes.get_process_document(document).await)),
        ("CountWaitingInstances", code(processes.count_waiting_instances(waiting).await)),
        ("DeleteProcess", code(processes.delete_process(delete).await)),
        ("PutTenant", code(tenants.put_tenant(PutTenantRequest::default()).await)),
        ("GetTenant", code(tenants.get_tenant(get_tenant).await)),
        ("ListTenants", code(tenants.list_tenants(ListTenantsRequest::default()).await)),
        ("DeleteTenant", code(tenants.delete_tenant(delete_tenant).await)),
        ("ListTenantUsage", code(tenants.list_tenant_usage(ListTenantUsageRequest::default()).await)),
        ("VerifyIsolation", code(tenants.verify_isolation(verify).await)),
    ]
}

/// As [`call_all_methods`], of the JSON gateway: the HTTP status of each of its methods.
pub(crate) async fn call_gateway_methods(
    engine: &Engine,
    token: &str,
    tenant_id: &str,
) -> Vec<(&'static str, u16)> {
    let with = |more: Value| {
        let mut body = json!({"tenantId": tenant_id});
        if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
            body.extend(more);
        }
        body.to_string()
    };
    let of_tenant = |path: &str| format!("/api/v1/{path}?tenantId={tenant_id}");
    let plain = |path: &str| format!("/api/v1/{path}");
    let mut answers = Vec::new();
    for (name, method, path, body) in [
        ("DeployProcess", "POST", plain("processes/deploy"), with(json!({"bpmn": "<x/>"}))),
        ("StartInstance", "POST", plain("instances"), with(json!({"bpmnProcessId": "none"}))),
        ("ListInstances", "GET", of_tenant("instances"), String::new()),
        ("GetInstance", "GET", of_tenant("instances/42"), String::new()),
        ("SetVariables", "POST", plain("instances/42/variables"), with(json!({"variables": {"a": 1}}))),
        ("CancelInstance", "POST", plain("instances/42/cancel"), with(json!({}))),
        ("CancelInstances", "POST", plain("instances/cancel"), with(json!({"keys": ["42"]}))),
        ("ListIncidents", "GET", of_tenant("incidents"), String::new()),
        ("CountIncidents", "GET", of_tenant("incidents/counts"), String::new()),
        ("ResolveIncident", "POST", plain("incidents/42/resolve"), with(json!({"retries": 1}))),
        ("ResolveIncidents", "POST", plain("incidents/resolve"), with(json!({"retries": 1, "keys": ["42"]}))),
    ] {
        let (code, _) = http(engine, Some(token), (method, &path), &body).await;
        answers.push((name, code));
    }
    answers
}
