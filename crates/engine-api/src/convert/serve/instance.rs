//! Instances and incidents, as a server reads requests and answers them.

use crate::convert::{
    InvalidRequest, non_empty, requested_variables, wire_count, wire_object, wire_small_count, wire_timestamp,
};
use crate::{model, proto};

impl From<model::Instance> for proto::GetInstanceResponse {
    fn from(instance: model::Instance) -> Self {
        Self {
            key: instance.key,
            process_definition_key: instance.process_definition_key,
            process_id: instance.process_id,
            version: wire_small_count(instance.version),
            state: proto::InstanceState::from(instance.state).into(),
            variables: Some(wire_object(instance.variables.0)),
            incidents: instance.incidents.into_iter().map(Into::into).collect(),
            open_elements: instance.open_elements.into_iter().map(Into::into).collect(),
            started_at: instance.started_at.map(wire_timestamp),
            ended_at: instance.ended_at.map(wire_timestamp),
        }
    }
}

impl From<model::OpenElement> for proto::OpenElement {
    fn from(open: model::OpenElement) -> Self {
        let (job_key, job_type, retries) =
            open.job.map(|job| (job.key, job.job_type, wire_small_count(job.retries))).unwrap_or_default();
        Self {
            element_id: open.element_id,
            tokens: wire_small_count(open.tokens),
            job_key,
            job_type,
            retries,
            incident_key: open.incident_key.unwrap_or_default(),
        }
    }
}

impl From<model::IncidentKind> for proto::IncidentKind {
    fn from(kind: model::IncidentKind) -> Self {
        match kind {
            model::IncidentKind::JobNoRetries => Self::JobNoRetries,
            model::IncidentKind::ConditionError => Self::ConditionError,
            model::IncidentKind::ExtractValueError => Self::ExtractValueError,
            model::IncidentKind::EndlessLoop => Self::EndlessLoop,
            model::IncidentKind::StuckJoin => Self::StuckJoin,
        }
    }
}

impl From<model::Incident> for proto::Incident {
    fn from(incident: model::Incident) -> Self {
        Self {
            kind: incident.kind.map_or(proto::IncidentKind::Unspecified, Into::into).into(),
            key: incident.key,
            element_id: incident.element_id,
            message: incident.message,
            raised_at: Some(wire_timestamp(incident.raised_at)),
            instance_key: incident.instance_key,
            process_definition_key: incident.process_definition_key,
            process_id: incident.process_id,
            version: wire_small_count(incident.version),
            job_key: incident.job_key.unwrap_or_default(),
        }
    }
}

impl From<model::InstanceSummary> for proto::InstanceSummary {
    fn from(instance: model::InstanceSummary) -> Self {
        Self {
            key: instance.key,
            process_definition_key: instance.process_definition_key,
            process_id: instance.process_id,
            version: wire_small_count(instance.version),
            state: proto::InstanceState::from(instance.state).into(),
            started_at: Some(wire_timestamp(instance.started_at)),
            ended_at: instance.ended_at.map(wire_timestamp),
            open_incidents: wire_small_count(instance.open_incidents),
        }
    }
}

impl From<model::Page<model::InstanceSummary>> for proto::ListInstancesResponse {
    fn from(page: model::Page<model::InstanceSummary>) -> Self {
        Self {
            instances: page.entries.into_iter().map(Into::into).collect(),
            next_page_token: page.next.unwrap_or_default(),
        }
    }
}

impl From<model::Page<model::Incident>> for proto::ListIncidentsResponse {
    fn from(page: model::Page<model::Incident>) -> Self {
        Self {
            incidents: page.entries.into_iter().map(Into::into).collect(),
            next_page_token: page.next.unwrap_or_default(),
        }
    }
}

impl From<model::CanceledInstances> for proto::CancelInstancesResponse {
    fn from(canceled: model::CanceledInstances) -> Self {
        Self {
            canceled: wire_small_count(canceled.canceled),
            not_running: canceled.not_running,
            next_page_token: canceled.next.unwrap_or_default(),
        }
    }
}

impl From<Vec<model::IncidentCount>> for proto::CountIncidentsResponse {
    fn from(counts: Vec<model::IncidentCount>) -> Self {
        let counts = counts.into_iter().map(|count| proto::IncidentCount {
            process_definition_key: count.process_definition_key,
            process_id: count.process_id,
            version: wire_small_count(count.version),
            open: wire_count(count.open),
        });
        Self { counts: counts.collect() }
    }
}

impl From<model::ResolvedIncidents> for proto::ResolveIncidentsResponse {
    fn from(resolved: model::ResolvedIncidents) -> Self {
        let unresolved = resolved.unresolved.into_iter().map(|left| proto::UnresolvedIncident {
            key: left.key,
            reason: left.reason,
            message: left.message,
        });
        Self {
            resolved: wire_small_count(resolved.resolved),
            unresolved: unresolved.collect(),
            next_page_token: resolved.next.unwrap_or_default(),
        }
    }
}

/// 0 = any; a version means something within a process only.
fn version(process_id: &str, version: i32) -> Result<Option<u32>, InvalidRequest> {
    match u32::try_from(version) {
        Ok(0) => Ok(None),
        Ok(version) if !process_id.is_empty() => Ok(Some(version)),
        _ => Err(InvalidRequest::new("filter.version must be 0 (all) or a version of filter.process_id")),
    }
}

impl TryFrom<proto::InstanceFilter> for model::InstanceFilter {
    type Error = InvalidRequest;

    fn try_from(filter: proto::InstanceFilter) -> Result<Self, InvalidRequest> {
        let version = version(&filter.process_id, filter.version)?;
        let state = match proto::InstanceState::try_from(filter.state) {
            Ok(proto::InstanceState::Unspecified) => None,
            Ok(state) => Some(state.try_into()?),
            Err(_) => return Err(InvalidRequest::new("filter.state is not a state of instances")),
        };
        Ok(Self {
            state,
            version,
            process_id: non_empty(filter.process_id),
            has_incident: filter.has_incident,
        })
    }
}

impl TryFrom<proto::IncidentFilter> for model::IncidentFilter {
    type Error = InvalidRequest;

    fn try_from(filter: proto::IncidentFilter) -> Result<Self, InvalidRequest> {
        Ok(Self {
            version: version(&filter.process_id, filter.version)?,
            process_id: non_empty(filter.process_id),
            instance_key: Some(filter.instance_key).filter(|key| *key != 0),
        })
    }
}

impl TryFrom<proto::SetVariablesRequest> for model::SetVariables {
    type Error = InvalidRequest;

    fn try_from(request: proto::SetVariablesRequest) -> Result<Self, InvalidRequest> {
        Ok(Self {
            request_id: request.request_id,
            tenant_id: request.tenant_id,
            instance_key: request.instance_key,
            variables: requested_variables(request.variables)?,
        })
    }
}

fn no_selection() -> InvalidRequest {
    InvalidRequest::new("one of keys and filter is required")
}

impl TryFrom<proto::CancelInstancesRequest> for model::CancelInstances {
    type Error = InvalidRequest;

    fn try_from(request: proto::CancelInstancesRequest) -> Result<Self, InvalidRequest> {
        use proto::cancel_instances_request::Selection;
        let selection = match request.selection.ok_or_else(no_selection)? {
            Selection::Keys(keys) => model::Selection::Keys(keys.keys),
            Selection::Filter(filter) => {
                model::Selection::Filter { filter: filter.try_into()?, page: non_empty(request.page_token) }
            }
        };
        Ok(Self { request_id: request.request_id, tenant_id: request.tenant_id, selection })
    }
}

impl TryFrom<proto::ResolveIncidentsRequest> for model::ResolveIncidents {
    type Error = InvalidRequest;

    fn try_from(request: proto::ResolveIncidentsRequest) -> Result<Self, InvalidRequest> {
        use proto::resolve_incidents_request::Selection;
        let retries = retries(request.retries)?;
        let selection = match request.selection.ok_or_else(no_selection)? {
            Selection::Keys(keys) => model::Selection::Keys(keys.keys),
            Selection::Filter(filter) => {
                model::Selection::Filter { filter: filter.try_into()?, page: non_empty(request.page_token) }
            }
        };
        Ok(Self {
            request_id: request.request_id,
            tenant_id: request.tenant_id,
            selection,
            retries,
            variables: requested_variables(request.variables)?,
        })
    }
}

fn retries(retries: i32) -> Result<u32, InvalidRequest> {
    let positive = u32::try_from(retries).ok().filter(|retries| *retries > 0);
    positive.ok_or_else(|| InvalidRequest::new("retries must be 1 or above: how often the job is tried"))
}

impl TryFrom<proto::ResolveIncidentRequest> for model::ResolveIncident {
    type Error = InvalidRequest;

    fn try_from(request: proto::ResolveIncidentRequest) -> Result<Self, InvalidRequest> {
        Ok(Self {
            tenant_id: request.tenant_id,
            key: request.key,
            retries: retries(request.retries)?,
            variables: requested_variables(request.variables)?,
        })
    }
}
