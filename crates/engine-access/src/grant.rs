//! What a person must create when the Kubernetes API refuses because a permission is missing.

use controller_kit::problem::MissingPermission;

/// The ClusterRole of the charts that is not bound in a namespace: `<service account>-<suffix>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespaceRole {
    /// For namespaces that WorkflowClusters are in.
    Cluster,
    /// For namespaces that WorkflowWorkers are in.
    Workload,
}

impl NamespaceRole {
    const fn suffix(self) -> &'static str {
        match self {
            Self::Cluster => "cluster-namespace",
            Self::Workload => "workload-namespace",
        }
    }
}

/// The RoleBinding that is missing, if `error` says that one is; `None` for every other refusal (admission, quota).
///
/// The message does not name the refused request: several run at once, and it must not depend on which one is refused
/// first.
#[must_use]
pub fn missing_permission(error: &kube::Error, role: NamespaceRole) -> Option<MissingPermission> {
    let kube::Error::Api(status) = error else { return None };
    let (user, namespace) = parse_refusal(&status.message)?;
    let suffix = role.suffix();
    let (role, subject) = match user
        .strip_prefix("system:serviceaccount:")
        .and_then(|name| name.split_once(':'))
    {
        Some((home, account)) => (format!("{account}-{suffix}"), format!("ServiceAccount {home}/{account}")),
        None => (format!("…-{suffix}"), format!("User {user}")),
    };
    Some(MissingPermission {
        message: format!("no permission in namespace {namespace}"),
        hint: format!("create a RoleBinding there of ClusterRole {role} to {subject}"),
    })
}

/// The same in one sentence.
#[must_use]
pub fn missing_grant(error: &kube::Error, role: NamespaceRole) -> Option<String> {
    missing_permission(error, role).map(|MissingPermission { message, hint }| format!("{message}: {hint}"))
}

/// User and namespace of `… is forbidden: User "u" cannot get resource "r" in API group "g" in the namespace "n"`, the
/// message of every authorizer of the API server.
fn parse_refusal(message: &str) -> Option<(&str, &str)> {
    let (_, rest) = message.split_once("is forbidden: User \"")?;
    let (user, rest) = rest.split_once("\" cannot ")?;
    let (_, rest) = rest.split_once(" in the namespace \"")?;
    let (namespace, _) = rest.split_once('"')?;
    Some((user, namespace))
}

#[cfg(test)]
mod tests;
