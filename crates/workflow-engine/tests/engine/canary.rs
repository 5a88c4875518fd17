use std::time::Duration;

use engine_api::proto::{
    CanaryStep, ListJobLagRequest, ListTenantUsageRequest, ListTenantsRequest, RunCanaryRequest,
};
use sqlx::Executor;
use test_support::wait::eventually;
use tonic::Code;

use crate::support::{Engine, World, database};

async fn run(engine: &Engine) -> (CanaryStep, String) {
    let report = engine.controller().cluster().run_canary(RunCanaryRequest {}).await.expect("should answer");
    let report = report.into_inner();
    (report.failed_step(), report.message)
}

/// Rows of canaries in every table of tenants.
async fn rows_of_canaries(world: &World) -> i64 {
    let mut owner = world.session().await;
    let tables =
        "tenant tenant_counter process process_definition job_type instance job incident request_log";
    let mut rows = 0;
    for table in tables.split(' ') {
        let unwalled = format!("ALTER TABLE workflow.{table} NO FORCE ROW LEVEL SECURITY");
        owner.execute(sqlx::AssertSqlSafe(unwalled)).await.expect("should see every row");
        let count = format!("SELECT count(*) FROM workflow.{table} WHERE tenant_id LIKE '\\_canary%'");
        let counted: i64 =
            sqlx::query_scalar(sqlx::AssertSqlSafe(count)).fetch_one(&mut owner).await.expect("should count");
        rows += counted;
    }
    rows
}

#[tokio::test]
async fn a_node_does_a_piece_of_work_of_which_nothing_stays_and_which_nobody_sees() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    for _ in 0..3 {
        assert_eq!(run(&engine).await, (CanaryStep::Unspecified, String::new()));
    }
    let caller = engine.controller();
    let tenants = caller.tenants().list_tenants(ListTenantsRequest::default()).await.expect("should list");
    let ids: Vec<_> = tenants.into_inner().tenants.into_iter().map(|tenant| tenant.id).collect();
    assert_eq!(ids, ["_default"]);
    assert_eq!(rows_of_canaries(&world).await, 0);
}

#[tokio::test]
async fn the_step_that_fails_is_named_and_nothing_stays() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let mut owner = world.session().await;
    owner
        .execute(
            "CREATE FUNCTION workflow.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON workflow.job EXECUTE FUNCTION workflow.refuse()",
        )
        .await
        .expect("should break the table");
    assert_eq!(run(&engine).await, (CanaryStep::Start, "failed to use the database".to_owned()));
    assert_eq!(rows_of_canaries(&world).await, 0);
    assert_eq!(engine.readiness().await.0, 200, "it says that it is well");
}

#[tokio::test]
async fn what_a_canary_left_behind_is_seen_by_nobody_and_deleted() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let mut owner = world.session().await;
    let left = "_canary-1-0123456789abcdef";
    sqlx::query("SELECT set_config('workflow.tenant_id', $1, false)")
        .bind(left)
        .execute(&mut owner)
        .await
        .expect("should set");
    for statement in [
        "INSERT INTO workflow.tenant (tenant_id, display_name, max_active_instances, max_jobs_per_minute, max_storage_bytes,
                                      suspended, owner, generation)
         VALUES ($1, 'Canary', 0, 0, 0, false, '', 0)",
        "INSERT INTO workflow.job_type (tenant_id, type) VALUES ($1, 'canary')",
        "INSERT INTO workflow.job (tenant_id, key, type, instance_key, definition_key, element_id, retries, run_at)
         VALUES ($1, 1, 'canary', 1, 1, 'work', 1, now())",
    ] {
        sqlx::query(statement).bind(left).execute(&mut owner).await.expect("should insert");
    }
    let caller = engine.controller();
    let usage = caller.tenants().list_tenant_usage(ListTenantUsageRequest::default()).await;
    let usage = usage.expect("should list").into_inner().usages;
    assert!(usage.iter().all(|usage| usage.tenant_id == "_default"), "{usage:?}");
    let lags = caller.jobs().list_job_lag(ListJobLagRequest::default()).await.expect("should list");
    assert_eq!(lags.into_inner().lags, []);
    eventually("the upkeep deletes it", Duration::from_secs(20), || async {
        let left = rows_of_canaries(&world).await;
        if left == 0 { Ok(()) } else { Err(format!("{left} rows are left")) }
    })
    .await;
}

#[tokio::test]
async fn one_canary_runs_at_a_time_and_only_controllers_may_ask_for_it() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    let ask = || async { caller.cluster().run_canary(RunCanaryRequest {}).await };
    let (one, other) = tokio::join!(ask(), ask());
    let codes = [one, other].map(|answer| answer.map_or_else(|status| status.code(), |_| Code::Ok));
    assert!(codes.contains(&Code::Ok) && codes.contains(&Code::Unavailable), "{codes:?}");
    let refused = engine.worker("_default").cluster().run_canary(RunCanaryRequest {}).await;
    assert_eq!(refused.expect_err("should be refused").code(), Code::PermissionDenied);
}
