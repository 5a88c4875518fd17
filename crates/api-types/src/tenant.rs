//! `WorkflowTenant`: one tenant of a cluster, its quotas and who may refer to it.

// `max…` in Quotas: the names are the API's. The `allow` is for the whole module, because the copy of the struct that
// KubeSchema makes does not keep the struct's attributes.
#![allow(clippy::struct_field_names)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::grammar;
use crate::reference::ClusterRef;
use crate::schema::{self, CelRule};

/// Most namespaces of one tenant that get the Secret of its clients.
pub const MAX_CLIENT_NAMESPACES: usize = 128;

mod reason;
pub use reason::TenantReason;

pub(crate) const NAME: CelRule = (
    "self.metadata.name.size() <= 63 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
    "metadata.name must be at most 63 characters of a-z, 0-9 and '-', starting and ending with a letter or digit: it is the tenant's id in the engine and a label value",
);
const CLUSTER_IMMUTABLE: CelRule = (
    "self == oldSelf",
    "spec.clusterRef is immutable: a tenant's data does not move; create a new WorkflowTenant for the other cluster",
);
pub(crate) const RLS_ON: CelRule =
    ("self", "spec.isolation.rls must be true: the engine always isolates tenants by row-level security");

/// A tenant of a workflow engine: its quotas, its isolation and the namespaces that may refer to it.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "workflow.example.com",
    version = "v1alpha1",
    kind = "WorkflowTenant",
    doc = "A tenant of a workflow engine: its quotas, its isolation and the namespaces that may refer to it.",
    namespaced,
    status = "WorkflowTenantStatus",
    derive = "PartialEq",
    shortname = "wft",
    category = "workflow",
    validation = NAME,
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Ready", type_ = "boolean", json_path = ".status.ready"),
    printcolumn(name = "Instances", type_ = "integer", json_path = ".status.currentInstances", description = "Active process instances"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowTenantSpec {
    /// The cluster whose engine holds the tenant. Immutable.
    #[x_kube(validation = CLUSTER_IMMUTABLE)]
    pub cluster_ref: ClusterRef,
    /// Name that is shown to people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128), regex(pattern = grammar::ONE_LINE))]
    pub display_name: Option<String>,
    /// Usage at which the engine refuses more; nothing that runs is stopped. A quota that is left out is unlimited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quotas: Option<Quotas>,
    /// How the tenant's data is kept apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
    /// Namespaces whose processes and workers may refer to this tenant and, through it, to its cluster. The tenant's
    /// and the cluster's own namespaces need no entry. Applications there get Secret `<tenant>-client` if the namespace
    /// has opted in by a RoleBinding for the tenant-controller.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = grammar::DNS_LABEL_MAX), regex(pattern = grammar::DNS_LABEL)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub namespaces: Vec<String>,
    /// Refuses new instances and hands out no jobs until it is false again; nothing is lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended: Option<bool>,
    /// Stops all writes to the engine. The Secrets of applications are neither made nor changed, but a Secret whose
    /// grant ends is still deleted. The status is still reported and deletion still works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// `Delete` (default) removes the tenant and its data from the engine once nothing runs there any more; `Purge` cancels
    /// what runs and removes everything at once; `Retain` leaves tenant and data. It may be changed while the object is
    /// being deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<TenantDeletionPolicy>,
}

impl WorkflowTenantSpec {
    /// Whether the tenant is suspended.
    pub fn is_suspended(&self) -> bool {
        self.suspended == Some(true)
    }

    /// Whether writes to the engine are stopped.
    pub fn is_paused(&self) -> bool {
        self.paused == Some(true)
    }

    /// What happens on deletion; `Delete` when the spec says nothing.
    pub fn deletion_policy(&self) -> TenantDeletionPolicy {
        self.deletion_policy.unwrap_or_default()
    }
}

/// What happens to a tenant in the engine when its object is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(description = "")] // each field of this type has its own description
pub enum TenantDeletionPolicy {
    /// It is deleted too. While something runs there, the object waits.
    #[default]
    Delete,
    /// It stays; only the object is deleted.
    Retain,
    /// It is deleted with all its data, and what runs there is cancelled.
    Purge,
}

/// Usage at which the engine refuses more of a tenant.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Quotas {
    /// Process instances active at the same time. When it is reached, starts are refused. To allow none, use
    /// `spec.suspended`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_i64))]
    pub max_active_instances: Option<i64>,
    /// Jobs created per minute. When it is reached, starts are refused; instances that run go on and may exceed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_i64))]
    pub max_jobs_per_minute: Option<i64>,
    /// Storage in gigabytes (10^9 bytes). When it is reached, deployments are refused; instances that run go on and may
    /// exceed it.
    #[serde(default, rename = "maxStorageGB", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_i64))]
    pub max_storage_gb: Option<i64>,
}

/// How a tenant's data is kept apart.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Isolation {
    /// Postgres row-level security. Always on; `false` is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = RLS_ON)]
    pub rls: Option<bool>,
}

/// What the tenant-controller last saw.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = schema::unseen_status()))]
pub struct WorkflowTenantStatus {
    /// The `metadata.generation` that this status was computed for; -1 until a controller saw the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = crate::UNSEEN_GENERATION))]
    pub observed_generation: Option<i64>,
    /// Phase of the tenant, in one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<TenantPhase>,
    /// Whether the engine holds the tenant as the spec says.
    #[serde(default)]
    pub ready: bool,
    /// What happens now, or what is wrong and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = crate::MAX_MESSAGE_CHARS))]
    pub message: Option<String>,
    /// `Ready` always; `Reconciling`, `Stalled`, `Paused` while they apply; `Synced`, `WithinQuota`, `ClientAccess`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// Active process instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub current_instances: Option<i64>,
    /// Jobs created in the last full minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub current_jobs_per_minute: Option<i64>,
    /// Storage in gigabytes (10^9 bytes).
    #[serde(default, rename = "currentStorageGB", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000_i64))]
    pub current_storage_gb: Option<f64>,
    /// Namespaces that have Secret `<tenant>-client`, with the address and the token for applications of this tenant. A
    /// namespace where it could not be deleted, because the permission was missing, stays in this list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_CLIENT_NAMESPACES), inner(length(min = 1, max = grammar::DNS_LABEL_MAX), regex(pattern = grammar::DNS_LABEL)))]
    pub client_namespaces: Vec<String>,
    /// Id of the key that the tokens in all of these Secrets were made with; left out while some of them were made with
    /// an older key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub client_key_id: Option<String>,
}

/// Phase of a tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(description = "")] // each field of this type has its own description
pub enum TenantPhase {
    /// The engine does not hold the tenant yet.
    #[default]
    Pending,
    /// The engine serves the tenant.
    Active,
    /// `spec.suspended` is set.
    Suspended,
    /// The engine holds the tenant, and something is wrong with it or with reaching the engine.
    Degraded,
    /// Nothing will change until a person acts.
    Failed,
    /// The cleanup runs.
    Deleting,
}
