//! What to do. Pure.

use std::time::Duration;

use api_types::WorkflowProcess;
use api_types::labels::PROCESS_CONTROLLER;
use api_types::process::ProcessReason;
use api_types::process::ProcessReason as Reason;
use api_types::process::Validation;
use controller_kit::engine::is_callable;
use controller_kit::plan::Wait;
use controller_kit::reference::Resolved;
use engine_client::model::{DeleteProcess, DeployProcess, LintMode};
use engine_client::request_id;
use kube::ResourceExt as _;

use crate::observe::{EngineView, Observed, tenant_id};
use crate::validate::{Deployable, Verdict};

/// Safety net: what is awaited is watched.
const RECHECK_WATCHED: Duration = Duration::from_mins(1);

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Before anything exists in the engine, so that it cannot be forgotten there.
    AddFinalizer,
    /// Makes the document the latest version.
    Deploy(DeployProcess),
    /// Retires the definitions, or gives up their ownership.
    Retire(DeleteProcess),
    /// The end of the object.
    RemoveFinalizer,
}

/// Ordered steps, then what is awaited.
pub type Plan = controller_kit::plan::Plan<Step, ProcessReason>;

/// The plan of a process that is to live.
#[must_use]
pub fn plan(process: &WorkflowProcess, observed: &Observed, verdict: &Verdict) -> Plan {
    let Some(Ok(deployable)) = verdict else { return Plan::converged() };
    if process.spec.is_paused() {
        return Plan::converged();
    }
    let Ok(resolved) = &observed.references else { return Plan::converged() };
    if let Some(wait) = plan_wait(resolved) {
        return Plan { steps: Vec::new(), wait: Some(wait) };
    }
    let EngineView::Answered { latest, .. } = &observed.engine else { return Plan::converged() };
    let mut steps = Vec::new();
    if !process.finalizers().iter().any(|finalizer| finalizer == PROCESS_CONTROLLER.finalizer) {
        steps.push(Step::AddFinalizer);
    }
    let uid = process.uid().unwrap_or_default();
    let is_deployed = latest.as_ref().is_some_and(|latest| {
        latest.definition.content_sha256 == deployable.document.sha256
            && latest.definition.version_tag == process.spec.version_tag
            && latest.owner.as_ref() == Some(&uid)
    });
    if !is_deployed {
        steps.push(Step::Deploy(build_deploy(
            process,
            resolved,
            deployable,
            &uid,
            latest.as_ref().map_or(0, |l| l.definition.version),
        )));
    }
    Plan { steps, wait: None }
}

fn plan_wait(resolved: &Resolved) -> Option<Wait<ProcessReason>> {
    let cluster = &resolved.cluster;
    let named = format!("WorkflowCluster {}/{}", cluster.namespace().unwrap_or_default(), cluster.name_any());
    let wait = |reason, message| Some(Wait { reason, message, recheck: RECHECK_WATCHED });
    if !is_callable(cluster) {
        return wait(Reason::ClusterNotReady, format!("{named} has no endpoint yet or is being deleted"));
    }
    if !cluster.status.as_ref().is_some_and(|status| status.accepts_deployments) {
        return wait(
            Reason::ClusterUpdating,
            format!("{named} does not accept deployments now; the deployment follows by itself"),
        );
    }
    let tenant = resolved.tenant.as_ref()?;
    let named = format!("WorkflowTenant {}/{}", tenant.namespace().unwrap_or_default(), tenant.name_any());
    if tenant.metadata.deletion_timestamp.is_some() {
        return wait(Reason::TenantNotReady, format!("{named} is being deleted"));
    }
    if tenant.spec.is_suspended() {
        return wait(
            Reason::TenantSuspended,
            format!("{named} is suspended; set its spec.suspended to false"),
        );
    }
    if !tenant.status.as_ref().is_some_and(|status| status.ready) {
        return wait(Reason::TenantNotReady, format!("{named} is not ready"));
    }
    None
}

fn build_deploy(
    process: &WorkflowProcess,
    resolved: &Resolved,
    deployable: &Deployable,
    uid: &str,
    latest: u32,
) -> DeployProcess {
    // The version that was seen is part of the identity: the same bytes may have to be deployed again after others came
    // in between, and that must not be taken for a repetition of the first time.
    let step = format!(
        "deploy:{}:{}:{latest}",
        deployable.document.sha256,
        process.spec.version_tag.as_deref().unwrap_or_default()
    );
    DeployProcess {
        request_id: request_id(uid, process.metadata.generation.unwrap_or_default(), &step),
        tenant_id: tenant_id(resolved.tenant.as_ref()),
        resource_name: format!("{}/{}", process.namespace().unwrap_or_default(), process.name_any()),
        content: deployable.document.bytes.to_vec(),
        content_sha256: deployable.document.sha256.clone(),
        version_tag: process.spec.version_tag.clone(),
        mode: match process.spec.validation() {
            Validation::Strict => LintMode::Strict,
            Validation::Lenient => LintMode::Lenient,
        },
        owner: Some(uid.to_owned()),
    }
}

#[cfg(test)]
mod tests;
