//! The world that the in-memory tests of every controller share: a Kubernetes API in memory, the objects of one kind in one
//! namespace, and passes over them when a test says so.
//!
//! A controller's tests implement [`World`] for a struct of their own, which holds what else the kind needs: engines, a
//! database. This crate is for tests and does not ship.
#![deny(missing_docs)]
#![allow(
    async_fn_in_trait,
    clippy::missing_panics_doc,
    clippy::panic,
    reason = "tests only: a panic is a failed test"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use api_types::labels::TENANT;
use api_types::status::Status as _;
use api_types::{WorkflowCluster, WorkflowTenant};
use controller_kit::controller::Reconciler as _;
use controller_kit::outcome::Next;
use controller_kit::pass::{Kind, Passes};
use engine_access::reference::{Directory, Namespaces};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::events::v1::Event;
use kube::api::DeleteParams;
use kube::core::object::HasStatus as _;
use kube::{Api, Client, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use test_support::FakeApiServer;
use test_support::request::RecordedRequest;

/// A Kubernetes in memory with objects of one kind.
pub trait World {
    /// The kind.
    type Kind: Kind<Object: Serialize + DeserializeOwned>;

    /// Where the objects are.
    const NAMESPACE: &'static str;

    /// The Kubernetes API.
    fn apiserver(&self) -> &FakeApiServer;

    /// One life of the controller, which reaches the Kubernetes API through `client`.
    fn passes(&self, client: Client) -> Passes<Self::Kind>;

    /// Writes so far elsewhere than at the Kubernetes API, for instance in an engine.
    fn other_writes(&self) -> usize {
        0
    }

    /// A life with nothing in between.
    fn started(&self) -> Passes<Self::Kind> {
        self.passes(self.apiserver().client())
    }

    /// One pass of a controller that was started for it.
    async fn pass(&self, name: &str) -> Next {
        self.pass_of(&self.started(), name).await
    }

    /// One pass of this life over the object as it is now.
    async fn pass_of(&self, passes: &Passes<Self::Kind>, name: &str) -> Next {
        match self.object(name) {
            Some(object) => passes.reconcile(Arc::new(object)).await.next,
            None => Next::Gone,
        }
    }

    /// Passes until one writes nothing anywhere; what the last one said.
    async fn settle(&self, name: &str) -> Next {
        for _ in 0..10 {
            let before = self.writes();
            let next = self.pass(name).await;
            if self.writes() == before {
                return next;
            }
        }
        let conditions = self.status(name).conditions().to_vec();
        panic!("{name} does not settle: {conditions:?}");
    }

    /// Writes so far: at the Kubernetes API, without events and the deletions of tests, and elsewhere.
    fn writes(&self) -> (usize, usize) {
        let by_controller = |request: &&RecordedRequest| {
            request.method.as_str() != "DELETE" && !request.path.ends_with("/events")
        };
        let mutations = self.apiserver().mutations();
        (mutations.iter().filter(by_controller).count(), self.other_writes())
    }

    /// What `kubectl edit` does.
    fn edit(&self, name: &str, change: impl FnOnce(&mut Value)) {
        self.apiserver().edit::<ObjectOf<Self>>(Self::NAMESPACE, name, change);
    }

    /// What `kubectl delete` does.
    async fn delete(&self, name: &str) {
        let api: Api<ObjectOf<Self>> = Api::namespaced(self.apiserver().client(), Self::NAMESPACE);
        api.delete(name, &DeleteParams::default()).await.expect("should be deleted");
    }

    /// The object, if it is there.
    fn object(&self, name: &str) -> Option<ObjectOf<Self>> {
        self.apiserver().get(Self::NAMESPACE, name)
    }

    /// Its status; the default one while it has none.
    fn status(&self, name: &str) -> <Self::Kind as Kind>::Status {
        self.object(name).and_then(|object| object.status().cloned()).unwrap_or_default()
    }

    /// Reasons and notes of the events about an object, in the order in which they were published.
    fn events(&self, name: &str) -> Vec<(String, String)> {
        let requests = self.apiserver().requests().into_iter();
        requests
            .filter(|request| request.path.ends_with("/events") && request.is_mutating())
            .filter_map(|request| serde_json::from_value::<Event>(request.body?).ok())
            .filter(|event| event.regarding.as_ref().and_then(|about| about.name.as_deref()) == Some(name))
            .map(|event| (event.reason.unwrap_or_default(), event.note.unwrap_or_default()))
            .collect()
    }
}

/// The objects of a world.
pub type ObjectOf<W> = <<W as World>::Kind as Kind>::Object;

/// Clusters, tenants and namespaces as the API server has them, without a watch in between.
pub struct Stored(pub FakeApiServer);

impl Directory for Stored {
    fn cluster(&self, namespace: &str, name: &str) -> Option<Arc<WorkflowCluster>> {
        self.0.get(namespace, name).map(Arc::new)
    }

    fn tenant(&self, namespace: &str, name: &str) -> Option<Arc<WorkflowTenant>> {
        self.0.get(namespace, name).map(Arc::new)
    }

    fn namespace_labels(&self, namespace: &str) -> BTreeMap<String, String> {
        self.0.get::<Namespace>("", namespace).map(|found| found.labels().clone()).unwrap_or_default()
    }
}

impl Namespaces for Stored {
    fn contains(&self, name: &str) -> bool {
        self.0.get::<Namespace>("", name).is_some()
    }

    fn labelled(&self, tenant: &str) -> Vec<String> {
        let namespaces = self.0.list::<Namespace>("").into_iter();
        let carries = |namespace: &Namespace| namespace.labels().get(TENANT).is_some_and(|it| it == tenant);
        namespaces.filter(carries).map(|namespace| namespace.name_any()).collect()
    }
}
