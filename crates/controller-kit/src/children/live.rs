//! What exists of one owner's children.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use futures::future::try_join_all;
use kube::Client;
use kube::api::ApiResource;
use serde_json::Value;

use super::{Child, ChildCaches, ChildId, ChildSet};

/// A live object of any kind.
pub(super) type Shared = Arc<dyn Any + Send + Sync>;

/// The children of one owner as they are. An object that has the name of a child and belongs to somebody else is here too:
/// the plan refuses it.
pub struct LiveChildren<S> {
    found: Vec<(ChildId, Shared)>,
    set: PhantomData<fn() -> S>,
}

impl<S: ChildSet> LiveChildren<S> {
    /// What `get` gives for each child, by kind and name: for tests.
    pub fn holding(
        owner: &S::Owner,
        get: impl Fn(&ApiResource, &str) -> Option<Value>,
    ) -> serde_json::Result<Self> {
        let found = S::LIST.iter().filter_map(|child| {
            let object = get(&child.resource(), &child.object_name(owner))?;
            Some(child.decode(object).map(|object| (child.id(), object)))
        });
        Ok(Self { found: found.collect::<serde_json::Result<_>>()?, set: PhantomData })
    }

    /// The live object of a child.
    #[must_use]
    pub fn get<C: Child<Set = S>>(&self, child: &C) -> Option<&C::Object> {
        let id = ChildId::of(child);
        self.found.iter().find(|(found, _)| *found == id)?.1.downcast_ref()
    }

    /// Puts `object` in the place of what was found.
    pub fn set<C: Child<Set = S>>(&mut self, child: &C, object: Option<C::Object>) {
        let id = ChildId::of(child);
        self.found.retain(|(found, _)| *found != id);
        self.found.extend(object.map(|object| (id, Arc::new(object) as Shared)));
    }

    /// The same with `object` in the place of what was found.
    #[must_use]
    pub fn with<C: Child<Set = S>>(mut self, child: &C, object: C::Object) -> Self {
        self.set(child, Some(object));
        self
    }
}

impl<S> Default for LiveChildren<S> {
    fn default() -> Self {
        Self { found: Vec::new(), set: PhantomData }
    }
}

impl<S> Clone for LiveChildren<S> {
    fn clone(&self) -> Self {
        Self { found: self.found.clone(), set: PhantomData }
    }
}

/// Shows only which children there are: their content, for instance of a Secret, must never reach a log.
impl<S> fmt::Debug for LiveChildren<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.found.iter().map(|(id, _)| id)).finish()
    }
}

/// A child could not be read.
#[derive(Debug, thiserror::Error)]
#[error("failed to read {object}")]
pub struct ReadError {
    /// `Kind namespace/name`.
    pub object: String,
    /// The answer of the API server.
    #[source]
    pub source: kube::Error,
}

/// Where children are looked up, and for whom.
pub struct Lookups<'a, S: ChildSet> {
    pub(super) client: &'a Client,
    pub(super) caches: &'a ChildCaches,
    pub(super) owner: &'a S::Owner,
}

/// Looks up all children of `owner`; those that no cache has are read in parallel.
pub async fn observe_children<S: ChildSet>(
    client: &Client,
    caches: &ChildCaches,
    owner: &S::Owner,
) -> Result<LiveChildren<S>, ReadError> {
    let lookups = Lookups::<S> { client, caches, owner };
    let reads = S::LIST.iter().map(|child| {
        let (id, read) = (child.id(), child.observe(&lookups));
        async move { Ok(read.await?.map(|object| (id, object))) }
    });
    let found = try_join_all(reads).await?;
    Ok(LiveChildren { found: found.into_iter().flatten().collect(), set: PhantomData })
}
