//! Where pods run and what they may use.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, ResourceRequirements, Toleration, TopologySpreadConstraint};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::grammar;
use crate::quantity::Quantity;
use crate::schema::{self, CelRule};

pub(crate) const POD_LABELS_RESERVED: CelRule = (
    "!has(self.podLabels) || self.podLabels.all(key, !key.startsWith('app.kubernetes.io/') && !key.startsWith('workflow.example.com/'))",
    "podLabels must not use the prefixes app.kubernetes.io/ and workflow.example.com/: they belong to the operator",
);

pub(crate) const RESOURCES_ORDER: CelRule = (
    "!has(self.requests) || !has(self.limits) || self.requests.all(name, !(name in self.limits) || !isQuantity(string(self.requests[name])) || !isQuantity(string(self.limits[name])) || quantity(string(self.requests[name])).compareTo(quantity(string(self.limits[name]))) <= 0)",
    "resources.requests must not be greater than resources.limits of the same resource",
);

/// CPU, memory and other resources of one container.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = RESOURCES_ORDER)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// What each pod is guaranteed, by resource name: `cpu`, `memory`, `ephemeral-storage`, …
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::resource_map")]
    pub requests: BTreeMap<String, Quantity>,
    /// What each pod may use at most, by resource name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::resource_map")]
    pub limits: BTreeMap<String, Quantity>,
}

impl Resources {
    /// The form that pod specs take.
    pub fn to_kube(&self) -> ResourceRequirements {
        let amounts = |map: &BTreeMap<String, Quantity>| {
            (!map.is_empty())
                .then(|| map.iter().map(|(name, amount)| (name.clone(), amount.to_kube())).collect())
        };
        ResourceRequirements {
            requests: amounts(&self.requests),
            limits: amounts(&self.limits),
            claims: None,
        }
    }
}

/// Where pods run. It applies to every pod that is made for the object.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = POD_LABELS_RESERVED)]
#[serde(rename_all = "camelCase")]
pub struct Scheduling {
    /// Labels that a node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::label_map")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the pods tolerate, as in a pod spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::tolerations")]
    pub tolerations: Vec<Toleration>,
    /// Affinity of the pods, as in a pod spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::affinity")]
    pub affinity: Option<Affinity>,
    /// How pods spread over the nodes, as in a pod spec; a constraint without `labelSelector` counts the object's own pods.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::topology_spread_constraints")]
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
    /// Name of a `PriorityClass`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = grammar::DNS_SUBDOMAIN_MAX), regex(pattern = grammar::DNS_SUBDOMAIN))]
    pub priority_class_name: Option<String>,
    /// Labels added to the pods. The operator's own prefixes are refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::label_map")]
    pub pod_labels: BTreeMap<String, String>,
    /// Annotations added to the pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::annotation_map")]
    pub pod_annotations: BTreeMap<String, String>,
}
