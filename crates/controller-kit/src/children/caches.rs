//! The watches on children and their caches.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use kube::api::ApiResource;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::Event;
use serde_json::Value;

use super::{AnyChild, ChildObject, ChildSet};
use crate::controller::Queue;
use crate::watch::{Watch, WatchContext};

/// The watched objects by kind: only those with the operator's `managed-by` label.
#[derive(Default)]
pub struct ChildCaches(HashMap<TypeId, Box<dyn Any + Send + Sync>>);

impl ChildCaches {
    /// Caches that hold what `list` gives for each kind that is watched, as a watch shows it after its first list: for
    /// tests.
    pub fn holding<S: ChildSet>(list: impl Fn(&ApiResource) -> Vec<Value>) -> serde_json::Result<Self> {
        let mut caches = Self::default();
        for (child, _) in kinds::<S>() {
            child.hold(list(&child.resource()), &mut caches)?;
        }
        Ok(caches)
    }

    /// An object of a kind that is watched.
    #[must_use]
    pub fn get<K: ChildObject>(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        let store: &Store<K> = self.0.get(&TypeId::of::<K>())?.downcast_ref()?;
        store.get(&ObjectRef::new(name).within(namespace))
    }

    pub(super) fn insert<K: ChildObject>(&mut self, store: Store<K>) {
        self.0.insert(TypeId::of::<K>(), Box::new(store));
    }
}

/// Watches every kind of the set's watched children, each kind once. A change of a child's [`trigger`] queues the
/// owner.
///
/// [`trigger`]: super::Child::trigger
pub fn watch_children<S: ChildSet>(
    context: &WatchContext,
    managed_by: &str,
    queue: &Queue<S::Owner>,
) -> (ChildCaches, Vec<Watch>) {
    let mut caches = ChildCaches::default();
    let watches = kinds::<S>()
        .into_iter()
        .map(|(child, of_kind)| child.watch(context, managed_by, queue.clone(), of_kind, &mut caches))
        .collect();
    (caches, watches)
}

/// The kinds that [`watch_children`] watches.
#[must_use]
pub fn watched_resources<S: ChildSet>() -> Vec<ApiResource> {
    kinds::<S>().into_iter().map(|(child, _)| child.resource()).collect()
}

type Children<S> = Vec<&'static dyn AnyChild<S>>;

/// The watched children by kind, in the order of the list: the first of each kind, and all of them.
fn kinds<S: ChildSet>() -> Vec<(&'static dyn AnyChild<S>, Children<S>)> {
    let mut kinds: Vec<(&'static dyn AnyChild<S>, Children<S>)> = Vec::new();
    for child in S::LIST.iter().copied().filter(|child| child.is_watched()) {
        match kinds.iter_mut().find(|(first, _)| first.object_type() == child.object_type()) {
            Some((_, of_kind)) => of_kind.push(child),
            None => kinds.push((child, vec![child])),
        }
    }
    kinds
}

/// A digest instead of the values, because it is kept for every watched object and only compared.
pub(super) fn digest_of(triggers: impl Iterator<Item = Value>) -> u64 {
    let mut hasher = DefaultHasher::new();
    triggers.for_each(|trigger| trigger.hash(&mut hasher));
    hasher.finish()
}

pub(super) fn static_kind<K: ChildObject>() -> &'static str {
    match K::kind(&()) {
        std::borrow::Cow::Borrowed(kind) => kind,
        std::borrow::Cow::Owned(_) => "unknown",
    }
}

pub(super) fn store_of<K: ChildObject>(objects: Vec<K>) -> Store<K> {
    let (store, mut writer) = reflector::store();
    writer.apply_watcher_event(&Event::Init);
    for object in objects {
        writer.apply_watcher_event(&Event::InitApply(object));
    }
    writer.apply_watcher_event(&Event::InitDone);
    store
}
