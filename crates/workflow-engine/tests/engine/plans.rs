use std::time::Duration;

use engine_api::proto::cancel_instances_request::Selection;
use engine_api::proto::resolve_incidents_request::Selection as Resolved;
use engine_api::proto::{
    CancelInstancesRequest, CompleteJobsRequest, Keys, ListIncidentsRequest, ResolveIncidentsRequest,
    StartInstancesRequest,
};
use serde_json::json;
use sqlx::Executor;
use test_support::wait::eventually;

use crate::incidents::{fail_for_good, park};
use crate::models::one_task;
use crate::support::{Caller, World, completion, database, wire_variables};

const BACKLOG: usize = 3_000;

/// Rows of jobs and instances that were fetched so far, and jobs that were deleted.
async fn fetched(session: &mut sqlx::PgConnection) -> (i64, i64) {
    sqlx::query_as(
        "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint, sum(n_tup_del) FILTER (WHERE relname = 'job')::bigint
         FROM pg_stat_user_tables WHERE relname IN ('job', 'instance')",
    )
    .fetch_one(session)
    .await
    .expect("should read the statistics")
}

#[tokio::test]
async fn plans_made_for_empty_tables_use_index_lookups_when_there_are_many_jobs() {
    let world = World::new(database!());
    let mut session = world.session().await;
    // Like after an idle night: the planner's statistics say that the tables are empty.
    session.execute("VACUUM ANALYZE workflow.job, workflow.instance").await.expect("should vacuum");
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.deploy("_default", &one_task("order", "charge")).await;
    for _ in 0..12 {
        caller.start("_default", "order", &json!({})).await;
        let job = caller.activate("_default", "charge", 1).await.remove(0);
        caller.complete(&job, &json!({})).await;
    }
    for _ in 0..BACKLOG / 1_000 {
        let request = StartInstancesRequest {
            request_id: String::new(),
            tenant_id: "_default".to_owned(),
            process_id: "order".to_owned(),
            version: 0,
            variables: vec![wire_variables(&json!({})); 1_000],
        };
        caller.jobs().start_instances(request).await.expect("should start");
    }
    let (before, _) = fetched(&mut session).await;

    for _ in 0..20 {
        let job = caller.activate("_default", "charge", 1).await.remove(0);
        caller.complete(&job, &json!({})).await;
    }
    let jobs = caller.activate("_default", "charge", 80).await;
    let jobs = jobs.iter().map(|job| completion(job, &json!({}))).collect();
    let request = CompleteJobsRequest { tenant_id: "_default".to_owned(), jobs };
    caller.jobs().complete_jobs(request).await.expect("should complete");

    // Sessions report statistics once a second, with their next transaction.
    let after = eventually("the statistics to contain every job", Duration::from_secs(20), async || {
        caller.activate("_default", "nothing", 1).await;
        let (rows, deleted) = fetched(&mut world.session().await).await;
        if deleted == 12 + 100 { Ok(rows) } else { Err(format!("they contain {deleted}")) }
    })
    .await;
    assert!(after - before < 100 * 20, "{} rows were read for 100 jobs", after - before);
}

/// Rows of jobs, instances and incidents that were fetched so far, and incidents that were deleted.
async fn fetched_of_incidents(session: &mut sqlx::PgConnection) -> (i64, i64) {
    sqlx::query_as(
        "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint,
                sum(n_tup_del) FILTER (WHERE relname = 'incident')::bigint
         FROM pg_stat_user_tables WHERE relname IN ('job', 'instance', 'incident')",
    )
    .fetch_one(session)
    .await
    .expect("should read the statistics")
}

async fn resolve_by_key(caller: &Caller, keys: &[i64]) {
    let request = ResolveIncidentsRequest {
        tenant_id: "_default".to_owned(),
        selection: Some(Resolved::Keys(Keys { keys: keys.to_vec() })),
        retries: 1,
        ..ResolveIncidentsRequest::default()
    };
    let resolved = caller.instances().resolve_incidents(request).await.expect("should resolve").into_inner();
    assert_eq!(usize::try_from(resolved.resolved), Ok(keys.len()));
}

async fn cancel_by_key(caller: &Caller, keys: &[i64]) {
    let request = CancelInstancesRequest {
        tenant_id: "_default".to_owned(),
        selection: Some(Selection::Keys(Keys { keys: keys.to_vec() })),
        ..CancelInstancesRequest::default()
    };
    let canceled = caller.instances().cancel_instances(request).await.expect("should cancel").into_inner();
    assert_eq!(usize::try_from(canceled.canceled), Ok(keys.len()));
}

#[tokio::test]
async fn plans_made_without_incidents_use_index_lookups_when_there_are_many() {
    const STUCK: usize = 600;
    let world = World::new(database!());
    let mut session = world.session().await;
    session
        .execute("VACUUM ANALYZE workflow.job, workflow.instance, workflow.incident")
        .await
        .expect("should vacuum");
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.deploy("_default", &one_task("order", "charge")).await;
    let list = |page_size| ListIncidentsRequest {
        tenant_id: "_default".to_owned(),
        page_size,
        ..ListIncidentsRequest::default()
    };
    let open = async |page_size| {
        let listed = caller.instances().list_incidents(list(page_size)).await.expect("should list");
        listed.into_inner().incidents
    };
    // So that every pooled connection makes its plans now.
    for _ in 0..12 {
        let (instance, _) = park(&caller, "_default", "order").await;
        resolve_by_key(&caller, &[open(1).await[0].key]).await;
        cancel_by_key(&caller, &[instance]).await;
    }
    let request = StartInstancesRequest {
        request_id: String::new(),
        tenant_id: "_default".to_owned(),
        process_id: "order".to_owned(),
        version: 0,
        variables: vec![wire_variables(&json!({})); STUCK],
    };
    caller.jobs().start_instances(request).await.expect("should start");
    let jobs = caller.activate("_default", "charge", 1_000).await;
    futures::future::join_all(jobs.iter().map(|job| fail_for_good(&caller, job))).await;
    let incidents = open(40).await;
    // Idle sessions report their statistics within ten seconds.
    tokio::time::sleep(Duration::from_secs(11)).await;
    let (before, _) = fetched_of_incidents(&mut world.session().await).await;

    let keys: Vec<i64> = incidents[..20].iter().map(|incident| incident.key).collect();
    resolve_by_key(&caller, &keys).await;
    let keys: Vec<i64> = incidents[20..].iter().map(|incident| incident.instance_key).collect();
    cancel_by_key(&caller, &keys).await;

    let after = eventually("the statistics to contain every incident", Duration::from_secs(20), async || {
        caller.activate("_default", "nothing", 1).await;
        let (rows, deleted) = fetched_of_incidents(&mut world.session().await).await;
        if deleted == 12 + 40 { Ok(rows) } else { Err(format!("they contain {deleted}")) }
    })
    .await;
    assert!(after - before < 40 * 20, "{} rows were read for 40 incidents", after - before);
}
