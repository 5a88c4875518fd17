//! Instances as operators use them: listing, reading, setting variables, canceling.

use std::collections::BTreeMap;

use engine_api::model::{
    self, CancelInstances, CanceledInstances, InstanceFilter, InstanceState, InstanceSummary, OpenElement,
    OpenJob, Page, PageRequest, Selection, SetVariables, Variables,
};
use serde_json::{Map, Value};

use super::incidents::build_incident;
use super::{Engine, key_after, require_short, settle_races, variables};
use crate::error::Error;
use crate::runtime::definitions::CompiledDefinition;
use crate::storage::cancel::{self, Canceled};
use crate::storage::incidents::{self, Incident};
use crate::storage::instance_views::{self, Choice, Instance, Summary};
use crate::storage::request_log::{self, Remembered};
use crate::tenant_id::TenantId;
use crate::tenant_scope::TenantScope;
use crate::wire;

/// Maximum of instances or incidents in one call.
pub(super) const MAX_AT_ONCE: usize = 1000;
/// Maximum of incidents in the answer of a read; an instance may have more.
const MAX_INCIDENTS_SHOWN: i64 = 1000;

impl Engine {
    pub async fn get_instance(&self, tenant: &TenantScope, key: i64) -> Result<model::Instance, Error> {
        let mut tx = self.database.tenant(tenant).await?;
        let found = instance_views::find_instance(&mut tx, key).await?;
        let instance = found.ok_or_else(|| no_such_instance(tenant, key))?;
        let incidents = incidents::list_of_instance(&mut tx, key, 0, MAX_INCIDENTS_SHOWN).await?;
        let state = read_state(instance.key, instance.state)?;
        let open_elements = match state {
            InstanceState::Active => {
                let definition = self.definitions.find(&mut tx, instance.definition_key).await?;
                build_open_elements(&instance, &incidents, &definition)
            }
            InstanceState::Completed | InstanceState::Canceled => Vec::new(),
        };
        Ok(model::Instance {
            key: instance.key,
            process_definition_key: instance.definition_key,
            process_id: instance.process_id,
            version: wire::number(instance.version),
            state,
            variables: Variables(variables::object(instance.variables)),
            incidents: incidents.into_iter().map(build_incident).collect(),
            open_elements,
            started_at: Some(instance.started_at),
            ended_at: instance.ended_at,
        })
    }

    pub async fn list_instances(
        &self,
        tenant: &TenantScope,
        filter: &InstanceFilter,
        page: &PageRequest,
    ) -> Result<Page<InstanceSummary>, Error> {
        let limit = usize::try_from(page.size).unwrap_or(MAX_AT_ONCE);
        let after = key_after(&page.token)?;
        let choice = build_choice(filter)?;
        let mut tx = self.database.tenant(tenant).await?;
        let (found, next) = instance_views::list(&mut tx, &choice, after, limit).await?;
        Ok(Page {
            entries: found.into_iter().map(build_summary).collect::<Result<_, _>>()?,
            next: next.map(|next| next.to_string()),
        })
    }

    pub async fn set_variables(
        &self,
        tenant: &TenantScope,
        request: SetVariables,
        remembered: Option<Remembered>,
    ) -> Result<(), Error> {
        let Variables(changes) = request.variables;
        variables::require_storable(&changes)?;
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
        remembered: Option<&Remembered>,
    ) -> Result<(), Error> {
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
        request_log::record_answer(&mut tx, remembered, &()).await?;
        tx.commit().await?;
        Ok(())
    }

    pub async fn cancel_instance(
        &self,
        tenant: &TenantScope,
        key: i64,
        remembered: Option<Remembered>,
    ) -> Result<(), Error> {
        settle_races(&self.keys, || self.cancel_instance_once(tenant, key, remembered.as_ref())).await
    }

    async fn cancel_instance_once(
        &self,
        tenant: &TenantScope,
        key: i64,
        remembered: Option<&Remembered>,
    ) -> Result<(), Error> {
        let mut tx = self.database.tenant_shared(tenant).await?;
        if let Some(answer) = request_log::find_answer(&mut tx, remembered).await? {
            return Ok(answer);
        }
        let canceled = cancel::cancel(&mut tx, &[key]).await?;
        if canceled.instances.is_empty() {
            match instance_views::find_instance(&mut tx, key).await? {
                None => return Err(no_such_instance(tenant, key)),
                Some(ended) if read_state(key, ended.state)? == InstanceState::Canceled => {}
                Some(ended) => return Err(has_ended(&ended)),
            }
        }
        request_log::record_answer(&mut tx, remembered, &()).await?;
        tx.commit().await?;
        self.report_canceled(&canceled);
        Ok(())
    }

    pub async fn cancel_instances(
        &self,
        tenant: &TenantScope,
        request: CancelInstances,
        remembered: Option<Remembered>,
    ) -> Result<CanceledInstances, Error> {
        let selection = match request.selection {
            Selection::Keys(keys) => Selected::Keys(require_keys(keys)?),
            Selection::Filter { filter, page } => {
                if !matches!(filter.state, None | Some(InstanceState::Active)) {
                    return Err(Error::Invalid("filter.state must be ACTIVE or unspecified".to_owned()));
                }
                let choice = build_choice(&filter)?;
                let after = key_after(page.as_deref().unwrap_or_default())?;
                Selected::Running(Choice { state: ACTIVE, ..choice }, after)
            }
        };
        settle_races(&self.keys, || self.cancel_instances_once(tenant, &selection, remembered.as_ref())).await
    }

    async fn cancel_instances_once(
        &self,
        tenant: &TenantScope,
        selection: &Selected,
        remembered: Option<&Remembered>,
    ) -> Result<CanceledInstances, Error> {
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
        let response = CanceledInstances {
            canceled: u32::try_from(canceled.instances.len()).unwrap_or(u32::MAX),
            not_running,
            next: next.map(|next| next.to_string()),
        };
        request_log::record_answer(&mut tx, remembered, &response).await?;
        tx.commit().await?;
        self.report_canceled(&canceled);
        Ok(response)
    }

    /// Call it after the commit.
    fn report_canceled(&self, canceled: &Canceled) {
        self.in_flight.finished(canceled.jobs.iter().copied());
        self.metrics.instances_canceled(canceled.instances.len());
    }
}

/// Which instances to cancel.
#[derive(Debug)]
enum Selected {
    Keys(Vec<i64>),
    /// Running instances with a key greater than this.
    Running(Choice, i64),
}

const ACTIVE: i16 = 1;

pub(super) fn require_keys(mut keys: Vec<i64>) -> Result<Vec<i64>, Error> {
    let asked = keys.len();
    keys.sort_unstable();
    keys.dedup();
    if keys.is_empty() || asked > MAX_AT_ONCE || keys.len() < asked {
        return Err(Error::Invalid(format!("keys must have 1 to {MAX_AT_ONCE} entries, each once")));
    }
    Ok(keys)
}

/// Process id and version of a filter; '' and 0 = any, as in the SQL statements.
pub(super) fn require_process(
    process_id: Option<&String>,
    version: Option<u32>,
) -> Result<(String, i32), Error> {
    let process_id = process_id.cloned().unwrap_or_default();
    require_short("filter.process_id", &process_id, 255)?;
    Ok((process_id, version.map_or(0, wire::stored)))
}

fn build_choice(filter: &InstanceFilter) -> Result<Choice, Error> {
    let (process_id, version) = require_process(filter.process_id.as_ref(), filter.version)?;
    let state = match filter.state {
        None => 0,
        Some(InstanceState::Active) => ACTIVE,
        Some(InstanceState::Completed) => 2,
        Some(InstanceState::Canceled) => 3,
    };
    Ok(Choice { state, process_id, version, has_incident: filter.has_incident })
}

fn read_state(key: i64, state: i16) -> Result<InstanceState, Error> {
    match state {
        ACTIVE => Ok(InstanceState::Active),
        2 => Ok(InstanceState::Completed),
        3 => Ok(InstanceState::Canceled),
        other => Err(Error::Defect(format!("instance {key} has state {other}"))),
    }
}

fn build_summary(summary: Summary) -> Result<InstanceSummary, Error> {
    Ok(InstanceSummary {
        key: summary.key,
        process_definition_key: summary.definition_key,
        process_id: summary.process_id,
        version: wire::number(summary.version),
        state: read_state(summary.key, summary.state)?,
        started_at: summary.started_at,
        ended_at: summary.ended_at,
        open_incidents: u32::try_from(summary.open_incidents.max(0)).unwrap_or(u32::MAX),
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
        job: Some(OpenJob {
            key: job.key,
            job_type: job.job_type.clone(),
            retries: wire::number(job.retries),
        }),
        incident_key: of_job(job.key).map(|incident| incident.key),
    });
    let held = incidents.iter().filter(|incident| incident.job_key.is_none() && incident.tokens > 0).map(
        |incident| OpenElement {
            element_id: incident.element_id.clone(),
            tokens: incident.tokens,
            job: None,
            incident_key: Some(incident.key),
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
        tokens,
        job: None,
        incident_key: at_join(id).map(|incident| incident.key),
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
