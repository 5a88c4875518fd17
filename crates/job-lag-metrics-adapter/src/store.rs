//! The last known job lag of every cluster, in memory. All metric reads end here; none reaches an engine.
//!
//! What is kept is *when the oldest waiting job became takeable*. The lag is computed when it is asked for, so it
//! grows smoothly between samples. Only differences of the engine's own times and of our own monotonic clock are
//! used, so a wrong clock on either side does not show.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{PoisonError, RwLock, RwLockWriteGuard},
    time::Duration,
};

use engine_client::model::JobLagUpdate;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::{selector::Selector, visibility::View, wire::Metric};

mod samples;

use samples::{Samples, Tenant};

/// No lag is reported beyond this: the autoscaler's arithmetic overflows on huge values and scales in.
pub const MAX_LAG: Duration = Duration::from_hours(30 * 24);
/// No backlog is reported beyond this, for the same reason.
pub const MAX_BACKLOG: u64 = i32::MAX as u64;

/// A WorkflowCluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterKey {
    pub namespace: String,
    pub name: String,
}

impl fmt::Display for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A value, and what it is the value of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// In thousandths: of a second, or of a job.
    pub millis: u64,
    /// The labels that all series behind the value have in common.
    pub labels: BTreeMap<&'static str, String>,
    /// When the engine looked; of several, the longest ago.
    pub measured_at: Timestamp,
}

/// Why there is no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoReading {
    /// Everything is known, and nothing matches.
    NothingMatches,
    /// A cluster that has, or may have, a matching series was not heard of lately. `None`: never.
    NotFresh { cluster: ClusterKey, age: Option<Duration> },
}

/// How well a cluster is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    pub age: Duration,
    /// Tenants with more series than are kept.
    pub cut_tenants: usize,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Store {
    samples: RwLock<BTreeMap<ClusterKey, Samples>>,
    /// Clusters whose engine is stopped, and when that was seen last.
    stopped: RwLock<BTreeMap<ClusterKey, Timestamp>>,
}

impl Store {
    /// Puts in what one lag stream of a cluster reports.
    pub fn feed<'a>(&'a self, cluster: &'a ClusterKey) -> Feed<'a> {
        Feed { store: self, cluster, arriving: None }
    }

    /// Drops what is known of a cluster that is gone.
    pub fn forget(&self, cluster: &ClusterKey) {
        self.write().remove(cluster);
    }

    /// Takes in which clusters are stopped, all of them. Nobody takes jobs from their engines, so nothing waits for a worker: they
    /// are known to have no lag and no backlog, of any job type.
    pub fn set_stopped(&self, stopped: BTreeMap<ClusterKey, Timestamp>) {
        *self.stopped.write().unwrap_or_else(PoisonError::into_inner) = stopped;
    }

    /// The one value that stands for all series of the view that match: the longest lag, or the sum of the backlogs.
    pub fn read(
        &self,
        view: &View,
        metric: Metric,
        selector: &Selector,
        now: Instant,
        max_age: Duration,
    ) -> Result<Reading, NoReading> {
        let clusters = self.samples.read().unwrap_or_else(PoisonError::into_inner);
        let stopped = self.stopped.read().unwrap_or_else(PoisonError::into_inner);
        let mut reading: Option<Reading> = None;
        let (mut unheard, mut idle) = (None, None::<Reading>);
        for (cluster, scope) in view.iter() {
            if !selector.admits(|key| cluster.label(key)) {
                continue;
            }
            if let Some(measured_at) = stopped.get(cluster) {
                let one = Reading { millis: 0, labels: cluster.labels(), measured_at: *measured_at };
                idle = Some(match idle {
                    None => one,
                    Some(former) => former.and(metric, &one),
                });
                continue;
            }
            let Some(samples) = clusters.get(cluster) else {
                unheard.get_or_insert(NoReading::NotFresh { cluster: cluster.clone(), age: None });
                continue;
            };
            let age = now.saturating_duration_since(samples.moved_at);
            let not_fresh = || NoReading::NotFresh { cluster: cluster.clone(), age: Some(age) };
            for (job_type, tenant, waiting) in samples.matching(cluster, selector) {
                if !scope.includes(tenant) {
                    continue;
                }
                if age > max_age {
                    return Err(not_fresh());
                }
                let one = Reading {
                    millis: samples.value(metric, waiting, age),
                    labels: labels(cluster, job_type, tenant),
                    measured_at: samples.measured_at,
                };
                reading = Some(match reading {
                    None => one,
                    Some(former) => former.and(metric, &one),
                });
            }
            if age > max_age {
                unheard.get_or_insert_with(not_fresh);
            }
        }
        // With a match, a silent cluster that never had a matching series does not count: it must not stop the
        // scaling of the others.
        match (reading, unheard, idle) {
            (Some(reading), ..) => Ok(reading),
            (None, Some(unheard), _) => Err(unheard),
            (None, None, Some(idle)) => Ok(idle),
            (None, None, None) => Err(NoReading::NothingMatches),
        }
    }

    /// Of each cluster: the age of the last update, and how many tenants have more series than are kept.
    pub fn state(&self, now: Instant) -> BTreeMap<ClusterKey, State> {
        let clusters = self.samples.read().unwrap_or_else(PoisonError::into_inner);
        let state = |samples: &Samples| State {
            age: now.saturating_duration_since(samples.moved_at),
            cut_tenants: samples.cut(),
        };
        clusters.iter().map(|(cluster, samples)| (cluster.clone(), state(samples))).collect()
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<ClusterKey, Samples>> {
        self.samples.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One lag stream on its way into the store. Dropped with the stream, and a snapshot that was not complete with it.
#[derive(Debug)]
pub struct Feed<'a> {
    store: &'a Store,
    cluster: &'a ClusterKey,
    /// The parts of a snapshot that have come. What was known before counts until the last one.
    arriving: Option<Samples>,
}

impl Feed<'_> {
    /// Takes in one message.
    pub fn apply(&mut self, update: &JobLagUpdate, now: Instant) {
        if update.snapshot {
            // After a reconnect another replica answers, whose clock may be behind: a snapshot counts all the same.
            let mut samples = self.arriving.take().unwrap_or_else(|| Samples::new(update.measured_at, now));
            samples.add(self.cluster, update, now);
            if update.complete {
                samples.moved_at = now;
                self.store.write().insert(self.cluster.clone(), samples);
            } else {
                self.arriving = Some(samples);
            }
        } else if let Some(samples) = self.store.write().get_mut(self.cluster) {
            samples.add(self.cluster, update, now);
        }
    }
}

impl Reading {
    fn and(self, metric: Metric, other: &Self) -> Self {
        let millis = match metric {
            Metric::JobLagSeconds => self.millis.max(other.millis),
            Metric::JobBacklog => self.millis.saturating_add(other.millis).min(MAX_BACKLOG * 1000),
        };
        let labels = self
            .labels
            .into_iter()
            .filter(|(key, value)| other.labels.get(key).is_some_and(|v| v == value))
            .collect();
        Self { millis, labels, measured_at: self.measured_at.min(other.measured_at) }
    }
}

/// Keys of the labels of a series.
pub mod label {
    pub const JOB_TYPE: &str = "job_type";
    pub const TENANT: &str = "tenant";
    pub const CLUSTER: &str = "cluster";
    pub const CLUSTER_NAMESPACE: &str = "cluster_namespace";
}

impl ClusterKey {
    fn label(&self, key: &str) -> Option<&str> {
        match key {
            label::CLUSTER => Some(&self.name),
            label::CLUSTER_NAMESPACE => Some(&self.namespace),
            _ => None,
        }
    }

    fn labels(&self) -> BTreeMap<&'static str, String> {
        [(label::CLUSTER, self.name.clone()), (label::CLUSTER_NAMESPACE, self.namespace.clone())].into()
    }
}

fn labels(cluster: &ClusterKey, job_type: &str, tenant: &Tenant) -> BTreeMap<&'static str, String> {
    let mut labels = cluster.labels();
    labels.insert(label::JOB_TYPE, job_type.to_owned());
    if let Some(tenant) = tenant {
        labels.insert(label::TENANT, tenant.clone());
    }
    labels
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
