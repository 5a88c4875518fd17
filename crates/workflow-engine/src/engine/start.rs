//! Starting instances.

use engine_client::model::QuotaKind;
use engine_client::proto::{
    StartInstanceRequest, StartInstanceResponse, StartInstancesRequest, StartInstancesResponse,
};
use serde_json::{Map, Value};

use super::{Engine, require_text, settle_races, tenant_id, variables};
use crate::error::Error;
use crate::runtime::definitions::CompiledDefinition;
use crate::runtime::tokens::{self, Advance};
use crate::storage::instances::{
    self, Changes, CounterShard, IncidentRow, InstanceRow, JobRow, StartGround, Usage,
};
use crate::storage::request_log::{self, Request};
use crate::tenant_id::TenantId;
use crate::wire;

const MAX_STARTS: usize = 1000;

/// Which process, and with what.
#[derive(Debug)]
struct Start {
    tenant: TenantId,
    process_id: String,
    version: i32,
    variables: Vec<Value>,
}

impl Engine {
    pub async fn start_instance(
        &self,
        request: StartInstanceRequest,
    ) -> Result<StartInstanceResponse, Error> {
        let remembered = Request::of("StartInstance", &request.request_id, &request)?;
        let start = Start::new(&request.tenant_id, request.process_id, request.version, [request.variables])?;
        let started = settle_races(|| self.start_once(&start, remembered.as_ref())).await?;
        Ok(StartInstanceResponse {
            instance_key: started.instance_keys.first().copied().unwrap_or_default(),
            process_definition_key: started.process_definition_key,
        })
    }

    pub async fn start_instances(
        &self,
        request: StartInstancesRequest,
    ) -> Result<StartInstancesResponse, Error> {
        if request.variables.is_empty() || request.variables.len() > MAX_STARTS {
            return Err(Error::Invalid(format!(
                "variables must have 1 to {MAX_STARTS} entries, one per instance"
            )));
        }
        let remembered = Request::of("StartInstances", &request.request_id, &request)?;
        let all = request.variables.into_iter().map(Some);
        let start = Start::new(&request.tenant_id, request.process_id, request.version, all)?;
        settle_races(|| self.start_once(&start, remembered.as_ref())).await
    }

    async fn start_once(
        &self,
        start: &Start,
        request: Option<&Request>,
    ) -> Result<StartInstancesResponse, Error> {
        let mut tx = self.database.tenant_shared(&start.tenant).await?;
        if let Some(answer) = request_log::find_answer(&mut tx, request).await? {
            return Ok(answer);
        }
        let ground = instances::observe_start_ground(&mut tx, &start.process_id, start.version)
            .await?
            .ok_or_else(|| Error::unknown_tenant(start.tenant.as_str()))?;
        if ground.suspended {
            return Err(Error::suspended_tenant(start.tenant.as_str()));
        }
        let definition_key = ground.definition_key.ok_or_else(|| start.no_such_process())?;
        let starting = i64::try_from(start.variables.len()).unwrap_or(i64::MAX);
        // Cheap and not exact: whoever is far over its quota should not cost writes.
        let wanted = Usage { active_instances: ground.usage.active_instances + starting, ..ground.usage };
        require_quota(&start.tenant, &ground, wanted)?;
        let definition = self.definitions.find(&mut tx, definition_key).await?;
        let advances: Vec<Advance> = start
            .variables
            .iter()
            .map(|variables| tokens::advance_start(&definition.process, variables))
            .collect();
        let keys = self.keys.take(&mut tx, advances.iter().map(|advance| 1 + keys_of(advance)).sum()).await?;
        let changes = build_changes(&definition, &start.variables, advances, keys);
        let shard = if ground.quotas.limit_starts() { CounterShard::Exact } else { CounterShard::Any };
        let usage = instances::write_changes(&mut tx, &changes, shard).await?;
        if ground.quotas.limit_starts() {
            // The counter is locked now: what it says is exact, and refusing rolls everything back.
            require_quota(&start.tenant, &ground, usage)?;
        }
        let response = StartInstancesResponse {
            instance_keys: changes.started.iter().map(|instance| instance.key).collect(),
            process_definition_key: definition_key,
        };
        request_log::record_answer(&mut tx, request, &response).await?;
        tx.commit().await?;
        self.announce(&start.tenant, &changes);
        self.metrics.instances_started(changes.started.len());
        self.metrics.jobs_created(changes.jobs.len());
        Ok(response)
    }

    /// Wakes whoever waits for the new jobs; only after the commit, else they would look too early.
    pub(super) fn announce(&self, tenant: &TenantId, changes: &Changes) {
        self.wakeups.announce(tenant, changes.jobs.iter().map(|job| job.job_type.as_str()));
    }
}

impl Start {
    fn new(
        tenant: &str,
        process_id: String,
        version: i32,
        wire_variables: impl IntoIterator<Item = Option<prost_types::Struct>>,
    ) -> Result<Self, Error> {
        let tenant = tenant_id(tenant)?;
        require_text("process_id", &process_id, 255)?;
        if version < 0 {
            return Err(Error::Invalid("version must be 0 (the latest) or above".to_owned()));
        }
        let variables = wire_variables
            .into_iter()
            .map(|wire| {
                let object: Map<String, Value> = variables::from_wire(wire)?;
                let object = Value::Object(object);
                variables::require_small(&object)?;
                Ok(object)
            })
            .collect::<Result<Vec<_>, Error>>()?;
        Ok(Self { tenant, process_id, version, variables })
    }

    fn no_such_process(&self) -> Error {
        let version = if self.version == 0 { String::new() } else { format!(" version {}", self.version) };
        Error::NotFound(format!("tenant {} has no process {}{version}", self.tenant, self.process_id))
    }
}

/// What the tenant would use must fit its quotas; the refusal tells what it uses now.
fn require_quota(tenant: &TenantId, ground: &StartGround, wanted: Usage) -> Result<(), Error> {
    let StartGround { quotas, usage: now, .. } = ground;
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

/// Keys that a move of tokens needs beside its instance's.
pub(super) fn keys_of(advance: &Advance) -> usize {
    advance.jobs.len() + advance.incidents.len()
}

fn build_changes(
    definition: &CompiledDefinition,
    variables: &[Value],
    advances: Vec<Advance>,
    keys: Vec<i64>,
) -> Changes {
    let mut changes = Changes::default();
    let mut keys = keys.into_iter();
    for (variables, advance) in variables.iter().zip(advances) {
        let key = keys.next().unwrap_or_default();
        changes.started.push(InstanceRow {
            key,
            definition_key: definition.key,
            marking: advance.marking.clone(),
            variables: Some(variables.clone()),
            completed: advance.completed,
        });
        add_work(&mut changes, definition.key, key, advance, &mut keys);
    }
    changes
}

/// The jobs and incidents that a move of tokens left behind.
pub(super) fn add_work(
    changes: &mut Changes,
    definition_key: i64,
    instance_key: i64,
    advance: Advance,
    keys: &mut impl Iterator<Item = i64>,
) {
    for job in advance.jobs {
        changes.jobs.push(JobRow {
            key: keys.next().unwrap_or_default(),
            job_type: job.job_type,
            instance_key,
            definition_key,
            element_id: job.element_id,
            retries: job.retries,
        });
    }
    for incident in advance.incidents {
        changes.incidents.push(IncidentRow {
            key: keys.next().unwrap_or_default(),
            instance_key,
            element_id: incident.element_id,
            message: incident.message,
        });
    }
}
