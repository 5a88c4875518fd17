//! Checks and merging of an instance's variables.

use serde_json::{Map, Value};

use crate::error::Error;

/// Limit of all variables of an instance.
const MAX_BYTES: usize = 1 << 20;

/// Refuses the character U+0000, the only one that Postgres cannot store.
pub(crate) fn require_storable(variables: &Map<String, Value>) -> Result<(), Error> {
    if variables.iter().all(|(name, value)| is_storable(name) && is_value_storable(value)) {
        return Ok(());
    }
    Err(Error::Invalid("variables hold a text with the character U+0000".to_owned()))
}

fn is_storable(text: &str) -> bool {
    !text.contains('\0')
}

fn is_value_storable(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
        Value::String(text) => is_storable(text),
        Value::Array(values) => values.iter().all(is_value_storable),
        Value::Object(fields) => {
            fields.iter().all(|(name, value)| is_storable(name) && is_value_storable(value))
        }
    }
}

/// The fields of stored variables, which are always an object; anything else reads as empty.
pub(crate) fn object(stored: Value) -> Map<String, Value> {
    match stored {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// `changes` overwrite variables of the same name, without a deep merge.
pub(crate) fn merge(variables: &mut Value, changes: Map<String, Value>) {
    match variables {
        Value::Object(fields) => fields.extend(changes),
        other => *other = Value::Object(changes),
    }
}

/// Refuses variables that are too large to be sent to a worker.
pub(crate) fn require_small(variables: &Value) -> Result<(), Error> {
    if bytes(variables) > MAX_BYTES {
        return Err(Error::Invalid(format!(
            "variables of an instance must be at most {MAX_BYTES} bytes together"
        )));
    }
    Ok(())
}

/// Estimates the size in a message.
pub(crate) fn bytes(value: &Value) -> usize {
    const OVERHEAD: usize = 8;
    OVERHEAD
        + match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => 2,
            Value::String(text) => text.len(),
            Value::Array(values) => values.iter().map(bytes).sum(),
            Value::Object(fields) => {
                fields.iter().map(|(name, value)| OVERHEAD + name.len() + bytes(value)).sum()
            }
        }
}

#[cfg(test)]
mod tests;
