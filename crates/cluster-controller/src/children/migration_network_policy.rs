//! Nobody may reach the pods of a migration: they hold the database's password and serve nothing.

use api_types::WorkflowCluster;
use api_types::labels::{Component, selector};
use api_types::names;
use controller_kit::children::Child;
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicySpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::ResourceExt as _;

use super::{ClusterChildren, Input};

/// The child.
pub struct MigrationNetworkPolicy;

impl Child for MigrationNetworkPolicy {
    type Set = ClusterChildren;
    type Object = NetworkPolicy;

    fn name(&self, cluster: &WorkflowCluster) -> String {
        names::child(&cluster.name_any(), "migration")
    }

    fn build(&self, input: &Input<'_>, _live: Option<&NetworkPolicy>) -> Option<NetworkPolicy> {
        let cluster = input.build.cluster;
        Some(NetworkPolicy {
            metadata: input.build.metadata(self.name(cluster), Component::Migration),
            spec: Some(NetworkPolicySpec {
                pod_selector: Some(LabelSelector {
                    match_labels: Some(selector(Component::Migration, &cluster.name_any())),
                    ..LabelSelector::default()
                }),
                // Listed and without a rule: nothing is let in. Where the database is cannot be said, so what they call is
                // not limited.
                policy_types: Some(vec!["Ingress".to_owned()]),
                ..NetworkPolicySpec::default()
            }),
        })
    }
}

#[cfg(test)]
mod tests;
