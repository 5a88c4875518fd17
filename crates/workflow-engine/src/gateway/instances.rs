//! Instances in JSON.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use engine_api::Role;
use engine_api::convert::requested_variables;
use engine_api::model::Variables;
use engine_api::proto::{self, cancel_instances_request};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tonic::Status;

use super::default_tenant;
use super::incidents::Incident;
use super::shape::{
    Answer, Body, Done, FromPath, FromQuery, Key, Refused, TenantQuery, caller, choose, named, time,
    wire_variables,
};
use crate::grpc::Api;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/api/v1/instances", get(list_instances).post(start_instance))
        .route("/api/v1/instances/cancel", post(cancel_instances))
        .route("/api/v1/instances/{key}", get(get_instance))
        .route("/api/v1/instances/{key}/cancel", post(cancel_instance))
        .route("/api/v1/instances/{key}/variables", post(set_variables))
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
struct StartBody {
    #[serde(default = "default_tenant")]
    tenant_id: String,
    bpmn_process_id: String,
    /// 0 = the latest.
    #[serde(default)]
    version: i32,
    #[serde(default)]
    variables: Map<String, Value>,
    #[serde(default)]
    request_id: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Started {
    key: Key,
    process_definition_key: Key,
}

async fn start_instance(
    State(api): State<Api>,
    Extension(role): Extension<Role>,
    body: Body<StartBody>,
) -> Result<(StatusCode, Json<Started>), Refused> {
    let body = body?.0;
    let request = proto::StartInstanceRequest {
        request_id: body.request_id,
        tenant_id: body.tenant_id,
        process_id: body.bpmn_process_id,
        version: body.version,
        variables: wire_variables(body.variables)?,
    };
    let started = api.start_instance_as(&caller(role), request).await?.into_inner();
    let started = Started {
        key: Key(started.instance_key),
        process_definition_key: Key(started.process_definition_key),
    };
    Ok((StatusCode::CREATED, Json(started)))
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
    let Variables(variables) =
        requested_variables(found.variables).map_err(|_| Status::internal("variables are unreadable"))?;
    Ok(Json(WholeInstance {
        instance: summary.into(),
        variables,
        incidents: found.incidents.into_iter().map(Incident::from).collect(),
        open_elements: found.open_elements.into_iter().map(OpenElement::from).collect(),
    }))
}

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
