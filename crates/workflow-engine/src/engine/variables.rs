//! Variables between the wire (`google.protobuf.Struct`) and the store (JSON).

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value as WireValue};
use serde_json::{Map, Number, Value};

use crate::error::Error;

/// An instance's variables, all together.
const MAX_BYTES: usize = 1 << 20;
/// Whole numbers up to here are exact in the wire's doubles.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// Absent = none.
pub(crate) fn from_wire(variables: Option<Struct>) -> Result<Map<String, Value>, Error> {
    variables.map_or_else(|| Ok(Map::new()), object)
}

fn object(variables: Struct) -> Result<Map<String, Value>, Error> {
    variables
        .fields
        .into_iter()
        .map(|(name, value)| {
            require_storable(&name)?;
            Ok((name, json(value)?))
        })
        .collect()
}

fn json(value: WireValue) -> Result<Value, Error> {
    Ok(match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(truth)) => Value::Bool(truth),
        Some(Kind::NumberValue(number)) => Value::Number(json_number(number)?),
        Some(Kind::StringValue(text)) => {
            require_storable(&text)?;
            Value::String(text)
        }
        Some(Kind::ListValue(list)) => {
            Value::Array(list.values.into_iter().map(json).collect::<Result<_, _>>()?)
        }
        Some(Kind::StructValue(fields)) => Value::Object(object(fields)?),
    })
}

#[expect(clippy::cast_possible_truncation, reason = "whole and within the exact range")]
fn json_number(number: f64) -> Result<Number, Error> {
    if number.fract() == 0.0 && number.abs() <= MAX_EXACT {
        return Ok(Number::from(number as i64));
    }
    Number::from_f64(number)
        .ok_or_else(|| Error::Invalid("variables hold a number that is not finite".to_owned()))
}

/// Postgres stores every character but this one.
fn require_storable(text: &str) -> Result<(), Error> {
    if text.contains('\0') {
        return Err(Error::Invalid("variables hold a text with the character U+0000".to_owned()));
    }
    Ok(())
}

pub(crate) fn to_wire(value: &Value) -> Struct {
    let fields = match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), wire(value))).collect(),
        _ => std::collections::BTreeMap::new(),
    };
    Struct { fields }
}

fn wire(value: &Value) -> WireValue {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(truth) => Kind::BoolValue(*truth),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(values) => Kind::ListValue(ListValue { values: values.iter().map(wire).collect() }),
        Value::Object(_) => Kind::StructValue(to_wire(value)),
    };
    WireValue { kind: Some(kind) }
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
