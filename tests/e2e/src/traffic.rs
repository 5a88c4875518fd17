//! Traffic as applications and workers make it: instances are started by a clock that does not wait for the engine, and their
//! jobs are completed by workers that come back when the engine goes away.
//!
//! Every start has a number in its variables, by which its job is known again; so what became of each is on [`Ledger`] without
//! asking the engine.

mod audit;
mod ledger;
mod starting;
mod working;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use engine_client::{EngineAccess, EngineClient, EnginePool, Timeouts};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use audit::Audit;
pub use ledger::{Failure, Ledger, Order, Record, quantile};

/// How long a job is the worker's, as with the sample worker.
const LEASE: Duration = Duration::from_secs(30);
/// Longer than a lease: a job that no worker completed is activated again by then.
const STANDSTILL: Duration = Duration::from_secs(45);

/// How much, by how many.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Starts per second.
    pub rate: u32,
    /// Connections that start.
    pub clients: usize,
    /// Connections that work.
    pub workers: usize,
    /// Most jobs at the same time, of each worker.
    pub max_in_flight: u32,
}

impl Plan {
    /// With as many connections as a few applications and a small fleet of workers have.
    pub fn at(rate: u32) -> Self {
        Self { rate, clients: 4, workers: 6, max_in_flight: 32 }
    }
}

/// What is started, and with what.
#[derive(Clone, Debug)]
pub struct Target {
    /// The tenant's id.
    pub tenant: String,
    /// The id of a process with one service task.
    pub process: String,
    /// The task's job type.
    pub job_type: String,
    /// For those who start.
    pub client: EngineAccess,
    /// For those who work.
    pub worker: EngineAccess,
    /// Tells the instances of this traffic from others of the process.
    pub run: String,
}

/// What all tasks share.
#[derive(Debug)]
struct Shared {
    target: Target,
    record: Record,
}

/// Traffic that runs until it is finished or dropped.
#[derive(Debug)]
pub struct Traffic {
    shared: Arc<Shared>,
    starting: CancellationToken,
    starts: JoinSet<()>,
    workers: JoinSet<()>,
}

impl Traffic {
    /// Begins at once.
    pub fn begin(plan: Plan, target: Target) -> anyhow::Result<Self> {
        let clients = connect(&target.client, plan.clients)?;
        let working = connect(&target.worker, plan.workers)?;
        let shared = Arc::new(Shared { target, record: Record::default() });
        let starting = CancellationToken::new();
        let (mut starts, mut workers) = (JoinSet::new(), JoinSet::new());
        for (number, client) in working.into_iter().enumerate() {
            workers.spawn(working::work(Arc::clone(&shared), client, number, plan.max_in_flight));
        }
        starts.spawn(starting::start_by_the_clock(Arc::clone(&shared), clients, plan.rate, starting.clone()));
        Ok(Self { shared, starting, starts, workers })
    }

    /// What happened so far.
    pub fn record(&self) -> &Record {
        &self.shared.record
    }

    /// Starts no more, waits until what was started has ended or nothing moves any more, and gives what happened.
    pub async fn finish(mut self) -> anyhow::Result<Ledger> {
        self.starting.cancel();
        while let Some(ended) = self.starts.join_next().await {
            ended.context("a client panicked")?;
        }
        let (mut open, mut moved) = (usize::MAX, Instant::now());
        while moved.elapsed() < STANDSTILL {
            let now = self.shared.record.with(Ledger::count_open);
            if now == 0 {
                break;
            }
            if now < open {
                (open, moved) = (now, Instant::now());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.workers.shutdown().await;
        Ok(self.shared.record.with(Ledger::clone))
    }
}

/// So many connections, each of its own as another process has.
fn connect(access: &EngineAccess, count: usize) -> anyhow::Result<Vec<EngineClient>> {
    let connect = |_| EnginePool::new(Timeouts::default()).client(access);
    Ok((0..count).map(connect).collect::<Result<_, _>>()?)
}
