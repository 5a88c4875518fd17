use controller_testing::World as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use api_types::process::ProcessReason;
use controller_kit::controller::QueueEnd;
use controller_kit::outcome::{ErrorClass, Next};
use controller_kit::problem::Problem;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use rstest::rstest;
use serde_json::json;
use test_support::FakeApiServer;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::*;
use crate::source::{Reading, Sources};
use crate::testing::{ORDER_FLOW, World, applied, process_from};

/// Gives what the test says, when the test says so.
struct Slow {
    begun: AtomicUsize,
    ended: AtomicUsize,
    gate: Notify,
    answer: Mutex<Fetched>,
}

impl Slow {
    fn new(answer: Fetched) -> Arc<Self> {
        let (begun, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { begun, ended, gate: Notify::new(), answer: Mutex::new(answer) })
    }

    fn counts(&self) -> (usize, usize) {
        (self.begun.load(Ordering::SeqCst), self.ended.load(Ordering::SeqCst))
    }

    fn answer(&self, answer: Fetched) {
        *self.answer.lock().unwrap() = answer;
    }
}

impl Source for Slow {
    fn is_named_by(&self, spec: &api_types::process::Source) -> bool {
        spec.bpmn.is_some()
    }

    fn is_slow(&self) -> bool {
        true
    }

    fn read<'a>(&'a self, _: &'a Client, _: &'a WorkflowProcess) -> BoxFuture<'a, Reading> {
        async move {
            self.begun.fetch_add(1, Ordering::SeqCst);
            self.gate.notified().await;
            self.ended.fetch_add(1, Ordering::SeqCst);
            self.answer.lock().unwrap().clone().into()
        }
        .boxed()
    }
}

fn document() -> Fetched {
    Fetched::plain(ORDER_FLOW.as_bytes().to_vec())
}

fn process(uid: &str, generation: i64) -> WorkflowProcess {
    let mut process = process_from(&json!({"bpmn": "is elsewhere"}));
    process.metadata.name = Some(uid.to_owned());
    process.metadata.uid = Some(uid.to_owned());
    process.metadata.generation = Some(generation);
    process
}

struct Bench {
    fetches: Fetches,
    client: Client,
    end: QueueEnd<WorkflowProcess>,
}

impl Bench {
    fn new() -> Self {
        let (queue, end) = Queue::new();
        Self { fetches: Fetches::new(queue), client: FakeApiServer::new().client(), end }
    }

    fn get(&self, source: &Arc<Slow>, uid: &str, generation: i64) -> Fetched {
        let source: Arc<dyn Source> = source.clone();
        self.fetches.get_or_begin(&source, &self.client, &process(uid, generation))
    }

    /// The object that a pass is asked for.
    async fn asked_for(&mut self) -> String {
        timeout(Duration::from_mins(1), self.end.next()).await.unwrap().unwrap().name
    }
}

async fn begun(source: &Slow, count: usize) {
    while source.counts().0 < count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_pass_never_waits_and_another_one_follows_when_the_document_is_there() {
    let source = Slow::new(document());
    let mut bench = Bench::new();
    assert_eq!(bench.get(&source, "a", 1), Fetched::Pending);
    assert_eq!(bench.get(&source, "a", 1), Fetched::Pending, "and is not fetched twice");
    begun(&source, 1).await;
    source.gate.notify_one();
    assert_eq!(bench.asked_for().await, "a");
    assert_eq!(bench.get(&source, "a", 1), document());
    assert_eq!(bench.get(&source, "a", 1), document(), "it is kept");
    assert_eq!(source.counts(), (1, 1));
}

#[tokio::test]
async fn another_spec_gives_the_former_fetch_up() {
    let source = Slow::new(document());
    let mut bench = Bench::new();
    assert_eq!(bench.get(&source, "a", 1), Fetched::Pending);
    begun(&source, 1).await;
    assert_eq!(bench.get(&source, "a", 2), Fetched::Pending);
    begun(&source, 2).await;
    source.gate.notify_waiters();
    assert_eq!(bench.asked_for().await, "a");
    assert_eq!(source.counts(), (2, 1), "the first one was stopped");
    assert_eq!(bench.get(&source, "a", 2), document());
}

#[tokio::test]
async fn an_object_that_goes_is_not_fetched_for_any_more() {
    let source = Slow::new(document());
    let bench = Bench::new();
    assert_eq!(bench.get(&source, "a", 1), Fetched::Pending);
    begun(&source, 1).await;
    bench.fetches.forget("a");
    source.gate.notify_waiters();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(source.counts(), (1, 0));
    assert!(bench.fetches.lock().is_empty());
}

fn unread() -> Fetched {
    let reason = ProcessReason::KubernetesUnavailable;
    Fetched::Unread(Problem::new(reason, ErrorClass::Transient, "no answer"))
}

#[rstest]
#[case::unread(unread())]
#[case::missing(Fetched::Missing("no such file".into()))]
#[tokio::test(start_paused = true)]
async fn a_failure_is_given_out_until_the_task_succeeds_and_is_repeated_after_growing_pauses(
    #[case] failure: Fetched,
) {
    let source = Slow::new(failure.clone());
    let mut bench = Bench::new();
    let began = Instant::now();
    assert_eq!(bench.get(&source, "a", 1), Fetched::Pending);
    for count in 1..=4 {
        source.gate.notify_one();
        while source.counts().1 < count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::task::yield_now().await;
        assert_eq!(bench.get(&source, "a", 1), failure, "also while it is fetched again");
    }
    let pauses = Duration::from_millis(500 + 1_000 + 2_000);
    assert!(began.elapsed() >= pauses && began.elapsed() < pauses * 2, "{:?}", began.elapsed());
    source.answer(document());
    source.gate.notify_one();
    assert_eq!(bench.asked_for().await, "a", "for the failure, once");
    assert_eq!(bench.asked_for().await, "a");
    assert_eq!(bench.get(&source, "a", 1), document());
    assert_eq!(source.counts(), (5, 5));
}

#[tokio::test(start_paused = true)]
async fn what_only_another_spec_can_change_is_not_fetched_again() {
    let problem = Problem::new(ProcessReason::SourceInvalid, ErrorClass::Invalid, "no such scheme");
    let source = Slow::new(Fetched::Unread(problem.clone()));
    let mut bench = Bench::new();
    assert_eq!(bench.get(&source, "a", 1), Fetched::Pending);
    source.gate.notify_one();
    bench.asked_for().await;
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert_eq!(bench.get(&source, "a", 1), Fetched::Unread(problem));
    assert_eq!(source.counts(), (1, 1));
}

/// Nothing was deployed for it, so that it has no finalizer.
#[tokio::test]
async fn an_object_that_went_without_a_pass_is_forgotten() {
    let source = Slow::new(document());
    let bench = Bench::new();
    assert_eq!(bench.get(&source, "gone", 1), Fetched::Pending);
    assert_eq!(bench.get(&source, "there", 1), Fetched::Pending);
    begun(&source, 2).await;
    bench.fetches.retain(&[Arc::new(process("there", 1))]);
    source.gate.notify_waiters();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(source.counts(), (2, 1));
    assert_eq!(bench.fetches.lock().keys().collect::<Vec<_>>(), ["there"]);
}

#[tokio::test]
async fn few_are_fetched_at_once_however_many_are_wanted() {
    let source = Slow::new(document());
    let bench = Bench::new();
    for object in 0..20 {
        assert_eq!(bench.get(&source, &format!("object-{object}"), 1), Fetched::Pending);
    }
    begun(&source, AT_ONCE).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(source.counts(), (AT_ONCE, 0));
}

#[tokio::test]
async fn documents_are_kept_while_there_is_room_for_them() {
    let source = Slow::new(Fetched::plain(vec![b' '; ROOM / 2]));
    let mut bench = Bench::new();
    for object in ["a", "b", "c"] {
        assert_eq!(bench.get(&source, object, 1), Fetched::Pending);
        source.gate.notify_one();
        bench.asked_for().await;
    }
    let kept: usize = bench.fetches.lock().values().map(size_of).sum();
    assert_eq!(kept, ROOM);
    assert!(matches!(bench.get(&source, "c", 1), Fetched::Document { .. }), "the newest one is kept");
}

/// The whole way: a pass that does not wait, a status that says so, and the deployment when the document is there.
#[tokio::test]
async fn a_process_with_a_slow_source_is_deployed_by_the_pass_that_the_fetch_asks_for() {
    let source = Slow::new(document());
    let (queue, mut end) = Queue::new();
    let world = World::with(&[applied("order-flow", &json!({"bpmn": "is elsewhere"}))]);
    let world = World { sources: Some(Sources::only(source.clone())), queue, ..world };
    let mut passes = world.started();

    let next = world.pass_of(&mut passes, "order-flow").await;
    assert!(matches!(next, Next::Wait { .. }), "{next:?}");
    let fetching = ("Validating".to_owned(), None, "the source is being fetched".to_owned());
    assert_eq!(world.reported("order-flow"), fetching);
    source.gate.notify_one();
    assert_eq!(timeout(Duration::from_secs(5), end.next()).await.unwrap().unwrap().name, "order-flow");
    world.pass_of(&mut passes, "order-flow").await;
    assert_eq!(world.reported("order-flow").0, "Deployed");
    assert_eq!(source.counts(), (1, 1));
}

#[tokio::test]
async fn a_deployed_process_stays_ready_while_a_new_controller_fetches_its_source_again() {
    let source = Slow::new(document());
    let (queue, mut end) = Queue::new();
    let world = World::with(&[applied("order-flow", &json!({"bpmn": "is elsewhere"}))]);
    let world = World { sources: Some(Sources::only(source.clone())), queue, ..world };
    let mut passes = world.started();
    world.pass_of(&mut passes, "order-flow").await;
    source.gate.notify_one();
    end.next().await;
    world.pass_of(&mut passes, "order-flow").await;
    let (deployed, writes) = (world.status("order-flow"), world.writes());
    assert!(deployed.ready);

    let mut restarted = world.started();
    let next = world.pass_of(&mut restarted, "order-flow").await;
    assert!(matches!(next, Next::Wait { .. }), "{next:?}");
    assert_eq!((world.status("order-flow"), world.writes()), (deployed, writes));
}

#[tokio::test]
async fn nothing_is_fetched_any_more_once_the_spec_is_refused() {
    let source = Slow::new(document());
    let world = World::with(&[applied("order-flow", &json!({"bpmn": "is elsewhere"}))]);
    let world = World { sources: Some(Sources::only(source.clone())), ..world };
    let mut passes = world.started();
    world.pass_of(&mut passes, "order-flow").await;
    begun(&source, 1).await;
    let both = json!({"bpmn": "a", "configMapRef": {"name": "a", "key": "b"}});
    world.edit("order-flow", |process| process["spec"]["source"] = both);
    world.pass_of(&mut passes, "order-flow").await;
    assert_eq!(world.reported("order-flow").0, "Failed");
    assert!(passes.kind.context.fetches.lock().is_empty());
}
