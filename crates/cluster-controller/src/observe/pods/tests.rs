use k8s_openapi::api::core::v1::Pod;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;

fn pod(status: &Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {
            "name": "dev-engine-12",
            "namespace": "acme",
            "uid": "uid-12",
            "labels": {"controller-revision-hash": "dev-engine-6f", "apps.kubernetes.io/pod-index": "12", "app.kubernetes.io/version": "1.2.3"},
        },
        "status": status,
    }))
    .unwrap()
}

fn at(time: &str) -> jiff::Timestamp {
    time.parse().unwrap()
}

#[test]
fn a_ready_pod_is_read() {
    let status = json!({"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-06-01T12:00:00Z"}]});
    assert_eq!(
        view(&pod(&status)),
        PodView {
            name: "dev-engine-12".into(),
            namespace: "acme".into(),
            uid: "uid-12".into(),
            ordinal: Some(12),
            revision: Some("dev-engine-6f".into()),
            version: Some("1.2.3".into()),
            ready: true,
            terminating: false,
            trouble: None,
            unready_since: None,
        }
    );
}

#[rstest]
#[case::image(json!({"containerStatuses": [{"name": "engine", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": {"waiting": {"reason": "ImagePullBackOff"}}}]}), Some("ImagePullBackOff"))]
#[case::first_word_for_an_image(json!({"containerStatuses": [{"name": "engine", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": {"waiting": {"reason": "ErrImagePull"}}}]}), Some("ImagePullBackOff"))]
#[case::between_two_crashes(json!({"containerStatuses": [{"name": "engine", "image": "", "imageID": "", "ready": false, "restartCount": 2, "state": {"running": {}}}]}), Some("CrashLoopBackOff"))]
#[case::restarted_once(json!({"containerStatuses": [{"name": "engine", "image": "", "imageID": "", "ready": false, "restartCount": 1, "state": {"running": {}}}]}), None)]
#[case::on_its_way(json!({"containerStatuses": [{"name": "engine", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": {"waiting": {"reason": "ContainerCreating"}}}]}), None)]
#[case::no_node(json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]}), Some("Unschedulable"))]
#[case::nothing_known(json!({}), None)]
fn trouble_is_what_kubernetes_calls_it(#[case] status: Value, #[case] expected: Option<&str>) {
    assert_eq!(view(&pod(&status)).trouble.as_deref(), expected);
}

#[test]
fn a_pod_is_unready_since_its_condition_says_so() {
    let status = json!({"conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": "2026-06-01T12:00:00Z"}]});
    assert_eq!(view(&pod(&status)).unready_since, Some(at("2026-06-01T12:00:00Z")));
}

#[test]
fn a_pod_of_a_job_has_no_ordinal() {
    let mut pod = pod(&json!({}));
    pod.metadata.labels = None;
    assert_eq!(view(&pod).ordinal, None);
}
