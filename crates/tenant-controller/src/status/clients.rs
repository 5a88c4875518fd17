//! What the status says of the Secrets of clients. Pure.

use std::collections::BTreeSet;

use api_types::condition::CLIENT_ACCESS;
use api_types::engine_access::client_secret_name;
use api_types::reason::Reason as _;
use api_types::tenant::{TenantReason, WorkflowTenantStatus};
use api_types::{WorkflowCluster, WorkflowTenant};
use controller_kit::condition::{ConditionStatus, DesiredCondition, find, merge};
use controller_kit::events::{Event, EventType};
use jiff::Timestamp;
use kube::ResourceExt as _;

use crate::execute::clients::AppliedClients;
use crate::observe::clients::{ClientsView, Problem};
use crate::plan::clients::{ClientsPlan, SecretWrite};

/// One look at the Secrets and what came of it, in one judgement.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientsAssessment {
    /// Where the Secret is, or may still be.
    pub namespaces: Vec<String>,
    /// The key of all tokens, if all have the same.
    pub key_id: Option<String>,
    /// What is not as it shall be.
    pub problems: Vec<Problem>,
    /// Is the tenant granted to any namespace?
    pub is_granted: bool,
    /// May Secrets be made and changed?
    pub is_served: bool,
    /// Does something have to be done that was not done now?
    pub is_unfinished: bool,
}

/// Judges a look. A permission that is missing in the cluster's own namespace is no fault while applications have theirs
/// elsewhere: who may read Secrets there needs no Secret of a tenant.
#[must_use]
pub fn assess_clients(
    cluster: Option<&WorkflowCluster>,
    view: &ClientsView,
    plan: &ClientsPlan,
    applied: &AppliedClients,
) -> ClientsAssessment {
    let failed: BTreeSet<&str> = applied.failures.iter().map(|problem| problem.namespace.as_str()).collect();
    let is_not_deleted = |namespace: &str| {
        let is_delete = matches!(plan.writes.get(namespace), Some(SecretWrite::Delete(..)));
        is_delete && (failed.contains(namespace) || failed.contains(""))
    };
    let not_deleted = plan.writes.keys().filter(|namespace| is_not_deleted(namespace));
    let namespaces: BTreeSet<&String> = plan.namespaces.iter().chain(not_deleted).collect();
    let home = cluster.and_then(WorkflowCluster::namespace);
    let is_reported = |problem: &&Problem| {
        let is_at_home = home.as_ref() == Some(&problem.namespace);
        let is_quiet = problem.reason == TenantReason::ClientSecretNotPermitted && is_at_home;
        !is_quiet || namespaces.is_empty()
    };
    let problems: Vec<Problem> =
        plan.problems.iter().chain(&applied.failures).filter(is_reported).cloned().collect();
    ClientsAssessment {
        key_id: plan.key_id.clone().filter(|_| applied.failures.is_empty()),
        is_granted: !view.under.granted.is_empty(),
        is_served: matches!(view.under.access, Some(Ok(_))),
        is_unfinished: problems.iter().any(|problem| problem.is_passing),
        problems,
        namespaces: namespaces.into_iter().cloned().collect(),
    }
}

/// Puts the judgement into the status, or what the former one said when nobody looked.
#[must_use]
pub fn with_clients(
    tenant: &WorkflowTenant,
    mut status: WorkflowTenantStatus,
    assessment: Option<&ClientsAssessment>,
    now: Timestamp,
) -> WorkflowTenantStatus {
    let former = tenant.status.clone().unwrap_or_default();
    status.conditions.retain(|condition| condition.type_ != CLIENT_ACCESS);
    let carried = || find(&former.conditions, CLIENT_ACCESS).cloned();
    let condition = match assessment {
        None => {
            status.client_namespaces.clone_from(&former.client_namespaces);
            status.client_key_id.clone_from(&former.client_key_id);
            carried()
        }
        Some(assessment) => {
            status.client_namespaces.clone_from(&assessment.namespaces);
            status.client_key_id.clone_from(&assessment.key_id);
            let wanted = build_client_access(tenant, assessment);
            let merge =
                |wanted| merge(&former.conditions, vec![wanted], tenant.metadata.generation, now).pop();
            wanted.map_or_else(|| if assessment.is_granted { carried() } else { None }, merge)
        }
    };
    status.conditions.extend(condition);
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
            first.reason,
            format!("{}{others}", first.message),
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
pub fn build_left(tenant: &WorkflowTenant, namespaces: &[&str]) -> Option<Event> {
    let reason = TenantReason::ClientSecretsLeft;
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
