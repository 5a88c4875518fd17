//! Incidents: listing, counting and resolving them.

use std::collections::{BTreeMap, BTreeSet};

use engine_api::model::{
    self, IncidentCount, IncidentFilter, IncidentKind, Page, PageRequest, ResolveIncident, ResolveIncidents,
    ResolvedIncidents, Selection, UnresolvedIncident, Variables,
};
use serde_json::{Map, Value};

use super::instances::{MAX_AT_ONCE, require_keys, require_process};
use super::start::{add_work, keys_of};
use super::{Engine, key_after, keys_after, next_token, settle_races, variables};
use crate::database::TenantTx;
use crate::error::Error;
use crate::runtime::definitions::CompiledDefinition;
use crate::runtime::tokens::{self, Advance};
use crate::storage::incidents::{self, Incident, Running};
use crate::storage::instances::{self, Changes, CounterShard, InstanceRow};
use crate::storage::request_log::{self, Remembered};
use crate::tenant_id::TenantId;
use crate::tenant_scope::TenantScope;
use crate::wire;

/// Limits memory: each instance may have a mebibyte of variables.
const INSTANCES_AT_ONCE: usize = 32;

impl Engine {
    pub async fn list_incidents(
        &self,
        tenant: &TenantScope,
        filter: &IncidentFilter,
        page: &PageRequest,
    ) -> Result<Page<model::Incident>, Error> {
        let (after, limit) = keys_after(page)?;
        let choice = Choice::new(filter)?;
        let mut tx = self.database.tenant(tenant).await?;
        let (found, next) = page_of(&mut tx, &choice, after, limit).await?;
        Ok(Page { entries: found.into_iter().map(build_incident).collect(), next })
    }

    pub async fn count_incidents(&self, tenant: &TenantScope) -> Result<Vec<IncidentCount>, Error> {
        let mut tx = self.database.tenant(tenant).await?;
        let counts = incidents::count(&mut tx).await?.into_iter().map(|count| IncidentCount {
            process_definition_key: count.definition_key,
            process_id: count.process_id,
            version: wire::number(count.version),
            open: wire::count(count.open),
        });
        Ok(counts.collect())
    }

    pub async fn resolve_incident(
        &self,
        tenant: &TenantScope,
        request: ResolveIncident,
        remembered: Option<Remembered>,
    ) -> Result<(), Error> {
        let resolution = Resolution::new(request.retries, request.variables)?;
        settle_races(&self.keys, || {
            self.resolve_incident_once(tenant, request.key, &resolution, remembered.as_ref())
        })
        .await
    }

    async fn resolve_incident_once(
        &self,
        tenant: &TenantScope,
        key: i64,
        resolution: &Resolution,
        remembered: Option<&Remembered>,
    ) -> Result<(), Error> {
        let mut tx = self.database.tenant_shared(tenant).await?;
        if let Some(answer) = request_log::find_answer(&mut tx, remembered).await? {
            return Ok(answer);
        }
        let resolved = self.resolve(&mut tx, &[key], resolution).await?;
        if let Some((_, obstacle)) = resolved.unresolved.first() {
            return Err(obstacle.error(tenant, key));
        }
        request_log::record_answer(&mut tx, remembered, &()).await?;
        tx.commit().await?;
        self.report_resolved(tenant, &resolved);
        Ok(())
    }

    pub async fn resolve_incidents(
        &self,
        tenant: &TenantScope,
        request: ResolveIncidents,
        remembered: Option<Remembered>,
    ) -> Result<ResolvedIncidents, Error> {
        let resolution = Resolution::new(request.retries, request.variables)?;
        let selection = match request.selection {
            Selection::Keys(keys) => Selected::Keys(require_keys(keys)?),
            Selection::Filter { filter, page } => {
                Selected::Open(Choice::new(&filter)?, key_after(page.as_deref().unwrap_or_default())?)
            }
        };
        settle_races(&self.keys, || {
            self.resolve_incidents_once(tenant, &selection, &resolution, remembered.as_ref())
        })
        .await
    }

    async fn resolve_incidents_once(
        &self,
        tenant: &TenantScope,
        selection: &Selected,
        resolution: &Resolution,
        remembered: Option<&Remembered>,
    ) -> Result<ResolvedIncidents, Error> {
        let mut tx = self.database.tenant_shared(tenant).await?;
        if let Some(answer) = request_log::find_answer(&mut tx, remembered).await? {
            return Ok(answer);
        }
        let (keys, next) = match selection {
            Selected::Keys(keys) => (keys.clone(), None),
            Selected::Open(choice, after) => {
                let limit = i64::try_from(MAX_AT_ONCE).unwrap_or(i64::MAX);
                let (page, next) = page_of(&mut tx, choice, *after, limit).await?;
                (page.into_iter().map(|incident| incident.key).collect(), next)
            }
        };
        let resolved = self.resolve(&mut tx, &keys, resolution).await?;
        let response = ResolvedIncidents {
            resolved: u32::try_from(resolved.keys.len()).unwrap_or(u32::MAX),
            unresolved: resolved
                .unresolved
                .iter()
                .map(|(key, obstacle)| UnresolvedIncident {
                    key: *key,
                    reason: obstacle.reason().to_owned(),
                    message: obstacle.message(tenant, *key),
                })
                .collect(),
            next,
        };
        request_log::record_answer(&mut tx, remembered, &response).await?;
        tx.commit().await?;
        self.report_resolved(tenant, &resolved);
        Ok(response)
    }

    /// Resolves each incident independently, in one transaction: an obstacle of one does not block the others. Jobs are
    /// locked before instances, in the same order as completions do.
    async fn resolve(
        &self,
        tx: &mut TenantTx,
        keys: &[i64],
        resolution: &Resolution,
    ) -> Result<Resolved, Error> {
        let named = incidents::find(tx, keys).await?;
        let jobs: Vec<i64> = named.iter().filter_map(|incident| incident.job_key).collect();
        let parked: BTreeSet<i64> = incidents::lock_parked(tx, &jobs).await?.into_iter().collect();
        let mut resolved = Resolved::default();
        let mut instances: Vec<i64> = named.iter().map(|incident| incident.instance_key).collect();
        instances.dedup();
        for slice in instances.chunks(INSTANCES_AT_ONCE) {
            let running = incidents::lock_running(tx, slice).await?;
            // Read again under the locks: from here on no other transaction can resolve them.
            let mut open: BTreeMap<i64, Vec<Incident>> = BTreeMap::new();
            let of_slice = named.iter().filter(|incident| slice.contains(&incident.instance_key));
            let of_slice: Vec<i64> = of_slice.map(|incident| incident.key).collect();
            for incident in incidents::find(tx, &of_slice).await? {
                if incident.job_key.is_none_or(|job| parked.contains(&job)) {
                    open.entry(incident.instance_key).or_default().push(incident);
                }
            }
            for instance in running {
                let incidents = open.remove(&instance.key).unwrap_or_default();
                self.resolve_in_instance(tx, instance, incidents, resolution, &mut resolved).await?;
            }
        }
        let seen: BTreeSet<i64> =
            resolved.keys.iter().chain(resolved.unresolved.iter().map(|(key, _)| key)).copied().collect();
        let unknown = keys.iter().filter(|key| !seen.contains(key));
        resolved.unresolved.extend(unknown.map(|key| (*key, Obstacle::Unknown)));
        incidents::delete(tx, &resolved.keys).await?;
        resolved.job_types = incidents::unpark(tx, &resolved.jobs, resolution.retries).await?;
        Ok(resolved)
    }

    async fn resolve_in_instance(
        &self,
        tx: &mut TenantTx,
        instance: Running,
        incidents: Vec<Incident>,
        resolution: &Resolution,
        resolved: &mut Resolved,
    ) -> Result<(), Error> {
        let mut variables = instance.variables.clone();
        variables::merge(&mut variables, resolution.variables.clone());
        if variables::require_small(&variables).is_err() {
            let too_large = incidents.iter().map(|incident| (incident.key, Obstacle::TooLarge));
            resolved.unresolved.extend(too_large);
            return Ok(());
        }
        let definition = self.definitions.find(tx, instance.definition_key).await?;
        let mut retry =
            Retry { instance: &instance, marking: instance.marking.clone(), advances: Vec::new() };
        let before = resolved.keys.len();
        for incident in incidents {
            match retry.retry_step(&incident, &definition, &variables)? {
                None => {
                    resolved.keys.push(incident.key);
                    resolved.jobs.extend(incident.job_key);
                }
                Some(obstacle) => resolved.unresolved.push((incident.key, obstacle)),
            }
        }
        if resolved.keys.len() == before {
            return Ok(());
        }
        let Retry { marking, advances, .. } = retry;
        if advances.is_empty() {
            if !resolution.variables.is_empty() {
                incidents::update_variables(tx, instance.key, &variables).await?;
            }
            return Ok(());
        }
        let mut row = InstanceRow {
            key: instance.key,
            definition_key: instance.definition_key,
            marking,
            variables: (!resolution.variables.is_empty()).then_some(variables),
            completed: advances.last().is_some_and(|advance| advance.completed),
        };
        let keys = self.keys.take(tx, advances.iter().map(keys_of).sum()).await?;
        let (mut changes, mut keys) = (Changes::default(), keys.into_iter());
        for advance in advances {
            add_work(&mut changes, &mut row, advance, &mut keys);
        }
        changes.moved.push(row);
        instances::write_changes(tx, &changes, CounterShard::NotExact).await?;
        // They are written: do not keep the variables of a thousand instances in memory.
        changes.moved.iter_mut().for_each(|row| row.variables = None);
        resolved.moved.push(changes);
        Ok(())
    }

    /// Call it after the commit.
    fn report_resolved(&self, tenant: &TenantId, resolved: &Resolved) {
        self.wakeups.announce(tenant, resolved.job_types.iter().map(String::as_str));
        self.metrics.jobs_resolved(resolved.jobs.len());
        for changes in &resolved.moved {
            self.announce(tenant, changes);
            self.metrics.jobs_created(changes.jobs.len());
            self.metrics.instances_completed(changes.moved.iter().filter(|row| row.completed).count());
        }
    }
}

/// Which incidents to resolve.
#[derive(Debug)]
enum Selected {
    Keys(Vec<i64>),
    /// Open incidents with a key greater than this.
    Open(Choice, i64),
}

/// What to change when incidents are resolved.
#[derive(Debug)]
struct Resolution {
    retries: i32,
    variables: Map<String, Value>,
}

impl Resolution {
    fn new(retries: u32, Variables(variables): Variables) -> Result<Self, Error> {
        variables::require_storable(&variables)?;
        Ok(Self { retries: wire::stored(retries), variables })
    }
}

/// Filter of open incidents.
#[derive(Debug)]
enum Choice {
    /// Process id and version; '' and 0 = any, as in the SQL statements.
    OfProcess(String, i32),
    OfInstance(i64),
}

impl Choice {
    fn new(filter: &IncidentFilter) -> Result<Self, Error> {
        let (process_id, version) = require_process(filter.process_id.as_ref(), filter.version)?;
        match filter.instance_key {
            None => Ok(Self::OfProcess(process_id, version)),
            Some(key) if process_id.is_empty() => Ok(Self::OfInstance(key)),
            Some(_) => Err(Error::Invalid(
                "filter.instance_key goes alone: an instance is of one process and version".to_owned(),
            )),
        }
    }
}

/// What one transaction resolved.
#[derive(Debug, Default)]
struct Resolved {
    keys: Vec<i64>,
    jobs: Vec<i64>,
    job_types: Vec<String>,
    moved: Vec<Changes>,
    unresolved: Vec<(i64, Obstacle)>,
}

/// Why an incident could not be resolved.
#[derive(Debug)]
enum Obstacle {
    Unknown,
    /// The step fails again with the same message.
    Remains {
        element_id: String,
        message: String,
    },
    /// Neither variables nor workers can resolve it.
    Final {
        element_id: String,
        instance_key: i64,
        message: String,
    },
    TooLarge,
}

impl Obstacle {
    fn reason(&self) -> &'static str {
        match self {
            Self::Unknown => "INCIDENT_UNKNOWN",
            Self::Remains { .. } => "INCIDENT_REMAINS",
            Self::Final { .. } => "INCIDENT_FINAL",
            Self::TooLarge => "VARIABLES_TOO_LARGE",
        }
    }

    fn message(&self, tenant: &TenantId, key: i64) -> String {
        match self {
            Self::Unknown => format!("tenant {tenant} has no open incident {key}"),
            Self::Remains { element_id, message } => format!(
                "incident {key} at {element_id} comes again: {message}; set variables with which the step works, or cancel the instance"
            ),
            Self::Final { element_id, instance_key, message } => format!(
                "incident {key} at {element_id} cannot be resolved: {message}; cancel instance {instance_key}"
            ),
            Self::TooLarge => format!(
                "incident {key} stays: with these variables its instance would have more than the limit"
            ),
        }
    }

    fn error(&self, tenant: &TenantId, key: i64) -> Error {
        let message = self.message(tenant, key);
        match self {
            Self::Unknown => Error::NotFound(message),
            Self::TooLarge => Error::Invalid(message),
            Self::Remains { .. } | Self::Final { .. } => {
                Error::Precondition { reason: self.reason(), message }
            }
        }
    }
}

/// The steps of one instance that are retried.
struct Retry<'instance> {
    instance: &'instance Running,
    marking: tokens::Marking,
    advances: Vec<Advance>,
}

impl Retry<'_> {
    /// `None` = resolved: the job can be activated again, or the tokens advanced.
    fn retry_step(
        &mut self,
        incident: &Incident,
        definition: &CompiledDefinition,
        variables: &Value,
    ) -> Result<Option<Obstacle>, Error> {
        if incident.job_key.is_some() {
            return Ok(None);
        }
        let (element_id, message) = (incident.element_id.clone(), incident.message.clone());
        if incident.tokens == 0 {
            let instance_key = self.instance.key;
            return Ok(Some(Obstacle::Final { element_id, instance_key, message }));
        }
        let held = (incident.element_id.as_str(), incident.flow_id.as_deref(), incident.tokens);
        let advance = tokens::advance_retried(&definition.process, &self.marking, held, variables)
            .map_err(|error| Error::Defect(format!("instance {}: {error}", self.instance.key)))?;
        let is_raised_again = |new: &tokens::NewIncident| {
            // A retry of a loop stops at another element.
            let is_there = new.element_id == element_id || incident.kind == IncidentKind::EndlessLoop;
            new.kind == incident.kind && new.message == message && is_there
        };
        let raised_again = advance.incidents.iter().any(is_raised_again);
        if raised_again {
            return Ok(Some(Obstacle::Remains { element_id, message }));
        }
        self.marking = advance.marking.clone();
        self.advances.push(advance);
        Ok(None)
    }
}

async fn page_of(
    tx: &mut TenantTx,
    choice: &Choice,
    after: i64,
    limit: i64,
) -> Result<(Vec<Incident>, Option<String>), Error> {
    let page = match choice {
        Choice::OfProcess(process_id, version) => {
            incidents::list(tx, process_id, *version, after, limit).await?
        }
        Choice::OfInstance(key) => incidents::list_of_instance(tx, *key, after, limit).await?,
    };
    let next = next_token(&page, limit, |last| last.key.to_string());
    Ok((page, next))
}

pub(super) fn build_incident(incident: Incident) -> model::Incident {
    model::Incident {
        key: incident.key,
        kind: Some(incident.kind),
        element_id: incident.element_id,
        message: incident.message,
        raised_at: incident.raised_at,
        instance_key: incident.instance_key,
        process_definition_key: incident.definition_key,
        process_id: incident.process_id,
        version: wire::number(incident.version),
        job_key: incident.job_key,
    }
}
