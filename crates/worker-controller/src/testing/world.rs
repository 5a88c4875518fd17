//! A whole world in memory: an apiserver, what answers to it, and a controller that takes one pass when a test says so.

use std::cell::Cell;
use std::sync::Arc;

use api_types::WorkflowWorker;
use api_types::labels::{TENANT, WORKER_CONTROLLER};
use api_types::reason::Reason as _;
use api_types::worker::{WorkerPhase, WorkerReason};
use controller_kit::apply::Writer;
use controller_kit::clock::Clock;
use controller_kit::condition::find;
use controller_kit::events::Publisher;
use controller_kit::pass::Passes;
use controller_testing::World as _;
use controller_testing::caches::{Stored, children_in_memory};
use engine_access::engine::{EngineConnector, EngineRole};
use engine_client::{EnginePool, Timeouts};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::{HorizontalPodAutoscaler, MetricSpec};
use k8s_openapi::api::core::v1::{Namespace, Secret, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt as _;
use serde_json::{Value, json};
use test_support::{FakeApiServer, Faults, builders};

use super::{SEED, applied, cluster, tenant};
use crate::children::WorkerChildren;
use crate::context::Context;
use crate::kind::Workers;

/// Name of the worker.
pub(crate) const WORKER: &str = "payment-worker";
/// Namespace of the cluster and of its tenant.
pub(crate) const CLUSTER_NAMESPACE: &str = "workflow-system";
/// A namespace that is granted to the tenant `acme`.
pub(crate) const HOME: &str = "acme-tenant";
/// The Secret with which the worker's pods reach the engine.
pub(crate) const ACCESS: &str = "payment-worker-engine-access";

/// The cluster `prod-east` and the tenant `acme` are there and ready. In `acme-tenant` is what a worker may name.
pub(crate) struct World {
    pub(crate) apiserver: FakeApiServer,
    namespace: String,
    /// Seconds that the autoscaler sees.
    lag: Cell<i64>,
}

impl World {
    /// With this worker, as a user applies it.
    pub(crate) fn with(worker: WorkflowWorker) -> Self {
        let apiserver = FakeApiServer::new();
        let (ca, secrets) = builders::engine_access(&cluster());
        apiserver.seed(&ca);
        for secret in &secrets {
            apiserver.seed(secret);
        }
        apiserver.seed(&tenant());
        apiserver.seed(&cluster());
        apiserver.seed(&namespace(CLUSTER_NAMESPACE, &json!({})));
        apiserver.seed(&namespace(HOME, &json!({TENANT: "acme"})));
        apiserver.seed(&service_account());
        let secret: Secret = serde_json::from_value(json!({
            "metadata": {"name": "stripe", "namespace": HOME}, "data": {"api-key": "c2VjcmV0"},
        }))
        .unwrap();
        apiserver.seed(&secret);
        apiserver.seed(&registry_login("registry"));
        apiserver.seed(&registry_login("mirror"));
        let namespace = worker.namespace().unwrap();
        apiserver.seed(&builders::stored(worker));
        Self { apiserver, namespace, lag: Cell::new(60) }
    }

    /// With the seed's worker, in a namespace of the tenant that it names.
    pub(crate) fn with_seed() -> Self {
        Self::with(applied(SEED, HOME, |worker| worker["spec"]["tenantRef"] = json!({"name": "acme"})))
    }

    pub(crate) fn set_lag(&self, seconds: i64) {
        self.lag.set(seconds);
        self.answer();
    }

    /// Phase, and reason of `Ready`.
    pub(crate) fn reported(&self) -> (Option<WorkerPhase>, String) {
        let status = self.status(WORKER);
        (status.phase, find(&status.conditions, "Ready").unwrap().reason.clone())
    }

    /// Access Secrets, Deployments, autoscalers, disruption budgets.
    pub(crate) fn children(&self) -> [usize; 4] {
        let secrets = self.apiserver.list::<Secret>(HOME);
        [
            secrets.iter().filter(|secret| secret.name_any() == ACCESS).count(),
            self.apiserver.list::<Deployment>(HOME).len(),
            self.apiserver.list::<HorizontalPodAutoscaler>(HOME).len(),
            self.apiserver.list::<PodDisruptionBudget>(HOME).len(),
        ]
    }

    /// Method and path of what was written, without events.
    pub(crate) fn written(&self) -> Vec<String> {
        let mutations = self.apiserver.mutations();
        let mutations = mutations.iter().filter(|request| !request.path.contains("/events"));
        mutations.map(|request| format!("{} {}", request.method, request.path)).collect()
    }

    fn answer_deployment(&self, deployment: &Deployment) -> bool {
        let pods = pods_of(deployment);
        let status = json!({
            "observedGeneration": deployment.metadata.generation, "replicas": pods, "updatedReplicas": pods,
            "readyReplicas": pods, "availableReplicas": pods,
        });
        let is_new = deployment.status != serde_json::from_value(status.clone()).unwrap();
        if is_new {
            self.apiserver.edit::<Deployment>(&self.namespace, WORKER, |it| it["status"] = status);
        }
        is_new
    }

    fn answer_autoscaler(&self, autoscaler: &HorizontalPodAutoscaler, pods: i32) -> bool {
        let wanted = autoscaler.spec.clone().and_then(|spec| spec.metrics).unwrap_or_default();
        let seen = |metric: MetricSpec| {
            let average = format!("{}m", self.lag.get() * 1_000 / i64::from(pods));
            let metric = metric.external.unwrap().metric;
            json!({"type": "External", "external": {"metric": metric, "current": {"averageValue": average}}})
        };
        let status = json!({
            "currentReplicas": pods,
            "desiredReplicas": pods,
            "currentMetrics": wanted.into_iter().map(seen).collect::<Vec<_>>(),
            "conditions": [
                {"type": "AbleToScale", "status": "True", "reason": "ReadyForNewScale"},
                {"type": "ScalingActive", "status": "True", "reason": "ValidMetricFound"},
            ],
        });
        let is_new = autoscaler.status != serde_json::from_value(status.clone()).unwrap();
        if is_new {
            self.apiserver
                .edit::<HorizontalPodAutoscaler>(&self.namespace, WORKER, |it| it["status"] = status);
        }
        is_new
    }
}

impl controller_testing::World for World {
    type Kind = Workers;

    fn namespace(&self) -> &str {
        &self.namespace
    }

    fn apiserver(&self) -> &FakeApiServer {
        &self.apiserver
    }

    fn started_behind(&self, faults: &Faults) -> Passes<Workers> {
        let client = faults.wrap(self.apiserver.client());
        let clock = Clock::fixed("2026-01-01T00:00:00Z".parse().unwrap());
        let engines = Arc::new(EnginePool::new(Timeouts::default()));
        let context = Context {
            client: client.clone(),
            clock: clock.clone(),
            directory: Arc::new(Stored(self.apiserver.clone())),
            cluster_namespace: CLUSTER_NAMESPACE.into(),
            engines: EngineConnector::new(client.clone(), engines, EngineRole::Monitor),
            caches: children_in_memory::<WorkerChildren>(&self.apiserver),
        };
        Passes {
            kind: Workers { context },
            writer: Writer::new(client.clone(), WORKER_CONTROLLER.field_manager),
            publisher: Publisher::new(client, "worker-controller", "test".into(), clock.clone()),
            clock,
        }
    }

    fn refresh(&self, passes: &mut Passes<Workers>) {
        passes.kind.context.caches = children_in_memory::<WorkerChildren>(&self.apiserver);
    }

    /// All wanted pods run, and the autoscaler sees the lag.
    fn answer(&self) -> bool {
        let mut answered = false;
        for deployment in self.apiserver.list::<Deployment>(&self.namespace) {
            answered |= self.answer_deployment(&deployment);
            for autoscaler in self.apiserver.list::<HorizontalPodAutoscaler>(&self.namespace) {
                answered |= self.answer_autoscaler(&autoscaler, pods_of(&deployment));
            }
        }
        answered
    }
}

pub(crate) fn as_reported(phase: WorkerPhase, reason: WorkerReason) -> (Option<WorkerPhase>, String) {
    (Some(phase), reason.as_str().to_owned())
}

pub(crate) fn service_account() -> ServiceAccount {
    serde_json::from_value(json!({"metadata": {"name": "worker-sa", "namespace": HOME}})).unwrap()
}

pub(crate) fn registry_login(name: &str) -> Secret {
    serde_json::from_value(json!({
        "metadata": {"name": name, "namespace": HOME},
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": "e30="},
    }))
    .unwrap()
}

fn namespace(name: &str, labels: &Value) -> Namespace {
    serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}})).unwrap()
}

fn pods_of(deployment: &Deployment) -> i32 {
    deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}
