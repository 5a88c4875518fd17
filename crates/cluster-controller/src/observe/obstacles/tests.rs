use std::sync::Arc;

use k8s_openapi::api::apps::v1::StatefulSet;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::testing::{ended, minimal, pod, settled_pods, settled_set, today, with_set};

fn set() -> StatefulSet {
    settled_set(&minimal(|cluster| cluster.spec.replicas = 2), "1.2.3")
}

fn job() -> k8s_openapi::api::batch::v1::Job {
    serde_json::from_value(json!({"metadata": {"name": "migrate", "uid": "uid-job"}})).unwrap()
}

fn asked_about(children: &Children, pods: &[PodView]) -> Vec<PodOwner> {
    without_pods(children, pods).into_iter().map(|(owner, _)| owner).collect()
}

#[test]
fn events_are_read_only_of_a_child_whose_pods_are_missing() {
    let migration = PodView { ordinal: None, ..pod(0, "", false) };
    let with_job = |job| Children { jobs: vec![Arc::new(job)], ..with_set(set()) };
    assert_eq!(asked_about(&Children::default(), &[]), Vec::new());
    assert_eq!(asked_about(&with_set(set()), &settled_pods(2)), Vec::new());
    assert_eq!(asked_about(&with_set(set()), &settled_pods(1)), [PodOwner::StatefulSet]);
    assert_eq!(asked_about(&with_job(job()), &settled_pods(2)), [PodOwner::Job]);
    assert_eq!(asked_about(&with_job(ended(job(), "Complete", today())), &settled_pods(2)), Vec::new());
    let pods: Vec<_> = settled_pods(2).into_iter().chain([migration]).collect();
    assert_eq!(asked_about(&with_job(job()), &pods), Vec::new());
    let mut unseen = set();
    unseen.metadata.generation = Some(2);
    assert_eq!(asked_about(&with_set(unseen), &[]), Vec::new());
}

#[rstest]
#[case::of_the_first_recorder(json!({"lastTimestamp": "2026-06-01T12:00:05Z", "firstTimestamp": "2026-06-01T11:00:00Z"}))]
#[case::once(json!({"eventTime": "2026-06-01T12:00:05.000000Z"}))]
#[case::of_a_series(json!({"eventTime": "2026-06-01T11:00:00.000000Z", "series": {"count": 3, "lastObservedTime": "2026-06-01T12:00:05.000000Z"}}))]
fn an_event_is_as_old_as_it_was_reported_last(#[case] mut event: Value) {
    event["metadata"] = json!({"creationTimestamp": "2026-06-01T10:00:00Z"});
    event["involvedObject"] = json!({});
    let event: Event = serde_json::from_value(event).unwrap();
    assert_eq!(reported_at(&event), Some("2026-06-01T12:00:05Z".parse().unwrap()));
}
