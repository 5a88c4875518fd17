//! Instances and incidents, as a client reads and asks for them.

use super::{
    Malformed, TooPrecise, count, maybe_timestamp, non_empty, small_count, timestamp, variables,
    wire_small_count, wire_variables,
};
use crate::{model, proto};

fn key(key: i64) -> Option<i64> {
    (key != 0).then_some(key)
}

impl TryFrom<proto::GetInstanceResponse> for model::Instance {
    type Error = Malformed;

    fn try_from(instance: proto::GetInstanceResponse) -> Result<Self, Malformed> {
        Ok(Self {
            state: instance.state().try_into()?,
            key: instance.key,
            process_definition_key: instance.process_definition_key,
            process_id: instance.process_id,
            version: small_count("version", instance.version)?,
            variables: variables(instance.variables)?,
            incidents: all(instance.incidents)?,
            open_elements: all(instance.open_elements)?,
            started_at: maybe_timestamp("started_at", instance.started_at)?,
            ended_at: maybe_timestamp("ended_at", instance.ended_at)?,
        })
    }
}

fn all<Wire, Model>(wire: Vec<Wire>) -> Result<Vec<Model>, Malformed>
where
    Model: TryFrom<Wire, Error = Malformed>,
{
    wire.into_iter().map(Model::try_from).collect()
}

impl TryFrom<proto::OpenElement> for model::OpenElement {
    type Error = Malformed;

    fn try_from(open: proto::OpenElement) -> Result<Self, Malformed> {
        let retries = small_count("open_element.retries", open.retries)?;
        let job_type = open.job_type;
        Ok(Self {
            element_id: open.element_id,
            tokens: small_count("open_element.tokens", open.tokens)?,
            job: key(open.job_key).map(|key| model::OpenJob { key, job_type, retries }),
            incident_key: key(open.incident_key),
        })
    }
}

/// A kind that this version does not know is none: the message still says what happened.
impl From<proto::IncidentKind> for Option<model::IncidentKind> {
    fn from(kind: proto::IncidentKind) -> Self {
        match kind {
            proto::IncidentKind::Unspecified => None,
            proto::IncidentKind::JobNoRetries => Some(model::IncidentKind::JobNoRetries),
            proto::IncidentKind::ConditionError => Some(model::IncidentKind::ConditionError),
            proto::IncidentKind::ExtractValueError => Some(model::IncidentKind::ExtractValueError),
            proto::IncidentKind::EndlessLoop => Some(model::IncidentKind::EndlessLoop),
            proto::IncidentKind::StuckJoin => Some(model::IncidentKind::StuckJoin),
        }
    }
}

impl TryFrom<proto::Incident> for model::Incident {
    type Error = Malformed;

    fn try_from(incident: proto::Incident) -> Result<Self, Malformed> {
        Ok(Self {
            kind: incident.kind().into(),
            key: incident.key,
            element_id: incident.element_id,
            message: incident.message,
            raised_at: timestamp("incident.raised_at", incident.raised_at)?,
            instance_key: incident.instance_key,
            process_definition_key: incident.process_definition_key,
            process_id: incident.process_id,
            version: small_count("incident.version", incident.version)?,
            job_key: key(incident.job_key),
        })
    }
}

impl TryFrom<proto::InstanceSummary> for model::InstanceSummary {
    type Error = Malformed;

    fn try_from(instance: proto::InstanceSummary) -> Result<Self, Malformed> {
        Ok(Self {
            state: instance.state().try_into()?,
            key: instance.key,
            process_definition_key: instance.process_definition_key,
            process_id: instance.process_id,
            version: small_count("instance.version", instance.version)?,
            started_at: timestamp("instance.started_at", instance.started_at)?,
            ended_at: maybe_timestamp("instance.ended_at", instance.ended_at)?,
            open_incidents: small_count("instance.open_incidents", instance.open_incidents)?,
        })
    }
}

impl TryFrom<proto::ListInstancesResponse> for model::Page<model::InstanceSummary> {
    type Error = Malformed;

    fn try_from(page: proto::ListInstancesResponse) -> Result<Self, Malformed> {
        Ok(Self { entries: all(page.instances)?, next: non_empty(page.next_page_token) })
    }
}

impl TryFrom<proto::ListIncidentsResponse> for model::Page<model::Incident> {
    type Error = Malformed;

    fn try_from(page: proto::ListIncidentsResponse) -> Result<Self, Malformed> {
        Ok(Self { entries: all(page.incidents)?, next: non_empty(page.next_page_token) })
    }
}

impl TryFrom<proto::CancelInstancesResponse> for model::CanceledInstances {
    type Error = Malformed;

    fn try_from(canceled: proto::CancelInstancesResponse) -> Result<Self, Malformed> {
        Ok(Self {
            canceled: small_count("canceled", canceled.canceled)?,
            not_running: canceled.not_running,
            next: non_empty(canceled.next_page_token),
        })
    }
}

impl TryFrom<proto::IncidentCount> for model::IncidentCount {
    type Error = Malformed;

    fn try_from(counted: proto::IncidentCount) -> Result<Self, Malformed> {
        Ok(Self {
            process_definition_key: counted.process_definition_key,
            process_id: counted.process_id,
            version: small_count("count.version", counted.version)?,
            open: count("count.open", counted.open)?,
        })
    }
}

impl TryFrom<proto::CountIncidentsResponse> for Vec<model::IncidentCount> {
    type Error = Malformed;

    fn try_from(response: proto::CountIncidentsResponse) -> Result<Self, Malformed> {
        all(response.counts)
    }
}

impl TryFrom<proto::ResolveIncidentsResponse> for model::ResolvedIncidents {
    type Error = Malformed;

    fn try_from(resolved: proto::ResolveIncidentsResponse) -> Result<Self, Malformed> {
        let unresolved = resolved.unresolved.into_iter().map(|left| model::UnresolvedIncident {
            key: left.key,
            reason: left.reason,
            message: left.message,
        });
        Ok(Self {
            resolved: small_count("resolved", resolved.resolved)?,
            unresolved: unresolved.collect(),
            next: non_empty(resolved.next_page_token),
        })
    }
}

impl From<&model::InstanceFilter> for proto::InstanceFilter {
    fn from(filter: &model::InstanceFilter) -> Self {
        let state = filter.state.map_or(proto::InstanceState::Unspecified, Into::into);
        Self {
            state: state.into(),
            process_id: filter.process_id.clone().unwrap_or_default(),
            version: filter.version.map_or(0, wire_small_count),
            has_incident: filter.has_incident,
        }
    }
}

impl From<&model::IncidentFilter> for proto::IncidentFilter {
    fn from(filter: &model::IncidentFilter) -> Self {
        Self {
            process_id: filter.process_id.clone().unwrap_or_default(),
            version: filter.version.map_or(0, wire_small_count),
            instance_key: filter.instance_key.unwrap_or_default(),
        }
    }
}

impl TryFrom<&model::SetVariables> for proto::SetVariablesRequest {
    type Error = TooPrecise;

    fn try_from(request: &model::SetVariables) -> Result<Self, TooPrecise> {
        Ok(Self {
            request_id: request.request_id.clone(),
            tenant_id: request.tenant_id.clone(),
            instance_key: request.instance_key,
            variables: Some(wire_variables(&request.variables)?),
        })
    }
}

impl From<&model::CancelInstances> for proto::CancelInstancesRequest {
    fn from(request: &model::CancelInstances) -> Self {
        use proto::cancel_instances_request::Selection;
        let (selection, page_token) = match &request.selection {
            model::Selection::Keys(keys) => (Selection::Keys(proto::Keys { keys: keys.clone() }), None),
            model::Selection::Filter { filter, page } => (Selection::Filter(filter.into()), page.clone()),
        };
        Self {
            request_id: request.request_id.clone(),
            tenant_id: request.tenant_id.clone(),
            selection: Some(selection),
            page_token: page_token.unwrap_or_default(),
        }
    }
}

impl TryFrom<&model::ResolveIncidents> for proto::ResolveIncidentsRequest {
    type Error = TooPrecise;

    fn try_from(request: &model::ResolveIncidents) -> Result<Self, TooPrecise> {
        use proto::resolve_incidents_request::Selection;
        let (selection, page_token) = match &request.selection {
            model::Selection::Keys(keys) => (Selection::Keys(proto::Keys { keys: keys.clone() }), None),
            model::Selection::Filter { filter, page } => (Selection::Filter(filter.into()), page.clone()),
        };
        Ok(Self {
            request_id: request.request_id.clone(),
            tenant_id: request.tenant_id.clone(),
            selection: Some(selection),
            retries: wire_small_count(request.retries),
            variables: Some(wire_variables(&request.variables)?),
            page_token: page_token.unwrap_or_default(),
        })
    }
}
