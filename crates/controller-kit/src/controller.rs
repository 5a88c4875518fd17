//! The loop around a reconciler: a queue without duplicates, one pass per object at a time, fairness between
//! namespaces, a deadline per pass, backoff per object.

use std::collections::HashMap;
use std::fmt::Debug;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::{FutureExt as _, StreamExt as _};
use kube::runtime::controller::{Action, Config, applier};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource, ResourceExt as _};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::metrics::Metrics;
use crate::outcome::{ErrorClass, Next};

/// Reconciles one kind.
pub trait Reconciler: Send + Sync + 'static {
    /// The kind.
    type Object: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static;

    /// One pass: observe, validate, plan, execute, status. When it returns, status and events are written.
    fn reconcile(&self, object: Arc<Self::Object>) -> impl Future<Output = Pass<Self::Object>> + Send;
}

/// The result of a pass.
#[derive(Debug)]
pub struct Pass<K> {
    /// When to look again.
    pub next: Next,
    /// The object as the API server returned it from the last write, if there was one. The next pass begins with it
    /// if the watch does not show it yet: an event must not be published twice.
    pub written: Option<K>,
}

impl<K> Pass<K> {
    /// A pass that wrote nothing to its object.
    #[must_use]
    pub const fn unwritten(next: Next) -> Self {
        Self { next, written: None }
    }
}

/// Objects that need a pass. Cheap to clone.
pub struct Queue<K: Resource> {
    sender: UnboundedSender<ObjectRef<K>>,
    memory: Arc<Memory<K>>,
}

impl<K: Resource<DynamicType = ()> + Clone> Queue<K> {
    /// A queue and the end that [`run_controller`] takes.
    #[must_use]
    pub fn new() -> (Self, QueueEnd<K>) {
        let (sender, receiver) = unbounded();
        let memory = Arc::new(Memory::default());
        (Self { sender, memory: memory.clone() }, QueueEnd { receiver, memory })
    }

    /// Requests a pass for this object, because something changed. Several requests before it begins are one. The
    /// backoff begins anew, because earlier failures say nothing about the pass after the change.
    pub fn push(&self, object: ObjectRef<K>) {
        self.memory.count_failure(&object, false);
        // Only fails after shutdown began, when no pass will begin any more.
        let _ = self.sender.unbounded_send(object);
    }

    /// Requests a pass for each.
    pub fn push_all(&self, objects: impl IntoIterator<Item = ObjectRef<K>>) {
        objects.into_iter().for_each(|object| self.push(object));
    }

    /// Drops the remembered own write of this object once the watch shows it, or a newer version.
    pub fn catch_up(&self, watched: &K) {
        self.memory.catch_up(watched);
    }

    /// Drops what is remembered of an object that is gone.
    pub fn forget(&self, object: &ObjectRef<K>) {
        self.memory.forget(object);
    }
}

impl<K: Resource> Clone for Queue<K> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), memory: self.memory.clone() }
    }
}

/// The receiving end of a [`Queue`].
pub struct QueueEnd<K: Resource> {
    receiver: UnboundedReceiver<ObjectRef<K>>,
    memory: Arc<Memory<K>>,
}

impl<K: Resource<DynamicType = ()>> QueueEnd<K> {
    /// The next object that needs a pass: for tests of what requests one.
    pub async fn next(&mut self) -> Option<ObjectRef<K>> {
        self.receiver.next().await
    }
}

/// How a controller is run.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Passes at the same time.
    pub concurrency: usize,
    /// Longest pass.
    pub deadline: Duration,
}

/// Reconciles until `stop`, then lets running passes end.
pub async fn run_controller<R: Reconciler>(
    reconciler: Arc<R>,
    store: Store<R::Object>,
    queue: QueueEnd<R::Object>,
    limits: Limits,
    metrics: Metrics,
    stop: CancellationToken,
) where
    <R::Object as Resource>::DynamicType: Debug + Eq + Hash + Clone + Unpin,
{
    let QueueEnd { receiver, memory } = queue;
    let fairness = Arc::new(Fairness::new(limits.concurrency));
    let requests = receiver.take_until(stop.cancelled_owned()).map(Ok::<_, std::convert::Infallible>);
    let watched = store.clone();
    let pass = move |object: Arc<R::Object>, _: Arc<()>| {
        let (reconciler, memory, metrics, fairness) =
            (reconciler.clone(), memory.clone(), metrics.clone(), fairness.clone());
        let (deadline, watched) = (limits.deadline, watched.clone());
        let reference = ObjectRef::from_obj(&*object);
        async move {
            let _permit = fairness.permit(reference.namespace.as_deref().unwrap_or_default()).await;
            // The object of the request may be out of date: the pass may have waited long for its permit, and the own
            // last write is no longer remembered once the watch shows it.
            let Some(object) = watched.get(&reference) else { return Ok(Action::await_change()) };
            let object = memory.freshest(object);
            // Boxed here, so that a future that waits for its permit does not hold the memory of a whole pass.
            let action = Box::pin(run_pass(&*reconciler, object, &memory, &metrics, deadline)).await;
            // The watch may have shown the pass's write before the pass ended.
            if let Some(watched) = watched.get(&reference) {
                memory.catch_up(&watched);
            }
            Ok::<_, std::convert::Infallible>(action)
        }
        .boxed()
    };
    // Fairness bounds the concurrency; passes that wait for a permit are only small futures.
    applier(pass, |_, never, _| match *never {}, Arc::new(()), store, requests, Config::default())
        .for_each(|result| {
            if let Err(error) = result {
                // The object went away between the request and the pass.
                tracing::debug!(%error, "a request was dropped");
            }
            std::future::ready(())
        })
        .await;
}

async fn run_pass<R: Reconciler>(
    reconciler: &R,
    object: Arc<R::Object>,
    memory: &Memory<R::Object>,
    metrics: &Metrics,
    deadline: Duration,
) -> Action {
    let kind = static_kind::<R::Object>();
    let reference = ObjectRef::from_obj(&*object);
    let span = tracing::info_span!(
        "reconcile",
        kind,
        namespace = object.namespace(),
        name = object.name_any(),
        generation = object.meta().generation
    );
    let began = Instant::now();
    metrics.add_in_flight(kind, 1);
    let pass = tokio::time::timeout(deadline, reconciler.reconcile(object).instrument(span.clone())).await;
    metrics.add_in_flight(kind, -1);
    let pass = pass.unwrap_or_else(|_| {
        span.in_scope(|| {
            tracing::error!(seconds = deadline.as_secs(), "the pass did not end in time and was given up");
        });
        Pass::unwritten(Next::Failed(ErrorClass::Transient))
    });
    metrics.observe_reconcile(kind, pass.next.as_str(), began.elapsed());
    span.in_scope(|| {
        tracing::debug!(outcome = pass.next.as_str(), millis = began.elapsed().as_millis(), "pass done");
    });
    if let Some(written) = pass.written {
        memory.remember(reference.clone(), written);
    }
    let failures = memory.count_failure(&reference, matches!(pass.next, Next::Failed(_)));
    pass.next.delay(failures, rand::random()).map_or_else(Action::await_change, Action::requeue)
}

pub(crate) fn static_kind<K: Resource<DynamicType = ()>>() -> &'static str {
    match K::kind(&()) {
        std::borrow::Cow::Borrowed(kind) => kind,
        std::borrow::Cow::Owned(_) => "unknown",
    }
}

/// What the loop knows about objects between passes.
struct Memory<K: Resource> {
    written: Mutex<HashMap<ObjectRef<K>, Arc<K>>>,
    failures: Mutex<HashMap<ObjectRef<K>, u32>>,
}

impl<K: Resource> Default for Memory<K> {
    fn default() -> Self {
        Self { written: Mutex::default(), failures: Mutex::default() }
    }
}

impl<K: Resource<DynamicType = ()> + Clone> Memory<K> {
    fn remember(&self, reference: ObjectRef<K>, object: K) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).insert(reference, Arc::new(object));
    }

    /// The own last write while the watch does not show it yet, else what the watch shows.
    fn freshest(&self, watched: Arc<K>) -> Arc<K> {
        self.catch_up(&watched);
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.get(&ObjectRef::from_obj(&*watched)).cloned().unwrap_or(watched)
    }

    /// Keeps the own write only while it is newer than what the watch shows of the same object.
    fn catch_up(&self, watched: &K) {
        let reference = ObjectRef::from_obj(watched);
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let is_outdated =
            |own: &Arc<K>| own.uid() != watched.uid() || version_of(&**own) <= version_of(watched);
        if written.get(&reference).is_some_and(is_outdated) {
            written.remove(&reference);
        }
    }

    fn count_failure(&self, reference: &ObjectRef<K>, failed: bool) -> u32 {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if !failed {
            failures.remove(reference);
            return 0;
        }
        let count = failures.entry(reference.clone()).or_insert(0);
        *count = count.saturating_add(1);
        *count
    }

    fn forget(&self, reference: &ObjectRef<K>) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).remove(reference);
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(reference);
    }
}

/// Kubernetes guarantees that resource versions of one resource can be compared (KEP-5504); before, they could in
/// practice.
fn version_of<K: Resource>(object: &K) -> Option<u128> {
    object.meta().resource_version.as_deref().and_then(|version| version.parse().ok())
}

/// At most `total` passes, and at most half of them for one namespace: a tenant whose engine hangs cannot use all.
struct Fairness {
    total: Semaphore,
    share: usize,
    namespaces: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// The permits of one pass. On drop it returns that of the namespace, then that of the total.
struct Permit<'a> {
    _share: tokio::sync::OwnedSemaphorePermit,
    _total: tokio::sync::SemaphorePermit<'a>,
}

impl Fairness {
    fn new(total: usize) -> Self {
        Self { total: Semaphore::new(total), share: (total / 2).max(1), namespaces: Mutex::default() }
    }

    async fn permit(&self, namespace: &str) -> Option<Permit<'_>> {
        let share = self.semaphore_of(namespace);
        // The share first: a pass that waits for it must not hold a permit that another namespace could use.
        let share = share.acquire_owned().await.ok()?;
        let total = self.total.acquire().await.ok()?;
        Some(Permit { _share: share, _total: total })
    }

    fn semaphore_of(&self, namespace: &str) -> Arc<Semaphore> {
        let mut namespaces = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(semaphore) = namespaces.get(namespace).and_then(Weak::upgrade) {
            return semaphore;
        }
        namespaces.retain(|_, semaphore| semaphore.strong_count() > 0);
        let semaphore = Arc::new(Semaphore::new(self.share));
        namespaces.insert(namespace.to_owned(), Arc::downgrade(&semaphore));
        semaphore
    }
}

#[cfg(test)]
mod tests;
