//! Instances and incidents in JSON. Keys are texts of digits, since many JSON readers round whole numbers above 2^53;
//! requests may give them as numbers too.

use std::fmt;

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use engine_client::Role;
use engine_client::proto::{self, cancel_instances_request, resolve_incidents_request};
use jiff::Timestamp;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use tonic::{Extensions, Status};

use super::{default_tenant, problem, write_problem};
use crate::engine::variables;
use crate::grpc::Api;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/api/v1/instances", get(list_instances))
        .route("/api/v1/instances/cancel", post(cancel_instances))
        .route("/api/v1/instances/{key}", get(get_instance))
        .route("/api/v1/instances/{key}/cancel", post(cancel_instance))
        .route("/api/v1/instances/{key}/variables", post(set_variables))
        .route("/api/v1/incidents", get(list_incidents))
        .route("/api/v1/incidents/counts", get(count_incidents))
        .route("/api/v1/incidents/resolve", post(resolve_incidents))
        .route("/api/v1/incidents/{key}/resolve", post(resolve_incident))
}

/// What is wrong with a request before anybody is asked.
struct Refused(Box<Response>);

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

type Answer<T> = Result<Json<T>, Refused>;
type FromPath = Result<Path<Key>, PathRejection>;
type FromQuery<T> = Result<Query<T>, QueryRejection>;
type Body<T> = Result<Json<T>, JsonRejection>;

/// The caller, as the gRPC services know it.
fn caller(role: Role) -> Extensions {
    let mut extensions = Extensions::new();
    extensions.insert(role);
    extensions
}

/// A key of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key(i64);

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

/// As [`Key`], from a path or a query, where everything is a text.
fn key_of_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Key>, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map(|key| Some(Key(key))).map_err(|_| de::Error::custom("expected a key: a text of digits"))
}

/// A key that names something, or none.
fn named(key: i64) -> Option<Key> {
    (key != 0).then_some(Key(key))
}

fn time(at: Option<prost_types::Timestamp>) -> Option<Timestamp> {
    at.and_then(|at| Timestamp::new(at.seconds, at.nanos).ok())
}

/// Variables of a request. A number that the engine would round is refused.
fn wire_variables(fields: Map<String, Value>) -> Result<Option<prost_types::Struct>, Refused> {
    let fields = Value::Object(fields);
    if !is_exact(&fields) {
        return Err(Status::invalid_argument(
            "variables hold a whole number beyond ±2^53, which would be rounded: send it as a text",
        )
        .into());
    }
    Ok(Some(variables::to_wire(&fields)))
}

fn is_exact(value: &Value) -> bool {
    match value {
        Value::Number(number) => {
            number.is_f64() || number.as_i64().is_some_and(|number| number.unsigned_abs() <= 1 << 53)
        }
        Value::Array(values) => values.iter().all(is_exact),
        Value::Object(fields) => fields.values().all(is_exact),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum InstanceState {
    Active,
    Completed,
    Canceled,
}

impl InstanceState {
    fn read(state: proto::InstanceState) -> Option<Self> {
        match state {
            proto::InstanceState::Unspecified => None,
            proto::InstanceState::Active => Some(Self::Active),
            proto::InstanceState::Completed => Some(Self::Completed),
            proto::InstanceState::Canceled => Some(Self::Canceled),
        }
    }
}

impl From<InstanceState> for proto::InstanceState {
    fn from(state: InstanceState) -> Self {
        match state {
            InstanceState::Active => Self::Active,
            InstanceState::Completed => Self::Completed,
            InstanceState::Canceled => Self::Canceled,
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Instance {
    key: Key,
    process_definition_key: Key,
    bpmn_process_id: String,
    version: i32,
    state: Option<InstanceState>,
    started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<Timestamp>,
    open_incidents: i32,
}

impl From<proto::InstanceSummary> for Instance {
    fn from(instance: proto::InstanceSummary) -> Self {
        Self {
            state: InstanceState::read(instance.state()),
            key: Key(instance.key),
            process_definition_key: Key(instance.process_definition_key),
            bpmn_process_id: instance.process_id,
            version: instance.version,
            started_at: time(instance.started_at),
            ended_at: time(instance.ended_at),
            open_incidents: instance.open_incidents,
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Incident {
    key: Key,
    instance_key: Key,
    process_definition_key: Key,
    bpmn_process_id: String,
    version: i32,
    element_id: String,
    message: String,
    raised_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job_key: Option<Key>,
}

impl From<proto::Incident> for Incident {
    fn from(incident: proto::Incident) -> Self {
        Self {
            key: Key(incident.key),
            instance_key: Key(incident.instance_key),
            process_definition_key: Key(incident.process_definition_key),
            bpmn_process_id: incident.process_id,
            version: incident.version,
            element_id: incident.element_id,
            message: incident.message,
            raised_at: time(incident.raised_at),
            job_key: named(incident.job_key),
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OpenElement {
    element_id: String,
    tokens: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<OpenJob>,
    #[serde(skip_serializing_if = "Option::is_none")]
    incident_key: Option<Key>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OpenJob {
    key: Key,
    #[serde(rename = "type")]
    job_type: String,
    retries: i32,
}

impl From<proto::OpenElement> for OpenElement {
    fn from(open: proto::OpenElement) -> Self {
        let (job_type, retries) = (open.job_type, open.retries);
        Self {
            element_id: open.element_id,
            tokens: open.tokens,
            job: named(open.job_key).map(|key| OpenJob { key, job_type, retries }),
            incident_key: named(open.incident_key),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct InstancesQuery {
    #[serde(default = "default_tenant")]
    tenant_id: String,
    state: Option<InstanceState>,
    #[serde(default)]
    bpmn_process_id: String,
    #[serde(default)]
    version: i32,
    has_incident: Option<bool>,
    #[serde(default)]
    page_size: i32,
    #[serde(default)]
    page_token: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Instances {
    instances: Vec<Instance>,
    next_page_token: String,
}

async fn list_instances(
    State(api): State<Api>,
    Extension(role): Extension<Role>,
    query: FromQuery<InstancesQuery>,
) -> Answer<Instances> {
    let query = query?.0;
    let request = proto::ListInstancesRequest {
        tenant_id: query.tenant_id,
        filter: Some(proto::InstanceFilter {
            state: query.state.map_or(proto::InstanceState::Unspecified, Into::into).into(),
            process_id: query.bpmn_process_id,
            version: query.version,
            has_incident: query.has_incident,
        }),
        page_size: query.page_size,
        page_token: query.page_token,
    };
    let page = api.list_instances_as(&caller(role), request).await?.into_inner();
    Ok(Json(Instances {
        instances: page.instances.into_iter().map(Instance::from).collect(),
        next_page_token: page.next_page_token,
    }))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TenantQuery {
    #[serde(default = "default_tenant")]
    tenant_id: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct WholeInstance {
    #[serde(flatten)]
    instance: Instance,
    variables: Map<String, Value>,
    incidents: Vec<Incident>,
    open_elements: Vec<OpenElement>,
}

async fn get_instance(
    State(api): State<Api>,
    Extension(role): Extension<Role>,
    key: FromPath,
    query: FromQuery<TenantQuery>,
) -> Answer<WholeInstance> {
    let request = proto::GetInstanceRequest { tenant_id: query?.0.tenant_id, key: key?.0.0 };
    let found = api.get_instance_as(&caller(role), request).await?.into_inner();
    let summary = proto::InstanceSummary {
        key: found.key,
        process_definition_key: found.process_definition_key,
        process_id: found.process_id,
        version: found.version,
        state: found.state,
        started_at: found.started_at,
        ended_at: found.ended_at,
        open_incidents: i32::try_from(found.incidents.len()).unwrap_or(i32::MAX),
    };
    let variables =
        variables::from_wire(found.variables).map_err(|_| Status::internal("variables are unreadable"))?;
    Ok(Json(WholeInstance {
        instance: summary.into(),
        variables,
        incidents: found.incidents.into_iter().map(Incident::from).collect(),
        open_elements: found.open_elements.into_iter().map(OpenElement::from).collect(),
    }))
}

/// `{}`.
#[derive(Debug, Serialize)]
struct Done {}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct VariablesBody {
    #[serde(default = "default_tenant")]
    tenant_id: String,
    variables: Map<String, Value>,
    #[serde(default)]
    request_id: String,
}

async fn set_variables(
    State(api): State<Api>,
    Extension(role): Extension<Role>,
    key: FromPath,
    body: Body<VariablesBody>,
) -> Answer<Done> {
    let body = body?.0;
    let request = proto::SetVariablesRequest {
        request_id: body.request_id,
        tenant_id: body.tenant_id,
        instance_key: key?.0.0,
        variables: wire_variables(body.variables)?,
    };
    api.set_variables_as(&caller(role), request).await?;
    Ok(Json(Done {}))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CancelBody {
    #[serde(default = "default_tenant")]
    tenant_id: String,
    #[serde(default)]
    request_id: String,
}

async fn cancel_instance(
    State(api): State<Api>,
    Extension(role): Extension<Role>,
    key: FromPath,
    body: Body<CancelBody>,
) -> Answer<Done> {
    let CancelBody { tenant_id, request_id } = body?.0;
    let request = proto::CancelInstanceRequest { request_id, tenant_id, key: key?.0.0 };
    api.cancel_instance_as(&caller(role), request).await?;
    Ok(Json(Done {}))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct InstanceFilter {
    #[serde(default)]
    bpmn_process_id: String,
    #[serde(default)]
    version: i32,
    has_incident: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CancelManyBody {
    #[serde(default = "default_tenant")]
    tenant_id: String,
    keys: Option<Vec<Key>>,
    filter: Option<InstanceFilter>,
    #[serde(default)]
    page_token: String,
    #[serde(default)]
    request_id: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Cancellation {
    canceled: i32,
    not_running: Vec<Key>,
    next_page_token: String,
}

/// Keys or a filter, not both.
fn choose<Filter, Selection>(
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

async fn cancel_instances(
    State(api): State<Api>,
    Extension(role): Extension<Role>,
    body: Body<CancelManyBody>,
) -> Answer<Cancellation> {
    use cancel_instances_request::Selection;
    let body = body?.0;
    let of_filter = |filter: InstanceFilter| {
        Selection::Filter(proto::InstanceFilter {
            state: proto::InstanceState::Active.into(),
            process_id: filter.bpmn_process_id,
            version: filter.version,
            has_incident: filter.has_incident,
        })
    };
    let request = proto::CancelInstancesRequest {
        request_id: body.request_id,
        tenant_id: body.tenant_id,
        selection: choose(body.keys, body.filter, Selection::Keys, of_filter)?,
        page_token: body.page_token,
    };
    let canceled = api.cancel_instances_as(&caller(role), request).await?.into_inner();
    Ok(Json(Cancellation {
        canceled: canceled.canceled,
        not_running: canceled.not_running.into_iter().map(Key).collect(),
        next_page_token: canceled.next_page_token,
    }))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct IncidentsQuery {
    #[serde(default = "default_tenant")]
    tenant_id: String,
    #[serde(default)]
    bpmn_process_id: String,
    #[serde(default)]
    version: i32,
    #[serde(default, deserialize_with = "key_of_text")]
    instance_key: Option<Key>,
    #[serde(default)]
    page_size: i32,
    #[serde(default)]
    page_token: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Incidents {
    incidents: Vec<Incident>,
    next_page_token: String,
}

async fn list_incidents(
    State(api): State<Api>,
    Extension(role): Extension<Role>,
    query: FromQuery<IncidentsQuery>,
) -> Answer<Incidents> {
    let query = query?.0;
    let request = proto::ListIncidentsRequest {
        tenant_id: query.tenant_id,
        filter: Some(proto::IncidentFilter {
            process_id: query.bpmn_process_id,
            version: query.version,
            instance_key: query.instance_key.map_or(0, |key| key.0),
        }),
        page_size: query.page_size,
        page_token: query.page_token,
    };
    let page = api.list_incidents_as(&caller(role), request).await?.into_inner();
    Ok(Json(Incidents {
        incidents: page.incidents.into_iter().map(Incident::from).collect(),
        next_page_token: page.next_page_token,
    }))
}

#[derive(Debug, Serialize)]
struct Counts {
    counts: Vec<Count>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Count {
    process_definition_key: Key,
    bpmn_process_id: String,
    version: i32,
    open: i64,
}

async fn count_incidents(
    State(api): State<Api>,
    Extension(role): Extension<Role>,
    query: FromQuery<TenantQuery>,
) -> Answer<Counts> {
    let request = proto::CountIncidentsRequest { tenant_id: query?.0.tenant_id };
    let counted = api.count_incidents_as(&caller(role), request).await?.into_inner();
    let counts = counted.counts.into_iter().map(|count| Count {
        process_definition_key: Key(count.process_definition_key),
        bpmn_process_id: count.process_id,
        version: count.version,
        open: count.open,
    });
    Ok(Json(Counts { counts: counts.collect() }))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ResolveBody {
    #[serde(default = "default_tenant")]
    tenant_id: String,
    retries: i32,
    #[serde(default)]
    variables: Map<String, Value>,
    #[serde(default)]
    request_id: String,
}

async fn resolve_incident(
    State(api): State<Api>,
    Extension(role): Extension<Role>,
    key: FromPath,
    body: Body<ResolveBody>,
) -> Answer<Done> {
    let body = body?.0;
    let request = proto::ResolveIncidentRequest {
        request_id: body.request_id,
        tenant_id: body.tenant_id,
        key: key?.0.0,
        retries: body.retries,
        variables: wire_variables(body.variables)?,
    };
    api.resolve_incident_as(&caller(role), request).await?;
    Ok(Json(Done {}))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct IncidentFilter {
    #[serde(default)]
    bpmn_process_id: String,
    #[serde(default)]
    version: i32,
    instance_key: Option<Key>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ResolveManyBody {
    #[serde(default = "default_tenant")]
    tenant_id: String,
    keys: Option<Vec<Key>>,
    filter: Option<IncidentFilter>,
    retries: i32,
    #[serde(default)]
    variables: Map<String, Value>,
    #[serde(default)]
    page_token: String,
    #[serde(default)]
    request_id: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Resolution {
    resolved: i32,
    unresolved: Vec<Unresolved>,
    next_page_token: String,
}

#[derive(Debug, Serialize)]
struct Unresolved {
    key: Key,
    reason: String,
    message: String,
}

async fn resolve_incidents(
    State(api): State<Api>,
    Extension(role): Extension<Role>,
    body: Body<ResolveManyBody>,
) -> Answer<Resolution> {
    use resolve_incidents_request::Selection;
    let body = body?.0;
    let of_filter = |filter: IncidentFilter| {
        Selection::Filter(proto::IncidentFilter {
            process_id: filter.bpmn_process_id,
            version: filter.version,
            instance_key: filter.instance_key.map_or(0, |key| key.0),
        })
    };
    let request = proto::ResolveIncidentsRequest {
        request_id: body.request_id,
        tenant_id: body.tenant_id,
        selection: choose(body.keys, body.filter, Selection::Keys, of_filter)?,
        retries: body.retries,
        variables: wire_variables(body.variables)?,
        page_token: body.page_token,
    };
    let resolved = api.resolve_incidents_as(&caller(role), request).await?.into_inner();
    let unresolved = resolved.unresolved.into_iter().map(|left| Unresolved {
        key: Key(left.key),
        reason: left.reason,
        message: left.message,
    });
    Ok(Json(Resolution {
        resolved: resolved.resolved,
        unresolved: unresolved.collect(),
        next_page_token: resolved.next_page_token,
    }))
}
