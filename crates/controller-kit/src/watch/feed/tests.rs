use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ObjectMeta;
use serde_json::json;

use super::*;

fn object(name: &str, uid: &str, value: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            namespace: Some("ns".into()),
            name: Some(name.into()),
            uid: Some(uid.into()),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([("value".into(), value.into())])),
        ..ConfigMap::default()
    }
}

fn listed(feed: &mut Feed<ConfigMap>, objects: &[ConfigMap]) -> Vec<String> {
    let mut reported = reported(feed.accept(Event::Init));
    for object in objects {
        reported.extend(self::reported(feed.accept(Event::InitApply(object.clone()))));
    }
    assert_eq!(
        reported,
        Vec::<String>::new(),
        "nothing is reported of a list under way: the store does not show it"
    );
    self::reported(feed.accept(Event::InitDone))
}

fn reported(changes: Vec<Change<ConfigMap>>) -> Vec<String> {
    let mut reported: Vec<_> = changes
        .into_iter()
        .map(|change| match change {
            Change::Present(object) => {
                let data = object.data.clone().unwrap_or_default();
                format!("{}={}", object.name_any(), data.get("value").cloned().unwrap_or_default())
            }
            Change::Gone(object) => format!("{} gone", object.name_any()),
        })
        .collect();
    reported.sort();
    reported
}

fn shown(store: &Store<ConfigMap>) -> Vec<String> {
    reported(store.state().into_iter().map(Change::Present).collect())
}

#[test]
fn a_list_is_reported_when_the_store_shows_it() {
    let (store, mut feed) = Feed::new();
    let objects = [object("a", "1", "old"), object("b", "2", "old")];
    assert_eq!(listed(&mut feed, &objects), ["a=old", "b=old"]);
    assert_eq!(shown(&store), ["a=old", "b=old"]);
}

#[test]
fn a_change_is_reported_as_the_store_shows_it() {
    let (_store, mut feed) = Feed::new();
    listed(&mut feed, &[object("a", "1", "old")]);
    assert_eq!(reported(feed.accept(Event::Apply(object("a", "1", "new")))), ["a=new"]);
    assert_eq!(reported(feed.accept(Event::Delete(object("a", "1", "new")))), ["a gone"]);
}

#[test]
fn changes_while_the_watch_was_interrupted_are_reported_after_the_next_list() {
    let (store, mut feed) = Feed::new();
    listed(&mut feed, &[object("a", "1", "old"), object("b", "2", "old"), object("c", "3", "old")]);
    let now = [object("a", "1", "new"), object("c", "4", "recreated"), object("d", "5", "created")];
    assert_eq!(listed(&mut feed, &now), ["a=new", "b gone", "c gone", "c=recreated", "d=created"]);
    assert_eq!(shown(&store), ["a=new", "c=recreated", "d=created"]);
}

fn guarded(object: serde_json::Value) -> DeserializeGuard<ConfigMap> {
    serde_json::from_value(object).unwrap()
}

fn unreadable() -> DeserializeGuard<ConfigMap> {
    guarded(json!({"metadata": {"namespace": "ns", "name": "a", "uid": "1"}, "data": "no map"}))
}

#[test]
fn an_object_that_cannot_be_decoded_is_named_and_the_others_go_on() {
    let (store, mut feed) = Feed::<ConfigMap>::new();
    assert!(feed.accept_guarded(Event::Init).1.is_none());
    let (changes, invalid) = feed.accept_guarded(Event::InitApply(unreadable()));
    let invalid = invalid.unwrap();
    assert_eq!((reported(changes), invalid.name.as_str()), (Vec::new(), "ns/a"));
    assert_eq!(
        (invalid.reference.kind.as_deref(), invalid.reference.uid.as_deref()),
        (Some("ConfigMap"), Some("1"))
    );
    assert!(invalid.error.contains("Invalid type string"), "{}", invalid.error);
    feed.accept_guarded(Event::InitApply(guarded(json!({"metadata": {"namespace": "ns", "name": "b"}}))));
    assert_eq!(reported(feed.accept_guarded(Event::InitDone).0), ["b="]);
    assert_eq!(shown(&store), ["b="]);
}

#[test]
fn an_object_that_becomes_unreadable_leaves_the_store() {
    let (store, mut feed) = Feed::<ConfigMap>::new();
    listed(&mut feed, &[object("a", "1", "old")]);
    let (changes, invalid) = feed.accept_guarded(Event::Apply(unreadable()));
    assert_eq!((reported(changes), invalid.is_some()), (vec!["a gone".to_owned()], true));
    assert_eq!(shown(&store), Vec::<String>::new());
}
