//! The loop around a job: take, work, complete or fail; reconnect when the engine goes away; drain on shutdown.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use backon::{BackoffBuilder as _, Retryable as _};
use engine_client::{
    Credential, EngineAccess, EngineAddress, EngineClient, EngineError, EnginePool, EngineTls, ErrorClass,
    Timeouts,
    model::{CompleteJob, FailJob, Job, StreamJobs},
    reconnects, repetitions,
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
    let worker = Arc::new(Worker {
        pool: EnginePool::new(Timeouts::default()),
        slots: Arc::new(Semaphore::new(args.max_in_flight.into())),
        at_work: TaskTracker::new(),
        args,
    });
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
    async fn serve(self: &Arc<Self>) {
        let mut delays = reconnects().build();
        loop {
            let mut took_jobs = false;
            let Err(error) = self.take_jobs(&mut took_jobs).await;
            if took_jobs {
                delays = reconnects().build();
            }
            let delay = delays.next().unwrap_or_default();
            warn!(error = format!("{error:#}"), ?delay, "no jobs for now");
            sleep(delay).await;
        }
    }

    async fn take_jobs(self: &Arc<Self>, took_jobs: &mut bool) -> anyhow::Result<std::convert::Infallible> {
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
            let worker = Arc::clone(self);
            self.at_work.spawn(async move {
                worker.do_job(job).await;
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

    #[tracing::instrument(skip_all, fields(job = job.key, job_type = job.job_type, instance = job.instance_key))]
    async fn do_job(&self, job: Job) {
        // Here a real worker calls the payment provider, with `job.key` as its idempotency key: a job comes again when
        // the engine does not hear of its end in time.
        sleep(self.args.work_duration).await;
        let ended = match payment::perform(&job.job_type, &job.variables) {
            Ok(variables) => Ended::Complete(CompleteJob { job: job.job_ref(), variables }),
            Err(error_message) => {
                warn!(reason = error_message, "job failed");
                // Trying again cannot help here. When it can, leave `job.retries - 1` and a backoff.
                let (job, retry_backoff) = (job.job_ref(), Duration::ZERO);
                Ended::Failed(FailJob { job, retries: 0, retry_backoff, error_message })
            }
        };
        match self.tell(&ended).await {
            Ok(()) => info!("engine knows how the job ended"),
            Err(error) if matches!(class(&error), Some(ErrorClass::Stale | ErrorClass::NotFound)) => {
                warn!(error = format!("{error:#}"), "engine does not wait for this job any more");
            }
            Err(error) => {
                let error = format!("{error:#}");
                warn!(error, "engine does not know how the job ended: it will come again");
            }
        }
    }

    /// Repeats the call until the engine answers; the lease makes a repetition harmless.
    async fn tell(&self, ended: &Ended) -> anyhow::Result<()> {
        let may_change = |error: &anyhow::Error| {
            class(error).is_none_or(|class| matches!(class, ErrorClass::Unavailable | ErrorClass::Denied))
        };
        (|| self.tell_once(ended)).retry(repetitions()).when(may_change).await
    }

    /// With the files as they are now: the token that the job was taken with may be good no more.
    async fn tell_once(&self, ended: &Ended) -> anyhow::Result<()> {
        let client = self.connect().await?;
        match ended {
            Ended::Complete(complete) => client.complete_job(complete).await?,
            Ended::Failed(fail) => client.fail_job(fail).await.map(drop)?,
        }
        Ok(())
    }
}

/// How a job ended, for the engine.
enum Ended {
    Complete(CompleteJob),
    Failed(FailJob),
}

/// What the engine said; `None` = it was not asked.
fn class(error: &anyhow::Error) -> Option<&ErrorClass> {
    error.downcast_ref::<EngineError>().map(EngineError::class)
}
