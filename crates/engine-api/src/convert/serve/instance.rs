//! Instances and incidents, as a server reads requests and answers them.

use crate::convert::{
    Malformed, TooPrecise, non_empty, small_count, variables, wire_count, wire_small_count, wire_timestamp,
    wire_variables,
};
use crate::{model, proto};

impl TryFrom<model::Instance> for proto::GetInstanceResponse {
    type Error = TooPrecise;

    fn try_from(instance: model::Instance) -> Result<Self, TooPrecise> {
        Ok(Self {
            key: instance.key,
            process_definition_key: instance.process_definition_key,
            process_id: instance.process_id,
            version: wire_small_count(instance.version),
            state: proto::InstanceState::from(instance.state).into(),
            variables: Some(wire_variables(&instance.variables)?),
            incidents: instance.incidents.into_iter().map(Into::into).collect(),
            open_elements: instance.open_elements.into_iter().map(Into::into).collect(),
            started_at: instance.started_at.map(wire_timestamp),
            ended_at: instance.ended_at.map(wire_timestamp),
        })
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

impl From<model::Incident> for proto::Incident {
    fn from(incident: model::Incident) -> Self {
        Self {
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

/// 0 = any.
fn version(version: i32) -> Result<Option<u32>, Malformed> {
    Ok(Some(small_count("filter.version", version)?).filter(|version| *version > 0))
}

impl TryFrom<proto::InstanceFilter> for model::InstanceFilter {
    type Error = Malformed;

    fn try_from(filter: proto::InstanceFilter) -> Result<Self, Malformed> {
        let state = match filter.state() {
            proto::InstanceState::Unspecified => None,
            state => Some(state.try_into()?),
        };
        Ok(Self {
            state,
            version: version(filter.version)?,
            process_id: non_empty(filter.process_id),
            has_incident: filter.has_incident,
        })
    }
}

impl TryFrom<proto::IncidentFilter> for model::IncidentFilter {
    type Error = Malformed;

    fn try_from(filter: proto::IncidentFilter) -> Result<Self, Malformed> {
        Ok(Self {
            version: version(filter.version)?,
            process_id: non_empty(filter.process_id),
            instance_key: Some(filter.instance_key).filter(|key| *key != 0),
        })
    }
}

impl TryFrom<proto::SetVariablesRequest> for model::SetVariables {
    type Error = Malformed;

    fn try_from(request: proto::SetVariablesRequest) -> Result<Self, Malformed> {
        Ok(Self {
            request_id: request.request_id,
            tenant_id: request.tenant_id,
            instance_key: request.instance_key,
            variables: variables(request.variables)?,
        })
    }
}

const NO_SELECTION: Malformed = Malformed { field: "selection", expected: "keys or a filter" };

impl TryFrom<proto::CancelInstancesRequest> for model::CancelInstances {
    type Error = Malformed;

    fn try_from(request: proto::CancelInstancesRequest) -> Result<Self, Malformed> {
        use proto::cancel_instances_request::Selection;
        let selection = match request.selection.ok_or(NO_SELECTION)? {
            Selection::Keys(keys) => model::Selection::Keys(keys.keys),
            Selection::Filter(filter) => {
                model::Selection::Filter { filter: filter.try_into()?, page: non_empty(request.page_token) }
            }
        };
        Ok(Self { request_id: request.request_id, tenant_id: request.tenant_id, selection })
    }
}

impl TryFrom<proto::ResolveIncidentsRequest> for model::ResolveIncidents {
    type Error = Malformed;

    fn try_from(request: proto::ResolveIncidentsRequest) -> Result<Self, Malformed> {
        use proto::resolve_incidents_request::Selection;
        let selection = match request.selection.ok_or(NO_SELECTION)? {
            Selection::Keys(keys) => model::Selection::Keys(keys.keys),
            Selection::Filter(filter) => {
                model::Selection::Filter { filter: filter.try_into()?, page: non_empty(request.page_token) }
            }
        };
        Ok(Self {
            request_id: request.request_id,
            tenant_id: request.tenant_id,
            selection,
            retries: small_count("retries", request.retries)?,
            variables: variables(request.variables)?,
        })
    }
}
