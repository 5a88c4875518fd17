//! Variations of one manifest: inputs that users write and examples do not show.
//!
//! ```
//! use serde_json::json;
//! use test_support::variation::emptied;
//!
//! let paths: Vec<_> = emptied(&json!({"a": [{"b": "x"}]})).into_iter().map(|(at, _)| at).collect();
//! assert_eq!(paths, ["a = []", "a[0] = {}", "a[0].b = \"\""]);
//! ```

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// Copies of `value`, each with an empty value at one of its places: an empty text, list or object, zero, or `false`.
/// Each with its place as text, for instance `a[0].b = ""`. Outer places come first.
#[must_use]
pub fn emptied(value: &Value) -> Vec<(String, Value)> {
    let mut places = Vec::new();
    collect(value, "", "", &mut places);
    let emptied = |(pointer, path): (String, String)| {
        let mut variant = value.clone();
        let place = variant.pointer_mut(&pointer)?;
        let empty = empty_like(place);
        if *place == empty {
            return None;
        }
        *place = empty.clone();
        Some((format!("{path} = {empty}"), variant))
    };
    places.into_iter().filter_map(emptied).collect()
}

/// Copies of `value`, each without one of its fields; with that field as text, for instance `no a[0].b`.
#[must_use]
pub fn shortened(value: &Value) -> Vec<(String, Value)> {
    let mut places = Vec::new();
    collect(value, "", "", &mut places);
    let shortened = |(pointer, path): (String, String)| {
        let mut variant = value.clone();
        let (parent, field) = pointer.rsplit_once('/')?;
        let parent = variant.pointer_mut(parent)?.as_object_mut()?;
        parent.remove(&field.replace("~1", "/").replace("~0", "~"))?;
        Some((format!("no {path}"), variant))
    };
    places.into_iter().filter_map(shortened).collect()
}

/// The fields of `value`, with those of all elements of a list together: `a[].b`.
#[must_use]
pub fn fields(value: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                found.insert(name.clone());
                let inner = fields(member);
                found.extend(inner.into_iter().map(|field| joined(name, &field)));
            }
        }
        Value::Array(elements) => {
            for element in elements {
                found.extend(fields(element).into_iter().map(|field| joined("[]", &field)));
            }
        }
        _ => {}
    }
    found
}

/// The fields that an OpenAPI schema has, written as [`fields`] does. The keys of maps are not among them: users choose
/// them.
#[must_use]
pub fn known_fields(schema: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    if let Some(items) = schema.get("items") {
        found.extend(known_fields(items).into_iter().map(|field| joined("[]", &field)));
    }
    let none = Map::new();
    for (name, property) in schema.get("properties").and_then(Value::as_object).unwrap_or(&none) {
        found.insert(name.clone());
        found.extend(known_fields(property).into_iter().map(|field| joined(name, &field)));
    }
    found
}

fn joined(outer: &str, inner: &str) -> String {
    let dot = if inner.starts_with('[') { "" } else { "." };
    format!("{outer}{dot}{inner}")
}

fn collect(value: &Value, pointer: &str, path: &str, places: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let key = name.replace('~', "~0").replace('/', "~1");
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                let pointer = format!("{pointer}/{key}");
                places.push((pointer.clone(), path.clone()));
                collect(member, &pointer, &path, places);
            }
        }
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                let (pointer, path) = (format!("{pointer}/{index}"), format!("{path}[{index}]"));
                places.push((pointer.clone(), path.clone()));
                collect(element, &pointer, &path, places);
            }
        }
        _ => {}
    }
}

fn empty_like(value: &Value) -> Value {
    match value {
        Value::Null => Value::Null,
        Value::Bool(_) => json!(false),
        Value::Number(_) => json!(0),
        Value::String(_) => json!(""),
        Value::Array(_) => json!([]),
        Value::Object(_) => json!({}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(variants: Vec<(String, Value)>) -> Vec<(String, String)> {
        variants.into_iter().map(|(at, variant)| (at, variant.to_string())).collect()
    }

    fn owned(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(at, variant)| ((*at).to_owned(), (*variant).to_owned())).collect()
    }

    #[test]
    fn every_place_is_emptied_once() {
        let value = json!({"a/b": [{"c": "x", "d": 0}], "e": true});
        assert_eq!(
            paths(emptied(&value)),
            owned(&[
                ("a/b = []", r#"{"a/b":[],"e":true}"#),
                ("a/b[0] = {}", r#"{"a/b":[{}],"e":true}"#),
                (r#"a/b[0].c = """#, r#"{"a/b":[{"c":"","d":0}],"e":true}"#),
                ("e = false", r#"{"a/b":[{"c":"x","d":0}],"e":false}"#),
            ])
        );
    }

    #[test]
    fn every_field_is_left_out_once() {
        let value = json!({"a/b": [{"c": "x"}], "e": true});
        assert_eq!(
            paths(shortened(&value)),
            owned(&[
                ("no a/b", r#"{"e":true}"#),
                ("no a/b[0].c", r#"{"a/b":[{}],"e":true}"#),
                ("no e", r#"{"a/b":[{"c":"x"}]}"#),
            ])
        );
    }

    #[test]
    fn fields_of_a_value_and_of_its_schema_have_the_same_names() {
        let schema = json!({"properties": {
            "a": {"items": {"properties": {"b": {"type": "string"}, "c": {"type": "string"}}}},
            "d": {"additionalProperties": {"type": "string"}},
        }});
        let known = BTreeSet::from(["a", "a[].b", "a[].c", "d"].map(str::to_owned));
        assert_eq!(known_fields(&schema), known);
        let value = json!({"a": [{"b": "x"}, {"c": "x"}], "d": {"e": "x"}});
        let extra = BTreeSet::from(["d.e".to_owned()]);
        assert_eq!(fields(&value), &known | &extra);
    }
}
