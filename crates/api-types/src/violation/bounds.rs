//! The bounds of a CRD's `spec`, compiled from its schema. Types and required fields need no check: the object was
//! deserialised.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use regex::Regex;
use serde_json::Value;

use super::Violation;
use crate::grammar;

/// Most characters of a refused value that a message repeats.
const SHOWN_CHARS: usize = 48;

/// The bounds of one field and of all below it.
#[derive(Debug, Default)]
pub struct Bounds {
    pattern: Option<(Regex, String)>,
    length: (Option<i64>, Option<i64>),
    range: (Option<f64>, Option<f64>),
    items: (Option<i64>, Option<i64>),
    max_properties: Option<i64>,
    /// `None`: items may repeat. `Some`: no two items have equal values of these members; without members, no two items
    /// are equal.
    unique: Option<Vec<String>>,
    item: Option<Box<Self>>,
    properties: BTreeMap<String, Self>,
    any_property: Option<Box<Self>>,
}

impl Bounds {
    /// The bounds of `spec` in the only version of a CRD.
    pub(super) fn of_spec(crd: &CustomResourceDefinition) -> Self {
        crd.spec
            .versions
            .first()
            .and_then(|version| version.schema.as_ref()?.open_api_v3_schema.as_ref())
            .and_then(|root| root.properties.as_ref()?.get("spec"))
            .map(Self::compile)
            .unwrap_or_default()
    }

    fn compile(schema: &JSONSchemaProps) -> Self {
        let pattern = schema.pattern.as_ref().and_then(|text| Some((Regex::new(text).ok()?, text.clone())));
        let unique = match schema.x_kubernetes_list_type.as_deref() {
            Some("set") => Some(Vec::new()),
            Some("map") => schema.x_kubernetes_list_map_keys.clone(),
            _ => None,
        };
        let item = match &schema.items {
            Some(JSONSchemaPropsOrArray::Schema(item)) => Some(Box::new(Self::compile(item))),
            _ => None,
        };
        let any_property = match &schema.additional_properties {
            Some(JSONSchemaPropsOrBool::Schema(any)) => Some(Box::new(Self::compile(any))),
            _ => None,
        };
        let properties = schema
            .properties
            .iter()
            .flatten()
            .map(|(name, property)| (name.clone(), Self::compile(property)))
            .collect();
        Self {
            pattern,
            length: (schema.min_length, schema.max_length),
            range: (schema.minimum, schema.maximum),
            items: (schema.min_items, schema.max_items),
            max_properties: schema.max_properties,
            unique,
            item,
            properties,
            any_property,
        }
    }

    pub(super) fn check(&self, path: &str, value: &Value, violations: &mut Vec<Violation>) {
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::Number(number) => self.check_range(path, number.as_f64().unwrap_or(f64::NAN), violations),
            Value::String(text) => self.check_text(path, text, violations),
            Value::Array(items) => {
                check_count(path, "items", items.len(), self.items, violations);
                self.check_unique(path, items, violations);
                for (index, item) in items.iter().enumerate() {
                    if let Some(bounds) = &self.item {
                        bounds.check(&format!("{path}[{index}]"), item, violations);
                    }
                }
            }
            Value::Object(members) => {
                check_count(path, "entries", members.len(), (None, self.max_properties), violations);
                for (name, member) in members {
                    if let Some(bounds) = self.properties.get(name) {
                        bounds.check(&format!("{path}.{name}"), member, violations);
                    } else if let Some(bounds) = &self.any_property {
                        bounds.check(&format!("{path}[{name}]"), member, violations);
                    }
                }
            }
        }
    }

    fn check_text(&self, path: &str, text: &str, violations: &mut Vec<Violation>) {
        check_count(path, "characters", text.chars().count(), self.length, violations);
        if let Some((regex, pattern)) = &self.pattern
            && !regex.is_match(text)
        {
            let shown: String = text.chars().take(SHOWN_CHARS).collect();
            let expected = grammar::words(pattern).unwrap_or(pattern);
            violations.push(Violation {
                path: path.to_owned(),
                message: format!("{path} is {shown:?}, expected {expected}"),
            });
        }
    }

    fn check_range(&self, path: &str, number: f64, violations: &mut Vec<Violation>) {
        let (min, max) = self.range;
        let bound = match (min, max) {
            (Some(min), _) if number < min => format!("at least {min}"),
            (_, Some(max)) if number > max => format!("at most {max}"),
            _ => return,
        };
        violations.push(Violation {
            path: path.to_owned(),
            message: format!("{path} is {number}, expected {bound}"),
        });
    }

    fn check_unique(&self, path: &str, items: &[Value], violations: &mut Vec<Violation>) {
        let Some(keys) = &self.unique else { return };
        let mut seen = BTreeSet::new();
        for (index, item) in items.iter().enumerate() {
            let identity = if keys.is_empty() {
                item.to_string()
            } else {
                keys.iter().map(|key| item[key].to_string()).collect::<Vec<_>>().join(",")
            };
            if !seen.insert(identity.clone()) {
                let path = format!("{path}[{index}]");
                let message = format!("{path} repeats {identity}, expected each only once");
                violations.push(Violation { path, message });
            }
        }
    }
}

fn check_count(
    path: &str,
    what: &str,
    count: usize,
    (min, max): (Option<i64>, Option<i64>),
    violations: &mut Vec<Violation>,
) {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let bound = match (min, max) {
        (Some(min), _) if count < min => format!("at least {min}"),
        (_, Some(max)) if count > max => format!("at most {max}"),
        _ => return,
    };
    violations.push(Violation {
        path: path.to_owned(),
        message: format!("{path} has {count} {what}, expected {bound}"),
    });
}
