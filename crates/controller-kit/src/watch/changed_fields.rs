//! Whether a change of a referenced object is one of a field that its dependants read.

use std::collections::{HashMap, HashSet};

use kube::Resource;
use kube::runtime::reflector::ObjectRef;

use super::feed::Change;

/// What dependants read of each existing object.
pub(super) struct ChangedFields<F, C> {
    fields: F,
    /// By namespace and name, which references have too.
    known: HashMap<(Option<String>, Option<String>), C>,
}

impl<F, C: Clone + PartialEq> ChangedFields<F, C> {
    pub(super) fn new(fields: F) -> Self {
        Self { fields, known: HashMap::new() }
    }

    /// Dependants of what has changed, each once: a list can report many objects.
    pub(super) fn dependants_of<K, Owner>(
        &mut self,
        changes: &[Change<K>],
        dependants: impl Fn(&C) -> Vec<ObjectRef<Owner>>,
    ) -> HashSet<ObjectRef<Owner>>
    where
        K: Resource<DynamicType = ()>,
        Owner: Resource<DynamicType = ()>,
        F: Fn(&K) -> C,
    {
        let both = changes.iter().flat_map(|change| self.accept(change));
        both.flat_map(|fields| dependants(&fields)).collect()
    }

    /// The former and the present fields, if they differ.
    fn accept<K: Resource<DynamicType = ()>>(&mut self, change: &Change<K>) -> Vec<C>
    where
        F: Fn(&K) -> C,
    {
        let (Change::Present(object) | Change::Gone(object)) = change;
        let name = (object.meta().namespace.clone(), object.meta().name.clone());
        let (former, now) = match change {
            Change::Present(object) => {
                let now = (self.fields)(object);
                if self.known.get(&name) == Some(&now) {
                    return Vec::new();
                }
                (self.known.insert(name, now.clone()), Some(now))
            }
            Change::Gone(_) => (self.known.remove(&name), None),
        };
        former.into_iter().chain(now).collect()
    }
}

#[cfg(test)]
mod tests;
