//! The calls of workers, and of whoever starts work.

use std::time::Duration;

use engine_api::{
    convert::wire_duration,
    proto::{
        CompleteJobRequest, CompleteJobsRequest, ExtendJobRequest, GetInstanceRequest, StartInstanceRequest,
        StartInstancesRequest, job_service_client::JobServiceClient,
    },
};
use futures::{
    StreamExt as _, TryStreamExt as _,
    stream::{self, BoxStream},
};
use jiff::Timestamp;

use super::{
    EngineClient,
    controller::{convert, maybe},
};
use crate::{
    EngineError, Operation,
    model::{
        ActivateJobs, CompleteJob, FailJob, Instance, Job, JobRef, StartInstance, StartInstances,
        StartedInstance, StartedInstances, StreamJobs,
    },
};

/// Jobs as they come. Ends with an error, always.
pub type JobStream = BoxStream<'static, Result<Job, EngineError>>;

impl EngineClient {
    /// Starts one instance.
    pub async fn start_instance(&self, request: &StartInstance) -> Result<StartedInstance, EngineError> {
        let operation = Operation::StartInstance;
        let ask = StartInstanceRequest::try_from(request)
            .map_err(|variables| EngineError::too_precise(operation, &variables))?;
        let answer = self
            .write(operation, self.timeouts.write, ask, |channel, request| async {
                JobServiceClient::new(channel).start_instance(request).await
            })
            .await?;
        Ok(answer.into())
    }

    /// Starts up to 1000 instances of one process, all or none.
    pub async fn start_instances(&self, request: &StartInstances) -> Result<StartedInstances, EngineError> {
        let operation = Operation::StartInstances;
        let ask = StartInstancesRequest::try_from(request)
            .map_err(|variables| EngineError::too_precise(operation, &variables))?;
        let answer = self
            .write(operation, self.timeouts.write, ask, |channel, request| async {
                JobServiceClient::new(channel).start_instances(request).await
            })
            .await?;
        Ok(answer.into())
    }

    /// Takes waiting jobs; waits for the first one at most `request.wait`.
    pub async fn activate_jobs(&self, request: &ActivateJobs) -> Result<Vec<Job>, EngineError> {
        let operation = Operation::ActivateJobs;
        let deadline = self.timeouts.write.saturating_add(request.wait);
        let answer = self
            .write(operation, deadline, request.into(), |channel, request| async {
                JobServiceClient::new(channel).activate_jobs(request).await
            })
            .await?;
        convert(operation, answer)
    }

    /// Takes jobs as they come, never more than `request.max_in_flight` unfinished ones.
    pub async fn stream_activated_jobs(&self, request: &StreamJobs) -> Result<JobStream, EngineError> {
        let ask: engine_api::proto::StreamActivatedJobsRequest = request.into();
        let batches = self
            .open::<_, _, Vec<Job>, _>(Operation::StreamActivatedJobs, ask, |channel, request| async {
                JobServiceClient::new(channel).stream_activated_jobs(request).await
            })
            .await?;
        Ok(batches.map_ok(|jobs| stream::iter(jobs).map(Ok)).try_flatten().boxed())
    }

    /// Finishes a job. A lost lease is [`ErrorClass::Stale`](crate::ErrorClass::Stale): the work was not counted. A job
    /// that is finished already is [`ErrorClass::NotFound`](crate::ErrorClass::NotFound).
    pub async fn complete_job(&self, request: &CompleteJob) -> Result<(), EngineError> {
        let operation = Operation::CompleteJob;
        let ask = CompleteJobRequest::try_from(request)
            .map_err(|variables| EngineError::too_precise(operation, &variables))?;
        self.write(operation, self.timeouts.write, ask, |channel, request| async {
            JobServiceClient::new(channel).complete_job(request).await
        })
        .await
        .map(drop)
    }

    /// Finishes 1 to 1000 jobs of one tenant; gives the keys of those whose lease was lost.
    pub async fn complete_jobs(
        &self,
        tenant_id: &str,
        jobs: &[CompleteJob],
    ) -> Result<Vec<i64>, EngineError> {
        let operation = Operation::CompleteJobs;
        let jobs = jobs.iter().map(CompleteJobRequest::try_from).collect::<Result<_, _>>();
        let jobs = jobs.map_err(|variables| EngineError::too_precise(operation, &variables))?;
        let ask = CompleteJobsRequest { tenant_id: tenant_id.to_owned(), jobs };
        let answer = self
            .write(operation, self.timeouts.write, ask, |channel, request| async {
                JobServiceClient::new(channel).complete_jobs(request).await
            })
            .await?;
        Ok(answer.lost)
    }

    /// Gives a job back; whether that raised an incident.
    pub async fn fail_job(&self, request: &FailJob) -> Result<bool, EngineError> {
        let answer = self
            .write(Operation::FailJob, self.timeouts.write, request.into(), |channel, request| async {
                JobServiceClient::new(channel).fail_job(request).await
            })
            .await?;
        Ok(answer.incident)
    }

    /// Prolongs a lease to `lease` from now; gives its new end.
    pub async fn extend_job(&self, job: &JobRef, lease: Duration) -> Result<Timestamp, EngineError> {
        let operation = Operation::ExtendJob;
        let ask = ExtendJobRequest {
            tenant_id: job.tenant_id.clone(),
            key: job.key,
            lease_epoch: job.lease_epoch,
            lease: Some(wire_duration(lease)),
        };
        let answer = self
            .write(operation, self.timeouts.write, ask, |channel, request| async {
                JobServiceClient::new(channel).extend_job(request).await
            })
            .await?;
        convert(operation, answer)
    }

    /// Where an instance stands.
    pub async fn get_instance(&self, tenant_id: &str, key: i64) -> Result<Option<Instance>, EngineError> {
        let operation = Operation::GetInstance;
        let ask = GetInstanceRequest { tenant_id: tenant_id.to_owned(), key };
        let answer = self
            .read(operation, self.timeouts.read, ask, |channel, request| async {
                JobServiceClient::new(channel).get_instance(request).await
            })
            .await;
        maybe(answer)?.map(|answer| convert(operation, answer)).transpose()
    }
}
