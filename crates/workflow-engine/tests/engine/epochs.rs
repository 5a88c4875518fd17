//! A token is valid for one epoch of a tenant. A tenant that is deleted and created again with the same id has another
//! epoch.

use std::collections::BTreeSet;
use std::time::Duration;

use engine_api::proto::{
    ActivateJobsRequest, DeleteTenantMode, DeleteTenantRequest, Owner, PutTenantRequest,
    StreamActivatedJobsRequest, Tenant, TenantQuotas,
};
use serde_json::json;
use tonic::Code;

use crate::all_methods::{Answers, OF_CLIENTS, OF_WORKERS, answered, call_all_methods, call_gateway_methods};
use crate::models::one_task;
use crate::support::{Caller, Engine, World, activation, database, owner, tenant};

fn owner_of_epoch(uid: &str, second: i64) -> Owner {
    owner("WorkflowTenant/workflow-system/acme", uid, second)
}

async fn put(caller: &Caller, owner: Owner) {
    let tenant = Tenant { owner: Some(owner), ..tenant("acme", TenantQuotas::default()) };
    let request = PutTenantRequest { request_id: String::new(), tenant: Some(tenant) };
    caller.tenants().put_tenant(request).await.expect("should put");
}

async fn delete(caller: &Caller, owner: Owner, mode: DeleteTenantMode) {
    let request = DeleteTenantRequest {
        request_id: String::new(),
        tenant_id: "acme".to_owned(),
        owner: Some(owner),
        mode: mode.into(),
    };
    let deleted = caller.tenants().delete_tenant(request).await.expect("should answer").into_inner();
    assert_eq!((deleted.deleted, deleted.owned_by_other), (mode == DeleteTenantMode::Purge, false));
}

/// A worker and a client with tokens of an epoch.
fn callers(engine: &Engine, epoch: &str) -> [Caller; 2] {
    [
        engine.caller(Some(&engine.worker_token("acme", epoch))),
        engine.caller(Some(&engine.client_token("acme", epoch))),
    ]
}

/// The answers to all methods, with tokens of an epoch: over gRPC, and the status codes of the gateway.
async fn observe_refused(engine: &Engine, epoch: &str) -> [(Answers, BTreeSet<u16>); 2] {
    let [worker, client] = callers(engine, epoch);
    let statuses = async |token: String| {
        let answers = call_gateway_methods(engine, &token, "acme").await;
        answers.into_iter().filter(|(name, _)| OF_CLIENTS.contains(name)).map(|(_, code)| code).collect()
    };
    [
        (call_all_methods(&worker, "acme").await, statuses(engine.worker_token("acme", epoch)).await),
        (call_all_methods(&client, "acme").await, statuses(engine.client_token("acme", epoch)).await),
    ]
}

/// Tokens of this epoch must be refused by all methods on the tenant.
async fn assert_refused(engine: &Engine, epoch: &str) {
    let [(worker, worker_codes), (client, client_codes)] = observe_refused(engine, epoch).await;
    assert_eq!(answered(&worker, Code::Unauthenticated), BTreeSet::from(OF_WORKERS), "epoch {epoch:?}");
    assert_eq!(answered(&client, Code::Unauthenticated), BTreeSet::from(OF_CLIENTS), "epoch {epoch:?}");
    assert_eq!(
        (worker_codes, client_codes),
        (BTreeSet::from([403]), BTreeSet::from([401])),
        "epoch {epoch:?}"
    );
}

async fn assert_accepted(engine: &Engine, epoch: &str) {
    let [(worker, _), (client, client_codes)] = observe_refused(engine, epoch).await;
    for answers in [worker, client] {
        assert_eq!(answered(&answers, Code::Unauthenticated), BTreeSet::new(), "epoch {epoch:?}");
    }
    assert!(client_codes.is_subset(&BTreeSet::from([200, 404])), "epoch {epoch:?}: {client_codes:?}");
}

#[tokio::test]
async fn tokens_of_a_deleted_tenant_are_refused_for_a_new_one_with_its_id() {
    let world = World::new(database!());
    let (one, two) = (world.serve("engine-0").await, world.serve("engine-1").await);
    let caller = one.controller();
    put(&caller, owner_of_epoch("uid-1", 10)).await;
    assert_accepted(&two, "uid-1").await;
    delete(&caller, owner_of_epoch("uid-1", 10), DeleteTenantMode::Purge).await;
    assert_refused(&two, "uid-1").await;
    put(&caller, owner_of_epoch("uid-2", 20)).await;
    for engine in [&one, &two] {
        assert_refused(engine, "uid-1").await;
        assert_accepted(engine, "uid-2").await;
        assert_refused(engine, "").await;
        assert_refused(engine, "it's-\\made-up").await;
    }
}

#[tokio::test]
async fn tokens_of_a_former_owner_are_refused() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    put(&caller, owner_of_epoch("uid-1", 10)).await;
    delete(&caller, owner_of_epoch("uid-1", 10), DeleteTenantMode::Retain).await;
    assert_refused(&engine, "uid-1").await;
    assert_accepted(&engine, "").await;
    put(&caller, owner_of_epoch("uid-2", 20)).await;
    assert_refused(&engine, "uid-1").await;
    assert_refused(&engine, "").await;
    assert_accepted(&engine, "uid-2").await;
}

#[tokio::test]
async fn the_refusal_says_what_to_do_and_does_not_reveal_whether_the_tenant_exists() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    put(&caller, owner_of_epoch("uid-2", 20)).await;
    let mut reported = Vec::new();
    for tenant_id in ["acme", "nowhere"] {
        let client = engine.caller(Some(&engine.client_token(tenant_id, "uid-1")));
        let refused = client.try_start(tenant_id, "order", &json!({})).await.expect_err("should be refused");
        reported.push((refused.code(), refused.message().replace(tenant_id, "X")));
    }
    let expected = "this token is of a former life of tenant X: read the Secret that it came from again";
    assert_eq!(reported, vec![(Code::Unauthenticated, expected.to_owned()); 2]);
}

#[tokio::test]
async fn tokens_for_a_tenant_without_an_owner_have_an_empty_epoch() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    engine.controller().deploy("_default", &one_task("order", "charge")).await;
    engine.client("_default").start("_default", "order", &json!({})).await;
    engine.worker("_default").work("_default", "charge", &json!({})).await;
    let made_up = engine.caller(Some(&engine.client_token("_default", "uid-1")));
    let refused = made_up.try_start("_default", "order", &json!({})).await.expect_err("should be refused");
    assert_eq!(refused.code(), Code::Unauthenticated);
}

/// Waits up to 30 s for a job. Returns how many were activated.
fn long_poll(worker: &Caller) -> tokio::task::JoinHandle<Result<usize, Code>> {
    let worker = worker.clone();
    let request = ActivateJobsRequest {
        wait: Some(prost_types::Duration { seconds: 30, nanos: 0 }),
        ..activation("acme", "charge", 1)
    };
    tokio::spawn(async move {
        worker.try_activate(request).await.map(|jobs| jobs.len()).map_err(|status| status.code())
    })
}

#[tokio::test]
async fn streams_and_long_polls_of_a_former_epoch_end_and_get_no_jobs_of_the_next() {
    let world = World::new(database!());
    let (one, two) = (world.serve("engine-0").await, world.serve("engine-1").await);
    let caller = one.controller();
    put(&caller, owner_of_epoch("uid-1", 10)).await;
    let [worker, _] = callers(&two, "uid-1");
    let request = StreamActivatedJobsRequest {
        tenant_id: "acme".to_owned(),
        job_types: vec!["charge".to_owned()],
        worker: "tester".to_owned(),
        max_in_flight: 5,
        lease: None,
    };
    let mut stream = worker.jobs().stream_activated_jobs(request).await.expect("should open").into_inner();
    let poll = long_poll(&worker);
    tokio::time::sleep(Duration::from_millis(300)).await;
    // Within one poll interval of the stream, so that its next query meets the new epoch.
    delete(&caller, owner_of_epoch("uid-1", 10), DeleteTenantMode::Purge).await;
    put(&caller, owner_of_epoch("uid-2", 20)).await;
    caller.deploy("acme", &one_task("order", "charge")).await;
    let [_, client] = callers(&one, "uid-2");
    client.start("acme", "order", &json!({})).await;
    let ended = tokio::time::timeout(Duration::from_secs(10), async {
        let mut jobs = 0;
        loop {
            match stream.message().await {
                Ok(Some(message)) => jobs += message.jobs.len(),
                Ok(None) => return (jobs, Code::Ok),
                Err(status) => return (jobs, status.code()),
            }
        }
    });
    assert_eq!(ended.await.expect("should end"), (0, Code::Unauthenticated));
    let polled = tokio::time::timeout(Duration::from_secs(10), poll).await.expect("should end");
    assert_eq!(polled.expect("should not panic"), Err(Code::Unauthenticated));
    let [worker, _] = callers(&two, "uid-2");
    worker.work("acme", "charge", &json!({})).await;
}

/// Completions of several callers share a transaction, but only those of the same epoch.
#[tokio::test]
async fn concurrent_completions_are_accepted_or_refused_each_by_its_own_epoch() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    put(&caller, owner_of_epoch("uid-1", 10)).await;
    delete(&caller, owner_of_epoch("uid-1", 10), DeleteTenantMode::Retain).await;
    put(&caller, owner_of_epoch("uid-2", 20)).await;
    caller.deploy("acme", &one_task("order", "charge")).await;
    let ([former, _], [current, client]) = (callers(&engine, "uid-1"), callers(&engine, "uid-2"));
    for _ in 0..40 {
        client.start("acme", "order", &json!({})).await;
    }
    let jobs = current.activate("acme", "charge", 40).await;
    let answers = futures::future::join_all(jobs.iter().enumerate().map(async |(index, job)| {
        let worker = if index % 2 == 0 { &current } else { &former };
        worker.try_complete(job, &json!({})).await.map_err(|status| status.code())
    }));
    let answers = answers.await;
    let expected: Vec<_> =
        (0..40).map(|index| if index % 2 == 0 { Ok(()) } else { Err(Code::Unauthenticated) }).collect();
    assert_eq!(answers, expected);
}
