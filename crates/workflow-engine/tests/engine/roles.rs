use engine_client::proto::{
    CancelInstanceRequest, CountIncidentsRequest, GetHealthRequest, GetInfoRequest, HealthState,
    ListIncidentsRequest, ListInstancesRequest, ListJobLagRequest, ResolveIncidentRequest,
    SetVariablesRequest, TenantQuotas,
};
use serde_json::json;
use tonic::{Code, Status};

use crate::models::one_task;
use crate::support::{Caller, World, activation, database, deployment};

#[tokio::test]
async fn without_a_valid_token_nothing_is_answered() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    for token in [None, Some("guessed"), Some("wfw1._default.AAAA")] {
        let caller = engine.caller(token);
        let info = caller.cluster().get_info(GetInfoRequest {}).await.expect_err("should be refused");
        let deploy = caller.try_deploy(deployment("_default", "")).await.expect_err("should be refused");
        assert_eq!((info.code(), deploy.code()), (Code::Unauthenticated, Code::Unauthenticated));
    }
}

#[tokio::test]
async fn a_worker_takes_the_jobs_of_its_tenant_and_nothing_else() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let controller = engine.controller();
    for id in ["acme", "globex"] {
        controller.put_tenant(id, TenantQuotas::default()).await;
        controller.deploy(id, &one_task("order", "charge")).await;
        controller.start(id, "order", &json!({})).await;
    }
    let worker = engine.worker("acme");
    let foreign = controller.activate("globex", "charge", 1).await.remove(0);
    let refusals = [
        worker.try_activate(activation("globex", "charge", 1)).await.expect_err("should be refused"),
        worker.try_complete(&foreign, &json!({})).await.expect_err("should be refused"),
        worker.try_start("acme", "order", &json!({})).await.expect_err("should be refused"),
        worker.try_deploy(deployment("acme", &one_task("order", "x"))).await.expect_err("should be refused"),
        worker.jobs().list_job_lag(ListJobLagRequest::default()).await.expect_err("should be refused"),
    ];
    for refusal in refusals {
        assert_eq!(refusal.code(), Code::PermissionDenied, "{}", refusal.message());
    }
    worker.work("acme", "charge", &json!({})).await;
    worker.cluster().get_health(GetHealthRequest {}).await.expect("should be readable by everyone");
}

#[tokio::test]
async fn the_monitor_reads_and_changes_nothing() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    engine.controller().deploy("_default", &one_task("order", "charge")).await;
    let monitor = engine.monitor();
    monitor.jobs().list_job_lag(ListJobLagRequest::default()).await.expect("should list");
    let health = monitor.cluster().get_health(GetHealthRequest {}).await.expect("should answer").into_inner();
    assert_eq!((health.overall(), health.checks.len()), (HealthState::Serving, 3));
    let start = monitor.try_start("_default", "order", &json!({})).await.expect_err("should be refused");
    let take =
        monitor.try_activate(activation("_default", "charge", 1)).await.expect_err("should be refused");
    assert_eq!((start.code(), take.code()), (Code::PermissionDenied, Code::PermissionDenied));
}

/// What a caller is told who asks for everything that people do with instances of a tenant.
async fn refusals(caller: &Caller, tenant_id: &str) -> Vec<Option<Status>> {
    let tenant_id = tenant_id.to_owned();
    let list = ListInstancesRequest { tenant_id: tenant_id.clone(), ..ListInstancesRequest::default() };
    let incidents = ListIncidentsRequest { tenant_id: tenant_id.clone(), ..ListIncidentsRequest::default() };
    let cancel = CancelInstanceRequest { tenant_id: tenant_id.clone(), ..CancelInstanceRequest::default() };
    let set = SetVariablesRequest { tenant_id: tenant_id.clone(), ..SetVariablesRequest::default() };
    let resolve = ResolveIncidentRequest { tenant_id, ..ResolveIncidentRequest::default() };
    vec![
        caller.instances().list_instances(list).await.err(),
        caller.instances().list_incidents(incidents).await.err(),
        caller.instances().cancel_instance(cancel).await.err(),
        caller.instances().set_variables(set).await.err(),
        caller.instances().resolve_incident(resolve).await.err(),
    ]
}

#[tokio::test]
async fn neither_a_worker_nor_the_monitor_looks_after_instances() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    for caller in [engine.worker("_default"), engine.monitor()] {
        for refusal in refusals(&caller, "_default").await {
            assert_eq!(refusal.map(|refusal| refusal.code()), Some(Code::PermissionDenied));
        }
    }
    let count = CountIncidentsRequest { tenant_id: "_default".to_owned() };
    let counted = engine.monitor().instances().count_incidents(count.clone()).await;
    assert_eq!(counted.expect("should count").into_inner().counts, []);
    let refused = engine.worker("_default").instances().count_incidents(count).await.expect_err("is refused");
    assert_eq!(refused.code(), Code::PermissionDenied);
}
