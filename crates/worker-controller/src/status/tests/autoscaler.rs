//! What a worker's status says of its autoscaler and of the lag.

use controller_kit::pass::build_status;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::children::autoscaler::Autoscaler;
use crate::testing::{autoscaled, edit, running, worker_with};

#[test]
fn a_fleet_of_zero_is_stopped_and_ready() {
    let worker = worker_with(|worker| worker["spec"]["replicas"] = json!(0));
    let expected = expected_of(
        WorkerPhase::Stopped,
        Readiness::Ready,
        Reason::Stopped,
        "spec.replicas is 0: no worker pod runs",
        SETTLED,
        facts(0, Rollout::Stopped, MetricsView::Disabled, None),
    );
    assert_eq!(assessed(&worker, &running(&worker, 0, 0)), expected);
}

fn with_autoscaler_conditions(conditions: &Value) -> Observed {
    let mut world = running(&autoscaled(), 2, 0);
    edit(&mut world.children, &Autoscaler, |it| {
        it["status"] = json!({"currentReplicas": 2, "desiredReplicas": 2, "conditions": conditions});
    });
    world
}

fn condition(type_: &str, status: &str, reason: &str) -> Value {
    json!({"type": type_, "status": status, "reason": reason, "message": "pods are controlled by [a b]"})
}

#[rstest]
#[case::silent(json!([]), MetricsView::Awaited, Reason::Reconciling, Readiness::InProgress, "the autoscaler has not reported yet")]
#[case::only_able(json!([condition("AbleToScale", "True", "SucceededGetScale")]), MetricsView::Awaited, Reason::Reconciling,
    Readiness::InProgress, "the autoscaler has not reported yet")]
#[case::no_metric(json!([condition("AbleToScale", "True", "SucceededGetScale"), condition("ScalingActive", "False", "FailedGetExternalMetric")]),
    MetricsView::Unavailable("the autoscaler keeps the number of pods: FailedGetExternalMetric".into()),
    Reason::MetricsUnavailable, Readiness::InProgress, "the autoscaler keeps the number of pods: FailedGetExternalMetric")]
#[case::no_scale(json!([condition("AbleToScale", "False", "FailedGetScale")]),
    MetricsView::Unavailable("the autoscaler keeps the number of pods: FailedGetScale".into()),
    Reason::MetricsUnavailable, Readiness::InProgress, "the autoscaler keeps the number of pods: FailedGetScale")]
#[case::no_update(json!([condition("AbleToScale", "False", "FailedUpdateScale"), condition("ScalingActive", "True", "ValidMetricFound")]),
    MetricsView::Unavailable("the autoscaler keeps the number of pods: FailedUpdateScale".into()),
    Reason::MetricsUnavailable, Readiness::InProgress, "the autoscaler keeps the number of pods: FailedUpdateScale")]
#[case::rival(json!([condition("AbleToScale", "True", "SucceededGetScale"), condition("ScalingActive", "False", "AmbiguousSelector")]),
    MetricsView::Conflict("another autoscaler scales the same pods: pods are controlled by [a b]".into()),
    Reason::AutoscalerConflict, Readiness::Stalled, "another autoscaler scales the same pods: pods are controlled by [a b]")]
fn the_autoscalers_trouble_is_reported(
    #[case] conditions: Value,
    #[case] metrics: MetricsView,
    #[case] reason: Reason,
    #[case] readiness: Readiness,
    #[case] message: &str,
) {
    let (phase, next) = match reason {
        Reason::Reconciling => (WorkerPhase::Progressing, Next::Wait { recheck: RECHECK_WATCHED }),
        _ => (WorkerPhase::Degraded, SETTLED),
    };
    let expected =
        expected_of(phase, readiness, reason, message, next, facts(2, Rollout::Complete, metrics, None));
    assert_eq!(assessed(&autoscaled(), &with_autoscaler_conditions(&conditions)), expected);
}

#[test]
fn a_job_type_whose_lag_is_missing_is_named() {
    let mut worker = autoscaled();
    worker.spec.job_types =
        vec!["refund-payment".into(), "charge-payment".into(), "io.camunda:http-json:1".into()];
    let assessment = assessed(&worker, &running(&worker, 2, 0));
    let message = "the autoscaler gets no lag of io.camunda:http-json:1, refund-payment";
    let expected = expected_of(
        WorkerPhase::Degraded,
        Readiness::InProgress,
        Reason::MetricsUnavailable,
        message,
        SETTLED,
        facts(2, Rollout::Complete, MetricsView::Unavailable(message.into()), Some(0)),
    );
    assert_eq!(assessment, expected);
}

#[test]
fn a_lag_that_may_not_be_written_yet_is_looked_at_again() {
    let mut worker = autoscaled();
    let assessment = assessed(&worker, &running(&worker, 2, 20));
    worker.status = Some(build_status::<Workers>(&worker, &assessment, at(0)));
    worker.metadata.managed_fields = serde_json::from_value(json!([
        {"manager": "workflow-worker-controller", "subresource": "status", "operation": "Apply", "time": at(0)},
    ]))
    .unwrap();
    let assessment = assessed(&worker, &running(&worker, 2, 400));
    let early = build_status::<Workers>(&worker, &assessment, at(5));
    assert_eq!(early.current_lag_seconds, Some(20));
    assert_eq!(
        plan_next(&worker, &assessment, &early, at(5)),
        Next::Wait { recheck: Duration::from_secs(10) }
    );
    let late = build_status::<Workers>(&worker, &assessment, at(15));
    assert_eq!(late.current_lag_seconds, Some(400));
    assert_eq!(plan_next(&worker, &assessment, &late, at(15)), SETTLED);
}

#[test]
fn pods_that_the_autoscaler_adds_are_looked_at_again() {
    let worker = autoscaled();
    let world = with_deployment(&worker, 8, |it| it["status"]["readyReplicas"] = json!(3));
    let assessment = assessed(&worker, &world);
    let status = status_of(&worker, &assessment);
    assert!(status.ready);
    assert_eq!(plan_next(&worker, &assessment, &status, at(0)), Next::Wait { recheck: RECHECK_PODS });
}

#[test]
fn pods_that_an_autoscaler_left_are_reported_with_what_sets_their_number() {
    let worker = worker_with(|worker| worker["spec"]["replicas"] = json!(3));
    let expected = expected_of(
        WorkerPhase::Running,
        Readiness::Ready,
        Reason::Running,
        "8 pods run, as the autoscaler left them; change spec.replicas to set their number",
        SETTLED,
        Facts { kept_replicas: Some(8), ..facts(8, Rollout::Complete, MetricsView::Disabled, None) },
    );
    assert_eq!(assessed(&worker, &running(&worker, 8, 0)), expected);
}

#[test]
fn an_autoscaled_fleet_that_runs_tells_its_lag() {
    let worker = autoscaled();
    let expected = expected_of(
        WorkerPhase::Running,
        Readiness::Ready,
        Reason::Running,
        "the fleet runs as the spec says",
        SETTLED,
        facts(3, Rollout::Complete, MetricsView::Available, Some(85)),
    );
    let assessment = assessed(&worker, &running(&worker, 3, 85));
    assert_eq!(assessment, expected);
    insta::assert_yaml_snapshot!("running", status_of(&worker, &assessment));
}
