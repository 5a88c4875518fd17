//! A call that the engine cannot do is not made, and the error says what is lacking.

use engine_client::{
    CheckedEngine, Credential, Engine, EngineAccess, EngineAddress, EngineError, EngineProvider as _,
    ErrorClass, Operation,
    model::{
        Capability, DEFAULT_TENANT, DeleteTenant, DeleteTenantMode, JobLagFilter, Owner, Tenant, TenantQuotas,
    },
};
use engine_fake::{FakeEngine, FakeEngines};
use jiff::Timestamp;
use rstest::rstest;

fn owner() -> Owner {
    Owner { id: "test".to_owned(), uid: "uid-1".to_owned(), created_at: Timestamp::UNIX_EPOCH }
}

fn tenant(quotas: TenantQuotas) -> Tenant {
    Tenant {
        id: "acme".to_owned(),
        display_name: String::new(),
        quotas,
        rls: true,
        suspended: false,
        owner: Some(owner()),
        generation: 1,
    }
}

fn limited() -> TenantQuotas {
    TenantQuotas { max_active_instances: Some(1), ..TenantQuotas::default() }
}

fn tenant_deletion(mode: DeleteTenantMode) -> DeleteTenant {
    DeleteTenant { request_id: String::new(), tenant_id: "acme".to_owned(), owner: Some(owner()), mode }
}

/// Every call that needs a capability, and the same calls in ways that need less.
async fn failed_calls(engine: &dyn Engine) -> Vec<&'static str> {
    let calls = [
        ("put", engine.put_tenant("", &tenant(TenantQuotas::default())).await.err()),
        ("put with quotas", engine.put_tenant("", &tenant(limited())).await.err()),
        ("list tenants", engine.list_tenants().await.err()),
        ("list usage", engine.list_tenant_usage(&[]).await.err()),
        ("keep tenant", engine.delete_tenant(&tenant_deletion(DeleteTenantMode::Retain)).await.err()),
        ("purge tenant", engine.delete_tenant(&tenant_deletion(DeleteTenantMode::Purge)).await.err()),
        ("run canary", engine.run_canary().await.err()),
        ("count incidents", engine.count_incidents(DEFAULT_TENANT).await.err()),
        ("get document", engine.get_process_document(DEFAULT_TENANT, 1).await.err()),
        (
            "count waiting",
            engine.count_waiting_instances(DEFAULT_TENANT, "order", &["charge".to_owned()]).await.err(),
        ),
        (
            "watch lag",
            engine.watch_job_lag(&JobLagFilter::default(), std::time::Duration::from_secs(1)).await.err(),
        ),
    ];
    let is_unsupported = |error: &EngineError| *error.class() == ErrorClass::Unsupported;
    calls
        .iter()
        .filter(|(_, error)| error.as_ref().is_some_and(is_unsupported))
        .map(|(name, _)| *name)
        .collect()
}

#[rstest]
#[case(
    Capability::Tenants,
    &["put", "put with quotas", "list tenants", "list usage", "keep tenant", "purge tenant"]
)]
#[case(Capability::TenantQuotas, &["put with quotas"])]
#[case(Capability::TenantRls, &["put", "put with quotas"])]
#[case(Capability::TenantPurge, &["purge tenant"])]
#[case(Capability::Canary, &["run canary"])]
#[case(Capability::Incidents, &["count incidents"])]
#[case(Capability::JobLag, &["watch lag"])]
#[case(Capability::ProcessDocuments, &["get document"])]
#[case(Capability::WaitingInstances, &["count waiting"])]
#[case(Capability::JsonGateway, &[])]
#[tokio::test]
async fn only_what_needs_the_capability_is_refused(#[case] lacking: Capability, #[case] expected: &[&str]) {
    let engine = FakeEngine::new();
    engine.lose_capability(lacking);
    assert_eq!(failed_calls(&CheckedEngine::new(engine)).await, expected);
}

#[tokio::test]
async fn refusal_names_the_capability_and_the_engine_is_not_called() {
    let engine = FakeEngine::new();
    engine.lose_capability(Capability::TenantPurge);
    let checked = CheckedEngine::new(engine.clone());
    let error = checked.delete_tenant(&tenant_deletion(DeleteTenantMode::Purge)).await;
    let error = error.expect_err("engine should lack it");
    assert_eq!(error.to_string(), "delete tenant: engine cannot do it: it lacks the capability tenant-purge");
    assert_eq!(engine.count(Operation::DeleteTenant), 0);
}

#[tokio::test]
async fn upgraded_engine_is_asked_again() {
    let engine = FakeEngine::new();
    engine.lose_capability(Capability::Incidents);
    let checked = CheckedEngine::new(engine.clone());
    checked.count_incidents(DEFAULT_TENANT).await.expect_err("engine should lack it");
    engine.gain_capability(Capability::Incidents);
    assert_eq!(checked.count_incidents(DEFAULT_TENANT).await, Ok(Vec::new()));
}

#[tokio::test]
async fn engines_of_a_provider_are_checked() {
    let engines = FakeEngines::new();
    engines.at("engine", 26500).lose_capability(Capability::Tenants);
    let address = EngineAddress { host: "engine".to_owned(), port: 26500, tls: None };
    let credential = Credential::parse("t").expect("token should parse");
    let engine = engines.engine(&EngineAccess { address, credential }).await.expect("should be there");
    let error = engine.list_tenants().await.expect_err("engine should lack it");
    assert_eq!(error.class(), &ErrorClass::Unsupported);
}
