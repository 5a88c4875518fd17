//! The objects, and what each HTTP verb does to them.

use std::collections::BTreeMap;

use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::ownership::{Manager, Ownership};
use super::path::{Key, Target};
use super::selector;
use crate::reply::{self, Reply};
use crate::request::RecordedRequest;
use crate::snapshot::{self, Snapshot};

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

/// How a write came in, as far as the store must know.
struct Write {
    target: Target,
    manager: Manager,
    dry_run: bool,
}

impl Store {
    pub(super) fn new() -> Self {
        let now = "2026-01-01T00:00:00Z".parse().expect("the literal should be a timestamp");
        Self { now, objects: BTreeMap::new(), resource_version: 0, uids: 0 }
    }

    pub(super) fn answer(&mut self, request: &RecordedRequest) -> Reply {
        let Some(target) = Target::parse(&request.path) else { return Reply::no_such_api() };
        if !matches!(target.subresource.as_deref(), None | Some("status")) {
            return Reply::no_such_api();
        }
        let reply = match (&request.method, target.key.name.is_empty()) {
            (&Method::GET, true) => self.answer_list(&target, request),
            (&Method::GET, false) => self.answer_get(&target, request),
            (&Method::POST, true) => self.answer_create(Write::of(target, request), request),
            (&Method::PUT, false) => self.answer_replace(&Write::of(target, request), request),
            (&Method::PATCH, false) => self.answer_patch(&Write::of(target, request), request),
            (&Method::DELETE, false) => self.answer_delete(&Write::of(target, request), request),
            (&Method::DELETE, true) => self.answer_delete_collection(&Write::of(target, request), request),
            _ => Err(reply::failure(
                405,
                "MethodNotAllowed",
                "the server does not allow this method on the requested resource",
            )
            .boxed()),
        };
        reply.unwrap_or_else(|refusal| (*refusal).into())
    }

    fn answer_get(&self, target: &Target, request: &RecordedRequest) -> Result<Reply, Refusal> {
        let object = &self.existing(&target.key)?.object;
        let as_metadata = request.accept.as_deref().is_some_and(|a| a.contains("as=PartialObjectMetadata;"));
        Ok(Reply::ok(if as_metadata { metadata_only(object) } else { object.clone() }))
    }

    fn answer_list(&self, target: &Target, request: &RecordedRequest) -> Result<Reply, Refusal> {
        if request.query("watch").is_some_and(|watch| watch != "false") {
            let message = "the fake apiserver serves no watch: feed the controller's stream by hand, or test with \
                           the real apiserver";
            return Err(reply::failure(501, "NotImplemented", message).boxed());
        }
        let items = self.selected(target, request)?;
        let as_metadata =
            request.accept.as_deref().is_some_and(|a| a.contains("as=PartialObjectMetadataList;"));
        let kind = items.first().and_then(|(_, object)| object["kind"].as_str()).unwrap_or_default();
        let kind = format!("{kind}List");
        let items: Vec<Value> = items
            .into_iter()
            .map(|(_, object)| match (as_metadata, is_built_in(&target.key.group)) {
                (true, _) => metadata_only(object),
                (false, true) => without_type(object),
                (false, false) => object.clone(),
            })
            .collect();
        let (api_version, kind) = if as_metadata {
            ("meta.k8s.io/v1", "PartialObjectMetadataList")
        } else {
            (target.api_version.as_str(), kind.as_str())
        };
        Ok(Reply::ok(json!({
            "apiVersion": api_version,
            "kind": kind,
            "metadata": {"resourceVersion": self.resource_version.to_string()},
            "items": items,
        })))
    }

    fn answer_create(&mut self, mut write: Write, request: &RecordedRequest) -> Result<Reply, Refusal> {
        let object = body_object(request)?;
        let metadata = &object["metadata"];
        let name = match (metadata["name"].as_str(), metadata["generateName"].as_str()) {
            (Some(name), _) if !name.is_empty() => name.to_owned(),
            (_, Some(prefix)) if !prefix.is_empty() => format!("{prefix}{:05x}", self.uids + 1),
            _ => {
                let why = "Required value: name or generateName is required";
                return Err(reply::invalid(&write.target.key.resource(), "", "metadata.name", why).boxed());
            }
        };
        let resource = write.target.key.resource();
        write.target.key.name.clone_from(&name);
        if metadata["resourceVersion"].as_str().is_some_and(|version| !version.is_empty()) {
            let why = "resourceVersion should not be set on objects to be created";
            // The code is the real one's.
            return Err(reply::failure(500, "", why).boxed());
        }
        if self.objects.contains_key(&write.target.key) {
            return Err(reply::already_exists(&resource, &name).boxed());
        }
        let mut ownership = Ownership::default();
        ownership.record_update(&write.manager, &json!({}), &without_status(object));
        Ok(Reply::created(self.create(&write, object, ownership)))
    }

    fn answer_replace(&mut self, write: &Write, request: &RecordedRequest) -> Result<Reply, Refusal> {
        let object = body_object(request)?.clone();
        self.existing(&write.target.key)?;
        self.update(write, object).map(Reply::ok)
    }

    fn answer_patch(&mut self, write: &Write, request: &RecordedRequest) -> Result<Reply, Refusal> {
        let bad_request = |message: String| reply::failure(400, "BadRequest", &message).boxed();
        match request.content_type.as_deref() {
            Some("application/apply-patch+yaml") => self.answer_apply(write, request),
            Some("application/merge-patch+json") => {
                let mut object = self.existing(&write.target.key)?.object.clone();
                json_patch::merge(&mut object, body_object(request)?);
                self.update(write, object).map(Reply::ok)
            }
            Some("application/json-patch+json") => {
                let mut object = self.existing(&write.target.key)?.object.clone();
                let patch: json_patch::Patch =
                    serde_json::from_value(request.body.clone().unwrap_or_default())
                        .map_err(|e| bad_request(e.to_string()))?;
                json_patch::patch(&mut object, &patch).map_err(|e| {
                    let message =
                        format!("the server rejected our request due to an error in our request: {e}");
                    reply::failure(422, "Invalid", &message).boxed()
                })?;
                self.update(write, object).map(Reply::ok)
            }
            other => {
                let message = format!("the fake apiserver does not patch with {other:?}");
                Err(reply::failure(415, "UnsupportedMediaType", &message).boxed())
            }
        }
    }

    fn answer_apply(&mut self, write: &Write, request: &RecordedRequest) -> Result<Reply, Refusal> {
        let config = body_object(request)?;
        let bad_request = |message: &str| Err(reply::failure(400, "BadRequest", message).boxed());
        if write.manager.name.is_empty() {
            return bad_request(
                "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
            );
        }
        if !config["metadata"]["managedFields"].is_null() {
            return bad_request("metadata.managedFields must be nil");
        }
        if config["kind"].as_str().is_none_or(str::is_empty) {
            return bad_request("error decoding patch: Object 'Kind' is missing");
        }
        if config["metadata"]["name"].as_str().is_some_and(|name| name != write.target.key.name) {
            return bad_request("the name of the object does not match the name on the URL");
        }
        let key = &write.target.key;
        let stored = self.objects.get(key).cloned();
        if stored.is_none() {
            if let Some(uid) = config["metadata"]["uid"].as_str() {
                let why = format!(
                    "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
                );
                return Err(reply::conflict_because(&key.resource(), &key.name, &why).boxed());
            }
            if write.target.subresource.is_some() {
                return Err(reply::not_found(&key.resource(), &key.name).boxed());
            }
        }
        let force = request.query("force") == Some("true");
        let Stored { object: current, mut ownership } =
            stored.clone().unwrap_or_else(|| Stored { object: json!({}), ownership: Ownership::default() });
        let relevant = write.relevant_part(config);
        let mut object =
            ownership.apply(&write.manager, &current, &relevant, force).map_err(|conflicts| {
                let written = |(field, owner): (String, Manager)| {
                    (field, owner.described(write.target.api_version.as_str()))
                };
                let conflicts: Vec<(String, String)> = conflicts.into_iter().map(written).collect();
                reply::apply_conflict_with(&conflicts).boxed()
            })?;
        if stored.is_none() {
            object["apiVersion"] = config["apiVersion"].clone();
            object["kind"] = config["kind"].clone();
            return Ok(Reply::created(self.create(write, &object, ownership)));
        }
        for precondition in ["uid", "resourceVersion"] {
            if let Some(value) = config["metadata"][precondition].as_str() {
                object["metadata"][precondition] = value.into();
            }
        }
        self.store(write, object, ownership).map(Reply::ok)
    }

    fn answer_delete(&mut self, write: &Write, request: &RecordedRequest) -> Result<Reply, Refusal> {
        let key = &write.target.key;
        let object = &self.existing(key)?.object;
        let preconditions = request.body.as_ref().map_or(&Value::Null, |body| &body["preconditions"]);
        let metadata = &object["metadata"];
        if let Some(uid) = preconditions["uid"].as_str().filter(|uid| *uid != metadata["uid"]) {
            let why = format!(
                "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have \
                 been deleted and then recreated",
                metadata["uid"].as_str().unwrap_or_default()
            );
            return Err(reply::conflict_because(&key.resource(), &key.name, &why).boxed());
        }
        if let Some(version) =
            preconditions["resourceVersion"].as_str().filter(|v| *v != metadata["resourceVersion"])
        {
            let why = format!(
                "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record \
                 ({}). The object might have been modified",
                metadata["resourceVersion"].as_str().unwrap_or_default()
            );
            return Err(reply::conflict_because(&key.resource(), &key.name, &why).boxed());
        }
        Ok(self.delete(key, write.dry_run))
    }

    fn answer_delete_collection(
        &mut self,
        write: &Write,
        request: &RecordedRequest,
    ) -> Result<Reply, Refusal> {
        let keys: Vec<Key> =
            self.selected(&write.target, request)?.into_iter().map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.delete(&key, write.dry_run);
        }
        Ok(Reply::ok(
            json!({"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Success", "code": 200}),
        ))
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

    /// A write that is no apply: what it changed goes over to its manager.
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

    fn selected(&self, target: &Target, request: &RecordedRequest) -> Result<Vec<(&Key, &Value)>, Refusal> {
        let labels = request.query("labelSelector").unwrap_or_default();
        let fields = request.query("fieldSelector").unwrap_or_default();
        let mut selected = Vec::new();
        for (key, object) in self.of_kind(&target.key.group, &target.key.plural, &target.key.namespace) {
            let chosen = selector::selects_labels(labels, object)
                .and_then(|by_labels| Ok(by_labels && selector::selects_fields(fields, object)?))
                .map_err(|why| reply::failure(400, "BadRequest", &why).boxed())?;
            if chosen {
                selected.push((key, object));
            }
        }
        Ok(selected)
    }

    fn existing(&self, key: &Key) -> Result<&Stored, Refusal> {
        self.objects.get(key).ok_or_else(|| reply::not_found(&key.resource(), &key.name).boxed())
    }

    fn next_resource_version(&mut self) -> Value {
        self.resource_version += 1;
        self.resource_version.to_string().into()
    }
}

impl Write {
    fn of(target: Target, request: &RecordedRequest) -> Self {
        let manager = Manager {
            name: request.query("fieldManager").unwrap_or_default().to_owned(),
            applies: request.content_type.as_deref() == Some("application/apply-patch+yaml"),
            subresource: target.subresource.clone(),
        };
        let in_body = request
            .body
            .as_ref()
            .is_some_and(|body| request.method == Method::DELETE && !body["dryRun"].is_null());
        let dry_run = in_body || request.query("dryRun") == Some("All");
        Self { target, manager, dry_run }
    }

    /// The part of an applied object that this endpoint takes: only the status, or everything else.
    fn relevant_part(&self, config: &Value) -> Value {
        match self.target.subresource {
            None => without_status(config),
            Some(_) => json!({"status": config["status"]}),
        }
    }

    /// `new` as this endpoint would store it over `old`: the other part stays, and so does what only the server sets.
    fn on_top_of(&self, old: &Value, new: Value) -> Value {
        if self.target.subresource.is_some() {
            let mut object = old.clone();
            set_or_remove(&mut object, "status", new["status"].clone());
            return object;
        }
        let mut object = new;
        object["apiVersion"] = old["apiVersion"].clone();
        object["kind"] = old["kind"].clone();
        set_or_remove(&mut object, "status", old["status"].clone());
        for field in [
            "name",
            "namespace",
            "uid",
            "resourceVersion",
            "generation",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
        ] {
            set_or_remove(&mut object["metadata"], field, old["metadata"][field].clone());
        }
        for field in ["labels", "annotations", "finalizers", "ownerReferences", "managedFields"] {
            let empty = match &object["metadata"][field] {
                Value::Object(map) => map.is_empty(),
                Value::Array(items) => items.is_empty(),
                Value::Null => true,
                _ => false,
            };
            if empty || field == "managedFields" {
                set_or_remove(&mut object["metadata"], field, Value::Null);
            }
        }
        object
    }
}

fn set_or_remove(object: &mut Value, field: &str, value: Value) {
    if value.is_null() {
        if let Some(fields) = object.as_object_mut() {
            fields.remove(field);
        }
    } else {
        object[field] = value;
    }
}

fn body_object(request: &RecordedRequest) -> Result<&Value, Refusal> {
    request.body.as_ref().filter(|body| body.is_object()).ok_or_else(|| {
        reply::failure(400, "BadRequest", "the request has no JSON object as its body").boxed()
    })
}

fn without_status(object: &Value) -> Value {
    let mut object = object.clone();
    set_or_remove(&mut object, "status", Value::Null);
    object
}

/// Everything that `generation` counts.
fn spec_of(object: &Value) -> Value {
    let mut object = without_status(object);
    set_or_remove(&mut object, "metadata", Value::Null);
    object
}

/// The kinds of these groups are compiled into the apiserver; all others come from CRDs.
fn is_built_in(group: &str) -> bool {
    !group.contains('.') || group.ends_with(".k8s.io")
}

/// As in a list of a built-in kind.
fn without_type(object: &Value) -> Value {
    let mut object = object.clone();
    for field in ["apiVersion", "kind"] {
        set_or_remove(&mut object, field, Value::Null);
    }
    object
}

/// The core group and a few more never got a generation.
fn has_generation(group: &str) -> bool {
    !matches!(
        group,
        "" | "rbac.authorization.k8s.io"
            | "coordination.k8s.io"
            | "events.k8s.io"
            | "autoscaling"
            | "storage.k8s.io"
    )
}

fn bump_generation(object: &mut Value) {
    if let Some(generation) = object["metadata"]["generation"].as_i64() {
        object["metadata"]["generation"] = (generation + 1).into();
    }
}

fn finalizers(object: &Value) -> impl Iterator<Item = &str> {
    object["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn has_finalizers(object: &Value) -> bool {
    finalizers(object).next().is_some()
}

fn metadata_only(object: &Value) -> Value {
    json!({
        "apiVersion": "meta.k8s.io/v1",
        "kind": "PartialObjectMetadata",
        "metadata": object["metadata"],
    })
}

fn uid(number: u64) -> Value {
    format!("00000000-0000-4000-8000-{number:012x}").into()
}
