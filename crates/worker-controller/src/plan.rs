//! What to do. Pure.

use std::convert::Infallible;
use std::time::Duration;

use api_types::WorkflowWorker;
use api_types::worker::WorkerReason as Reason;
use controller_kit::children::{ChildSet as _, plan_children};
use controller_kit::plan::{ChildVerdict, Wait};
use controller_kit::problem::Problem;
use engine_access::awaited::{cluster_without_engine, tenant_being_deleted, tenant_not_ready};
use engine_access::reference::Resolved;

use crate::children::access_secret::AccessSecret;
use crate::children::autoscaler::Autoscaler;
use crate::children::deployment::WorkerPods;
use crate::children::{BuildInput, Children, WorkerChildren};
use crate::observe::{AccessView, Observed, References};
use crate::validate::Fleet;

/// Safety net: what is awaited is watched.
const RECHECK_WATCHED: Duration = Duration::from_mins(1);

/// One write.
pub type Step = controller_kit::plan::Step<Infallible>;

/// Ordered steps, then what is awaited.
pub type Plan = controller_kit::plan::Plan<Step, Reason>;

/// The plan of a worker that is not being deleted.
#[must_use]
pub fn plan(worker: &WorkflowWorker, observed: &Observed, spec: &Result<Fleet, Problem<Reason>>) -> Plan {
    let resolved = match &observed.references {
        References::Resolved(resolved) => resolved,
        // Comes before everything that a user of the namespace can set: neither a pause nor a broken spec keeps access.
        References::Refused(_) => return plan_revocation(worker, &observed.children),
        References::Unreadable => return Plan::converged(),
    };
    let Ok(fleet) = spec else { return Plan::converged() };
    if worker.spec.is_paused() {
        return Plan::converged();
    }
    if let Some(wait) = plan_wait(resolved, &observed.children) {
        return Plan { steps: Vec::new(), wait: Some(wait) };
    }
    let AccessView::Known(access) = &observed.access else { return Plan::converged() };
    plan_all(&BuildInput { worker, fleet, resolved, access }, &observed.children)
}

/// Everything that the grant made possible goes: the token first, and the autoscaler before the pods that it would scale.
fn plan_revocation(worker: &WorkflowWorker, children: &Children) -> Plan {
    let mut list = WorkerChildren::LIST.to_vec();
    list.sort_by_key(|child| match child {
        child if child.is(&AccessSecret) => 0,
        child if child.is(&Autoscaler) => 1,
        _ => 2,
    });
    let removals = list.into_iter().filter_map(|child| match child.plan_removal(worker, children) {
        ChildVerdict::Delete(deletion) => Some(Step::Delete(deletion)),
        ChildVerdict::Converged | ChildVerdict::Apply(_) | ChildVerdict::NameTaken { .. } => None,
    });
    Plan { steps: removals.collect(), wait: None }
}

fn plan_wait(resolved: &Resolved, children: &Children) -> Option<Wait<Reason>> {
    let wait = |reason| move |message| Wait { reason, message, recheck: RECHECK_WATCHED };
    let tenant = resolved.tenant.as_deref();
    // A fleet that exists is kept up to date whatever its tenant goes through; a new one would only be refused.
    let is_new = children.get(&WorkerPods).is_none();
    None.or_else(|| cluster_without_engine(&resolved.cluster).map(wait(Reason::ClusterNotReady)))
        .or_else(|| tenant.and_then(tenant_being_deleted).map(wait(Reason::TenantNotReady)))
        .or_else(|| tenant.filter(|_| is_new).and_then(tenant_not_ready).map(wait(Reason::TenantNotReady)))
}

/// What is not wanted goes first: an autoscaler would at once change the fixed number of pods that the Deployment gets. A
/// name that is taken ends the list: nothing may mount a foreign Secret or scale a foreign Deployment.
fn plan_all(input: &BuildInput<'_>, children: &Children) -> Plan {
    let (mut removals, mut applies, mut taken) = (Vec::new(), Vec::new(), None);
    for (_, verdict) in plan_children(input.worker, input, children) {
        match verdict {
            ChildVerdict::Converged => {}
            ChildVerdict::Delete(deletion) => removals.push(Step::Delete(deletion)),
            ChildVerdict::Apply(_) if taken.is_some() => {}
            ChildVerdict::Apply(desired) => applies.push(Step::Apply(desired)),
            ChildVerdict::NameTaken { object } => taken = taken.or(Some(object)),
        }
    }
    removals.append(&mut applies);
    let wait = taken.map(|object| Wait {
        reason: Reason::NameTaken,
        message: format!("{object} exists and belongs to something else; delete it or rename this worker"),
        recheck: RECHECK_WATCHED,
    });
    Plan { steps: removals, wait }
}

#[cfg(test)]
mod tests;
