//! A person agreed that the upgrade becomes final.

use api_types::cluster::Finalize;
use api_types::labels::FINALIZE_UPGRADE;

use super::Scene;

pub(super) fn closed(scene: &Scene<'_>) -> Option<String> {
    let spec = &scene.input.cluster.spec;
    let is_agreed = spec.upgrade().finalize() == Finalize::Automatic
        || scene.annotation(FINALIZE_UPGRADE) == Some(spec.version.as_str());
    (!is_agreed)
        .then(|| format!("a person annotates the WorkflowCluster with {FINALIZE_UPGRADE}={}", spec.version))
}
