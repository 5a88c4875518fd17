use engine_api::proto::{
    DeleteTenantMode, DeleteTenantRequest, GetTenantRequest, ListTenantUsageRequest, ListTenantsRequest,
    PutOutcome, PutTenantRequest, QuotaKind, Tenant, TenantQuotas,
};
use rstest::rstest;
use serde_json::json;
use tonic::Code;

use crate::models::one_task;
use crate::support::{Caller, World, database, owner, tenant};

async fn put(caller: &Caller, tenant: Tenant) -> Result<PutOutcome, Code> {
    let request = PutTenantRequest { request_id: String::new(), tenant: Some(tenant) };
    caller
        .tenants()
        .put_tenant(request)
        .await
        .map(|put| put.into_inner().outcome())
        .map_err(|status| status.code())
}

#[tokio::test]
async fn a_tenant_is_stored_as_its_newest_generation_declares_it() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    let quotas = TenantQuotas { max_active_instances: 5, max_jobs_per_minute: 6, max_storage_bytes: 7 };
    let first = tenant("acme", quotas);
    assert_eq!(put(&caller, first.clone()).await, Ok(PutOutcome::Created));
    assert_eq!(put(&caller, first.clone()).await, Ok(PutOutcome::Unchanged));
    let second = Tenant { generation: 2, display_name: "ACME Ltd".to_owned(), ..first.clone() };
    assert_eq!(put(&caller, second.clone()).await, Ok(PutOutcome::Updated));
    assert_eq!(put(&caller, first.clone()).await, Err(Code::Aborted));
    assert_eq!(
        put(&caller, Tenant { owner: Some(owner("other", "uid-9", 9)), ..second.clone() }).await,
        Err(Code::AlreadyExists)
    );
    let found = caller.tenants().get_tenant(GetTenantRequest { tenant_id: "acme".to_owned() }).await;
    assert_eq!(found.expect("should be there").into_inner().tenant, Some(second));
}

#[rstest]
#[case::without_row_level_security(Tenant { rls: false, ..tenant("acme", TenantQuotas::default()) }, Code::FailedPrecondition)]
#[case::reserved(tenant("_default", TenantQuotas::default()), Code::InvalidArgument)]
#[case::not_a_label(tenant("Acme Ltd", TenantQuotas::default()), Code::InvalidArgument)]
#[case::negative_quota(
    tenant("acme", TenantQuotas { max_jobs_per_minute: -1, ..TenantQuotas::default() }),
    Code::InvalidArgument
)]
#[tokio::test]
async fn an_invalid_tenant_is_refused(#[case] wanted: Tenant, #[case] code: Code) {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    assert_eq!(put(&engine.controller(), wanted).await, Err(code));
}

#[tokio::test]
async fn tenants_are_listed_in_pages_and_with_their_usage() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    for id in ["acme", "globex"] {
        caller.put_tenant(id, TenantQuotas { max_active_instances: 2, ..TenantQuotas::default() }).await;
        caller.deploy(id, &one_task("order", "charge")).await;
    }
    for _ in 0..2 {
        caller.start("acme", "order", &json!({})).await;
    }
    let mut ids = Vec::new();
    let mut request = ListTenantsRequest { page_size: 1, page_token: String::new() };
    loop {
        let page = caller.tenants().list_tenants(request.clone()).await.expect("should list").into_inner();
        ids.extend(page.tenants.into_iter().map(|tenant| tenant.id));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(ids, ["_default", "acme", "globex"]);

    let request = ListTenantUsageRequest {
        tenant_ids: vec!["acme".to_owned(), "globex".to_owned(), "none".to_owned()],
    };
    let usages =
        engine.monitor().tenants().list_tenant_usage(request).await.expect("should list").into_inner().usages;
    let seen: Vec<_> = usages
        .iter()
        .map(|usage| (&*usage.tenant_id, usage.active_instances, usage.over().collect()))
        .collect();
    let full: Vec<QuotaKind> = vec![QuotaKind::ActiveInstances];
    assert_eq!(seen, [("acme", 2, full), ("globex", 0, Vec::new())]);
}

#[tokio::test]
async fn a_tenant_with_running_instances_is_deleted_only_with_purge() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.put_tenant("acme", TenantQuotas::default()).await;
    caller.deploy("acme", &one_task("order", "charge")).await;
    caller.start("acme", "order", &json!({})).await;
    let delete = |id: &str, mode: DeleteTenantMode| {
        let request = DeleteTenantRequest {
            request_id: String::new(),
            tenant_id: "acme".to_owned(),
            owner: Some(owner(id, "uid-1", 1)),
            mode: mode.into(),
        };
        let mut tenants = caller.tenants();
        async move {
            tenants
                .delete_tenant(request)
                .await
                .map(tonic::Response::into_inner)
                .map(|answer| (answer.deleted, answer.owned_by_other))
                .map_err(|status| status.code())
        }
    };
    assert_eq!(delete("other", DeleteTenantMode::Purge).await, Ok((false, true)));
    assert_eq!(delete("the-owner", DeleteTenantMode::RefuseIfActive).await, Err(Code::FailedPrecondition));
    assert_eq!(delete("the-owner", DeleteTenantMode::Purge).await, Ok((true, false)));
    assert_eq!(delete("the-owner", DeleteTenantMode::Purge).await, Ok((true, false)));
    let start = caller.try_start("acme", "order", &json!({})).await.expect_err("should be gone");
    assert_eq!(start.code(), Code::FailedPrecondition);
    let mut session = world.session().await;
    sqlx::query("SELECT set_config('workflow.tenant_id', 'acme', false)")
        .execute(&mut session)
        .await
        .expect("should set");
    for table in ["job", "instance", "process", "process_definition", "job_type", "tenant_counter", "tenant"]
    {
        let query = format!("SELECT count(*) FROM workflow.{table}");
        let left: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
            .fetch_one(&mut session)
            .await
            .expect("should count");
        assert_eq!(left, 0, "{table}");
    }
}

#[tokio::test]
async fn a_retained_tenant_keeps_its_instances_and_can_be_adopted() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.put_tenant("acme", TenantQuotas::default()).await;
    caller.deploy("acme", &one_task("order", "charge")).await;
    caller.start("acme", "order", &json!({})).await;
    let request = DeleteTenantRequest {
        request_id: String::new(),
        tenant_id: "acme".to_owned(),
        owner: Some(owner("the-owner", "uid-1", 1)),
        mode: DeleteTenantMode::Retain.into(),
    };
    for _ in 0..2 {
        let kept = caller.tenants().delete_tenant(request.clone()).await.expect("should retain").into_inner();
        assert_eq!((kept.deleted, kept.owned_by_other), (false, false));
    }
    let adopted =
        Tenant { owner: Some(owner("new-owner", "uid-2", 2)), ..tenant("acme", TenantQuotas::default()) };
    assert_eq!(put(&caller, adopted).await, Ok(PutOutcome::Updated));
    assert_eq!(caller.activate("acme", "charge", 10).await.len(), 1);
}
