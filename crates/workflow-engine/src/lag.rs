//! One sampler of job lag per process, shared by whoever asks or watches.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::database::Database;
use crate::error::Error;
use crate::storage::lag::{self, Lag};

/// While anyone watches; a sample that takes long is taken less often, so that it never costs a third of the time.
const INTERVAL: Duration = Duration::from_secs(1);
const REST_FACTOR: u32 = 3;

/// (tenant, job type).
pub type Pair = (String, String);

/// All known pairs at one moment of the database's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    pub lags: BTreeMap<Pair, Lag>,
    pub measured_at: Timestamp,
}

#[derive(Debug)]
pub struct LagSampler {
    latest: watch::Sender<Option<Arc<Sample>>>,
    /// When the latest was taken; locked while one is being taken, so that all who ask meanwhile share it.
    taken: Mutex<Option<Instant>>,
}

impl Default for LagSampler {
    fn default() -> Self {
        Self { latest: watch::Sender::new(None), taken: Mutex::default() }
    }
}

impl LagSampler {
    /// A sample not older than the interval.
    pub async fn fresh(&self, database: &Database) -> Result<Arc<Sample>, Error> {
        let mut taken = self.taken.lock().await;
        if let (Some(at), Some(sample)) = (*taken, self.latest.borrow().clone())
            && at.elapsed() < INTERVAL
        {
            return Ok(sample);
        }
        let mut tx = database.monitor().await?;
        let (lags, measured_at) = lag::observe_lags(&mut tx).await?;
        tx.commit().await?;
        let lags = lags.into_iter().map(|lag| ((lag.tenant_id.clone(), lag.job_type.clone()), lag)).collect();
        let sample = Arc::new(Sample { lags, measured_at });
        *taken = Some(Instant::now());
        self.latest.send_replace(Some(Arc::clone(&sample)));
        Ok(sample)
    }

    /// Follows the samples; as long as the receiver lives, they are taken.
    pub fn watch(&self) -> watch::Receiver<Option<Arc<Sample>>> {
        self.latest.subscribe()
    }

    /// Samples while anyone watches, until stopped.
    pub async fn run(&self, database: &Database, stop: &CancellationToken) {
        let mut rest = INTERVAL;
        while stop.run_until_cancelled(tokio::time::sleep(rest)).await.is_some() {
            rest = INTERVAL;
            if self.latest.receiver_count() == 0 {
                continue;
            }
            let begun = Instant::now();
            match self.fresh(database).await {
                Ok(_) => rest = INTERVAL.max(begun.elapsed() * REST_FACTOR),
                Err(error) => tracing::warn!(error = %error, "job lag could not be sampled"),
            }
        }
    }
}

/// Which pairs somebody wants; an empty list is every one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    pub tenant_ids: Vec<String>,
    pub job_types: Vec<String>,
}

impl Filter {
    fn admits(&self, (tenant_id, job_type): &Pair) -> bool {
        (self.tenant_ids.is_empty() || self.tenant_ids.contains(tenant_id))
            && (self.job_types.is_empty() || self.job_types.contains(job_type))
    }

    pub fn apply(&self, sample: &Sample) -> BTreeMap<Pair, Lag> {
        sample
            .lags
            .iter()
            .filter(|(pair, _)| self.admits(pair))
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
