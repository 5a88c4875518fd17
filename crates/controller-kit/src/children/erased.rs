//! Children of different kinds in one list.

use std::any::{Any, TypeId};
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use kube::api::{Api, ApiResource};
use kube::{Resource as _, ResourceExt as _};
use serde_json::{Value, json};

use super::live::{Lookups, Shared};
use super::{
    Child, ChildCaches, ChildId, ChildSet, InputOf, LiveChildren, Lookup, OwnerOf, ReadError, caches,
};
use crate::controller::Queue;
use crate::plan::{ChildVerdict, Desired, plan_child, plan_removal};
use crate::watch::{Watch, WatchContext, watch_children_by};

/// A [`Child`] of any kind; implemented for every one.
pub trait AnyChild<S: ChildSet>: Send + Sync {
    /// Which one it is.
    fn id(&self) -> ChildId;

    /// Its kind and path.
    fn resource(&self) -> ApiResource;

    /// Name of the object.
    fn object_name(&self, owner: &S::Owner) -> String;

    /// Is its kind watched?
    fn is_watched(&self) -> bool;

    /// Compares it with what exists.
    fn plan(&self, owner: &S::Owner, input: &S::Input<'_>, live: &LiveChildren<S>) -> ChildVerdict;

    /// Plans its removal, whether it is wanted or not.
    fn plan_removal(&self, owner: &S::Owner, live: &LiveChildren<S>) -> ChildVerdict;

    #[doc(hidden)]
    fn object_type(&self) -> TypeId;

    #[doc(hidden)]
    fn trigger_of(&self, object: &dyn Any) -> Value;

    #[doc(hidden)]
    fn watch(
        &self,
        context: &WatchContext,
        managed_by: &str,
        queue: Queue<S::Owner>,
        of_kind: Vec<&'static dyn AnyChild<S>>,
        caches: &mut ChildCaches,
    ) -> Watch;

    #[doc(hidden)]
    fn hold(&self, objects: Vec<Value>, caches: &mut ChildCaches) -> serde_json::Result<()>;

    #[doc(hidden)]
    fn decode(&self, object: Value) -> serde_json::Result<Shared>;

    #[doc(hidden)]
    fn observe<'a>(&self, lookups: &Lookups<'a, S>) -> BoxFuture<'a, Result<Option<Shared>, ReadError>>;
}

impl<S: ChildSet> dyn AnyChild<S> {
    /// Is it this child?
    #[must_use]
    pub fn is<C: Child<Set = S>>(&self, child: &C) -> bool {
        self.id() == ChildId::of(child)
    }
}

impl<C: Child> AnyChild<C::Set> for C {
    fn id(&self) -> ChildId {
        ChildId::of(self)
    }

    fn resource(&self) -> ApiResource {
        ApiResource::erase::<C::Object>(&())
    }

    fn object_name(&self, owner: &OwnerOf<C>) -> String {
        self.name(owner)
    }

    fn is_watched(&self) -> bool {
        C::LOOKUP == Lookup::Watched
    }

    fn plan(&self, owner: &OwnerOf<C>, input: &InputOf<'_, C>, live: &LiveChildren<C::Set>) -> ChildVerdict {
        if !self.is_wanted(owner) || !self.is_allowed(input) {
            return AnyChild::plan_removal(self, owner, live);
        }
        let live = live.get(self);
        let Some(object) = self.build(input, live) else { return ChildVerdict::Converged };
        let desired = Desired { shared: self.shared_fields(input, live), ..Desired::of(&object) };
        let verdict = plan_child(&owner.uid().unwrap_or_default(), desired, live);
        match (verdict, live) {
            (ChildVerdict::Apply(mut desired), Some(live)) if self.needs_live_version(input, live) => {
                desired.body["metadata"]["resourceVersion"] = json!(live.resource_version());
                ChildVerdict::Apply(desired)
            }
            (verdict, _) => verdict,
        }
    }

    fn plan_removal(&self, owner: &OwnerOf<C>, live: &LiveChildren<C::Set>) -> ChildVerdict {
        plan_removal(&owner.uid().unwrap_or_default(), live.get(self))
    }

    fn object_type(&self) -> TypeId {
        TypeId::of::<C::Object>()
    }

    fn trigger_of(&self, object: &dyn Any) -> Value {
        object.downcast_ref().map_or(Value::Null, |object| self.trigger(object))
    }

    fn watch(
        &self,
        context: &WatchContext,
        managed_by: &str,
        queue: Queue<OwnerOf<C>>,
        of_kind: Vec<&'static dyn AnyChild<C::Set>>,
        caches: &mut ChildCaches,
    ) -> Watch {
        let trigger =
            move |object: &C::Object| caches::digest_of(of_kind.iter().map(|child| child.trigger_of(object)));
        let name = caches::static_kind::<C::Object>();
        let (store, watch) = watch_children_by(context, name, managed_by, queue, trigger);
        caches.insert::<C::Object>(store);
        watch
    }

    fn hold(&self, objects: Vec<Value>, caches: &mut ChildCaches) -> serde_json::Result<()> {
        let objects: Vec<C::Object> =
            objects.into_iter().map(serde_json::from_value).collect::<serde_json::Result<_>>()?;
        caches.insert(caches::store_of(objects));
        Ok(())
    }

    fn decode(&self, object: Value) -> serde_json::Result<Shared> {
        serde_json::from_value::<C::Object>(object).map(|object| Arc::new(object) as Shared)
    }

    fn observe<'a>(&self, lookups: &Lookups<'a, C::Set>) -> BoxFuture<'a, Result<Option<Shared>, ReadError>> {
        let Lookups { client, caches, owner } = *lookups;
        let (name, namespace) = (self.name(owner), owner.namespace().unwrap_or_default());
        if C::LOOKUP == Lookup::Watched {
            let cached = caches.get::<C::Object>(&namespace, &name);
            if cached.is_some() || !self.is_wanted(owner) {
                return std::future::ready(Ok(cached.map(|object| object as Shared))).boxed();
            }
        }
        let api: Api<C::Object> = Api::namespaced(client.clone(), &namespace);
        async move {
            let found = api.get_opt(&name).await.map_err(|source| ReadError {
                object: format!("{} {namespace}/{name}", C::Object::kind(&())),
                source,
            })?;
            Ok(found.map(|object| Arc::new(object) as Shared))
        }
        .boxed()
    }
}
