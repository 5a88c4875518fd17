use std::time::Duration;

use engine_api::proto::{GetInfoRequest, InstanceState, VerifyIsolationRequest};
use serde_json::json;
use test_support::wait::eventually;

use crate::models::one_task;
use crate::support::{World, activation, database};

/// The callers of a node that ended come to another one all at once; there they must not wait for sessions to be opened.
#[tokio::test]
async fn a_node_that_is_ready_has_sessions_for_its_first_callers() {
    let world = World::new(database!());
    let _engine = world.serve("engine-0").await;
    let mut session = world.session().await;
    let opened: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid() AND query NOT ILIKE 'listen%'",
    )
    .fetch_one(&mut session)
    .await
    .expect("should read");
    // Half of the six that it may have, without the one that listens.
    assert!(opened >= 3, "{opened}");
}

#[tokio::test]
async fn jobs_of_a_killed_node_are_activated_once_more_and_completed_once() {
    let world = World::new(database!());
    let (mut killed, surviving) = (world.serve("engine-0").await, world.serve("engine-1").await);
    let caller = killed.controller();
    caller.deploy("_default", &one_task("order", "charge")).await;
    let mut instances = Vec::new();
    for _ in 0..5 {
        instances.push(caller.start("_default", "order", &json!({})).await);
    }
    let mut request = activation("_default", "charge", 3);
    request.lease = Some(prost_types::Duration { seconds: 2, nanos: 0 });
    let lost = caller.try_activate(request).await.expect("should activate");
    assert_eq!(lost.len(), 3);
    // SIGKILL between activation and completion, while one completion is in progress.
    let in_progress = {
        let (caller, job) = (caller.clone(), lost[0].clone());
        tokio::spawn(async move { caller.try_complete(&job, &json!({"by": "dying"})).await })
    };
    killed.kill();
    let first_was_answered = in_progress.await.expect("should end").is_ok();

    let worker = surviving.worker("_default");
    let mut delivered = Vec::new();
    eventually("every job to be done", Duration::from_secs(20), || {
        let worker = worker.clone();
        async move {
            let mut keys = Vec::new();
            for job in worker.activate("_default", "charge", 10).await {
                worker.complete(&job, &json!({"by": "surviving"})).await;
                keys.push(job.key);
            }
            Some(keys).filter(|keys| !keys.is_empty())
        }
    })
    .await
    .into_iter()
    .for_each(|key| delivered.push(key));
    tokio::time::sleep(Duration::from_millis(2500)).await;
    for job in worker.activate("_default", "charge", 10).await {
        worker.complete(&job, &json!({"by": "surviving"})).await;
        delivered.push(job.key);
    }
    let total = delivered.len();
    delivered.sort_unstable();
    delivered.dedup();
    // Either the completion in progress was committed, or its job was activated again, never both.
    let by_killed = {
        let ended = surviving.controller().instance("_default", lost[0].instance_key).await;
        ended.variables == Some(crate::support::wire_variables(&json!({"by": "dying"})))
    };
    assert!(by_killed || !first_was_answered, "an answered completion must not be lost");
    assert_eq!((total, delivered.len()), (5 - usize::from(by_killed), 5 - usize::from(by_killed)));
    for instance in instances {
        let ended = surviving.controller().instance("_default", instance).await;
        assert_eq!(ended.state(), InstanceState::Completed);
    }
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(worker.activate("_default", "charge", 10).await, []);
}

#[tokio::test]
async fn nodes_list_each_other_and_a_terminated_node_is_removed_at_once() {
    let world = World::new(database!());
    let (one, mut two) = (world.serve("engine-0").await, world.serve("engine-1").await);
    let nodes = || async {
        let info = one.monitor().cluster().get_info(GetInfoRequest {}).await.ok()?.into_inner();
        Some(info.nodes.into_iter().map(|node| node.id).collect::<Vec<_>>())
    };
    eventually("both nodes to be seen", Duration::from_secs(10), || async {
        nodes().await.filter(|nodes| *nodes == ["engine-0", "engine-1"])
    })
    .await;
    assert!(tokio::task::spawn_blocking(move || two.terminate()).await.expect("should end").success());
    eventually("one node to be left", Duration::from_secs(8), || async {
        nodes().await.filter(|nodes| *nodes == ["engine-0"])
    })
    .await;
}

#[tokio::test]
async fn tenants_are_isolated_also_if_the_user_may_not_create_roles() {
    let postgres = test_support::require_postgres!();
    let mut database = database!();
    let admin = postgres.superuser().database(&database.name);
    let mut session = sqlx::ConnectOptions::connect(&admin).await.expect("should connect");
    let plain = format!("{}_plain", database.name);
    for statement in [
        format!("CREATE ROLE \"{plain}\" LOGIN PASSWORD 'plain'"),
        format!("GRANT CONNECT, CREATE ON DATABASE \"{}\" TO \"{plain}\"", database.name),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut session).await.expect("should run");
    }
    database.user = plain;
    database.password = "plain".to_owned();
    let world = World::new(database);
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    for id in ["acme", "globex"] {
        caller.put_tenant(id, engine_api::proto::TenantQuotas::default()).await;
        caller.deploy(id, &one_task("order", "charge")).await;
        caller.start(id, "order", &json!({})).await;
    }
    caller.work("acme", "charge", &json!({})).await;
    let request = VerifyIsolationRequest { tenant_id: "acme".to_owned() };
    let verdict = caller.tenants().verify_isolation(request).await.expect("should answer").into_inner();
    assert_eq!((verdict.isolated, verdict.violations), (true, Vec::new()));
    // The monitor's queries work there too.
    let lags = engine.monitor().jobs().list_job_lag(engine_api::proto::ListJobLagRequest::default()).await;
    let lags = lags.expect("should list").into_inner().lags;
    let seen: Vec<_> = lags.iter().map(|lag| (&*lag.tenant_id, lag.activatable)).collect();
    assert_eq!(seen, [("acme", 0), ("globex", 1)]);
}

#[tokio::test]
async fn a_superuser_serves_only_as_the_app_role() {
    let postgres = test_support::require_postgres!();
    let mut database = database!();
    let admin = postgres.superuser().database(&database.name);
    let mut session = sqlx::ConnectOptions::connect(&admin).await.expect("should connect");
    let root = format!("{}_root", database.name);
    let create = format!("CREATE ROLE \"{root}\" LOGIN SUPERUSER PASSWORD 'root'");
    sqlx::query(sqlx::AssertSqlSafe(create)).execute(&mut session).await.expect("should run");
    database.user.clone_from(&root);
    database.password = "root".to_owned();
    let world = World::new(database);
    let engine = world.serve("engine-0").await;
    engine.controller().put_tenant("acme", engine_api::proto::TenantQuotas::default()).await;
    let request = VerifyIsolationRequest { tenant_id: "acme".to_owned() };
    let verdict =
        engine.controller().tenants().verify_isolation(request).await.expect("should answer").into_inner();
    assert_eq!((verdict.isolated, verdict.violations), (true, Vec::new()));
    drop(engine);

    let roles: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT grantee::text FROM information_schema.role_table_grants
         WHERE table_schema = 'workflow' AND grantee LIKE 'wf\\_%'",
    )
    .fetch_all(&mut session)
    .await
    .expect("should list");
    for role in roles {
        let drop = format!("DROP OWNED BY \"{role}\" CASCADE; DROP ROLE \"{role}\"");
        sqlx::Executor::execute(&mut session, sqlx::AssertSqlSafe(drop)).await.expect("should drop");
    }
    let refused = world.serve_unready("engine-1").await;
    let (code, reason) = eventually("the node to check the database", Duration::from_secs(10), || async {
        Some(refused.readiness().await).filter(|(_, reason)| !reason.contains("starting"))
    })
    .await;
    assert_eq!(code, 503);
    assert!(reason.contains("tenants are not isolated") && reason.contains("superuser"), "{reason}");
}

#[tokio::test]
async fn probes_and_metrics_need_no_tls_and_contain_no_tenants_data() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.put_tenant("secret-tenant", engine_api::proto::TenantQuotas::default()).await;
    caller.deploy("secret-tenant", &one_task("order", "secret-type")).await;
    caller.start("secret-tenant", "order", &json!({})).await;
    caller.work("secret-tenant", "secret-type", &json!({})).await;
    assert_eq!(engine.admin_get("/livez").await, Some((200, "ok".to_owned())));
    let (code, metrics) = engine.admin_get("/metrics").await.expect("should answer");
    assert_eq!(code, 200);
    for line in [
        "workflow_engine_calls_total{method=\"DeployProcess\",code=\"OK\"} 1",
        "workflow_engine_jobs_total{event=\"completed\"} 1",
        "workflow_engine_instances_total{event=\"completed\"} 1",
        "workflow_engine_ready 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    assert!(!metrics.contains("secret-"), "{metrics}");
    assert!(!engine.log().contains(engine.controller_token()), "a token is in the log");
}

#[tokio::test]
async fn expired_instances_and_answers_are_deleted() {
    let world = World::new(database!());
    let mut engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.put_tenant("acme", engine_api::proto::TenantQuotas::default()).await;
    caller.deploy("acme", &one_task("order", "charge")).await;
    let request = |request_id: &str| engine_api::proto::StartInstanceRequest {
        request_id: request_id.to_owned(),
        tenant_id: "acme".to_owned(),
        process_id: "order".to_owned(),
        version: 0,
        variables: None,
    };
    let mut instances = Vec::new();
    for id in ["old", "young"] {
        let started = caller.jobs().start_instance(request(id)).await.expect("should start").into_inner();
        caller.work("acme", "charge", &json!({})).await;
        instances.push(started.instance_key);
    }
    let running = caller.start("acme", "order", &json!({})).await;
    assert!(tokio::task::spawn_blocking(move || engine.terminate()).await.expect("should end").success());

    let mut owner = world.session().await;
    for statement in [
        "SELECT set_config('workflow.tenant_id', 'acme', false)".to_owned(),
        format!("UPDATE workflow.instance SET ended_at = ended_at - interval '2 days' WHERE key = {}", instances[0]),
        "UPDATE workflow.request_log SET answered_at = answered_at - interval '2 days' WHERE request_id = 'old'".to_owned(),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut owner).await.expect("should run");
    }
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    let get = |key| engine_api::proto::GetInstanceRequest { tenant_id: "acme".to_owned(), key };
    eventually("the old instance to be deleted", Duration::from_secs(20), || async {
        let gone = caller.jobs().get_instance(get(instances[0])).await.err()?;
        Some(gone.code()).filter(|code| *code == tonic::Code::NotFound)
    })
    .await;
    let asked = engine_api::proto::ListTenantUsageRequest { tenant_ids: vec!["acme".to_owned()] };
    let usages = caller.tenants().list_tenant_usage(asked).await.expect("should list").into_inner().usages;
    assert_eq!(usages[0].active_instances, 1);
    assert_eq!(caller.instance("acme", instances[1]).await.state(), InstanceState::Completed);
    assert_eq!(caller.instance("acme", running).await.state(), InstanceState::Active);
    let remembered =
        caller.jobs().start_instance(request("young")).await.expect("should repeat").into_inner();
    assert_eq!(remembered.instance_key, instances[1]);
    let repeated =
        caller.jobs().start_instance(request("old")).await.expect("should start anew").into_inner();
    assert_ne!(repeated.instance_key, instances[0]);
}
