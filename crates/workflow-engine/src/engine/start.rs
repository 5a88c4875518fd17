//! Starting instances.

use std::collections::btree_map::{BTreeMap, Entry};
use std::sync::Arc;

use engine_api::model::{
    QuotaKind, StartInstance, StartInstances, StartedInstance, StartedInstances, Variables,
};
use futures::future::join_all;
use serde_json::Value;

use super::{Engine, require_text, settle_races, variables};
use crate::database::TenantTx;
use crate::error::Error;
use crate::runtime::definitions::CompiledDefinition;
use crate::runtime::tokens::{self, Advance};
use crate::storage::instances::{
    self, Changes, CounterShard, IncidentRow, InstanceRow, JobRow, StartContext, Usage,
};
use crate::storage::request_log::{self, Remembered};
use crate::tenant_id::TenantId;
use crate::tenant_scope::TenantScope;
use crate::wire;

const MAX_STARTS: usize = 1000;

/// A request to start instances of one process, one for each entry of `variables`.
#[derive(Debug)]
pub(super) struct Start {
    request: Option<Remembered>,
    process_id: String,
    /// 0 = the latest.
    version: i32,
    variables: Vec<Value>,
}

impl Engine {
    pub async fn start_instance(
        self: &Arc<Self>,
        tenant: &TenantScope,
        request: StartInstance,
        remembered: Option<Remembered>,
    ) -> Result<StartedInstance, Error> {
        let start = Start::new(remembered, request.process_id, request.version, [request.variables])?;
        let (engine, owner) = (Arc::clone(self), tenant.clone());
        let write = |starts| async move { engine.start_together(&owner, starts).await };
        let started = self.starting.write(tenant, start, write).await?;
        Ok(StartedInstance {
            instance_key: started.instance_keys.first().copied().unwrap_or_default(),
            process_definition_key: started.process_definition_key,
        })
    }

    pub async fn start_instances(
        &self,
        tenant: &TenantScope,
        request: StartInstances,
        remembered: Option<Remembered>,
    ) -> Result<StartedInstances, Error> {
        if request.variables.is_empty() || request.variables.len() > MAX_STARTS {
            return Err(Error::Invalid(format!(
                "variables must have 1 to {MAX_STARTS} entries, one per instance"
            )));
        }
        let start = [Start::new(remembered, request.process_id, request.version, request.variables)?];
        let started = settle_races(&self.keys, || self.start_once(tenant, &start)).await?;
        Ok(started.into_iter().next().unwrap_or_default())
    }

    /// Returns an answer for each. If the transaction of all fails, each is started alone, so that none fails because
    /// of another one.
    async fn start_together(
        &self,
        tenant: &TenantScope,
        starts: Vec<Start>,
    ) -> Vec<Result<StartedInstances, Error>> {
        match settle_races(&self.keys, || self.start_once(tenant, &starts)).await {
            Ok(started) => started.into_iter().map(Ok).collect(),
            Err(error) if starts.len() == 1 => vec![Err(error)],
            // The commit may have succeeded, so only the callers may retry.
            Err(error) if !error.is_rolled_back() => {
                starts.iter().map(|_| Err(Error::unanswered())).collect()
            }
            Err(_) => {
                join_all(starts.iter().map(async |start| {
                    let alone = std::slice::from_ref(start);
                    let started = settle_races(&self.keys, || self.start_once(tenant, alone)).await?;
                    Ok(started.into_iter().next().unwrap_or_default())
                }))
                .await
            }
        }
    }

    /// Starts all of them in one transaction, in order.
    async fn start_once(
        &self,
        tenant: &TenantScope,
        starts: &[Start],
    ) -> Result<Vec<StartedInstances>, Error> {
        let mut tx = self.database.tenant_shared(tenant).await?;
        let mut responses = Vec::with_capacity(starts.len());
        let mut changes = Changes::default();
        let mut contexts: BTreeMap<(&str, i32), StartContext> = BTreeMap::new();
        for start in starts {
            if let Some(answer) = request_log::find_answer(&mut tx, start.request.as_ref()).await? {
                responses.push(answer);
                continue;
            }
            let process = (start.process_id.as_str(), start.version);
            let context = match contexts.entry(process) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => {
                    let context = instances::observe_start_context(&mut tx, process.0, process.1).await?;
                    unknown.insert(context.ok_or_else(|| Error::unknown_tenant(tenant.as_str()))?)
                }
            };
            let response = self.add_start(&mut tx, start, context, &mut changes).await?;
            request_log::record_answer(&mut tx, start.request.as_ref(), &response).await?;
            responses.push(response);
        }
        // All contexts have the same quotas: those of the tenant.
        if let Some(context) = contexts.into_values().next() {
            let limited = context.quotas.limit_starts();
            let shard = if limited { CounterShard::Exact } else { CounterShard::Any };
            let usage = instances::write_changes(&mut tx, &changes, shard).await?;
            if limited {
                // The counter is locked now, so it is exact. An error rolls everything back.
                require_quota(tenant, &context, usage)?;
            }
        }
        tx.commit().await?;
        self.announce(tenant, &changes);
        self.metrics.instances_started(changes.started.len());
        self.metrics.jobs_created(changes.jobs.len());
        Ok(responses)
    }

    /// Adds the changes of one request.
    async fn add_start(
        &self,
        tx: &mut TenantTx,
        start: &Start,
        context: &StartContext,
        changes: &mut Changes,
    ) -> Result<StartedInstances, Error> {
        let tenant = tx.tenant().clone();
        if context.being_deleted {
            return Err(Error::tenant_being_deleted(tenant.as_str()));
        }
        if context.suspended {
            return Err(Error::suspended_tenant(tenant.as_str()));
        }
        let definition_key = context.definition_key.ok_or_else(|| start.no_such_process(&tenant))?;
        let before = changes.started.len();
        let starting = i64::try_from(before + start.variables.len()).unwrap_or(i64::MAX);
        // Cheap but not exact: refuses a tenant far over its quota before anything is written.
        let wanted = Usage { active_instances: context.usage.active_instances + starting, ..context.usage };
        require_quota(&tenant, context, wanted)?;
        let definition = self.definitions.find(tx, definition_key).await?;
        let advances: Vec<Advance> = start
            .variables
            .iter()
            .map(|variables| tokens::advance_start(&definition.process, variables))
            .collect();
        let keys = self.keys.take(tx, advances.iter().map(|advance| 1 + keys_of(advance)).sum()).await?;
        add_instances(changes, &definition, &start.variables, advances, keys);
        Ok(StartedInstances {
            instance_keys: changes.started[before..].iter().map(|instance| instance.key).collect(),
            process_definition_key: definition_key,
        })
    }

    /// Wakes the activations that wait for the new jobs. Call it after the commit, else they query too early.
    pub(super) fn announce(&self, tenant: &TenantId, changes: &Changes) {
        self.wakeups.announce(tenant, changes.jobs.iter().map(|job| job.job_type.as_str()));
    }
}

impl Start {
    fn new(
        request: Option<Remembered>,
        process_id: String,
        version: Option<u32>,
        variables: impl IntoIterator<Item = Variables>,
    ) -> Result<Self, Error> {
        require_text("process_id", &process_id, 255)?;
        let variables = variables
            .into_iter()
            .map(|Variables(fields)| {
                variables::require_storable(&fields)?;
                let object = Value::Object(fields);
                variables::require_small(&object)?;
                Ok(object)
            })
            .collect::<Result<Vec<_>, Error>>()?;
        Ok(Self { request, process_id, version: version.map_or(0, wire::stored), variables })
    }

    fn no_such_process(&self, tenant: &TenantId) -> Error {
        let version = if self.version == 0 { String::new() } else { format!(" version {}", self.version) };
        Error::NotFound(format!("tenant {tenant} has no process {}{version}", self.process_id))
    }
}

/// Checks `wanted` against the quotas. The error contains the usage without this request.
fn require_quota(tenant: &TenantId, context: &StartContext, wanted: Usage) -> Result<(), Error> {
    let StartContext { quotas, usage: now, .. } = context;
    let checks = [
        (
            QuotaKind::ActiveInstances,
            quotas.max_active_instances,
            wanted.active_instances,
            now.active_instances,
        ),
        (QuotaKind::JobsPerMinute, quotas.max_jobs_per_minute, wanted.jobs_this_minute, now.jobs_this_minute),
    ];
    for (quota, limit, wanted, current) in checks {
        if limit > 0 && wanted > limit {
            return Err(Error::Quota {
                tenant: tenant.to_string(),
                quota,
                limit: wire::count(limit),
                current: wire::count(current),
            });
        }
    }
    Ok(())
}

/// How many keys an advance needs, without the instance's own.
pub(super) fn keys_of(advance: &Advance) -> usize {
    advance.jobs.len() + advance.incidents.len()
}

fn add_instances(
    changes: &mut Changes,
    definition: &CompiledDefinition,
    variables: &[Value],
    advances: Vec<Advance>,
    keys: Vec<i64>,
) {
    let mut keys = keys.into_iter();
    for (variables, advance) in variables.iter().zip(advances) {
        let mut instance = InstanceRow {
            key: keys.next().unwrap_or_default(),
            definition_key: definition.key,
            marking: advance.marking.clone(),
            variables: Some(variables.clone()),
            completed: advance.completed,
        };
        add_work(changes, &mut instance, advance, &mut keys);
        changes.started.push(instance);
    }
}

/// Adds the jobs and incidents of an advance to `changes`, and the jobs' keys to the instance's marking.
pub(super) fn add_work(
    changes: &mut Changes,
    instance: &mut InstanceRow,
    advance: Advance,
    keys: &mut impl Iterator<Item = i64>,
) {
    let (instance_key, definition_key) = (instance.key, instance.definition_key);
    for job in advance.jobs {
        let key = keys.next().unwrap_or_default();
        instance.marking.jobs.push(key);
        changes.jobs.push(JobRow {
            key,
            job_type: job.job_type,
            instance_key,
            definition_key,
            element_id: job.element_id,
            retries: job.retries,
        });
    }
    for incident in advance.incidents {
        let key = keys.next().unwrap_or_default();
        changes.incidents.push(IncidentRow { key, instance_key, definition_key, incident });
    }
}
