use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};
use test_support::{FakeApiServer, reply};

use super::*;

fn object(name: &str) -> ConfigMap {
    let mut object = ConfigMap::default();
    object.metadata.namespace = Some("acme".into());
    object.metadata.name = Some(name.into());
    object.metadata.uid = Some(format!("uid-of-{name}"));
    object
}

fn event(note: &str) -> Event {
    Event { type_: EventType::Warning, reason: "Broken".into(), note: note.into() }
}

fn publisher(apiserver: &FakeApiServer) -> Publisher {
    let clock = Clock::fixed(Timestamp::UNIX_EPOCH);
    Publisher::new(apiserver.client(), "process-controller", "pod-0".into(), clock)
}

fn published(apiserver: &FakeApiServer) -> Vec<Value> {
    apiserver.mutations().into_iter().filter_map(|request| request.body).collect()
}

#[tokio::test]
async fn an_event_names_its_object_and_who_reports_it() {
    let apiserver = FakeApiServer::new();
    publisher(&apiserver).publish(&object("a"), event("it\nbroke")).await;
    let mut events = published(&apiserver);
    let name = events[0]["metadata"].as_object_mut().unwrap().remove("name").unwrap();
    assert!(name.as_str().unwrap().starts_with("a."), "{name}");
    assert_eq!(
        events,
        [json!({
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"namespace": "acme"},
            "action": "Reconcile",
            "eventTime": "1970-01-01T00:00:00.000000Z",
            "note": "it broke",
            "reason": "Broken",
            "regarding": {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "name": "a",
                "namespace": "acme",
                "uid": "uid-of-a",
            },
            "reportingController": "workflow.example.com/process-controller",
            "reportingInstance": "pod-0",
            "type": "Warning",
        })]
    );
}

#[tokio::test]
async fn the_same_event_in_a_short_time_is_published_once_also_with_another_in_between() {
    let apiserver = FakeApiServer::new();
    let publisher = publisher(&apiserver);
    for note in ["one", "two", "one", "two"] {
        publisher.publish(&object("a"), event(note)).await;
    }
    publisher.publish(&object("b"), event("one")).await;
    let reported: Vec<_> = published(&apiserver)
        .into_iter()
        .map(|event| (event["regarding"]["name"].clone(), event["note"].clone()))
        .collect();
    assert_eq!(
        reported,
        [(json!("a"), json!("one")), (json!("a"), json!("two")), (json!("b"), json!("one"))]
    );
}

#[tokio::test]
async fn an_event_that_cannot_be_published_is_no_error() {
    let apiserver = FakeApiServer::new();
    apiserver
        .intercept(|_| Some(reply::failure(403, "Forbidden", "the namespace is being terminated").into()));
    publisher(&apiserver).publish(&object("a"), event("one")).await;
    assert_eq!(apiserver.list::<k8s_openapi::api::events::v1::Event>("acme").len(), 0);
}

#[tokio::test]
async fn a_cluster_scoped_object_has_its_events_in_the_default_namespace() {
    let apiserver = FakeApiServer::new();
    let reference = ObjectReference { name: Some("node-1".into()), ..ObjectReference::default() };
    publisher(&apiserver).publish_about(reference, event("one")).await;
    assert_eq!(apiserver.mutations()[0].path, "/apis/events.k8s.io/v1/namespaces/default/events");
}
