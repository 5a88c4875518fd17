//! Instances in the hands of people: listing, reading, setting variables, ending.

use std::collections::BTreeMap;

use engine_api::proto::cancel_instances_request::Selection;
use engine_api::proto::{
    CancelInstanceRequest, CancelInstanceResponse, CancelInstancesRequest, CancelInstancesResponse,
    GetInstanceRequest, GetInstanceResponse, InstanceFilter, InstanceState, InstanceSummary, Keys,
    ListInstancesRequest, ListInstancesResponse, OpenElement, SetVariablesRequest, SetVariablesResponse,
};
use serde_json::{Map, Value};

use super::incidents::wire_incident;
use super::{Engine, page_size, page_token, require_short, settle_races, variables};
use crate::error::Error;
use crate::runtime::definitions::CompiledDefinition;
use crate::storage::cancel::{self, Canceled};
use crate::storage::incidents::{self, Incident};
use crate::storage::instance_views::{self, Choice, Instance, Summary};
use crate::storage::request_log::{self, Request};
use crate::tenant_id::TenantId;
use crate::tenant_scope::TenantScope;
use crate::wire;

/// Instances or incidents of one call.
pub(super) const MAX_AT_ONCE: usize = 1000;
/// An instance may have any number; whoever reads one sees this many.
const MAX_INCIDENTS_SHOWN: i64 = 1000;

impl Engine {
    pub async fn get_instance(
        &self,
        tenant: &TenantScope,
        request: GetInstanceRequest,
    ) -> Result<GetInstanceResponse, Error> {
        let mut tx = self.database.tenant(tenant).await?;
        let found = instance_views::find_instance(&mut tx, request.key).await?;
        let instance = found.ok_or_else(|| no_such_instance(tenant, request.key))?;
        let incidents = incidents::list_of_instance(&mut tx, request.key, 0, MAX_INCIDENTS_SHOWN).await?;
        let state = wire_state(instance.key, instance.state)?;
        let open_elements = match state {
            InstanceState::Active => {
                let definition = self.definitions.find(&mut tx, instance.definition_key).await?;
                build_open_elements(&instance, &incidents, &definition)
            }
            _ => Vec::new(),
        };
        Ok(GetInstanceResponse {
            key: instance.key,
            process_definition_key: instance.definition_key,
            process_id: instance.process_id,
            version: instance.version,
            state: state.into(),
            variables: Some(variables::to_wire(&instance.variables)),
            incidents: incidents.into_iter().map(wire_incident).collect(),
            open_elements,
            started_at: Some(wire::timestamp(instance.started_at)),
            ended_at: instance.ended_at.map(wire::timestamp),
        })
    }

    pub async fn list_instances(
        &self,
        tenant: &TenantScope,
        request: ListInstancesRequest,
    ) -> Result<ListInstancesResponse, Error> {
        let limit = usize::try_from(page_size(request.page_size)?).unwrap_or(MAX_AT_ONCE);
        let after = page_token(&request.page_token)?;
        let choice = build_choice(&request.filter.unwrap_or_default())?;
        let mut tx = self.database.tenant(tenant).await?;
        let (page, next) = instance_views::list(&mut tx, &choice, after, limit).await?;
        Ok(ListInstancesResponse {
            instances: page.into_iter().map(wire_summary).collect::<Result<_, _>>()?,
            next_page_token: next.map(|next| next.to_string()).unwrap_or_default(),
        })
    }

    pub async fn set_variables(
        &self,
        tenant: &TenantScope,
        request: SetVariablesRequest,
    ) -> Result<SetVariablesResponse, Error> {
        let remembered = Request::of("SetVariables", &request.request_id, &request)?;
        let changes = variables::from_wire(request.variables)?;
        if changes.is_empty() {
            return Err(Error::Invalid("variables must have one or more entries".to_owned()));
        }
        let key = request.instance_key;
        settle_races(&self.keys, || self.set_variables_once(tenant, key, &changes, remembered.as_ref())).await
    }

    async fn set_variables_once(
        &self,
        tenant: &TenantScope,
        key: i64,
        changes: &Map<String, Value>,
        remembered: Option<&Request>,
    ) -> Result<SetVariablesResponse, Error> {
        let mut tx = self.database.tenant_shared(tenant).await?;
        if let Some(answer) = request_log::find_answer(&mut tx, remembered).await? {
            return Ok(answer);
        }
        let Some(mut running) = incidents::lock_running(&mut tx, &[key]).await?.pop() else {
            let ended = instance_views::find_instance(&mut tx, key).await?;
            return Err(ended.map_or_else(|| no_such_instance(tenant, key), |ended| has_ended(&ended)));
        };
        variables::merge(&mut running.variables, changes.clone());
        variables::require_small(&running.variables)?;
        incidents::update_variables(&mut tx, key, &running.variables).await?;
        let response = SetVariablesResponse {};
        request_log::record_answer(&mut tx, remembered, &response).await?;
        tx.commit().await?;
        Ok(response)
    }

    pub async fn cancel_instance(
        &self,
        tenant: &TenantScope,
        request: CancelInstanceRequest,
    ) -> Result<CancelInstanceResponse, Error> {
        let remembered = Request::of("CancelInstance", &request.request_id, &request)?;
        settle_races(&self.keys, || self.cancel_instance_once(tenant, request.key, remembered.as_ref())).await
    }

    async fn cancel_instance_once(
        &self,
        tenant: &TenantScope,
        key: i64,
        remembered: Option<&Request>,
    ) -> Result<CancelInstanceResponse, Error> {
        let mut tx = self.database.tenant_shared(tenant).await?;
        if let Some(answer) = request_log::find_answer(&mut tx, remembered).await? {
            return Ok(answer);
        }
        let canceled = cancel::cancel(&mut tx, &[key]).await?;
        if canceled.instances.is_empty() {
            match instance_views::find_instance(&mut tx, key).await? {
                None => return Err(no_such_instance(tenant, key)),
                Some(ended) if wire_state(key, ended.state)? == InstanceState::Canceled => {}
                Some(ended) => return Err(has_ended(&ended)),
            }
        }
        let response = CancelInstanceResponse {};
        request_log::record_answer(&mut tx, remembered, &response).await?;
        tx.commit().await?;
        self.tell_canceled(&canceled);
        Ok(response)
    }

    pub async fn cancel_instances(
        &self,
        tenant: &TenantScope,
        request: CancelInstancesRequest,
    ) -> Result<CancelInstancesResponse, Error> {
        let remembered = Request::of("CancelInstances", &request.request_id, &request)?;
        let after = page_token(&request.page_token)?;
        let selection = match request.selection {
            Some(Selection::Keys(keys)) => Selected::Keys(require_keys(keys)?),
            Some(Selection::Filter(filter)) => {
                if !matches!(filter.state(), InstanceState::Unspecified | InstanceState::Active) {
                    return Err(Error::Invalid("filter.state must be ACTIVE or unspecified".to_owned()));
                }
                let choice = build_choice(&filter)?;
                Selected::Running(Choice { state: ACTIVE, ..choice }, after)
            }
            None => return Err(Error::Invalid("one of keys and filter is required".to_owned())),
        };
        settle_races(&self.keys, || self.cancel_instances_once(tenant, &selection, remembered.as_ref())).await
    }

    async fn cancel_instances_once(
        &self,
        tenant: &TenantScope,
        selection: &Selected,
        remembered: Option<&Request>,
    ) -> Result<CancelInstancesResponse, Error> {
        let mut tx = self.database.tenant_shared(tenant).await?;
        if let Some(answer) = request_log::find_answer(&mut tx, remembered).await? {
            return Ok(answer);
        }
        let (keys, next, named) = match selection {
            Selected::Keys(keys) => (keys.clone(), None, true),
            Selected::Running(choice, after) => {
                let (chosen, next) = instance_views::list(&mut tx, choice, *after, MAX_AT_ONCE).await?;
                (chosen.iter().map(|chosen| chosen.key).collect(), next, false)
            }
        };
        let canceled = cancel::cancel(&mut tx, &keys).await?;
        let not_running = keys.into_iter().filter(|key| named && !canceled.instances.contains(key)).collect();
        let response = CancelInstancesResponse {
            canceled: i32::try_from(canceled.instances.len()).unwrap_or(i32::MAX),
            not_running,
            next_page_token: next.map(|next| next.to_string()).unwrap_or_default(),
        };
        request_log::record_answer(&mut tx, remembered, &response).await?;
        tx.commit().await?;
        self.tell_canceled(&canceled);
        Ok(response)
    }

    /// After the commit.
    fn tell_canceled(&self, canceled: &Canceled) {
        self.in_flight.finished(canceled.jobs.iter().copied());
        self.metrics.instances_canceled(canceled.instances.len());
    }
}

/// What a cancellation ends.
#[derive(Debug)]
enum Selected {
    Keys(Vec<i64>),
    /// Those after a key.
    Running(Choice, i64),
}

const ACTIVE: i16 = 1;

pub(super) fn require_keys(keys: Keys) -> Result<Vec<i64>, Error> {
    let asked = keys.keys.len();
    let mut keys = keys.keys;
    keys.sort_unstable();
    keys.dedup();
    if keys.is_empty() || asked > MAX_AT_ONCE || keys.len() < asked {
        return Err(Error::Invalid(format!("keys must have 1 to {MAX_AT_ONCE} entries, each once")));
    }
    Ok(keys)
}

/// A version means something within a process only.
pub(super) fn require_process(process_id: &str, version: i32) -> Result<(), Error> {
    require_short("filter.process_id", process_id, 255)?;
    if version < 0 || (version > 0 && process_id.is_empty()) {
        return Err(Error::Invalid(
            "filter.version must be 0 (all) or a version of filter.process_id".to_owned(),
        ));
    }
    Ok(())
}

fn build_choice(filter: &InstanceFilter) -> Result<Choice, Error> {
    require_process(&filter.process_id, filter.version)?;
    let state = match InstanceState::try_from(filter.state) {
        Ok(InstanceState::Unspecified) => 0,
        Ok(InstanceState::Active) => ACTIVE,
        Ok(InstanceState::Completed) => 2,
        Ok(InstanceState::Canceled) => 3,
        Err(_) => return Err(Error::Invalid("filter.state is not a state of instances".to_owned())),
    };
    Ok(Choice {
        state,
        process_id: filter.process_id.clone(),
        version: filter.version,
        has_incident: filter.has_incident,
    })
}

fn wire_state(key: i64, state: i16) -> Result<InstanceState, Error> {
    match state {
        ACTIVE => Ok(InstanceState::Active),
        2 => Ok(InstanceState::Completed),
        3 => Ok(InstanceState::Canceled),
        other => Err(Error::Defect(format!("instance {key} has state {other}"))),
    }
}

fn wire_summary(summary: Summary) -> Result<InstanceSummary, Error> {
    Ok(InstanceSummary {
        key: summary.key,
        process_definition_key: summary.definition_key,
        process_id: summary.process_id,
        version: summary.version,
        state: wire_state(summary.key, summary.state)?.into(),
        started_at: Some(wire::timestamp(summary.started_at)),
        ended_at: summary.ended_at.map(wire::timestamp),
        open_incidents: i32::try_from(summary.open_incidents).unwrap_or(i32::MAX),
    })
}

/// Where tokens wait: for jobs, at incidents without a job, and at joins.
fn build_open_elements(
    instance: &Instance,
    incidents: &[Incident],
    definition: &CompiledDefinition,
) -> Vec<OpenElement> {
    let of_job = |key: i64| incidents.iter().find(|incident| incident.job_key == Some(key));
    let jobs = instance.jobs.iter().map(|job| OpenElement {
        element_id: job.element_id.clone(),
        tokens: 1,
        job_key: job.key,
        job_type: job.job_type.clone(),
        retries: job.retries,
        incident_key: of_job(job.key).map(|incident| incident.key).unwrap_or_default(),
    });
    let held = incidents.iter().filter(|incident| incident.job_key.is_none() && incident.tokens > 0).map(
        |incident| OpenElement {
            element_id: incident.element_id.clone(),
            tokens: i32::try_from(incident.tokens).unwrap_or(i32::MAX),
            incident_key: incident.key,
            ..OpenElement::default()
        },
    );
    let process = &definition.process;
    let mut joins: BTreeMap<&str, u32> = BTreeMap::new();
    for (flow, tokens) in &instance.marking.arrived {
        if let Some(flow) = process.flow_by_id(flow) {
            let join = process.element(process.flow(flow).target);
            *joins.entry(&join.id).or_default() += tokens;
        }
    }
    let at_join =
        |id: &str| incidents.iter().find(|incident| incident.tokens == 0 && incident.element_id == id);
    let joins = joins.into_iter().map(|(id, tokens)| OpenElement {
        element_id: id.to_owned(),
        tokens: i32::try_from(tokens).unwrap_or(i32::MAX),
        incident_key: at_join(id).map(|incident| incident.key).unwrap_or_default(),
        ..OpenElement::default()
    });
    jobs.chain(held).chain(joins).collect()
}

fn no_such_instance(tenant: &TenantId, key: i64) -> Error {
    Error::NotFound(format!("tenant {tenant} has no instance {key}, or it ended long ago"))
}

fn has_ended(instance: &Instance) -> Error {
    let how = if instance.state == 2 { "completed" } else { "was canceled" };
    Error::Precondition {
        reason: "INSTANCE_ENDED",
        message: format!("instance {} {how}: only running instances can be changed", instance.key),
    }
}
