//! Who owns which field: server-side apply on plain JSON.
//!
//! A field is the path to a leaf: a scalar, an empty map, or a list that is replaced whole. Items of the few lists that
//! are keyed in every used kind are addressed by their key, as the apiserver does by schema.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::{Map, Value, json};

/// A writer, as managedFields distinguishes them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Manager {
    pub(super) name: String,
    pub(super) applies: bool,
    pub(super) subresource: Option<String>,
}

impl Manager {
    /// As in the apiserver's texts.
    pub(super) fn described(&self, api_version: &str) -> String {
        let Self { name, applies, subresource } = self;
        match (applies, subresource) {
            (true, None) => format!("{name:?}"),
            (true, Some(subresource)) => format!("{name:?} with subresource {subresource:?}"),
            (false, None) => format!("{name:?} using {api_version}"),
            (false, Some(subresource)) => {
                format!("{name:?} with subresource {subresource:?} using {api_version}")
            }
        }
    }
}

/// The fields that each manager owns; a field may have several owners.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Ownership(BTreeMap<Manager, BTreeSet<FieldPath>>);

type FieldPath = Vec<Step>;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Field(String),
    /// The item of a keyed list: the key's name and value.
    Item(&'static str, String),
    /// A member of a set.
    Member(String),
}

impl Ownership {
    /// Makes `manager` the owner of what it changed from `old` to `new`, by a write that is not an apply.
    pub(super) fn record_update(&mut self, manager: &Manager, old: &Value, new: &Value) {
        let (old, new) = (leaves(old), leaves(new));
        let gone = |path: &FieldPath| !new.contains_key(path);
        let changed: BTreeSet<FieldPath> = new
            .iter()
            .filter(|(path, value)| old.get(*path) != Some(*value))
            .map(|(p, _)| p.clone())
            .collect();
        for owned in self.0.values_mut() {
            owned.retain(|path| !changed.contains(path) && !gone(path));
        }
        self.0.entry(manager.clone()).or_default().extend(changed);
        self.0.retain(|_, owned| !owned.is_empty());
    }

    /// Applies `config` on `current` for `manager`. The error names each field that somebody else owns with another
    /// value, and that owner; with `force` there is none.
    pub(super) fn apply(
        &mut self,
        manager: &Manager,
        current: &Value,
        config: &Value,
        force: bool,
    ) -> Result<Value, Vec<(String, Manager)>> {
        let wanted = leaves(config);
        let existing = leaves(current);
        let differs = |path: &FieldPath| wanted.get(path) != existing.get(path);

        let mut conflicts: Vec<(String, Manager)> = Vec::new();
        for (other, owned) in self.0.iter().filter(|(other, _)| *other != manager) {
            let contested = wanted.keys().filter(|path| owned.contains(*path) && differs(path));
            conflicts.extend(contested.map(|path| (dotted(path), other.clone())));
        }
        if !conflicts.is_empty() && !force {
            conflicts.sort();
            return Err(conflicts);
        }

        let mut new = current.clone();
        for (path, value) in &wanted {
            insert(&mut new, path, value);
        }
        let applied: BTreeSet<FieldPath> = wanted.keys().cloned().collect();
        let before = self.0.remove(manager).unwrap_or_default();
        let is_unowned = |path: &&FieldPath| !self.0.values().any(|owned| owned.contains(*path));
        let gone = before.difference(&applied).filter(is_unowned);
        // An item is found by its key, so its key goes last.
        let (keys, others): (Vec<_>, Vec<_>) = gone.partition(|path| is_key(path));
        for path in others.into_iter().chain(keys) {
            remove(&mut new, path);
        }
        for owned in self.0.values_mut() {
            owned.retain(|path| !(applied.contains(path) && differs(path)));
        }
        self.0.insert(manager.clone(), applied);
        self.0.retain(|_, owned| !owned.is_empty());
        Ok(new)
    }
}

/// The field by which an item of a list is found.
fn is_key(path: &[Step]) -> bool {
    matches!(path, [.., Step::Item(key, _), Step::Field(field)] if field == key)
}

/// The key of a list's items by the list's name; `""` marks a set of scalars.
fn list_key(name: &str) -> Option<&'static str> {
    match name {
        "conditions" => Some("type"),
        "ownerReferences" => Some("uid"),
        "containers" | "initContainers" | "volumes" | "env" => Some("name"),
        "volumeMounts" => Some("mountPath"),
        "finalizers" => Some(""),
        _ => None,
    }
}

/// All fields of an object that can have an owner.
fn leaves(object: &Value) -> BTreeMap<FieldPath, Value> {
    let mut found = BTreeMap::new();
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("apiVersion");
        fields.remove("kind");
        if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.retain(|field, _| {
                matches!(field.as_str(), "labels" | "annotations" | "finalizers" | "ownerReferences")
            });
        }
    }
    collect_leaves(&object, "", &mut Vec::new(), &mut found);
    found
}

fn collect_leaves(value: &Value, name: &str, path: &mut FieldPath, found: &mut BTreeMap<FieldPath, Value>) {
    match value {
        Value::Null => {}
        Value::Object(fields) if !fields.is_empty() || path.is_empty() => {
            for (field, inner) in fields {
                path.push(Step::Field(field.clone()));
                collect_leaves(inner, field, path, found);
                path.pop();
            }
        }
        Value::Array(items) => {
            let Some(steps) = item_steps(items, name) else {
                found.insert(path.clone(), value.clone());
                return;
            };
            for (item, step) in items.iter().zip(steps) {
                path.push(step);
                collect_leaves(item, "", path, found);
                path.pop();
            }
        }
        leaf => {
            found.insert(path.clone(), leaf.clone());
        }
    }
}

/// The step of each item, or `None` for a list that is replaced whole.
fn item_steps(items: &[Value], list: &str) -> Option<Vec<Step>> {
    let key = list_key(list)?;
    let step = |item: &Value| match key {
        "" => item.as_str().map(|member| Step::Member(member.to_owned())),
        key => item[key].as_str().map(|value| Step::Item(key, value.to_owned())),
    };
    items.iter().map(step).collect()
}

fn insert(at: &mut Value, path: &[Step], leaf: &Value) {
    let Some((step, rest)) = path.split_first() else {
        // An applied `{}` means "this map exists", not "this map is empty".
        if !(leaf == &json!({}) && at.is_object()) {
            *at = leaf.clone();
        }
        return;
    };
    match step {
        Step::Field(field) => {
            if !at.is_object() {
                *at = Value::Object(Map::new());
            }
            insert(&mut at[field], rest, leaf);
        }
        Step::Item(key, value) => {
            let items = items_of(at);
            let index = items.iter().position(|item| item[*key] == **value).unwrap_or_else(|| {
                items.push(json!({ *key: value }));
                items.len() - 1
            });
            insert(&mut items[index], rest, leaf);
        }
        Step::Member(member) => {
            let items = items_of(at);
            if !items.iter().any(|item| item == member) {
                items.push(member.clone().into());
            }
        }
    }
}

fn items_of(at: &mut Value) -> &mut Vec<Value> {
    if !at.is_array() {
        *at = Value::Array(Vec::new());
    }
    at.as_array_mut().expect("the value should be the array just put there")
}

/// Removes the field, and each map or list that this leaves empty.
fn remove(at: &mut Value, path: &[Step]) {
    let Some((step, rest)) = path.split_first() else { return };
    match (step, at) {
        (Step::Field(field), Value::Object(fields)) => {
            let Some(inner) = fields.get_mut(field) else { return };
            remove(inner, rest);
            if rest.is_empty() || is_empty(inner) {
                fields.remove(field);
            }
        }
        (Step::Item(key, value), Value::Array(items)) => {
            let Some(index) = items.iter().position(|item| item[*key] == **value) else { return };
            remove(&mut items[index], rest);
            if is_empty(&items[index]) {
                items.remove(index);
            }
        }
        (Step::Member(member), Value::Array(items)) => items.retain(|item| item != member),
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// `.spec.template.spec.containers[name="worker"].image`
fn dotted(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        let written = match step {
            Step::Field(field) => write!(text, ".{field}"),
            Step::Item(key, value) => write!(text, "[{key}={value:?}]"),
            Step::Member(member) => write!(text, "[{member:?}]"),
        };
        written.expect("writing to a String should not fail");
    }
    text
}
