//! The rules of the CRDs, checked again on an object that is already stored: it may be older than the rules, or have
//! bypassed admission.
//!
//! Bounds and patterns are read from the CRD itself and the rules' messages are the CRD's own, so both sides always
//! have the same words. Rules about changes (immutable fields) need the old object and are left to admission.

use std::fmt;

use kube::Resource;
use serde::Serialize;
use serde_json::Value;

mod bounds;
mod rules;
pub use bounds::Bounds;

/// A field that breaks a rule of its kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// Path of the field, as the apiserver writes it: `spec.jobTypes[0]`.
    pub path: String,
    /// What is wrong and what was expected; names the field.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

/// A kind whose rules can be checked again.
pub trait Checked: Resource<DynamicType = ()> + Serialize {
    /// The bounds of the kind's CRD, compiled once.
    #[doc(hidden)]
    fn bounds() -> &'static Bounds;
    /// The rules of the kind's CRD that are not a bound of one field.
    #[doc(hidden)]
    fn broken_rules(&self) -> Vec<Violation>;
}

/// Every rule of its CRD that the object breaks, sorted by path; empty if admission would accept its creation.
pub fn violations<K: Checked>(object: &K) -> Vec<Violation> {
    let mut violations = object.broken_rules();
    match serde_json::to_value(object) {
        Ok(Value::Object(mut parts)) => {
            let spec = parts.remove("spec").unwrap_or(Value::Null);
            K::bounds().check("spec", &spec, &mut violations);
        }
        Ok(_) | Err(_) => violations.push(Violation {
            path: String::new(),
            message: format!("{} cannot be written as JSON", K::kind(&())),
        }),
    }
    violations.sort();
    violations
}
