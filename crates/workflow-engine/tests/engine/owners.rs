//! Refusal of outdated writers: former owners, deployments that follow another version, and former replicas of a
//! controller.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use engine_api::proto::{
    DeleteProcessRequest, DeleteTenantMode, DeleteTenantRequest, DeployOutcome, DeployProcessRequest,
    GetProcessDefinitionRequest, ListProcessDefinitionsRequest, OnInstances, Owner, PutOutcome,
    PutTenantRequest, Tenant, TenantQuotas, get_process_definition_request::By,
};
use engine_api::{FENCE_HEADER, WRITER_HEADER};
use engine_client::{Engine as _, EngineClient, EnginePool, ErrorClass, Timeouts, Writer, model};
use tonic::{Code, Request};

use crate::models::one_task;
use crate::support::{Caller, World, database, deployed, deployment, owner, tenant};

fn owner_with(uid: &str, second: i64) -> Owner {
    owner("WorkflowTenant/workflow-system/acme", uid, second)
}

async fn put(caller: &Caller, owner: Option<Owner>, generation: i64) -> Result<(PutOutcome, bool), Code> {
    let tenant = Tenant { owner, generation, ..tenant("acme", TenantQuotas::default()) };
    let request = PutTenantRequest { request_id: String::new(), tenant: Some(tenant) };
    let put = caller.tenants().put_tenant(request).await.map_err(|status| status.code())?.into_inner();
    Ok((put.outcome(), put.adopted))
}

#[tokio::test]
async fn a_tenant_is_taken_over_by_a_later_object_with_its_owners_name() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    assert_eq!(put(&caller, Some(owner_with("uid-1", 10)), 7).await, Ok((PutOutcome::Created, false)));
    assert_eq!(
        put(&caller, Some(owner_with("uid-2", 20)), 1).await,
        Ok((PutOutcome::Updated, true)),
        "a new object's generations start again"
    );
    assert_eq!(put(&caller, Some(owner_with("uid-2", 20)), 1).await, Ok((PutOutcome::Unchanged, false)));
    assert_eq!(put(&caller, Some(owner_with("uid-1", 10)), 8).await, Err(Code::Aborted), "an earlier object");
    let elsewhere = Some(owner("WorkflowTenant/other/acme", "uid-3", 30));
    assert_eq!(put(&caller, elsewhere, 1).await, Err(Code::AlreadyExists), "another object");

    let delete = async |owner, mode: DeleteTenantMode| {
        let request = DeleteTenantRequest {
            request_id: String::new(),
            tenant_id: "acme".to_owned(),
            owner,
            mode: mode.into(),
        };
        let answer = caller.tenants().delete_tenant(request).await.expect("should answer").into_inner();
        (answer.deleted, answer.owned_by_other)
    };
    assert_eq!(
        delete(Some(owner_with("uid-1", 10)), DeleteTenantMode::Purge).await,
        (false, true),
        "an earlier object"
    );
    assert_eq!(
        delete(Some(owner_with("uid-4", 40)), DeleteTenantMode::Retain).await,
        (false, false),
        "a later object"
    );
    assert_eq!(
        put(&caller, Some(owner_with("uid-5", 50)), 1).await,
        Ok((PutOutcome::Updated, true)),
        "it has no owner"
    );
}

#[tokio::test]
async fn a_process_is_taken_over_by_a_later_object_with_its_owners_name() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    let deploy = async |owner: Option<Owner>, document: &str| {
        let request = DeployProcessRequest { owner, ..deployment("_default", document) };
        let deployed = deployed(caller.try_deploy(request).await.map_err(|status| status.code())?);
        Ok((deployed.outcome(), deployed.adopted))
    };
    let document = one_task("order", "charge");
    assert_eq!(deploy(Some(owner_with("uid-1", 10)), &document).await, Ok((DeployOutcome::Created, false)));
    assert_eq!(deploy(Some(owner_with("uid-2", 20)), &document).await, Ok((DeployOutcome::Unchanged, true)));
    assert_eq!(deploy(Some(owner_with("uid-2", 20)), &document).await, Ok((DeployOutcome::Unchanged, false)));
    assert_eq!(deploy(Some(owner_with("uid-1", 10)), &document).await, Err(Code::Aborted));

    let list = async |owner_id: &str| {
        let request = ListProcessDefinitionsRequest {
            tenant_id: "_default".to_owned(),
            latest_only: true,
            page_size: 0,
            page_token: String::new(),
            owner_id: owner_id.to_owned(),
        };
        let page =
            caller.processes().list_process_definitions(request).await.expect("should list").into_inner();
        page.definitions.into_iter().map(|definition| definition.process_id).collect::<Vec<_>>()
    };
    assert_eq!(list("WorkflowTenant/workflow-system/acme").await, ["order"]);
    assert_eq!(list("WorkflowTenant/other/acme").await, Vec::<String>::new());

    let delete = async |owner| {
        let request = DeleteProcessRequest {
            request_id: String::new(),
            tenant_id: "_default".to_owned(),
            process_id: "order".to_owned(),
            owner,
            on_instances: OnInstances::Fail.into(),
            retain: false,
        };
        let answer = caller.processes().delete_process(request).await.expect("should answer").into_inner();
        (answer.deleted, answer.owned_by_other)
    };
    assert_eq!(delete(Some(owner_with("uid-1", 10))).await, (0, true), "an earlier object");
    assert_eq!(delete(Some(owner_with("uid-3", 30))).await, (1, false), "a later object");
    // A deleted process is not adopted but created again.
    assert_eq!(deploy(Some(owner_with("uid-4", 40)), &document).await, Ok((DeployOutcome::Created, false)));
}

#[tokio::test]
async fn a_deployment_is_refused_if_the_latest_version_is_not_the_expected_one() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    let deploy = async |follows: Option<i32>, job_type: &str| {
        let request = DeployProcessRequest {
            follows_version: follows,
            ..deployment("_default", &one_task("order", job_type))
        };
        let deployed = deployed(caller.try_deploy(request).await.map_err(|status| status.code())?);
        Ok(deployed.definition.expect("should have a definition").version)
    };
    assert_eq!(deploy(Some(1), "a").await, Err(Code::Aborted), "there is none");
    assert_eq!(deploy(Some(0), "a").await, Ok(1));
    assert_eq!(deploy(Some(0), "b").await, Err(Code::Aborted), "another deployment was first");
    assert_eq!(deploy(Some(0), "a").await, Ok(1), "nothing would change");
    assert_eq!(deploy(Some(1), "b").await, Ok(2));
    assert_eq!(deploy(None, "c").await, Ok(3));
}

#[tokio::test]
async fn a_former_replica_of_a_controller_can_change_nothing() {
    let world = World::new(database!());
    // Two nodes: a fence that one has recorded applies to the other too.
    let (engine, other) = (world.serve("engine-0").await, world.serve("engine-1").await);
    let (caller, elsewhere) = (engine.controller(), other.controller());
    let document = one_task("order", "charge");
    let deploy = |fence: &str| fenced(deployment("_default", &document), "process-controller", fence);
    let put = |fence: &str| {
        let tenant = tenant("acme", TenantQuotas::default());
        let request = PutTenantRequest { request_id: String::new(), tenant: Some(tenant) };
        fenced(request, "process-controller", fence)
    };
    let delete = |fence: &str| {
        let request = DeleteProcessRequest {
            request_id: String::new(),
            tenant_id: "_default".to_owned(),
            process_id: "order".to_owned(),
            owner: None,
            on_instances: OnInstances::Fail.into(),
            retain: false,
        };
        fenced(request, "process-controller", fence)
    };
    caller.processes().deploy_process(deploy("7")).await.expect("the first replica should deploy");
    // The successor only reads. From then on every node refuses its predecessor.
    let by = Some(By::ProcessId("order".to_owned()));
    let read = GetProcessDefinitionRequest { tenant_id: "_default".to_owned(), by };
    let read = fenced(read, "process-controller", "8");
    elsewhere.processes().get_process_definition(read).await.expect("the successor should read");
    for late in [
        caller.processes().deploy_process(deploy("7")).await.err(),
        caller.processes().delete_process(delete("7")).await.err(),
        caller.tenants().put_tenant(put("7")).await.err(),
    ] {
        let late = late.expect("the predecessor should be refused");
        assert_eq!(late.code(), Code::Aborted);
        assert_eq!(
            late.message(),
            "this replica of process-controller was succeeded by another one: its fence is 7, the successor's 8"
        );
    }
    caller.processes().deploy_process(deploy("8")).await.expect("the successor should deploy");
    // Each controller has its own fences.
    let tenant_controller = fenced(deployment("_default", &document), "tenant-controller", "1");
    caller.processes().deploy_process(tenant_controller).await.expect("another writer should deploy");
    for (writer, fence) in [("process-controller", "seven"), ("", "7")] {
        let odd = fenced(deployment("_default", &document), writer, fence);
        let refused = caller.processes().deploy_process(odd).await.expect_err("should be refused");
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
}

fn fenced<T>(body: T, writer: &str, fence: &str) -> Request<T> {
    let mut request = Request::new(body);
    let metadata = request.metadata_mut();
    metadata.insert(WRITER_HEADER, writer.parse().expect("should be ASCII"));
    metadata.insert(FENCE_HEADER, fence.parse().expect("should be ASCII"));
    request
}

#[tokio::test]
async fn a_fenced_client_pool_sends_the_fence_of_its_replica() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let token = Arc::new(AtomicU64::new(7));
    let client = |token: &Arc<AtomicU64>| {
        let token = Arc::clone(token);
        let read_fence = move || Some(token.load(Ordering::Relaxed)).filter(|token| *token > 0);
        let writer = Writer::new("workflow-system/tenant-controller", Arc::new(read_fence));
        let pool = EnginePool::new(Timeouts::default()).fenced(writer.expect("should be a name"));
        pool.client(&engine.access()).expect("should be an address")
    };
    let (former, successor) = (client(&token), client(&Arc::new(AtomicU64::new(8))));
    let put = async |client: &EngineClient, generation| {
        let quotas = model::TenantQuotas::default();
        let (id, display_name) = ("acme".to_owned(), "Acme".to_owned());
        let tenant =
            model::Tenant { id, display_name, quotas, rls: true, suspended: false, owner: None, generation };
        client.put_tenant("", &tenant).await.map(|put| put.outcome).map_err(|error| error.class().clone())
    };
    assert_eq!(put(&former, 1).await, Ok(model::PutOutcome::Created));
    successor.list_tenants().await.expect("should list");
    assert_eq!(put(&former, 2).await, Err(ErrorClass::Stale));
    assert_eq!(put(&successor, 2).await, Ok(model::PutOutcome::Updated));
    // A replica that is not the leader makes no calls.
    token.store(0, Ordering::Relaxed);
    let reported = former.list_tenants().await.expect_err("should not call");
    assert_eq!(reported.class(), &ErrorClass::Unavailable);
}
