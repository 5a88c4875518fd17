//! The ConfigMap with the engine's authority, which anybody may read.

use api_types::WorkflowCluster;
use api_types::engine_access::{CA_CERT_KEY, CA_PREVIOUS_CERT_KEY, ca_config_map_name};
use api_types::labels::Component;
use controller_kit::children::Child;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;

use super::{BuildInput, ClusterChildren, Input};
use crate::observe::secrets::AccessView;
use crate::plan::access::{Claim, authority_of, claim_on};

/// The child.
pub struct CaBundle;

impl Child for CaBundle {
    type Set = ClusterChildren;
    type Object = ConfigMap;

    fn name(&self, cluster: &WorkflowCluster) -> String {
        ca_config_map_name(&cluster.name_any())
    }

    fn build(&self, input: &Input<'_>, _live: Option<&ConfigMap>) -> Option<ConfigMap> {
        build(&input.build, input.access)
    }
}

/// Builds it: the authority, and the one before it while certificates of it may be in use.
#[must_use]
pub fn build(input: &BuildInput<'_>, access: &AccessView) -> Option<ConfigMap> {
    let authority = access.authority.as_ref().filter(|live| claim_on(input, access, live) == Claim::Ours)?;
    let (current, _) = authority_of(authority)?;
    let previous = authority.text(CA_PREVIOUS_CERT_KEY).unwrap_or_default();
    Some(ConfigMap {
        metadata: input.metadata(ca_config_map_name(&input.name()), Component::Engine),
        data: Some([(CA_CERT_KEY.to_owned(), format!("{current}{previous}"))].into()),
        ..ConfigMap::default()
    })
}
