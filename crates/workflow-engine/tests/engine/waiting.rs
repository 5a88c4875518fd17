use std::time::{Duration, Instant};

use engine_api::proto::{
    CancelInstanceRequest, CountWaitingInstancesRequest, CountWaitingInstancesResponse, DeleteProcessRequest,
    OnInstances, StartInstancesRequest, TenantQuotas, WaitingCount,
};
use serde_json::json;
use sqlx::Executor as _;
use tonic::{Code, Status};

use crate::incidents::fail_for_good;
use crate::models::{decision_without_default, endless_loop, fork, fork_and_join, one_task, stuck_join};
use crate::support::{Caller, World, database, wire_variables};

async fn count(
    caller: &Caller,
    (tenant_id, process_id): (&str, &str),
    element_ids: &[&str],
) -> Result<CountWaitingInstancesResponse, Status> {
    let request = CountWaitingInstancesRequest {
        tenant_id: tenant_id.to_owned(),
        process_id: process_id.to_owned(),
        element_ids: element_ids.iter().map(ToString::to_string).collect(),
    };
    caller.processes().count_waiting_instances(request).await.map(tonic::Response::into_inner)
}

async fn counted(caller: &Caller, process: (&str, &str), ids: &[&str]) -> CountWaitingInstancesResponse {
    count(caller, process, ids).await.expect("should count")
}

/// All of them, by element.
fn waiting(counts: &[(&str, i64)], instances: i64) -> CountWaitingInstancesResponse {
    let counts = counts
        .iter()
        .map(|(element_id, instances)| WaitingCount {
            element_id: (*element_id).to_owned(),
            instances: *instances,
        })
        .collect();
    CountWaitingInstancesResponse { counts, instances, is_at_least: false }
}

/// Activates the job that has waited longest and completes it.
async fn complete_oldest(caller: &Caller, tenant_id: &str, job_type: &str) {
    let job = caller.activate(tenant_id, job_type, 1).await.remove(0);
    caller.complete(&job, &json!({})).await;
}

async fn start_many(caller: &Caller, process_id: &str, count: usize) {
    for begin in (0..count).step_by(1_000) {
        let request = StartInstancesRequest {
            request_id: String::new(),
            tenant_id: "_default".to_owned(),
            process_id: process_id.to_owned(),
            version: 0,
            variables: vec![wire_variables(&json!({})); 1_000.min(count - begin)],
        };
        caller.jobs().start_instances(request).await.expect("should start");
    }
}

#[tokio::test]
async fn running_instances_are_counted_at_every_element_where_a_token_waits() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    for tenant_id in ["acme", "globex"] {
        caller.put_tenant(tenant_id, TenantQuotas::default()).await;
        caller.deploy(tenant_id, &fork_and_join("order")).await;
    }
    caller.deploy("acme", &fork_and_join("other")).await;
    let start = async |tenant_id, process_id| caller.start(tenant_id, process_id, &json!({})).await;

    // One has completed, and one was canceled.
    start("acme", "order").await;
    for job_type in ["left", "right", "last"] {
        complete_oldest(&caller, "acme", job_type).await;
    }
    let key = start("acme", "order").await;
    let cancel = CancelInstanceRequest { request_id: String::new(), tenant_id: "acme".to_owned(), key };
    caller.instances().cancel_instance(cancel).await.expect("should cancel");
    // One waits at the join for its other token, whose job a worker has.
    start("acme", "order").await;
    complete_oldest(&caller, "acme", "left").await;
    assert_eq!(caller.activate("acme", "right", 1).await.len(), 1);
    // An incident holds one of two tokens of the next, and both jobs of the last wait.
    start("acme", "order").await;
    fail_for_good(&caller, &caller.activate("acme", "left", 1).await.remove(0)).await;
    start("acme", "order").await;
    // Neither another process nor another tenant counts.
    start("acme", "other").await;
    start("globex", "order").await;

    let of_acme = ("acme", "order");
    let all = ["start", "fork", "left", "right", "join", "last", "end", "fork_left", "unknown"];
    let expected = waiting(&[("join", 1), ("left", 2), ("right", 3)], 3);
    assert_eq!(counted(&caller, of_acme, &all).await, expected);
    assert_eq!(counted(&caller, of_acme, &["join", "last"]).await, waiting(&[("join", 1)], 1));
    assert_eq!(counted(&caller, of_acme, &["last", "unknown"]).await, waiting(&[], 0));
    let elsewhere = waiting(&[("left", 1), ("right", 1)], 1);
    assert_eq!(counted(&caller, ("acme", "other"), &all).await, elsewhere);
    assert_eq!(counted(&caller, ("globex", "order"), &all).await, elsewhere);
    assert_eq!(counted(&caller, ("_default", "order"), &all).await, waiting(&[], 0));
    assert_eq!(counted(&caller, ("acme", "unknown"), &all).await, waiting(&[], 0));
}

#[tokio::test]
async fn instances_that_an_incident_without_a_job_holds_are_counted() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.deploy("_default", &decision_without_default("decision")).await;
    caller.deploy("_default", &stuck_join("stuck")).await;
    caller.deploy("_default", &endless_loop("loop")).await;
    for amount in [1, 2, 200] {
        caller.start("_default", "decision", &json!({ "amount": amount })).await;
    }
    let of_decision = counted(&caller, ("_default", "decision"), &["decide", "approve", "reject"]).await;
    assert_eq!(of_decision, waiting(&[("approve", 1), ("decide", 2)], 3));
    for _ in 0..2 {
        caller.start("_default", "stuck", &json!({})).await;
    }
    complete_oldest(&caller, "_default", "left").await;
    let of_stuck = counted(&caller, ("_default", "stuck"), &["fork", "join", "left", "skip"]).await;
    assert_eq!(of_stuck, waiting(&[("join", 1), ("left", 1)], 2));
    caller.start("_default", "loop", &json!({})).await;
    let of_loop = counted(&caller, ("_default", "loop"), &["x", "y", "z"]).await;
    assert_eq!((of_loop.counts.len(), of_loop.instances), (1, 1));
}

#[tokio::test]
async fn instances_of_all_versions_are_counted_also_of_deleted_ones() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    let order = ("_default", "order");
    caller.deploy("_default", &one_task("order", "charge")).await;
    caller.start("_default", "order", &json!({})).await;
    // The same element has another job type, and then another kind.
    caller.deploy("_default", &one_task("order", "refund")).await;
    caller.start("_default", "order", &json!({})).await;
    let join_at_work = fork_and_join("order").replace("\"join\"", "\"work\"");
    caller.deploy("_default", &join_at_work).await;
    caller.start("_default", "order", &json!({})).await;
    complete_oldest(&caller, "_default", "left").await;
    assert_eq!(counted(&caller, order, &["work"]).await, waiting(&[("work", 3)], 3));

    let delete = DeleteProcessRequest {
        tenant_id: "_default".to_owned(),
        process_id: "order".to_owned(),
        on_instances: OnInstances::KeepRunning.into(),
        ..DeleteProcessRequest::default()
    };
    caller.processes().delete_process(delete).await.expect("should delete");
    caller.deploy("_default", &one_task("order", "charge")).await;
    assert_eq!(counted(&caller, order, &["work"]).await, waiting(&[("work", 3)], 3));

    // What is left of an instance that ended, like its jobs while a deletion cancels in slices.
    let end = "BEGIN; SET LOCAL workflow.tenant_id = '_default';
               UPDATE workflow.instance SET state = 3, ended_at = now(); COMMIT";
    world.session().await.execute(end).await.expect("should update");
    assert_eq!(counted(&caller, order, &["work"]).await, waiting(&[], 0));
}

/// Inserts waiting jobs of nobody's process, older than all others.
async fn insert_backlog(world: &World, job_type: &str, jobs: usize) {
    let insert = format!(
        "BEGIN; SET LOCAL workflow.tenant_id = '_default';
         INSERT INTO workflow.job (tenant_id, key, type, instance_key, definition_key, element_id, retries, run_at)
         SELECT '_default', n, '{job_type}', n, 1, 'task-0', 3, 'epoch' FROM generate_series(1, {jobs}) AS n; COMMIT"
    );
    world.session().await.execute(sqlx::AssertSqlSafe(insert)).await.expect("should insert");
}

#[tokio::test]
async fn a_backlog_of_another_process_is_read_in_part_and_hides_no_other_job_type() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    let types = ["a", "b", "c"].map(str::to_owned);
    caller.deploy("_default", &fork("order", &types)).await;
    start_many(&caller, "order", 20).await;
    let order = ("_default", "order");
    let all = ["task-0", "task-1", "task-2"];
    let whole = waiting(&[("task-0", 20), ("task-1", 20), ("task-2", 20)], 20);
    assert_eq!(counted(&caller, order, &all).await, whole);
    // More than the share of one of three types, and less than a call reads in all.
    insert_backlog(&world, "a", 20_000).await;
    let part =
        CountWaitingInstancesResponse { is_at_least: true, ..waiting(&[("task-1", 20), ("task-2", 20)], 20) };
    let began = Instant::now();
    assert_eq!(counted(&caller, order, &all).await, part);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn joins_are_known_of_the_latest_versions_with_running_instances() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    let order = ("_default", "order");
    let mut counts = Vec::new();
    for version in 1..=51 {
        let document =
            fork_and_join("order").replace("</bpmn:process>", &format!("<!-- {version} --></bpmn:process>"));
        caller.deploy("_default", &document).await;
        caller.start("_default", "order", &json!({})).await;
        complete_oldest(&caller, "_default", "left").await;
        if version >= 50 {
            counts.push(counted(&caller, order, &["join", "right"]).await);
        }
    }
    let all = waiting(&[("join", 50), ("right", 50)], 50);
    let part =
        CountWaitingInstancesResponse { is_at_least: true, ..waiting(&[("join", 50), ("right", 51)], 51) };
    assert_eq!(counts, [all, part]);
}

#[tokio::test]
async fn no_more_than_ten_thousand_instances_are_counted() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.deploy("_default", &one_task("order", "charge")).await;
    start_many(&caller, "order", 10_000).await;
    let order = ("_default", "order");
    let all = waiting(&[("work", 10_000)], 10_000);
    assert_eq!(counted(&caller, order, &["work"]).await, all);
    caller.start("_default", "order", &json!({})).await;
    let part = CountWaitingInstancesResponse { is_at_least: true, ..all };
    assert_eq!(counted(&caller, order, &["work"]).await, part);
}

#[tokio::test]
async fn requests_for_no_or_too_many_elements_are_refused_with_the_field() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    let ids: Vec<String> = (0..1_001).map(|n| format!("task-{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let number = "element_ids must have 1 to 1000 entries, each once";
    let long = "x".repeat(256);
    for (process_id, element_ids, message) in [
        ("order", vec![], number),
        ("order", vec!["work", "work"], number),
        ("order", ids.clone(), number),
        ("order", vec!["work", ""], "an entry of element_ids is empty"),
        (
            "order",
            vec![long.as_str()],
            "an entry of element_ids must be at most 255 characters without control characters",
        ),
        ("", vec!["work"], "process_id is empty"),
    ] {
        let refused = count(&caller, ("_default", process_id), &element_ids).await;
        let refused = refused.expect_err("should be refused");
        assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, message));
    }
    assert_eq!(counted(&caller, ("_default", "order"), &ids[..1_000]).await, waiting(&[], 0));
}
