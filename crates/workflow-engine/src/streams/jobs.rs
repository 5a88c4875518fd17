//! Jobs as they come. Each stream has a task of its own that takes no more jobs than its worker has room for, and gives
//! back at once what was taken but never sent.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use engine_api::model::{Job, StreamJobs};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::Stream;

use super::Load;
use super::waiting::Waiter;
use crate::database::in_time;
use crate::engine::Engine;
use crate::engine::jobs::{Activated, POLL_INTERVAL, build_demand};
use crate::error::Error;
use crate::storage::jobs::{self, Demand};
use crate::tenant_scope::TenantScope;
use crate::wakeups::Subscription;

/// Silence on the stream is never longer, so that a dead connection is noticed.
pub const HEARTBEAT: Duration = Duration::from_secs(8);

/// A query that takes longer ends the stream: its client finds another node.
const QUERY_TIMEOUT: Duration = Duration::from_secs(10);

/// One message; empty = a heartbeat.
type Batch = Vec<Activated>;

/// The receiving end, as the client polls it.
#[derive(Debug)]
pub struct JobStream {
    batches: mpsc::Receiver<Result<Batch, Error>>,
    engine: Arc<Engine>,
    tenant: TenantScope,
    /// Held for its effect.
    _waiter: Waiter,
}

impl Stream for JobStream {
    type Item = Result<Vec<Job>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let jobs = |batch: Batch| batch.into_iter().map(|activated| activated.job).collect();
        self.batches.poll_recv(context).map(|received| received.map(|batch| batch.map(jobs)))
    }
}

impl Drop for JobStream {
    /// The client is gone: batches that were still waiting here were never seen by it.
    fn drop(&mut self) {
        self.batches.close();
        let mut unseen = Vec::new();
        while let Ok(batch) = self.batches.try_recv() {
            unseen.extend(batch.into_iter().flatten());
        }
        if unseen.is_empty() {
            return;
        }
        let (engine, tenant) = (Arc::clone(&self.engine), self.tenant.clone());
        tokio::spawn(async move {
            if let Err(error) = engine.release(&tenant, &unseen).await {
                tracing::debug!(error = %error, jobs = unseen.len(), "unseen jobs wait for their lease to end");
            }
        });
    }
}

/// Checks the request, looks once, and goes on in a task until the client goes or the node stops.
pub fn open(engine: Arc<Engine>, tenant: TenantScope, request: StreamJobs) -> Result<JobStream, Error> {
    let demand = build_demand(request.job_types, request.worker, request.max_in_flight, request.lease)?;
    let waiter = engine.waiting.enter(&tenant)?;
    let wakeups = engine.wakeups.subscribe(&tenant, &demand.job_types);
    let (sender, batches) = mpsc::channel(1);
    let feeder = Feeder {
        engine: Arc::clone(&engine),
        tenant: tenant.clone(),
        room: demand.max_jobs,
        demand,
        wakeups,
        load: Arc::default(),
        held: HashMap::new(),
    };
    tokio::spawn(feeder.feed(sender));
    Ok(JobStream { batches, engine, tenant, _waiter: waiter })
}

struct Feeder {
    engine: Arc<Engine>,
    tenant: TenantScope,
    demand: Demand,
    /// Unfinished jobs that the worker takes at once.
    room: usize,
    wakeups: Subscription,
    load: Arc<Load>,
    /// Lease epochs of the unfinished jobs, by key.
    held: HashMap<i64, i64>,
}

impl Feeder {
    async fn feed(mut self, sender: mpsc::Sender<Result<Batch, Error>>) {
        let engine = Arc::clone(&self.engine);
        let ended = tokio::select! {
            ended = self.feed_until_failure(&sender) => ended,
            () = sender.closed() => Ok(()),
            () = engine.stop.cancelled() => Err(Error::ShuttingDown),
        };
        engine.in_flight.finished(self.held.into_keys());
        if let Err(error) = ended {
            // The client may be gone already; then nobody needs to know.
            let _ = sender.send(Err(error)).await;
        }
    }

    async fn feed_until_failure(&mut self, sender: &mpsc::Sender<Result<Batch, Error>>) -> Result<(), Error> {
        let mut last_sent = Instant::now();
        loop {
            self.forget_finished().await?;
            // The place in the channel first: what is taken after it can always be handed over.
            let Ok(place) = sender.reserve().await else { return Ok(()) };
            let room = self.room.saturating_sub(self.held.len());
            let batch = if room == 0 {
                Batch::default()
            } else {
                let demand = Demand { max_jobs: room, ..self.demand.clone() };
                in_time(QUERY_TIMEOUT, self.engine.activate_once(&self.tenant, &demand)).await?
            };
            if !batch.is_empty() {
                self.held.extend(batch.iter().map(|Activated { job, .. }| (job.key, job.lease_epoch)));
                self.engine.in_flight.sent(&self.load, batch.iter().map(|activated| activated.job.key));
                place.send(Ok(batch));
                last_sent = Instant::now();
                continue;
            }
            if last_sent.elapsed() >= HEARTBEAT {
                place.send(Ok(Batch::default()));
                last_sent = Instant::now();
            } else {
                drop(place);
            }
            tokio::select! {
                () = self.wakeups.notified(), if room > 0 => {}
                () = self.load.changed() => {}
                () = tokio::time::sleep(POLL_INTERVAL) => {}
            }
        }
    }

    /// Makes room: by what this process finished, and, when there is none left, by asking the database.
    async fn forget_finished(&mut self) -> Result<(), Error> {
        for key in self.load.take_finished() {
            self.held.remove(&key);
        }
        if self.held.len() < self.room {
            return Ok(());
        }
        let (keys, epochs): (Vec<i64>, Vec<i64>) = self.held.iter().unzip();
        let running = in_time(QUERY_TIMEOUT, async {
            let mut tx = self.engine.database.tenant(&self.tenant).await?;
            let running = jobs::list_running_leases(&mut tx, &keys, &epochs).await?;
            tx.commit().await?;
            Ok(running)
        })
        .await?;
        let ended: Vec<i64> = keys.into_iter().filter(|key| !running.contains(key)).collect();
        for key in &ended {
            self.held.remove(key);
        }
        self.engine.in_flight.finished(ended);
        Ok(())
    }
}
