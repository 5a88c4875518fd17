//! What a watch that keeps no objects has seen: their names, to tell what went away while nobody watched.

use std::collections::HashSet;

use kube::Resource;
use kube::api::{ObjectMeta, PartialObjectMeta, PartialObjectMetaExt as _};
use kube::runtime::watcher::Event;

/// Namespace and name. There may be many more of these than objects of ours.
type Name = (Option<Box<str>>, Box<str>);

/// Names of what is there.
#[derive(Default)]
pub(super) struct Names {
    present: HashSet<Name>,
    /// Of the list that is being read.
    listed: HashSet<Name>,
}

impl Names {
    /// Objects that came, changed or went. Of what went away while nobody watched only the name is known.
    pub(super) fn accept<K: Resource<DynamicType = ()>>(
        &mut self,
        event: Event<PartialObjectMeta<K>>,
    ) -> Vec<PartialObjectMeta<K>> {
        match event {
            Event::Apply(object) => {
                self.present.insert(name_of(&object.metadata));
                vec![object]
            }
            Event::Delete(object) => {
                self.present.remove(&name_of(&object.metadata));
                vec![object]
            }
            Event::Init => {
                self.listed = HashSet::new();
                Vec::new()
            }
            Event::InitApply(object) => {
                self.listed.insert(name_of(&object.metadata));
                vec![object]
            }
            Event::InitDone => {
                let former = std::mem::replace(&mut self.present, std::mem::take(&mut self.listed));
                former.into_iter().filter(|name| !self.present.contains(name)).map(named).collect()
            }
        }
    }
}

fn name_of(meta: &ObjectMeta) -> Name {
    let name = meta.name.clone().unwrap_or_default();
    (meta.namespace.clone().map(String::into_boxed_str), name.into_boxed_str())
}

fn named<K: Resource<DynamicType = ()>>((namespace, name): Name) -> PartialObjectMeta<K> {
    let namespace = namespace.map(String::from);
    ObjectMeta { namespace, name: Some(name.into()), ..ObjectMeta::default() }.into_response_partial()
}
