//! What the status says of the Secrets of clients. Pure.

use std::borrow::Cow;
use std::collections::BTreeSet;

use api_types::condition::CLIENT_ACCESS;
use api_types::engine_access::client_secret_name;
use api_types::reason::Reason as _;
use api_types::tenant::{TenantReason, WorkflowTenantStatus};
use api_types::{WorkflowCluster, WorkflowTenant};
use controller_kit::condition::{ConditionStatus, DesiredCondition, find, merge};
use controller_kit::events::{Event, EventType};
use controller_kit::problem::Problem;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt as _;

use super::Assessment;
use crate::execute::Results;
use crate::observe::Observed;
use crate::observe::clients::{Circumstances, ClientsView, NamespaceProblem};
use crate::plan::clients::{ClientsPlan, SecretWrite, left_behind, plan_clients};

/// What one read of the Secrets showed, and what was done about it.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientsAssessment {
    /// Under which circumstances it holds.
    pub under: Circumstances,
    /// Where the Secret is, or may still be.
    pub namespaces: Vec<String>,
    /// The key of all tokens, if all have the same.
    pub key_id: Option<String>,
    /// What is not as it shall be.
    pub problems: Vec<NamespaceProblem>,
    /// Is the tenant granted to any namespace?
    pub is_granted: bool,
    /// May Secrets be made and changed?
    pub is_served: bool,
    /// Does something have to be done that was not done now?
    pub is_unfinished: bool,
}

/// Judges what was read, if anything was. After a failed step the tenant's clients get nothing new.
#[must_use]
pub fn assess_clients(
    tenant: &WorkflowTenant,
    observed: &Observed,
    failures: &[Problem<TenantReason>],
    results: &Results,
) -> Option<ClientsAssessment> {
    let seen = observed.clients.as_ref()?;
    let mut view = Cow::Borrowed(seen);
    if !failures.is_empty() {
        view.to_mut().under.access = None;
    }
    let plan = plan_clients(tenant, &view);
    Some(assess_look(observed.cluster.as_deref().ok(), &view, &plan, &results.client_failures))
}

/// A permission that is missing in the cluster's own namespace is no fault while applications have theirs elsewhere: who may
/// read Secrets there needs no Secret of a tenant.
fn assess_look(
    cluster: Option<&WorkflowCluster>,
    view: &ClientsView,
    plan: &ClientsPlan,
    failures: &[NamespaceProblem],
) -> ClientsAssessment {
    let failed: BTreeSet<&str> = failures.iter().map(|problem| problem.namespace.as_str()).collect();
    let is_not_deleted = |namespace: &str| {
        let is_delete = matches!(plan.writes.get(namespace), Some(SecretWrite::Delete(..)));
        is_delete && (failed.contains(namespace) || failed.contains(""))
    };
    let not_deleted = plan.writes.keys().filter(|namespace| is_not_deleted(namespace));
    let namespaces: BTreeSet<&String> = plan.namespaces.iter().chain(not_deleted).collect();
    let home = cluster.and_then(WorkflowCluster::namespace);
    let is_reported = |problem: &&NamespaceProblem| {
        let is_at_home = home.as_ref() == Some(&problem.namespace);
        let is_quiet = problem.problem.reason == TenantReason::ClientSecretNotPermitted && is_at_home;
        !is_quiet || namespaces.is_empty()
    };
    let problems: Vec<NamespaceProblem> =
        plan.problems.iter().chain(failures).filter(is_reported).cloned().collect();
    ClientsAssessment {
        under: view.under.clone(),
        key_id: plan.key_id.clone().filter(|_| failures.is_empty()),
        is_granted: !view.under.granted.is_empty(),
        is_served: matches!(view.under.access, Some(Ok(_))),
        is_unfinished: problems.iter().any(NamespaceProblem::is_passing),
        problems,
        namespaces: namespaces.into_iter().cloned().collect(),
    }
}

/// What the status says of the Secrets.
pub struct ClientsStatus {
    /// Where they are, or may still be.
    pub namespaces: Vec<String>,
    /// The key of all tokens.
    pub key_id: Option<String>,
    /// The condition as it shall be.
    pub desired: Option<DesiredCondition<TenantReason>>,
    /// The condition as it was, when there is nothing new to say.
    pub kept: Option<Condition>,
}

/// Of this look, or what the former status said when nobody looked.
#[must_use]
pub fn build_clients_status(
    tenant: &WorkflowTenant,
    former: &WorkflowTenantStatus,
    assessment: Option<&ClientsAssessment>,
) -> ClientsStatus {
    let carried = || find(&former.conditions, CLIENT_ACCESS).cloned();
    let Some(assessment) = assessment else {
        return ClientsStatus {
            namespaces: former.client_namespaces.clone(),
            key_id: former.client_key_id.clone(),
            desired: None,
            kept: carried(),
        };
    };
    let desired = build_client_access(tenant, assessment);
    ClientsStatus {
        namespaces: assessment.namespaces.clone(),
        key_id: assessment.key_id.clone(),
        kept: if desired.is_none() && assessment.is_granted { carried() } else { None },
        desired,
    }
}

/// The former status with what this look says of the Secrets.
#[must_use]
pub fn update_clients(
    tenant: &WorkflowTenant,
    former: &WorkflowTenantStatus,
    assessment: &Assessment,
    now: Timestamp,
) -> WorkflowTenantStatus {
    let clients = build_clients_status(tenant, former, assessment.facts.clients.as_ref());
    let mut status = former.clone();
    status.client_namespaces = clients.namespaces;
    status.client_key_id = clients.key_id;
    status.conditions.retain(|condition| condition.type_ != CLIENT_ACCESS);
    let desired = clients.desired.into_iter().collect();
    status.conditions.extend(merge(&former.conditions, desired, tenant.metadata.generation, now));
    status.conditions.extend(clients.kept);
    status.conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
    status
}

fn build_client_access(
    tenant: &WorkflowTenant,
    assessment: &ClientsAssessment,
) -> Option<DesiredCondition<TenantReason>> {
    if let Some(first) = assessment.problems.first() {
        let others: BTreeSet<&str> = assessment.problems[1..]
            .iter()
            .map(|problem| problem.namespace.as_str())
            .filter(|namespace| !namespace.is_empty() && *namespace != first.namespace)
            .collect();
        let others = match others.len() {
            0 => String::new(),
            _ => format!("; not in order either: {}", others.into_iter().collect::<Vec<_>>().join(", ")),
        };
        return Some(DesiredCondition::new(
            CLIENT_ACCESS,
            ConditionStatus::False,
            first.problem.reason,
            format!("{}{others}", first.problem),
        ));
    }
    assessment.is_served.then(|| {
        let name = client_secret_name(&tenant.name_any());
        let message = format!("Secret {name} is up to date in: {}", assessment.namespaces.join(", "));
        DesiredCondition::new(
            CLIENT_ACCESS,
            ConditionStatus::True,
            TenantReason::ClientSecretsCurrent,
            message,
        )
    })
}

/// The event when applications begin to lack their Secret, and for each new cause.
#[must_use]
pub fn build_client_event(former: &WorkflowTenantStatus, status: &WorkflowTenantStatus) -> Option<Event> {
    let lacking = |status: &WorkflowTenantStatus| {
        find(&status.conditions, CLIENT_ACCESS).filter(|condition| condition.status == "False").cloned()
    };
    let now = lacking(status)?;
    let is_known = lacking(former).is_some_and(|former| former.reason == now.reason);
    (!is_known).then(|| Event {
        type_: EventType::Warning,
        note: format!("{}: {}", now.reason, now.message),
        reason: now.reason,
    })
}

/// The event of an object that is gone, when Secrets of it may be left.
#[must_use]
pub fn build_secrets_left(tenant: &WorkflowTenant, observed: &Observed, results: &Results) -> Option<Event> {
    let reason = TenantReason::ClientSecretsLeft;
    let mut namespaces = left_behind(observed.clients.as_ref());
    namespaces.extend(results.left_secrets.iter().map(String::as_str));
    (!namespaces.is_empty()).then(|| Event {
        type_: EventType::Warning,
        reason: reason.as_str().to_owned(),
        note: format!(
            "{reason}: no permission any more to delete Secret {} in: {}; the engine refuses its token",
            client_secret_name(&tenant.name_any()),
            namespaces.join(", ")
        ),
    })
}

#[cfg(test)]
pub(crate) mod tests;
