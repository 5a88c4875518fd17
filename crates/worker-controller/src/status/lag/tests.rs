use api_types::worker::WorkflowWorkerStatus;
use rstest::rstest;
use serde_json::json;

use super::*;
use crate::children::autoscaler::Autoscaler;
use crate::testing::{autoscaled, autoscaler_status, children, edit};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// A worker whose status says `lag` and was written at second 0.
fn worker(lag: Option<i64>) -> WorkflowWorker {
    let mut worker = autoscaled();
    worker.status =
        Some(WorkflowWorkerStatus { current_lag_seconds: lag, ..WorkflowWorkerStatus::default() });
    let entry = |manager: &str, subresource: &str, second| json!({"manager": manager, "subresource": subresource, "operation": "Apply", "time": at(second)});
    worker.metadata.managed_fields = serde_json::from_value(json!([
        entry("workflow-worker-controller", "status", 0),
        entry("somebody", "status", 9),
        entry("kubectl", "", 9),
    ]))
    .unwrap();
    worker
}

fn autoscaler(status: &serde_json::Value) -> HorizontalPodAutoscaler {
    let mut children = children(&autoscaled(), Some(2));
    edit(&mut children, &Autoscaler, |autoscaler| autoscaler["status"] = status.clone());
    children.get(&Autoscaler).cloned().unwrap()
}

#[rstest]
#[case::one_pod(1, 90)]
#[case::even(9, 90)]
#[case::rounded_by_the_autoscaler(7, 90)]
#[case::idle(3, 0)]
#[case::thirty_days(1000, 2_592_000)]
fn the_lag_is_what_the_autoscaler_divided_by_its_pods(#[case] pods: i32, #[case] lag: i64) {
    assert_eq!(read_lag_seconds(&autoscaler(&autoscaler_status(pods, lag))), Some(lag));
}

#[rstest]
#[case::seconds("30", Some(60))]
#[case::thousandths("2500m", Some(5))]
#[case::thousands("3k", Some(6_000))]
#[case::below_zero("-5", Some(0))]
#[case::no_number("much", None)]
fn quantities_are_read_as_the_apiserver_writes_them(#[case] average: &str, #[case] expected: Option<i64>) {
    let mut status = autoscaler_status(2, 0);
    status["currentMetrics"][0]["external"]["current"]["averageValue"] = json!(average);
    assert_eq!(read_lag_seconds(&autoscaler(&status)), expected);
}

#[test]
fn the_greatest_lag_of_all_job_types_counts_and_other_metrics_do_not() {
    let metric = |name: &str, average: &str| json!({"type": "External", "external": {"metric": {"name": name}, "current": {"averageValue": average}}});
    let mut status = autoscaler_status(2, 0);
    status["currentMetrics"] =
        json!([metric(LAG_METRIC, "1"), metric(LAG_METRIC, "4"), metric("other", "99"), {"type": ""}]);
    assert_eq!(read_lag_seconds(&autoscaler(&status)), Some(8));
}

#[test]
fn a_fleet_without_pods_tells_no_lag() {
    let mut status = autoscaler_status(1, 5);
    status["currentReplicas"] = json!(0);
    status["currentMetrics"][0]["external"]["current"]["averageValue"] = json!("-9223372036854775808m");
    assert_eq!(read_lag_seconds(&autoscaler(&status)), None);
}

#[rstest]
#[case::unchanged(Some(100), Some(100), false)]
#[case::a_little_more(Some(100), Some(109), false)]
#[case::a_tenth_more(Some(100), Some(110), true)]
#[case::a_tenth_less(Some(100), Some(90), true)]
#[case::over_the_threshold(Some(30), Some(31), true)]
#[case::back_to_the_threshold(Some(31), Some(30), true)]
#[case::from_idle(Some(0), Some(1), true)]
#[case::to_idle(Some(1), Some(0), true)]
#[case::first(None, Some(0), true)]
#[case::last(Some(5), None, true)]
#[case::never(None, None, false)]
fn small_moves_are_not_worth_a_write(
    #[case] former: Option<i64>,
    #[case] seen: Option<i64>,
    #[case] expected: bool,
) {
    assert_eq!(is_worth_a_write(&worker(None), former, seen), expected);
}

#[rstest]
#[case::too_soon(14, 100, Some(20))]
#[case::soon_enough(15, 100, Some(100))]
#[case::hardly_moved(999, 21, Some(20))]
fn for_the_lag_alone_a_status_is_written_seldom(
    #[case] second: i64,
    #[case] seen: i64,
    #[case] expected: Option<i64>,
) {
    let worker = worker(Some(20));
    let status = worker.status.clone().unwrap();
    assert_eq!(settle(&worker, &status, Some(seen), at(second)), expected);
}

#[test]
fn a_status_that_is_written_anyway_tells_the_lag_of_the_moment() {
    let worker = worker(Some(20));
    let changed = WorkflowWorkerStatus { replicas: Some(3), ..worker.status.clone().unwrap() };
    assert_eq!(settle(&worker, &changed, Some(21), at(1)), Some(21));
}

#[test]
fn quiet_time_counts_from_our_own_last_write() {
    assert_eq!(quiet_time_left(&worker(None), at(4)), Duration::from_secs(11));
    assert_eq!(quiet_time_left(&worker(None), at(99)), Duration::ZERO);
    assert_eq!(quiet_time_left(&autoscaled(), at(0)), Duration::ZERO);
}

#[test]
fn whatever_is_worth_a_write_is_another_step() {
    let pairs = (0..2_000_i64).flat_map(|former| {
        [(former, former + (former / 10).max(1)), (former, former - (former / 10).max(1))]
    });
    for (former, seen) in pairs.filter(|(_, seen)| *seen >= 0) {
        let moved = former.abs_diff(seen) * 10 >= former.unsigned_abs();
        assert!(!moved || step_of(former) != step_of(seen), "{former} -> {seen}");
    }
}
