//! Watches. Each runs in a task of its own with a backoff of its own and feeds the queue of a controller through a
//! channel: in one joined stream a single failing watch would hold up all others.

use std::collections::HashMap;
use std::fmt::Debug;
use std::future::Future;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use api_types::reason::CommonReason;
use backon::BackoffBuilder as _;
use futures::{Stream, StreamExt as _};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;
use kube::api::{Api, PartialObjectMeta};
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, watcher as watch};
use kube::{Client, ResourceExt as _};
use serde::de::DeserializeOwned;

use crate::controller::Queue;
use crate::events::{Event, EventType, Publisher};
use crate::metrics::Metrics;

mod changed_fields;
mod feed;
mod names;
mod optional;
mod slim;

use changed_fields::ChangedFields;
use feed::{Change, Feed, Invalid};
use names::Names;
pub use optional::{ABSENT_RECHECK, OptionalKind, watch_optional};

/// A watch without progress for so long counts as stuck: the liveness probe fails, and the process is restarted. Twice
/// the 290 s after which a quiet watch is opened again, which is progress.
pub const WEDGED_AFTER: Duration = Duration::from_mins(10);

/// Name, in metrics, of the Kubernetes cluster that a service runs in.
pub const LOCAL_CLUSTER: &str = "local";

/// When each watched path of one Kubernetes cluster last answered. A quiet but healthy watch yields no items, so the
/// answers that the client gets show that it works.
#[derive(Clone, Debug)]
pub struct Progress {
    cluster: Arc<str>,
    answered: Arc<Mutex<HashMap<String, Instant>>>,
}

impl Progress {
    /// Without answers yet; `cluster` is the Kubernetes cluster's name in metrics.
    #[must_use]
    pub fn of(cluster: &str) -> Self {
        Self { cluster: cluster.into(), answered: Arc::default() }
    }

    /// Name of the Kubernetes cluster in metrics.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    pub(crate) fn note(&self, path: &str, at: Instant) {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), at);
    }

    fn age(&self, path: &str, started: Instant, now: Instant) -> Duration {
        let answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        now.saturating_duration_since(answered.get(path).copied().unwrap_or(started))
    }
}

/// What the watches of a service on one Kubernetes cluster share.
#[derive(Clone)]
pub struct WatchContext {
    /// For reading.
    pub client: Client,
    /// Errors and progress.
    pub metrics: Metrics,
    /// For events about objects that cannot be read.
    pub publisher: Publisher,
    /// See [`Progress`].
    pub progress: Progress,
}

/// A watch that is ready to run: its task and its health checks.
pub struct Watch {
    /// Name in metrics and probes: the kind that is watched.
    pub name: &'static str,
    /// Turns true after the first complete list.
    pub listed: tokio::sync::watch::Receiver<bool>,
    /// `Err` when it is stuck, see [`WEDGED_AFTER`].
    pub live: Box<dyn Fn() -> Result<(), String> + Send + Sync>,
    /// Runs for ever.
    pub task: futures::future::BoxFuture<'static, ()>,
}

/// Watches the kind that a controller reconciles, in all namespaces. An object is queued when its spec, its metadata or
/// its deletion changes, not when only its status does. An object that cannot be decoded is reported by name and left
/// alone; the others go on.
pub fn watch_own<K>(context: &WatchContext, name: &'static str, queue: Queue<K>) -> (Store<K>, Watch)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let (store, mut feed) = Feed::new();
    let api: Api<DeserializeGuard<K>> = Api::all(context.client.clone());
    let publisher = context.publisher.clone();
    let mut seen: HashMap<String, u64> = HashMap::new();
    let on_event = move |event: watcher::Event<DeserializeGuard<K>>| {
        let (changes, invalid) = feed.accept_guarded(event);
        for change in changes {
            match change {
                Change::Present(object) => {
                    queue.catch_up(&object);
                    let trigger = trigger_of(object.meta());
                    if seen.insert(key_of(object.meta()), trigger) != Some(trigger) {
                        queue.push(ObjectRef::from_obj(&*object));
                    }
                }
                Change::Gone(object) => {
                    seen.remove(&key_of(object.meta()));
                    queue.forget(&ObjectRef::from_obj(&*object));
                }
            }
        }
        let publisher = publisher.clone();
        async move {
            if let Some(invalid) = invalid {
                report_unreadable::<K>(&publisher, invalid).await;
            }
        }
    };
    let stream = watch(api.clone(), list_config());
    let watch = build_watch(context, name, api.resource_url(), stream, on_event);
    (store, watch)
}

/// Watches a kind and keeps it in a store; a change begins no pass. An object that cannot be decoded is left out.
pub fn watch_store<K>(context: &WatchContext, name: &'static str) -> (Store<K>, Watch)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (store, mut feed) = Feed::new();
    let api: Api<DeserializeGuard<K>> = Api::all(context.client.clone());
    let on_event = move |event: watcher::Event<DeserializeGuard<K>>| {
        let (_, invalid) = feed.accept_guarded(event);
        warn_of_unreadable::<K>(invalid.as_deref());
        std::future::ready(())
    };
    let stream = watch(api.clone(), list_config());
    let watch = build_watch(context, name, api.resource_url(), stream, on_event);
    (store, watch)
}

/// The same for the metadata of a kind.
pub fn watch_stored_metadata<K>(
    context: &WatchContext,
    name: &'static str,
) -> (Store<PartialObjectMeta<K>>, Watch)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (store, mut feed) = Feed::new();
    let api: Api<PartialObjectMeta<K>> = Api::all(context.client.clone());
    let on_event = move |event: watcher::Event<PartialObjectMeta<K>>| {
        feed.accept(event);
        std::future::ready(())
    };
    let stream = watch(api.clone(), list_config());
    let watch = build_watch(context, name, api.resource_url(), stream, on_event);
    (store, watch)
}

/// Watches a kind that is only read, and keeps it in a store. `fields` returns what dependants read of an object. When
/// that changes, the dependants of the former and of the present value are queued.
pub fn watch_referenced<K, Owner, C>(
    context: &WatchContext,
    name: &'static str,
    queue: Queue<Owner>,
    fields: impl Fn(&K) -> C + Send + 'static,
    dependants: impl Fn(&C) -> Vec<ObjectRef<Owner>> + Send + 'static,
) -> (Store<K>, Watch)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    Owner: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
    C: Clone + PartialEq + Send + 'static,
{
    let (store, mut feed) = Feed::new();
    let api: Api<DeserializeGuard<K>> = Api::all(context.client.clone());
    let mut known = ChangedFields::new(fields);
    let on_event = move |event: watcher::Event<DeserializeGuard<K>>| {
        let (changes, invalid) = feed.accept_guarded(event);
        warn_of_unreadable::<K>(invalid.as_deref());
        queue.push_all(known.dependants_of(&changes, &dependants));
        std::future::ready(())
    };
    let stream = watch(api.clone(), list_config());
    let watch = build_watch(context, name, api.resource_url(), stream, on_event);
    (store, watch)
}

/// Watches children of a controller by their `app.kubernetes.io/managed-by` label; a change queues the controlling owner.
pub fn watch_children<K, Owner>(
    context: &WatchContext,
    name: &'static str,
    managed_by: &str,
    queue: Queue<Owner>,
) -> (Store<K>, Watch)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
    Owner: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
{
    watch_children_by(context, name, managed_by, queue, |child: &K| child.resource_version())
}

/// The same for children that change all the time: the owner is queued only when what `fields` returns for the
/// child changes, or when the child is gone.
pub fn watch_children_by<K, Owner, C>(
    context: &WatchContext,
    name: &'static str,
    managed_by: &str,
    queue: Queue<Owner>,
    fields: impl Fn(&K) -> C + Send + 'static,
) -> (Store<K>, Watch)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
    Owner: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
    C: PartialEq + Send + 'static,
{
    let (store, mut feed) = Feed::new();
    let api: Api<K> = Api::all(context.client.clone());
    let mut seen: HashMap<String, C> = HashMap::new();
    let on_event = move |event: watcher::Event<K>| {
        for change in feed.accept(event) {
            match change {
                Change::Present(child) => {
                    let fields = fields(&child);
                    if seen.get(&key_of(child.meta())) != Some(&fields) {
                        seen.insert(key_of(child.meta()), fields);
                        queue.push_all(owner_of(&*child));
                    }
                }
                Change::Gone(child) => {
                    seen.remove(&key_of(child.meta()));
                    queue.push_all(owner_of(&*child));
                }
            }
        }
        std::future::ready(())
    };
    let config = list_config().labels(&format!("{}={managed_by}", api_types::labels::MANAGED_BY));
    let stream = watch(api.clone(), config);
    let watch = build_watch(context, name, api.resource_url(), stream, on_event);
    (store, watch)
}

/// Watches only the metadata of a kind and keeps none of it but names and versions: each change is mapped to the
/// objects that depend on it. Of an object that was deleted while the watch was interrupted, the mapping gets only
/// namespace and name.
pub fn watch_metadata<K, Owner, M>(
    context: &WatchContext,
    name: &'static str,
    queue: Queue<Owner>,
    dependants: M,
) -> Watch
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    Owner: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
    M: Fn(&PartialObjectMeta<K>) -> Vec<ObjectRef<Owner>> + Send + Sync + 'static,
{
    let api: Api<PartialObjectMeta<K>> = Api::all(context.client.clone());
    let mut names = Names::default();
    let on_event = move |event: watcher::Event<PartialObjectMeta<K>>| {
        for object in names.accept(event) {
            queue.push_all(dependants(&object));
        }
        std::future::ready(())
    };
    let stream = watch(api.clone(), list_config());
    build_watch(context, name, api.resource_url(), stream, on_event)
}

/// Watches only the metadata of a kind and keeps it. Dependants are queued as by [`watch_referenced`]. `dependants`
/// also gets the store, because the meaning of one object can depend on another of the kind.
pub fn watch_metadata_store<K, Owner, C>(
    context: &WatchContext,
    name: &'static str,
    queue: Queue<Owner>,
    fields: impl Fn(&PartialObjectMeta<K>) -> C + Send + 'static,
    dependants: impl Fn(&C, &Store<PartialObjectMeta<K>>) -> Vec<ObjectRef<Owner>> + Send + 'static,
) -> (Store<PartialObjectMeta<K>>, Watch)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    Owner: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
    C: Clone + PartialEq + Send + 'static,
{
    let (store, mut feed) = Feed::new();
    let api: Api<PartialObjectMeta<K>> = Api::all(context.client.clone());
    let mut known = ChangedFields::new(fields);
    let kept = store.clone();
    let on_event = move |event: watcher::Event<PartialObjectMeta<K>>| {
        queue.push_all(known.dependants_of(&feed.accept(event), |fields| dependants(fields, &kept)));
        std::future::ready(())
    };
    let stream = watch(api.clone(), list_config());
    let watch = build_watch(context, name, api.resource_url(), stream, on_event);
    (store, watch)
}

/// A page of a list is in memory twice, as text and decoded. With kube's default of 500 objects, pages with large
/// documents would determine the memory of the process.
fn list_config() -> watcher::Config {
    watcher::Config::default().page_size(100)
}

fn build_watch<T, F, Fut>(
    context: &WatchContext,
    name: &'static str,
    path: &str,
    stream: impl Stream<Item = watcher::Result<watcher::Event<T>>> + Send + 'static,
    mut on_event: F,
) -> Watch
where
    T: Send + 'static,
    F: FnMut(watcher::Event<T>) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    let live = liveness(context, name, path);
    let (metrics, cluster) = (context.metrics.clone(), context.progress.cluster.clone());
    let (listed_sender, listed) = tokio::sync::watch::channel(false);
    let task = async move {
        let mut events = std::pin::pin!(stream.backoff(WatchBackoff::new()));
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    let complete = matches!(event, watcher::Event::InitDone);
                    on_event(event).await;
                    if complete {
                        listed_sender.send_replace(true);
                    }
                }
                Err(error) => {
                    metrics.count_watch_error(&cluster, name);
                    tracing::warn!(watch = name, %error, hint = hint_of(&error), "watch broke, starting it again");
                }
            }
        }
    };
    Watch { name, listed, live, task: Box::pin(task) }
}

/// Also shows the watch's progress in the metrics, whenever it is asked.
fn liveness(
    context: &WatchContext,
    name: &'static str,
    path: &str,
) -> Box<dyn Fn() -> Result<(), String> + Send + Sync> {
    let started = Instant::now();
    let (progress, metrics, path) = (context.progress.clone(), context.metrics.clone(), path.to_owned());
    Box::new(move || {
        let age = progress.age(&path, started, Instant::now());
        metrics.set_watch_progress(progress.cluster(), name, age);
        if age < WEDGED_AFTER { Ok(()) } else { Err(format!("no progress for {} s", age.as_secs())) }
    })
}

fn hint_of(error: &watcher::Error) -> &'static str {
    let (watcher::Error::InitialListFailed(source)
    | watcher::Error::WatchStartFailed(source)
    | watcher::Error::WatchFailed(source)) = error
    else {
        return "";
    };
    match source {
        kube::Error::Api(status) if status.code == 404 => {
            "is the CustomResourceDefinition installed (chart workflow-crds)?"
        }
        kube::Error::Api(status) if status.code == 403 => "the ServiceAccount lacks get, list or watch on it",
        _ => "",
    }
}

/// For an object of another controller's kind: that controller reports it in an event.
fn warn_of_unreadable<K: Resource<DynamicType = ()>>(invalid: Option<&Invalid>) {
    if let Some(Invalid { name, error, .. }) = invalid {
        tracing::warn!(kind = %K::kind(&()), name, error, "cannot be read");
    }
}

async fn report_unreadable<K: Resource<DynamicType = ()>>(publisher: &Publisher, invalid: Box<Invalid>) {
    tracing::error!(kind = %K::kind(&()), name = invalid.name, error = invalid.error, "cannot be read, left alone");
    let reason = CommonReason::Unreadable.to_string();
    let note = format!(
        "{reason}: the object does not fit this version's schema ({}); correct it and apply it again",
        invalid.error
    );
    let event = Event { type_: EventType::Warning, reason, note };
    publisher.publish_about(invalid.reference, event).await;
}

fn key_of(meta: &kube::api::ObjectMeta) -> String {
    meta.uid.clone().unwrap_or_default()
}

/// Changes when metadata changes that a pass depends on, and not when only the status does.
fn trigger_of(meta: &kube::api::ObjectMeta) -> u64 {
    let mut hasher = DefaultHasher::new();
    meta.generation.hash(&mut hasher);
    meta.deletion_timestamp.as_ref().map(|time| time.0).hash(&mut hasher);
    meta.finalizers.hash(&mut hasher);
    meta.labels.hash(&mut hasher);
    meta.annotations.hash(&mut hasher);
    hasher.finish()
}

fn owner_of<K, Owner>(child: &K) -> Option<ObjectRef<Owner>>
where
    K: Resource<DynamicType = ()>,
    Owner: Resource<DynamicType = ()>,
{
    let is_controller =
        |owner: &&OwnerReference| owner.controller == Some(true) && owner.kind == Owner::kind(&());
    let owner = child.owner_references().iter().find(is_controller)?;
    Some(ObjectRef::new(&owner.name).within(&child.namespace()?))
}

/// 0.5 s to 10 s with jitter, from the start again after a success. With the usual cap of 30–60 s a controller would
/// get no changes for a minute after a short outage.
struct WatchBackoff(backon::ExponentialBackoff);

impl WatchBackoff {
    fn new() -> Self {
        Self(Self::build())
    }

    fn build() -> backon::ExponentialBackoff {
        backon::ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(500))
            .with_max_delay(Duration::from_secs(10))
            .with_jitter()
            .without_max_times()
            .build()
    }
}

impl Iterator for WatchBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.0.next()
    }
}

impl Backoff for WatchBackoff {
    fn reset(&mut self) {
        self.0 = Self::build();
    }
}

#[cfg(test)]
mod tests;
