//! Variables as they are stored.

use serde_json::{Map, Value};

use crate::error::Error;

/// An instance's variables, all together.
const MAX_BYTES: usize = 1 << 20;

/// Refuses what Postgres cannot store: it stores every character but one.
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

/// The object that is stored; anything else would be a defect and reads as none.
pub(crate) fn object(stored: Value) -> Map<String, Value> {
    match stored {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// A completed job's variables win over the instance's.
pub(crate) fn merge(variables: &mut Value, changes: Map<String, Value>) {
    match variables {
        Value::Object(fields) => fields.extend(changes),
        other => *other = Value::Object(changes),
    }
}

/// Refuses variables that no worker could be sent.
pub(crate) fn require_small(variables: &Value) -> Result<(), Error> {
    if bytes(variables) > MAX_BYTES {
        return Err(Error::Invalid(format!(
            "variables of an instance must be at most {MAX_BYTES} bytes together"
        )));
    }
    Ok(())
}

/// About the size on the wire.
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
