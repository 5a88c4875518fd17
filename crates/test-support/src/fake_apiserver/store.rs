//! The objects, and what a write makes of one.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::ownership::{Manager, Ownership};
use super::path::Key;
use crate::reply::{self, Reply};
use crate::snapshot::{self, Snapshot};

mod object;
mod verbs;
mod write;

use object::{bump_generation, finalizers, has_finalizers, has_generation, spec_of, uid, without_status};
use write::Write;

type Refusal = Box<kube::core::Status>;

#[derive(Clone, Debug, PartialEq)]
struct Stored {
    object: Value,
    ownership: Ownership,
}

pub(super) struct Store {
    pub(super) now: Timestamp,
    objects: BTreeMap<Key, Stored>,
    resource_version: u64,
    uids: u64,
}

impl Store {
    pub(super) fn new() -> Self {
        let now = super::EPOCH.parse().expect("the literal should be a timestamp");
        Self { now, objects: BTreeMap::new(), resource_version: 0, uids: 0 }
    }

    /// Deletes at once, or only marks the object while it has finalizers.
    fn delete(&mut self, key: &Key, dry_run: bool) -> Reply {
        let now = self.now;
        let Some(stored) = self.objects.get(key) else {
            return reply::not_found(&key.resource(), &key.name).into();
        };
        let mut object = stored.object.clone();
        if !has_finalizers(&object) {
            if !dry_run {
                self.objects.remove(key);
                self.resource_version += 1;
            }
            let details = json!({"name": key.name, "group": key.group, "kind": key.plural, "uid": object["metadata"]["uid"]});
            return Reply::ok(json!({
                "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Success", "details": details
            }));
        }
        if object["metadata"]["deletionTimestamp"].is_null() {
            object["metadata"]["deletionTimestamp"] = now.to_string().into();
            object["metadata"]["deletionGracePeriodSeconds"] = 0.into();
            bump_generation(&mut object);
            if !dry_run {
                object["metadata"]["resourceVersion"] = self.next_resource_version();
                let stored = self.objects.get_mut(key).expect("the object should still be there");
                stored.object = object.clone();
            }
        }
        Reply::ok(object)
    }

    fn create(&mut self, write: &Write, object: &Value, ownership: Ownership) -> Value {
        let key = &write.target.key;
        let mut object = without_status(object);
        if object["kind"].is_null() {
            object["kind"] = "".into();
        }
        object["apiVersion"] = write.target.api_version.clone().into();
        let metadata = &mut object["metadata"];
        metadata["name"] = key.name.clone().into();
        if !key.namespace.is_empty() {
            metadata["namespace"] = key.namespace.clone().into();
        }
        metadata["creationTimestamp"] = self.now.to_string().into();
        if has_generation(&key.group) {
            metadata["generation"] = 1.into();
        }
        if write.dry_run {
            metadata["uid"] = uid(self.uids + 1);
            return object;
        }
        self.uids += 1;
        metadata["uid"] = uid(self.uids);
        metadata["resourceVersion"] = self.next_resource_version();
        self.objects.insert(key.clone(), Stored { object: object.clone(), ownership });
        object
    }

    /// A write that is not an apply: its manager becomes the owner of what it changed.
    fn update(&mut self, write: &Write, object: Value) -> Result<Value, Refusal> {
        let stored = self.existing(&write.target.key)?;
        let mut ownership = stored.ownership.clone();
        let merged = write.on_top_of(&stored.object, object.clone());
        ownership.record_update(&write.manager, &stored.object, &merged);
        self.store(write, object, ownership)
    }

    /// Stores a new state of an existing object: preconditions, the fields that only the server sets, `generation`,
    /// the end of a deletion.
    fn store(&mut self, write: &Write, new: Value, ownership: Ownership) -> Result<Value, Refusal> {
        let key = &write.target.key;
        let stored = self.existing(key)?.clone();
        let old = &stored.object;
        let given = |field: &str| new["metadata"][field].as_str().filter(|value| !value.is_empty());
        if let Some(uid) = given("uid").filter(|uid| *uid != old["metadata"]["uid"]) {
            let why = format!(
                "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                old["metadata"]["uid"].as_str().unwrap_or_default()
            );
            return Err(reply::conflict_because(&key.resource(), &key.name, &why).boxed());
        }
        if given("resourceVersion").is_some_and(|version| version != old["metadata"]["resourceVersion"]) {
            return Err(reply::conflict(&key.resource(), &key.name).boxed());
        }
        if given("name").is_some_and(|name| name != key.name) {
            let why = "the name of the object does not match the name on the URL";
            return Err(reply::failure(400, "BadRequest", why).boxed());
        }

        let mut object = write.on_top_of(old, new);
        if !old["metadata"]["deletionTimestamp"].is_null() {
            let added = finalizers(&object).find(|f| !finalizers(old).any(|known| known == *f));
            if let Some(added) = added {
                let why = format!(
                    "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers \
                     []string{{\"{added}\"}}"
                );
                return Err(reply::invalid(&key.resource(), &key.name, "metadata.finalizers", &why).boxed());
            }
        }
        if object == *old && ownership == stored.ownership {
            return Ok(object);
        }
        if has_generation(&key.group) && spec_of(&object) != spec_of(old) {
            bump_generation(&mut object);
        }
        if write.dry_run {
            return Ok(object);
        }
        object["metadata"]["resourceVersion"] = self.next_resource_version();
        if !object["metadata"]["deletionTimestamp"].is_null() && !has_finalizers(&object) {
            self.objects.remove(key);
        } else {
            self.objects.insert(key.clone(), Stored { object: object.clone(), ownership });
        }
        Ok(object)
    }

    pub(super) fn seed(&mut self, key: Key, mut object: Value) {
        let metadata = &mut object["metadata"];
        if metadata["uid"].is_null() {
            self.uids += 1;
            metadata["uid"] = uid(self.uids);
        }
        if metadata["creationTimestamp"].is_null() {
            metadata["creationTimestamp"] = self.now.to_string().into();
        }
        if metadata["generation"].is_null() && has_generation(&key.group) {
            metadata["generation"] = 1.into();
        }
        metadata["resourceVersion"] = self.next_resource_version();
        let manager = Manager { name: "seed".to_owned(), applies: false, subresource: None };
        let mut ownership = Ownership::default();
        ownership.record_update(&manager, &json!({}), &object);
        self.objects.insert(key, Stored { object, ownership });
    }

    pub(super) fn edit(&mut self, key: &Key, change: impl FnOnce(&mut Value)) {
        let Some(stored) = self.objects.get(key) else {
            panic!("no {} {}/{} to edit", key.resource(), key.namespace, key.name)
        };
        let old = stored.object.clone();
        let mut ownership = stored.ownership.clone();
        let mut object = old.clone();
        change(&mut object);
        if object == old {
            return;
        }
        let manager = Manager { name: "edit".to_owned(), applies: false, subresource: None };
        ownership.record_update(&manager, &old, &object);
        if has_generation(&key.group) && spec_of(&object) != spec_of(&old) {
            bump_generation(&mut object);
        }
        object["metadata"]["resourceVersion"] = self.next_resource_version();
        self.objects.insert(key.clone(), Stored { object, ownership });
    }

    pub(super) fn remove(&mut self, key: &Key) {
        self.objects.remove(key);
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Value> {
        self.objects.get(key).map(|stored| &stored.object)
    }

    pub(super) fn list(&self, group: &str, plural: &str, namespace: &str) -> impl Iterator<Item = &Value> {
        self.of_kind(group, plural, namespace).map(|(_, object)| object)
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let objects = self.objects.iter().filter(|(key, _)| key.plural != "events");
        objects
            .map(|(key, stored)| {
                let id = format!("{}/{}/{}", key.resource(), key.namespace, key.name);
                (id, snapshot::comparable(&stored.object))
            })
            .collect()
    }

    fn of_kind(&self, group: &str, plural: &str, namespace: &str) -> impl Iterator<Item = (&Key, &Value)> {
        self.objects.iter().map(|(key, stored)| (key, &stored.object)).filter(move |(key, _)| {
            key.group == group && key.plural == plural && (namespace.is_empty() || key.namespace == namespace)
        })
    }

    fn existing(&self, key: &Key) -> Result<&Stored, Refusal> {
        self.objects.get(key).ok_or_else(|| reply::not_found(&key.resource(), &key.name).boxed())
    }

    fn next_resource_version(&mut self) -> Value {
        self.resource_version += 1;
        self.resource_version.to_string().into()
    }
}
