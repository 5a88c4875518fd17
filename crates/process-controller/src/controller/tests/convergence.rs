//! A process from its creation on, run until nothing is written any more.

use std::sync::Arc;
use std::time::Duration;

use api_types::condition::{VALID, WORKERS_AVAILABLE};
use api_types::{WorkflowCluster, WorkflowTenant};
use controller_kit::condition::find;
use controller_kit::controller::Reconciler as _;
use controller_kit::outcome::{ErrorClass, Next};
use controller_testing::World as _;
use engine_client::Operation;
use engine_client::model::{Finding, QuotaKind, Severity};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use serde_json::{Value, json};
use test_support::builders;

use crate::status::RESYNC;
use crate::testing::{HOME, NO_TASK_DEFINITION, ORDER_FLOW, World, applied};

const SETTLED: Next = Next::Settled { resync: RESYNC };
const UNTIL_CHANGED: Next = Next::Failed(ErrorClass::Invalid);

fn reported(phase: &str, version: Option<i32>, message: &str) -> (String, Option<i32>, String) {
    (phase.to_owned(), version, message.to_owned())
}

fn event(reason: &str, note: &str) -> (String, String) {
    (reason.to_owned(), note.to_owned())
}

fn inline() -> World {
    World::with(&[applied("order-flow", &json!({"bpmn": ORDER_FLOW}))])
}

/// The process with its BPMN in a ConfigMap.
fn from_config_map(bpmn: &str) -> World {
    let source = json!({"configMapRef": {"name": "order-flow-bpmn", "key": "process.bpmn"}});
    let world = World::with(&[applied("order-flow", &source)]);
    world.apiserver.seed(&config_map(bpmn));
    world
}

fn config_map(bpmn: &str) -> ConfigMap {
    let mut config_map = ConfigMap::default();
    config_map.metadata.namespace = Some(HOME.to_owned());
    config_map.metadata.name = Some("order-flow-bpmn".to_owned());
    config_map.data = Some([("process.bpmn".to_owned(), bpmn.to_owned())].into());
    config_map
}

fn set_config_map(world: &World, bpmn: &str) {
    world
        .apiserver
        .edit::<ConfigMap>(HOME, "order-flow-bpmn", |map| map["data"]["process.bpmn"] = json!(bpmn));
}

/// The same process, another document.
fn renamed_task() -> String {
    ORDER_FLOW.replace("Refund payment", "Give the money back")
}

/// The versions of `order-flow` by what they say: `true` = [`ORDER_FLOW`].
fn versions(world: &World) -> Vec<(u32, bool)> {
    let sha256 = bpmn::digest(ORDER_FLOW.as_bytes());
    let definitions = world.engine().definitions("acme");
    definitions.iter().map(|found| (found.version, found.content_sha256 == sha256)).collect()
}

#[tokio::test]
async fn a_new_process_is_deployed_and_tells_version_and_key() {
    let world = inline();
    assert_eq!(world.settle("order-flow").await, SETTLED);
    assert_eq!(
        serde_json::to_value(world.status("order-flow")).unwrap(),
        json!({
            "observedGeneration": 1,
            "phase": "Deployed",
            "ready": true,
            "message": "Deployed v1 (key=1)",
            "conditions": [
                condition("Deployed", "True", "Deployed", "Deployed v1 (key=1)"),
                condition("Ready", "True", "Deployed", "Deployed v1 (key=1)"),
                condition("Valid", "True", "Valid", "accepted"),
                condition("WorkersAvailable", "False", "WorkersMissing",
                    "no WorkflowWorker serves charge-payment, refund-payment"),
            ],
            "processDefinitionKey": 1,
            "bpmnProcessId": "order-flow",
            "version": 1,
            "versionTag": "v1.2.3",
            "deployedAt": "1970-01-01T00:00:00Z",
            "sourceDigest": format!("sha256:{}", bpmn::digest(ORDER_FLOW.as_bytes())),
            "jobTypes": ["charge-payment", "refund-payment"],
        })
    );
    assert_eq!(world.events("order-flow"), [event("Deployed", "Deployed v1 (key=1)")]);
    let owner = world.engine().process_owner("acme", "order-flow");
    assert_eq!(owner.map(|owner| owner.uid).as_deref(), Some("uid-of-order-flow"));
}

fn condition(type_: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({
        "type": type_,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": 1,
        "lastTransitionTime": "2026-05-14T10:30:00Z",
    })
}

#[tokio::test]
async fn a_life_costs_few_writes_and_few_events_and_a_settled_process_none() {
    let world = inline();
    world.settle("order-flow").await;
    let (deploying, _) = world.writes();
    assert_eq!(deploying, 2, "finalizer and status");

    let before = world.writes();
    let mut reconciler = world.started();
    for _ in 0..20 {
        assert_eq!(world.pass_of(&mut reconciler, "order-flow").await, SETTLED);
    }
    assert_eq!(world.writes(), before);

    world.delete("order-flow").await;
    assert_eq!(world.settle("order-flow").await, Next::Gone);
    let (life, calls) = world.writes();
    assert_eq!((life, calls), (3, 2), "API writes and engine calls of a whole life");
    assert!(world.events("order-flow").len() <= 3, "{:?}", world.events("order-flow"));
}

/// Cluster and tenant as they are while both start: each change is followed by a pass.
#[tokio::test]
async fn a_process_that_is_applied_with_its_cluster_tells_once_that_it_waits() {
    let world = inline();
    let set_cluster = |status: Value| {
        world.apiserver.edit::<WorkflowCluster>("workflow-system", "prod-east", |cluster| {
            cluster["status"] = status;
        });
    };
    let set_tenant = |ready: bool| {
        world.apiserver.edit::<WorkflowTenant>("workflow-system", "acme", |tenant| {
            tenant["status"]["ready"] = json!(ready);
        });
    };
    let endpoint = crate::testing::cluster().status.unwrap().endpoint;
    set_tenant(false);
    set_cluster(json!({}));
    assert_eq!(world.settle("order-flow").await, Next::Wait { recheck: Duration::from_mins(1) });
    set_cluster(json!({"endpoint": endpoint}));
    assert_eq!(world.settle("order-flow").await, Next::Wait { recheck: Duration::from_mins(1) });
    set_cluster(json!({"endpoint": endpoint, "acceptsDeployments": true, "ready": true}));
    assert_eq!(world.settle("order-flow").await, Next::Wait { recheck: Duration::from_mins(1) });
    set_tenant(true);
    assert_eq!(world.settle("order-flow").await, SETTLED);
    world.delete("order-flow").await;
    assert_eq!(world.settle("order-flow").await, Next::Gone);

    let waits =
        "ClusterNotReady: WorkflowCluster workflow-system/prod-east has no endpoint yet or is being deleted";
    assert_eq!(
        world.events("order-flow"),
        [event("ClusterNotReady", waits), event("Deployed", "Deployed v1 (key=1)")]
    );
    assert_eq!(world.writes().0, 4, "wait, finalizer, deployed, finalizer");
}

#[tokio::test]
async fn an_invalid_document_fails_with_rule_and_place_and_without_any_engine_call() {
    let world = World::with(&[applied("order-flow", &json!({"bpmn": NO_TASK_DEFINITION}))]);
    assert_eq!(world.settle("order-flow").await, UNTIL_CHANGED);
    let message = "missing taskDefinition on Task_charge (missing-task-definition, line 7, column 5)";
    assert_eq!(world.reported("order-flow"), reported("Failed", None, message));
    assert_eq!(
        world.events("order-flow"),
        [event("ValidationFailed", &format!("ValidationFailed: {message}"))]
    );
    assert_eq!(world.engine().calls(), []);
}

#[tokio::test]
async fn the_engines_refusal_is_asked_for_once_per_source() {
    let world = from_config_map(ORDER_FLOW);
    world.engine().reject_documents_with(
        "Refund payment",
        vec![Finding {
            rule_id: "engine-rule".into(),
            severity: Severity::Error,
            element_id: Some("Task_refund".into()),
            line: 20,
            column: 5,
            message: "Task_refund is too generous".into(),
        }],
    );
    for _ in 0..20 {
        assert_eq!(world.pass("order-flow").await, UNTIL_CHANGED);
    }
    let message = "Task_refund is too generous (engine-rule, line 20, column 5)";
    assert_eq!(world.reported("order-flow"), reported("Failed", None, message));
    assert_eq!(
        world.events("order-flow"),
        [event("RejectedByEngine", &format!("RejectedByEngine: {message}"))]
    );
    assert_eq!(world.engine().count(Operation::DeployProcess), 1);
    let valid = world.status("order-flow").conditions;
    assert_eq!(find(&valid, VALID).unwrap().status, "False");

    set_config_map(&world, &renamed_task());
    assert_eq!(world.settle("order-flow").await, SETTLED);
    assert_eq!(world.reported("order-flow").0, "Deployed");
}

#[tokio::test]
async fn an_edited_config_map_becomes_a_new_version_and_the_same_bytes_do_not() {
    let world = from_config_map(ORDER_FLOW);
    world.settle("order-flow").await;
    set_config_map(&world, ORDER_FLOW);
    world.settle("order-flow").await;
    assert_eq!(versions(&world), [(1, true)]);

    set_config_map(&world, &renamed_task());
    world.settle("order-flow").await;
    assert_eq!(world.reported("order-flow"), reported("Deployed", Some(2), "Deployed v2 (key=2)"));
    assert_eq!(versions(&world), [(1, true), (2, false)]);
}

#[tokio::test]
async fn going_back_to_older_bytes_makes_them_current_again_as_often_as_one_likes() {
    let world = from_config_map(ORDER_FLOW);
    let other = renamed_task();
    for bpmn in [ORDER_FLOW, &other, ORDER_FLOW, &other, ORDER_FLOW] {
        set_config_map(&world, bpmn);
        assert_eq!(world.settle("order-flow").await, SETTLED);
    }
    assert_eq!(versions(&world), [(1, true), (2, false), (3, true), (4, false), (5, true)]);
    assert_eq!(world.reported("order-flow").1, Some(5));
}

#[tokio::test]
async fn a_document_with_another_process_id_retires_what_ran_under_the_former_one() {
    let world = from_config_map(ORDER_FLOW);
    let renamed = ORDER_FLOW.replace("id=\"order-flow\"", "id=\"order-flow-2\"");
    for (bpmn, process_id) in [
        (ORDER_FLOW, "order-flow"),
        (&renamed, "order-flow-2"),
        (ORDER_FLOW, "order-flow"),
        (&renamed, "order-flow-2"),
    ] {
        set_config_map(&world, bpmn);
        assert_eq!(world.settle("order-flow").await, SETTLED);
        let ids: Vec<_> = world.engine().definitions("acme").into_iter().map(|d| d.process_id).collect();
        assert_eq!(ids, [process_id]);
        assert_eq!(world.status("order-flow").bpmn_process_id.as_deref(), Some(process_id));
    }
}

#[tokio::test]
async fn a_former_process_id_is_not_forgotten_while_it_cannot_be_retired() {
    let world = from_config_map(ORDER_FLOW);
    world.settle("order-flow").await;
    set_config_map(&world, &ORDER_FLOW.replace("id=\"order-flow\"", "id=\"order-flow-2\""));
    world.engine().fail_once(Operation::DeleteProcess, engine_client::ErrorClass::Unavailable);
    assert_eq!(world.pass("order-flow").await, Next::Failed(ErrorClass::Transient));
    assert_eq!(world.status("order-flow").retiring, ["order-flow"]);
    assert_eq!(world.settle("order-flow").await, SETTLED);
    assert_eq!(world.status("order-flow").bpmn_process_id.as_deref(), Some("order-flow-2"));
    assert_eq!(world.status("order-flow").retiring, Vec::<String>::new());
    assert_eq!(world.engine().definitions("acme").len(), 1);
}

#[tokio::test]
async fn an_unreachable_engine_is_tried_with_backoff_and_undoes_nothing() {
    let world = inline();
    world.settle("order-flow").await;
    let (status, events) = (world.status("order-flow"), world.events("order-flow"));
    world.engine().set_unreachable(true);
    for _ in 0..3 {
        assert_eq!(world.pass("order-flow").await, Next::Failed(ErrorClass::Transient));
    }
    assert_eq!(world.status("order-flow"), status);
    assert_eq!(world.events("order-flow"), events);
    world.engine().heal();
    assert_eq!(world.settle("order-flow").await, SETTLED);
    assert_eq!(versions(&world), [(1, true)]);
}

#[tokio::test]
async fn an_engine_that_was_never_reached_is_reported() {
    let world = inline();
    world.engine().set_unreachable(true);
    assert_eq!(world.settle("order-flow").await, Next::Failed(ErrorClass::Transient));
    let message = "get process definition: connection to the engine failed";
    assert_eq!(world.reported("order-flow"), reported("Pending", None, message));
    assert_eq!(
        world.events("order-flow"),
        [event("EngineUnreachable", &format!("EngineUnreachable: {message}"))]
    );
}

#[tokio::test]
async fn a_quota_blocks_and_a_freed_one_lets_the_deployment_go_on() {
    let world = inline();
    let full = engine_client::ErrorClass::QuotaExceeded { quota: QuotaKind::Storage, limit: 10, current: 11 };
    world.engine().fail(Operation::DeployProcess, full);
    assert_eq!(world.pass("order-flow").await, Next::Wait { recheck: Duration::from_mins(1) });
    assert_eq!(world.reported("order-flow").0, "Blocked");
    assert_eq!(world.events("order-flow")[0].0, "QuotaExceeded");
    world.engine().heal();
    assert_eq!(world.settle("order-flow").await, SETTLED);
}

#[tokio::test]
async fn a_suspended_tenant_blocks_new_deployments() {
    let world = inline();
    let suspend = |suspended: bool| {
        world.apiserver.edit::<WorkflowTenant>("workflow-system", "acme", |tenant| {
            tenant["spec"]["suspended"] = json!(suspended);
        });
    };
    suspend(true);
    assert_eq!(world.settle("order-flow").await, Next::Wait { recheck: Duration::from_mins(1) });
    assert_eq!(
        world.reported("order-flow"),
        reported(
            "Blocked",
            None,
            "WorkflowTenant workflow-system/acme is suspended; set its spec.suspended to false"
        )
    );
    assert_eq!(world.engine().count(Operation::DeployProcess), 0);
    suspend(false);
    assert_eq!(world.settle("order-flow").await, SETTLED);
}

#[tokio::test]
async fn a_lost_definition_is_deployed_again_and_again() {
    let world = inline();
    world.settle("order-flow").await;
    for n in 0..2 {
        world.engine().lose_definitions("acme", "order-flow");
        assert_eq!(world.settle("order-flow").await, SETTLED);
        assert_eq!(versions(&world), [(1, true)], "loss {n}");
    }
    let reported: Vec<_> = world.events("order-flow").into_iter().map(|(reason, _)| reason).collect();
    assert_eq!(reported, ["Deployed", "Deployed", "Redeployed", "Deployed", "Redeployed"]);
    let redeployed = event("Redeployed", "the engine had lost the definition; deployed it again as v1");
    assert!(world.events("order-flow").contains(&redeployed));
}

#[tokio::test]
async fn of_two_objects_with_one_process_id_the_first_stays_and_the_other_is_reported() {
    let world = World::with(&[
        applied("order-flow", &json!({"bpmn": ORDER_FLOW})),
        applied("duplicate", &json!({"bpmn": renamed_task()})),
    ]);
    world.settle("order-flow").await;
    assert_eq!(world.pass("duplicate").await, Next::Wait { recheck: Duration::from_mins(5) });
    let message = "process id order-flow is deployed by WorkflowProcess/acme-tenant/order-flow already; delete one of the two, or change the process id";
    assert_eq!(world.reported("duplicate"), reported("Failed", None, message));
    assert_eq!(
        world.events("duplicate"),
        [event("DuplicateProcessId", &format!("DuplicateProcessId: {message}"))]
    );
    assert_eq!(versions(&world), [(1, true)]);

    world.delete("duplicate").await;
    assert_eq!(world.settle("duplicate").await, Next::Gone);
    assert_eq!(versions(&world), [(1, true)]);
    assert_eq!(world.settle("order-flow").await, SETTLED);
}

#[tokio::test]
async fn a_rolling_cluster_keeps_what_is_deployed_and_makes_new_ones_wait() {
    let world = inline();
    let accept = |accepts: bool| {
        world.apiserver.edit::<WorkflowCluster>("workflow-system", "prod-east", |cluster| {
            cluster["status"]["acceptsDeployments"] = json!(accepts);
        });
    };
    accept(false);
    assert_eq!(world.settle("order-flow").await, Next::Wait { recheck: Duration::from_mins(1) });
    assert_eq!(world.reported("order-flow").0, "Pending");
    accept(true);
    world.settle("order-flow").await;
    let deployed = world.status("order-flow");
    accept(false);
    world.settle("order-flow").await;
    assert_eq!(world.status("order-flow"), deployed);
}

#[tokio::test]
async fn a_missing_config_map_is_awaited_and_an_outage_of_the_apiserver_is_not_reported_as_one() {
    let source = json!({"configMapRef": {"name": "order-flow-bpmn", "key": "process.bpmn"}});
    let world = World::with(&[applied("order-flow", &source)]);
    assert_eq!(world.settle("order-flow").await, UNTIL_CHANGED);
    assert_eq!(
        world.reported("order-flow"),
        reported(
            "Pending",
            None,
            "spec.source.configMapRef.name: ConfigMap acme-tenant/order-flow-bpmn does not exist"
        )
    );
    world.apiserver.seed(&config_map(ORDER_FLOW));
    assert_eq!(world.settle("order-flow").await, SETTLED);

    let deployed = world.status("order-flow");
    world.apiserver.intercept(|request| {
        let read = request.path.ends_with("/configmaps/order-flow-bpmn");
        read.then(|| test_support::reply::failure(503, "ServiceUnavailable", "etcd is away").into())
    });
    assert_eq!(world.pass("order-flow").await, Next::Failed(ErrorClass::Transient));
    assert_eq!(world.status("order-flow"), deployed);
}

#[tokio::test]
async fn a_worker_for_every_job_type_is_noticed() {
    let world = inline();
    world.settle("order-flow").await;
    let mut worker = builders::worker(HOME, "payments", &crate::testing::cluster());
    worker.spec.tenant_ref = Some(builders::tenant_reference(&crate::testing::tenant()));
    worker.spec.job_types = vec!["charge-payment".into(), "refund-payment".into()];
    let available = || {
        let conditions = world.status("order-flow").conditions;
        find(&conditions, WORKERS_AVAILABLE).map(|c| (c.status.clone(), c.reason.clone())).unwrap()
    };
    assert_eq!(available(), ("False".to_owned(), "WorkersMissing".to_owned()));
    world.apiserver.seed(&worker);
    world.settle("order-flow").await;
    assert_eq!(available(), ("True".to_owned(), "WorkersAvailable".to_owned()));
}

#[tokio::test]
async fn a_paused_process_is_reported_and_not_deployed() {
    let world = inline();
    world.edit("order-flow", |process| process["spec"]["paused"] = json!(true));
    assert_eq!(world.settle("order-flow").await, SETTLED);
    assert_eq!(
        world.reported("order-flow"),
        reported("Pending", None, "spec.paused is true: nothing is deployed")
    );
    assert_eq!(world.engine().count(Operation::DeployProcess), 0);
    world.edit("order-flow", |process| process["spec"]["paused"] = json!(false));
    world.settle("order-flow").await;
    world.edit("order-flow", |process| process["spec"]["paused"] = json!(true));
    assert_eq!(world.settle("order-flow").await, SETTLED);
    assert_eq!(world.reported("order-flow").0, "Deployed");
}

#[tokio::test]
async fn a_status_that_cannot_be_written_fails_the_pass_and_is_reported_by_the_next() {
    let world = inline();
    let refusals = std::sync::atomic::AtomicUsize::new(1);
    world.apiserver.intercept(move |request| {
        let refused = request.path.ends_with("/status")
            && refusals
                .fetch_update(
                    std::sync::atomic::Ordering::SeqCst,
                    std::sync::atomic::Ordering::SeqCst,
                    |left| left.checked_sub(1),
                )
                .is_ok();
        refused.then(|| test_support::reply::failure(503, "ServiceUnavailable", "etcd is away").into())
    });
    let reconciler = world.started();
    let process = world.apiserver.get(HOME, "order-flow").unwrap();
    let pass = reconciler.reconcile(Arc::new(process)).await;
    assert_eq!(pass.next, Next::Failed(ErrorClass::Transient));
    assert!(pass.written.is_some(), "the finalizer was written");
    assert_eq!(world.settle("order-flow").await, SETTLED);
    assert_eq!(versions(&world), [(1, true)]);
}

#[tokio::test]
async fn a_withdrawn_grant_stops_deployments_and_reads_like_a_missing_cluster() {
    let world = inline();
    world.apiserver.edit::<Namespace>("", HOME, |namespace| namespace["metadata"]["labels"] = json!({}));
    assert_eq!(world.settle("order-flow").await, UNTIL_CHANGED);
    assert_eq!(
        world.reported("order-flow").2,
        "spec.clusterRef prod-east, spec.tenantRef acme: not found or not permitted from namespace acme-tenant; \
         grant: label that Namespace workflow.example.com/tenant=acme"
    );
    assert_eq!(world.engine().calls(), []);
}
