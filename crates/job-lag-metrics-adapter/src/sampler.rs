//! Keeps one lag stream open per WorkflowCluster. Each has a task and a backoff of its own, so an engine that is
//! away delays no other.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use api_types::WorkflowCluster;
use api_types::cluster::ClusterPhase;
use backon::BackoffBuilder as _;
use controller_kit::clock::Clock;
use controller_kit::run::chain;
use futures::StreamExt as _;
use kube::runtime::reflector;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _},
    metrics::{MetricType, counter::Counter, gauge::ConstGauge},
};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use crate::{
    probes::Probes,
    source::LagSource,
    store::{ClusterKey, Store},
    visibility::key_of,
};

/// How soon a new WorkflowCluster is sampled.
const TICK: Duration = Duration::from_secs(1);

/// From 250 ms to 2 s, doubled at most by jitter: an engine that is back shows within five seconds.
fn backoff() -> backon::ExponentialBackoff {
    backon::ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(250))
        .with_max_delay(Duration::from_secs(2))
        .with_jitter()
        .without_max_times()
        .build()
}

pub struct Sampler<S> {
    pub clusters: reflector::Store<WorkflowCluster>,
    pub source: Arc<S>,
    pub store: Arc<Store>,
    pub probes: Probes,
    /// When a stopped cluster was seen.
    pub clock: Clock,
    /// Streams that ended.
    pub broken: Counter,
}

struct Open {
    /// Distinguishes an object from another one of the same name.
    uid: Option<String>,
    task: tokio::task::AbortHandle,
}

impl<S: LagSource> Sampler<S> {
    /// Samples for ever.
    pub async fn sample(self) {
        let mut tasks = JoinSet::new();
        let mut open: BTreeMap<ClusterKey, Open> = BTreeMap::new();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.probes.beat("sampler");
            let clusters = self.clusters.state().into_iter().map(|cluster| (key_of(&cluster), cluster));
            let (stopped, wanted): (BTreeMap<_, _>, BTreeMap<_, _>) =
                clusters.partition(|(_, cluster)| is_stopped(cluster));
            self.store.set_stopped(stopped.into_keys().map(|key| (key, self.clock.now())).collect());
            open.retain(|key, open| {
                let stays = wanted.get(key).is_some_and(|cluster| cluster.metadata.uid == open.uid);
                if !stays {
                    open.task.abort();
                    self.store.forget(key);
                }
                stays
            });
            for (key, cluster) in wanted {
                open.entry(key.clone()).or_insert_with(|| Open {
                    uid: cluster.metadata.uid.clone(),
                    task: tasks.spawn(self.stream_of(key).follow()),
                });
            }
            // Only aborted tasks end; their results are of no interest.
            while tasks.try_join_next().is_some() {}
        }
    }

    fn stream_of(&self, key: ClusterKey) -> LagStream<S> {
        LagStream {
            reference: reflector::ObjectRef::new(&key.name).within(&key.namespace),
            key,
            clusters: self.clusters.clone(),
            source: self.source.clone(),
            store: self.store.clone(),
            broken: self.broken.clone(),
        }
    }
}

/// No engine pod is left that could be asked.
fn is_stopped(cluster: &WorkflowCluster) -> bool {
    let phase = cluster.status.as_ref().and_then(|status| status.phase);
    cluster.spec.engine_pods() == 0 && phase == Some(ClusterPhase::Stopped)
}

struct LagStream<S> {
    key: ClusterKey,
    reference: reflector::ObjectRef<WorkflowCluster>,
    clusters: reflector::Store<WorkflowCluster>,
    source: Arc<S>,
    store: Arc<Store>,
    broken: Counter,
}

impl<S: LagSource> LagStream<S> {
    /// Follows one cluster until it is aborted. The object is read anew for each attempt: its endpoint may be new.
    async fn follow(self) {
        let mut delays = backoff();
        let mut reported = None;
        loop {
            if let Some(cluster) = self.clusters.get(&self.reference) {
                let mut updates = self.source.watch(cluster);
                let mut feed = self.store.feed(&self.key);
                let mut series = 0;
                while let Some(update) = updates.next().await {
                    match update {
                        Ok(update) => {
                            feed.apply(&update, Instant::now());
                            if update.snapshot {
                                series += update.lags.len();
                            }
                            if update.complete {
                                if reported.take().is_some() || update.snapshot {
                                    tracing::info!(cluster = %self.key, series, "job lag is being sampled");
                                }
                                delays = backoff();
                            }
                        }
                        Err(error) => {
                            self.broken.inc();
                            let error = chain(&error);
                            if reported.as_ref() != Some(&error) {
                                tracing::warn!(cluster = %self.key, error, "job lag is not being sampled");
                                reported = Some(error);
                            }
                        }
                    }
                }
            }
            sleep(delays.next().unwrap_or(TICK)).await;
        }
    }
}

/// How well each cluster is known, at each scrape: `adapter_sample_age_seconds{namespace,name}` is how long ago its engine
/// was heard of, `adapter_cut_tenants{namespace,name}` how many tenants have more job types than are kept.
#[derive(Debug)]
pub struct SampleStates(pub Arc<Store>);

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ClusterLabels {
    namespace: String,
    name: String,
}

impl Collector for SampleStates {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let states: Vec<_> = self
            .0
            .state(Instant::now())
            .into_iter()
            .map(|(ClusterKey { namespace, name }, state)| (ClusterLabels { namespace, name }, state))
            .collect();
        let mut ages = encoder.encode_descriptor(
            "adapter_sample_age_seconds",
            "Seconds since a cluster's engine last reported its job lag",
            None,
            MetricType::Gauge,
        )?;
        for (labels, state) in &states {
            ConstGauge::new(state.age.as_secs_f64()).encode(ages.encode_family(labels)?)?;
        }
        let mut cut = encoder.encode_descriptor(
            "adapter_cut_tenants",
            "Tenants with more job types than are kept; those beyond cannot be scaled by",
            None,
            MetricType::Gauge,
        )?;
        for (labels, state) in &states {
            let tenants = i64::try_from(state.cut_tenants).unwrap_or(i64::MAX);
            ConstGauge::new(tenants).encode(cut.encode_family(labels)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
