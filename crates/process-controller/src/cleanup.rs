//! The plan of a process that is to go. Pure.

use api_types::WorkflowProcess;
use api_types::labels::FORCE_DELETE;
use kube::ResourceExt as _;

use crate::observe::{EngineView, Observed, retirable_ids};
use crate::plan::{Plan, Step, build_retire};

/// Retires what this object owns in the engine, then lets the object go.
///
/// No engine is asked when the cluster is gone or going: its definitions go with it. An engine that does not answer
/// holds the object until it does, or until a person gives the definitions up with the force-delete annotation.
#[must_use]
pub fn plan_cleanup(process: &WorkflowProcess, observed: &Observed) -> Plan {
    let retires = match &observed.engine {
        EngineView::NotAsked => Vec::new(),
        _ if is_forced(process) => Vec::new(),
        EngineView::NotReady(_) | EngineView::Failed(_) => return Plan::converged(),
        EngineView::Answered { .. } => retirable_ids(process, &observed.source),
    };
    let retires = retires.iter().map(|process_id| Step::Retire(build_retire(process, process_id)));
    Plan { steps: retires.chain([Step::RemoveFinalizer]).collect(), wait: None }
}

/// Does a person give up what the engine still has?
#[must_use]
pub fn is_forced(process: &WorkflowProcess) -> bool {
    process.annotations().get(FORCE_DELETE).is_some_and(|value| value == "true")
}

#[cfg(test)]
mod tests;
