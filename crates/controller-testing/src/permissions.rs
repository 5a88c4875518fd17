//! RBAC for a user of a test: exactly the rights that a document names, and no others.

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::api::PostParams;
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const RBAC: &str = "rbac.authorization.k8s.io";

/// One rule of a Role.
#[must_use]
pub fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": [group], "resources": resources, "verbs": verbs})
}

/// A rule about named objects only.
#[must_use]
pub fn rule_for(group: &str, resources: &[&str], names: &[&str], verbs: &[&str]) -> Value {
    let mut rule = rule(group, resources, verbs);
    rule["resourceNames"] = json!(names);
    rule
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
