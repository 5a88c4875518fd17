use rstest::rstest;
use serde_json::{Value, json};

use super::*;

fn now() -> Timestamp {
    "2026-01-01T01:00:00Z".parse().unwrap()
}

fn pod(name: &str, template: &str, created: &str, status: &Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {"pod-template-hash": template}, "creationTimestamp": created},
        "status": status,
    }))
    .unwrap()
}

fn current(name: &str, status: &Value) -> Pod {
    pod(name, "new", "2026-01-01T00:59:00Z", status)
}

fn container(container: &Value) -> Value {
    let mut full = json!({"name": "worker", "ready": false, "restartCount": 0, "image": "i", "imageID": "i"});
    for (field, value) in container.as_object().unwrap() {
        full[field] = value.clone();
    }
    json!({"containerStatuses": [full]})
}

fn waiting(reason: &str) -> Value {
    container(&json!({"state": {"waiting": {"reason": reason, "message": "because"}}}))
}

fn restarted(times: i32, ended: &str) -> Value {
    container(&json!({
        "restartCount": times, "state": {"running": {}}, "lastState": {"terminated": {"exitCode": 1, "finishedAt": ended}},
    }))
}

#[rstest]
#[case::starting(waiting("ContainerCreating"), None)]
#[case::initializing(waiting("PodInitializing"), None)]
#[case::running(container(&json!({"state": {"running": {}}})), None)]
#[case::pulling_fails(waiting("ErrImagePull"), Some("ImagePullBackOff"))]
#[case::pulling_waits(waiting("ImagePullBackOff"), Some("ImagePullBackOff"))]
#[case::crashing(waiting("CrashLoopBackOff"), Some("CrashLoopBackOff"))]
#[case::configuration(waiting("CreateContainerConfigError"), Some("CreateContainerConfigError: because"))]
#[case::between_two_crashes(restarted(2, "2026-01-01T00:55:00Z"), Some("CrashLoopBackOff"))]
#[case::restarted_once(restarted(1, "2026-01-01T00:55:00Z"), None)]
#[case::crashed_long_ago(restarted(9, "2026-01-01T00:45:00Z"), None)]
#[case::no_node(
    json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]}), Some("Unschedulable"))]
#[case::just_made(json!({}), None)]
fn a_stuck_pod_is_reported_with_its_state(#[case] status: Value, #[case] expected: Option<&str>) {
    let expected = expected.map(|state| StuckPod { pod: "a".into(), state: state.into() });
    assert_eq!(find_stuck(&[current("a", &status)], now()), expected);
}

#[test]
fn the_first_by_name_is_reported() {
    let pods = ["b", "a", "c"].map(|name| current(name, &waiting("ImagePullBackOff")));
    assert_eq!(find_stuck(&pods, now()).unwrap().pod, "a");
}

#[test]
fn pods_of_a_former_template_and_pods_that_go_do_not_count() {
    let former = pod("a", "old", "2026-01-01T00:00:00Z", &waiting("ImagePullBackOff"));
    let mut going = current("b", &waiting("ImagePullBackOff"));
    going.metadata.deletion_timestamp = going.metadata.creation_timestamp.clone();
    let starting = current("c", &waiting("ContainerCreating"));
    assert_eq!(find_stuck(&[former, going, starting], now()), None);
}

#[test]
fn no_pod_is_not_stuck() {
    assert_eq!(find_stuck(&[], now()), None);
}

#[rstest]
#[case::all_there(json!({"replicas": 2, "availableReplicas": 2}), true)]
#[case::one_starting(json!({"replicas": 2, "availableReplicas": 1}), false)]
#[case::one_not_made(json!({"replicas": 1, "availableReplicas": 1}), false)]
#[case::one_too_many(json!({"replicas": 3, "availableReplicas": 2}), false)]
#[case::no_status(json!(null), false)]
fn pods_are_looked_at_while_some_are_missing(#[case] status: Value, #[case] expected: bool) {
    let deployment: Deployment = serde_json::from_value(json!({
        "metadata": {}, "spec": {"replicas": 2, "selector": {}, "template": {}}, "status": status,
    }))
    .unwrap();
    assert_eq!(is_complete(&deployment), expected);
}
