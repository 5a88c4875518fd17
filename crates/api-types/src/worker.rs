//! `WorkflowWorker`: a fleet of job workers, scaled on job lag.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerBehavior;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::grammar;
use crate::reference::{ClusterRef, SecretKeyRef, SecretRef, TenantRef};
use crate::scheduling::{Resources, Scheduling};
use crate::schema::{self, CelRule};

mod reason;
pub use reason::WorkerReason;

/// Seconds of job lag per pod that the autoscaler aims at when the spec names none.
pub const DEFAULT_TARGET_JOB_LAG_SECONDS: i32 = 30;
/// Seconds that a pod gets to finish its jobs when the spec names none.
pub const DEFAULT_TERMINATION_GRACE_PERIOD_SECONDS: i32 = 30;
/// Most pods of one fleet.
pub const MAX_WORKER_REPLICAS: i32 = 1000;

pub(crate) const NAME: CelRule = (
    "self.metadata.name.size() <= 63 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
    "metadata.name must be at most 63 characters of a-z, 0-9 and '-', starting and ending with a letter or digit: it is the worker's name in the engine and a label value",
);
pub(crate) const REPLICAS_ORDER: CelRule = (
    "self.minReplicas <= self.maxReplicas",
    "spec.autoscaling.minReplicas must not be greater than maxReplicas",
);
/// Counts the characters that [`crate::job_type::encode`] needs: a job type that is accepted here always has a label
/// value.
pub(crate) const JOB_TYPES_ENCODE: CelRule = (
    r"self.all(type, (type.matches('^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$') && !(type.startsWith('x_') && type.endsWith('_x'))) || 4 + type.size() + 2 * type.findAll(r'[^-A-Za-z0-9.]').size() + 3 * type.findAll(r'[^\x{00}-\x{7f}]').size() + 3 * type.findAll(r'[^\x{00}-\x{7ff}]').size() + 3 * type.findAll(r'[^\x{00}-\x{ffff}]').size() <= 63)",
    "spec.jobTypes must each fit in a label value of 63 characters; letters, digits, '.' and '-' count 1, every other byte counts 3, plus 4 when there is such a byte",
);
pub(crate) const ENV_NAME_RESERVED: CelRule = (
    "!self.startsWith('WORKFLOW_')",
    "spec.env names must not start with WORKFLOW_: those variables belong to the operator",
);
pub(crate) const ENV_ONE_OF: CelRule =
    ("!(has(self.value) && has(self.valueFrom))", "spec.env entries may not have both value and valueFrom");

/// A fleet of job workers, scaled on the lag of their job types.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "workflow.example.com",
    version = "v1alpha1",
    kind = "WorkflowWorker",
    doc = "A fleet of job workers, scaled on the lag of their job types.",
    namespaced,
    status = "WorkflowWorkerStatus",
    derive = "PartialEq",
    shortname = "wfw",
    category = "workflow",
    validation = NAME,
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Ready", type_ = "boolean", json_path = ".status.ready"),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".status.readyReplicas", description = "Ready worker pods"),
    printcolumn(name = "Lag-Seconds", type_ = "integer", json_path = ".status.currentLagSeconds", description = "Seconds that the oldest job waits"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowWorkerSpec {
    /// The cluster whose jobs are worked on.
    pub cluster_ref: ClusterRef,
    /// The tenant whose jobs are worked on. Left out: the tenant that the Namespace is labelled with
    /// (`workflow.example.com/tenant`), and the engine's default tenant if there is no such label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_ref: Option<TenantRef>,
    /// Image of the worker, `[registry/]path[:tag][@sha256:digest]`.
    #[schemars(length(min = 1, max = grammar::IMAGE_MAX), regex(pattern = grammar::IMAGE))]
    pub image: String,
    /// Job types that the worker serves, 1 to 16, each once; the autoscaler follows the lag of all of them.
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = grammar::JOB_TYPE_MAX), regex(pattern = grammar::JOB_TYPE)))]
    #[x_kube(merge_strategy = ListMerge::Set, validation = JOB_TYPES_ENCODE)]
    pub job_types: Vec<String>,
    /// Number of pods, 0 to 1000. With `autoscaling` only the number to start with; when `autoscaling` is removed, the pods
    /// that run stay until this number is changed. 0 without `autoscaling` always stops the fleet.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = MAX_WORKER_REPLICAS))]
    pub replicas: i32,
    /// Scales the pods on job lag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,
    /// CPU and memory of each pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Identity of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication: Option<WorkerAuthentication>,
    /// Secrets in this namespace that the pods' image is pulled with, of type `kubernetes.io/dockerconfigjson`, as in a pod
    /// spec; at most 16, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub image_pull_secrets: Vec<SecretRef>,
    /// Environment of the worker, in addition to the operator's own `WORKFLOW_…` variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub env: Vec<EnvVar>,
    /// Where the pods run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduling: Option<Scheduling>,
    /// Seconds that a pod gets to finish its jobs, 0 to 3600; 30 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3600))]
    pub termination_grace_period_seconds: Option<i32>,
    /// Stops all writes to owned objects; the status is still reported and deletion still works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
}

fn one() -> i32 {
    1
}

impl WorkflowWorkerSpec {
    /// Whether writes to owned objects are stopped.
    pub fn is_paused(&self) -> bool {
        self.paused == Some(true)
    }

    /// Seconds that a pod gets to finish its jobs.
    pub fn termination_grace_period_seconds(&self) -> i32 {
        self.termination_grace_period_seconds.unwrap_or(DEFAULT_TERMINATION_GRACE_PERIOD_SECONDS)
    }

    /// Name of the pods' ServiceAccount, if the spec names one.
    pub fn service_account(&self) -> Option<&str> {
        self.authentication.as_ref()?.service_account.as_deref()
    }
}

/// Scales pods on job lag.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = REPLICAS_ORDER)]
#[serde(rename_all = "camelCase")]
pub struct Autoscaling {
    /// Fewest pods, 1 or more.
    #[schemars(range(min = 1, max = MAX_WORKER_REPLICAS))]
    pub min_replicas: i32,
    /// Most pods.
    #[schemars(range(min = 1, max = MAX_WORKER_REPLICAS))]
    pub max_replicas: i32,
    /// Seconds of job lag per pod that the autoscaler aims at, 1 to 2592000 (30 days); 30 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_592_000))]
    pub target_job_lag_threshold: Option<i32>,
    /// How fast the autoscaler changes the number of pods, as in autoscaling/v2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::autoscaler_behavior")]
    pub behavior: Option<HorizontalPodAutoscalerBehavior>,
}

impl Autoscaling {
    /// Seconds of job lag per pod that the autoscaler aims at.
    pub fn target_job_lag_seconds(&self) -> i32 {
        self.target_job_lag_threshold.unwrap_or(DEFAULT_TARGET_JOB_LAG_SECONDS)
    }
}

/// Identity of the worker pods.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerAuthentication {
    /// Name of a ServiceAccount in this namespace. Its token is not mounted. Left out: `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = grammar::DNS_SUBDOMAIN_MAX), regex(pattern = grammar::DNS_SUBDOMAIN))]
    pub service_account: Option<String>,
}

/// One environment variable: `value`, or `valueFrom`, or neither for an empty value.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = ENV_ONE_OF)]
#[serde(rename_all = "camelCase")]
pub struct EnvVar {
    /// Name of the variable; `WORKFLOW_…` is refused.
    #[schemars(length(min = 1, max = grammar::ENV_NAME_MAX), regex(pattern = grammar::ENV_NAME))]
    #[x_kube(validation = ENV_NAME_RESERVED)]
    pub name: String,
    /// Its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub value: Option<String>,
    /// Where its value comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<EnvVarSource>,
}

/// Where the value of an environment variable comes from.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnvVarSource {
    /// A key of a Secret in this namespace.
    pub secret_key_ref: SecretKeyRef,
}

/// What the worker-controller last saw.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = schema::unseen_status()))]
pub struct WorkflowWorkerStatus {
    /// The `metadata.generation` that this status was computed for; -1 until a controller saw the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = crate::UNSEEN_GENERATION))]
    pub observed_generation: Option<i64>,
    /// Phase of the fleet, in one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<WorkerPhase>,
    /// Whether the fleet runs as the spec says and its autoscaler works.
    #[serde(default)]
    pub ready: bool,
    /// What happens now, or what is wrong and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = crate::MAX_MESSAGE_CHARS))]
    pub message: Option<String>,
    /// `Ready` always; `Reconciling`, `Stalled`, `Paused` while they apply; `RolloutComplete`,
    /// `MetricsAvailable`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// Pods that exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = i32::MAX))]
    pub replicas: Option<i32>,
    /// Pods that are ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = i32::MAX))]
    pub ready_replicas: Option<i32>,
    /// Label selector of the pods, for the scale subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub selector: Option<String>,
    /// Seconds that the oldest job of all served types waits, as the autoscaler last saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub current_lag_seconds: Option<i64>,
    /// Id of the key that the token of the fleet's pods was minted from. It changes when every pod was started with a
    /// token of the new key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub access_key_id: Option<String>,
}

/// Phase of a fleet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(description = "")] // each field of this type has its own description
pub enum WorkerPhase {
    /// Something outside is missing: the cluster, the tenant, a Secret, a valid spec.
    #[default]
    Pending,
    /// Pods are being started or replaced.
    Progressing,
    /// The fleet runs as the spec says.
    Running,
    /// `replicas` is 0.
    Stopped,
    /// The fleet runs, and something is wrong: pods missing or metrics unavailable.
    Degraded,
    /// Nothing will change until a person acts.
    Failed,
    /// The cleanup runs.
    Deleting,
}
