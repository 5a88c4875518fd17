//! Deletions that are too big for one transaction, or for one call.

use std::time::Duration;

use engine_api::proto::{
    DeleteProcessRequest, DeleteTenantMode, DeleteTenantRequest, DeleteTenantResponse, InstanceState,
    OnInstances, PutTenantRequest, StartInstancesRequest, TenantQuotas,
};
use serde_json::json;
use sqlx::{AssertSqlSafe, Executor, PgConnection};
use test_support::wait::eventually;
use tonic::{Code, Status};

use crate::models::one_task;
use crate::storage::recount;
use crate::support::{Caller, World, database, deployment, owner, tenant, wire_variables};

const FINISHED: i64 = 200_000;

/// A session as the schema's owner, with one tenant set.
async fn session_of(world: &World, tenant_id: &str) -> PgConnection {
    let mut session = world.session().await;
    let set = format!("SELECT set_config('workflow.tenant_id', '{tenant_id}', false)");
    session.execute(AssertSqlSafe(set)).await.expect("should set");
    session
}

async fn count(session: &mut PgConnection, table: &str) -> i64 {
    let count = format!("SELECT count(*) FROM workflow.{table}");
    sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(session).await.expect("should count")
}

/// Inserts `count` finished instances and counts their bytes.
async fn insert_finished(session: &mut PgConnection, tenant_id: &str, definition_key: i64, count: i64) {
    sqlx::query(
        "WITH finished AS (
             INSERT INTO workflow.instance (tenant_id, key, definition_key, state, marking, variables, ended_at)
             SELECT $1, (1::bigint << 50) + number, $2, 2, '{}', jsonb_build_object('number', number), now()
             FROM generate_series(1, $3) AS number
             RETURNING bytes
         )
         UPDATE workflow.tenant_counter SET storage_bytes = storage_bytes + (SELECT sum(bytes) FROM finished)
         WHERE tenant_id = $1 AND shard = (SELECT min(shard) FROM workflow.tenant_counter WHERE tenant_id = $1)",
    )
    .bind(tenant_id)
    .bind(definition_key)
    .bind(count)
    .execute(session)
    .await
    .expect("should insert");
}

fn deletion(request_id: &str, mode: DeleteTenantMode) -> DeleteTenantRequest {
    DeleteTenantRequest {
        request_id: request_id.to_owned(),
        tenant_id: "acme".to_owned(),
        owner: Some(owner("the-owner", "uid-1", 1)),
        mode: mode.into(),
    }
}

async fn delete(caller: &Caller, request: DeleteTenantRequest) -> Result<DeleteTenantResponse, Status> {
    caller.tenants().delete_tenant(request).await.map(tonic::Response::into_inner)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_purge_is_finished_by_another_node() {
    let world = World::new(database!());
    let mut engine = world.serve("engine-0").await;
    let caller = engine.controller();
    for id in ["acme", "globex"] {
        caller.put_tenant(id, TenantQuotas::default()).await;
        caller.deploy(id, &one_task("order", "charge")).await;
        caller.start(id, "order", &json!({})).await;
    }
    let definition = caller.deploy("acme", &one_task("order", "charge")).await.definition.expect("should be");
    let mut session = session_of(&world, "acme").await;
    insert_finished(&mut session, "acme", definition.key, FINISHED).await;

    let purging = tokio::spawn({
        let caller = caller.clone();
        async move { delete(&caller, deletion("once", DeleteTenantMode::Purge)).await }
    });
    let left = eventually("a part of the rows to be deleted", Duration::from_secs(20), {
        let world = &world;
        move || async move {
            let left = count(&mut session_of(world, "acme").await, "instance").await;
            (0 < left && left < FINISHED).then_some(left)
        }
    })
    .await;
    engine.kill();
    assert!(purging.await.expect("should end").is_err(), "the call was not cut off");
    assert!(left < FINISHED);
    let (rows, counted) = recount(&mut session).await;
    assert_eq!(counted, rows, "what was deleted is counted");

    // Without another call.
    let engine = world.serve("engine-1").await;
    let caller = engine.controller();
    let gone = eventually("the tenant to be gone", Duration::from_mins(1), || async {
        // Other tenants are served meanwhile.
        caller.start("globex", "order", &json!({})).await;
        let mut session = session_of(&world, "acme").await;
        if count(&mut session, "tenant").await == 0 { Some(session) } else { None }
    });
    let mut session = gone.await;
    for table in [
        "instance",
        "job",
        "incident",
        "job_type",
        "process_definition",
        "process",
        "request_log",
        "tenant_counter",
    ] {
        assert_eq!(count(&mut session, table).await, 0, "{table}");
    }
    let deleted =
        delete(&caller, deletion("once", DeleteTenantMode::Purge)).await.expect("should be answered");
    assert!(deleted.deleted, "{deleted:?}");
}

/// Locks an instance of the tenant, so that its deletion waits until the returned session unlocks it.
async fn hold_instance(world: &World, tenant_id: &str, key: i64) -> PgConnection {
    let mut holder = session_of(world, tenant_id).await;
    let lock = format!("BEGIN; SELECT 1 FROM workflow.instance WHERE key = {key} FOR UPDATE");
    holder.execute(AssertSqlSafe(lock)).await.expect("should lock");
    holder
}

fn reason_of(status: &Status) -> (Code, bool) {
    let reported = String::from_utf8_lossy(status.details()).contains("TENANT_BEING_DELETED");
    (status.code(), reported)
}

#[tokio::test]
async fn requests_for_a_tenant_that_is_being_deleted_are_refused_until_it_is_deleted() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.put_tenant("acme", TenantQuotas::default()).await;
    caller.deploy("acme", &one_task("order", "charge")).await;
    let key = caller.start("acme", "order", &json!({})).await;
    let refused = delete(&caller, deletion("careful", DeleteTenantMode::RefuseIfActive)).await;
    assert_eq!(refused.expect_err("an instance runs").code(), Code::FailedPrecondition);

    let mut holder = hold_instance(&world, "acme", key).await;
    let began = std::time::Instant::now();
    let purging = DeleteTenantResponse { deleted: false, owned_by_other: false, purging: true };
    let answer =
        delete(&caller, deletion("explicit", DeleteTenantMode::Purge)).await.expect("should be answered");
    assert_eq!(answer, purging);
    // Clients wait 10 s.
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());

    let being_deleted = (Code::FailedPrecondition, true);
    let start = caller.try_start("acme", "order", &json!({})).await.expect_err("should be refused");
    assert_eq!(reason_of(&start), being_deleted);
    let activated = caller.try_activate(crate::support::activation("acme", "charge", 1)).await;
    assert_eq!(reason_of(&activated.expect_err("should be refused")), being_deleted);
    let deployed = caller.try_deploy(deployment("acme", &one_task("invoice", "send"))).await;
    assert_eq!(reason_of(&deployed.expect_err("should be refused")), being_deleted);
    let put =
        PutTenantRequest { request_id: String::new(), tenant: Some(tenant("acme", TenantQuotas::default())) };
    let put = caller.tenants().put_tenant(put).await.expect_err("should be refused");
    assert_eq!(reason_of(&put), being_deleted);
    let lags = caller.jobs().list_job_lag(engine_api::proto::ListJobLagRequest::default()).await;
    assert_eq!(lags.expect("should list").into_inner().lags, []);
    let other = DeleteTenantRequest {
        owner: Some(owner("other", "uid-1", 1)),
        ..deletion("", DeleteTenantMode::Purge)
    };
    let other = delete(&caller, other).await.expect("should be answered");
    assert_eq!(other, DeleteTenantResponse { deleted: false, owned_by_other: true, purging: false });

    holder.execute("COMMIT").await.expect("should unlock");
    // `Purging` was not recorded as the answer to the first request. `Retain` has no effect any more.
    for (request_id, mode) in [("explicit", DeleteTenantMode::Purge), ("late", DeleteTenantMode::Retain)] {
        let answer = delete(&caller, deletion(request_id, mode)).await.expect("should be answered");
        assert!(answer.deleted && !answer.purging, "{request_id}: {answer:?}");
    }
    caller.put_tenant("acme", TenantQuotas::default()).await;
    let start = caller.try_start("acme", "order", &json!({})).await.expect_err("has no process");
    assert_eq!(start.code(), Code::NotFound);
    // The recorded answer: the new tenant must not be deleted.
    let repeated =
        delete(&caller, deletion("explicit", DeleteTenantMode::Purge)).await.expect("should be answered");
    assert!(repeated.deleted);
    assert_eq!(count(&mut session_of(&world, "acme").await, "tenant").await, 1);
}

#[tokio::test]
async fn finished_instances_do_not_prevent_the_deletion_of_a_tenant() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.put_tenant("acme", TenantQuotas::default()).await;
    let definition = caller.deploy("acme", &one_task("order", "charge")).await.definition.expect("should be");
    caller.start("acme", "order", &json!({})).await;
    caller.work("acme", "charge", &json!({})).await;
    insert_finished(&mut session_of(&world, "acme").await, "acme", definition.key, 20_000).await;
    let answer = delete(&caller, deletion("", DeleteTenantMode::RefuseIfActive)).await;
    assert!(answer.expect("should be answered").deleted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_of_a_deleted_process_are_canceled_even_if_the_node_is_killed() {
    let world = World::new(database!());
    let mut engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.put_tenant("acme", TenantQuotas::default()).await;
    for process in ["order", "invoice"] {
        caller.deploy("acme", &one_task(process, "charge")).await;
    }
    let mut keys = Vec::new();
    for _ in 0..7 {
        let request = StartInstancesRequest {
            request_id: String::new(),
            tenant_id: "acme".to_owned(),
            process_id: "order".to_owned(),
            version: 0,
            variables: vec![wire_variables(&json!({})); 1_000],
        };
        let started = caller.jobs().start_instances(request).await.expect("should start").into_inner();
        keys.extend(started.instance_keys);
    }
    let kept = caller.start("acme", "invoice", &json!({})).await;
    let request = DeleteProcessRequest {
        request_id: String::new(),
        tenant_id: "acme".to_owned(),
        process_id: "order".to_owned(),
        owner: None,
        on_instances: OnInstances::Cancel.into(),
        retain: false,
    };
    let mut holder = hold_instance(&world, "acme", keys[3_000]).await;
    let began = std::time::Instant::now();
    let answer = caller.processes().delete_process(request).await.expect("should be answered").into_inner();
    assert_eq!((answer.deleted, answer.owned_by_other), (1, false));
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    // Instances of a new version are not canceled.
    caller.deploy("acme", &one_task("order", "charge")).await;
    let new = caller.start("acme", "order", &json!({})).await;
    engine.kill();
    holder.execute("COMMIT").await.expect("should unlock");

    let engine = world.serve("engine-1").await;
    let caller = engine.controller();
    eventually("the instances to be canceled", Duration::from_secs(30), || async {
        let state = caller.instance("acme", *keys.last().expect("was started")).await.state();
        (state == InstanceState::Canceled).then_some(())
    })
    .await;
    eventually("the cancellation to end", Duration::from_secs(30), || async {
        let mut session = session_of(&world, "acme").await;
        let canceling: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM workflow.process_definition WHERE canceling_after IS NOT NULL",
        )
        .fetch_one(&mut session)
        .await
        .expect("should count");
        (canceling == 0).then_some(())
    })
    .await;
    for key in [keys[0], keys[3_000], keys[6_999]] {
        assert_eq!(caller.instance("acme", key).await.state(), InstanceState::Canceled);
    }
    let jobs = caller.activate("acme", "charge", 1_000).await;
    let left: Vec<i64> = jobs.iter().map(|job| job.instance_key).collect();
    assert_eq!(left, [kept, new]);
    let usage = engine_api::proto::ListTenantUsageRequest { tenant_ids: vec!["acme".to_owned()] };
    let usage = caller.tenants().list_tenant_usage(usage).await.expect("should list").into_inner().usages;
    assert_eq!(usage[0].active_instances, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_deletions_of_one_tenant_all_succeed() {
    let world = World::new(database!());
    let engines = [world.serve("engine-0").await, world.serve("engine-1").await];
    let caller = engines[0].controller();
    caller.put_tenant("acme", TenantQuotas::default()).await;
    let definition = caller.deploy("acme", &one_task("order", "charge")).await.definition.expect("should be");
    caller.start("acme", "order", &json!({})).await;
    insert_finished(&mut session_of(&world, "acme").await, "acme", definition.key, 50_000).await;
    let calls = (0..6).map(|number| {
        let caller = engines[number % 2].controller();
        async move {
            loop {
                let request = deletion(&format!("call-{number}"), DeleteTenantMode::Purge);
                let answer = delete(&caller, request).await.expect("should be answered");
                if answer.deleted {
                    return;
                }
                assert!(answer.purging, "{answer:?}");
            }
        }
    });
    futures::future::join_all(calls).await;
    // The answers are recorded.
    for number in 0..6 {
        let request = deletion(&format!("call-{number}"), DeleteTenantMode::Purge);
        assert!(delete(&caller, request).await.expect("should be answered").deleted);
    }
    let mut session = session_of(&world, "acme").await;
    for table in ["tenant", "tenant_counter", "instance", "job", "process_definition"] {
        assert_eq!(count(&mut session, table).await, 0, "{table}");
    }
    assert_eq!(count(&mut session, "request_log").await, 6);
}
