//! A small apiserver in memory. With it, a unit test runs whole passes (observe, plan, execute, status) until nothing
//! changes any more.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! use k8s_openapi::api::core::v1::ConfigMap;
//! use kube::{Api, api::{Patch, PatchParams}};
//! use test_support::FakeApiServer;
//!
//! let apiserver = FakeApiServer::new();
//! let config_maps: Api<ConfigMap> = Api::namespaced(apiserver.client(), "acme");
//! let desired = serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config"}});
//! let params = PatchParams::apply("worker-controller");
//! config_maps.patch("config", &params, &Patch::Apply(&desired)).await.unwrap();
//!
//! assert!(apiserver.get::<ConfigMap>("acme", "config").is_some());
//! assert_eq!(apiserver.mutations().len(), 1);
//! # });
//! ```
//!
//! What it does like the real one (`fake_apiserver/tests/same_script.rs` runs one script against both):
//!
//! - GET, LIST (label selectors; field selectors on any dotted path), POST (`generateName` too), PUT, PATCH (server-side
//!   apply, merge, JSON), DELETE (one and collection), metadata-only reads, `dryRun=All`, the `status` subresource;
//! - `uid`, `creationTimestamp`, `generation`; a `resourceVersion` that moves only when something changed;
//! - optimistic locking and delete preconditions: 409; finalizers and `deletionTimestamp`;
//! - field managers: apply removes what the manager no longer sends, and without force it conflicts with others.
//!
//! What only the real one ([`crate::apiserver`]) does, and where they differ:
//!
//! - no schemas: no validation, no defaulting, no pruning, no CEL, no strategic merge patch (415);
//! - server-side apply knows as keyed lists only `conditions` (type), `ownerReferences` (uid), `finalizers` (set), and
//!   `containers`, `initContainers`, `volumes`, `env` (name), `volumeMounts` (mountPath); every other list is replaced
//!   whole. `metadata.managedFields` is kept inside and not shown;
//! - every kind and every namespace exists, unless [`FakeApiServer::without_api`] removes a kind;
//! - no watch (501), no paging (always the whole list), no authentication, no garbage collection;
//! - the time is always that of [`FakeApiServer::set_now`], and uids count upwards, so that runs can be compared.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::Request;
use jiff::Timestamp;
use kube::api::ApiResource;
use kube::client::Body;
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::reply::Reply;
use crate::request::RecordedRequest;
use crate::snapshot::Snapshot;

mod ownership;
mod path;
mod selector;
mod store;
#[cfg(test)]
mod tests;

use path::Key;
use store::Store;

/// The time of a fake apiserver until a test sets another.
pub(crate) const EPOCH: &str = "2026-01-01T00:00:00Z";

/// See the [module](self). Clones share one store.
#[derive(Clone)]
pub struct FakeApiServer {
    state: Arc<Mutex<State>>,
}

type Interceptor = Box<dyn Fn(&RecordedRequest) -> Option<Reply> + Send>;

struct State {
    store: Store,
    requests: Vec<RecordedRequest>,
    interceptors: Vec<Interceptor>,
}

impl FakeApiServer {
    /// An empty apiserver, at 2026-01-01T00:00:00Z.
    pub fn new() -> Self {
        let state = State { store: Store::new(), requests: Vec::new(), interceptors: Vec::new() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// A client of this server, with `default` as its namespace. Call it within a tokio runtime.
    pub fn client(&self) -> Client {
        let apiserver = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let apiserver = apiserver.clone();
            async move {
                let request = RecordedRequest::read(request).await?;
                Ok::<_, kube::Error>(apiserver.state().answer(&request).into_response())
            }
        });
        Client::new(service, "default")
    }

    /// If `interceptor` returns a reply, it is the answer instead of the store's: for access reviews and other calls
    /// that are not CRUD, and for refusals. The latest one added is asked first.
    pub fn intercept(&self, interceptor: impl Fn(&RecordedRequest) -> Option<Reply> + Send + 'static) {
        self.state().interceptors.push(Box::new(interceptor));
    }

    /// From now on the kind is not served, as when its CRD is not installed.
    pub fn without_api<K: Resource<DynamicType = ()>>(&self) {
        let (group, version, plural) = (K::group(&()), K::version(&()), K::plural(&()));
        let prefix =
            if group.is_empty() { format!("/api/{version}/") } else { format!("/apis/{group}/{version}/") };
        self.intercept(move |request| {
            let rest = request.path.strip_prefix(&prefix)?;
            let rest =
                rest.strip_prefix("namespaces/").and_then(|r| r.split_once('/')).map_or(rest, |(_, r)| r);
            (rest.split('/').next() == Some(&*plural)).then(Reply::no_such_api)
        });
    }

    /// The time that new objects get as their creation or deletion time.
    pub fn set_now(&self, now: Timestamp) {
        self.state().store.now = now;
    }

    /// Stores an object together with its status, as if it had always been there. Not counted as a request.
    ///
    /// # Panics
    /// When the object has no name.
    pub fn seed<K: Resource<DynamicType = ()> + Serialize>(&self, object: &K) {
        let name = object.meta().name.as_deref().expect("a seeded object should have a name");
        let key = Key::of::<K>(object.meta().namespace.as_deref(), name);
        let mut value = serde_json::to_value(object).expect("a seeded object should be serializable");
        value["apiVersion"] = K::api_version(&()).into();
        value["kind"] = K::kind(&()).into();
        self.state().store.seed(key, value);
    }

    /// Changes an object in place, in the role of a user or of another controller: `generation` and `resourceVersion`
    /// move as on a write. Not counted as a request. For a cluster-scoped kind `namespace` is `""`.
    ///
    /// # Panics
    /// When there is no such object.
    pub fn edit<K: Resource<DynamicType = ()>>(
        &self,
        namespace: &str,
        name: &str,
        change: impl FnOnce(&mut Value),
    ) {
        let key = Key::of::<K>(Some(namespace), name);
        self.state().store.edit(&key, change);
    }

    /// Removes an object at once, even with finalizers. Not counted as a request; no error if it is absent.
    pub fn remove<K: Resource<DynamicType = ()>>(&self, namespace: &str, name: &str) {
        self.state().store.remove(&Key::of::<K>(Some(namespace), name));
    }

    /// Reads an object, or `None`. Not counted as a request.
    ///
    /// # Panics
    /// When the object does not decode as `K`.
    pub fn get<K: Resource<DynamicType = ()> + DeserializeOwned>(
        &self,
        namespace: &str,
        name: &str,
    ) -> Option<K> {
        let value = self.state().store.get(&Key::of::<K>(Some(namespace), name))?.clone();
        Some(serde_json::from_value(value).expect("a stored object should decode as its kind"))
    }

    /// Reads all objects of a kind in a namespace (`""`: in all), sorted by namespace and name. Not counted.
    ///
    /// # Panics
    /// When an object does not decode as `K`.
    pub fn list<K: Resource<DynamicType = ()> + DeserializeOwned>(&self, namespace: &str) -> Vec<K> {
        let decode = |value: &Value| serde_json::from_value(value.clone());
        let objects: Result<Vec<K>, _> =
            self.state().store.list(&K::group(&()), &K::plural(&()), namespace).map(decode).collect();
        objects.expect("stored objects should decode as their kind")
    }

    /// The same for a kind that is known by name only: the objects as they are stored.
    pub fn list_of(&self, resource: &ApiResource) -> Vec<Value> {
        self.state().store.list(&resource.group, &resource.plural, "").cloned().collect()
    }

    /// Every object except Events, comparable between runs (see [`crate::snapshot`]), keyed by
    /// `plural.group/namespace/name`.
    pub fn snapshot(&self) -> Snapshot {
        self.state().store.snapshot()
    }

    /// All requests since the start or the last [`FakeApiServer::forget_requests`].
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.state().requests.clone()
    }

    /// The requests that asked for a change, whether or not they changed something.
    pub fn mutations(&self) -> Vec<RecordedRequest> {
        self.state().requests.iter().filter(|r| r.is_mutating()).cloned().collect()
    }

    /// Forgets the recorded requests: usually after convergence, before a pass that must write nothing.
    pub fn forget_requests(&self) {
        self.state().requests.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic in another thread of the test must not hide the first failure behind "poisoned".
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for FakeApiServer {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for FakeApiServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeApiServer")
            .field("requests", &self.state().requests.len())
            .finish_non_exhaustive()
    }
}

impl State {
    fn answer(&mut self, request: &RecordedRequest) -> Reply {
        self.requests.push(request.clone());
        let intercepted = self.interceptors.iter().rev().find_map(|intercept| intercept(request));
        intercepted.unwrap_or_else(|| self.store.answer(request))
    }
}
