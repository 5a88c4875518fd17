//! Incidents in JSON.

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use engine_api::Role;
use engine_api::proto::{self, IncidentKind, resolve_incidents_request};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::default_tenant;
use super::shape::{
    Answer, Body, Done, FromPath, FromQuery, Key, TenantQuery, caller, choose, key_of_text, named, time,
    wire_variables,
};
use crate::grpc::Api;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/api/v1/incidents", get(list_incidents))
        .route("/api/v1/incidents/counts", get(count_incidents))
        .route("/api/v1/incidents/resolve", post(resolve_incidents))
        .route("/api/v1/incidents/{key}/resolve", post(resolve_incident))
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Incident {
    key: Key,
    instance_key: Key,
    process_definition_key: Key,
    bpmn_process_id: String,
    version: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    element_id: String,
    message: String,
    raised_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job_key: Option<Key>,
}

impl From<proto::Incident> for Incident {
    fn from(incident: proto::Incident) -> Self {
        Self {
            kind: kind_word(incident.kind()),
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

/// Zeebe's word, or one made in its way.
fn kind_word(kind: IncidentKind) -> Option<&'static str> {
    kind.as_str_name().strip_prefix("INCIDENT_KIND_").filter(|_| kind != IncidentKind::Unspecified)
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
    let unresolved = resolved.unresolved.into_iter().map(|incident| Unresolved {
        key: Key(incident.key),
        reason: incident.reason,
        message: incident.message,
    });
    Ok(Json(Resolution {
        resolved: resolved.resolved,
        unresolved: unresolved.collect(),
        next_page_token: resolved.next_page_token,
    }))
}
