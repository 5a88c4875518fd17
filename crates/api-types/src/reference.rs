//! How one object names another. `engine_access::reference` decides where a reference may point and who grants it.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::grammar;

/// Names a `WorkflowCluster`.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterRef {
    /// Name of the `WorkflowCluster`.
    #[schemars(length(min = 1, max = grammar::DNS_LABEL_MAX), regex(pattern = grammar::DNS_LABEL))]
    pub name: String,
    /// Namespace of the `WorkflowCluster`. Left out: this object's own namespace, and if the cluster is not there, the
    /// installation's cluster namespace (`workflow-system` unless installed otherwise). Another namespace needs a grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = grammar::DNS_LABEL_MAX), regex(pattern = grammar::DNS_LABEL))]
    pub namespace: Option<String>,
}

/// Names a `WorkflowTenant`.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantRef {
    /// Name of the `WorkflowTenant`.
    #[schemars(length(min = 1, max = grammar::DNS_LABEL_MAX), regex(pattern = grammar::DNS_LABEL))]
    pub name: String,
    /// Namespace of the `WorkflowTenant`. Left out: the namespace of the cluster, then this object's own. Another
    /// namespace needs a grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = grammar::DNS_LABEL_MAX), regex(pattern = grammar::DNS_LABEL))]
    pub namespace: Option<String>,
}

/// One key of a Secret in the object's own namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = grammar::DNS_SUBDOMAIN_MAX), regex(pattern = grammar::DNS_SUBDOMAIN))]
    pub name: String,
    /// Key in the Secret's `data`.
    #[schemars(length(min = 1, max = grammar::DATA_KEY_MAX), regex(pattern = grammar::DATA_KEY))]
    pub key: String,
}

/// A Secret in the object's own namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = grammar::DNS_SUBDOMAIN_MAX), regex(pattern = grammar::DNS_SUBDOMAIN))]
    pub name: String,
}

/// One key of a ConfigMap in the object's own namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapKeyRef {
    /// Name of the ConfigMap.
    #[schemars(length(min = 1, max = grammar::DNS_SUBDOMAIN_MAX), regex(pattern = grammar::DNS_SUBDOMAIN))]
    pub name: String,
    /// Key in the ConfigMap's `data` or `binaryData`.
    #[schemars(length(min = 1, max = grammar::DATA_KEY_MAX), regex(pattern = grammar::DATA_KEY))]
    pub key: String,
}

/// What happens in the engine when the object is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[schemars(description = "")] // each field of this type has its own description
pub enum DeletionPolicy {
    /// Its counterpart in the engine is deleted too.
    #[default]
    Delete,
    /// Its counterpart in the engine stays.
    Retain,
}
