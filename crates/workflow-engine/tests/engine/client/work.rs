//! The calls of workers, and of people who manage instances.

use std::time::Duration;

use engine_client::model::{
    ActivateJobs, CancelInstances, CanceledInstances, CompleteJob, DEFAULT_TENANT, DeployProcess, FailJob,
    Incident, IncidentCount, IncidentFilter, IncidentKind, InstanceFilter, InstanceState, Job, JobRef,
    OpenElement, OpenJob, QuotaKind, ResolveIncidents, ResolvedIncidents, Selection, SetVariables,
    StartInstance, StartInstances, StreamJobs, Tenant, TenantQuotas, UnresolvedIncident, Variables,
    WaitingCount, WaitingInstances,
};
use engine_client::{Engine as _, EngineClient, ErrorClass};
use futures::StreamExt as _;
use serde_json::{Value, json};

use super::{class, client, deploy, tenant};
use crate::models::one_task;
use crate::support::{World, database};

fn variables(value: Value) -> Variables {
    Variables(serde_json::from_value(value).expect("should be an object"))
}

fn activate(max_jobs: u32) -> ActivateJobs {
    ActivateJobs {
        tenant_id: DEFAULT_TENANT.to_owned(),
        job_types: vec!["charge".to_owned()],
        worker: "worker-1".to_owned(),
        max_jobs,
        lease: Duration::from_mins(1),
        wait: Duration::ZERO,
    }
}

fn start_one(request_id: &str, variables: Variables) -> StartInstance {
    StartInstance {
        request_id: request_id.to_owned(),
        tenant_id: DEFAULT_TENANT.to_owned(),
        process_id: "order".to_owned(),
        version: Some(1),
        variables,
    }
}

fn fail(job: &Job) -> FailJob {
    FailJob {
        job: job.job_ref(),
        retries: 0,
        retry_backoff: Duration::ZERO,
        error_message: "card declined".to_owned(),
    }
}

async fn started(client: &EngineClient, count: usize) -> Vec<i64> {
    let start = StartInstances {
        request_id: String::new(),
        tenant_id: DEFAULT_TENANT.to_owned(),
        process_id: "order".to_owned(),
        version: None,
        variables: vec![variables(json!({"amount": 1})); count],
    };
    client.start_instances(&start).await.expect("should start").instance_keys
}

#[tokio::test]
async fn a_worker_activates_completes_fails_and_extends_jobs() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let client = client(&engine);
    client.deploy_process(&deploy("", &one_task("order", "charge"))).await.expect("should deploy");
    let ask = start_one("s", variables(json!({"amount": 12.5, "items": [1, 2]})));
    let first = client.start_instance(&ask).await.expect("should start");
    assert_eq!(client.start_instance(&ask).await, Ok(first), "the former answer");
    assert_eq!(started(&client, 3).await.len(), 3);

    let stream = StreamJobs {
        tenant_id: DEFAULT_TENANT.to_owned(),
        job_types: vec!["charge".to_owned()],
        worker: "worker-0".to_owned(),
        max_in_flight: 1,
        lease: Duration::from_mins(1),
    };
    let mut jobs = client.stream_activated_jobs(&stream).await.expect("should open");
    let job = jobs.next().await.expect("a stream goes on").expect("a job should come");
    let expected = Job {
        key: job.key,
        tenant_id: DEFAULT_TENANT.to_owned(),
        job_type: "charge".to_owned(),
        instance_key: first.instance_key,
        process_definition_key: first.process_definition_key,
        process_id: "order".to_owned(),
        element_id: "work".to_owned(),
        headers: [("queue".to_owned(), "fast".to_owned())].into(),
        variables: variables(json!({"amount": 12.5, "items": [1, 2]})),
        retries: 3,
        lease_epoch: 1,
        lease_expires_at: job.lease_expires_at,
        created_at: job.created_at,
    };
    assert_eq!(job, expected);
    assert!(job.lease_expires_at > job.created_at);
    let none = tokio::time::timeout(Duration::from_millis(200), jobs.next()).await;
    assert!(none.is_err(), "more jobs than max_in_flight: {none:?}");

    let done = CompleteJob { job: job.job_ref(), variables: variables(json!({"paid": true})) };
    assert_eq!(client.complete_job(&done).await, Ok(()));
    assert_eq!(class(client.complete_job(&done).await), Err(ErrorClass::NotFound));
    let ended = client.get_instance(DEFAULT_TENANT, first.instance_key).await.expect("should answer");
    let ended = ended.expect("should be there");
    assert_eq!((ended.state, ended.version), (InstanceState::Completed, 1));
    assert_eq!(ended.variables, variables(json!({"amount": 12.5, "items": [1, 2], "paid": true})));
    assert!(ended.started_at < ended.ended_at);
    assert_eq!(client.get_instance(DEFAULT_TENANT, 999).await, Ok(None));

    let second = jobs.next().await.expect("a stream goes on").expect("a job should come");
    assert_eq!(client.fail_job(&fail(&second)).await, Ok(true));
    let third = jobs.next().await.expect("a stream goes on").expect("a job should come");
    let rest = client.activate_jobs(&activate(10)).await.expect("should be answered");
    assert_eq!(rest.len(), 1, "one is done, one has an incident, one is held by the stream");
    let lost = JobRef { lease_epoch: third.lease_epoch + 1, ..third.job_ref() };
    assert_eq!(class(client.extend_job(&lost, Duration::from_mins(1)).await), Err(ErrorClass::Stale));
    let extended =
        client.extend_job(&rest[0].job_ref(), Duration::from_mins(2)).await.expect("should extend");
    assert!(extended > rest[0].lease_expires_at);
    let mine = CompleteJob { job: rest[0].job_ref(), variables: Variables::default() };
    let parked = CompleteJob { job: second.job_ref(), variables: Variables::default() };
    assert_eq!(client.complete_jobs(DEFAULT_TENANT, &[mine, parked]).await, Ok(vec![second.key]));
}

#[tokio::test]
async fn a_client_gets_the_figures_of_an_exceeded_quota() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let client = client(&engine);
    let quotas = TenantQuotas { max_active_instances: Some(2), ..TenantQuotas::default() };
    let open = Tenant { quotas, suspended: false, ..tenant(1) };
    client.put_tenant("", &open).await.expect("should put");
    let document = one_task("order", "charge");
    let process = DeployProcess { tenant_id: "acme".to_owned(), ..deploy("", &document) };
    client.deploy_process(&process).await.expect("should deploy");
    let one = StartInstance { tenant_id: "acme".to_owned(), ..start_one("", Variables::default()) };
    client.start_instance(&one).await.expect("should start");
    client.start_instance(&one).await.expect("should start");
    let full = ErrorClass::QuotaExceeded { quota: QuotaKind::ActiveInstances, limit: 2, current: 2 };
    assert_eq!(class(client.start_instance(&one).await), Err(full));
    let usages = client.list_tenant_usage(&["acme".to_owned()]).await.expect("should list");
    assert_eq!(usages[0].active_instances, 2);
    assert!(usages[0].over.contains(&QuotaKind::ActiveInstances));
}

/// Four instances with one job each; the job of the first has an incident.
async fn stuck(client: &EngineClient) -> Vec<i64> {
    client.deploy_process(&deploy("", &one_task("order", "charge"))).await.expect("should deploy");
    let keys = started(client, 4).await;
    let job = client.activate_jobs(&activate(1)).await.expect("should be answered").remove(0);
    assert_eq!(job.instance_key, keys[0]);
    assert_eq!(client.fail_job(&fail(&job)).await, Ok(true));
    keys
}

#[tokio::test]
async fn people_read_instances_and_incidents() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let client = client(&engine);
    let keys = stuck(&client).await;
    let list = async |filter: InstanceFilter| {
        client.list_instances(DEFAULT_TENANT, &filter, None).await.expect("should list")
    };
    let all = list(InstanceFilter::default()).await;
    assert_eq!(all.next, None);
    assert_eq!(all.entries.iter().map(|instance| instance.key).collect::<Vec<_>>(), keys);
    let held = InstanceFilter {
        state: Some(InstanceState::Active),
        process_id: Some("order".to_owned()),
        version: Some(1),
        has_incident: Some(true),
    };
    let held = list(held).await.entries;
    assert_eq!((held.len(), held[0].key, held[0].open_incidents), (1, keys[0], 1));
    let free = InstanceFilter { has_incident: Some(false), ..InstanceFilter::default() };
    assert_eq!(list(free).await.entries.len(), 3);

    let shown = client.get_instance(DEFAULT_TENANT, keys[0]).await.expect("should answer");
    let shown = shown.expect("should be there");
    let incident = shown.incidents[0].clone();
    let expected = Incident {
        key: incident.key,
        kind: Some(IncidentKind::JobNoRetries),
        element_id: "work".to_owned(),
        message: "card declined".to_owned(),
        raised_at: incident.raised_at,
        instance_key: keys[0],
        process_definition_key: shown.process_definition_key,
        process_id: "order".to_owned(),
        version: 1,
        job_key: incident.job_key,
    };
    assert_eq!(incident, expected);
    let waits = OpenElement {
        element_id: "work".to_owned(),
        tokens: 1,
        job: incident.job_key.map(|key| OpenJob { key, job_type: "charge".to_owned(), retries: 0 }),
        incident_key: Some(incident.key),
    };
    assert_eq!(shown.open_elements, [waits]);

    let of_version =
        IncidentFilter { process_id: Some("order".to_owned()), version: Some(1), instance_key: None };
    let of_instance = IncidentFilter { instance_key: Some(keys[1]), ..IncidentFilter::default() };
    let incidents = async |filter: IncidentFilter| {
        client.list_incidents(DEFAULT_TENANT, &filter, None).await.expect("should list").entries
    };
    assert_eq!(incidents(IncidentFilter::default()).await, std::slice::from_ref(&incident));
    assert_eq!(incidents(of_version).await, std::slice::from_ref(&incident));
    assert_eq!(incidents(of_instance).await, []);
    let count = IncidentCount {
        process_definition_key: shown.process_definition_key,
        process_id: "order".to_owned(),
        version: 1,
        open: 1,
    };
    assert_eq!(client.count_incidents(DEFAULT_TENANT).await, Ok(vec![count]));
    let elements = ["work", "end"].map(str::to_owned);
    let waiting = WaitingInstances {
        counts: vec![WaitingCount { element_id: "work".to_owned(), instances: 4 }],
        instances: 4,
        is_at_least: false,
    };
    assert_eq!(client.count_waiting_instances(DEFAULT_TENANT, "order", &elements).await, Ok(waiting));
    let refused = class(client.count_waiting_instances(DEFAULT_TENANT, "order", &[]).await);
    assert_eq!(refused, Err(ErrorClass::Invalid));
}

#[tokio::test]
async fn people_set_variables_resolve_and_cancel() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let client = client(&engine);
    let keys = stuck(&client).await;
    let set = async |request_id: &str, instance_key, value| {
        let request = SetVariables {
            request_id: request_id.to_owned(),
            tenant_id: DEFAULT_TENANT.to_owned(),
            instance_key,
            variables: variables(value),
        };
        class(client.set_variables(&request).await)
    };
    assert_eq!(set("s", keys[0], json!({"amount": 2.5, "of": ["a"]})).await, Ok(()));
    assert_eq!(set("s", keys[0], json!({"amount": 3})).await, Err(ErrorClass::Invalid));
    assert_eq!(set("", 999, json!({"amount": 3})).await, Err(ErrorClass::NotFound));

    let resolve = async |request_id: &str, selection| {
        let request = ResolveIncidents {
            request_id: request_id.to_owned(),
            tenant_id: DEFAULT_TENANT.to_owned(),
            selection,
            retries: 2,
            variables: variables(json!({"card": "other"})),
        };
        client.resolve_incidents(&request).await.expect("should be answered")
    };
    let unknown = UnresolvedIncident {
        key: 999,
        reason: "INCIDENT_UNKNOWN".to_owned(),
        message: format!("tenant {DEFAULT_TENANT} has no open incident 999"),
    };
    let expected = ResolvedIncidents { resolved: 0, unresolved: vec![unknown], next: None };
    assert_eq!(resolve("", Selection::Keys(vec![999])).await, expected);
    let everything = Selection::Filter {
        filter: IncidentFilter { instance_key: Some(keys[0]), ..IncidentFilter::default() },
        page: None,
    };
    let expected = ResolvedIncidents { resolved: 1, unresolved: Vec::new(), next: None };
    assert_eq!(resolve("r", everything.clone()).await, expected);
    assert_eq!(resolve("r", everything).await, expected, "the former answer");
    let shown = client.get_instance(DEFAULT_TENANT, keys[0]).await.expect("should answer");
    let shown = shown.expect("should be there");
    assert_eq!(shown.variables, variables(json!({"amount": 2.5, "of": ["a"], "card": "other"})));
    assert_eq!(
        (shown.incidents.len(), shown.open_elements[0].job.as_ref().map(|job| job.retries)),
        (0, Some(2))
    );

    assert_eq!(client.cancel_instance("c", DEFAULT_TENANT, keys[1]).await, Ok(()));
    assert_eq!(client.cancel_instance("", DEFAULT_TENANT, keys[1]).await, Ok(()), "it was before");
    assert_eq!(class(client.cancel_instance("", DEFAULT_TENANT, 999).await), Err(ErrorClass::NotFound));
    let cancel = async |selection| {
        let request =
            CancelInstances { request_id: String::new(), tenant_id: DEFAULT_TENANT.to_owned(), selection };
        client.cancel_instances(&request).await.expect("should be answered")
    };
    let expected = CanceledInstances { canceled: 1, not_running: vec![keys[1]], next: None };
    assert_eq!(cancel(Selection::Keys(vec![keys[1], keys[2]])).await, expected);
    let expected = CanceledInstances { canceled: 2, not_running: Vec::new(), next: None };
    let filter = Selection::Filter { filter: InstanceFilter::default(), page: None };
    assert_eq!(cancel(filter).await, expected);
    let canceled = InstanceFilter { state: Some(InstanceState::Canceled), ..InstanceFilter::default() };
    let canceled = client.list_instances(DEFAULT_TENANT, &canceled, None).await.expect("should list");
    assert_eq!(canceled.entries.len(), 4);
    assert!(canceled.entries.iter().all(|instance| instance.ended_at.is_some()));
}
