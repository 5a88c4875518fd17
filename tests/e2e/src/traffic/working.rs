//! Workers, with the loop of the sample worker: take, complete, come back when the engine goes away. The work itself takes no time.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use backon::{BackoffBuilder as _, Retryable as _};
use engine_client::model::{CompleteJob, Job, StreamJobs, Variables};
use engine_client::{EngineClient, EngineError, ErrorClass, reconnects, repetitions};
use futures::StreamExt as _;
use tokio::task::JoinSet;

use super::{LEASE, Shared};

const CALL: &str = "complete";

/// Never ends: an engine that is gone comes back.
pub(super) async fn work(shared: Arc<Shared>, client: EngineClient, number: usize, max_in_flight: u32) {
    let mut delays = reconnects().build();
    // Outlives the streams: what is at work when one ends is completed all the same.
    let mut at_work = JoinSet::new();
    loop {
        let mut took_jobs = false;
        let Err(error) =
            take_jobs(&shared, &client, number, max_in_flight, &mut at_work, &mut took_jobs).await;
        shared.record.interrupt(&error);
        if took_jobs {
            delays = reconnects().build();
        }
        tokio::time::sleep(delays.next().unwrap_or_default()).await;
    }
}

async fn take_jobs(
    shared: &Arc<Shared>,
    client: &EngineClient,
    number: usize,
    max_in_flight: u32,
    at_work: &mut JoinSet<()>,
    took_jobs: &mut bool,
) -> Result<Infallible, EngineError> {
    let request = StreamJobs {
        tenant_id: shared.target.tenant.clone(),
        job_types: vec![shared.target.job_type.clone()],
        worker: format!("traffic-{number}"),
        max_in_flight,
        lease: LEASE,
    };
    let mut jobs = client.stream_activated_jobs(&request).await?;
    loop {
        // The stream ends with an error, always.
        let Some(job) = jobs.next().await else { continue };
        let job = job?;
        *took_jobs = true;
        at_work.spawn(complete(Arc::clone(shared), client.clone(), job));
        while at_work.try_join_next().is_some() {}
    }
}

async fn complete(shared: Arc<Shared>, client: EngineClient, job: Job) {
    let variables = &job.variables.0;
    let is_ours = variables.get("run").and_then(serde_json::Value::as_str) == Some(&shared.target.run);
    let order = variables.get("order").and_then(serde_json::Value::as_u64);
    let order = order.filter(|_| is_ours).and_then(|order| usize::try_from(order).ok());
    shared.record.take(order);
    let request = CompleteJob { job: job.job_ref(), variables: Variables::default() };
    let was_repeated = AtomicBool::new(false);
    let completed = (|| client.complete_job(&request))
        .retry(repetitions())
        .when(EngineError::is_unavailable)
        .notify(|error, _| {
            was_repeated.store(true, Ordering::Relaxed);
            shared.record.repeat(CALL, error);
        })
        .await;
    match completed {
        Ok(()) => shared.record.complete(order, job.key),
        // The call before did it, and only its answer was lost: the lease makes a repetition harmless.
        Err(error) if *error.class() == ErrorClass::NotFound && was_repeated.into_inner() => {
            shared.record.complete_unheard(order);
        }
        Err(error) => shared.record.fail(CALL, &error),
    }
}
