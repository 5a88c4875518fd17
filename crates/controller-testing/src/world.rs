use std::sync::Arc;

use api_types::status::Status as _;
use controller_kit::controller::Reconciler as _;
use controller_kit::outcome::Next;
use controller_kit::pass::{Kind, Passes};
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::DeleteParams;
use kube::core::object::HasStatus as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use test_support::request::RecordedRequest;
use test_support::snapshot::Snapshot;
use test_support::{FakeApiServer, Faults};

/// A test is wrong that needs more passes than this.
pub(crate) const MAX_PASSES: usize = 60;

/// A Kubernetes in memory with objects of one kind in one namespace.
pub trait World {
    /// The kind.
    type Kind: Kind<Object: Serialize + DeserializeOwned>;

    /// Where the objects are.
    fn namespace(&self) -> &str;

    /// The Kubernetes API.
    fn apiserver(&self) -> &FakeApiServer;

    /// A controller that has just started. All that it writes goes through `faults`: to the Kubernetes API and to engines.
    fn started_behind(&self, faults: &Faults) -> Passes<Self::Kind>;

    /// What the watches of a controller do between two passes: its caches show the world as it is now. A world whose
    /// controller reads the world without a cache has nothing to do.
    fn refresh(&self, _: &mut Passes<Self::Kind>) {}

    /// What Kubernetes' own controllers do about what was written. `true` if they changed something.
    fn answer(&self) -> bool {
        false
    }

    /// Writes so far elsewhere than at the Kubernetes API, for instance in an engine.
    fn other_writes(&self) -> usize {
        0
    }

    /// All that two runs to the same end must agree on.
    fn end_state(&self) -> Snapshot {
        self.apiserver().snapshot()
    }

    /// A controller that has just started, without faults.
    fn started(&self) -> Passes<Self::Kind> {
        self.started_behind(&Faults::none())
    }

    /// One pass of a controller that was started for it.
    async fn pass(&self, name: &str) -> Next {
        self.pass_of(&mut self.started(), name).await
    }

    /// One pass of this controller over the object as it is now.
    async fn pass_of(&self, passes: &mut Passes<Self::Kind>, name: &str) -> Next {
        self.refresh(passes);
        match self.object(name) {
            // A pass with all its caches is too large for the stacks of those who call this.
            Some(object) => Box::pin(passes.reconcile(Arc::new(object))).await.next,
            None => Next::Gone,
        }
    }

    /// Passes and answers by turns, until neither changes anything. Each pass is one of a controller that was started for it.
    /// Gives the outcome of the last pass.
    async fn settle(&self, name: &str) -> Next {
        let faults = Faults::none();
        let deletions = || faults.writes().iter().filter(|write| write.starts_with("DELETE")).count();
        for _ in 0..MAX_PASSES {
            let before = (self.writes(), deletions());
            let next = self.pass_of(&mut self.started_behind(&faults), name).await;
            let answered = self.answer();
            if (self.writes(), deletions()) == before && !answered {
                return next;
            }
        }
        let conditions = self.status(name).conditions().to_vec();
        panic!("{name} does not settle: {conditions:?}, with the writes\n{}", faults.writes().join("\n"));
    }

    /// [`World::settle`], and one more pass, which must be settled and write nothing. Earlier requests are forgotten.
    async fn converge(&self, name: &str) {
        self.settle(name).await;
        self.apiserver().forget_requests();
        let next = self.pass(name).await;
        assert!(matches!(next, Next::Settled { .. }), "{next:?}");
        assert_eq!(self.apiserver().mutations(), [], "a settled {name} was written to");
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
        self.apiserver().edit::<ObjectOf<Self>>(self.namespace(), name, change);
    }

    /// What `kubectl delete` does.
    async fn delete(&self, name: &str) {
        let api: Api<ObjectOf<Self>> = Api::namespaced(self.apiserver().client(), self.namespace());
        api.delete(name, &DeleteParams::default()).await.expect("should be deleted");
    }

    /// The object, if it is there.
    fn object(&self, name: &str) -> Option<ObjectOf<Self>> {
        self.apiserver().get(self.namespace(), name)
    }

    /// Its status; the default one while it has none.
    fn status(&self, name: &str) -> <Self::Kind as Kind>::Status {
        self.object(name).and_then(|object| object.status().cloned()).unwrap_or_default()
    }

    /// Reasons and notes of the events about an object, in the order in which they were published.
    fn events(&self, name: &str) -> Vec<(String, String)> {
        let events = published(self.apiserver(), name);
        events.map(|event| (event.reason.unwrap_or_default(), event.note.unwrap_or_default())).collect()
    }

    /// The same with their types, one line each.
    fn event_lines(&self, name: &str) -> Vec<String> {
        let line = |event: Event| {
            let [type_, reason, note] =
                [event.type_, event.reason, event.note].map(Option::unwrap_or_default);
            format!("{type_} {reason} {note}")
        };
        published(self.apiserver(), name).map(line).collect()
    }
}

fn published(apiserver: &FakeApiServer, name: &str) -> impl Iterator<Item = Event> {
    let requests = apiserver.requests().into_iter();
    requests
        .filter(|request| request.path.ends_with("/events") && request.is_mutating())
        .filter_map(|request| serde_json::from_value::<Event>(request.body?).ok())
        .filter(move |event| event.regarding.as_ref().and_then(|about| about.name.as_deref()) == Some(name))
}

/// The objects of a world.
pub type ObjectOf<W> = <<W as World>::Kind as Kind>::Object;
