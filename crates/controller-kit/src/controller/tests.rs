use std::sync::atomic::{AtomicUsize, Ordering};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ObjectMeta;
use kube::runtime::reflector::store;
use kube::runtime::watcher::Event;
use tokio::sync::Notify;

use super::*;

fn object(namespace: &str, name: &str, version: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            namespace: Some(namespace.into()),
            name: Some(name.into()),
            uid: Some(format!("{namespace}-{name}")),
            resource_version: Some(version.into()),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    }
}

#[test]
fn an_own_write_is_used_until_the_watch_shows_it() {
    let memory = Memory::default();
    let reference = ObjectRef::from_obj(&object("ns", "a", "5"));
    memory.remember(reference, object("ns", "a", "10"));
    let seen =
        |version: &str| memory.freshest(Arc::new(object("ns", "a", version))).resource_version().unwrap();
    assert_eq!(seen("9"), "10");
    assert_eq!(seen("10"), "10");
    assert_eq!(seen("11"), "11");
    assert_eq!(seen("9"), "9", "the watch showed it once, so it is forgotten");
}

#[test]
fn a_new_object_of_the_same_name_is_not_confused_with_the_old_one() {
    let memory = Memory::default();
    memory.remember(ObjectRef::from_obj(&object("ns", "a", "10")), object("ns", "a", "10"));
    let mut recreated = object("ns", "a", "9");
    recreated.metadata.uid = Some("another".into());
    assert_eq!(memory.freshest(Arc::new(recreated)).uid().unwrap(), "another");
}

#[test]
fn failures_count_up_and_start_again_after_a_success() {
    let memory = Memory::default();
    let reference = ObjectRef::from_obj(&object("ns", "a", "1"));
    let counts = [true, true, false, true].map(|failed| memory.count_failure(&reference, failed));
    assert_eq!(counts, [1, 2, 0, 1]);
}

/// Passes in namespace `slow` never end by themselves.
struct SlowNamespace {
    entered: AtomicUsize,
    done: Notify,
    never: Notify,
}

impl Reconciler for SlowNamespace {
    type Object = ConfigMap;

    async fn reconcile(&self, object: Arc<ConfigMap>) -> Pass<ConfigMap> {
        if object.namespace().as_deref() == Some("slow") {
            self.entered.fetch_add(1, Ordering::SeqCst);
            self.never.notified().await;
        }
        self.done.notify_one();
        Pass::unwritten(Next::Gone)
    }
}

struct Running {
    metrics: Metrics,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    /// A queue without senders ends the loop.
    _queue: Queue<ConfigMap>,
}

fn run(reconciler: &Arc<SlowNamespace>, objects: &[ConfigMap], deadline: Duration) -> Running {
    let (reader, mut writer) = store();
    let (queue, end) = Queue::new();
    writer.apply_watcher_event(&Event::Init);
    for object in objects {
        writer.apply_watcher_event(&Event::InitApply(object.clone()));
        queue.push(ObjectRef::from_obj(object));
    }
    writer.apply_watcher_event(&Event::InitDone);
    let (metrics, stop) = (Metrics::new(), CancellationToken::new());
    let limits = Limits { concurrency: 4, deadline };
    let task =
        tokio::spawn(run_controller(reconciler.clone(), reader, end, limits, metrics.clone(), stop.clone()));
    Running { metrics, stop, task, _queue: queue }
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_hangs_uses_half_of_the_permits_and_others_go_on() {
    let reconciler =
        Arc::new(SlowNamespace { entered: AtomicUsize::new(0), done: Notify::new(), never: Notify::new() });
    let mut objects: Vec<_> = (0..20).map(|n| object("slow", &n.to_string(), "1")).collect();
    objects.push(object("quick", "a", "1"));
    let running = run(&reconciler, &objects, Duration::from_hours(1));
    reconciler.done.notified().await;
    assert_eq!(reconciler.entered.load(Ordering::SeqCst), 2);
    running.task.abort();
}

#[tokio::test(start_paused = true)]
async fn a_pass_that_does_not_end_is_given_up_at_the_deadline() {
    let reconciler =
        Arc::new(SlowNamespace { entered: AtomicUsize::new(0), done: Notify::new(), never: Notify::new() });
    let running = run(&reconciler, &[object("slow", "a", "1")], Duration::from_secs(30));
    tokio::time::sleep(Duration::from_secs(40)).await;
    let text = running.metrics.encode().unwrap();
    assert!(
        text.contains(r#"operator_reconciliations_total{kind="ConfigMap",outcome="transient"}"#),
        "{text}"
    );
    running.task.abort();
}

#[tokio::test(start_paused = true)]
async fn stopping_ends_the_loop() {
    let reconciler =
        Arc::new(SlowNamespace { entered: AtomicUsize::new(0), done: Notify::new(), never: Notify::new() });
    let running = run(&reconciler, &[object("quick", "a", "1")], Duration::from_secs(30));
    reconciler.done.notified().await;
    running.stop.cancel();
    tokio::time::timeout(Duration::from_secs(5), running.task).await.unwrap().unwrap();
}

/// Its pass writes version 2, which the watch shows before the pass ends.
struct Overtaken(std::sync::Mutex<kube::runtime::reflector::store::Writer<ConfigMap>>);

impl Reconciler for Overtaken {
    type Object = ConfigMap;

    async fn reconcile(&self, _: Arc<ConfigMap>) -> Pass<ConfigMap> {
        let written = object("ns", "a", "2");
        self.0.lock().unwrap().apply_watcher_event(&Event::Apply(written.clone()));
        Pass { next: Next::Gone, written: Some(written) }
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_the_watch_shows_is_not_kept_until_the_next_pass() {
    let (reader, mut writer) = store();
    let (queue, end) = Queue::new();
    for event in [Event::Init, Event::InitApply(object("ns", "a", "1")), Event::InitDone] {
        writer.apply_watcher_event(&event);
    }
    queue.push(ObjectRef::from_obj(&object("ns", "a", "1")));
    let memory = queue.memory.clone();
    let limits = Limits { concurrency: 4, deadline: Duration::from_secs(30) };
    let reconciler = Arc::new(Overtaken(std::sync::Mutex::new(writer)));
    let running =
        run_controller(reconciler, reader.clone(), end, limits, Metrics::new(), CancellationToken::new());
    let task = tokio::spawn(running);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(reader.state()[0].resource_version().as_deref(), Some("2"));
    assert!(memory.written.lock().unwrap().is_empty());

    memory.remember(ObjectRef::from_obj(&object("ns", "a", "3")), object("ns", "a", "3"));
    queue.catch_up(&object("ns", "a", "2"));
    assert_eq!(memory.written.lock().unwrap().len(), 1, "the watch lags behind");
    queue.catch_up(&object("ns", "a", "3"));
    assert!(memory.written.lock().unwrap().is_empty());
    task.abort();
}

/// Its first pass holds the namespace's only permit until it is released. Records which version each pass worked on.
struct Queued {
    release: Notify,
    seen: std::sync::Mutex<Vec<(String, String)>>,
}

impl Reconciler for Queued {
    type Object = ConfigMap;

    async fn reconcile(&self, object: Arc<ConfigMap>) -> Pass<ConfigMap> {
        if object.name_any() == "first" {
            self.release.notified().await;
        }
        let seen = (object.name_any(), object.resource_version().unwrap());
        self.seen.lock().unwrap().push(seen);
        Pass::unwritten(Next::Gone)
    }
}

#[tokio::test(start_paused = true)]
async fn a_pass_that_waited_for_its_permit_works_on_what_the_watch_shows_then() {
    let (reader, mut writer) = store();
    let (queue, end) = Queue::new();
    writer.apply_watcher_event(&Event::Init);
    for name in ["first", "changed", "gone"] {
        writer.apply_watcher_event(&Event::InitApply(object("ns", name, "1")));
    }
    writer.apply_watcher_event(&Event::InitDone);
    let reconciler = Arc::new(Queued { release: Notify::new(), seen: std::sync::Mutex::default() });
    let limits = Limits { concurrency: 2, deadline: Duration::from_secs(30) };
    let running =
        run_controller(reconciler.clone(), reader, end, limits, Metrics::new(), CancellationToken::new());
    let task = tokio::spawn(running);
    for name in ["first", "changed", "gone"] {
        queue.push(ObjectRef::from_obj(&object("ns", name, "1")));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    writer.apply_watcher_event(&Event::Apply(object("ns", "changed", "2")));
    queue.catch_up(&object("ns", "changed", "2"));
    writer.apply_watcher_event(&Event::Delete(object("ns", "gone", "1")));
    reconciler.release.notify_one();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let seen = reconciler.seen.lock().unwrap().clone();
    assert_eq!(seen, [("first".to_owned(), "1".to_owned()), ("changed".to_owned(), "2".to_owned())]);
    task.abort();
}

/// Records when its passes begin; all of them fail.
struct Failing(std::sync::Mutex<Vec<tokio::time::Instant>>);

impl Reconciler for Failing {
    type Object = ConfigMap;

    async fn reconcile(&self, _: Arc<ConfigMap>) -> Pass<ConfigMap> {
        self.0.lock().unwrap().push(tokio::time::Instant::now());
        Pass::unwritten(Next::Failed(ErrorClass::Transient))
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_begins_a_pass_at_once_and_resets_the_backoff() {
    let reconciler = Arc::new(Failing(std::sync::Mutex::default()));
    let (reader, mut writer) = store();
    let (queue, end) = Queue::new();
    let watched = object("ns", "a", "1");
    writer.apply_watcher_event(&Event::Init);
    writer.apply_watcher_event(&Event::InitApply(watched.clone()));
    writer.apply_watcher_event(&Event::InitDone);
    queue.push(ObjectRef::from_obj(&watched));
    let limits = Limits { concurrency: 4, deadline: Duration::from_secs(30) };
    let stop = CancellationToken::new();
    let running = run_controller(reconciler.clone(), reader, end, limits, Metrics::new(), stop);
    let task = tokio::spawn(running);
    tokio::time::sleep(Duration::from_mins(10)).await;

    reconciler.0.lock().unwrap().clear();
    let changed = tokio::time::Instant::now();
    queue.push(ObjectRef::from_obj(&watched));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let passes = reconciler.0.lock().unwrap().clone();
    let after: Vec<_> = passes.iter().map(|began| began.duration_since(changed)).collect();
    assert!(after[0] < Duration::from_millis(10), "{after:?}");
    assert!(after[1] < Duration::from_millis(600), "{after:?}");
    task.abort();
}
