//! What to do with the Secrets of clients. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use api_types::WorkflowTenant;
use api_types::engine_access::client_secret_name;
use api_types::reason::CommonReason;
use api_types::tenant::{MAX_CLIENT_NAMESPACES, TenantReason};
use controller_kit::plan::{Deletion, Desired, Wait, is_converged};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use serde_json::json;

use crate::observe::clients::{Access, ClientsView, NamespaceProblem, Place, remembered};
use crate::plan::{Plan, Step, TenantStep, client_secret};

/// Until a Secret that could not be read before its tenant goes is looked at again.
const RECHECK_UNREAD: Duration = Duration::from_secs(30);

/// One write of a Secret.
#[derive(Clone, Debug, PartialEq)]
pub enum SecretWrite {
    /// Where none is.
    Create(Desired),
    /// Ours, which differs from what it has to be.
    Update(Desired),
    /// Ours, where none shall be: exactly this version.
    Delete(Deletion, String),
}

/// What to do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientsPlan {
    /// What the status must say before the first write: where a Secret is made, nothing else would remember it.
    pub record: Option<Vec<String>>,
    /// By namespace. The failure of one holds up no other.
    pub writes: BTreeMap<String, SecretWrite>,
    /// Where the Secret is after all writes, or may still be.
    pub namespaces: BTreeSet<String>,
    /// What cannot be done.
    pub problems: Vec<NamespaceProblem>,
    /// The key of all tokens after all writes.
    pub key_id: Option<String>,
}

/// The plan of a tenant that is not being deleted, or that lost its own grant.
#[must_use]
pub fn plan_clients(tenant: &WorkflowTenant, view: &ClientsView) -> ClientsPlan {
    let former: BTreeSet<&String> = remembered(tenant).iter().collect();
    let mut plan = ClientsPlan::default();
    let mut is_current = true;
    for (namespace, place) in &view.places {
        let is_granted = view.under.granted.contains(namespace);
        match place {
            Place::Held(secret) if !client_secret::is_ours(tenant, secret) => {}
            Place::Held(secret) if is_granted => {
                plan.namespaces.insert(namespace.clone());
                if let Some(Ok(access)) = &view.under.access
                    && let Some(desired) = plan_update(tenant, access, namespace, secret)
                {
                    plan.writes.insert(namespace.clone(), SecretWrite::Update(desired));
                }
            }
            Place::Held(secret) => {
                let version = secret.resource_version().unwrap_or_default();
                let delete = SecretWrite::Delete(Deletion::of(&**secret), version);
                plan.writes.insert(namespace.clone(), delete);
            }
            Place::Unread(problem) if former.contains(namespace) => {
                is_current = false;
                plan.namespaces.insert(namespace.clone());
                if !is_granted {
                    plan.problems.push(problem.clone());
                }
            }
            Place::NoNamespace | Place::Free | Place::Closed(_) | Place::Unread(_) => {}
        }
    }
    // In the order of the grants: this is who is served first, and whose problem is reported first.
    for namespace in &view.under.granted {
        plan_granted(tenant, view, namespace, &mut plan);
    }
    plan.problems.extend(plan_shortage(view, &plan));
    let record: BTreeSet<String> = former.into_iter().chain(&plan.namespaces).cloned().collect();
    if record.len() > remembered(tenant).len() {
        plan.record = Some(record.into_iter().collect());
    }
    plan.key_id = match &view.under.access {
        Some(Ok(access)) => is_current.then(|| access.key_id.clone()),
        _ if view.under.granted.is_empty() => None,
        _ => tenant.status.as_ref().and_then(|status| status.client_key_id.clone()),
    };
    plan
}

fn plan_update(tenant: &WorkflowTenant, access: &Access, namespace: &str, live: &Secret) -> Option<Desired> {
    let mut desired = Desired::of(&client_secret::build(tenant, access, namespace));
    if is_converged(&desired, live) {
        return None;
    }
    // Should another Secret take its place in between, the API server refuses instead of writing over that.
    desired.body["metadata"]["uid"] = json!(live.uid());
    Some(desired)
}

fn plan_granted(tenant: &WorkflowTenant, view: &ClientsView, namespace: &str, plan: &mut ClientsPlan) {
    let Some(place) = view.places.get(namespace) else { return };
    match place {
        Place::Free => {
            let room = remembered(tenant).iter().chain(&plan.namespaces).collect::<BTreeSet<_>>().len();
            let Some(Ok(access)) = &view.under.access else { return };
            if room < MAX_CLIENT_NAMESPACES || remembered(tenant).iter().any(|known| known == namespace) {
                let desired = Desired::of(&client_secret::build(tenant, access, namespace));
                plan.writes.insert(namespace.to_owned(), SecretWrite::Create(desired));
                plan.namespaces.insert(namespace.to_owned());
            }
        }
        Place::Closed(problem) | Place::Unread(problem) => plan.problems.push(problem.clone()),
        Place::Held(secret) if client_secret::is_ours(tenant, secret) => {}
        Place::Held(_) => plan.problems.push(NamespaceProblem::new(
            namespace,
            TenantReason::ClientSecretNameTaken,
            format!(
                "Secret {namespace}/{} exists and belongs to something else; delete or rename it",
                client_secret_name(&tenant.name_any())
            ),
        )),
        Place::NoNamespace => plan.problems.push(NamespaceProblem::new(
            namespace,
            TenantReason::ClientNamespaceMissing,
            format!("namespace {namespace} does not exist"),
        )),
    }
}

/// What concerns all namespaces.
fn plan_shortage(view: &ClientsView, plan: &ClientsPlan) -> Option<NamespaceProblem> {
    let of_all = |reason, message| NamespaceProblem::new("", reason, message);
    if let Err(message) = view.under.access.as_ref()? {
        return Some(of_all(TenantReason::EngineCredentialsMissing, message.clone()));
    }
    let is_left_out = |namespace: &&String| {
        !plan.namespaces.contains(*namespace) && matches!(view.places.get(*namespace), Some(Place::Free))
    };
    let left_out = view.under.granted.iter().filter(is_left_out).count();
    (left_out > 0).then(|| {
        let message = format!(
            "at most {MAX_CLIENT_NAMESPACES} namespaces of a tenant get the Secret of its clients; \
             {left_out} more are granted it"
        );
        of_all(TenantReason::TooManyClientNamespaces, message)
    })
}

/// The end of a plan that lets the object go: first every Secret goes. Where one may not be read, its token is worth nothing any
/// more, and the object is not held for it; where one cannot be read now, it is.
#[must_use]
pub fn plan_release(tenant: &WorkflowTenant, plan: Plan, view: Option<&ClientsView>) -> Plan {
    let Plan { mut steps, wait } = plan;
    let Some(view) = view.filter(|_| matches!(steps.last(), Some(Step::RemoveFinalizer))) else {
        return Plan { steps, wait };
    };
    steps.pop();
    let mut unread = None;
    for (namespace, place) in &view.places {
        match place {
            Place::Held(secret) if client_secret::is_ours(tenant, secret) => {
                let version = secret.resource_version().unwrap_or_default();
                steps.push(Step::Own(TenantStep::DeleteSecret(Deletion::of(&**secret), version)));
            }
            Place::Unread(problem) if !is_left(problem) => {
                unread = unread.or_else(|| Some(format!("in namespace {namespace}: {}", problem.problem)));
            }
            _ => {}
        }
    }
    match unread {
        None => {
            steps.push(Step::RemoveFinalizer);
            Plan { steps, wait }
        }
        Some(message) => {
            let reason = CommonReason::DeletionBlocked.into();
            Plan { steps, wait: Some(Wait { reason, message, recheck: RECHECK_UNREAD }) }
        }
    }
}

/// Where the Secret of a tenant that is gone may still be.
#[must_use]
pub fn left_behind(view: Option<&ClientsView>) -> Vec<&str> {
    let places = view.into_iter().flat_map(|view| &view.places);
    let is_left = |place: &Place| matches!(place, Place::Unread(problem) if is_left(problem));
    places.filter(|(_, place)| is_left(place)).map(|(namespace, _)| namespace.as_str()).collect()
}

fn is_left(problem: &NamespaceProblem) -> bool {
    problem.problem.reason == TenantReason::ClientSecretNotPermitted
}

#[cfg(test)]
mod tests;
