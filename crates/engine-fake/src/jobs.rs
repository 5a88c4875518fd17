//! Instances and jobs of the fake.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use super::{FakeEngine, World};
use engine_client::{
    EngineError, ErrorClass, Operation,
    model::{
        CompleteJob, DefinitionRef, FailJob, Incident, IncidentKind, Instance, InstanceState, Job, JobRef,
        StartInstance, StartedInstance, StreamJobs, Variables,
    },
};

const RETRIES: u32 = 3;

pub(super) struct FakeJob {
    pub(super) job: Job,
    pub(super) lease: Option<Lease>,
    pub(super) runnable_at: Timestamp,
}

pub(super) struct Lease {
    /// The stream that holds the job; `None` for a single activation.
    stream: Option<i64>,
}

impl FakeEngine {
    /// The instance, also a finished one.
    pub fn instance(&self, key: i64) -> Option<Instance> {
        self.world().instances.get(&key).map(|(_, instance)| instance.clone())
    }

    /// Unfinished jobs of a tenant, oldest first.
    pub fn jobs(&self, tenant_id: &str) -> Vec<Job> {
        let world = self.world();
        world
            .jobs
            .values()
            .map(|entry| &entry.job)
            .filter(|job| job.tenant_id == tenant_id)
            .cloned()
            .collect()
    }

    /// Starts one instance.
    pub async fn start_instance(&self, request: &StartInstance) -> Result<StartedInstance, EngineError> {
        let operation = Operation::StartInstance;
        self.admit(operation, &request.tenant_id).await?;
        self.change(|world| world.once(operation, &request.request_id, request, |world| world.start(request)))
    }

    /// Takes jobs as they come, with an empty batch as heartbeat.
    pub(super) async fn job_batches(
        &self,
        request: StreamJobs,
    ) -> Result<stream::BoxStream<'static, Result<Vec<Job>, EngineError>>, EngineError> {
        self.admit(Operation::StreamActivatedJobs, &request.tenant_id).await?;
        let stream_id = self.world().key();
        let engine = self.clone();
        let next = move |mut changes: watch::Receiver<u64>| {
            let (engine, request) = (engine.clone(), request.clone());
            async move {
                loop {
                    changes.borrow_and_update();
                    if let Err(error) = engine.judge_stream(Operation::StreamActivatedJobs) {
                        return Some((Err(error), changes));
                    }
                    let (jobs, heartbeat) = {
                        let mut world = engine.world();
                        let free = (request.max_in_flight as usize).saturating_sub(world.held_by(stream_id));
                        let types = (request.tenant_id.as_str(), request.job_types.as_slice());
                        (world.take(types, free, request.lease, Some(stream_id)), world.heartbeat)
                    };
                    if !jobs.is_empty() || tokio::time::timeout(heartbeat, changes.changed()).await.is_err() {
                        return Some((Ok(jobs), changes));
                    }
                }
            }
        };
        Ok(stream::unfold(self.changes.subscribe(), next).boxed())
    }

    /// Finishes a job.
    pub(super) async fn complete_job(&self, request: &CompleteJob) -> Result<(), EngineError> {
        self.admit(Operation::CompleteJob, &request.job.tenant_id).await?;
        self.change(|world| world.complete(Operation::CompleteJob, &request.job, &request.variables))
    }

    /// Gives a job back; whether that raised an incident.
    pub(super) async fn fail_job(&self, request: &FailJob) -> Result<bool, EngineError> {
        self.admit(Operation::FailJob, &request.job.tenant_id).await?;
        self.change(|world| world.fail_job(request))
    }
}

fn later(now: Timestamp, by: Duration) -> Timestamp {
    now.saturating_add(SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX)).unwrap_or(Timestamp::MAX)
}

impl World {
    fn start(&mut self, request: &StartInstance) -> Result<StartedInstance, EngineError> {
        let StartInstance { tenant_id, process_id, variables, .. } = request;
        self.tenant_at_work(Operation::StartInstance, tenant_id)?;
        let definition = self.definition(tenant_id, &DefinitionRef::LatestOf(process_id.clone()));
        let Some(definition) = definition.map(|managed| managed.definition) else {
            let message = format!("process {process_id} is not deployed for tenant {tenant_id}");
            return Err(EngineError::new(Operation::StartInstance, ErrorClass::NotFound, message));
        };
        let instance_key = self.key();
        let instance = Instance {
            key: instance_key,
            process_definition_key: definition.key,
            process_id: process_id.clone(),
            version: definition.version,
            state: InstanceState::Active,
            variables: variables.clone(),
            incidents: Vec::new(),
            open_elements: Vec::new(),
            started_at: Some(self.now),
            ended_at: None,
        };
        self.instances.insert(instance_key, (tenant_id.clone(), instance));
        for (job_type, element_id) in self.tasks(definition.key) {
            let key = self.key();
            let job = Job {
                key,
                tenant_id: tenant_id.clone(),
                job_type,
                instance_key,
                process_definition_key: definition.key,
                process_id: process_id.clone(),
                element_id,
                headers: std::collections::HashMap::new(),
                variables: variables.clone(),
                retries: RETRIES,
                lease_epoch: 0,
                lease_expires_at: self.now,
                created_at: self.now,
            };
            self.jobs.insert(key, FakeJob { job, lease: None, runnable_at: self.now });
        }
        Ok(StartedInstance { instance_key, process_definition_key: definition.key })
    }

    fn take(
        &mut self,
        (tenant_id, job_types): (&str, &[String]),
        most: usize,
        lease: Duration,
        stream: Option<i64>,
    ) -> Vec<Job> {
        let now = self.now;
        let waiting = self.jobs.values_mut().filter(|entry| {
            let leased = entry.lease.is_some() && entry.job.lease_expires_at > now;
            entry.job.tenant_id == tenant_id
                && job_types.contains(&entry.job.job_type)
                && !leased
                && entry.job.retries > 0
                && entry.runnable_at <= now
        });
        waiting
            .take(most)
            .map(|entry| {
                entry.lease = Some(Lease { stream });
                entry.job.lease_epoch += 1;
                entry.job.lease_expires_at = later(now, lease);
                entry.job.clone()
            })
            .collect()
    }

    fn held_by(&self, stream: i64) -> usize {
        self.jobs
            .values()
            .filter(|job| job.lease.as_ref().is_some_and(|lease| lease.stream == Some(stream)))
            .count()
    }

    fn held(&mut self, operation: Operation, held: &JobRef) -> Result<&mut FakeJob, EngineError> {
        let entry = self.jobs.get_mut(&held.key).filter(|entry| entry.job.tenant_id == held.tenant_id);
        let entry = entry.ok_or_else(|| {
            let message =
                format!("there is no job {}: it was completed, or its instance was canceled", held.key);
            EngineError::new(operation, ErrorClass::NotFound, message)
        })?;
        if entry.lease.is_none() || entry.job.lease_epoch != held.lease_epoch {
            let message = format!("lease {} of job {} is lost", held.lease_epoch, held.key);
            return Err(EngineError::new(operation, ErrorClass::Stale, message));
        }
        Ok(entry)
    }

    fn complete(
        &mut self,
        operation: Operation,
        job: &JobRef,
        variables: &Variables,
    ) -> Result<(), EngineError> {
        let now = self.now;
        let instance_key = self.held(operation, job)?.job.instance_key;
        self.jobs.remove(&job.key);
        let done = !self.jobs.values().any(|entry| entry.job.instance_key == instance_key);
        if let Some((_, instance)) = self.instances.get_mut(&instance_key) {
            instance.variables.extend(variables.0.clone());
            if done {
                instance.state = InstanceState::Completed;
                instance.ended_at = Some(now);
            }
        }
        Ok(())
    }

    fn fail_job(&mut self, request: &FailJob) -> Result<bool, EngineError> {
        let now = self.now;
        let incident_key = self.key();
        let entry = self.held(Operation::FailJob, &request.job)?;
        entry.lease = None;
        entry.job.retries = request.retries;
        entry.runnable_at = later(now, request.retry_backoff);
        let (instance_key, element_id) = (entry.job.instance_key, entry.job.element_id.clone());
        if request.retries > 0 {
            return Ok(false);
        }
        if let Some((_, instance)) = self.instances.get_mut(&instance_key) {
            let incident = Incident {
                key: incident_key,
                kind: Some(IncidentKind::JobNoRetries),
                element_id,
                message: request.error_message.clone(),
                raised_at: now,
                instance_key,
                process_definition_key: instance.process_definition_key,
                process_id: instance.process_id.clone(),
                version: instance.version,
                job_key: Some(request.job.key),
            };
            instance.incidents.push(incident);
        }
        Ok(true)
    }
}
