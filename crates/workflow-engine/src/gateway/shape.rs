//! Shared by all calls: keys, times and variables in JSON, and refusals of requests.

use std::fmt;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query};
use axum::response::{IntoResponse, Response};
use engine_api::convert::wire_object;
use engine_api::{Role, proto};
use jiff::Timestamp;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use tonic::{Extensions, Status};

use super::{default_tenant, problem, write_problem};

/// The response to a request that is refused.
pub(super) struct Refused(Box<Response>);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        *self.0
    }
}

macro_rules! refuse_rejected {
    ($($rejection:ty),*) => { $(
        impl From<$rejection> for Refused {
            fn from(rejection: $rejection) -> Self {
                Self(Box::new(write_problem(rejection.status(), rejection.body_text(), None, Vec::new())))
            }
        }
    )* };
}
refuse_rejected!(JsonRejection, PathRejection, QueryRejection);

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        Self(Box::new(problem(&status)))
    }
}

pub(super) type Answer<T> = Result<Json<T>, Refused>;
pub(super) type FromPath = Result<Path<Key>, PathRejection>;
pub(super) type FromQuery<T> = Result<Query<T>, QueryRejection>;
pub(super) type Body<T> = Result<Json<T>, JsonRejection>;

/// Request extensions with the caller's role, as the gRPC services expect them.
pub(super) fn caller(role: Role) -> Extensions {
    let mut extensions = Extensions::new();
    extensions.insert(role);
    extensions
}

/// A key of the engine, written as a string of digits, since many JSON readers round integers above 2^53. Requests may
/// also contain a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key(pub i64);

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Digits;
        impl Visitor<'_> for Digits {
            type Value = Key;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a key: a whole number, or a text of digits")
            }

            fn visit_i64<E: de::Error>(self, key: i64) -> Result<Key, E> {
                Ok(Key(key))
            }

            fn visit_u64<E: de::Error>(self, key: u64) -> Result<Key, E> {
                i64::try_from(key)
                    .map(Key)
                    .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(key), &self))
            }

            fn visit_str<E: de::Error>(self, key: &str) -> Result<Key, E> {
                key.parse().map(Key).map_err(|_| E::invalid_value(de::Unexpected::Str(key), &self))
            }
        }
        deserializer.deserialize_any(Digits)
    }
}

/// Reads a [`Key`] from a query, where every value is a string.
pub(super) fn key_of_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Key>, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map(|key| Some(Key(key))).map_err(|_| de::Error::custom("expected a key: a text of digits"))
}

/// `None` for the 0 with which the wire format says that there is no key.
pub(super) fn named(key: i64) -> Option<Key> {
    (key != 0).then_some(Key(key))
}

pub(super) fn time(at: Option<prost_types::Timestamp>) -> Option<Timestamp> {
    at.and_then(|at| Timestamp::new(at.seconds, at.nanos).ok())
}

/// Variables of a request. An integer that the engine would round is refused.
pub(super) fn wire_variables(fields: Map<String, Value>) -> Result<Option<prost_types::Struct>, Refused> {
    if !fields.values().all(is_exact) {
        return Err(Status::invalid_argument(
            "variables hold a whole number beyond ±2^53, which would be rounded: send it as a text",
        )
        .into());
    }
    Ok(Some(wire_object(fields)))
}

pub(super) fn is_exact(value: &Value) -> bool {
    match value {
        Value::Number(number) => {
            number.is_f64() || number.as_i64().is_some_and(|number| number.unsigned_abs() <= 1 << 53)
        }
        Value::Array(values) => values.iter().all(is_exact),
        Value::Object(fields) => fields.values().all(is_exact),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct TenantQuery {
    #[serde(default = "default_tenant")]
    pub tenant_id: String,
}

/// The empty answer `{}`.
#[derive(Debug, Serialize)]
pub(super) struct Done {}

/// The selection by keys or by a filter. An error if both or none are given.
pub(super) fn choose<Filter, Selection>(
    keys: Option<Vec<Key>>,
    filter: Option<Filter>,
    of_keys: impl FnOnce(proto::Keys) -> Selection,
    of_filter: impl FnOnce(Filter) -> Selection,
) -> Result<Option<Selection>, Refused> {
    match (keys, filter) {
        (Some(keys), None) => {
            Ok(Some(of_keys(proto::Keys { keys: keys.into_iter().map(|key| key.0).collect() })))
        }
        (None, Some(filter)) => Ok(Some(of_filter(filter))),
        _ => Err(Status::invalid_argument("one of keys and filter is required").into()),
    }
}
