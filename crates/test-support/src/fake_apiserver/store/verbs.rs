//! What each HTTP verb does to the store, and its refusals in the words of the real apiserver.

use http::Method;
use serde_json::{Value, json};

use super::super::ownership::{Manager, Ownership};
use super::super::path::{Key, Target};
use super::super::selector;
use super::object::{is_built_in, metadata_only, without_status, without_type};
use super::write::Write;
use super::{Refusal, Store, Stored};
use crate::reply::{self, Reply};
use crate::request::RecordedRequest;

impl Store {
    pub(in super::super) fn answer(&mut self, request: &RecordedRequest) -> Reply {
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
            // 500 is also what the real apiserver answers.
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
}

fn body_object(request: &RecordedRequest) -> Result<&Value, Refusal> {
    request.body.as_ref().filter(|body| body.is_object()).ok_or_else(|| {
        reply::failure(400, "BadRequest", "the request has no JSON object as its body").boxed()
    })
}
