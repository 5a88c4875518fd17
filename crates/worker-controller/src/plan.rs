//! What to do. Pure.

pub mod access_secret;
pub mod autoscaler;
pub mod deployment;
pub mod disruption_budget;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use api_types::WorkflowWorker;
use api_types::labels::{CLUSTER, Component, TENANT, WORKER, recommended};
use api_types::worker::WorkerReason as Reason;
use controller_kit::engine::is_callable;
use controller_kit::plan::{
    ChildVerdict, Deletion, Desired, Wait, build_owner_reference, is_controlled_by, plan_child,
};
use controller_kit::problem::Problem;
use controller_kit::reference::Resolved;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::ObjectMeta;
use kube::{Resource, ResourceExt as _};
use serde::Serialize;
use serde_json::json;

use crate::observe::children::Children;
use crate::observe::{Access, AccessView, Observed, References};
use crate::validate::Fleet;

/// Safety net: what is awaited is watched.
const RECHECK_WATCHED: Duration = Duration::from_mins(1);

/// One write.
pub type Step = controller_kit::plan::Step<Infallible>;

/// Ordered steps, then what is awaited.
pub type Plan = controller_kit::plan::Plan<Step, Reason>;

/// A worker with everything that the builders of its children need.
#[derive(Clone, Copy)]
pub struct BuildInput<'a> {
    /// The worker.
    pub worker: &'a WorkflowWorker,
    /// Its job types.
    pub fleet: &'a Fleet,
    /// Its cluster and tenant.
    pub resolved: &'a Resolved,
    /// How its pods reach the engine.
    pub access: &'a Access,
}

impl BuildInput<'_> {
    /// Metadata of a child.
    #[must_use]
    pub fn metadata(&self, name: String) -> ObjectMeta {
        ObjectMeta {
            name: Some(name),
            namespace: self.worker.namespace(),
            labels: Some(self.labels()),
            owner_references: Some(vec![build_owner_reference(self.worker)]),
            ..ObjectMeta::default()
        }
    }

    /// Labels of children and pods.
    #[must_use]
    pub fn labels(&self) -> BTreeMap<String, String> {
        let name = self.worker.name_any();
        let mut labels = recommended(Component::Worker, &name);
        labels.insert(WORKER.to_owned(), name);
        labels.insert(CLUSTER.to_owned(), self.resolved.cluster.name_any());
        labels.extend(self.resolved.tenant.as_ref().map(|tenant| (TENANT.to_owned(), tenant.name_any())));
        labels
    }
}

/// The plan of a worker that is to live.
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
    plan_children(BuildInput { worker, fleet, resolved, access }, &observed.children)
}

/// Everything that the grant made possible goes; the token first.
fn plan_revocation(worker: &WorkflowWorker, children: &Children) -> Plan {
    let mut revocation = Plan::converged();
    let uid = worker.uid().unwrap_or_default();
    revocation.steps.extend(plan_removal(&uid, children.access_secret.as_deref()));
    revocation.steps.extend(plan_removal(&uid, children.autoscaler.as_deref()));
    revocation.steps.extend(plan_removal(&uid, children.deployment.as_deref()));
    revocation.steps.extend(plan_removal(&uid, children.disruption_budget.as_deref()));
    revocation
}

fn plan_wait(resolved: &Resolved, children: &Children) -> Option<Wait<Reason>> {
    let wait = |reason, message| Some(Wait { reason, message, recheck: RECHECK_WATCHED });
    let cluster = &resolved.cluster;
    let named = format!("WorkflowCluster {}/{}", cluster.namespace().unwrap_or_default(), cluster.name_any());
    if !is_callable(cluster) {
        return wait(Reason::ClusterNotReady, format!("{named} has no endpoint yet or is being deleted"));
    }
    let tenant = resolved.tenant.as_ref()?;
    let named = format!("WorkflowTenant {}/{}", tenant.namespace().unwrap_or_default(), tenant.name_any());
    if tenant.metadata.deletion_timestamp.is_some() {
        return wait(Reason::TenantNotReady, format!("{named} is being deleted"));
    }
    let is_ready = tenant.status.as_ref().is_some_and(|status| status.ready);
    // A fleet that exists is kept up to date whatever its tenant goes through; a new one would only be refused.
    if !is_ready && children.deployment.is_none() {
        return wait(Reason::TenantNotReady, format!("{named} is not ready"));
    }
    None
}

/// Pods need the Secret, and the autoscaler acts on the Deployment, so a name that is taken ends the list: nothing may
/// mount a foreign Secret or scale a foreign Deployment.
fn plan_children(input: BuildInput<'_>, children: &Children) -> Plan {
    let spec = &input.worker.spec;
    let uid = input.worker.uid().unwrap_or_default();
    let mut steps = Vec::new();
    // Before the Deployment gets its fixed number of pods: an autoscaler would change it again at once.
    if spec.autoscaling.is_none() {
        steps.extend(plan_removal(&uid, children.autoscaler.as_deref()));
    }
    let secret = Desired::of(&access_secret::build(&input));
    let mut verdicts = vec![
        plan_child(&uid, secret, children.access_secret.as_deref()),
        plan_deployment(&uid, &input, children.deployment.as_deref()),
    ];
    if let Some(autoscaling) = &spec.autoscaling {
        let desired = Desired::of(&autoscaler::build(&input, autoscaling));
        verdicts.push(plan_child(&uid, desired, children.autoscaler.as_deref()));
    }
    if disruption_budget::is_useful(spec) {
        let desired = Desired::of(&disruption_budget::build(&input));
        verdicts.push(plan_child(&uid, desired, children.disruption_budget.as_deref()));
    } else {
        steps.extend(plan_removal(&uid, children.disruption_budget.as_deref()));
    }
    for verdict in verdicts {
        match verdict {
            ChildVerdict::Converged => {}
            ChildVerdict::Apply(desired) => steps.push(Step::Apply(desired)),
            ChildVerdict::NameTaken { object } => {
                let message =
                    format!("{object} exists and belongs to something else; delete it or rename this worker");
                let wait = Wait { reason: Reason::NameTaken, message, recheck: RECHECK_WATCHED };
                return Plan { steps, wait: Some(wait) };
            }
        }
    }
    Plan { steps, wait: None }
}

fn plan_deployment(uid: &str, input: &BuildInput<'_>, live: Option<&Deployment>) -> ChildVerdict {
    let replicas = deployment::plan_replicas(&input.worker.spec, live);
    let mut desired = Desired::of(&deployment::build(input, replicas));
    if input.worker.spec.autoscaling.is_some() || live.is_some_and(deployment::was_scaled_by_others) {
        desired.shared = deployment::NUMBER_OF_PODS;
    }
    let verdict = plan_child(uid, desired, live);
    match (verdict, live) {
        // The number of pods, and who owns it, was read from this version. Should the autoscaler write in between, the
        // apply is refused instead of taking the pods back, and the next pass sees what it did.
        (ChildVerdict::Apply(mut desired), Some(live))
            if deployment::differs_from_spec(&input.worker.spec, replicas) =>
        {
            desired.body["metadata"]["resourceVersion"] = json!(live.resource_version());
            ChildVerdict::Apply(desired)
        }
        (verdict, _) => verdict,
    }
}

/// Only what is ours; what goes already is left to go.
fn plan_removal<K>(uid: &str, live: Option<&K>) -> Option<Step>
where
    K: Resource<DynamicType = ()> + Serialize,
{
    live.filter(|live| is_controlled_by(live.meta(), uid) && live.meta().deletion_timestamp.is_none())
        .map(|live| Step::Delete(Deletion::of(live)))
}

#[cfg(test)]
mod tests;
