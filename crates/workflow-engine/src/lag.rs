//! The sampler of job lag: one per process, shared by all callers that list or watch it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::database::{Database, History, in_time};
use crate::error::Error;
use crate::storage::lag::{self, Lag};

/// Of samples while there are watches; also the maximum age of a sample.
const INTERVAL: Duration = Duration::from_secs(1);
const SAMPLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Counting reads every waiting job. With a big backlog it is done less often, so that it takes at most a tenth of the
/// time. Ages are read for every sample, because autoscaling depends on them.
const COUNT_REST_FACTOR: u32 = 10;

/// (tenant, job type).
pub type Pair = (String, String);

/// The lag of all known pairs at one time of the database's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    pub lags: BTreeMap<Pair, Lag>,
    pub measured_at: Timestamp,
}

#[derive(Debug)]
pub struct LagSampler {
    latest: watch::Sender<Option<Arc<Sample>>>,
    /// Locked while a sample is taken, so that concurrent callers share it.
    taken: Mutex<Taken>,
}

/// State of the latest sample and of the latest count.
#[derive(Debug, Default)]
struct Taken {
    /// The history of the database from which all of it was read.
    from: Option<History>,
    at: Option<Instant>,
    counts: HashMap<Pair, i64>,
    count_due: Option<Instant>,
}

impl Default for LagSampler {
    fn default() -> Self {
        Self { latest: watch::Sender::new(None), taken: Mutex::default() }
    }
}

impl LagSampler {
    /// A sample that is not older than [`INTERVAL`].
    pub async fn fresh(&self, database: &Database) -> Result<Arc<Sample>, Error> {
        let mut taken = self.taken.lock().await;
        if let (Some(at), Some(sample)) = (taken.at, self.latest.borrow().clone())
            && at.elapsed() < INTERVAL
            && taken.from == database.history()
        {
            return Ok(sample);
        }
        let began = Instant::now();
        let mut tx = database.monitor().await?;
        if taken.from.as_ref() != Some(tx.history()) {
            *taken = Taken { from: Some(tx.history().clone()), ..Taken::default() };
        }
        if taken.count_due.is_none_or(|due| due <= began) {
            let counts = lag::count_activatable(&mut tx).await?;
            taken.counts = counts
                .into_iter()
                .map(|(tenant_id, job_type, count)| ((tenant_id, job_type), count))
                .collect();
            taken.count_due = Some(began + INTERVAL.max(began.elapsed() * COUNT_REST_FACTOR));
        }
        let (oldest, measured_at) = lag::observe_oldest(&mut tx).await?;
        tx.commit().await?;
        let sample = Arc::new(Sample { lags: build_lags(oldest, &taken.counts), measured_at });
        taken.at = Some(began);
        self.latest.send_replace(Some(Arc::clone(&sample)));
        Ok(sample)
    }

    /// Subscribes to the samples. They are taken as long as a receiver exists.
    pub fn watch(&self) -> watch::Receiver<Option<Arc<Sample>>> {
        self.latest.subscribe()
    }

    /// Takes samples while there are watches, until `stop`.
    pub async fn run(&self, database: &Database, stop: &CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
            if self.latest.receiver_count() == 0 {
                continue;
            }
            // Enough: counting millions takes seconds.
            if let Err(error) = in_time(SAMPLE_TIMEOUT, self.fresh(database)).await {
                tracing::warn!(error = %error, "job lag could not be sampled");
            }
        }
    }
}

/// Combines ages and counts. A count may be older: where they contradict each other, the age is right.
fn build_lags(oldest: Vec<Lag>, counts: &HashMap<Pair, i64>) -> BTreeMap<Pair, Lag> {
    oldest
        .into_iter()
        .map(|lag| {
            let pair = (lag.tenant_id.clone(), lag.job_type.clone());
            let counted = counts.get(&pair).copied().unwrap_or(0);
            let activatable = if lag.oldest_run_at.is_some() { counted.max(1) } else { 0 };
            (pair, Lag { activatable, ..lag })
        })
        .collect()
}

/// Selects pairs; an empty list matches all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    pub tenant_ids: Vec<String>,
    pub job_types: Vec<String>,
}

impl Filter {
    pub fn matches(&self, (tenant_id, job_type): &Pair) -> bool {
        (self.tenant_ids.is_empty() || self.tenant_ids.contains(tenant_id))
            && (self.job_types.is_empty() || self.job_types.contains(job_type))
    }

    pub fn apply(&self, sample: &Sample) -> BTreeMap<Pair, Lag> {
        sample
            .lags
            .iter()
            .filter(|(pair, _)| self.matches(pair))
            .map(|(pair, lag)| (pair.clone(), lag.clone()))
            .collect()
    }
}

/// What changed from one set of lags to the next.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Delta {
    pub changed: Vec<Lag>,
    pub removed: Vec<Lag>,
}

pub fn build_delta(before: &BTreeMap<Pair, Lag>, after: &BTreeMap<Pair, Lag>) -> Delta {
    Delta {
        changed: after
            .iter()
            .filter(|(pair, lag)| before.get(*pair) != Some(*lag))
            .map(|(_, lag)| lag.clone())
            .collect(),
        removed: before
            .iter()
            .filter(|(pair, _)| !after.contains_key(*pair))
            .map(|(_, lag)| lag.clone())
            .collect(),
    }
}

#[cfg(test)]
mod tests;
