use std::time::Duration;

use controller_kit::outcome::Next;
use engine_client::Operation;
use engine_client::model::{
    ActivateJobs, FailJob, IncidentFilter, ResolveIncidents, Selection, StartInstances, Variables,
};
use rstest::rstest;
use serde_json::json;

use super::*;
use crate::testing::{ORDER_FLOW, World, applied};

#[rstest]
#[case::nobody_asked(None, None, None)]
#[case::none_was_ever_seen(None, Some(0), None)]
#[case::the_first(None, Some(1), Some(1))]
#[case::a_few_more(Some(3), Some(4), Some(4))]
#[case::within_five_percent(Some(100), Some(105), Some(100))]
#[case::beyond(Some(100), Some(106), Some(106))]
#[case::fewer(Some(100), Some(94), Some(94))]
#[case::the_last_is_gone(Some(1), Some(0), Some(0))]
#[case::the_last_of_many_is_gone(Some(1_000), Some(0), Some(0))]
#[case::none_still(Some(0), Some(0), Some(0))]
#[case::again(Some(0), Some(2), Some(2))]
#[case::an_engine_that_does_not_answer(Some(7), None, Some(7))]
fn the_figure_moves_only_with_what_matters(
    #[case] former: Option<i64>,
    #[case] counted: Option<u64>,
    #[case] reported: Option<i64>,
) {
    assert_eq!(reported_incidents(former, counted), reported);
}

/// One deployed process, and instances of it whose first job has no attempts left.
async fn stuck(world: &World, instances: usize) {
    let engine = world.engine();
    let start = StartInstances {
        request_id: String::new(),
        tenant_id: "acme".into(),
        process_id: "order-flow".into(),
        version: None,
        variables: vec![Variables::default(); instances],
    };
    engine.start_instances(&start).await.unwrap();
    let activate = ActivateJobs {
        tenant_id: "acme".into(),
        job_types: vec!["charge-payment".into()],
        worker: "tester".into(),
        max_jobs: 1_000,
        lease: Duration::from_mins(1),
        wait: Duration::ZERO,
    };
    for job in engine.activate_jobs(&activate).await.unwrap() {
        let fail = FailJob {
            job: job.job_ref(),
            retries: 0,
            retry_backoff: Duration::ZERO,
            error_message: "card declined".into(),
        };
        assert!(engine.fail_job(&fail).await.unwrap());
    }
}

/// What wakes whom: names, in order.
async fn look(world: &World) -> Vec<String> {
    let woken = world.counter().look(&world.processes()).await;
    woken.into_iter().map(|process| process.name).collect()
}

async fn deployed() -> World {
    let world = World::with(&[applied("order-flow", &json!({"bpmn": ORDER_FLOW}))]);
    world.settle("order-flow").await;
    world
}

#[tokio::test]
async fn the_first_incident_is_reported_in_the_status_and_by_one_event() {
    let world = deployed().await;
    assert_eq!(look(&world).await, Vec::<String>::new(), "none is no news");
    stuck(&world, 2).await;
    assert_eq!(look(&world).await, ["order-flow"]);
    world.settle("order-flow").await;
    assert_eq!(world.status("order-flow").open_incidents, Some(2));
    let reported = (
        "IncidentsOpen".to_owned(),
        "IncidentsOpen: 2 open. Resolve or cancel (docs/operations.md); list: GET \
         /api/v1/incidents?tenantId=acme&bpmnProcessId=order-flow"
            .to_owned(),
    );
    assert_eq!(world.events("order-flow").pop(), Some(reported));

    let events = world.events("order-flow").len();
    stuck(&world, 1).await;
    assert_eq!(look(&world).await, ["order-flow"]);
    world.settle("order-flow").await;
    assert_eq!(world.status("order-flow").open_incidents, Some(3));
    assert_eq!(look(&world).await, Vec::<String>::new(), "it is told");

    let resolve = ResolveIncidents {
        request_id: String::new(),
        tenant_id: "acme".into(),
        selection: Selection::Filter { filter: IncidentFilter::default(), page: None },
        retries: 1,
        variables: Variables::default(),
    };
    world.engine().resolve_incidents(&resolve).await.unwrap();
    assert_eq!(look(&world).await, ["order-flow"]);
    world.settle("order-flow").await;
    assert_eq!(world.status("order-flow").open_incidents, Some(0));
    assert_eq!(world.events("order-flow").len(), events, "only the first is an event");
}

#[tokio::test]
async fn processes_of_one_tenant_cost_one_call_however_many_they_are() {
    let processes: Vec<_> = (0..50)
        .map(|number| {
            let document = ORDER_FLOW.replace("order-flow", &format!("order-{number}"));
            applied(&format!("order-{number}"), &json!({"bpmn": document}))
        })
        .collect();
    let world = World::with(&processes);
    for number in 0..50 {
        world.settle(&format!("order-{number}")).await;
    }
    let before = world.writes();
    for _ in 0..3 {
        assert_eq!(look(&world).await, Vec::<String>::new());
    }
    assert_eq!((world.engine().count(Operation::CountIncidents), world.writes()), (3, before));
}

#[tokio::test]
async fn an_engine_that_is_away_changes_no_figure() {
    let world = deployed().await;
    stuck(&world, 2).await;
    look(&world).await;
    world.settle("order-flow").await;
    world.engine().set_unreachable(true);
    assert_eq!(look(&world).await, Vec::<String>::new());
    let before = world.writes();
    world.pass("order-flow").await;
    assert_eq!((world.status("order-flow").open_incidents, world.writes()), (Some(2), before));
}

#[tokio::test]
async fn what_is_being_deleted_or_was_never_deployed_is_not_asked_about() {
    let world = World::with(&[applied("order-flow", &json!({"bpmn": ORDER_FLOW}))]);
    assert_eq!(look(&world).await, Vec::<String>::new());
    assert_eq!(world.engine().count(Operation::CountIncidents), 0);
    world.settle("order-flow").await;
    world.engine().set_unreachable(true);
    world.delete("order-flow").await;
    assert!(matches!(world.pass("order-flow").await, Next::Failed(_)));
    look(&world).await;
    assert_eq!(world.engine().count(Operation::CountIncidents), 0);
}

/// A process whose source is refused goes on with what it deployed before.
#[tokio::test]
async fn incidents_of_what_still_runs_are_reported_while_the_new_source_is_refused() {
    let world = deployed().await;
    stuck(&world, 1).await;
    world.edit("order-flow", |process| process["spec"]["source"]["bpmn"] = json!("<not-bpmn/>"));
    world.settle("order-flow").await;
    assert_eq!(look(&world).await, ["order-flow"]);
    world.settle("order-flow").await;
    assert_eq!(
        (world.reported("order-flow").0.as_str(), world.status("order-flow").open_incidents),
        ("Failed", Some(1))
    );
    assert_eq!(look(&world).await, Vec::<String>::new());
}
