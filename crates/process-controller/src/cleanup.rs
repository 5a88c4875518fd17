//! The plan of a process that is to go. Pure.

use api_types::WorkflowProcess;
use api_types::labels::FORCE_DELETE;
use api_types::reference::DeletionPolicy;
use controller_kit::engine::is_callable;
use engine_client::model::{DeleteProcess, OnInstances};
use engine_client::request_id;
use kube::ResourceExt as _;

use crate::observe::{EngineView, Observed, tenant_id};
use crate::plan::{Plan, Step};

/// Retires what this object owns in the engine, then lets the object go.
///
/// No engine is asked when the cluster is gone or going: its definitions go with it. An engine that does not answer
/// holds the object until it does, or until a person gives the definitions up with the force-delete annotation.
#[must_use]
pub fn plan_cleanup(process: &WorkflowProcess, observed: &Observed) -> Plan {
    let release = Plan { steps: vec![Step::RemoveFinalizer], wait: None };
    let Ok(resolved) = &observed.references else { return release };
    let process_id = process.status.as_ref().and_then(|status| status.bpmn_process_id.clone());
    let Some(process_id) = process_id.filter(|_| is_callable(&resolved.cluster)) else { return release };
    if is_forced(process) {
        return release;
    }
    if !matches!(observed.engine, EngineView::Answered { .. }) {
        return Plan::converged();
    }
    let uid = process.uid().unwrap_or_default();
    let retire = DeleteProcess {
        request_id: request_id(&uid, process.metadata.generation.unwrap_or_default(), "retire"),
        tenant_id: tenant_id(resolved.tenant.as_ref()),
        process_id,
        owner: uid,
        // Deleting a definition must not kill orders that are under way.
        on_instances: OnInstances::KeepRunning,
        retain: process.spec.deletion_policy() == DeletionPolicy::Retain,
    };
    Plan { steps: vec![Step::Retire(retire), Step::RemoveFinalizer], wait: None }
}

/// Does a person give up what the engine still has?
#[must_use]
pub fn is_forced(process: &WorkflowProcess) -> bool {
    process.annotations().get(FORCE_DELETE).is_some_and(|value| value == "true")
}

#[cfg(test)]
mod tests;
