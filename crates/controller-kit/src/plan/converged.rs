//! Does a live object already have every field that we want?

use serde_json::Value;

/// `true` when each field of `wanted` stands in `live` with an equal value. Fields that only `live` has (defaults,
/// other writers) do not count. Lists are compared in order, element by element, and `live` may not be longer; but of a
/// list that server-side apply merges by key only our own elements count, in whatever order: others may extend it, and
/// no apply of ours would change that.
/// Quantities are equal when they mean the same amount.
#[must_use]
pub fn is_subset(wanted: &Value, live: &Value) -> bool {
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) => {
            wanted.iter().all(|(key, value)| match live.get(key) {
                Some(found) if SHARED_LISTS.contains(&key.as_str()) => is_contained(value, found),
                Some(found) => is_subset(value, found),
                // The API server drops what is empty.
                None => is_empty(value),
            })
        }
        (Value::Array(wanted), Value::Array(live)) => {
            wanted.len() == live.len()
                && wanted.iter().zip(live).all(|(wanted, live)| is_subset(wanted, live))
        }
        (Value::String(wanted), Value::String(live)) => wanted == live || is_same_quantity(wanted, live),
        (Value::Number(wanted), Value::Number(live)) => wanted == live || wanted.as_f64() == live.as_f64(),
        _ => wanted == live,
    }
}

/// Lists that may have more than one author, each merging by key.
const SHARED_LISTS: [&str; 7] =
    ["ownerReferences", "finalizers", "containers", "initContainers", "env", "volumes", "volumeMounts"];

fn is_contained(wanted: &Value, live: &Value) -> bool {
    match (wanted.as_array(), live.as_array()) {
        (Some(wanted), Some(live)) => {
            wanted.iter().all(|element| live.iter().any(|found| is_subset(element, found)))
        }
        _ => wanted == live,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(elements) => elements.is_empty(),
        _ => false,
    }
}

/// The API server writes `0.5` as `500m` and `1024Mi` as `1Gi`.
fn is_same_quantity(a: &str, b: &str) -> bool {
    match (quantity(a), quantity(b)) {
        // Equal digits parse to equal floats; the tolerance is for "0.1" against "100m".
        (Some(a), Some(b)) => (a - b).abs() <= f64::EPSILON * a.abs().max(b.abs()),
        _ => false,
    }
}

fn quantity(text: &str) -> Option<f64> {
    const SUFFIXES: [(&str, f64); 14] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("Ei", 1_152_921_504_606_846_976.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
    ];
    let (number, factor) = SUFFIXES
        .iter()
        .find_map(|(suffix, factor)| text.strip_suffix(suffix).map(|number| (number, *factor)))
        .unwrap_or((text, 1.0));
    let is_number = !number.is_empty()
        && number.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E'));
    is_number.then(|| number.parse::<f64>().ok()).flatten().map(|number| number * factor)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case::defaults_of_the_server(json!({"a": 1}), json!({"a": 1, "b": 2}), true)]
    #[case::changed(json!({"a": 1}), json!({"a": 2}), false)]
    #[case::missing(json!({"a": {"b": 1}}), json!({"a": {}}), false)]
    #[case::empty_is_dropped(json!({"a": {}, "b": []}), json!({}), true)]
    #[case::element_with_defaults(json!([{"name": "c"}]), json!([{"name": "c", "x": 1}]), true)]
    #[case::an_element_too_many(json!([1]), json!([1, 2]), false)]
    #[case::foreign_owner(json!({"ownerReferences": [{"uid": "1"}]}), json!({"ownerReferences": [{"uid": "2"}, {"uid": "1"}]}), true)]
    #[case::missing_owner(json!({"ownerReferences": [{"uid": "1"}]}), json!({"ownerReferences": [{"uid": "2"}]}), false)]
    #[case::foreign_variable(json!({"env": [{"name": "A", "value": "1"}]}), json!({"env": [{"name": "B"}, {"name": "A", "value": "1"}]}), true)]
    #[case::changed_variable(json!({"env": [{"name": "A", "value": "1"}]}), json!({"env": [{"name": "A", "value": "2"}]}), false)]
    #[case::missing_variable(json!({"env": [{"name": "A", "value": "1"}]}), json!({"env": [{"name": "B", "value": "1"}]}), false)]
    #[case::millicores(json!("0.5"), json!("500m"), true)]
    #[case::binary(json!("1024Mi"), json!("1Gi"), true)]
    #[case::another_amount(json!("1"), json!("2"), false)]
    #[case::words_are_not_quantities(json!("a"), json!("b"), false)]
    fn subset(#[case] wanted: Value, #[case] live: Value, #[case] expected: bool) {
        assert_eq!(is_subset(&wanted, &live), expected);
    }
}
