//! Writes the events of a watch to a store, and returns the changes that may need a pass.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::store::Writer as StoreWriter;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt as _};

use super::slim::slim;

/// A change that a watch reports, once the store has it: the pass that it begins must find it there.
pub(super) enum Change<K> {
    /// It is new, or may have changed.
    Present(Arc<K>),
    /// It is no longer there.
    Gone(Arc<K>),
}

/// The writing side of a store.
pub(super) struct Feed<K: Resource<DynamicType = ()> + Clone + 'static> {
    store: Store<K>,
    writer: StoreWriter<K>,
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Feed<K> {
    pub(super) fn new() -> (Store<K>, Self) {
        let (store, writer) = reflector::store();
        (store.clone(), Self { store, writer })
    }

    /// The store gets a list only when it is complete. Only then are its changes reported, also objects that were
    /// deleted while the watch was interrupted.
    pub(super) fn accept(&mut self, mut event: Event<K>) -> Vec<Change<K>> {
        if let Event::Apply(object) | Event::InitApply(object) = &mut event {
            slim(object.meta_mut());
        }
        match event {
            Event::Apply(object) => {
                let reference = ObjectRef::from_obj(&object);
                self.writer.apply_watcher_event(&Event::Apply(object));
                self.store.get(&reference).map(Change::Present).into_iter().collect()
            }
            Event::Delete(object) => {
                self.writer.apply_watcher_event(&Event::Delete(object.clone()));
                vec![Change::Gone(Arc::new(object))]
            }
            Event::Init | Event::InitApply(_) => {
                self.writer.apply_watcher_event(&event);
                Vec::new()
            }
            Event::InitDone => {
                let before = self.store.state();
                self.writer.apply_watcher_event(&event);
                let is_gone = |object: &Arc<K>| {
                    let found = self.store.get(&ObjectRef::from_obj(&**object));
                    found.is_none_or(|found| found.uid() != object.uid())
                };
                let gone = before.into_iter().filter(is_gone).map(Change::Gone);
                gone.chain(self.store.state().into_iter().map(Change::Present)).collect()
            }
        }
    }

    /// An object that cannot be decoded counts as absent: its former version is removed from the store.
    pub(super) fn accept_guarded(
        &mut self,
        event: Event<DeserializeGuard<K>>,
    ) -> (Vec<Change<K>>, Option<Box<Invalid>>) {
        match decoded(event) {
            Ok(event) => (self.accept(event), None),
            Err(invalid) => {
                let ObjectReference { name, namespace, .. } = &invalid.reference;
                let mut reference = ObjectRef::new(name.as_deref().unwrap_or_default());
                reference.namespace.clone_from(namespace);
                let former = self.store.get(&reference);
                let changes = former.map(|former| self.accept(Event::Delete((*former).clone())));
                (changes.unwrap_or_default(), Some(invalid))
            }
        }
    }
}

pub(super) struct Invalid {
    /// `namespace/name`.
    pub(super) name: String,
    pub(super) reference: ObjectReference,
    /// What does not fit.
    pub(super) error: String,
}

/// An event whose object was decoded. `Init` and `InitDone` carry none.
fn decoded<K: Resource<DynamicType = ()> + Clone>(
    event: Event<DeserializeGuard<K>>,
) -> Result<Event<K>, Box<Invalid>> {
    let guarded = |DeserializeGuard(result): DeserializeGuard<K>| {
        result.map_err(|invalid| {
            let metadata = invalid.metadata;
            let (namespace, name) = (metadata.namespace.clone(), metadata.name.clone());
            Box::new(Invalid {
                name: format!("{}/{}", namespace.unwrap_or_default(), name.unwrap_or_default()),
                reference: ObjectReference {
                    api_version: Some(K::api_version(&()).into_owned()),
                    kind: Some(K::kind(&()).into_owned()),
                    name: metadata.name,
                    namespace: metadata.namespace,
                    uid: metadata.uid,
                    ..ObjectReference::default()
                },
                error: invalid.error,
            })
        })
    };
    Ok(match event {
        Event::Apply(object) => Event::Apply(guarded(object)?),
        Event::InitApply(object) => Event::InitApply(guarded(object)?),
        Event::Delete(object) => Event::Delete(guarded(object)?),
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
    })
}

#[cfg(test)]
mod tests;
