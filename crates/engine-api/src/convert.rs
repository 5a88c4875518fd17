//! Proto ↔ model, the only place that knows both. The wire's "empty" becomes `None` here, and an answer that breaks the
//! contract is refused.

mod answer;
mod instance;
mod request;
mod serve;

pub use serve::page_request;

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use prost_types::{ListValue, Struct, Value, value::Kind};

use crate::{
    model::{self, Variables},
    proto,
};

/// A message outside of the contract.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} should be {expected}")]
pub struct Malformed {
    /// Which field is wrong.
    pub field: &'static str,
    /// What it should be.
    pub expected: &'static str,
}

/// A request outside of the contract, in words for the caller.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidRequest(pub String);

impl InvalidRequest {
    fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl From<Malformed> for InvalidRequest {
    fn from(malformed: Malformed) -> Self {
        Self(malformed.to_string())
    }
}

/// Variables that the wire cannot carry.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("variable {path} is an integer beyond ±2^53, which the engine would round: send it as a string")]
pub struct TooPrecise {
    path: String,
}

/// Enums with the same variants on both sides. On the wire 0 is "unspecified", which no model enum has.
macro_rules! same_enums {
    ($($name:ident { $($variant:ident),* $(,)? })*) => { $(
        impl TryFrom<proto::$name> for model::$name {
            type Error = Malformed;

            fn try_from(value: proto::$name) -> Result<Self, Malformed> {
                match value {
                    proto::$name::Unspecified => {
                        Err(Malformed { field: stringify!($name), expected: "specified" })
                    }
                    $(proto::$name::$variant => Ok(model::$name::$variant),)*
                }
            }
        }

        impl From<model::$name> for proto::$name {
            fn from(value: model::$name) -> Self {
                match value { $(model::$name::$variant => proto::$name::$variant,)* }
            }
        }
    )* };
}

same_enums! {
    HealthState { Serving, Degraded, NotServing }
    VersionVerdict { Same, Compatible, Breaking, SkippedMinor, SkippedMajor, Downgrade, Prerelease }
    Severity { Error, Warning }
    LintMode { Strict, Lenient }
    DeployOutcome { Created, Unchanged }
    OnInstances { Fail, KeepRunning, Cancel }
    PutOutcome { Created, Updated, Unchanged }
    DeleteTenantMode { RefuseIfActive, Purge, Retain }
    QuotaKind { ActiveInstances, JobsPerMinute, Storage, JobTypes }
    InstanceState { Active, Completed, Canceled }
}

/// A newer engine may look at more than we know: one strange component must not hide the health of all others.
impl From<proto::HealthComponent> for model::HealthComponent {
    fn from(value: proto::HealthComponent) -> Self {
        match value {
            proto::HealthComponent::Unspecified => Self::Other,
            proto::HealthComponent::Database => Self::Database,
            proto::HealthComponent::Schema => Self::Schema,
            proto::HealthComponent::Leases => Self::Leases,
        }
    }
}

fn non_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn count(field: &'static str, value: i64) -> Result<u64, Malformed> {
    u64::try_from(value).map_err(|_| Malformed { field, expected: "0 or more" })
}

fn small_count(field: &'static str, value: i32) -> Result<u32, Malformed> {
    u32::try_from(value).map_err(|_| Malformed { field, expected: "0 or more" })
}

/// Counts beyond the wire's range mean "very many": the largest is as good.
fn wire_count(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn wire_small_count(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

fn maybe_timestamp(
    field: &'static str,
    value: Option<prost_types::Timestamp>,
) -> Result<Option<Timestamp>, Malformed> {
    value
        .map(|at| Timestamp::new(at.seconds, at.nanos))
        .transpose()
        .map_err(|_| Malformed { field, expected: "a time of the years -9999 to 9999" })
}

fn timestamp(field: &'static str, value: Option<prost_types::Timestamp>) -> Result<Timestamp, Malformed> {
    maybe_timestamp(field, value)?.ok_or(Malformed { field, expected: "present" })
}

fn wire_timestamp(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() }
}

/// A span of time on the wire; one beyond its range becomes the longest.
pub fn wire_duration(value: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(value.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(value.subsec_nanos()).unwrap_or(0),
    }
}

/// Variables of an answer: what is stored came from the wire or fits it, so nothing is refused.
pub fn wire_object(fields: serde_json::Map<String, serde_json::Value>) -> Struct {
    Struct { fields: fields.into_iter().map(|(name, value)| (name, wire_stored(value))).collect() }
}

fn wire_stored(value: serde_json::Value) -> Value {
    let kind = match value {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(value) => Kind::BoolValue(value),
        serde_json::Value::String(value) => Kind::StringValue(value),
        serde_json::Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        serde_json::Value::Array(values) => {
            Kind::ListValue(ListValue { values: values.into_iter().map(wire_stored).collect() })
        }
        serde_json::Value::Object(fields) => Kind::StructValue(wire_object(fields)),
    };
    Value { kind: Some(kind) }
}

/// Variables of a request; absent = none.
pub fn requested_variables(value: Option<Struct>) -> Result<Variables, InvalidRequest> {
    variables(value).map_err(|_| InvalidRequest::new("variables hold a number that is not finite"))
}

/// The largest integer up to which every integer is an IEEE double.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

fn variables(value: Option<Struct>) -> Result<Variables, Malformed> {
    value.unwrap_or_default().fields.into_iter().map(|(name, value)| Ok((name, json(value)?))).collect()
}

fn json(value: Value) -> Result<serde_json::Value, Malformed> {
    Ok(match value.kind {
        None | Some(Kind::NullValue(_)) => serde_json::Value::Null,
        Some(Kind::BoolValue(value)) => value.into(),
        Some(Kind::StringValue(value)) => value.into(),
        Some(Kind::NumberValue(value)) => json_number(value)?.into(),
        Some(Kind::ListValue(list)) => {
            list.values.into_iter().map(json).collect::<Result<Vec<_>, _>>()?.into()
        }
        Some(Kind::StructValue(value)) => variables(Some(value))?.0.into(),
    })
}

fn json_number(value: f64) -> Result<serde_json::Number, Malformed> {
    if value.fract() == 0.0 && value.abs() <= MAX_EXACT {
        #[allow(clippy::cast_possible_truncation)] // an integer of at most 54 bits
        return Ok((value as i64).into());
    }
    serde_json::Number::from_f64(value).ok_or(Malformed { field: "variables", expected: "finite numbers" })
}

fn wire_variables(value: &Variables) -> Result<Struct, TooPrecise> {
    wire_struct("", value)
}

fn wire_struct(path: &str, value: &serde_json::Map<String, serde_json::Value>) -> Result<Struct, TooPrecise> {
    let fields = value.iter().map(|(name, value)| {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        Ok((name.clone(), wire_value(&path, value)?))
    });
    Ok(Struct { fields: fields.collect::<Result<BTreeMap<_, _>, _>>()? })
}

fn wire_value(path: &str, value: &serde_json::Value) -> Result<Value, TooPrecise> {
    let kind = match value {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(value) => Kind::BoolValue(*value),
        serde_json::Value::String(value) => Kind::StringValue(value.clone()),
        serde_json::Value::Number(number) => Kind::NumberValue(wire_number(path, number)?),
        serde_json::Value::Array(values) => {
            let values = values
                .iter()
                .enumerate()
                .map(|(index, value)| wire_value(&format!("{path}[{index}]"), value));
            Kind::ListValue(ListValue { values: values.collect::<Result<_, _>>()? })
        }
        serde_json::Value::Object(fields) => Kind::StructValue(wire_struct(path, fields)?),
    };
    Ok(Value { kind: Some(kind) })
}

fn wire_number(path: &str, number: &serde_json::Number) -> Result<f64, TooPrecise> {
    let exact = number.is_f64() || number.as_i64().is_some_and(|value| value.unsigned_abs() <= 1 << 53);
    number.as_f64().filter(|_| exact).ok_or_else(|| TooPrecise { path: path.to_owned() })
}

#[cfg(test)]
mod tests;
