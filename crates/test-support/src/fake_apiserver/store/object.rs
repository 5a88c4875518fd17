//! Reads and small changes of one object, as plain JSON.

use serde_json::{Value, json};

pub(super) fn set_or_remove(object: &mut Value, field: &str, value: Value) {
    if value.is_null() {
        if let Some(fields) = object.as_object_mut() {
            fields.remove(field);
        }
    } else {
        object[field] = value;
    }
}

pub(super) fn without_status(object: &Value) -> Value {
    let mut object = object.clone();
    set_or_remove(&mut object, "status", Value::Null);
    object
}

/// Everything that `generation` counts.
pub(super) fn spec_of(object: &Value) -> Value {
    let mut object = without_status(object);
    set_or_remove(&mut object, "metadata", Value::Null);
    object
}

/// The kinds of these groups are compiled into the apiserver; all others come from CRDs.
pub(super) fn is_built_in(group: &str) -> bool {
    !group.contains('.') || group.ends_with(".k8s.io")
}

/// As in a list of a built-in kind.
pub(super) fn without_type(object: &Value) -> Value {
    let mut object = object.clone();
    for field in ["apiVersion", "kind"] {
        set_or_remove(&mut object, field, Value::Null);
    }
    object
}

/// The kinds of the core group and a few more have no generation.
pub(super) fn has_generation(group: &str) -> bool {
    !matches!(
        group,
        "" | "rbac.authorization.k8s.io"
            | "coordination.k8s.io"
            | "events.k8s.io"
            | "autoscaling"
            | "storage.k8s.io"
    )
}

pub(super) fn bump_generation(object: &mut Value) {
    if let Some(generation) = object["metadata"]["generation"].as_i64() {
        object["metadata"]["generation"] = (generation + 1).into();
    }
}

pub(super) fn finalizers(object: &Value) -> impl Iterator<Item = &str> {
    object["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

pub(super) fn has_finalizers(object: &Value) -> bool {
    finalizers(object).next().is_some()
}

pub(super) fn metadata_only(object: &Value) -> Value {
    json!({
        "apiVersion": "meta.k8s.io/v1",
        "kind": "PartialObjectMetadata",
        "metadata": object["metadata"],
    })
}

pub(super) fn uid(number: u64) -> Value {
    format!("00000000-0000-4000-8000-{number:012x}").into()
}
