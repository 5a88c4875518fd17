//! What one cluster's engine last said.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use api_types::job_type;
use engine_client::model::{DEFAULT_TENANT, JobLag, JobLagUpdate, JobSeries};
use jiff::Timestamp;
use tokio::time::Instant;

use super::{ClusterKey, MAX_BACKLOG, MAX_LAG, label, millis};
use crate::{selector::Selector, wire::Metric};

/// Series of one tenant that are kept. Twice what an engine lets a tenant deploy, since jobs of processes that are gone
/// have types as well; so one tenant cannot take the memory that all share.
pub(super) const MAX_SERIES_PER_TENANT: usize = 4_000;

/// `None`: work without a tenant.
pub(super) type Tenant = Option<String>;

#[derive(Debug)]
pub(super) struct Samples {
    /// By encoded job type, then by tenant: a selector nearly always names its job type.
    series: BTreeMap<String, BTreeMap<Tenant, Waiting>>,
    counts: BTreeMap<Tenant, usize>,
    /// Of whom series were left out since the last snapshot.
    cut: BTreeSet<Tenant>,
    pub(super) measured_at: Timestamp,
    /// When `measured_at` last moved, by our clock. An engine that repeats an old measurement grows stale.
    pub(super) moved_at: Instant,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    since: Option<Timestamp>,
    count: u64,
}

impl Samples {
    pub(super) fn new(measured_at: Timestamp, now: Instant) -> Self {
        Self {
            series: BTreeMap::new(),
            counts: BTreeMap::new(),
            cut: BTreeSet::new(),
            measured_at,
            moved_at: now,
        }
    }

    /// Takes in the series of one message, and its time once the look is complete: before that it confirms nothing.
    pub(super) fn add(&mut self, cluster: &ClusterKey, update: &JobLagUpdate, now: Instant) {
        for series in &update.removed {
            self.remove(series);
        }
        for lag in &update.lags {
            self.insert(cluster, lag);
        }
        if update.complete && update.measured_at > self.measured_at {
            self.measured_at = update.measured_at;
            self.moved_at = now;
        }
    }

    /// Tenants with more series than are kept.
    pub(super) fn cut(&self) -> usize {
        self.cut.len()
    }

    fn insert(&mut self, cluster: &ClusterKey, lag: &JobLag) {
        let Some(tenant) = tenant_of(&lag.series) else { return };
        let job_type = match job_type::encode(&lag.series.job_type) {
            Ok(job_type) => job_type,
            Err(error) => {
                tracing::warn!(%cluster, %error, "a job type cannot be scaled by");
                return;
            }
        };
        let waiting = Waiting { since: lag.oldest_run_at, count: lag.activatable };
        if let Some(kept) = self.series.get_mut(&job_type).and_then(|tenants| tenants.get_mut(&tenant)) {
            *kept = waiting;
            return;
        }
        let count = self.counts.entry(tenant.clone()).or_default();
        if *count >= MAX_SERIES_PER_TENANT {
            if self.cut.insert(tenant.clone()) {
                tracing::warn!(
                    %cluster, tenant = tenant.as_deref().unwrap_or("none"), kept = MAX_SERIES_PER_TENANT,
                    "a tenant has more job types than are kept: those beyond cannot be scaled by"
                );
            }
            return;
        }
        *count += 1;
        self.series.entry(job_type).or_default().insert(tenant, waiting);
    }

    fn remove(&mut self, series: &JobSeries) {
        let (Some(tenant), Ok(job_type)) = (tenant_of(series), job_type::encode(&series.job_type)) else {
            return;
        };
        let Some(tenants) = self.series.get_mut(&job_type) else { return };
        if tenants.remove(&tenant).is_none() {
            return;
        }
        if tenants.is_empty() {
            self.series.remove(&job_type);
        }
        if let Some(count) = self.counts.get_mut(&tenant) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&tenant);
            }
        }
    }

    pub(super) fn matching<'a>(
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

    pub(super) fn value(&self, metric: Metric, waiting: &Waiting, age: Duration) -> u64 {
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

/// `None`: the engine's own work, which nobody scales.
fn tenant_of(series: &JobSeries) -> Option<Tenant> {
    match series.tenant_id.as_str() {
        DEFAULT_TENANT => Some(None),
        id if id.starts_with('_') => None,
        id => Some(Some(id.to_owned())),
    }
}
