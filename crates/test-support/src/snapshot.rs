//! Objects made comparable between runs and between servers.
//!
//! Identity and time are not part of an end state: values that differ in each run are masked, but that a field exists
//! is kept.

use std::collections::BTreeMap;

use kube::api::ListParams;
use kube::core::{ApiResource, DynamicObject};
use kube::{Api, Client, ResourceExt as _};
use serde_json::Value;

#[cfg(test)]
mod tests;

/// Objects by `plural.group/namespace/name`, each as [`comparable`] gives it.
pub type Snapshot = BTreeMap<String, Value>;

/// The object without `resourceVersion` and `managedFields`, and with uids, times and assigned addresses masked.
pub fn comparable(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("resourceVersion");
        metadata.remove("managedFields");
    }
    mask(&mut object);
    object
}

fn mask(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (field, inner) in fields.iter_mut() {
                let assigned = matches!(field.as_str(), "uid" | "clusterIP" | "nodePort")
                    || field.ends_with("Time")
                    || field.ends_with("Timestamp");
                if field == "clusterIPs" || (assigned && (inner.is_string() || inner.is_number())) {
                    *inner = "<masked>".into();
                } else {
                    mask(inner);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask),
        _ => {}
    }
}

/// All objects of these kinds (`ApiResource::erase::<ConfigMap>(&())`) in a namespace of a real apiserver, except those
/// that the controller-manager creates in every namespace. The namespace's name is masked wherever it occurs, so that
/// runs in different namespaces can be compared.
pub async fn snapshot_of(
    client: &Client,
    namespace: &str,
    kinds: &[ApiResource],
) -> Result<Snapshot, kube::Error> {
    let mut snapshot = Snapshot::new();
    for kind in kinds {
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, kind);
        for object in api.list(&ListParams::default()).await? {
            let name = object.name_any();
            if matches!(
                (kind.kind.as_str(), name.as_str()),
                ("ConfigMap", "kube-root-ca.crt") | ("ServiceAccount", "default")
            ) {
                continue;
            }
            let resource = if kind.group.is_empty() {
                kind.plural.clone()
            } else {
                format!("{}.{}", kind.plural, kind.group)
            };
            let value = serde_json::to_value(&object).map_err(kube::Error::SerdeError)?;
            let mut value = comparable(&value);
            mask_text(&mut value, namespace, "<namespace>");
            let name = name.replace(namespace, "<namespace>");
            snapshot.insert(format!("{resource}/<namespace>/{name}"), value);
        }
    }
    Ok(snapshot)
}

fn mask_text(value: &mut Value, text: &str, mask: &str) {
    match value {
        Value::String(string) => *string = string.replace(text, mask),
        Value::Object(fields) => fields.values_mut().for_each(|inner| mask_text(inner, text, mask)),
        Value::Array(items) => items.iter_mut().for_each(|inner| mask_text(inner, text, mask)),
        _ => {}
    }
}

/// The lines in which two snapshots differ: `- ` what was expected, `+ ` what is there.
pub fn difference(expected: &Snapshot, actual: &Snapshot) -> Vec<String> {
    let mut lines = Vec::new();
    for key in expected.keys().chain(actual.keys().filter(|key| !expected.contains_key(*key))) {
        match (expected.get(key), actual.get(key)) {
            (Some(object), None) => lines.push(format!("- {key}: {object}")),
            (None, Some(object)) => lines.push(format!("+ {key}: {object}")),
            (Some(expected), Some(actual)) => diff_values(expected, actual, key, &mut lines),
            (None, None) => {}
        }
    }
    lines
}

fn diff_values(expected: &Value, actual: &Value, at: &str, lines: &mut Vec<String>) {
    match (expected, actual) {
        (Value::Object(old), Value::Object(new)) => {
            for field in old.keys().chain(new.keys().filter(|field| !old.contains_key(*field))) {
                diff_values(&expected[field], &actual[field], &format!("{at}.{field}"), lines);
            }
        }
        (old, new) if old != new => lines.push(format!("- {at}: {old}\n+ {at}: {new}")),
        _ => {}
    }
}
