//! Schema fragments: Kubernetes' own types, closed and bounded.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerBehavior;
use k8s_openapi::api::core::v1::{Affinity, Toleration, TopologySpreadConstraint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use crate::quantity::Quantity;
use crate::reason::{CommonReason, Reason as _};
use crate::{condition, grammar};

/// A CEL rule and the message of its refusal. The apiserver checks it, and the controllers check it again.
pub(crate) type CelRule = (&'static str, &'static str);

/// The keys of labels, annotations and resources have the same syntax. A schema can bound the keys of a map only by a
/// rule.
pub(crate) const LABEL_KEYS: CelRule = (
    "self.all(key, key.size() <= 317 && key.indexOf('/') <= 253 && key.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",
    "keys must be at most 63 letters, digits, '-', '_' and '.', starting and ending with a letter or digit, with or without a DNS name and '/' before them",
);

const UNSEEN: &str = "no controller has seen the object yet";

/// Longest string inside an embedded Kubernetes type: a label key with its prefix.
const EMBEDDED_STRING_MAX: u64 = 317;
/// Longest list inside an embedded Kubernetes type.
const EMBEDDED_ITEMS_MAX: u64 = 32;
/// Most entries of a map inside an embedded Kubernetes type.
const EMBEDDED_PROPERTIES_MAX: u64 = 32;

/// `conditions`: meta/v1 with its bounds, merged by type under server-side apply.
pub(crate) fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "lastTransitionTime", "reason", "message"],
            "properties": {
                "type": { "type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[A-Z][A-Za-z0-9]*$",
                    "description": "Type of the condition." },
                "status": { "type": "string", "enum": ["True", "False", "Unknown"],
                    "description": "Whether it holds." },
                "observedGeneration": { "type": "integer", "format": "int64", "minimum": 0,
                    "description": "The metadata.generation that the condition was computed for." },
                "lastTransitionTime": { "type": "string", "format": "date-time",
                    "description": "When `status` last changed." },
                "reason": { "type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[A-Z][A-Za-z0-9]*$",
                    "description": "Why, in one word of a closed set." },
                "message": { "type": "string", "maxLength": 1024,
                    "description": "Why, in words: which object, which field, what to do." },
            },
        },
    })
}

/// The status of an object that no controller has seen yet. Without a status kstatus takes the object for current, and
/// a GitOps tool goes on. It has only fields that a controller's status always has. A defaulted field belongs to no
/// field manager, so a condition that a controller does not set itself (`Reconciling`) would never be removed.
pub(crate) fn unseen_status() -> Value {
    json!({
        "observedGeneration": crate::UNSEEN_GENERATION,
        "phase": "Pending",
        "ready": false,
        "message": UNSEEN,
        "conditions": [{
            "type": condition::READY,
            "status": "Unknown",
            "lastTransitionTime": "1970-01-01T00:00:00Z",
            "reason": CommonReason::Unseen.as_str(),
            "message": UNSEEN,
        }],
    })
}

/// `affinity` of a pod, as Kubernetes defines it.
pub(crate) fn affinity(generator: &mut SchemaGenerator) -> Schema {
    optional(embedded::<Affinity>(generator))
}

/// `tolerations` of a pod, as Kubernetes defines them.
pub(crate) fn tolerations(generator: &mut SchemaGenerator) -> Schema {
    list(&embedded::<Toleration>(generator))
}

/// `topologySpreadConstraints` of a pod, as Kubernetes defines them: at most one for each pair of `topologyKey` and
/// `whenUnsatisfiable`.
pub(crate) fn topology_spread_constraints(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = list(&embedded::<TopologySpreadConstraint>(generator));
    let members = schema.ensure_object();
    members.insert("x-kubernetes-list-type".to_owned(), "map".into());
    members.insert(
        "x-kubernetes-list-map-keys".to_owned(),
        serde_json::json!(["topologyKey", "whenUnsatisfiable"]),
    );
    schema
}

/// `behavior` of an autoscaling/v2 HorizontalPodAutoscaler.
pub(crate) fn autoscaler_behavior(generator: &mut SchemaGenerator) -> Schema {
    optional(embedded::<HorizontalPodAutoscalerBehavior>(generator))
}

/// A timestamp that is always there.
pub(crate) fn time(generator: &mut SchemaGenerator) -> Schema {
    Time::json_schema(generator)
}

/// A timestamp in a status.
pub(crate) fn optional_time(generator: &mut SchemaGenerator) -> Schema {
    optional(Time::json_schema(generator))
}

/// CPU, memory and other resources by name: at most 16 entries.
pub(crate) fn resource_map(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": Quantity::json_schema(generator),
        "x-kubernetes-validations": [{ "rule": LABEL_KEYS.0, "message": LABEL_KEYS.1 }],
    })
}

/// Labels and selectors: at most 32 entries.
pub(crate) fn label_map(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": EMBEDDED_PROPERTIES_MAX,
        "additionalProperties": {
            "type": "string", "maxLength": grammar::LABEL_VALUE_MAX, "pattern": grammar::LABEL_VALUE
        },
        "x-kubernetes-validations": [{ "rule": LABEL_KEYS.0, "message": LABEL_KEYS.1 }],
    })
}

/// Annotations: at most 32 entries of 1,024 characters.
pub(crate) fn annotation_map(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": EMBEDDED_PROPERTIES_MAX,
        "additionalProperties": { "type": "string", "maxLength": 1024 },
        "x-kubernetes-validations": [{ "rule": LABEL_KEYS.0, "message": LABEL_KEYS.1 }],
    })
}

fn list(items: &Schema) -> Schema {
    json_schema!({ "type": "array", "maxItems": EMBEDDED_ITEMS_MAX, "items": items })
}

fn optional(mut schema: Schema) -> Schema {
    schema.ensure_object().insert("nullable".to_owned(), Value::Bool(true));
    schema
}

/// The schema of a Kubernetes type with a bound on every string, number, list and map. Its inner descriptions are
/// dropped: they are Kubernetes' own documentation and would be most of the CRD's size.
fn embedded<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = T::json_schema(generator);
    close(schema.ensure_object());
    schema
}

fn close(schema: &mut Map<String, Value>) {
    schema.remove("description");
    schema.remove("default");
    if schema.contains_key("x-kubernetes-int-or-string") {
        schema.insert("pattern".to_owned(), grammar::QUANTITY.into());
        bound(schema, "maxLength", grammar::QUANTITY_MAX.into());
        bound(schema, "minimum", 0);
        bound(schema, "maximum", i32::MAX.unsigned_abs().into());
    }
    let kind = schema.get("type").and_then(Value::as_str).map(str::to_owned);
    match kind.as_deref() {
        Some("string") => bound(schema, "maxLength", EMBEDDED_STRING_MAX),
        Some("integer") => {
            bound(schema, "minimum", 0);
            bound(schema, "maximum", i32::MAX.unsigned_abs().into());
        }
        Some("array") => bound(schema, "maxItems", EMBEDDED_ITEMS_MAX),
        Some("object") if schema.contains_key("additionalProperties") => {
            bound(schema, "maxProperties", EMBEDDED_PROPERTIES_MAX);
        }
        _ => {}
    }
    for key in ["items", "additionalProperties"] {
        if let Some(Value::Object(inner)) = schema.get_mut(key) {
            close(inner);
        }
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        for property in properties.values_mut() {
            if let Value::Object(inner) = property {
                close(inner);
            }
        }
    }
}

fn bound(schema: &mut Map<String, Value>, keyword: &str, limit: u64) {
    schema.entry(keyword).or_insert_with(|| limit.into());
}
