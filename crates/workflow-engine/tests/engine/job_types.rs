//! Limits of job types: one tenant's types must not prevent that the lag of others is reported.

use std::collections::BTreeSet;
use std::time::Duration;

use engine_api::proto::{DeleteProcessRequest, OnInstances, TenantQuotas};
use engine_client::model::{JobLag, JobLagFilter, JobLagUpdate};
use engine_client::{Engine as _, EnginePool, Timeouts};
use futures::StreamExt as _;
use serde_json::json;
use sqlx::Executor as _;
use tonic::Code;

use crate::models::{fork, one_task};
use crate::support::{Caller, Engine, World, database, deployment};

const TENANTS: usize = 20;
const TYPES: usize = 1000;

/// Inserts job types of the maximum length. Together they are over 6 MB encoded, more than the 4 MiB that clients
/// accept.
async fn insert_many_types(world: &World) {
    let mut session = world.session().await;
    for tenant in 0..TENANTS {
        let insert = format!(
            "BEGIN; SET LOCAL workflow.tenant_id = 'tenant-{tenant}';
             INSERT INTO workflow.job_type (tenant_id, type)
             SELECT 'tenant-{tenant}', rpad('type-' || n || '-', 255, 'x') FROM generate_series(1, {TYPES}) n;
             COMMIT"
        );
        session.execute(sqlx::AssertSqlSafe(insert)).await.expect("should insert");
    }
}

async fn delete_all_types(world: &World) {
    let mut session = world.session().await;
    for tenant in 0..TENANTS {
        let delete = format!(
            "BEGIN; SET LOCAL workflow.tenant_id = 'tenant-{tenant}'; DELETE FROM workflow.job_type; COMMIT"
        );
        session.execute(sqlx::AssertSqlSafe(delete)).await.expect("should delete");
    }
}

fn client(engine: &Engine) -> engine_client::EngineClient {
    EnginePool::new(Timeouts::default()).client(&engine.access()).expect("should be an address")
}

#[tokio::test]
async fn lag_of_many_tenants_is_listed_in_pages() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    insert_many_types(&world).await;
    let report = client(&engine).list_job_lag(&JobLagFilter::default()).await.expect("should list");
    let series: BTreeSet<_> = report.lags.iter().map(|lag| &lag.series).collect();
    assert_eq!((report.lags.len(), series.len()), (TENANTS * TYPES, TENANTS * TYPES));
}

#[tokio::test]
async fn lag_of_many_tenants_is_watched_in_parts() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    insert_many_types(&world).await;
    let mut updates = client(&engine)
        .watch_job_lag(&JobLagFilter::default(), Duration::from_secs(1))
        .await
        .expect("should watch");
    let (mut parts, mut series) = (0, BTreeSet::new());
    loop {
        let part: JobLagUpdate = updates.next().await.expect("a stream goes on").expect("should be sent");
        assert!(part.snapshot, "everything comes before any change");
        parts += 1;
        series.extend(part.lags.into_iter().map(|lag| lag.series));
        if part.complete {
            break;
        }
    }
    assert!(parts > 4, "{parts}");
    assert_eq!(series.len(), TENANTS * TYPES);

    // Changes are sent in parts too.
    delete_all_types(&world).await;
    let (mut parts, mut removed) = (0, 0);
    while removed < TENANTS * TYPES {
        let part = updates.next().await.expect("a stream goes on").expect("should be sent");
        assert!(!part.snapshot);
        parts += 1;
        removed += part.removed.len();
    }
    assert!(parts > 4, "{parts}");
}

const LARGEST: usize = 500;

fn types(prefix: &str) -> Vec<String> {
    (0..LARGEST).map(|n| format!("{prefix}-{n}")).collect()
}

async fn delete(caller: &Caller, process_id: &str, on_instances: OnInstances) {
    let request = DeleteProcessRequest {
        request_id: String::new(),
        tenant_id: "acme".to_owned(),
        process_id: process_id.to_owned(),
        owner: None,
        on_instances: on_instances.into(),
        retain: false,
    };
    caller.processes().delete_process(request).await.expect("should delete");
}

async fn known_types(engine: &Engine, tenant_id: &str) -> Vec<JobLag> {
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let filter = JobLagFilter { tenant_ids: vec![tenant_id.to_owned()], job_types: Vec::new() };
    client(engine).list_job_lag(&filter).await.expect("should list").lags
}

#[tokio::test]
async fn job_types_of_a_tenant_are_limited() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    for id in ["acme", "globex"] {
        caller.put_tenant(id, TenantQuotas::default()).await;
    }
    for process in ["a", "b", "c", "d"] {
        caller.deploy("acme", &fork(process, &types(process))).await;
    }
    let refused = caller.try_deploy(deployment("acme", &one_task("e", "one-more"))).await;
    let refused = refused.expect_err("should be refused");
    assert_eq!(
        (refused.code(), refused.message()),
        (
            Code::ResourceExhausted,
            "tenant acme uses 2000 of 2000 job-types: delete processes that nobody needs, or let tasks share a job type"
        )
    );
    // Deployments without a new type, and those of other tenants, are not affected.
    caller.deploy("acme", &one_task("e", "a-0")).await;
    caller.deploy("globex", &one_task("e", "one-more")).await;

    delete(&caller, "d", OnInstances::Fail).await;
    caller.deploy("acme", &one_task("f", "one-more")).await;
    assert_eq!(known_types(&engine, "acme").await.len(), 1501);
}

#[tokio::test]
async fn concurrent_deployments_do_not_exceed_the_limit_of_job_types() {
    let world = World::new(database!());
    let (engine, other) = (world.serve("engine-0").await, world.serve("engine-1").await);
    let caller = engine.controller();
    caller.put_tenant("acme", TenantQuotas::default()).await;
    for process in ["a", "b", "c"] {
        caller.deploy("acme", &fork(process, &types(process))).await;
    }
    let last = |process: &str| deployment("acme", &fork(process, &types(process)));
    let (first, second) = (engine.controller(), other.controller());
    let (first, second) = tokio::join!(first.try_deploy(last("d")), second.try_deploy(last("e")));
    assert_eq!([first, second].iter().filter(|answer| answer.is_ok()).count(), 1);
    assert_eq!(known_types(&engine, "acme").await.len(), 2000);
}

#[tokio::test]
async fn types_of_former_versions_are_deleted_at_the_limit_unless_they_have_jobs() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.put_tenant("acme", TenantQuotas::default()).await;
    caller.deploy("acme", &one_task("steady", "steady")).await;
    caller.deploy("acme", &fork("moving", &types("v1"))).await;
    caller.start("acme", "moving", &json!({})).await;
    for version in 2..=6 {
        caller.deploy("acme", &fork("moving", &types(&format!("v{version}")))).await;
    }
    let known: BTreeSet<String> =
        known_types(&engine, "acme").await.into_iter().map(|lag| lag.series.job_type).collect();
    for job_type in types("v1").into_iter().chain(types("v6")).chain(["steady".to_owned()]) {
        assert!(known.contains(&job_type), "{job_type}");
    }
    assert!(known.len() <= 2000, "{}", known.len());
}

#[tokio::test]
async fn jobs_of_deleted_processes_do_not_hide_those_of_others() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    for id in ["acme", "globex"] {
        caller.put_tenant(id, TenantQuotas::default()).await;
    }
    for process in ["a", "b", "c", "d", "e"] {
        caller.deploy("acme", &fork(process, &types(process))).await;
        caller.start("acme", process, &json!({})).await;
        delete(&caller, process, OnInstances::KeepRunning).await;
    }
    for id in ["acme", "globex"] {
        caller.deploy(id, &one_task("order", "zeta")).await;
        caller.start(id, "order", &json!({})).await;
    }
    let of_acme = known_types(&engine, "acme").await;
    assert_eq!(of_acme.len(), 2001, "2000 of jobs, and the deployed one");
    assert_eq!(of_acme.last().map(|lag| (&*lag.series.job_type, lag.activatable)), Some(("zeta", 1)));
    let of_globex = known_types(&engine, "globex").await;
    assert_eq!(of_globex.iter().map(|lag| lag.activatable).collect::<Vec<_>>(), [1]);
}
