//! The parts of a write request that the store uses.

use http::Method;
use serde_json::{Value, json};

use super::super::ownership::Manager;
use super::super::path::Target;
use super::object::{set_or_remove, without_status};
use crate::request::RecordedRequest;

pub(super) struct Write {
    pub(super) target: Target,
    pub(super) manager: Manager,
    pub(super) dry_run: bool,
}

impl Write {
    pub(super) fn of(target: Target, request: &RecordedRequest) -> Self {
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

    /// The part of an applied object that this endpoint accepts: only the status, or everything else.
    pub(super) fn relevant_part(&self, config: &Value) -> Value {
        match self.target.subresource {
            None => without_status(config),
            Some(_) => json!({"status": config["status"]}),
        }
    }

    /// `new` as this endpoint would store it over `old`: the other part stays, and so do the fields that only the
    /// server sets.
    pub(super) fn on_top_of(&self, old: &Value, new: Value) -> Value {
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
