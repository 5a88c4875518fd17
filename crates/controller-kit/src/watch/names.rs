//! Names and versions of the objects of a watch without a store. They show what changed or was deleted while the watch
//! was interrupted.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use kube::Resource;
use kube::api::{ObjectMeta, PartialObjectMeta, PartialObjectMetaExt as _};
use kube::runtime::watcher::Event;

/// Namespace and name, in little memory: there may be many more of these than custom resources.
type Name = (Option<Box<str>>, Box<str>);

/// A hash of the uid and the resource version, which are text.
type Version = u64;

/// Names of the existing objects.
#[derive(Default)]
pub(super) struct Names {
    present: HashMap<Name, Version>,
    /// The same of the list that is being read.
    listed: HashMap<Name, Version>,
}

impl Names {
    /// Objects that were created, changed or deleted. Of one that was deleted while the watch was interrupted, only the
    /// name is known.
    pub(super) fn accept<K: Resource<DynamicType = ()>>(
        &mut self,
        event: Event<PartialObjectMeta<K>>,
    ) -> Vec<PartialObjectMeta<K>> {
        match event {
            Event::Apply(object) => {
                self.present.insert(name_of(&object.metadata), version_of(&object.metadata));
                vec![object]
            }
            Event::Delete(object) => {
                self.present.remove(&name_of(&object.metadata));
                vec![object]
            }
            Event::Init => {
                self.listed = HashMap::new();
                Vec::new()
            }
            Event::InitApply(object) => {
                let (name, version) = (name_of(&object.metadata), version_of(&object.metadata));
                let is_known = self.present.get(&name) == Some(&version);
                self.listed.insert(name, version);
                if is_known { Vec::new() } else { vec![object] }
            }
            Event::InitDone => {
                let former = std::mem::replace(&mut self.present, std::mem::take(&mut self.listed));
                former.into_keys().filter(|name| !self.present.contains_key(name)).map(named).collect()
            }
        }
    }
}

fn name_of(meta: &ObjectMeta) -> Name {
    let name = meta.name.clone().unwrap_or_default();
    (meta.namespace.clone().map(String::into_boxed_str), name.into_boxed_str())
}

fn version_of(meta: &ObjectMeta) -> Version {
    let mut hasher = DefaultHasher::new();
    (&meta.uid, &meta.resource_version).hash(&mut hasher);
    hasher.finish()
}

fn named<K: Resource<DynamicType = ()>>((namespace, name): Name) -> PartialObjectMeta<K> {
    let namespace = namespace.map(String::from);
    ObjectMeta { namespace, name: Some(name.into()), ..ObjectMeta::default() }.into_response_partial()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::ResourceExt as _;

    use super::*;

    fn object(name: &str, version: &str) -> PartialObjectMeta<ConfigMap> {
        let (name, resource_version) = (Some(name.to_owned()), Some(version.to_owned()));
        ObjectMeta { name, resource_version, ..ObjectMeta::default() }.into_response_partial()
    }

    #[test]
    fn of_a_list_only_what_changed_since_the_last_one_is_reported() {
        let mut names = Names::default();
        let mut reported = |events: Vec<Event<PartialObjectMeta<ConfigMap>>>| {
            let objects = events.into_iter().flat_map(|event| names.accept(event));
            let mut names: Vec<_> = objects.map(|object| object.name_any()).collect();
            names.sort();
            names
        };
        let list = |objects: &[(&str, &str)]| {
            let items = objects.iter().map(|(name, version)| Event::InitApply(object(name, version)));
            std::iter::once(Event::Init).chain(items).chain([Event::InitDone]).collect::<Vec<_>>()
        };
        assert_eq!(reported(list(&[("a", "1"), ("b", "1"), ("c", "1")])), ["a", "b", "c"]);
        assert_eq!(
            reported(list(&[("a", "1"), ("b", "2"), ("d", "1")])),
            ["b", "c", "d"],
            "changed, gone, new"
        );
        assert_eq!(reported(list(&[("a", "1"), ("b", "2"), ("d", "1")])), [""; 0]);
        assert_eq!(reported(vec![Event::Apply(object("a", "2"))]), ["a"]);
        assert_eq!(reported(list(&[("a", "2"), ("b", "2"), ("d", "1")])), [""; 0]);
    }
}
