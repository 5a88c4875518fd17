//! The loop around a job: take, work, complete or fail; reconnect when the engine goes away; drain on shutdown.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use backon::{BackoffBuilder as _, ExponentialBuilder, Retryable as _};
use engine_client::{
    Credential, EngineAccess, EngineAddress, EngineClient, EngineError, EnginePool, EngineTls, ErrorClass,
    Timeouts,
    model::{CompleteJob, FailJob, Job, StreamJobs},
};
use futures::StreamExt as _;
use tokio::{
    fs::read_to_string,
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::{args::Args, payment};

/// What is left of a lease when the work is done: time enough to tell the engine, also over a restart of it.
const LEASE_RESERVE: Duration = Duration::from_secs(30);

struct Worker {
    args: Args,
    pool: EnginePool,
    /// One permit per job at work: a new stream must not add to the jobs of the former one.
    slots: Arc<Semaphore>,
    at_work: TaskTracker,
}

/// Serves jobs until `shutdown`, then finishes those at work for at most the grace period.
pub(crate) async fn run(args: Args, shutdown: impl Future<Output = ()>) {
    let worker = Worker {
        pool: EnginePool::new(Timeouts::default()),
        slots: Arc::new(Semaphore::new(args.max_in_flight.into())),
        at_work: TaskTracker::new(),
        args,
    };
    info!(job_types = ?worker.args.job_types, tenant = worker.args.tenant, "worker starts");
    tokio::select! {
        () = shutdown => {}
        () = worker.serve() => {}
    }
    // The stream is gone by now: no new job comes.
    worker.at_work.close();
    info!(jobs = worker.at_work.len(), "worker drains");
    if timeout(worker.args.grace, worker.at_work.wait()).await.is_err() {
        warn!(jobs = worker.at_work.len(), "grace period is over: the engine gives these jobs to others");
    }
}

impl Worker {
    /// Never ends: an engine that is gone comes back.
    async fn serve(&self) {
        let fast_then_slow = ExponentialBuilder::new()
            .with_jitter()
            .with_min_delay(Duration::from_millis(200))
            .with_max_delay(Duration::from_secs(10))
            .without_max_times();
        let mut delays = fast_then_slow.build();
        loop {
            let mut took_jobs = false;
            let Err(error) = self.take_jobs(&mut took_jobs).await;
            if took_jobs {
                delays = fast_then_slow.build();
            }
            let delay = delays.next().unwrap_or_default();
            warn!(error = format!("{error:#}"), ?delay, "no jobs for now");
            sleep(delay).await;
        }
    }

    async fn take_jobs(&self, took_jobs: &mut bool) -> anyhow::Result<std::convert::Infallible> {
        let client = self.connect().await?;
        let request = StreamJobs {
            tenant_id: self.args.tenant.clone(),
            job_types: self.args.job_types.clone(),
            worker: self.args.worker_name.clone(),
            max_in_flight: self.args.max_in_flight.into(),
            lease: self.args.work_duration + LEASE_RESERVE,
        };
        let mut jobs = client.stream_activated_jobs(&request).await?;
        info!("connected");
        loop {
            let job = jobs.next().await.context("stream should end with an error")??;
            *took_jobs = true;
            let slot = Arc::clone(&self.slots).acquire_owned().await?;
            let (client, duration) = (client.clone(), self.args.work_duration);
            self.at_work.spawn(async move {
                do_job(&client, job, duration).await;
                drop(slot);
            });
        }
    }

    /// Reads both files again each time: tokens and authorities are rotated while we run.
    async fn connect(&self) -> anyhow::Result<EngineClient> {
        let Args { engine_address: (host, port), ca_file, token_file, .. } = &self.args;
        let read = async |path: &std::path::Path| {
            read_to_string(path).await.with_context(|| format!("read {}", path.display()))
        };
        let tls = match ca_file {
            Some(path) => Some(EngineTls { ca_pem: read(path).await?, server_name: None }),
            None => None,
        };
        let credential = Credential::parse(&read(token_file).await?)
            .with_context(|| format!("token in {}", token_file.display()))?;
        let address = EngineAddress { host: host.clone(), port: *port, tls };
        Ok(self.pool.client(&EngineAccess { address, credential })?)
    }
}

#[tracing::instrument(skip_all, fields(job = job.key, job_type = job.job_type, instance = job.instance_key))]
async fn do_job(client: &EngineClient, job: Job, duration: Duration) {
    // Here a real worker calls the payment provider, with `job.key` as its idempotency key: a job comes again when
    // the engine does not hear of its end in time.
    sleep(duration).await;
    let heard = match payment::perform(&job.job_type, &job.variables) {
        Ok(variables) => {
            let done = CompleteJob { job: job.job_ref(), variables };
            tell(|| client.complete_job(&done)).await.map(|()| info!("job is complete"))
        }
        Err(error_message) => {
            warn!(reason = error_message, "job failed");
            // Trying again cannot help here. When it can, leave `job.retries - 1` and a backoff.
            let failed =
                FailJob { job: job.job_ref(), retries: 0, retry_backoff: Duration::ZERO, error_message };
            tell(|| client.fail_job(&failed)).await.map(drop)
        }
    };
    match heard {
        Ok(()) => {}
        Err(error) if matches!(error.class(), ErrorClass::Stale | ErrorClass::NotFound) => {
            warn!(%error, "engine does not wait for this job any more");
        }
        Err(error) => warn!(%error, "engine does not know how the job ended: it will come again"),
    }
}

/// Tells the engine until it hears; the lease makes a repetition harmless.
async fn tell<T, Call>(call: impl FnMut() -> Call) -> Result<T, EngineError>
where
    Call: Future<Output = Result<T, EngineError>>,
{
    let patience =
        ExponentialBuilder::new().with_jitter().with_min_delay(Duration::from_millis(200)).with_max_times(6);
    call.retry(patience).when(EngineError::is_unavailable).await
}
