use engine_client::proto::{GetHealthRequest, GetInfoRequest, HealthState, ListJobLagRequest, TenantQuotas};
use serde_json::json;
use tonic::Code;

use crate::models::one_task;
use crate::support::{World, activation, database, deployment};

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
