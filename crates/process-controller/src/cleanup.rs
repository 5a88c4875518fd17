//! The plan of a process that is being deleted. Pure.

use api_types::WorkflowProcess;
use api_types::labels::FORCE_DELETE;
use engine_access::reference::Unasked;
use kube::ResourceExt as _;

use crate::observe::{EngineView, Observed};
use crate::plan::{Plan, ProcessStep, Step, build_retire};

/// Retires what this object owns in the engine, then removes the finalizer.
///
/// The finalizer is removed without asking the engine only when the cluster does not exist. While the engine cannot be
/// asked, or does not answer, the object stays, unless a person gives the definitions up with the force-delete
/// annotation.
#[must_use]
pub fn plan_cleanup(process: &WorkflowProcess, observed: &Observed) -> Plan {
    let retires: &[String] = match &observed.engine {
        EngineView::Unasked(Unasked::ClusterGone) => &[],
        _ if is_forced(process) => &[],
        EngineView::Holds { process_ids, .. } => process_ids,
        _ => return Plan::converged(),
    };
    let tenant = observed.tenancy.id();
    let retires = retires
        .iter()
        .map(|process_id| Step::Own(ProcessStep::Retire(build_retire(process, tenant, process_id))));
    Plan { steps: retires.chain([Step::RemoveFinalizer]).collect(), wait: None }
}

/// Does a person give up what the engine still has?
#[must_use]
pub fn is_forced(process: &WorkflowProcess) -> bool {
    process.annotations().get(FORCE_DELETE).is_some_and(|value| value == "true")
}

#[cfg(test)]
mod tests;
