//! Metrics of a controller. Names of the first three come from the project's founding design.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Seconds. Reconciles are milliseconds when settled and seconds when an engine is slow.
const DURATION_BUCKETS: [f64; 11] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct KindOutcome {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct WatchName {
    kubernetes_cluster: String,
    watch: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ApiCall {
    kubernetes_cluster: String,
    verb: &'static str,
    code: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
struct ResourceStatus {
    kind: &'static str,
    namespace: String,
    name: String,
    status: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
struct ObjectStage {
    namespace: String,
    name: String,
    stage: String,
}

/// The registry of one service and the series that the kit fills. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    reconciliations: Family<KindOutcome, Counter>,
    durations: Family<Kind, Histogram>,
    in_flight: Family<Kind, Gauge>,
    watch_errors: Family<WatchName, Counter>,
    watch_progress: Family<WatchName, Gauge<f64, std::sync::atomic::AtomicU64>>,
    api_calls: Family<ApiCall, Histogram>,
}

impl Metrics {
    /// An empty registry with the kit's series.
    #[must_use]
    pub fn new() -> Self {
        let metrics = Self {
            registry: Arc::new(Mutex::new(Registry::default())),
            reconciliations: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(DURATION_BUCKETS)),
            in_flight: Family::default(),
            watch_errors: Family::default(),
            watch_progress: Family::default(),
            api_calls: Family::new_with_constructor(|| Histogram::new(DURATION_BUCKETS)),
        };
        metrics.with_registry(|registry| {
            registry.register(
                "operator_reconciliations",
                "Reconciles by what came of them",
                metrics.reconciliations.clone(),
            );
            registry.register(
                "operator_reconciliation_duration_seconds",
                "Duration of one reconcile",
                metrics.durations.clone(),
            );
            registry.register(
                "operator_reconciliations_in_flight",
                "Reconciles running now",
                metrics.in_flight.clone(),
            );
            registry.register(
                "operator_watch_errors",
                "Watches that broke and were started again",
                metrics.watch_errors.clone(),
            );
            registry.register(
                "operator_watch_last_progress_seconds",
                "Seconds since the watch was last known to work",
                metrics.watch_progress.clone(),
            );
            registry.register(
                "operator_api_call_duration_seconds",
                "Calls to the Kubernetes API by verb and status code class",
                metrics.api_calls.clone(),
            );
        });
        metrics
    }

    /// Lets a service register series of its own.
    pub fn with_registry<T>(&self, register: impl FnOnce(&mut Registry) -> T) -> T {
        register(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Registers `operator_resource_status{kind,namespace,name,status}`, computed from `list` at each scrape.
    /// At most `limit` objects are shown, the first by (namespace, name); 0 registers nothing.
    pub fn register_resource_status(
        &self,
        kind: &'static str,
        limit: usize,
        list: impl Fn() -> Vec<(String, String, String)> + Send + Sync + 'static,
    ) {
        self.register_objects("operator_resource_status", "Phase of each object", limit, move || {
            let rows = list().into_iter();
            rows.map(|(namespace, name, status)| ResourceStatus { kind, namespace, name, status }).collect()
        });
    }

    /// Registers a metric `name{namespace,name,stage}`, computed from `list` at each scrape; with the limit of
    /// [`Self::register_resource_status`].
    pub fn register_stages(
        &self,
        name: &'static str,
        help: &'static str,
        limit: usize,
        list: impl Fn() -> Vec<(String, String, String)> + Send + Sync + 'static,
    ) {
        self.register_objects(name, help, limit, move || {
            let rows = list().into_iter();
            rows.map(|(namespace, name, stage)| ObjectStage { namespace, name, stage }).collect()
        });
    }

    fn register_objects<L>(
        &self,
        name: &'static str,
        help: &'static str,
        limit: usize,
        list: impl Fn() -> Vec<L> + Send + Sync + 'static,
    ) where
        L: EncodeLabelSet + Ord + 'static,
    {
        if limit > 0 {
            let collector = ObjectCollector { name, help, limit, list: Box::new(list) };
            self.with_registry(|registry| registry.register_collector(Box::new(collector)));
        }
    }

    /// One finished reconcile.
    pub fn observe_reconcile(&self, kind: &'static str, outcome: &'static str, took: Duration) {
        self.reconciliations.get_or_create(&KindOutcome { kind, outcome }).inc();
        self.durations.get_or_create(&Kind { kind }).observe(took.as_secs_f64());
    }

    /// Reconciles of `kind` that run at this moment.
    pub fn add_in_flight(&self, kind: &'static str, change: i64) {
        self.in_flight.get_or_create(&Kind { kind }).inc_by(change);
    }

    /// A watch on a Kubernetes cluster broke.
    pub fn count_watch_error(&self, cluster: &str, watch: &'static str) {
        let kubernetes_cluster = cluster.to_owned();
        self.watch_errors.get_or_create(&WatchName { kubernetes_cluster, watch }).inc();
    }

    /// Time since a watch on a Kubernetes cluster last made progress.
    pub fn set_watch_progress(&self, cluster: &str, watch: &'static str, age: Duration) {
        let kubernetes_cluster = cluster.to_owned();
        self.watch_progress.get_or_create(&WatchName { kubernetes_cluster, watch }).set(age.as_secs_f64());
    }

    /// One call to the API of a Kubernetes cluster. `code` is a class such as `2xx`, `timeout` or `error`.
    pub fn observe_api_call(&self, cluster: &str, verb: &'static str, code: &'static str, took: Duration) {
        let kubernetes_cluster = cluster.to_owned();
        self.api_calls.get_or_create(&ApiCall { kubernetes_cluster, verb, code }).observe(took.as_secs_f64());
    }

    /// The text of `/metrics`.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        self.with_registry(|registry| prometheus_client::encoding::text::encode(&mut text, registry))?;
        Ok(text)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// A series of value 1 per object, the first ones in order.
struct ObjectCollector<L> {
    name: &'static str,
    help: &'static str,
    limit: usize,
    list: Box<dyn Fn() -> Vec<L> + Send + Sync>,
}

impl<L> fmt::Debug for ObjectCollector<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectCollector").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<L: EncodeLabelSet + Ord + 'static> Collector for ObjectCollector<L> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut rows = (self.list)();
        rows.sort();
        let one = ConstGauge::<i64>::new(1);
        let mut family = encoder.encode_descriptor(self.name, self.help, None, one.metric_type())?;
        for labels in rows.into_iter().take(self.limit) {
            one.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resource_status_is_capped_and_sorted() {
        let metrics = Metrics::new();
        metrics.register_resource_status("WorkflowProcess", 2, || {
            ["c", "a", "b"].map(|name| ("ns".to_owned(), name.to_owned(), "Deployed".to_owned())).to_vec()
        });
        let text = metrics.encode().unwrap();
        let shown: Vec<_> =
            text.lines().filter(|line| line.starts_with("operator_resource_status{")).collect();
        assert_eq!(
            shown,
            [
                r#"operator_resource_status{kind="WorkflowProcess",namespace="ns",name="a",status="Deployed"} 1"#,
                r#"operator_resource_status{kind="WorkflowProcess",namespace="ns",name="b",status="Deployed"} 1"#,
            ]
        );
    }

    #[test]
    fn stages_are_capped_and_sorted() {
        let metrics = Metrics::new();
        metrics.register_stages("workflow_cluster_upgrade_stage", "Stage", 1, || {
            ["b", "a"].map(|name| ("ns".to_owned(), name.to_owned(), "Canary".to_owned())).to_vec()
        });
        let text = metrics.encode().unwrap();
        let shown: Vec<_> =
            text.lines().filter(|line| line.starts_with("workflow_cluster_upgrade_stage{")).collect();
        assert_eq!(shown, [r#"workflow_cluster_upgrade_stage{namespace="ns",name="a",stage="Canary"} 1"#]);
    }

    #[test]
    fn watches_and_calls_carry_the_kubernetes_cluster_that_they_are_about() {
        let metrics = Metrics::new();
        metrics.set_watch_progress("local", "Secret", Duration::from_secs(2));
        metrics.count_watch_error("mesh-west", "Secret");
        metrics.observe_api_call("local", "get", "2xx", Duration::from_millis(3));
        let text = metrics.encode().unwrap();
        for expected in [
            r#"operator_watch_last_progress_seconds{kubernetes_cluster="local",watch="Secret"} 2.0"#,
            r#"operator_watch_errors_total{kubernetes_cluster="mesh-west",watch="Secret"} 1"#,
            r#"operator_api_call_duration_seconds_count{kubernetes_cluster="local",verb="get",code="2xx"} 1"#,
        ] {
            assert!(text.lines().any(|line| line == expected), "{expected} is not in\n{text}");
        }
    }

    #[test]
    fn reconciliations_carry_the_names_of_the_design() {
        let metrics = Metrics::new();
        metrics.observe_reconcile("WorkflowTenant", "settled", Duration::from_millis(3));
        let text = metrics.encode().unwrap();
        assert!(
            text.contains(r#"operator_reconciliations_total{kind="WorkflowTenant",outcome="settled"} 1"#),
            "{text}"
        );
        assert!(
            text.contains("operator_reconciliation_duration_seconds_count{kind=\"WorkflowTenant\"} 1"),
            "{text}"
        );
    }
}
