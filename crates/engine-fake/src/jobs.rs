//! Instances and jobs of the fake.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use super::{FakeEngine, World, refusal};
use engine_client::{
    EngineError, ErrorClass, JobStream, Operation,
    model::{
        ActivateJobs, CompleteJob, DefinitionRef, FailJob, Incident, Instance, InstanceState, Job, JobRef,
        StartInstance, StartInstances, StartedInstance, StartedInstances, StreamJobs, Variables,
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
        self.change(|world| {
            world.once(operation, &request.request_id, request, |world| {
                let process = (request.tenant_id.as_str(), request.process_id.as_str(), request.version);
                let all = std::slice::from_ref(&request.variables);
                let StartedInstances { instance_keys, process_definition_key } =
                    world.start(operation, process, all)?;
                Ok(StartedInstance { instance_key: instance_keys[0], process_definition_key })
            })
        })
    }

    /// Starts many instances.
    pub async fn start_instances(&self, request: &StartInstances) -> Result<StartedInstances, EngineError> {
        let operation = Operation::StartInstances;
        self.admit(operation, &request.tenant_id).await?;
        self.change(|world| {
            world.once(operation, &request.request_id, request, |world| {
                let process = (request.tenant_id.as_str(), request.process_id.as_str(), request.version);
                world.start(operation, process, &request.variables)
            })
        })
    }

    /// Takes waiting jobs; never waits.
    pub async fn activate_jobs(&self, request: &ActivateJobs) -> Result<Vec<Job>, EngineError> {
        self.admit(Operation::ActivateJobs, &request.tenant_id).await?;
        let types = (request.tenant_id.as_str(), request.job_types.as_slice());
        self.change(|world| {
            world.tenant_not_suspended(Operation::ActivateJobs, &request.tenant_id)?;
            Ok(world.take(types, request.max_jobs as usize, request.lease, None))
        })
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

    /// Takes jobs as they come.
    pub async fn stream_activated_jobs(&self, request: &StreamJobs) -> Result<JobStream, EngineError> {
        let batches = self.job_batches(request.clone()).await?;
        let jobs = batches.flat_map(|batch| match batch {
            Ok(jobs) => stream::iter(jobs.into_iter().map(Ok).collect::<Vec<_>>()),
            Err(error) => stream::iter(vec![Err(error)]),
        });
        Ok(jobs.boxed())
    }

    /// Finishes a job.
    pub async fn complete_job(&self, request: &CompleteJob) -> Result<(), EngineError> {
        self.admit(Operation::CompleteJob, &request.job.tenant_id).await?;
        self.change(|world| world.complete(Operation::CompleteJob, &request.job, &request.variables))
    }

    /// Finishes many jobs; gives the keys of those whose lease was lost.
    pub async fn complete_jobs(
        &self,
        tenant_id: &str,
        jobs: &[CompleteJob],
    ) -> Result<Vec<i64>, EngineError> {
        self.admit(Operation::CompleteJobs, tenant_id).await?;
        Ok(self.change(|world| {
            let mut lost = Vec::new();
            for CompleteJob { job, variables } in jobs {
                let job = JobRef { tenant_id: tenant_id.to_owned(), ..job.clone() };
                if world.complete(Operation::CompleteJobs, &job, variables).is_err() {
                    lost.push(job.key);
                }
            }
            lost
        }))
    }

    /// Gives a job back; whether that raised an incident.
    pub async fn fail_job(&self, request: &FailJob) -> Result<bool, EngineError> {
        self.admit(Operation::FailJob, &request.job.tenant_id).await?;
        self.change(|world| world.fail_job(request))
    }

    /// Prolongs a lease.
    pub async fn extend_job(&self, job: &JobRef, lease: Duration) -> Result<Timestamp, EngineError> {
        self.admit(Operation::ExtendJob, &job.tenant_id).await?;
        self.change(|world| {
            let expires_at = later(world.now, lease);
            world.held(Operation::ExtendJob, job)?.job.lease_expires_at = expires_at;
            Ok(expires_at)
        })
    }

    /// Where an instance stands.
    pub async fn get_instance(&self, tenant_id: &str, key: i64) -> Result<Option<Instance>, EngineError> {
        self.admit(Operation::GetInstance, tenant_id).await?;
        Ok(self.world().shown_instance(tenant_id, key))
    }
}

fn later(now: Timestamp, by: Duration) -> Timestamp {
    now.saturating_add(SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX)).unwrap_or(Timestamp::MAX)
}

impl World {
    fn tenant_not_suspended(&self, operation: Operation, tenant_id: &str) -> Result<(), EngineError> {
        if self.tenant_at_work(operation, tenant_id)?.suspended {
            return Err(refusal(operation, "TENANT_SUSPENDED", format!("tenant {tenant_id} is suspended")));
        }
        Ok(())
    }

    fn start(
        &mut self,
        operation: Operation,
        (tenant_id, process_id, version): (&str, &str, Option<u32>),
        all_variables: &[Variables],
    ) -> Result<StartedInstances, EngineError> {
        self.tenant_not_suspended(operation, tenant_id)?;
        let definition = match version {
            None => self.definition(tenant_id, &DefinitionRef::LatestOf(process_id.to_owned())),
            Some(version) => {
                let mut all = self.definitions(tenant_id);
                let key = all.find(|d| d.process_id == process_id && d.version == version).map(|d| d.key);
                key.and_then(|key| self.definition(tenant_id, &DefinitionRef::Key(key)))
            }
        };
        let Some(definition) = definition.map(|managed| managed.definition) else {
            let message = format!("process {process_id} is not deployed for tenant {tenant_id}");
            return Err(EngineError::new(operation, ErrorClass::NotFound, message));
        };
        let instance_keys = all_variables.iter().map(|variables| {
            let key = self.key();
            let instance = Instance {
                key,
                process_definition_key: definition.key,
                process_id: process_id.to_owned(),
                version: definition.version,
                state: InstanceState::Active,
                variables: variables.clone(),
                incidents: Vec::new(),
                open_elements: Vec::new(),
                started_at: Some(self.now),
                ended_at: None,
            };
            self.instances.insert(key, (tenant_id.to_owned(), instance));
            for job_type in &definition.job_types {
                let job_key = self.key();
                let job = Job {
                    key: job_key,
                    tenant_id: tenant_id.to_owned(),
                    job_type: job_type.clone(),
                    instance_key: key,
                    process_definition_key: definition.key,
                    process_id: process_id.to_owned(),
                    element_id: job_type.clone(),
                    headers: std::collections::BTreeMap::new(),
                    variables: variables.clone(),
                    retries: RETRIES,
                    lease_epoch: 0,
                    lease_expires_at: self.now,
                    created_at: self.now,
                };
                self.jobs.insert(job_key, FakeJob { job, lease: None, runnable_at: self.now });
            }
            key
        });
        let instance_keys = instance_keys.collect();
        Ok(StartedInstances { instance_keys, process_definition_key: definition.key })
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
