use kube::core::Status;
use rstest::rstest;

use super::*;

fn refusal(message: &str) -> kube::Error {
    kube::Error::Api(Box::new(Status { code: 403, message: message.to_owned(), ..Status::default() }))
}

#[rstest]
#[case::in_a_fleets_namespace(
    r#"deployments.apps "payment-worker" is forbidden: User "system:serviceaccount:workflow-system:workflow-worker-controller" cannot get resource "deployments" in API group "apps" in the namespace "acme-tenant""#,
    NamespaceRole::Workload,
    Some("no permission in namespace acme-tenant: create a RoleBinding there of ClusterRole workflow-worker-controller-workload-namespace to ServiceAccount workflow-system/workflow-worker-controller"),
)]
#[case::in_a_clusters_namespace(
    r#"secrets "wf-db-credentials" is forbidden: User "system:serviceaccount:ops:wf-cluster-controller" cannot get resource "secrets" in API group "" in the namespace "prod": RBAC: clusterrole not found"#,
    NamespaceRole::Cluster,
    Some("no permission in namespace prod: create a RoleBinding there of ClusterRole wf-cluster-controller-cluster-namespace to ServiceAccount ops/wf-cluster-controller"),
)]
#[case::of_a_person(
    r#"pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "acme""#,
    NamespaceRole::Workload,
    Some(
        "no permission in namespace acme: create a RoleBinding there of ClusterRole …-workload-namespace to User jane"
    )
)]
#[case::everywhere(
    r#"namespaces is forbidden: User "jane" cannot list resource "namespaces" in API group "" at the cluster scope"#,
    NamespaceRole::Workload,
    None,
)]
#[case::a_quota(r#"pods "x" is forbidden: exceeded quota: pods"#, NamespaceRole::Workload, None)]
fn the_missing_role_binding_is_named(
    #[case] message: &str,
    #[case] role: NamespaceRole,
    #[case] reported: Option<&str>,
) {
    assert_eq!(missing_grant(&refusal(message), role).as_deref(), reported);
}
