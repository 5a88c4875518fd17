//! Objects made comparable between runs and between servers.
//!
//! Identity and time are no part of an end state: what differs by nature on each run is masked, the fact that it is
//! there is kept.

use std::collections::BTreeMap;

use serde_json::Value;

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
