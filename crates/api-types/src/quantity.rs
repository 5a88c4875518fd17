//! Amounts of CPU, memory and storage, kept exactly as the user wrote them.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity as KubeQuantity;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

use crate::grammar;

/// Largest whole number: far above any resource, and exact as a JSON number everywhere.
const MAX_INTEGER: i64 = 1_000_000_000_000_000;

/// A Kubernetes quantity as written: `cpu: 2` stays a number, `cpu: "2"` and `500m` stay strings.
///
/// Why not the quantity of k8s-openapi: it turns numbers into strings, and then the live object is no longer a superset
/// of what was applied, which makes GitOps tools report a difference for ever.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Quantity {
    /// A whole number of the base unit, 0 or more.
    Integer(i64),
    /// A number with an optional suffix, see [`grammar::QUANTITY`].
    Text(String),
}

impl Quantity {
    /// The form that pod specs take.
    pub fn to_kube(&self) -> KubeQuantity {
        KubeQuantity(self.to_string())
    }
}

impl std::fmt::Display for Quantity {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Integer(whole) => write!(out, "{whole}"),
            Self::Text(text) => out.write_str(text),
        }
    }
}

impl From<&str> for Quantity {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i64> for Quantity {
    fn from(whole: i64) -> Self {
        Self::Integer(whole)
    }
}

impl JsonSchema for Quantity {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "pattern": grammar::QUANTITY,
            "maxLength": grammar::QUANTITY_MAX,
            "minimum": 0,
            "maximum": MAX_INTEGER,
        })
    }
}
