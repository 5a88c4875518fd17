use std::collections::BTreeSet;

use engine_api::proto::{
    CancelInstancesRequest, GetHealthRequest, GetInfoRequest, HealthState, IncidentFilter, InstanceFilter,
    Keys, ListInstancesRequest, ListJobLagRequest, ListProcessDefinitionsRequest, ResolveIncidentsRequest,
    TenantQuotas, cancel_instances_request, resolve_incidents_request,
};
use serde_json::json;
use tonic::Code;

use crate::all_methods::{
    OF_CLIENTS, OF_EVERYONE, OF_MONITORS, OF_WORKERS, answered, call_all_methods, call_gateway_methods,
};
use crate::incidents::park;
use crate::models::one_task;
use crate::support::{FIRST_EPOCH, World, activation, database, deployment};

#[tokio::test]
async fn calls_without_a_valid_token_are_refused() {
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
async fn a_worker_may_only_work_on_jobs_of_its_tenant() {
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
async fn the_monitor_may_read_figures_but_change_nothing() {
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

/// For all methods of the API and of the JSON gateway: a role may call its own methods on its own tenant, and no
/// others.
#[tokio::test]
async fn a_role_may_call_only_its_methods_and_only_for_its_tenant() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    for id in ["acme", "globex"] {
        engine.controller().put_tenant(id, TenantQuotas::default()).await;
    }
    let nothing: &[&str] = &[];
    for (token, tenant_id, own) in [
        (engine.client_token("acme", FIRST_EPOCH), "acme", OF_CLIENTS.as_slice()),
        (engine.client_token("acme", FIRST_EPOCH), "globex", nothing),
        (engine.client_token("acme", FIRST_EPOCH), "_default", nothing),
        (engine.worker_token("acme", FIRST_EPOCH), "acme", &OF_WORKERS),
        (engine.worker_token("acme", FIRST_EPOCH), "globex", nothing),
        (engine.monitor_token().to_owned(), "acme", &OF_MONITORS),
    ] {
        let answers = call_all_methods(&engine.caller(Some(&token)), tenant_id).await;
        let refused = answered(&answers, Code::PermissionDenied);
        let allowed: BTreeSet<&str> =
            answers.keys().map(String::as_str).filter(|name| !refused.contains(name)).collect();
        let expected: BTreeSet<&str> = own.iter().chain(&OF_EVERYONE).copied().collect();
        assert_eq!(allowed, expected, "{tenant_id}");
        assert_eq!(answered(&answers, Code::Unauthenticated), BTreeSet::new());
        for (name, status) in call_gateway_methods(&engine, &token, tenant_id).await {
            assert_eq!(status != 403, own.contains(&name), "{name} of {tenant_id}: {status}");
        }
    }
}

/// Requests with keys or filters for another tenant's data have no effect.
#[tokio::test]
async fn a_client_cannot_read_or_change_anothers_instances_by_key() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let controller = engine.controller();
    for id in ["acme", "globex"] {
        controller.put_tenant(id, TenantQuotas::default()).await;
        controller.deploy(id, &one_task("order", "charge")).await;
    }
    let (foreign, _) = park(&controller, "globex", "order").await;
    let before = controller.instance("globex", foreign).await;
    let (client, tenant_id) = (engine.client("acme"), "acme".to_owned());
    let keys = vec![foreign, before.incidents[0].key];
    let cancel = |selection| CancelInstancesRequest {
        tenant_id: tenant_id.clone(),
        selection: Some(selection),
        ..CancelInstancesRequest::default()
    };
    let by_key = cancel(cancel_instances_request::Selection::Keys(Keys { keys: keys.clone() }));
    let canceled = client.instances().cancel_instances(by_key).await.expect("is answered").into_inner();
    assert_eq!((canceled.canceled, canceled.not_running), (0, keys.clone()));
    let by_filter = cancel(cancel_instances_request::Selection::Filter(InstanceFilter::default()));
    let canceled = client.instances().cancel_instances(by_filter).await.expect("is answered").into_inner();
    assert_eq!(canceled.canceled, 0);
    for selection in [
        resolve_incidents_request::Selection::Keys(Keys { keys }),
        resolve_incidents_request::Selection::Filter(IncidentFilter {
            instance_key: foreign,
            ..IncidentFilter::default()
        }),
    ] {
        let resolve = ResolveIncidentsRequest {
            tenant_id: tenant_id.clone(),
            selection: Some(selection),
            retries: 1,
            ..ResolveIncidentsRequest::default()
        };
        let resolved = client.instances().resolve_incidents(resolve).await.expect("is answered").into_inner();
        assert_eq!(resolved.resolved, 0);
    }
    let list = ListInstancesRequest { tenant_id: tenant_id.clone(), ..ListInstancesRequest::default() };
    let listed = client.instances().list_instances(list).await.expect("is answered").into_inner();
    assert_eq!(listed.instances, []);
    let list = ListProcessDefinitionsRequest { tenant_id, ..ListProcessDefinitionsRequest::default() };
    let listed = client.processes().list_process_definitions(list).await.expect("is answered").into_inner();
    let owners: Vec<String> = listed.definitions.into_iter().map(|definition| definition.tenant_id).collect();
    assert_eq!(owners, ["acme"]);
    assert_eq!(controller.instance("globex", foreign).await, before);
}
