use std::time::Duration;

use engine_client::proto::{CompleteJobsRequest, StartInstancesRequest};
use serde_json::json;
use sqlx::Executor;
use test_support::wait::eventually;

use crate::models::one_task;
use crate::support::{World, completion, database, wire_variables};

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
async fn plans_made_while_the_tables_were_empty_look_up_each_job_when_they_are_not() {
    let world = World::new(database!());
    let mut session = world.session().await;
    // As an idle night leaves them: the planner now knows that there is nothing.
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

    // Sessions tell the statistics once a second, with their next transaction.
    let after = eventually("the statistics tell of every job", Duration::from_secs(20), async || {
        caller.activate("_default", "nothing", 1).await;
        let (rows, deleted) = fetched(&mut world.session().await).await;
        if deleted == 12 + 100 { Ok(rows) } else { Err(format!("they tell of {deleted}")) }
    })
    .await;
    assert!(after - before < 100 * 20, "{} rows were read for 100 jobs", after - before);
}
