//! The last known job lag of every cluster, in memory. All metric reads end here; none reaches an engine.
//!
//! What is kept is *when the oldest waiting job became takeable*. The lag is computed when it is asked for, so it
//! grows smoothly between samples. Only differences of the engine's own times and of our own monotonic clock are
//! used, so a wrong clock on either side does not show.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{PoisonError, RwLock},
    time::Duration,
};

use api_types::job_type;
use engine_client::model::{DEFAULT_TENANT, JobLag, JobLagUpdate, JobSeries};
use jiff::Timestamp;
use tokio::time::Instant;

use crate::{selector::Selector, visibility::View, wire::Metric};

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

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Store(RwLock<BTreeMap<ClusterKey, Samples>>);

/// What one cluster's engine last said.
#[derive(Debug)]
struct Samples {
    /// By encoded job type, then by tenant: a selector nearly always names its job type.
    series: BTreeMap<String, BTreeMap<Tenant, Waiting>>,
    measured_at: Timestamp,
    /// When `measured_at` last moved, by our clock. An engine that repeats an old measurement grows stale.
    moved_at: Instant,
}

/// `None`: work without a tenant.
type Tenant = Option<String>;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Waiting {
    since: Option<Timestamp>,
    count: u64,
}

impl Store {
    /// Takes in one message of a cluster's lag stream.
    pub fn apply(&self, cluster: &ClusterKey, update: &JobLagUpdate, now: Instant) {
        let mut clusters = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let samples = match clusters.get_mut(cluster) {
            Some(samples) => samples,
            // A delta without its snapshot says nothing.
            None if !update.snapshot => return,
            None => clusters.entry(cluster.clone()).or_insert(Samples {
                series: BTreeMap::new(),
                measured_at: update.measured_at,
                moved_at: now,
            }),
        };
        if update.snapshot {
            samples.series.clear();
        }
        // After a reconnect another replica answers, whose clock may be behind: a snapshot is news all the same.
        if update.snapshot || update.measured_at > samples.measured_at {
            samples.measured_at = update.measured_at;
            samples.moved_at = now;
        }
        for series in &update.removed {
            samples.remove(series);
        }
        for lag in &update.lags {
            samples.insert(cluster, lag);
        }
    }

    /// Drops what is known of a cluster that is gone.
    pub fn forget(&self, cluster: &ClusterKey) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(cluster);
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
        let clusters = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut reading: Option<Reading> = None;
        let mut unheard = None;
        for (cluster, scope) in view.iter() {
            if !selector.admits(|key| cluster.label(key)) {
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
        reading.ok_or_else(|| unheard.unwrap_or(NoReading::NothingMatches))
    }

    /// Age of the last news of each cluster.
    pub fn ages(&self, now: Instant) -> BTreeMap<ClusterKey, Duration> {
        let clusters = self.0.read().unwrap_or_else(PoisonError::into_inner);
        clusters
            .iter()
            .map(|(cluster, samples)| (cluster.clone(), now.saturating_duration_since(samples.moved_at)))
            .collect()
    }
}

impl Samples {
    fn insert(&mut self, cluster: &ClusterKey, lag: &JobLag) {
        let Some(tenant) = tenant_of(&lag.series) else { return };
        match job_type::encode(&lag.series.job_type) {
            Ok(job_type) => {
                let waiting = Waiting { since: lag.oldest_run_at, count: lag.activatable };
                self.series.entry(job_type).or_default().insert(tenant, waiting);
            }
            Err(error) => tracing::warn!(%cluster, %error, "a job type cannot be scaled by"),
        }
    }

    fn remove(&mut self, series: &JobSeries) {
        let (Some(tenant), Ok(job_type)) = (tenant_of(series), job_type::encode(&series.job_type)) else {
            return;
        };
        if let Some(tenants) = self.series.get_mut(&job_type) {
            tenants.remove(&tenant);
            if tenants.is_empty() {
                self.series.remove(&job_type);
            }
        }
    }

    fn matching<'a>(
        &'a self,
        cluster: &'a ClusterKey,
        selector: &'a Selector,
    ) -> impl Iterator<Item = (&'a String, &'a Tenant, &'a Waiting)> {
        let named = selector.candidates(label::JOB_TYPE);
        let of_named = named.into_iter().flatten().filter_map(|job_type| self.series.get_key_value(job_type));
        let of_all = named.is_none().then_some(&self.series).into_iter().flatten();
        of_named
            .chain(of_all)
            .flat_map(|(job_type, tenants)| {
                tenants.iter().map(move |(tenant, waiting)| (job_type, tenant, waiting))
            })
            .filter(|(job_type, tenant, _)| {
                selector.matches(|key| match key {
                    label::JOB_TYPE => Some(job_type.as_str()),
                    label::TENANT => tenant.as_deref(),
                    _ => cluster.label(key),
                })
            })
    }

    fn value(&self, metric: Metric, waiting: &Waiting, age: Duration) -> u64 {
        match metric {
            Metric::JobBacklog => waiting.count.min(MAX_BACKLOG) * 1000,
            Metric::JobLagSeconds => match waiting.since {
                None => 0,
                Some(since) => {
                    let when_measured = self.measured_at.duration_since(since).as_millis().max(0);
                    let now = u64::try_from(when_measured).unwrap_or(u64::MAX).saturating_add(millis(age));
                    now.min(millis(MAX_LAG))
                }
            },
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
}

fn labels(cluster: &ClusterKey, job_type: &str, tenant: &Tenant) -> BTreeMap<&'static str, String> {
    let mut labels = BTreeMap::from([
        (label::JOB_TYPE, job_type.to_owned()),
        (label::CLUSTER, cluster.name.clone()),
        (label::CLUSTER_NAMESPACE, cluster.namespace.clone()),
    ]);
    if let Some(tenant) = tenant {
        labels.insert(label::TENANT, tenant.clone());
    }
    labels
}

/// `None`: the engine's own work, which nobody scales.
fn tenant_of(series: &JobSeries) -> Option<Tenant> {
    match series.tenant_id.as_str() {
        DEFAULT_TENANT => Some(None),
        id if id.starts_with('_') => None,
        id => Some(Some(id.to_owned())),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
