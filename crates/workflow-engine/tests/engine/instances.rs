use engine_api::proto::cancel_instances_request::Selection;
use engine_api::proto::{
    CancelInstanceRequest, CancelInstancesRequest, CancelInstancesResponse, DeleteProcessRequest,
    DeleteTenantMode, DeleteTenantRequest, InstanceFilter, InstanceState, Keys, ListInstancesRequest,
    ListTenantUsageRequest, OnInstances, SetVariablesRequest, StartInstancesRequest, TenantQuotas,
};
use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::incidents::{fail_for_good, park};
use crate::models::{fork_and_join, one_task};
use crate::support::{Caller, World, database, owner, wire_variables};

async fn list(caller: &Caller, tenant_id: &str, filter: InstanceFilter) -> Vec<i64> {
    let request = ListInstancesRequest {
        tenant_id: tenant_id.to_owned(),
        filter: Some(filter),
        ..ListInstancesRequest::default()
    };
    let listed = caller.instances().list_instances(request).await.expect("should list").into_inner();
    listed.instances.iter().map(|instance| instance.key).collect()
}

async fn cancel(caller: &Caller, tenant_id: &str, key: i64) -> Result<(), Status> {
    let request = CancelInstanceRequest { request_id: String::new(), tenant_id: tenant_id.to_owned(), key };
    caller.instances().cancel_instance(request).await.map(drop)
}

async fn cancel_many(caller: &Caller, tenant_id: &str, selection: Selection) -> CancelInstancesResponse {
    let request = CancelInstancesRequest {
        tenant_id: tenant_id.to_owned(),
        selection: Some(selection),
        ..CancelInstancesRequest::default()
    };
    caller.instances().cancel_instances(request).await.expect("should cancel").into_inner()
}

async fn start_many(caller: &Caller, tenant_id: &str, process_id: &str, count: usize) -> Vec<i64> {
    let request = StartInstancesRequest {
        request_id: String::new(),
        tenant_id: tenant_id.to_owned(),
        process_id: process_id.to_owned(),
        version: 0,
        variables: vec![wire_variables(&json!({})); count],
    };
    caller.jobs().start_instances(request).await.expect("should start").into_inner().instance_keys
}

async fn active(caller: &Caller, tenant_id: &str) -> i64 {
    let request = ListTenantUsageRequest { tenant_ids: vec![tenant_id.to_owned()] };
    let usages =
        caller.tenants().list_tenant_usage(request).await.expect("should answer").into_inner().usages;
    usages[0].active_instances
}

fn of_process(process_id: &str) -> InstanceFilter {
    InstanceFilter { process_id: process_id.to_owned(), ..InstanceFilter::default() }
}

#[tokio::test]
async fn instances_are_listed_by_state_process_version_and_incident_page_by_page() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.deploy("_default", &one_task("order", "charge")).await;
    let done = caller.start("_default", "order", &json!({})).await;
    caller.work("_default", "charge", &json!({})).await;
    let (stuck, _) = park(&caller, "_default", "order").await;
    let running = caller.start("_default", "order", &json!({})).await;
    let document = one_task("order", "charge").replace("<bpmn:startEvent", "<!-- 2 --><bpmn:startEvent");
    caller.deploy("_default", &document).await;
    let newer = caller.start("_default", "order", &json!({})).await;
    caller.deploy("_default", &one_task("refund", "pay")).await;
    let refund = caller.start("_default", "refund", &json!({})).await;
    cancel(&caller, "_default", refund).await.expect("should cancel");

    let filter = InstanceFilter::default;
    for (filter, expected) in [
        (filter(), vec![done, stuck, running, newer, refund]),
        (InstanceFilter { state: InstanceState::Active.into(), ..filter() }, vec![stuck, running, newer]),
        (InstanceFilter { state: InstanceState::Completed.into(), ..filter() }, vec![done]),
        (InstanceFilter { state: InstanceState::Canceled.into(), ..filter() }, vec![refund]),
        (of_process("order"), vec![done, stuck, running, newer]),
        (InstanceFilter { version: 2, ..of_process("order") }, vec![newer]),
        (InstanceFilter { has_incident: Some(true), ..filter() }, vec![stuck]),
        (InstanceFilter { has_incident: Some(true), ..of_process("refund") }, vec![]),
        (
            InstanceFilter { has_incident: Some(false), state: InstanceState::Active.into(), ..filter() },
            vec![running, newer],
        ),
        (of_process("nothing"), vec![]),
    ] {
        assert_eq!(list(&caller, "_default", filter.clone()).await, expected, "{filter:?}");
    }

    let mut request = ListInstancesRequest {
        tenant_id: "_default".to_owned(),
        page_size: 2,
        ..ListInstancesRequest::default()
    };
    let mut pages = Vec::new();
    loop {
        let page =
            caller.instances().list_instances(request.clone()).await.expect("should list").into_inner();
        pages.push(page.instances.len());
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(pages, [2, 2, 1]);
    for request in [
        ListInstancesRequest { page_size: 1001, ..request.clone() },
        ListInstancesRequest { page_token: "x".to_owned(), ..request.clone() },
        ListInstancesRequest { filter: Some(InstanceFilter { version: 1, ..filter() }), ..request.clone() },
    ] {
        let refused = caller.instances().list_instances(request).await.expect_err("should be refused");
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
}

#[tokio::test]
async fn an_instance_shows_where_its_tokens_wait() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.deploy("_default", &fork_and_join("order")).await;
    let instance = caller.start("_default", "order", &json!({})).await;
    let left = caller.activate("_default", "left", 1).await.remove(0);
    let right = caller.activate("_default", "right", 1).await.remove(0);
    caller.complete(&left, &json!({})).await;
    fail_for_good(&caller, &right).await;
    let shown = caller.instance("_default", instance).await;
    let reported: Vec<_> = shown
        .open_elements
        .iter()
        .map(|open| (&*open.element_id, open.tokens, open.job_key, &*open.job_type, open.incident_key))
        .collect();
    let incident = shown.incidents[0].key;
    assert_eq!(reported, [("right", 1, right.key, "right", incident), ("join", 1, 0, "", 0)]);
    assert!(shown.started_at.is_some() && shown.ended_at.is_none());
    cancel(&caller, "_default", instance).await.expect("should cancel");
    let ended = caller.instance("_default", instance).await;
    assert_eq!(
        (ended.state(), ended.open_elements, ended.incidents),
        (InstanceState::Canceled, vec![], vec![])
    );
    assert!(ended.ended_at.is_some());
}

#[tokio::test]
async fn a_canceled_instance_has_no_jobs_and_no_incidents_and_uses_no_quota() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.put_tenant("acme", TenantQuotas { max_active_instances: 2, ..TenantQuotas::default() }).await;
    caller.deploy("acme", &one_task("order", "charge")).await;
    let (stuck, _) = park(&caller, "acme", "order").await;
    let held = caller.start("acme", "order", &json!({})).await;
    let job = caller.activate("acme", "charge", 1).await.remove(0);
    assert_eq!(active(&caller, "acme").await, 2);
    let full = caller.try_start("acme", "order", &json!({})).await.expect_err("should be full");
    assert_eq!(full.code(), Code::ResourceExhausted);

    for key in [stuck, held, held] {
        cancel(&caller, "acme", key).await.expect("should cancel");
    }
    assert_eq!(active(&caller, "acme").await, 0);
    let late = caller.try_complete(&job, &json!({})).await.expect_err("should be gone");
    assert_eq!(late.code(), Code::NotFound);
    let mut owner = world.session().await;
    sqlx::query("SELECT set_config('workflow.tenant_id', 'acme', false)")
        .execute(&mut owner)
        .await
        .expect("sets");
    let left: (i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM workflow.job), (SELECT count(*) FROM workflow.incident)",
    )
    .fetch_one(&mut owner)
    .await
    .expect("should count");
    assert_eq!(left, (0, 0));
    assert_eq!(cancel(&caller, "acme", 42).await.expect_err("is unknown").code(), Code::NotFound);

    let done = caller.start("acme", "order", &json!({})).await;
    caller.work("acme", "charge", &json!({})).await;
    let ended = cancel(&caller, "acme", done).await.expect_err("should be over");
    assert_eq!(ended.code(), Code::FailedPrecondition);
    assert!(ended.message().contains("completed"), "{}", ended.message());
}

#[tokio::test]
async fn many_instances_are_canceled_by_key_and_by_filter_in_bounded_calls() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.put_tenant("acme", TenantQuotas::default()).await;
    caller.deploy("acme", &one_task("order", "charge")).await;
    caller.deploy("acme", &one_task("refund", "pay")).await;
    let (orders, refunds) =
        (start_many(&caller, "acme", "order", 900).await, start_many(&caller, "acme", "refund", 3).await);
    let more = start_many(&caller, "acme", "order", 300).await;
    let keys = Selection::Keys(Keys { keys: vec![orders[0], orders[1], 42] });
    let some = cancel_many(&caller, "acme", keys).await;
    assert_eq!((some.canceled, some.not_running, some.next_page_token.as_str()), (2, vec![42], ""));

    let mut request = CancelInstancesRequest {
        tenant_id: "acme".to_owned(),
        selection: Some(Selection::Filter(of_process("order"))),
        ..CancelInstancesRequest::default()
    };
    let first =
        caller.instances().cancel_instances(request.clone()).await.expect("should cancel").into_inner();
    assert_eq!((first.canceled, first.next_page_token.is_empty()), (1000, false));
    request.page_token = first.next_page_token;
    let last = caller.instances().cancel_instances(request).await.expect("should cancel").into_inner();
    assert_eq!((last.canceled, last.next_page_token.as_str()), (198, ""));
    assert_eq!(more.len(), 300);
    let left = list(
        &caller,
        "acme",
        InstanceFilter { state: InstanceState::Active.into(), ..InstanceFilter::default() },
    );
    assert_eq!(left.await, refunds);
    assert_eq!(active(&caller, "acme").await, 3);
    assert_eq!(caller.activate("acme", "charge", 10).await, []);
    assert_eq!(caller.activate("acme", "pay", 10).await.len(), 3);
}

#[tokio::test]
async fn concurrent_cancellations_and_completions_count_each_instance_once() {
    let world = World::new(database!());
    let (one, two) = (world.serve("engine-0").await, world.serve("engine-1").await);
    let caller = one.controller();
    caller.put_tenant("acme", TenantQuotas::default()).await;
    caller.deploy("acme", &fork_and_join("order")).await;
    start_many(&caller, "acme", "order", 200).await;
    let working = tokio::spawn({
        let worker = two.worker("acme");
        async move {
            for _ in 0..20 {
                for job_type in ["left", "right", "last"] {
                    for job in worker.activate("acme", job_type, 15).await {
                        let completed = worker.try_complete(&job, &json!({})).await;
                        let code = completed.err().map(|status| status.code());
                        assert!(matches!(code, None | Some(Code::NotFound | Code::Aborted)), "{code:?}");
                    }
                }
            }
        }
    });
    let mut token = String::new();
    loop {
        let request = CancelInstancesRequest {
            tenant_id: "acme".to_owned(),
            selection: Some(Selection::Filter(InstanceFilter::default())),
            page_token: token,
            ..CancelInstancesRequest::default()
        };
        let slice = caller.instances().cancel_instances(request).await.expect("should cancel").into_inner();
        token = slice.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    working.await.expect("should end");
    assert_eq!(active(&caller, "acme").await, 0);
    for job_type in ["left", "right", "last"] {
        assert_eq!(caller.activate("acme", job_type, 10).await, []);
    }
}

#[tokio::test]
async fn variables_can_be_set_only_in_running_instances_and_within_the_limit() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.deploy("_default", &one_task("order", "charge")).await;
    let instance = caller.start("_default", "order", &json!({"a": 1, "b": 1})).await;
    let set = |request_id: &str, instance_key: i64, variables: &Value| {
        let request = SetVariablesRequest {
            request_id: request_id.to_owned(),
            tenant_id: "_default".to_owned(),
            instance_key,
            variables: Some(wire_variables(variables)),
        };
        let caller = caller.clone();
        async move { caller.instances().set_variables(request).await.map(drop) }
    };
    set("set-1", instance, &json!({"b": 2, "c": {"d": [3]}})).await.expect("should set");
    set("", instance, &json!({"b": 3})).await.expect("should set");
    set("set-1", instance, &json!({"b": 2, "c": {"d": [3]}})).await.expect("should answer as before");
    let shown = caller.instance("_default", instance).await;
    assert_eq!(shown.variables, Some(wire_variables(&json!({"a": 1, "b": 3, "c": {"d": [3]}}))));
    let huge = json!({"text": "x".repeat(1_100_000)});
    for (refused, code) in [
        (set("", instance, &json!({})).await, Code::InvalidArgument),
        (set("", instance, &huge).await, Code::InvalidArgument),
        (set("set-1", instance, &json!({"b": 4})).await, Code::InvalidArgument),
        (set("", 42, &json!({"b": 4})).await, Code::NotFound),
    ] {
        assert_eq!(refused.expect_err("should be refused").code(), code);
    }
    caller.work("_default", "charge", &json!({})).await;
    let ended = set("", instance, &json!({"b": 4})).await.expect_err("should be over");
    assert_eq!(ended.code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn a_repeated_cancellation_gets_the_same_answer() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.deploy("_default", &one_task("order", "charge")).await;
    caller.start("_default", "order", &json!({})).await;
    let request = CancelInstancesRequest {
        request_id: "cancel-1".to_owned(),
        tenant_id: "_default".to_owned(),
        selection: Some(Selection::Filter(InstanceFilter::default())),
        ..CancelInstancesRequest::default()
    };
    let ask = || async {
        caller.instances().cancel_instances(request.clone()).await.expect("should answer").into_inner()
    };
    let first = ask().await;
    let later = caller.start("_default", "order", &json!({})).await;
    assert_eq!((first.canceled, ask().await), (1, first));
    assert_eq!(caller.instance("_default", later).await.state(), InstanceState::Active);
    let one = CancelInstanceRequest {
        request_id: "cancel-2".to_owned(),
        tenant_id: "_default".to_owned(),
        key: later,
    };
    for _ in 0..2 {
        caller.instances().cancel_instance(one.clone()).await.expect("should cancel");
    }
}

fn deletion(tenant_id: &str, on_instances: OnInstances) -> DeleteProcessRequest {
    DeleteProcessRequest {
        request_id: String::new(),
        tenant_id: tenant_id.to_owned(),
        process_id: "order".to_owned(),
        owner: None,
        on_instances: on_instances.into(),
        retain: false,
    }
}

#[tokio::test]
async fn running_instances_of_a_deleted_process_can_be_canceled_by_deleting_it_again() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.deploy("_default", &one_task("order", "charge")).await;
    let (stuck, _) = park(&caller, "_default", "order").await;
    let running = caller.start("_default", "order", &json!({})).await;
    let delete = |on_instances| {
        let caller = caller.clone();
        async move {
            let request = deletion("_default", on_instances);
            caller.processes().delete_process(request).await.expect("should delete").into_inner().deleted
        }
    };
    assert_eq!(delete(OnInstances::KeepRunning).await, 1);
    // Deployed again. Deleting another process must not cancel these instances.
    caller.deploy("_default", &one_task("order", "charge")).await;
    let fresh = caller.start("_default", "order", &json!({})).await;
    caller
        .processes()
        .delete_process(DeleteProcessRequest {
            process_id: "other".to_owned(),
            ..deletion("_default", OnInstances::Cancel)
        })
        .await
        .expect("is nothing");
    for key in [stuck, running, fresh] {
        assert_eq!(caller.instance("_default", key).await.state(), InstanceState::Active);
    }
    assert_eq!(delete(OnInstances::KeepRunning).await, 1);
    assert_eq!(delete(OnInstances::Cancel).await, 0);
    for key in [stuck, running, fresh] {
        assert_eq!(caller.instance("_default", key).await.state(), InstanceState::Canceled);
    }
}

#[tokio::test]
async fn a_refused_deletion_of_a_tenant_reports_running_instances_and_incidents() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.put_tenant("acme", TenantQuotas::default()).await;
    caller.deploy("acme", &one_task("order", "charge")).await;
    caller.deploy("acme", &one_task("refund", "pay")).await;
    park(&caller, "acme", "order").await;
    caller.start("acme", "order", &json!({})).await;
    caller.start("acme", "refund", &json!({})).await;
    let request = |mode: DeleteTenantMode| DeleteTenantRequest {
        request_id: String::new(),
        tenant_id: "acme".to_owned(),
        owner: Some(owner("the-owner", "uid-1", 1)),
        mode: mode.into(),
    };
    let refused = caller.tenants().delete_tenant(request(DeleteTenantMode::RefuseIfActive)).await;
    assert_eq!(
        refused.expect_err("should be refused").message(),
        "tenant acme has 3 running instances, 1 of them with an incident (order: 2, refund: 1)"
    );
    let purged = caller.tenants().delete_tenant(request(DeleteTenantMode::Purge)).await;
    assert!(purged.expect("should purge").into_inner().deleted);
}

#[tokio::test]
async fn a_tenant_neither_sees_nor_cancels_anothers_instances() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    for id in ["acme", "globex"] {
        caller.put_tenant(id, TenantQuotas::default()).await;
        caller.deploy(id, &one_task("order", "charge")).await;
    }
    let foreign = caller.start("globex", "order", &json!({"secret": 1})).await;
    assert_eq!(list(&caller, "acme", InstanceFilter::default()).await, Vec::<i64>::new());
    assert_eq!(list(&caller, "acme", of_process("order")).await, Vec::<i64>::new());
    assert_eq!(cancel(&caller, "acme", foreign).await.expect_err("is hidden").code(), Code::NotFound);
    let keys = Selection::Keys(Keys { keys: vec![foreign] });
    let named = cancel_many(&caller, "acme", keys).await;
    assert_eq!((named.canceled, named.not_running), (0, vec![foreign]));
    assert_eq!(cancel_many(&caller, "acme", Selection::Filter(InstanceFilter::default())).await.canceled, 0);
    let request = SetVariablesRequest {
        request_id: String::new(),
        tenant_id: "acme".to_owned(),
        instance_key: foreign,
        variables: Some(wire_variables(&json!({"secret": 2}))),
    };
    let hidden = caller.instances().set_variables(request).await.expect_err("is hidden");
    assert_eq!(hidden.code(), Code::NotFound);
    let shown = caller.instance("globex", foreign).await;
    assert_eq!(
        (shown.state(), shown.variables),
        (InstanceState::Active, Some(wire_variables(&json!({"secret": 1}))))
    );
}

#[tokio::test]
async fn a_client_of_a_tenant_may_start_and_read_instances_and_a_worker_may_not() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    engine.controller().put_tenant("acme", TenantQuotas::default()).await;
    engine.controller().deploy("acme", &one_task("order", "charge")).await;
    let instance = engine.client("acme").start("acme", "order", &json!({})).await;
    assert_eq!(engine.client("acme").instance("acme", instance).await.state(), InstanceState::Active);
    let refused = engine.worker("acme").try_start("acme", "order", &json!({})).await;
    let refused = refused.expect_err("should be refused");
    assert_eq!(
        (refused.code(), refused.message()),
        (
            Code::PermissionDenied,
            "this token is for the jobs of tenant acme only, not for StartInstance here"
        )
    );
}
