//! The pod template that every pod had last. Kubernetes keeps it: a failed upgrade goes back to exactly that.

use api_types::WorkflowCluster;
use api_types::cluster::{ClusterReason, UpgradeStage};
use controller_kit::problem::Problem;
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use kube::{Api, ResourceExt as _};

use super::children::Children;
use super::unread;
use crate::children::stateful_set::applied_digest;
use crate::context::Context;

/// Reads it while it may be needed: another template was applied, or an upgrade is on its way. `None` when nothing is known
/// of it, or when Kubernetes has it no more.
pub async fn observe_stable_template(
    context: &Context,
    cluster: &WorkflowCluster,
    children: &Children,
) -> Result<Option<PodTemplateSpec>, Problem<ClusterReason>> {
    let (Some(status), Some(set)) = (&cluster.status, children.stateful_set()) else { return Ok(None) };
    let Some(stable) = &status.last_stable else { return Ok(None) };
    let is_resting = status.upgrade.as_ref().is_none_or(|upgrade| upgrade.stage == UpgradeStage::Done);
    if is_resting && applied_digest(set) == Some(stable.template_digest.as_str()) {
        return Ok(None);
    }
    let namespace = cluster.namespace().unwrap_or_default();
    let revisions: Api<ControllerRevision> = Api::namespaced(context.client.clone(), &namespace);
    let found = revisions.get_opt(&stable.revision).await;
    let named = format!("ControllerRevision {namespace}/{}", stable.revision);
    let found = found.map_err(|error| unread(&named, &error))?;
    Ok(found.filter(|found| is_of(found, set)).and_then(template_of))
}

fn is_of(revision: &ControllerRevision, set: &k8s_openapi::api::apps::v1::StatefulSet) -> bool {
    revision.owner_references().iter().any(|owner| Some(&owner.uid) == set.metadata.uid.as_ref())
}

/// It is a patch of the StatefulSet.
fn template_of(revision: ControllerRevision) -> Option<PodTemplateSpec> {
    let template = revision.data?.0.get_mut("spec")?.get_mut("template")?.take();
    serde_json::from_value(template).ok()
}

#[cfg(test)]
mod tests;
