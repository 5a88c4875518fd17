//! Objects, observations and a whole world for this crate's tests.

pub(crate) mod world;

use std::sync::Arc;

use api_types::{WorkflowCluster, WorkflowTenant, WorkflowWorker};
use controller_kit::children::{Child, plan_children};
use controller_kit::plan::{ChildVerdict, Desired};
use engine_access::reference::Resolved;
use engine_client::{TenantEpoch, TenantKey, TokenRole};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::ApiResource;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use test_support::builders;

use crate::children::autoscaler::Autoscaler;
use crate::children::deployment::{self, WorkerPods};
use crate::children::{BuildInput, Children, WorkerChildren};
use crate::kind::Applied;
use crate::observe::{Access, AccessView, Observed, References};
use crate::validate::validate;

/// The manifest of the founding design.
pub(crate) const SEED: &str = include_str!("../../api-types/testdata/seeds/workflowworker.yaml");
/// As little as can be said.
pub(crate) const MINIMAL: &str = include_str!("../testdata/minimal.yaml");
/// As much as can be said.
pub(crate) const EVERY_FIELD: &str = include_str!("../testdata/every-field.yaml");

pub(crate) fn parse<K: DeserializeOwned>(yaml: &str) -> K {
    serde_saphyr::from_str(yaml).unwrap()
}

/// The object as read back from the API server, beside its cluster.
pub(crate) fn worker(yaml: &str) -> WorkflowWorker {
    let mut worker: WorkflowWorker = parse(yaml);
    worker.metadata.namespace.get_or_insert("workflow-system".into());
    worker.metadata.uid = Some("uid-worker".into());
    worker.metadata.generation = Some(1);
    worker.metadata.resource_version = Some("7".into());
    worker
}

/// The worker of that manifest in that namespace, changed, as a user applies it.
pub(crate) fn applied(yaml: &str, namespace: &str, change: impl FnOnce(&mut Value)) -> WorkflowWorker {
    let mut value: Value = parse(yaml);
    value["metadata"]["namespace"] = json!(namespace);
    change(&mut value);
    serde_json::from_value(value).unwrap()
}

/// The token that a tenant's workers must get.
pub(crate) fn token(tenant_id: &str, epoch: &str) -> String {
    let tenant = TenantEpoch { tenant_id: tenant_id.to_owned(), epoch: epoch.to_owned() };
    let key = TenantKey::parse(builders::WORKER_KEY).unwrap();
    key.mint(TokenRole::Worker, &tenant).expose().to_owned()
}

/// [`MINIMAL`] with another spec.
pub(crate) fn worker_with(change: impl FnOnce(&mut Value)) -> WorkflowWorker {
    let mut value = serde_json::to_value(worker(MINIMAL)).unwrap();
    change(&mut value);
    serde_json::from_value(value).unwrap()
}

/// [`MINIMAL`] with an autoscaler from 2 to 20.
pub(crate) fn autoscaled() -> WorkflowWorker {
    worker_with(|worker| worker["spec"]["autoscaling"] = json!({"minReplicas": 2, "maxReplicas": 20}))
}

pub(crate) fn cluster() -> WorkflowCluster {
    builders::running_cluster("workflow-system", "prod-east")
}

pub(crate) fn tenant() -> WorkflowTenant {
    builders::active_tenant("workflow-system", "acme", &cluster())
}

/// The tenant only where the worker names one.
pub(crate) fn resolved(worker: &WorkflowWorker) -> Resolved {
    let tenant = worker.spec.tenant_ref.as_ref().map(|_| Arc::new(tenant()));
    Resolved { cluster: Arc::new(cluster()), tenant }
}

pub(crate) fn access(worker: &WorkflowWorker) -> Access {
    let (tenant_id, epoch) =
        if worker.spec.tenant_ref.is_some() { ("acme", "uid-acme") } else { ("_default", "") };
    let tenant = TenantEpoch { tenant_id: tenant_id.to_owned(), epoch: epoch.to_owned() };
    Access {
        address: "prod-east-engine.workflow-system.svc:26500".into(),
        ca_pem: "-----BEGIN CERTIFICATE-----".into(),
        token: TenantKey::parse(builders::WORKER_KEY).unwrap().mint(TokenRole::Worker, &tenant),
    }
}

/// All is there but the children.
pub(crate) fn observed(worker: &WorkflowWorker) -> Observed {
    Observed {
        references: References::Resolved(resolved(worker)),
        access: AccessView::Known(access(worker)),
        children: Children::default(),
        missing: Vec::new(),
        stuck: None,
    }
}

pub(crate) fn with_input<T>(worker: &WorkflowWorker, build: impl FnOnce(&BuildInput<'_>) -> T) -> T {
    let (fleet, resolved, access) = (validate(worker).unwrap(), resolved(worker), access(worker));
    build(&BuildInput { worker, fleet: &fleet, resolved: &resolved, access: &access })
}

/// The children as this controller makes them, with `replicas` as the number of pods that was applied.
pub(crate) fn children(worker: &WorkflowWorker, replicas: Option<i32>) -> Children {
    with_input(worker, |input| {
        let nothing = Children::default();
        let applied: Vec<Desired> = plan_children(worker, input, &nothing)
            .filter_map(|(_, verdict)| match verdict {
                ChildVerdict::Apply(desired) => Some(desired),
                _ => None,
            })
            .collect();
        let stored = |resource: &ApiResource, name: &str| {
            let is_it = |desired: &&Desired| desired.resource == *resource && desired.name == name;
            applied.iter().find(is_it).map(stored)
        };
        let mut children = Children::holding(worker, stored).unwrap();
        children.set(&WorkerPods, Some(stored_deployment(input, replicas)));
        children
    })
}

fn stored_deployment(input: &BuildInput<'_>, replicas: Option<i32>) -> Deployment {
    serde_json::from_value(stored(&Desired::of(&deployment::build(input, replicas)))).unwrap()
}

/// As the API server keeps what was applied.
fn stored(desired: &Desired) -> Value {
    let mut body = desired.body.clone();
    body["metadata"]["uid"] = json!(format!("uid-of-{}", desired.resource.kind));
    body["metadata"]["resourceVersion"] = json!("11");
    body["metadata"]["generation"] = json!(1);
    body
}

/// Changes a child that is there.
pub(crate) fn edit<C>(children: &mut Children, child: &C, change: impl FnOnce(&mut Value))
where
    C: Child<Set = WorkerChildren>,
{
    let mut value = serde_json::to_value(children.get(child).unwrap()).unwrap();
    change(&mut value);
    children.set(child, Some(serde_json::from_value(value).unwrap()));
}

/// A fleet of `pods` that all run, and an autoscaler, if there is one, that sees `lag` seconds.
pub(crate) fn running(worker: &WorkflowWorker, pods: i32, lag: i64) -> Observed {
    let mut observed = observed(worker);
    observed.children = children(worker, Some(pods));
    edit(&mut observed.children, &WorkerPods, |deployment| {
        deployment["status"] = json!({
            "observedGeneration": 1, "replicas": pods, "updatedReplicas": pods, "readyReplicas": pods, "availableReplicas": pods,
        });
    });
    if observed.children.get(&Autoscaler).is_some() {
        edit(&mut observed.children, &Autoscaler, |autoscaler| {
            autoscaler["status"] = autoscaler_status(pods, lag);
        });
    }
    observed
}

/// As the HPA controller writes it: the lag per pod, rounded up to thousandths.
pub(crate) fn autoscaler_status(pods: i32, lag: i64) -> Value {
    let per_pod = (lag * 1_000 + i64::from(pods) - 1) / i64::from(pods);
    json!({
        "currentReplicas": pods,
        "desiredReplicas": pods,
        "currentMetrics": [{
            "type": "External",
            "external": {
                "metric": {"name": "wf_job_lag_seconds", "selector": {"matchLabels": {"job_type": "charge-payment"}}},
                "current": {"averageValue": format!("{per_pod}m")},
            },
        }],
        "conditions": [
            {"type": "AbleToScale", "status": "True", "reason": "ReadyForNewScale"},
            {"type": "ScalingActive", "status": "True", "reason": "ValidMetricFound"},
        ],
    })
}

pub(crate) fn nothing_applied() -> Applied {
    Applied::default()
}

/// After the Deployment was written.
pub(crate) fn deployment_applied(deployment: &Deployment) -> Applied {
    let desired = serde_json::from_value(Desired::of(deployment).body).unwrap();
    Applied { children: vec![desired], ..Applied::default() }
}
