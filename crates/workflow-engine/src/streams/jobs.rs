//! Streams of jobs. Each stream has its own task, which activates no more jobs than its worker has room for, and
//! releases jobs at once that were activated but not sent.

use std::collections::HashMap;
use std::convert::Infallible;
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

/// Maximum time without a message, so that a dead connection is noticed.
pub const HEARTBEAT: Duration = Duration::from_secs(8);

/// A query that takes longer ends the stream, so that its client connects to another node.
const QUERY_TIMEOUT: Duration = Duration::from_secs(10);

/// The jobs of one message; empty = a heartbeat.
type Batch = Vec<Activated>;

/// The stream that tonic polls for the client.
#[derive(Debug)]
pub struct JobStream {
    batches: mpsc::Receiver<Result<Batch, Error>>,
    engine: Arc<Engine>,
    tenant: TenantScope,
    /// Counts this stream until it is dropped.
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
    /// The client disconnected: releases the batches that were not sent.
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

/// Checks the request and starts the stream's task, which runs until the client disconnects or the node stops.
pub fn open(engine: Arc<Engine>, tenant: TenantScope, request: StreamJobs) -> Result<JobStream, Error> {
    let demand = build_demand(request.job_types, request.worker, request.max_in_flight, request.lease)?;
    if engine.drain.is_cancelled() {
        return Err(Error::ShuttingDown);
    }
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

/// Cuts the work off when the client disconnects, the node drains, or it may not work on the database any more.
async fn unless_over<T>(
    engine: &Engine,
    sender: &mpsc::Sender<Result<Batch, Error>>,
    work: impl Future<Output = T>,
) -> Result<T, Option<Error>> {
    tokio::select! {
        // Checked first, so that nothing new is begun then.
        biased;
        () = sender.closed() => Err(None),
        () = engine.drain.cancelled() => Err(Some(Error::ShuttingDown)),
        withdrawn = engine.permission.withdrawn() => Err(Some(withdrawn)),
        done = work => Ok(done),
    }
}

struct Feeder {
    engine: Arc<Engine>,
    tenant: TenantScope,
    demand: Demand,
    /// How many unfinished jobs the worker may hold at once.
    room: usize,
    wakeups: Subscription,
    load: Arc<Load>,
    /// Lease epochs of the unfinished jobs, by key.
    held: HashMap<i64, i64>,
}

impl Feeder {
    async fn feed(mut self, sender: mpsc::Sender<Result<Batch, Error>>) {
        let Err(ended) = Box::pin(self.feed_until_end(&sender)).await;
        self.engine.in_flight.finished(self.held.into_keys());
        if let Some(error) = ended {
            // The client may have disconnected; then the error is not needed.
            let _ = sender.send(Err(error)).await;
        }
    }

    /// Ends with the error for the client; `None` = the client disconnected.
    ///
    /// An activation is never cut off. Postgres may commit it nevertheless, and then its jobs would wait for the end of a lease
    /// that no worker has.
    async fn feed_until_end(
        &mut self,
        sender: &mpsc::Sender<Result<Batch, Error>>,
    ) -> Result<Infallible, Option<Error>> {
        let engine = Arc::clone(&self.engine);
        let mut last_sent = Instant::now();
        loop {
            self.remove_finished().await?;
            // Reserves the place in the channel first, so that activated jobs can always be sent.
            let place = unless_over(&engine, sender, sender.reserve()).await?.map_err(|_| None)?;
            let room = self.room.saturating_sub(self.held.len());
            let batch = if room == 0 {
                Batch::default()
            } else {
                let demand = Demand { max_jobs: room, ..self.demand.clone() };
                in_time(QUERY_TIMEOUT, self.engine.activate_once(&self.tenant, &demand)).await?
            };
            if !batch.is_empty() && sender.is_closed() {
                // Nobody would receive them.
                in_time(QUERY_TIMEOUT, self.engine.release(&self.tenant, &batch)).await?;
                return Err(None);
            }
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
            let next = async {
                tokio::select! {
                    () = self.wakeups.notified(), if room > 0 => {}
                    () = self.load.changed() => {}
                    () = tokio::time::sleep(POLL_INTERVAL) => {}
                }
            };
            unless_over(&engine, sender, next).await?;
        }
    }

    /// Removes finished jobs: those that this process finished, and, if there is still no room, those that a query
    /// finds.
    async fn remove_finished(&mut self) -> Result<(), Error> {
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
