use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use kube::core::GroupVersionKind;
use serde_json::{Value, json};
use test_support::FakeApiServer;
use test_support::reply::{Reply, failure};

use super::super::tests::context;
use super::*;

fn kind() -> OptionalKind {
    let kind = GroupVersionKind::gvk("things.example.com", "v1", "Thing");
    OptionalKind { name: "Thing", resource: ApiResource::from_gvk(&kind), labels: "ours=yes".to_owned() }
}

type Change = fn(&mut Value);

fn thing(name: &str, change: impl FnOnce(&mut Value)) -> DynamicObject {
    let mut thing = json!({
        "apiVersion": "things.example.com/v1", "kind": "Thing",
        "metadata": {"namespace": "acme", "name": name, "uid": name, "generation": 1, "resourceVersion": "1",
            "labels": {"of": format!("owner-of-{name}")}},
        "status": {"phase": "fine", "seenAt": "12:00"},
    });
    change(&mut thing);
    serde_json::from_value(thing).unwrap()
}

fn phase_of(thing: &DynamicObject) -> Value {
    thing.data["status"]["phase"].clone()
}

fn owner_of(thing: &DynamicObject) -> Vec<ObjectRef<ConfigMap>> {
    let owner = thing.labels().get("of").zip(thing.namespace());
    owner.map(|(name, namespace)| ObjectRef::new(name).within(&namespace)).into_iter().collect()
}

/// Who depends on an object may have come after it was seen last.
#[test]
fn those_who_depend_on_an_object_that_goes_get_a_pass_whenever_they_came() {
    let dependants = std::cell::RefCell::new(vec![ObjectRef::<ConfigMap>::new("first")]);
    let mut seen = Seen::new(phase_of, |_: &DynamicObject| dependants.borrow().clone());
    let names = |owners: Vec<ObjectRef<ConfigMap>>| -> Vec<String> {
        owners.into_iter().map(|owner| owner.name).collect()
    };
    assert_eq!(names(seen.accept(Event::Apply(thing("a", |_| ())))), ["first"]);
    dependants.borrow_mut().push(ObjectRef::new("second"));
    assert_eq!(names(seen.accept(Event::Delete(thing("a", |_| ())))), ["first", "second"]);
}

#[test]
fn only_what_a_pass_depends_on_begins_one() {
    let mut seen = Seen::new(phase_of, owner_of);
    let mut owners = |event: Event<DynamicObject>| {
        let mut names: Vec<_> = seen.accept(event).into_iter().map(|owner| owner.name).collect();
        names.sort();
        names
    };
    assert_eq!(owners(Event::Apply(thing("a", |_| ()))), ["owner-of-a"], "it is new");
    let noise = thing("a", |it| {
        it["metadata"]["resourceVersion"] = json!("2");
        it["status"]["seenAt"] = json!("12:01");
    });
    assert_eq!(owners(Event::Apply(noise)), [""; 0]);
    let changes: [(&str, Change); 5] = [
        ("status", |it| it["status"]["phase"] = json!("broken")),
        ("spec", |it| it["metadata"]["generation"] = json!(2)),
        ("annotations", |it| it["metadata"]["annotations"] = json!({"sleep": "on"})),
        ("owner", |it| {
            it["metadata"]["ownerReferences"] =
                json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": "o"}]);
        }),
        ("deletion", |it| it["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z")),
    ];
    for (what, change) in changes {
        owners(Event::Apply(thing("a", |_| ())));
        assert_eq!(owners(Event::Apply(thing("a", change))), ["owner-of-a"], "{what}");
    }
    owners(Event::Apply(thing("a", |_| ())));
    let given = thing("a", |it| it["metadata"]["labels"]["of"] = json!("another"));
    assert_eq!(owners(Event::Apply(given)), ["another", "owner-of-a"], "the former owner, too");
    assert_eq!(
        owners(Event::Delete(thing("a", |_| ()))),
        ["another", "owner-of-a"],
        "as it was seen, and as it went"
    );
    let of_nobody = thing("b", |it| it["metadata"]["labels"] = json!({}));
    assert_eq!(owners(Event::Apply(of_nobody)), [""; 0]);
}

#[test]
fn a_list_shows_what_changed_and_what_is_gone_since_the_last_one() {
    let mut seen = Seen::new(phase_of, owner_of);
    let mut owners_of_list = |things: Vec<DynamicObject>| {
        let items = things.into_iter().map(Event::InitApply);
        let events = std::iter::once(Event::Init).chain(items).chain([Event::InitDone]);
        let owners = events.flat_map(|event| seen.accept(event));
        let mut names: Vec<_> = owners.map(|owner| owner.name).collect();
        names.sort();
        names
    };
    let same = |name: &str| thing(name, |_| ());
    assert_eq!(owners_of_list(vec![same("a"), same("b")]), ["owner-of-a", "owner-of-b"]);
    let changed = thing("a", |it| it["status"]["phase"] = json!("broken"));
    assert_eq!(owners_of_list(vec![changed]), ["owner-of-a", "owner-of-b"], "changed, gone");
    assert_eq!(owners_of_list(Vec::new()), ["owner-of-a"]);
    assert_eq!(owners_of_list(Vec::new()), [""; 0]);
}

/// The kind is there while the switch is on. Each watch of it ends at once, so that it is listed again.
fn with_a_kind_that_comes_and_goes() -> (FakeApiServer, Arc<AtomicBool>) {
    let (apiserver, is_there) = (FakeApiServer::new(), Arc::new(AtomicBool::new(false)));
    let there = is_there.clone();
    apiserver.intercept(move |request| {
        Some(if !there.load(Ordering::SeqCst) {
            Reply::no_such_api()
        } else if request.query("watch").is_some() {
            Reply::ok(json!({"type": "ERROR", "object": failure(410, "Expired", "too old")}))
        } else {
            Reply::ok(json!({"metadata": {"resourceVersion": "1"}, "items": [thing("a", |_| ())]}))
        })
    });
    (apiserver, is_there)
}

/// The clock stands still but for what is waited for: there are no other waits than those of the watch.
#[tokio::test(start_paused = true)]
async fn a_kind_that_is_absent_is_no_error_and_is_looked_for_without_haste() {
    let (apiserver, is_there) = with_a_kind_that_comes_and_goes();
    let context = context(&apiserver);
    let (queue, mut end) = Queue::new();
    let watch = watch_optional(&context, kind(), queue, phase_of, owner_of);
    assert!(*watch.listed.borrow(), "readiness does not depend on it");
    let task = tokio::spawn(watch.task);

    tokio::time::sleep(Duration::from_mins(10)).await;
    let looked = apiserver.requests().len();
    assert!((35..=45).contains(&looked), "{looked} requests in ten minutes");
    let first = apiserver.requests().swap_remove(0);
    assert_eq!(first.path, "/apis/things.example.com/v1/things");
    assert_eq!(first.query("labelSelector"), Some("ours=yes"));
    (watch.live)().expect("nothing is stuck");
    let metrics = context.metrics.encode().unwrap();
    assert!(!metrics.contains("operator_watch_errors_total{"), "{metrics}");

    is_there.store(true, Ordering::SeqCst);
    let minute = Duration::from_mins(1);
    let owner = tokio::time::timeout(minute, end.next()).await.expect("should be watched within a minute");
    assert_eq!(owner.unwrap().name, "owner-of-a");

    is_there.store(false, Ordering::SeqCst);
    let owner = tokio::time::timeout(minute, end.next()).await.expect("should be noticed");
    assert_eq!(owner.unwrap().name, "owner-of-a", "it is gone with its kind");
    apiserver.forget_requests();
    tokio::time::sleep(Duration::from_mins(10)).await;
    let looked = apiserver.requests().len();
    assert!((35..=45).contains(&looked), "{looked} requests in ten minutes");
    task.abort();
}

/// Real errors are counted, and repeated ever more slowly.
#[tokio::test(start_paused = true)]
async fn a_refused_watch_is_an_error_and_is_repeated_without_haste() {
    let apiserver = FakeApiServer::new();
    apiserver.intercept(|_| Some(Reply::json(403, failure(403, "Forbidden", "no right"))));
    let context = context(&apiserver);
    let (queue, _end) = Queue::<ConfigMap>::new();
    let watch = watch_optional(&context, kind(), queue, phase_of, owner_of);
    let task = tokio::spawn(watch.task);
    tokio::time::sleep(Duration::from_mins(10)).await;
    task.abort();
    let asked = apiserver.requests().len();
    assert!((20..=80).contains(&asked), "{asked} requests in ten minutes");
    let metrics = context.metrics.encode().unwrap();
    assert!(
        metrics.contains(r#"operator_watch_errors_total{kubernetes_cluster="local",watch="Thing"}"#),
        "{metrics}"
    );
}
