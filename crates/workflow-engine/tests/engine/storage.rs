//! The statements that write a tenant's rows count its storage.

use std::time::Duration;

use engine_api::proto::{
    CancelInstancesRequest, CompleteJobsRequest, DeleteProcessRequest, FailJobRequest, IncidentFilter,
    InstanceFilter, InstanceState, Keys, ListInstancesRequest, ListTenantUsageRequest, OnInstances,
    ResolveIncidentsRequest, SetVariablesRequest, StartInstancesRequest, TenantQuotas,
    cancel_instances_request, resolve_incidents_request,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use sqlx::{Executor, PgConnection};
use tonic::Code;

use crate::models::{decision_without_default, fork_and_join, one_task};
use crate::support::{Caller, World, activation, completion, database, wire_variables};

async fn storage_bytes(caller: &Caller, tenant_id: &str) -> i64 {
    let request = ListTenantUsageRequest { tenant_ids: vec![tenant_id.to_owned()] };
    let usages = caller.tenants().list_tenant_usage(request).await.expect("should list").into_inner().usages;
    usages.first().expect("should be there").storage_bytes
}

#[tokio::test]
async fn the_storage_of_a_tenant_is_counted_with_each_change() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.put_tenant("acme", TenantQuotas::default()).await;
    assert_eq!(storage_bytes(&caller, "acme").await, 0);
    let document = one_task("order", "charge");
    caller.deploy("acme", &document).await;
    let deployed = storage_bytes(&caller, "acme").await;
    assert!(deployed >= i64::try_from(document.len()).expect("is short"), "{deployed}");
    caller.start("acme", "order", &json!({ "text": "x".repeat(10_000) })).await;
    let started = storage_bytes(&caller, "acme").await;
    assert!((10_000..12_000).contains(&(started - deployed)), "{started} after {deployed}");
    caller.work("acme", "charge", &json!({ "text": "" })).await;
    let worked = storage_bytes(&caller, "acme").await;
    assert!((0..1_000).contains(&(worked - deployed)), "{worked} after {deployed}");
}

/// Bytes and active instances from one snapshot: computed from the rows, and as the counters have them.
pub(crate) async fn recount(session: &mut PgConnection) -> ((i64, i64), (i64, i64)) {
    let (bytes, active, counted_bytes, counted_active) = sqlx::query_as(
        "SELECT (SELECT coalesce(sum(128 + octet_length(content)), 0) FROM workflow.process_definition)
              + (SELECT coalesce(sum(128 + octet_length(marking::text) + octet_length(variables::text)), 0)
                 FROM workflow.instance)
              + (SELECT coalesce(sum(128 + octet_length(type) + octet_length(element_id)), 0) FROM workflow.job),
                (SELECT count(*) FROM workflow.instance WHERE state = 1),
                coalesce(sum(storage_bytes), 0)::bigint, coalesce(sum(active_instances), 0)::bigint
         FROM workflow.tenant_counter",
    )
    .fetch_one(session)
    .await
    .expect("should recount");
    ((bytes, active), (counted_bytes, counted_active))
}

/// Keys of the first running instances.
async fn running(caller: &Caller, limit: i32) -> Vec<i64> {
    let filter = InstanceFilter { state: InstanceState::Active.into(), ..InstanceFilter::default() };
    let request = ListInstancesRequest {
        tenant_id: "acme".to_owned(),
        filter: Some(filter),
        page_size: limit,
        page_token: String::new(),
    };
    let page = caller.instances().list_instances(request).await.expect("should list").into_inner();
    page.instances.into_iter().map(|instance| instance.key).collect()
}

/// Runs a random operation on instances or incidents.
async fn operate(caller: &Caller, random: &mut StdRng, value: &Value) -> &'static str {
    match random.random_range(0..3) {
        0 => {
            for instance_key in running(caller, 2).await {
                let request = SetVariablesRequest {
                    request_id: String::new(),
                    tenant_id: "acme".to_owned(),
                    instance_key,
                    variables: Some(wire_variables(value)),
                };
                caller.instances().set_variables(request).await.expect("should set");
            }
            "set variables"
        }
        1 => {
            let keys = running(caller, random.random_range(1..8)).await;
            let request = CancelInstancesRequest {
                request_id: String::new(),
                tenant_id: "acme".to_owned(),
                selection: Some(cancel_instances_request::Selection::Keys(Keys { keys })),
                page_token: String::new(),
            };
            if let Err(refused) = caller.instances().cancel_instances(request).await {
                assert_eq!(refused.code(), Code::InvalidArgument, "nothing runs: {refused}");
            }
            "cancel"
        }
        _ => {
            let request = ResolveIncidentsRequest {
                request_id: String::new(),
                tenant_id: "acme".to_owned(),
                selection: Some(resolve_incidents_request::Selection::Filter(IncidentFilter::default())),
                retries: 3,
                variables: Some(wire_variables(value)),
                page_token: String::new(),
            };
            caller.instances().resolve_incidents(request).await.expect("should resolve");
            "resolve"
        }
    }
}

/// Runs a random operation. It may be refused only because of the current state.
async fn act(caller: &Caller, random: &mut StdRng) -> &'static str {
    let process = ["order", "invoice", "claim"][random.random_range(0..3)];
    let value: Value =
        json!({ "text": "é".repeat(random.random_range(0..300)), "amount": random.random_range(50..150) });
    match random.random_range(0..13) {
        0 => {
            let document = match random.random_range(0..4) {
                0 => one_task(process, "charge"),
                1 => one_task(process, "send"),
                2 => fork_and_join(process),
                _ => decision_without_default(process),
            };
            caller.deploy("acme", &document).await;
            "deploy"
        }
        1..=4 => {
            let request = StartInstancesRequest {
                request_id: String::new(),
                tenant_id: "acme".to_owned(),
                process_id: process.to_owned(),
                version: 0,
                variables: vec![wire_variables(&value); random.random_range(1..20)],
            };
            if let Err(refused) = caller.jobs().start_instances(request).await {
                assert_eq!(refused.code(), Code::NotFound, "{refused}");
            }
            "start"
        }
        5 | 6 => {
            // In one call, with several jobs of one instance, or each job in its own call.
            let mut request = activation("acme", "charge", 10);
            request.job_types =
                ["charge", "send", "left", "right", "last", "approve"].map(ToOwned::to_owned).to_vec();
            let jobs = caller.try_activate(request).await.expect("should activate");
            if random.random() && !jobs.is_empty() {
                let jobs = jobs.iter().map(|job| completion(job, &value)).collect();
                let request = CompleteJobsRequest { tenant_id: "acme".to_owned(), jobs };
                let completed = caller.jobs().complete_jobs(request).await.expect("should complete");
                assert_eq!(completed.into_inner().lost, Vec::<i64>::new());
            } else {
                for job in &jobs {
                    caller.complete(job, &value).await;
                }
            }
            "complete"
        }
        7 | 8 => {
            for (retries, job) in (0..).zip(caller.activate("acme", "charge", 3).await) {
                let request = FailJobRequest {
                    tenant_id: "acme".to_owned(),
                    key: job.key,
                    lease_epoch: job.lease_epoch,
                    retries,
                    error_message: "not today".to_owned(),
                    retry_backoff: None,
                };
                caller.jobs().fail_job(request).await.expect("should fail");
            }
            "fail"
        }
        9..=11 => operate(caller, random, &value).await,
        _ => {
            let on_instances = if random.random() { OnInstances::Cancel } else { OnInstances::KeepRunning };
            let request = DeleteProcessRequest {
                request_id: String::new(),
                tenant_id: "acme".to_owned(),
                process_id: process.to_owned(),
                owner: None,
                on_instances: on_instances.into(),
                retain: false,
            };
            caller.processes().delete_process(request).await.expect("should delete");
            "delete"
        }
    }
}

#[tokio::test]
async fn the_counters_equal_a_recount_of_the_rows_after_random_operations() {
    let world = World::new(database!());
    let mut engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.put_tenant("acme", TenantQuotas::default()).await;
    let seed = rand::random();
    let mut random = StdRng::seed_from_u64(seed);
    let mut session = world.session().await;
    session.execute("SELECT set_config('workflow.tenant_id', 'acme', false)").await.expect("should set");
    for step in 0..150 {
        let done = act(&caller, &mut random).await;
        let (rows, counted) = recount(&mut session).await;
        assert_eq!(counted, rows, "after step {step} ({done}) of seed {seed}");
    }
    assert!(recount(&mut session).await.0.0 > 0);

    // Deleted expired instances are subtracted too.
    session
        .execute("UPDATE workflow.instance SET ended_at = ended_at - interval '2 days' WHERE state <> 1")
        .await
        .expect("should update");
    engine.kill();
    let _engine = world.serve("engine-0").await;
    let ended = "SELECT count(*) FROM workflow.instance WHERE state <> 1";
    for _ in 0..200 {
        let left: i64 = sqlx::query_scalar(ended).fetch_one(&mut session).await.expect("should count");
        if left == 0 {
            let (rows, counted) = recount(&mut session).await;
            assert_eq!(counted, rows, "after the deletion of expired instances, of seed {seed}");
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("expired instances are not deleted");
}
