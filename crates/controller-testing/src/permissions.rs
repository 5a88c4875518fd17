//! RBAC for a controller in a test: exactly the rights that the charts grant its service, and no others.

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::api::PostParams;
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const RBAC: &str = "rbac.authorization.k8s.io";

/// What the charts render with their default values; `charts/test.sh` keeps it up to date.
const RENDERED: &str = include_str!("../../../charts/tests/golden/default.yaml");

/// Where a ClusterRole of a service is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In all namespaces.
    Everywhere,
    /// In namespaces that WorkflowClusters are in.
    ClusterNamespace,
    /// In namespaces of teams, which opt in by a RoleBinding.
    WorkloadNamespace,
}

/// The rules that the charts grant a service, for instance `tenant-controller`.
#[must_use]
pub fn chart_rules(service: &str, scope: Scope) -> Vec<Value> {
    let name = match scope {
        Scope::Everywhere => format!("workflow-{service}"),
        Scope::ClusterNamespace => format!("workflow-{service}-cluster-namespace"),
        Scope::WorkloadNamespace => format!("workflow-{service}-workload-namespace"),
    };
    let header = format!("kind: ClusterRole\nmetadata:\n  name: {name}\n");
    let role = RENDERED.split("\n---\n").find(|document| document.contains(&header));
    let role = role.unwrap_or_else(|| panic!("the charts should render ClusterRole {name}"));
    let role: ClusterRole = serde_saphyr::from_str(role).expect("a ClusterRole should be readable");
    role.rules.into_iter().flatten().map(|rule| json!(rule)).collect()
}

/// What the cluster-controller grants the readers of an engine's Secrets: each of them by name.
#[must_use]
pub fn secrets_rule(names: &[&str]) -> Value {
    json!({"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": names})
}

/// Grants `user` these rules in all namespaces: a ClusterRole and its binding, both named after the user. A user
/// `system:serviceaccount:<namespace>:<name>` is bound as a ServiceAccount.
pub async fn permit_everywhere(admin: &Client, user: &str, rules: &[Value]) {
    let name = user.replace(':', ".");
    let role: ClusterRole = read(json!({"metadata": {"name": name}, "rules": rules}));
    Api::all(admin.clone()).create(&PostParams::default(), &role).await.expect("a ClusterRole");
    let binding: ClusterRoleBinding = read(binding(&name, "ClusterRole", user));
    Api::all(admin.clone()).create(&PostParams::default(), &binding).await.expect("a ClusterRoleBinding");
}

/// Grants `user` these rules in one namespace: a Role `name` and a RoleBinding of that name.
pub async fn permit_in(admin: &Client, namespace: &str, name: &str, user: &str, rules: &[Value]) {
    let role: Role = read(json!({"metadata": {"name": name}, "rules": rules}));
    Api::namespaced(admin.clone(), namespace).create(&PostParams::default(), &role).await.expect("a Role");
    let binding: RoleBinding = read(binding(name, "Role", user));
    let bindings = Api::namespaced(admin.clone(), namespace);
    bindings.create(&PostParams::default(), &binding).await.expect("a RoleBinding");
}

fn binding(name: &str, kind: &str, user: &str) -> Value {
    let subject = match user.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':')) {
        Some((namespace, name)) => json!({"kind": "ServiceAccount", "name": name, "namespace": namespace}),
        None => json!({"apiGroup": RBAC, "kind": "User", "name": user}),
    };
    json!({
        "metadata": {"name": name},
        "roleRef": {"apiGroup": RBAC, "kind": kind, "name": name},
        "subjects": [subject],
    })
}

fn read<K: DeserializeOwned>(object: Value) -> K {
    serde_json::from_value(object).expect("should be a valid object")
}
