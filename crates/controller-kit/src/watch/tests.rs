use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::ObjectMeta;
use serde_json::json;
use test_support::FakeApiServer;
use test_support::reply::{Reply, failure};

use super::*;
use crate::clock::Clock;

#[test]
fn a_status_write_is_no_trigger_and_a_new_generation_is() {
    let before =
        ObjectMeta { generation: Some(1), resource_version: Some("5".into()), ..ObjectMeta::default() };
    let status_written = ObjectMeta { resource_version: Some("6".into()), ..before.clone() };
    let edited = ObjectMeta { generation: Some(2), ..before.clone() };
    assert_eq!(trigger_of(&before), trigger_of(&status_written));
    assert_ne!(trigger_of(&before), trigger_of(&edited));
}

#[test]
fn a_watch_ages_without_answers_and_an_answer_resets_its_age() {
    let (progress, started) = (Progress::of(LOCAL_CLUSTER), Instant::now());
    assert_eq!(progress.age("/apis/a", started, started + WEDGED_AFTER), WEDGED_AFTER);
    progress.note("/apis/a", started + WEDGED_AFTER);
    assert_eq!(progress.age("/apis/a", started, started + WEDGED_AFTER), Duration::ZERO);
}

#[test]
fn backoff_is_capped_at_ten_seconds_plus_jitter_and_starts_again() {
    let mut backoff = WatchBackoff::new();
    let delays: Vec<_> = backoff.by_ref().take(50).collect();
    assert!(delays.iter().all(|delay| *delay <= Duration::from_secs(20)), "{delays:?}");
    backoff.reset();
    assert!(backoff.next().unwrap() <= Duration::from_secs(1));
}

pub(super) fn context(apiserver: &FakeApiServer) -> WatchContext {
    let (client, clock) = (apiserver.client(), Clock::fixed(jiff::Timestamp::UNIX_EPOCH));
    WatchContext {
        publisher: Publisher::new(client.clone(), "controller", "pod-0".into(), clock),
        client,
        metrics: Metrics::new(),
        progress: Progress::of(LOCAL_CLUSTER),
    }
}

/// The first list has `gone` and `there`. The watch expires, and the second list has only `there`.
fn with_an_expired_watch() -> FakeApiServer {
    let apiserver = FakeApiServer::new();
    let lists = std::sync::atomic::AtomicUsize::new(0);
    apiserver.intercept(move |request| {
        if request.query("watch").is_some() {
            return Some(Reply::ok(json!({"type": "ERROR", "object": failure(410, "Expired", "too old")})));
        }
        let is_first = lists.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
        let names = if is_first { vec!["gone", "there"] } else { vec!["there"] };
        let item = |name: &str| json!({"metadata": {"namespace": "acme", "name": name, "uid": name}});
        let items: Vec<_> = names.into_iter().map(item).collect();
        Some(Reply::ok(json!({"metadata": {"resourceVersion": "1"}, "items": items})))
    });
    apiserver
}

/// Runs a watch until dependants were asked for `gone` twice. Returns `gone` as often as they were asked for it.
async fn asked_for(build: impl FnOnce(&WatchContext, Queue<ConfigMap>, Asked) -> Watch) -> Vec<String> {
    let apiserver = with_an_expired_watch();
    let (queue, _end) = Queue::new();
    let (tell, mut reported) = tokio::sync::mpsc::unbounded_channel();
    let watch = build(&context(&apiserver), queue, Asked(tell));
    let task = tokio::spawn(watch.task);
    let mut names = Vec::new();
    let both = async {
        while names.iter().filter(|name| *name == "gone").count() < 2 {
            names.push(reported.recv().await.unwrap());
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(10), both).await;
    task.abort();
    names.retain(|name| name == "gone");
    names
}

struct Asked(tokio::sync::mpsc::UnboundedSender<String>);

impl Asked {
    fn note(&self, name: &str) -> Vec<ObjectRef<ConfigMap>> {
        self.0.send(name.to_owned()).unwrap();
        Vec::new()
    }
}

#[tokio::test]
async fn an_object_deleted_while_the_watch_was_interrupted_is_reported_to_its_dependants() {
    let expected = ["gone", "gone"];
    let of_metadata = asked_for(|context, queue, asked| {
        watch_metadata::<Secret, _, _>(context, "Secret", queue, move |object| asked.note(&object.name_any()))
    });
    assert_eq!(of_metadata.await, expected, "metadata without a store");
    let of_stored_metadata = asked_for(|context, queue, asked| {
        watch_metadata_store::<Secret, _, _>(
            context,
            "Secret",
            queue,
            kube::ResourceExt::name_any,
            move |name, _| asked.note(name),
        )
        .1
    });
    assert_eq!(of_stored_metadata.await, expected, "metadata");
    let of_referenced = asked_for(|context, queue, asked| {
        watch_referenced(context, "Secret", queue, Secret::name_any, move |name| asked.note(name)).1
    });
    assert_eq!(of_referenced.await, expected, "objects");
}
