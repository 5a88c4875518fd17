//! Does a live object already have every desired field?

use api_types::quantity::billionths;
use serde_json::{Map, Value};

/// `true` when each field of `wanted` is in `live` with an equal value. Fields that only `live` has (defaults,
/// other writers) do not count. Lists are compared in order, element by element, and `live` may not be longer. But in a
/// list that server-side apply merges by key only the wanted elements count, in any order: others may extend it, and an
/// apply does not change that.
///
/// The API server stores some values in another form, which is equal here: it leaves out empty values, and writes
/// quantities in a form of its own.
#[must_use]
pub fn is_subset(wanted: &Value, live: &Value) -> bool {
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) => {
            wanted.iter().all(|(key, value)| is_field_equal(key, value, live))
        }
        (Value::Array(wanted), Value::Array(live)) => {
            wanted.len() == live.len()
                && wanted.iter().zip(live).all(|(wanted, live)| is_subset(wanted, live))
        }
        (Value::Number(wanted), Value::Number(live)) => wanted == live || wanted.as_f64() == live.as_f64(),
        _ => wanted == live,
    }
}

/// Lists that several writers may extend, because server-side apply merges them by key.
const SHARED_LISTS: [&str; 9] = [
    "containers",
    "env",
    "finalizers",
    "imagePullSecrets",
    "initContainers",
    "ownerReferences",
    "topologySpreadConstraints",
    "volumeMounts",
    "volumes",
];

/// Maps whose keys are free text and not fields: the API server neither leaves out nor rewrites their values.
const MAPS: [&str; 7] =
    ["annotations", "binaryData", "data", "labels", "matchLabels", "nodeSelector", "stringData"];

/// Fields, and maps, that hold quantities.
const QUANTITIES: [&str; 6] = ["averageValue", "divisor", "limits", "requests", "sizeLimit", "tolerance"];

/// Texts, numbers and booleans that the API server leaves out when they are empty, zero or false: in Go they are no
/// pointers. Only fields that are known to be so. Where the API server distinguishes an empty value from none, as for
/// `automountServiceAccountToken`, somebody has removed a value that is absent.
const LEFT_OUT_WHEN_EMPTY: [&str; 19] = [
    "effect",
    "host",
    "hostPort",
    "initialDelaySeconds",
    "key",
    "medium",
    "minReadySeconds",
    "name",
    "nodePort",
    "operator",
    "path",
    "priorityClassName",
    "publishNotReadyAddresses",
    "readOnly",
    "secretName",
    "serviceAccountName",
    "subPath",
    "value",
    "workingDir",
];

fn is_field_equal(key: &str, wanted: &Value, live: &Map<String, Value>) -> bool {
    let Some(live) = live.get(key) else { return is_left_out(key, wanted) };
    if SHARED_LISTS.contains(&key) || key == "ports" && are_named(wanted) {
        is_contained(wanted, live)
    } else if MAPS.contains(&key) {
        is_map_contained(wanted, live, |wanted, live| wanted == live)
    } else if QUANTITIES.contains(&key) {
        is_same_quantity(wanted, live) || is_map_contained(wanted, live, is_same_quantity)
    } else {
        is_subset(wanted, live)
    }
}

/// The ports of containers and Services, which are merged; those of a NetworkPolicy are not.
fn are_named(ports: &Value) -> bool {
    ports.as_array().is_some_and(|ports| ports.iter().all(|port| port.get("name").is_some()))
}

fn is_contained(wanted: &Value, live: &Value) -> bool {
    match (wanted.as_array(), live.as_array()) {
        (Some(wanted), Some(live)) => {
            wanted.iter().all(|element| live.iter().any(|found| is_subset(element, found)))
        }
        _ => wanted == live,
    }
}

fn is_map_contained(wanted: &Value, live: &Value, is_equal: impl Fn(&Value, &Value) -> bool) -> bool {
    match (wanted.as_object(), live.as_object()) {
        (Some(wanted), Some(live)) => wanted
            .iter()
            .all(|(key, value)| live.get(key).map_or(value.is_null(), |found| is_equal(value, found))),
        _ => wanted == live,
    }
}

fn is_left_out(key: &str, wanted: &Value) -> bool {
    match wanted {
        Value::Null => true,
        // The source of a volume: an empty one is kept, and one that is gone was replaced by another source.
        Value::Object(fields) => fields.is_empty() && key != "emptyDir",
        Value::Array(elements) => elements.is_empty(),
        Value::Bool(is_on) => !is_on && LEFT_OUT_WHEN_EMPTY.contains(&key),
        Value::Number(number) => number.as_f64() == Some(0.0) && LEFT_OUT_WHEN_EMPTY.contains(&key),
        Value::String(text) => text.is_empty() && LEFT_OUT_WHEN_EMPTY.contains(&key),
    }
}

/// The API server writes `0.5` as `500m` and `1024Mi` as `1Gi`.
fn is_same_quantity(wanted: &Value, live: &Value) -> bool {
    let amount = |value: &Value| match value {
        Value::String(text) => billionths(text),
        Value::Number(number) => billionths(&number.to_string()),
        _ => None,
    };
    wanted == live || amount(wanted).is_some_and(|wanted| amount(live) == Some(wanted))
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
    #[case::an_empty_dir_is_kept(json!({"volumes": [{"name": "a", "emptyDir": {}}]}), json!({"volumes": [{"name": "a", "hostPath": {"path": "/"}}]}), false)]
    #[case::element_with_defaults(json!([{"name": "c"}]), json!([{"name": "c", "x": 1}]), true)]
    #[case::an_element_too_many(json!([1]), json!([1, 2]), false)]
    #[case::foreign_owner(json!({"ownerReferences": [{"uid": "1"}]}), json!({"ownerReferences": [{"uid": "2"}, {"uid": "1"}]}), true)]
    #[case::missing_owner(json!({"ownerReferences": [{"uid": "1"}]}), json!({"ownerReferences": [{"uid": "2"}]}), false)]
    #[case::foreign_variable(json!({"env": [{"name": "A", "value": "1"}]}), json!({"env": [{"name": "B"}, {"name": "A", "value": "1"}]}), true)]
    #[case::changed_variable(json!({"env": [{"name": "A", "value": "1"}]}), json!({"env": [{"name": "A", "value": "2"}]}), false)]
    #[case::missing_variable(json!({"env": [{"name": "A", "value": "1"}]}), json!({"env": [{"name": "B", "value": "1"}]}), false)]
    #[case::millicores(json!({"requests": {"cpu": "0.5"}}), json!({"requests": {"cpu": "500m"}}), true)]
    #[case::binary(json!({"limits": {"memory": "1024Mi"}}), json!({"limits": {"memory": "1Gi", "cpu": "1"}}), true)]
    #[case::number(json!({"limits": {"cpu": 2}}), json!({"limits": {"cpu": "2"}}), true)]
    #[case::a_single_quantity(json!({"sizeLimit": "1024Mi"}), json!({"sizeLimit": "1Gi"}), true)]
    #[case::another_amount(json!({"requests": {"cpu": "1"}}), json!({"requests": {"cpu": "2"}}), false)]
    #[case::no_amount(json!({"requests": {"cpu": "0"}}), json!({"requests": {}}), false)]
    #[case::words_are_not_quantities(json!({"requests": {"cpu": "a"}}), json!({"requests": {"cpu": "b"}}), false)]
    #[case::a_text_is_no_quantity(json!({"value": "1.0"}), json!({"value": "1"}), false)]
    #[case::a_label_is_no_quantity(json!({"labels": {"limits": "1000m"}}), json!({"labels": {"limits": "1"}}), false)]
    #[case::empty_text(json!({"env": [{"name": "A", "value": ""}]}), json!({"env": [{"name": "A"}]}), true)]
    #[case::empty_text_that_is_another_now(json!({"env": [{"name": "A", "value": ""}]}), json!({"env": [{"name": "A", "value": "x"}]}), false)]
    #[case::empty_text_in_a_list(json!({"tolerations": [{"key": "", "operator": "Exists"}]}), json!({"tolerations": [{"operator": "Exists"}]}), true)]
    #[case::zero(json!({"minReadySeconds": 0}), json!({}), true)]
    #[case::off(json!({"readOnly": false}), json!({}), true)]
    #[case::on(json!({"readOnly": true}), json!({}), false)]
    #[case::off_is_not_none(json!({"automountServiceAccountToken": false}), json!({}), false)]
    #[case::no_time_is_not_none(json!({"tolerationSeconds": 0}), json!({}), false)]
    #[case::an_empty_label_is_a_label(json!({"labels": {"value": ""}}), json!({"labels": {}}), false)]
    #[case::an_empty_annotation_is_there(json!({"annotations": {"a": ""}}), json!({"annotations": {"a": "", "b": "c"}}), true)]
    #[case::a_spread_of_others(json!({"topologySpreadConstraints": [{"topologyKey": "a"}]}), json!({"topologySpreadConstraints": [{"topologyKey": "b"}, {"topologyKey": "a"}]}), true)]
    #[case::a_port_of_others(json!({"ports": [{"name": "a", "port": 1}]}), json!({"ports": [{"name": "a", "port": 1}, {"name": "b", "port": 2}]}), true)]
    #[case::a_port_that_a_policy_opens(json!({"ports": [{"port": 1}]}), json!({"ports": [{"port": 1}, {"port": 2}]}), false)]
    #[case::a_pull_secret_of_others(json!({"imagePullSecrets": [{"name": "a"}]}), json!({"imagePullSecrets": [{"name": "a"}, {"name": "b"}]}), true)]
    fn subset(#[case] wanted: Value, #[case] live: Value, #[case] expected: bool) {
        assert_eq!(is_subset(&wanted, &live), expected);
    }
}
