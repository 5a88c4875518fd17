use std::time::Duration;

use engine_api::proto::resolve_incidents_request::Selection;
use engine_api::proto::{
    CountIncidentsRequest, FailJobRequest, Incident, IncidentCount, IncidentFilter, IncidentKind,
    InstanceState, Job, Keys, ListIncidentsRequest, ResolveIncidentRequest, ResolveIncidentsRequest,
    ResolveIncidentsResponse, SetVariablesRequest, TenantQuotas,
};
use engine_api::refusal::reason;
use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::models::{decision_without_default, endless_loop, fork_and_join, one_task, stuck_join};
use crate::support::{Caller, World, activation, database, stderr, wire_variables};

pub(crate) async fn fail_for_good(caller: &Caller, job: &Job) {
    let request = FailJobRequest {
        tenant_id: job.tenant_id.clone(),
        key: job.key,
        lease_epoch: job.lease_epoch,
        retries: 0,
        retry_backoff: None,
        error_message: "card declined".to_owned(),
    };
    assert!(caller.jobs().fail_job(request).await.expect("should fail").into_inner().incident);
}

/// Starts an instance and fails its only job for good. Returns the instance's key and the job.
pub(crate) async fn park(caller: &Caller, tenant_id: &str, process_id: &str) -> (i64, Job) {
    let instance = caller.start(tenant_id, process_id, &json!({})).await;
    let job = caller.activate(tenant_id, "charge", 1).await.remove(0);
    fail_for_good(caller, &job).await;
    (instance, job)
}

async fn incidents(caller: &Caller, tenant_id: &str, filter: IncidentFilter) -> Vec<Incident> {
    let request = ListIncidentsRequest {
        tenant_id: tenant_id.to_owned(),
        filter: Some(filter),
        ..ListIncidentsRequest::default()
    };
    caller.instances().list_incidents(request).await.expect("should list").into_inner().incidents
}

fn resolution(tenant_id: &str, key: i64, variables: &Value) -> ResolveIncidentRequest {
    ResolveIncidentRequest {
        request_id: String::new(),
        tenant_id: tenant_id.to_owned(),
        key,
        retries: 2,
        variables: Some(wire_variables(variables)),
    }
}

async fn resolve(caller: &Caller, request: ResolveIncidentRequest) -> Result<(), Status> {
    caller.instances().resolve_incident(request).await.map(drop)
}

async fn resolve_many(caller: &Caller, tenant_id: &str, selection: Selection) -> ResolveIncidentsResponse {
    let request = ResolveIncidentsRequest {
        tenant_id: tenant_id.to_owned(),
        selection: Some(selection),
        retries: 1,
        ..ResolveIncidentsRequest::default()
    };
    caller.instances().resolve_incidents(request).await.expect("should answer").into_inner()
}

#[tokio::test]
async fn a_resolved_job_can_be_activated_again_and_its_former_lease_is_lost() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    let definition = caller.deploy("_default", &one_task("order", "charge")).await.definition.expect("is");
    let (instance, job) = park(&caller, "_default", "order").await;
    let listed = incidents(&caller, "_default", IncidentFilter::default()).await;
    let [incident] = listed.as_slice() else { panic!("{listed:?}") };
    assert_eq!(
        Incident { raised_at: None, key: 0, ..incident.clone() },
        Incident {
            key: 0,
            kind: IncidentKind::JobNoRetries.into(),
            element_id: "work".to_owned(),
            message: "card declined".to_owned(),
            raised_at: None,
            instance_key: instance,
            process_definition_key: definition.key,
            process_id: "order".to_owned(),
            version: 1,
            job_key: job.key,
        }
    );
    // A waiting worker is woken at once.
    let waiting = tokio::spawn({
        let worker = engine.worker("_default");
        let wait = Some(prost_types::Duration { seconds: 20, nanos: 0 });
        async move {
            let request =
                engine_api::proto::ActivateJobsRequest { wait, ..activation("_default", "charge", 1) };
            worker.try_activate(request).await.expect("should activate").remove(0)
        }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let request = resolution("_default", incident.key, &json!({"card": "other"}));
    resolve(&caller, request).await.expect("should resolve");
    let again = waiting.await.expect("should end");
    assert_eq!((again.key, again.retries), (job.key, 2));
    assert_eq!(again.variables, Some(wire_variables(&json!({"card": "other"}))));
    assert!(again.lease_epoch > job.lease_epoch + 1, "{} after {}", again.lease_epoch, job.lease_epoch);
    let late = caller.try_complete(&job, &json!({})).await.expect_err("should be stale");
    assert_eq!(late.code(), Code::Aborted);
    assert_eq!(incidents(&caller, "_default", IncidentFilter::default()).await, []);
    let gone = resolve(&caller, resolution("_default", incident.key, &json!({}))).await;
    assert_eq!(gone.expect_err("should be gone").code(), Code::NotFound);
    caller.complete(&again, &json!({})).await;
    assert_eq!(caller.instance("_default", instance).await.state(), InstanceState::Completed);
}

#[tokio::test]
async fn an_incident_without_a_job_is_resolved_with_other_variables() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.deploy("_default", &decision_without_default("order")).await;
    let instance = caller.start("_default", "order", &json!({"amount": 50})).await;
    let stuck = caller.instance("_default", instance).await;
    let key = stuck.incidents[0].key;
    let reported: Vec<_> =
        stuck.open_elements.iter().map(|open| (&*open.element_id, open.incident_key)).collect();
    assert_eq!((reported, stuck.incidents[0].job_key), (vec![("decide", key)], 0));

    let refused = resolve(&caller, resolution("_default", key, &json!({"amount": 60}))).await;
    let refused = refused.expect_err("should remain");
    assert_eq!(
        (refused.code(), reason(&refused).as_deref()),
        (Code::FailedPrecondition, Some("INCIDENT_REMAINS"))
    );
    assert!(refused.message().contains("set variables"), "{}", refused.message());
    // The refused resolution changed nothing.
    assert_eq!(caller.instance("_default", instance).await.variables, stuck.variables);

    let set = SetVariablesRequest {
        request_id: String::new(),
        tenant_id: "_default".to_owned(),
        instance_key: instance,
        variables: Some(wire_variables(&json!({"amount": 200, "why": "corrected"}))),
    };
    caller.instances().set_variables(set).await.expect("should set");
    resolve(&caller, resolution("_default", key, &json!({}))).await.expect("should resolve");
    caller.work("_default", "approve", &json!({})).await;
    let ended = caller.instance("_default", instance).await;
    assert_eq!((ended.state(), ended.incidents.len()), (InstanceState::Completed, 0));
    assert_eq!(ended.variables, Some(wire_variables(&json!({"amount": 200, "why": "corrected"}))));
}

#[tokio::test]
async fn an_endless_loop_is_not_resolved_even_if_it_stops_at_another_element() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.deploy("_default", &endless_loop("order")).await;
    let instance = caller.start("_default", "order", &json!({})).await;
    let key = caller.instance("_default", instance).await.incidents[0].key;
    let refused = resolve(&caller, resolution("_default", key, &json!({}))).await.expect_err("should remain");
    assert_eq!(reason(&refused).as_deref(), Some("INCIDENT_REMAINS"));
    resolve(&caller, resolution("_default", key, &json!({"stop": true}))).await.expect("should resolve");
    assert_eq!(caller.instance("_default", instance).await.state(), InstanceState::Completed);
}

#[tokio::test]
async fn a_stuck_join_cannot_be_resolved_and_the_refusal_says_what_to_do() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.deploy("_default", &stuck_join("order")).await;
    let instance = caller.start("_default", "order", &json!({})).await;
    caller.work("_default", "left", &json!({})).await;
    let stuck = caller.instance("_default", instance).await;
    let reported: Vec<_> = stuck.open_elements.iter().map(|open| (&*open.element_id, open.tokens)).collect();
    assert_eq!(reported, [("join", 1)]);
    let refused = resolve(&caller, resolution("_default", stuck.incidents[0].key, &json!({}))).await;
    let refused = refused.expect_err("should be refused");
    assert_eq!(reason(&refused).as_deref(), Some("INCIDENT_FINAL"));
    assert!(refused.message().contains(&format!("cancel instance {instance}")), "{}", refused.message());
}

#[tokio::test]
async fn many_incidents_are_resolved_at_once_and_those_that_remain_are_named() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.deploy("_default", &one_task("order", "charge")).await;
    caller.deploy("_default", &decision_without_default("decision")).await;
    let mut parked = Vec::new();
    for _ in 0..3 {
        parked.push(park(&caller, "_default", "order").await.1);
    }
    let undecided = caller.start("_default", "decision", &json!({"amount": 1})).await;
    let all = incidents(&caller, "_default", IncidentFilter::default()).await;
    assert_eq!(all.len(), 4);
    let undecided =
        all.iter().find(|incident| incident.instance_key == undecided).expect("should be there").key;

    let keys = Selection::Keys(Keys { keys: vec![all[0].key, 42] });
    let some = resolve_many(&caller, "_default", keys).await;
    let reported: Vec<_> = some.unresolved.iter().map(|left| (left.key, &*left.reason)).collect();
    assert_eq!((some.resolved, reported), (1, vec![(42, "INCIDENT_UNKNOWN")]));
    let rest = resolve_many(&caller, "_default", Selection::Filter(IncidentFilter::default())).await;
    let reported: Vec<_> = rest.unresolved.iter().map(|left| (left.key, &*left.reason)).collect();
    assert_eq!((rest.resolved, reported), (2, vec![(undecided, "INCIDENT_REMAINS")]));
    assert_eq!(caller.activate("_default", "charge", 10).await.len(), parked.len());
}

#[tokio::test]
async fn incidents_are_listed_by_page_process_version_and_instance_and_counted_by_version() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    let first = caller.deploy("_default", &one_task("order", "charge")).await.definition.expect("is").key;
    for _ in 0..2 {
        park(&caller, "_default", "order").await;
    }
    // A second version, by other bytes.
    let document = one_task("order", "charge").replace("<bpmn:startEvent", "<!-- 2 --><bpmn:startEvent");
    let second = caller.deploy("_default", &document).await.definition.expect("is").key;
    let (instance, _) = park(&caller, "_default", "order").await;
    caller.deploy("_default", &one_task("refund", "charge")).await;
    park(&caller, "_default", "refund").await;

    let filter = |process_id: &str, version, instance_key| IncidentFilter {
        process_id: process_id.to_owned(),
        version,
        instance_key,
    };
    for (filter, expected) in [
        (filter("", 0, 0), 4),
        (filter("order", 0, 0), 3),
        (filter("order", 1, 0), 2),
        (filter("refund", 0, 0), 1),
        (filter("", 0, instance), 1),
        (filter("nothing", 0, 0), 0),
    ] {
        assert_eq!(incidents(&caller, "_default", filter.clone()).await.len(), expected, "{filter:?}");
    }
    let mut request = ListIncidentsRequest {
        tenant_id: "_default".to_owned(),
        page_size: 3,
        ..ListIncidentsRequest::default()
    };
    let page = caller.instances().list_incidents(request.clone()).await.expect("should list").into_inner();
    request.page_token = page.next_page_token;
    let last = caller.instances().list_incidents(request).await.expect("should list").into_inner();
    let mut keys: Vec<i64> = page.incidents.iter().chain(&last.incidents).map(|found| found.key).collect();
    keys.dedup();
    assert!((page.incidents.len(), last.incidents.len(), keys.is_sorted()) == (3, 1, true), "{keys:?}");
    assert_eq!((keys.len(), last.next_page_token.as_str()), (4, ""));

    let request = CountIncidentsRequest { tenant_id: "_default".to_owned() };
    let counts =
        engine.monitor().instances().count_incidents(request).await.expect("should count").into_inner();
    let count = |key, process_id: &str, version, open| IncidentCount {
        process_definition_key: key,
        process_id: process_id.to_owned(),
        version,
        open,
    };
    let refund = counts.counts.last().expect("should be there").process_definition_key;
    assert_eq!(
        counts.counts,
        [count(first, "order", 1, 2), count(second, "order", 2, 1), count(refund, "refund", 1, 1)]
    );
}

#[tokio::test]
async fn a_repeated_resolution_gets_the_same_answer_and_resolves_nothing_again() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.deploy("_default", &one_task("order", "charge")).await;
    park(&caller, "_default", "order").await;
    let key = incidents(&caller, "_default", IncidentFilter::default()).await[0].key;
    let request = ResolveIncidentRequest {
        request_id: "resolve-1".to_owned(),
        ..resolution("_default", key, &json!({}))
    };
    resolve(&caller, request.clone()).await.expect("should resolve");
    let job = caller.activate("_default", "charge", 1).await.remove(0);
    resolve(&caller, request.clone()).await.expect("should answer as before");
    caller.complete(&job, &json!({})).await;
    let other = resolve(&caller, ResolveIncidentRequest { retries: 9, ..request }).await;
    assert_eq!(other.expect_err("should be refused").code(), Code::InvalidArgument);

    park(&caller, "_default", "order").await;
    let request = ResolveIncidentsRequest {
        request_id: "resolve-2".to_owned(),
        tenant_id: "_default".to_owned(),
        selection: Some(Selection::Filter(IncidentFilter::default())),
        retries: 1,
        ..ResolveIncidentsRequest::default()
    };
    let ask = || async {
        caller.instances().resolve_incidents(request.clone()).await.expect("should answer").into_inner()
    };
    let first = ask().await;
    assert_eq!((first.resolved, ask().await), (1, first));
}

#[tokio::test]
async fn invalid_resolutions_are_refused_with_the_field() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.deploy("_default", &one_task("order", "charge")).await;
    park(&caller, "_default", "order").await;
    let key = incidents(&caller, "_default", IncidentFilter::default()).await[0].key;
    let huge = json!({"text": "x".repeat(1_100_000)});
    for (request, field) in [
        (ResolveIncidentRequest { retries: 0, ..resolution("_default", key, &json!({})) }, "retries"),
        (ResolveIncidentRequest { tenant_id: String::new(), ..resolution("", key, &json!({})) }, "tenant_id"),
        (resolution("_default", key, &huge), "limit"),
    ] {
        let refused = resolve(&caller, request).await.expect_err("should be refused");
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains(field), "{} does not name {field}", refused.message());
    }
    for selection in [
        None,
        Some(Selection::Keys(Keys { keys: vec![key, key] })),
        Some(Selection::Keys(Keys { keys: (1..=1001).collect() })),
        Some(Selection::Filter(IncidentFilter { version: 2, ..IncidentFilter::default() })),
        Some(Selection::Filter(IncidentFilter {
            process_id: "order".to_owned(),
            instance_key: 7,
            ..IncidentFilter::default()
        })),
    ] {
        let request = ResolveIncidentsRequest {
            tenant_id: "_default".to_owned(),
            selection,
            retries: 1,
            ..ResolveIncidentsRequest::default()
        };
        let refused = caller.instances().resolve_incidents(request).await.expect_err("should be refused");
        assert_eq!(refused.code(), Code::InvalidArgument, "{}", refused.message());
    }
}

#[tokio::test]
async fn two_failed_jobs_of_one_instance_are_resolved_in_one_call() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.deploy("_default", &fork_and_join("order")).await;
    let instance = caller.start("_default", "order", &json!({})).await;
    for job_type in ["left", "right"] {
        let job = caller.activate("_default", job_type, 1).await.remove(0);
        fail_for_good(&caller, &job).await;
    }
    let filter = IncidentFilter { instance_key: instance, ..IncidentFilter::default() };
    assert_eq!(resolve_many(&caller, "_default", Selection::Filter(filter)).await.resolved, 2);
    for job_type in ["left", "right", "last"] {
        caller.work("_default", job_type, &json!({})).await;
    }
    assert_eq!(caller.instance("_default", instance).await.state(), InstanceState::Completed);
}

#[tokio::test]
async fn a_tenant_neither_sees_nor_resolves_anothers_incidents() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    for id in ["acme", "globex"] {
        caller.put_tenant(id, TenantQuotas::default()).await;
        caller.deploy(id, &one_task("order", "charge")).await;
    }
    let (foreign, _) = park(&caller, "globex", "order").await;
    let key = incidents(&caller, "globex", IncidentFilter::default()).await[0].key;
    for filter in [
        IncidentFilter::default(),
        IncidentFilter { process_id: "order".to_owned(), ..IncidentFilter::default() },
        IncidentFilter { instance_key: foreign, ..IncidentFilter::default() },
    ] {
        assert_eq!(incidents(&caller, "acme", filter.clone()).await, []);
        assert_eq!(resolve_many(&caller, "acme", Selection::Filter(filter)).await.resolved, 0);
    }
    let request = CountIncidentsRequest { tenant_id: "acme".to_owned() };
    let counted = caller.instances().count_incidents(request).await.expect("should count").into_inner();
    assert_eq!(counted.counts, []);
    let one = resolve(&caller, resolution("acme", key, &json!({}))).await.expect_err("should be hidden");
    assert_eq!(one.code(), Code::NotFound);
    let many = resolve_many(&caller, "acme", Selection::Keys(Keys { keys: vec![key] })).await;
    assert_eq!((many.resolved, &*many.unresolved[0].reason), (0, "INCIDENT_UNKNOWN"));
    assert_eq!(incidents(&caller, "globex", IncidentFilter::default()).await.len(), 1);
}

/// The version before 1.3.0 works on the schema until that is contracted, and writes no kind.
#[tokio::test]
async fn incidents_of_the_version_before_have_the_same_kind_before_and_after_the_contraction() {
    let world = World::unmigrated(database!());
    let expanded = world.migrate(&["--up-to", "expand"]);
    assert!(expanded.status.success(), "{}", stderr(&expanded));
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    let definition = caller.deploy("_default", &one_task("order", "charge")).await.definition.expect("is");
    let mut owner = world.session().await;
    sqlx::query("SELECT set_config('workflow.tenant_id', '_default', false)")
        .execute(&mut owner)
        .await
        .expect("should set");
    sqlx::query(
        "INSERT INTO workflow.incident
             (tenant_id, key, instance_key, definition_key, element_id, message, job_key, tokens)
         SELECT '_default', key, 1, $1, 'work', message, job_key, tokens
         FROM (VALUES (1, 'card declined', 7, 1),
                      (2, 'no condition is true and there is no default flow', NULL, 1),
                      (3, 'the retries expression gives no number', NULL, 1),
                      (4, 'the process moved 1000 times without reaching a task or an end: it loops', NULL, 2),
                      (5, 'the join waits for a token that can no longer come', NULL, 0)
              ) AS former (key, message, job_key, tokens)",
    )
    .bind(definition.key)
    .execute(&mut owner)
    .await
    .expect("should insert");
    let kinds = async || -> Vec<IncidentKind> {
        let listed = incidents(&caller, "_default", IncidentFilter::default()).await;
        listed.iter().map(Incident::kind).collect()
    };
    let expected = [
        IncidentKind::JobNoRetries,
        IncidentKind::ConditionError,
        IncidentKind::ExtractValueError,
        IncidentKind::EndlessLoop,
        IncidentKind::StuckJoin,
    ];
    assert_eq!(kinds().await, expected);

    let contracted = world.migrate(&["--up-to", "all"]);
    assert!(contracted.status.success(), "{}", stderr(&contracted));
    let stored: Vec<i16> = sqlx::query_scalar("SELECT kind FROM workflow.incident ORDER BY key")
        .fetch_all(&mut owner)
        .await
        .expect("should read");
    assert_eq!(stored, [1, 2, 3, 4, 5]);
    assert_eq!(kinds().await, expected);
}
