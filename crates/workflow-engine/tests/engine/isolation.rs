use engine_api::proto::{TenantQuotas, VerifyIsolationRequest, VerifyIsolationResponse};
use serde_json::json;
use sqlx::{AssertSqlSafe, Executor, PgConnection};
use tonic::Code;

use crate::models::one_task;
use crate::support::{Caller, Engine, World, database};

const TABLES: [&str; 7] =
    ["tenant", "tenant_counter", "process", "process_definition", "job_type", "instance", "job"];

/// Two tenants with a deployed process and a running instance each.
async fn two_tenants(world: &World) -> (Engine, Caller) {
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    for id in ["acme", "globex"] {
        caller.put_tenant(id, TenantQuotas::default()).await;
        caller.deploy(id, &one_task("order", "charge")).await;
        caller.start(id, "order", &json!({"of": id})).await;
    }
    (engine, caller)
}

async fn visible(session: &mut PgConnection, table: &str) -> Vec<String> {
    let query = format!("SELECT DISTINCT tenant_id FROM workflow.{table} ORDER BY 1");
    sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(session).await.expect("should read")
}

async fn set_tenant(session: &mut PgConnection, tenant_id: &str) {
    sqlx::query("SELECT set_config('workflow.tenant_id', $1, false)")
        .bind(tenant_id)
        .execute(session)
        .await
        .expect("should set the tenant");
}

#[tokio::test]
async fn a_tenants_rows_are_visible_only_in_its_own_sessions() {
    let world = World::new(database!());
    let _running = two_tenants(&world).await;
    // As the role that serves, and as the owner, to whom the policies apply because of FORCE.
    for mut session in [world.app_session().await, world.session().await] {
        for table in TABLES {
            set_tenant(&mut session, "acme").await;
            assert_eq!(visible(&mut session, table).await, ["acme"], "{table}");
            set_tenant(&mut session, "").await;
            assert_eq!(
                visible(&mut session, table).await,
                Vec::<String>::new(),
                "{table} with a reset tenant"
            );
        }
    }
    let mut never_set = world.app_session().await;
    for table in TABLES {
        assert_eq!(visible(&mut never_set, table).await, Vec::<String>::new(), "{table} without a tenant");
    }
}

#[tokio::test]
async fn another_tenants_rows_are_neither_written_nor_deleted() {
    let world = World::new(database!());
    let _running = two_tenants(&world).await;
    let mut session = world.app_session().await;
    set_tenant(&mut session, "acme").await;
    let insert = "INSERT INTO workflow.job_type (tenant_id, type) VALUES ('globex', 'planted')";
    let refused = session.execute(insert).await.expect_err("should be refused");
    assert!(refused.to_string().contains("row-level security"), "{refused}");
    let moved =
        session.execute("UPDATE workflow.job SET tenant_id = 'globex'").await.expect_err("should be refused");
    assert!(moved.to_string().contains("row-level security"), "{moved}");
    let deleted = session.execute("DELETE FROM workflow.instance WHERE tenant_id = 'globex'").await;
    assert_eq!(deleted.expect("should run").rows_affected(), 0);
    set_tenant(&mut session, "").await;
    let empty =
        session.execute("INSERT INTO workflow.job_type (tenant_id, type) VALUES ('', 'planted')").await;
    assert!(empty.is_err(), "rows of no tenant must not exist");
}

#[tokio::test]
async fn only_the_monitor_role_reads_across_tenants_and_only_with_its_scope_set() {
    let world = World::new(database!());
    let _running = two_tenants(&world).await;
    let mut app = world.app_session().await;
    app.execute("SELECT set_config('workflow.scope', 'monitor', false)").await.expect("should set");
    assert_eq!(visible(&mut app, "job").await, Vec::<String>::new(), "the serving role is not the monitor");

    let mut monitor = world.session().await;
    let role: String = sqlx::query_scalar(
        "SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'wf_monitor_%'
         AND pg_has_role(session_user, oid, 'MEMBER') AND has_schema_privilege(oid, 'workflow', 'USAGE')",
    )
    .fetch_one(&mut monitor)
    .await
    .expect("should have a monitor role");
    monitor.execute(AssertSqlSafe(format!("SET ROLE \"{role}\""))).await.expect("should switch");
    assert_eq!(visible(&mut monitor, "job").await, Vec::<String>::new());
    monitor.execute("SELECT set_config('workflow.scope', 'monitor', false)").await.expect("should set");
    assert_eq!(visible(&mut monitor, "job").await, ["acme", "globex"]);
    for secret in
        ["SELECT variables FROM workflow.instance", "SELECT content FROM workflow.process_definition"]
    {
        assert!(monitor.execute(secret).await.is_err(), "{secret}");
    }
    assert!(monitor.execute("DELETE FROM workflow.job").await.is_err());
}

#[tokio::test]
async fn the_api_does_not_show_a_tenant_data_of_another() {
    let world = World::new(database!());
    let (engine, caller) = two_tenants(&world).await;
    let foreign = caller.start("globex", "order", &json!({"secret": 1})).await;
    let request = engine_api::proto::GetInstanceRequest { tenant_id: "acme".to_owned(), key: foreign };
    let hidden = caller.jobs().get_instance(request).await.expect_err("should be hidden");
    assert_eq!(hidden.code(), Code::NotFound);

    let mut job = caller.activate("globex", "charge", 1).await.remove(0);
    job.tenant_id = "acme".to_owned();
    let worker = engine.worker("acme");
    let refused = worker.try_complete(&job, &json!({})).await.expect_err("should be hidden");
    assert_eq!(refused.code(), Code::NotFound);
    for job in worker.activate("acme", "charge", 10).await {
        assert_eq!(job.variables, Some(crate::support::wire_variables(&json!({"of": "acme"}))));
    }
}

async fn verify(caller: &Caller, tenant_id: &str) -> VerifyIsolationResponse {
    let request = VerifyIsolationRequest { tenant_id: tenant_id.to_owned() };
    caller.tenants().verify_isolation(request).await.expect("should be answered").into_inner()
}

#[tokio::test]
async fn missing_row_level_security_is_reported() {
    let world = World::new(database!());
    let (_engine, caller) = two_tenants(&world).await;
    assert_eq!(
        verify(&caller, "acme").await,
        VerifyIsolationResponse { isolated: true, violations: Vec::new() }
    );
    let mut owner = world.session().await;
    for (breaking, repairing, reported) in [
        (
            "ALTER TABLE workflow.job NO FORCE ROW LEVEL SECURITY",
            "ALTER TABLE workflow.job FORCE ROW LEVEL SECURITY",
            "table job does not force row-level security on its owner",
        ),
        (
            "ALTER TABLE workflow.job DISABLE ROW LEVEL SECURITY",
            "ALTER TABLE workflow.job ENABLE ROW LEVEL SECURITY",
            "rows of other tenants are visible in table job",
        ),
        (
            "CREATE POLICY open ON workflow.instance USING (true)",
            "DROP POLICY open ON workflow.instance",
            "table instance has the unknown policy open, which may open it",
        ),
    ] {
        owner.execute(breaking).await.expect("should break");
        let verdict = verify(&caller, "acme").await;
        assert!(
            !verdict.isolated && verdict.violations.iter().any(|violation| violation == reported),
            "{verdict:?}"
        );
        owner.execute(repairing).await.expect("should repair");
    }
    assert!(verify(&caller, "acme").await.isolated);
    let request = VerifyIsolationRequest { tenant_id: "nobody".to_owned() };
    let unknown = caller.tenants().verify_isolation(request).await.expect_err("should not be there");
    assert_eq!(unknown.code(), Code::NotFound);
}
