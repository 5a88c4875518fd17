//! What to do. Pure.

pub mod document;

use std::time::Duration;

use api_types::WorkflowProcess;
use api_types::condition::VALID;
use api_types::labels::{DEPLOYED_FOR, PROCESS_CONTROLLER};
use api_types::process::ProcessReason;
use api_types::process::ProcessReason as Reason;
use api_types::process::Validation;
use api_types::reason::Reason as _;
use api_types::reference::DeletionPolicy;
use controller_kit::condition::find;
use controller_kit::pass::is_deleting;
use controller_kit::plan::Wait;
use controller_kit::problem::Problem;
use engine_access::awaited::{
    cluster_stopped, cluster_updating, cluster_without_engine, tenant_being_deleted, tenant_not_ready,
    tenant_suspended,
};
use engine_access::engine::owner_of;
use engine_access::reference::Resolved;
use engine_client::model::{DeleteProcess, DeployProcess, LintMode, ManagedDefinition, OnInstances, Owner};
use engine_client::request_id;
use kube::ResourceExt as _;

use crate::cleanup::plan_cleanup;
use crate::document::Document;
use crate::observe::{EngineView, Observed};
use document::{Deployable, Verdict, judge_source};

/// Safety net: what is awaited is watched.
const RECHECK_WATCHED: Duration = Duration::from_mins(1);

/// One write that only processes have.
#[derive(Clone, Debug, PartialEq)]
pub enum ProcessStep {
    /// Makes the document the latest version.
    Deploy(DeployProcess),
    /// Retires the definitions, or gives up their ownership.
    Retire(DeleteProcess),
}

/// One write.
pub type Step = controller_kit::plan::Step<ProcessStep>;

/// Ordered steps, then what is awaited.
pub type Plan = controller_kit::plan::Plan<Step, ProcessReason>;

/// The plan for a process in any state.
#[must_use]
pub fn plan(
    process: &WorkflowProcess,
    spec: &Result<(), Problem<ProcessReason>>,
    observed: &Observed,
) -> Plan {
    if is_deleting(process) {
        return plan_cleanup(process, observed);
    }
    plan_deployment(process, observed, &judge_source(process, spec, &observed.source))
}

/// The plan of a process that is not being deleted.
#[must_use]
pub fn plan_deployment(process: &WorkflowProcess, observed: &Observed, verdict: &Verdict) -> Plan {
    let Some(Ok(deployable)) = verdict else { return Plan::converged() };
    if process.spec.is_paused() || former_rejection(process, observed, deployable).is_some() {
        return Plan::converged();
    }
    let Ok(resolved) = &observed.references else { return Plan::converged() };
    if observed.tenancy.conflict().is_some() {
        return Plan::converged();
    }
    if let Some(wait) = plan_wait(resolved) {
        return Plan { steps: Vec::new(), wait: Some(wait) };
    }
    let EngineView::Answered { latest, former_ids, .. } = &observed.engine else { return Plan::converged() };
    // It would be refused, and would not even get a finalizer for it.
    if latest.as_ref().is_some_and(|latest| foreign_owner(latest, process).is_some()) {
        return Plan::converged();
    }
    let tenant = observed.tenancy.id();
    let mut steps = Vec::new();
    let deployed_for = observed.tenancy.to_note(process);
    let has_finalizer =
        process.finalizers().iter().any(|finalizer| finalizer == PROCESS_CONTROLLER.finalizer);
    if !has_finalizer || deployed_for.is_some() {
        // The tenant is noted with the finalizer, if the object names none.
        let annotation = deployed_for.map(|tenant| (DEPLOYED_FOR, tenant));
        steps.push(Step::AddFinalizer { annotation });
    }
    let is_deployed = latest
        .as_ref()
        .is_some_and(|latest| deployable.is_version(&latest.definition) && is_owned_by(latest, process));
    if !is_deployed {
        let version = latest.as_ref().map_or(0, |latest| latest.definition.version);
        steps.push(Step::Own(ProcessStep::Deploy(build_deploy(process, tenant, deployable, version))));
    }
    // The document got another process id: what ran under the former ones is ours to retire, once their successor runs.
    let retires = former_ids.iter().map(|former| build_retire(process, tenant, former));
    steps.extend(retires.map(|retire| Step::Own(ProcessStep::Retire(retire))));
    Plan { steps, wait: None }
}

/// Why the engine refused exactly these bytes in this generation, if it did: the same version of it is not asked again.
#[must_use]
pub fn former_rejection(
    process: &WorkflowProcess,
    observed: &Observed,
    deployable: &Deployable,
) -> Option<String> {
    let status = process.status.as_ref()?;
    let valid = find(&status.conditions, VALID)?;
    let version = engine_version(observed);
    let is_rejection = valid.reason == Reason::RejectedByEngine.as_str()
        && valid.observed_generation == process.metadata.generation
        && status.source_digest == Some(deployable.document.digest_text())
        && (version.is_none() || version == status.refused_by_version.as_deref());
    is_rejection.then(|| valid.message.clone())
}

/// The version that every pod of the engine runs, as far as the cluster reports one.
#[must_use]
pub fn engine_version(observed: &Observed) -> Option<&str> {
    observed.references.as_ref().ok()?.cluster.status.as_ref()?.version.as_deref()
}

/// Is it this very life of the object that manages the process id?
#[must_use]
pub fn is_owned_by(latest: &ManagedDefinition, process: &WorkflowProcess) -> bool {
    latest.owner == Some(owner_of(process))
}

/// Who else manages the process id. A former life of the object is no one else.
#[must_use]
pub fn foreign_owner<'l>(latest: &'l ManagedDefinition, process: &WorkflowProcess) -> Option<&'l Owner> {
    latest.owner.as_ref().filter(|owner| owner.id != owner_of(process).id)
}

/// What comes first counts. A suspended tenant is reported as such, and not as one that is not ready.
fn plan_wait(resolved: &Resolved) -> Option<Wait<ProcessReason>> {
    let wait = |reason| move |message| Wait { reason, message, recheck: RECHECK_WATCHED };
    let (cluster, tenant) = (&resolved.cluster, resolved.tenant.as_deref());
    None.or_else(|| cluster_without_engine(cluster).map(wait(Reason::ClusterNotReady)))
        .or_else(|| cluster_stopped(cluster).map(wait(Reason::ClusterStopped)))
        .or_else(|| cluster_updating(cluster).map(wait(Reason::ClusterUpdating)))
        .or_else(|| tenant.and_then(tenant_being_deleted).map(wait(Reason::TenantNotReady)))
        .or_else(|| tenant.and_then(tenant_suspended).map(wait(Reason::TenantSuspended)))
        .or_else(|| tenant.and_then(tenant_not_ready).map(wait(Reason::TenantNotReady)))
}

fn build_deploy(
    process: &WorkflowProcess,
    tenant: &str,
    deployable: &Deployable,
    latest: u32,
) -> DeployProcess {
    let Document { bytes, sha256, .. } = &deployable.document;
    let tag = deployable.version_tag.as_deref().unwrap_or_default();
    DeployProcess {
        request_id: build_request_id(process, &format!("deploy:{sha256}:{tag}:{latest}")),
        tenant_id: tenant.to_owned(),
        resource_name: format!("{}/{}", process.namespace().unwrap_or_default(), process.name_any()),
        content: bytes.to_vec(),
        content_sha256: sha256.clone(),
        version_tag: deployable.version_tag.clone(),
        mode: match process.spec.validation() {
            Validation::Strict => LintMode::Strict,
            Validation::Lenient => LintMode::Lenient,
        },
        owner: Some(owner_of(process)),
        // A replica that was suspended must not deploy an older document as the latest one.
        follows_version: Some(latest),
    }
}

/// Takes what this object owns under a process id out of service, as its deletion policy says.
#[must_use]
pub fn build_retire(process: &WorkflowProcess, tenant: &str, process_id: &str) -> DeleteProcess {
    DeleteProcess {
        request_id: build_request_id(process, &format!("retire:{process_id}")),
        tenant_id: tenant.to_owned(),
        process_id: process_id.to_owned(),
        owner: Some(owner_of(process)),
        // Deleting a definition must not kill orders that are under way.
        on_instances: OnInstances::KeepRunning,
        retain: process.spec.deletion_policy() == DeletionPolicy::Retain,
    }
}

/// The definition that was reported last is part of the identity: the same bytes may have to be deployed again after others
/// came in between or the engine lost them, and that must not be taken for a repetition of the first time.
fn build_request_id(process: &WorkflowProcess, step: &str) -> String {
    let former = process.status.as_ref().and_then(|status| status.process_definition_key).unwrap_or_default();
    let (uid, generation) = (process.uid().unwrap_or_default(), process.metadata.generation);
    request_id(&uid, generation.unwrap_or_default(), &format!("{step}:{former}"))
}

#[cfg(test)]
mod tests;
