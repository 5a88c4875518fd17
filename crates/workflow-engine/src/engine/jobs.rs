//! The calls of workers: activating, completing and failing jobs, and extending leases.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use engine_api::model::{ActivateJobs, CompleteJob, FailJob, Job, JobRef, Variables};
use futures::future::join_all;
use jiff::Timestamp;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::start::{add_work, keys_of};
use super::{Engine, require_text, settle_races, variables};
use crate::database::TenantTx;
use crate::error::Error;
use crate::release::{self, Defect};
use crate::runtime::definitions::CompiledDefinition;
use crate::runtime::tokens::{self, Advance};
use crate::storage::instances::{self, Changes, CounterShard, InstanceRow};
use crate::storage::jobs::{self, ActivatedJob, CompletedJob, Demand, Lease, Unseen};
use crate::storage::tenants;
use crate::tenant_id::TenantId;
use crate::tenant_scope::TenantScope;
use crate::wakeups::Subscription;
use crate::wire;

/// Needed because wake-ups can be lost (a replica dies between commit and notify), and because the end of a backoff or
/// a lease causes none.
pub const POLL_INTERVAL: Duration = Duration::from_secs(1);
const MAX_JOBS: u32 = 1000;
const MAX_JOB_TYPES: usize = 100;
const MAX_MESSAGE_CHARS: usize = 1024;
/// Below the 4 MiB that clients accept. The jobs that do not fit are released.
const MAX_ANSWER_BYTES: usize = 3 << 20;
/// What a version that was made slow for tests takes for each job.
const SLOW: Duration = Duration::from_secs(1);

/// Validates the parameters of an activation.
pub fn build_demand(
    job_types: Vec<String>,
    worker: String,
    max_jobs: u32,
    lease: Duration,
) -> Result<Demand, Error> {
    if job_types.is_empty() || job_types.len() > MAX_JOB_TYPES {
        return Err(Error::Invalid(format!("job_types must have 1 to {MAX_JOB_TYPES} entries")));
    }
    for job_type in &job_types {
        require_text("job_types", job_type, 255)?;
    }
    require_text("worker", &worker, 255)?;
    let max_jobs = match max_jobs {
        1..=MAX_JOBS => usize::try_from(max_jobs).unwrap_or_default(),
        _ => return Err(Error::Invalid(format!("the number of jobs must be 1 to {MAX_JOBS}"))),
    };
    // Removes duplicates, else the query would search a type twice.
    let job_types = job_types.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
    Ok(Demand { job_types, worker, max_jobs, lease })
}

impl Engine {
    /// Long poll: answers when there are jobs, when the wait is over, or when the node stops.
    pub async fn activate(&self, tenant: &TenantScope, request: ActivateJobs) -> Result<Vec<Job>, Error> {
        let demand = build_demand(request.job_types, request.worker, request.max_jobs, request.lease)?;
        if self.drain.is_cancelled() {
            return Err(Error::ShuttingDown);
        }
        let deadline = Instant::now() + request.wait;
        // Before the first query, so that no wake-up between query and wait is missed.
        let mut wakeups = self.wakeups.subscribe(tenant, &demand.job_types);
        let mut waiter = None;
        loop {
            let activated = self.activate_once(tenant, &demand).await?;
            if activated.is_empty() && waiter.is_none() && !request.wait.is_zero() {
                waiter = Some(self.waiting.enter(tenant)?);
            }
            if !activated.is_empty() || !self.await_work(&mut wakeups, deadline).await? {
                return Ok(activated.into_iter().map(|activated| activated.job).collect());
            }
        }
    }

    /// False when the deadline has passed or the node stops.
    async fn await_work(&self, wakeups: &mut Subscription, deadline: Instant) -> Result<bool, Error> {
        if Instant::now() >= deadline {
            return Ok(false);
        }
        let poll = tokio::time::sleep_until(deadline.min(Instant::now() + POLL_INTERVAL));
        tokio::select! {
            () = wakeups.notified() => Ok(true),
            () = poll => Ok(true),
            () = self.drain.cancelled() => Ok(false),
            withdrawn = self.permission.withdrawn() => Err(withdrawn),
        }
    }

    /// One query, without waiting.
    pub async fn activate_once(
        &self,
        tenant: &TenantScope,
        demand: &Demand,
    ) -> Result<Vec<Activated>, Error> {
        self.permission.require()?;
        let mut tx = self.database.tenant(tenant).await?;
        let mut rows = jobs::activate_jobs(&mut tx, demand).await?;
        if rows.is_empty() {
            // Only when there are no jobs, so that a busy tenant does not pay for this query.
            let known = tenants::find_tenant(&mut tx).await?;
            let known = known.ok_or_else(|| Error::unknown_tenant(tenant.as_str()))?;
            tx.commit().await?;
            return if known.being_deleted {
                Err(Error::tenant_being_deleted(tenant.as_str()))
            } else if known.suspended {
                Err(Error::suspended_tenant(tenant.as_str()))
            } else {
                Ok(Vec::new())
            };
        }
        let fitting = count_fitting(&rows);
        let overflowing: Vec<Unseen> = rows.drain(fitting..).map(|row| row.unseen()).collect();
        if !overflowing.is_empty() {
            jobs::release_unseen(&mut tx, &overflowing).await?;
        }
        let mut activated = Vec::with_capacity(rows.len());
        for row in rows {
            let definition = self.definitions.find(&mut tx, row.definition_key).await?;
            let waited_since = row.waited_since;
            activated.push(Activated { job: build_job(tenant, row, &definition), waited_since });
        }
        tx.commit().await?;
        self.metrics.jobs_activated(activated.len());
        Ok(activated)
    }

    /// Undoes the activation of jobs that were not sent to a worker.
    pub async fn release(&self, tenant: &TenantScope, activated: &[Activated]) -> Result<(), Error> {
        let unseen: Vec<Unseen> = activated.iter().map(Activated::unseen).collect();
        let mut tx = self.database.tenant(tenant).await?;
        jobs::release_unseen(&mut tx, &unseen).await?;
        tx.commit().await?;
        self.wakeups.announce(tenant, activated.iter().map(|activated| activated.job.job_type.as_str()));
        Ok(())
    }

    pub async fn complete(self: &Arc<Self>, tenant: &TenantScope, request: CompleteJob) -> Result<(), Error> {
        let (key, epoch) = (request.job.key, request.job.lease_epoch);
        let (engine, owner) = (Arc::clone(self), tenant.clone());
        let write = |completions| async move { engine.complete_together(&owner, completions).await };
        if self.completing.write(tenant, build_completion(request)?, write).await? {
            return Ok(());
        }
        let mut tx = self.database.tenant(tenant).await?;
        Err(why_lost(&mut tx, key, epoch).await)
    }

    /// For each job, whether its lease was held. If the transaction of all fails, each job is completed alone, so that
    /// none fails because of another one's variables.
    async fn complete_together(
        &self,
        tenant: &TenantScope,
        completions: Vec<(i64, Completion)>,
    ) -> Vec<Result<bool, Error>> {
        let together: BTreeMap<i64, Completion> = completions.iter().cloned().collect();
        // Two workers may complete the same job.
        if together.len() == completions.len() {
            match settle_races(&self.keys, || self.complete_once(tenant, &together)).await {
                Ok(lost) => return completions.iter().map(|(key, _)| Ok(!lost.contains(key))).collect(),
                Err(error) if completions.len() == 1 => return vec![Err(error)],
                // The commit may have succeeded, so only the callers may retry.
                Err(error) if !error.is_rolled_back() => {
                    return completions.iter().map(|_| Err(Error::unanswered())).collect();
                }
                Err(_) => {}
            }
        }
        join_all(completions.into_iter().map(async |completion| {
            let alone = BTreeMap::from([completion]);
            settle_races(&self.keys, || self.complete_once(tenant, &alone)).await.map(|lost| lost.is_empty())
        }))
        .await
    }

    /// Returns the keys of the jobs whose lease was lost.
    pub async fn complete_many(
        &self,
        tenant: &TenantScope,
        jobs: Vec<CompleteJob>,
    ) -> Result<Vec<i64>, Error> {
        if jobs.is_empty() || jobs.len() > 1000 {
            return Err(Error::Invalid("jobs must have 1 to 1000 entries".to_owned()));
        }
        let asked = jobs.len();
        let completions: BTreeMap<i64, Completion> =
            jobs.into_iter().map(build_completion).collect::<Result<_, _>>()?;
        if completions.len() < asked {
            return Err(Error::Invalid("jobs must name each key once".to_owned()));
        }
        settle_races(&self.keys, || self.complete_once(tenant, &completions)).await
    }

    /// Deletes the jobs and advances their tokens in one transaction. Returns the keys of the jobs whose lease was
    /// lost.
    async fn complete_once(
        &self,
        tenant: &TenantScope,
        completions: &BTreeMap<i64, Completion>,
    ) -> Result<Vec<i64>, Error> {
        match release::defect() {
            Some(Defect::FailsWork) => {
                return Err(Error::Defect(
                    "this version was made for a test: it completes no job".to_owned(),
                ));
            }
            Some(Defect::Slow) => tokio::time::sleep(SLOW).await,
            Some(Defect::Crashes | Defect::NeverReady) | None => {}
        }
        let mut tx = self.database.tenant(tenant).await?;
        let keys: Vec<i64> = completions.keys().copied().collect();
        let epochs: Vec<i64> = completions.values().map(|completion| completion.lease_epoch).collect();
        let jobs::Completed { jobs: done, bytes } = jobs::delete_completed(&mut tx, &keys, &epochs).await?;
        if done.is_empty() {
            return Ok(keys);
        }
        let mut moves = Vec::new();
        for jobs in done.chunk_by(|a, b| a.instance_key == b.instance_key) {
            let definition = self.definitions.find(&mut tx, jobs[0].definition_key).await?;
            moves.push(build_move(jobs, &definition, completions)?);
        }
        let count = moves.iter().flat_map(|moved| &moved.advances).map(keys_of).sum();
        let keys_of_work = self.keys.take(&mut tx, count).await?;
        let changes = Changes { freed_bytes: bytes, ..build_changes(moves, keys_of_work) };
        instances::write_changes(&mut tx, &changes, CounterShard::NotExact).await?;
        tx.commit().await?;
        self.announce(tenant, &changes);
        self.in_flight.finished(done.iter().map(|job| job.key));
        self.metrics.jobs_completed(done.len());
        self.metrics.jobs_created(changes.jobs.len());
        self.metrics.instances_completed(changes.moved.iter().filter(|row| row.completed).count());
        let done: BTreeSet<i64> = done.iter().map(|job| job.key).collect();
        Ok(keys.into_iter().filter(|key| !done.contains(key)).collect())
    }

    /// Returns whether it raised an incident.
    pub async fn fail(&self, tenant: &TenantScope, request: FailJob) -> Result<bool, Error> {
        let (key, epoch, backoff) = (request.job.key, request.job.lease_epoch, request.retry_backoff);
        let retries = wire::stored(request.retries);
        let message: String = printable(&request.error_message);
        let incident = retries == 0;
        let record = async || {
            let mut tx = self.database.tenant(tenant).await?;
            let job_type = if incident {
                let incident_key = self.keys.take(&mut tx, 1).await?.remove(0);
                jobs::record_incident(&mut tx, key, epoch, incident_key, &message).await?
            } else {
                jobs::record_failure(&mut tx, key, epoch, retries, backoff).await?
            };
            let Some(job_type) = job_type else { return Err(why_lost(&mut tx, key, epoch).await) };
            tx.commit().await?;
            Ok(job_type)
        };
        let job_type = settle_races(&self.keys, record).await?;
        if !incident && backoff.is_zero() {
            self.wakeups.announce(tenant, [job_type.as_str()]);
        }
        self.in_flight.finished([key]);
        self.metrics.jobs_failed(incident);
        Ok(incident)
    }

    /// Returns the new end of the lease.
    pub async fn extend(
        &self,
        tenant: &TenantScope,
        job: &JobRef,
        lease: Duration,
    ) -> Result<Timestamp, Error> {
        let mut tx = self.database.tenant(tenant).await?;
        let extended = jobs::extend_lease(&mut tx, job.key, job.lease_epoch, lease).await?;
        let Some(expires_at) = extended else {
            return Err(why_lost(&mut tx, job.key, job.lease_epoch).await);
        };
        tx.commit().await?;
        Ok(expires_at)
    }
}

/// A job that was activated.
#[derive(Debug)]
pub struct Activated {
    pub job: Job,
    /// Since when it could be activated. Restored when it is released unseen.
    waited_since: Timestamp,
}

impl Activated {
    fn unseen(&self) -> Unseen {
        Unseen { key: self.job.key, lease_epoch: self.job.lease_epoch, waited_since: self.waited_since }
    }
}

/// Lease epoch and variables with which a worker completes a job.
#[derive(Debug, Clone)]
pub struct Completion {
    lease_epoch: i64,
    variables: Map<String, Value>,
}

fn build_completion(request: CompleteJob) -> Result<(i64, Completion), Error> {
    let CompleteJob { job, variables: Variables(variables) } = request;
    variables::require_storable(&variables)?;
    Ok((job.key, Completion { lease_epoch: job.lease_epoch, variables }))
}

/// The changes of one instance in one transaction.
#[derive(Debug)]
struct Move {
    instance: InstanceRow,
    advances: Vec<Advance>,
}

/// `jobs` must not be empty, and all must be of one instance.
fn build_move(
    jobs: &[CompletedJob],
    definition: &CompiledDefinition,
    completions: &BTreeMap<i64, Completion>,
) -> Result<Move, Error> {
    let CompletedJob { instance_key, mut marking, mut variables, .. } = jobs[0].clone();
    let mut advances = Vec::with_capacity(jobs.len());
    let mut variables_changed = false;
    for job in jobs {
        if let Some(completion) =
            completions.get(&job.key).filter(|completion| !completion.variables.is_empty())
        {
            variables::merge(&mut variables, completion.variables.clone());
            variables::require_small(&variables)?;
            variables_changed = true;
        }
        marking.jobs.retain(|key| *key != job.key);
        let advance = tokens::advance_completed(&definition.process, &marking, &job.element_id, &variables)
            .map_err(|error| Error::Defect(format!("instance {instance_key}: {error}")))?;
        marking = advance.marking.clone();
        advances.push(advance);
    }
    let completed = advances.last().is_some_and(|advance| advance.completed);
    let instance = InstanceRow {
        key: instance_key,
        definition_key: definition.key,
        marking,
        variables: variables_changed.then_some(variables),
        completed,
    };
    Ok(Move { instance, advances })
}

fn build_changes(moves: Vec<Move>, keys: Vec<i64>) -> Changes {
    let mut changes = Changes::default();
    let mut keys = keys.into_iter();
    for Move { mut instance, advances } in moves {
        for advance in advances {
            add_work(&mut changes, &mut instance, advance, &mut keys);
        }
        changes.moved.push(instance);
    }
    changes
}

async fn why_lost(tx: &mut TenantTx, key: i64, epoch: i64) -> Error {
    match jobs::observe_lease(tx, key, epoch).await {
        Ok(Lease::NoJob) => Error::NotFound(format!(
            "tenant {} has no job {key}: it was completed, or its instance was canceled",
            tx.tenant()
        )),
        Ok(Lease::Lost | Lease::Held) => {
            Error::Stale(format!("the lease of job {key} was lost: the job is another's or waits again"))
        }
        Err(error) => error.into(),
    }
}

/// How many of the jobs fit one answer; at least one.
fn count_fitting(rows: &[ActivatedJob]) -> usize {
    const JOB_OVERHEAD: usize = 1024;
    let mut left = MAX_ANSWER_BYTES;
    rows.iter()
        .take_while(|row| {
            let needs = JOB_OVERHEAD + variables::bytes(&row.variables);
            let fits = needs <= left;
            left = left.saturating_sub(needs);
            fits
        })
        .count()
        .max(1)
}

fn printable(message: &str) -> String {
    message
        .chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .take(MAX_MESSAGE_CHARS)
        .collect()
}

fn build_job(tenant: &TenantId, row: ActivatedJob, definition: &CompiledDefinition) -> Job {
    let task =
        definition.process.element_by_id(&row.element_id).map(|index| definition.process.element(index));
    let headers = match task.map(|element| &element.kind) {
        Some(bpmn::ElementKind::ServiceTask(task)) => {
            task.headers.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
        }
        _ => std::collections::HashMap::new(),
    };
    Job {
        key: row.key,
        tenant_id: tenant.to_string(),
        job_type: row.job_type,
        instance_key: row.instance_key,
        process_definition_key: row.definition_key,
        process_id: definition.process_id.clone(),
        element_id: row.element_id,
        headers,
        variables: Variables(variables::object(row.variables)),
        retries: wire::number(row.retries),
        lease_epoch: row.lease_epoch,
        lease_expires_at: row.lease_expires_at,
        created_at: row.created_at,
    }
}
