use k8s_openapi::api::core::v1::Pod;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::testing::{minimal, settled_set};

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
            health: PodHealth::Ready,
            terminating: false,
            problem: None,
            restarts: 0,
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
    assert_eq!(view(&pod(&status)).problem.as_deref(), expected);
}

#[test]
fn a_pod_is_unready_since_its_condition_says_so() {
    let status = json!({"conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": "2026-06-01T12:00:00Z"}]});
    let since = Some(at("2026-06-01T12:00:00Z"));
    assert_eq!(view(&pod(&status)).health, PodHealth::Unready { since });
}

#[test]
fn a_pod_of_a_job_has_no_ordinal() {
    let mut pod = pod(&json!({}));
    pod.metadata.labels = None;
    assert_eq!(view(&pod).ordinal, None);
}

#[rstest]
#[case::its_own(Some(("uid-set", true)), true)]
#[case::nobodys(None, true)]
#[case::not_controlled(Some(("uid-other", false)), true)]
#[case::foreign(Some(("uid-other", true)), false)]
fn a_pod_of_another_controller_is_none_of_ours(#[case] owner: Option<(&str, bool)>, #[case] expected: bool) {
    let owners: Vec<_> = owner
        .map(|(uid, controller)| {
            json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "x", "uid": uid, "controller": controller})
        })
        .into_iter()
        .collect();
    let pod = json!({"metadata": {"name": "dev-engine-0", "ownerReferences": owners}});
    assert_eq!(
        may_own(&settled_set(&minimal(|_| ()), "1.2.3"), &serde_json::from_value(pod).unwrap()),
        expected
    );
}
