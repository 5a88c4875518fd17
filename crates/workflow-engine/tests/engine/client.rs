//! Each call of `engine-client`, as controllers, workers and people make it, against the real engine: all fields of
//! requests and answers must arrive unchanged.

use std::collections::BTreeSet;

use engine_client::model::{
    Capability, DEFAULT_TENANT, DefinitionFilter, DefinitionRef, DeleteProcess, DeleteTenant,
    DeleteTenantMode, DeployOutcome, DeployProcess, DeployResult, ENGINE_KIND, HealthComponent, HealthState,
    LintMode, OnInstances, Owner, ProcessDefinition, ProcessDeletion, ProcessDocument, PutOutcome, PutTenant,
    Severity, Tenant, TenantDeletion, TenantQuotas,
};
use engine_client::{Engine as _, EngineClient, EngineError, EnginePool, ErrorClass, Timeouts};
use jiff::Timestamp;
use sqlx::Executor as _;

use crate::models::{one_task, task, without_task_definition};
use crate::support::{Engine, World, database};

mod work;

fn client(engine: &Engine) -> EngineClient {
    EnginePool::new(Timeouts::default()).client(&engine.access()).expect("should be an address")
}

fn class<T>(answer: Result<T, EngineError>) -> Result<T, ErrorClass> {
    answer.map_err(|error| error.class().clone())
}

/// An owner whose object was created in this second.
fn owner(id: &str, uid: &str, second: i64) -> Owner {
    let created_at = Timestamp::from_second(second).expect("should be within range");
    Owner { id: id.to_owned(), uid: uid.to_owned(), created_at }
}

fn process_owner(uid: &str, second: i64) -> Owner {
    owner("WorkflowProcess/work/order", uid, second)
}

fn deploy(request_id: &str, document: &str) -> DeployProcess {
    DeployProcess {
        request_id: request_id.to_owned(),
        tenant_id: DEFAULT_TENANT.to_owned(),
        resource_name: "order.bpmn".to_owned(),
        content: document.as_bytes().to_vec(),
        content_sha256: bpmn::digest(document.as_bytes()),
        version_tag: Some("v1".to_owned()),
        mode: LintMode::Lenient,
        owner: Some(process_owner("uid-1", 1)),
        follows_version: None,
    }
}

fn delete(owner: Owner, retain: bool) -> DeleteProcess {
    DeleteProcess {
        request_id: String::new(),
        tenant_id: DEFAULT_TENANT.to_owned(),
        process_id: "order".to_owned(),
        owner: Some(owner),
        on_instances: OnInstances::Fail,
        retain,
    }
}

fn deployed(result: DeployResult) -> (DeployOutcome, ProcessDefinition, bool) {
    match result {
        DeployResult::Deployed { outcome, definition, adopted } => (outcome, definition, adopted),
        DeployResult::Rejected { findings, .. } => panic!("should deploy: {findings:?}"),
    }
}

#[tokio::test]
async fn a_node_reports_its_info_and_health() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let client = client(&engine);
    let info = client.info().await.expect("should answer");
    assert_eq!((info.engine_kind.as_str(), info.node_id.as_str()), (ENGINE_KIND, "engine-0"));
    assert_eq!(info.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(info.nodes.iter().map(|node| node.id.as_str()).collect::<Vec<_>>(), ["engine-0"]);
    assert!(info.min_schema_version <= info.schema_version && info.schema_version <= info.max_schema_version);
    assert!(info.nodes[0].last_seen_at > info.started_at);
    let lacking: Vec<_> = Capability::ALL.iter().filter(|capability| !info.has(**capability)).collect();
    assert!(lacking.is_empty(), "{lacking:?}");

    let health = client.health().await.expect("should answer");
    assert_eq!(health.overall, HealthState::Serving);
    let checked: BTreeSet<_> = health.checks.iter().map(|check| (check.component, check.state)).collect();
    let parts = [HealthComponent::Database, HealthComponent::Schema, HealthComponent::Leases];
    assert_eq!(checked, parts.map(|part| (part, HealthState::Serving)).into());
    assert!(health.checks.iter().all(|check| check.reason.is_none() && check.since.is_some()));
}

#[tokio::test]
async fn a_controller_deploys_reads_and_deletes_processes() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let client = client(&engine);
    let (a, b) = (one_task("order", "a"), one_task("order", "b"));
    let put = async |request| class(client.deploy_process(&request).await);

    let (outcome, first, adopted) = deployed(put(deploy("1", &a)).await.expect("should be answered"));
    let expected = ProcessDefinition {
        key: first.key,
        tenant_id: DEFAULT_TENANT.to_owned(),
        process_id: "order".to_owned(),
        version: 1,
        version_tag: Some("v1".to_owned()),
        content_sha256: bpmn::digest(a.as_bytes()),
        deployed_at: first.deployed_at,
        job_types: vec!["a".to_owned()],
    };
    assert_eq!((outcome, &first, adopted), (DeployOutcome::Created, &expected, false));
    let again = deployed(put(deploy("1", &a)).await.expect("should be answered"));
    assert_eq!(again, (DeployOutcome::Created, first.clone(), false), "the former answer");
    assert_eq!(put(deploy("1", &b)).await, Err(ErrorClass::Invalid), "the same id for another body");
    let renamed = DeployProcess { resource_name: "other.bpmn".to_owned(), ..deploy("", &a) };
    let (outcome, ..) = deployed(put(renamed).await.expect("should be answered"));
    assert_eq!(outcome, DeployOutcome::Unchanged);
    let (outcome, second, _) = deployed(put(deploy("", &b)).await.expect("should be answered"));
    assert_eq!((outcome, second.version), (DeployOutcome::Created, 2));
    let (outcome, third, _) = deployed(put(deploy("", &a)).await.expect("should be answered"));
    assert_eq!((outcome, third.version), (DeployOutcome::Created, 3), "older content is a version as well");

    let wrong_digest = DeployProcess { content_sha256: "00".to_owned(), ..deploy("", &a) };
    assert_eq!(put(wrong_digest).await, Err(ErrorClass::Invalid));
    let other = DeployProcess { owner: Some(owner("another", "uid-9", 1)), ..deploy("", &a) };
    assert_eq!(put(other).await, Err(ErrorClass::AlreadyOwned));
    assert_eq!(put(DeployProcess { owner: None, ..deploy("", &a) }).await, Err(ErrorClass::AlreadyOwned));
    // The same object after it was deleted and applied again.
    let successor = DeployProcess { owner: Some(process_owner("uid-2", 5)), ..deploy("", &a) };
    let (outcome, _, adopted) = deployed(put(successor.clone()).await.expect("should be answered"));
    assert_eq!((outcome, adopted), (DeployOutcome::Unchanged, true));
    assert_eq!(put(deploy("", &a)).await, Err(ErrorClass::Stale), "a former object");
    let late = DeployProcess { follows_version: Some(1), owner: successor.owner.clone(), ..deploy("", &b) };
    assert_eq!(put(late).await, Err(ErrorClass::Stale));

    let get = async |wanted| client.get_process_definition(DEFAULT_TENANT, &wanted).await;
    let latest = get(DefinitionRef::LatestOf("order".to_owned())).await.expect("should answer");
    let latest = latest.expect("should be there");
    assert_eq!((&latest.definition, &latest.owner), (&third, &successor.owner));
    let by_key = get(DefinitionRef::Key(first.key)).await.expect("should answer").expect("should be there");
    assert_eq!(by_key.definition, first);
    assert_eq!(get(DefinitionRef::Key(999)).await, Ok(None));
    let read = async |tenant_id, key| client.get_process_document(tenant_id, key).await;
    let document =
        ProcessDocument { content: a.as_bytes().to_vec(), content_sha256: first.content_sha256.clone() };
    assert_eq!(read(DEFAULT_TENANT, first.key).await, Ok(Some(document)), "of a former version");
    assert_eq!(read(DEFAULT_TENANT, 999).await, Ok(None));
    assert_eq!(read("acme", first.key).await, Ok(None), "of another tenant");

    let list = async |latest_only, owner_id: Option<&str>| {
        let filter = DefinitionFilter { latest_only, owner_id: owner_id.map(ToOwned::to_owned) };
        let all = client.list_process_definitions(DEFAULT_TENANT, &filter).await.expect("should list");
        all.into_iter().map(|definition| definition.version).collect::<Vec<_>>()
    };
    assert_eq!(list(false, None).await, [1, 2, 3]);
    assert_eq!(list(true, Some("WorkflowProcess/work/order")).await, [3]);
    assert_eq!(list(true, Some("another")).await, [0; 0]);

    let other = delete(owner("another", "uid-9", 1), false);
    assert_eq!(client.delete_process(&other).await, Ok(ProcessDeletion::OwnedByOther));
    let retain = delete(process_owner("uid-2", 5), true);
    assert_eq!(client.delete_process(&retain).await, Ok(ProcessDeletion::Retired { versions: 0 }));
    let (outcome, _, adopted) = deployed(put(successor).await.expect("should be answered"));
    assert_eq!((outcome, adopted), (DeployOutcome::Unchanged, true), "it had no owner");
    let retire = delete(process_owner("uid-2", 5), false);
    assert_eq!(client.delete_process(&retire).await, Ok(ProcessDeletion::Retired { versions: 3 }));
    assert_eq!(client.delete_process(&retire).await, Ok(ProcessDeletion::Retired { versions: 0 }), "gone");
    assert_eq!(read(DEFAULT_TENANT, first.key).await, Ok(None), "of a deleted process");
}

#[tokio::test]
async fn a_client_gets_every_finding_of_a_refused_document() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let refused = deploy("", &without_task_definition("order"));
    match client(&engine).deploy_process(&refused).await.expect("should be answered") {
        DeployResult::Rejected { findings, truncated } => {
            assert!(!truncated);
            let errors: Vec<_> =
                findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
            assert!(errors.iter().all(|finding| finding.line > 0 && finding.element_id.is_some()));
            assert_eq!(errors.len(), 1, "{findings:?}");
        }
        DeployResult::Deployed { .. } => panic!("should be refused"),
    }
    // More findings than fit into a gRPC status or header.
    let tasks: String = (0..1200)
        .map(|n| task(&format!("task-{n}"), "").replace("<zeebe:taskDefinition", "<zeebe:none"))
        .collect();
    let many = one_task("order", "a").replace("<bpmn:endEvent", &format!("{tasks}<bpmn:endEvent"));
    match client(&engine).deploy_process(&deploy("", &many)).await.expect("should be answered") {
        DeployResult::Rejected { findings, truncated } => {
            assert_eq!((findings.len(), truncated), (1000, true));
        }
        DeployResult::Deployed { .. } => panic!("should be refused"),
    }
}

fn tenant(generation: i64) -> Tenant {
    Tenant {
        id: "acme".to_owned(),
        display_name: "Acme".to_owned(),
        quotas: TenantQuotas {
            max_active_instances: Some(10),
            max_jobs_per_minute: None,
            max_storage_bytes: Some(1),
        },
        rls: true,
        suspended: true,
        owner: Some(owner("WorkflowTenant/work/acme", "uid-2", 1)),
        generation,
    }
}

#[tokio::test]
async fn a_controller_puts_reads_and_deletes_tenants() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let client = client(&engine);
    let put = async |tenant: &Tenant| class(client.put_tenant("", tenant).await);
    let done = |outcome| Ok(PutTenant { outcome, adopted: false });

    assert_eq!(class(client.put_tenant("p", &tenant(2)).await), done(PutOutcome::Created));
    assert_eq!(class(client.put_tenant("p", &tenant(2)).await), done(PutOutcome::Created), "former answer");
    assert_eq!(put(&tenant(2)).await, done(PutOutcome::Unchanged));
    assert_eq!(put(&tenant(3)).await, done(PutOutcome::Updated));
    assert_eq!(put(&tenant(2)).await, Err(ErrorClass::Stale));
    assert_eq!(put(&Tenant { owner: None, ..tenant(3) }).await, Err(ErrorClass::AlreadyOwned));
    let reason = "RLS_REQUIRED".to_owned();
    let open = Tenant { rls: false, ..tenant(3) };
    assert_eq!(put(&open).await, Err(ErrorClass::Precondition { reason }));

    let listed = client.list_tenants().await.expect("should list");
    assert_eq!(listed.iter().find(|listed| listed.id == "acme"), Some(&tenant(3)));
    assert_eq!(listed.len(), 2, "{DEFAULT_TENANT} as well");
    let named = ["acme".to_owned(), "nobody".to_owned()];
    let usages = client.list_tenant_usage(&named).await.expect("should list");
    assert_eq!(usages.len(), 1);
    assert_eq!((usages[0].tenant_id.as_str(), usages[0].active_instances), ("acme", 0));
    assert_eq!(client.list_tenant_usage(&[]).await.expect("should list").len(), 2);

    let delete = |owner_id: &str, mode| DeleteTenant {
        request_id: String::new(),
        tenant_id: "acme".to_owned(),
        owner: Some(owner(owner_id, "uid-2", 1)),
        mode,
    };
    let delete = async |owner_id: &str, mode| class(client.delete_tenant(&delete(owner_id, mode)).await);
    let own = "WorkflowTenant/work/acme";
    assert_eq!(delete("another", DeleteTenantMode::Purge).await, Ok(TenantDeletion::OwnedByOther));
    assert_eq!(delete(own, DeleteTenantMode::Retain).await, Ok(TenantDeletion::Kept));
    let adopted = PutTenant { outcome: PutOutcome::Updated, adopted: true };
    assert_eq!(put(&tenant(3)).await, Ok(adopted));
    assert_eq!(delete(own, DeleteTenantMode::RefuseIfActive).await, Ok(TenantDeletion::Deleted));
    assert_eq!(delete(own, DeleteTenantMode::Purge).await, Ok(TenantDeletion::Deleted), "it was gone");
}

#[tokio::test]
async fn a_list_of_many_pages_is_complete() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let mut session = world.session().await;
    for n in 0..2500 {
        let insert = format!(
            "BEGIN; SET LOCAL workflow.tenant_id = 'tenant-{n:04}';
             INSERT INTO workflow.tenant (tenant_id, display_name, max_active_instances, max_jobs_per_minute,
                                          max_storage_bytes, suspended, owner, generation)
             VALUES ('tenant-{n:04}', '', 0, 0, 0, false, '', 0); COMMIT"
        );
        session.execute(sqlx::AssertSqlSafe(insert)).await.expect("should insert");
    }
    let ids: BTreeSet<_> = client(&engine)
        .list_tenants()
        .await
        .expect("should list")
        .into_iter()
        .map(|tenant| tenant.id)
        .collect();
    assert_eq!(ids.len(), 2501);
}
