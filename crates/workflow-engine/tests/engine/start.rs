use engine_api::proto::{StartInstanceRequest, StartInstancesRequest, TenantQuotas};
use serde_json::json;
use tonic::Code;

use crate::models::{fork_and_join, one_task};
use crate::support::{World, database, deployed, deployment, tenant, wire_variables};

#[tokio::test]
async fn a_repeated_request_id_returns_the_same_instance_and_is_refused_with_another_body() {
    let world = World::new(database!());
    let (one, two) = (world.serve("engine-0").await, world.serve("engine-1").await);
    one.controller().deploy("_default", &one_task("order", "charge")).await;
    let request = StartInstanceRequest {
        request_id: "the-request".to_owned(),
        tenant_id: "_default".to_owned(),
        process_id: "order".to_owned(),
        version: 0,
        variables: Some(wire_variables(&json!({"a": 1}))),
    };
    // Also concurrently, and from another replica.
    let mut starts = tokio::task::JoinSet::new();
    for number in 0..10 {
        let caller = if number % 2 == 0 { one.controller() } else { two.controller() };
        let request = request.clone();
        starts.spawn(async move {
            caller.jobs().start_instance(request).await.expect("should start").into_inner().instance_key
        });
    }
    let mut keys = starts.join_all().await;
    keys.dedup();
    assert_eq!(keys.len(), 1);
    assert_eq!(one.controller().activate("_default", "charge", 10).await.len(), 1);

    let other = StartInstanceRequest { variables: Some(wire_variables(&json!({"a": 2}))), ..request };
    let refused = one.controller().jobs().start_instance(other).await.expect_err("should be refused");
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("the-request"), "{}", refused.message());
}

#[tokio::test]
async fn a_repeated_deployment_gets_the_same_answer_even_if_there_is_a_newer_version() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    let mut first = deployment("_default", &one_task("order", "charge"));
    first.request_id = "first".to_owned();
    let before = deployed(caller.try_deploy(first.clone()).await.expect("should deploy"));
    caller.deploy("_default", &one_task("order", "refund")).await;
    assert_eq!(deployed(caller.try_deploy(first).await.expect("should repeat")), before);
}

#[tokio::test]
async fn the_quota_of_active_instances_is_exact_for_concurrent_starts() {
    let world = World::new(database!());
    let (one, two) = (world.serve("engine-0").await, world.serve("engine-1").await);
    let caller = one.controller();
    caller.put_tenant("acme", TenantQuotas { max_active_instances: 7, ..TenantQuotas::default() }).await;
    caller.deploy("acme", &one_task("order", "charge")).await;
    let mut starts = tokio::task::JoinSet::new();
    for number in 0..30 {
        let caller = if number % 2 == 0 { one.controller() } else { two.controller() };
        starts.spawn(async move { caller.try_start("acme", "order", &json!({})).await });
    }
    let outcomes = starts.join_all().await;
    let started = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(started, 7, "{outcomes:?}");
    let refused = outcomes.into_iter().find_map(Result::err).expect("should refuse some");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(String::from_utf8_lossy(refused.details()).contains("active-instances"));

    caller.complete(&caller.activate("acme", "charge", 1).await[0], &json!({})).await;
    caller.start("acme", "order", &json!({})).await;
    let full = caller.try_start("acme", "order", &json!({})).await.expect_err("should be full");
    assert_eq!(full.code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn a_batch_that_does_not_fit_the_quota_starts_nothing() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.put_tenant("acme", TenantQuotas { max_active_instances: 5, ..TenantQuotas::default() }).await;
    caller.deploy("acme", &one_task("order", "charge")).await;
    let request = StartInstancesRequest {
        request_id: String::new(),
        tenant_id: "acme".to_owned(),
        process_id: "order".to_owned(),
        version: 0,
        variables: vec![wire_variables(&json!({})); 6],
    };
    let refused = caller.jobs().start_instances(request).await.expect_err("should be refused");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(caller.activate("acme", "charge", 10).await, []);
}

#[tokio::test]
async fn the_quota_of_jobs_counts_every_job_of_a_minute() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.put_tenant("acme", TenantQuotas { max_jobs_per_minute: 5, ..TenantQuotas::default() }).await;
    caller.deploy("acme", &fork_and_join("order")).await;
    // Each start creates two jobs, so the third one would create the sixth job. If a new minute begins in between, at
    // most four starts succeed.
    let mut outcomes = Vec::new();
    for _ in 0..6 {
        outcomes.push(caller.try_start("acme", "order", &json!({})).await);
    }
    let refused: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
    assert!(refused.len() >= 2, "{outcomes:?}");
    for status in refused {
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(String::from_utf8_lossy(status.details()).contains("jobs-per-minute"));
    }
}

#[tokio::test]
async fn a_suspended_tenant_starts_no_instances_and_activates_no_jobs() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.put_tenant("acme", TenantQuotas::default()).await;
    caller.deploy("acme", &one_task("order", "charge")).await;
    caller.start("acme", "order", &json!({})).await;
    let job = caller.activate("acme", "charge", 1).await.remove(0);
    caller.start("acme", "order", &json!({})).await;

    let put = |suspended, generation| engine_api::proto::PutTenantRequest {
        request_id: String::new(),
        tenant: Some(engine_api::proto::Tenant {
            suspended,
            generation,
            ..tenant("acme", TenantQuotas::default())
        }),
    };
    caller.tenants().put_tenant(put(true, 2)).await.expect("should suspend");
    let start = caller.try_start("acme", "order", &json!({})).await.expect_err("should be refused");
    let activate = caller.try_activate(crate::support::activation("acme", "charge", 1)).await;
    let activate = activate.expect_err("should be refused");
    for refused in [start, activate] {
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert!(String::from_utf8_lossy(refused.details()).contains("TENANT_SUSPENDED"));
    }
    // Activated jobs can still be completed.
    caller.complete(&job, &json!({})).await;
    caller.tenants().put_tenant(put(false, 3)).await.expect("should resume");
    assert_eq!(caller.activate("acme", "charge", 1).await.len(), 1);
}

#[tokio::test]
async fn an_older_version_can_be_started_and_an_unknown_one_cannot() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.deploy("_default", &one_task("order", "one")).await;
    caller.deploy("_default", &one_task("order", "two")).await;
    let request = |version| StartInstanceRequest {
        request_id: String::new(),
        tenant_id: "_default".to_owned(),
        process_id: "order".to_owned(),
        version,
        variables: None,
    };
    caller.jobs().start_instance(request(1)).await.expect("should start");
    assert_eq!(caller.activate("_default", "one", 10).await.len(), 1);
    caller.jobs().start_instance(request(0)).await.expect("should start");
    assert_eq!(caller.activate("_default", "two", 10).await.len(), 1);
    let unknown = caller.jobs().start_instance(request(3)).await.expect_err("should not be there");
    assert_eq!(unknown.code(), Code::NotFound);
    assert!(unknown.message().contains("order version 3"), "{}", unknown.message());
}
