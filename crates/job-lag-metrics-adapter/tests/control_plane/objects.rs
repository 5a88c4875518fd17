//! The objects around the adapter: its rights, its APIService, and what the cluster-controller leaves for callers of an
//! engine.

use api_types::{WorkflowCluster, WorkflowTenant, WorkflowWorker, engine_access};
use engine_client::Credential;
use engine_fake::FakeServer;
use k8s_openapi::{
    api::{
        core::v1::{ConfigMap, Secret},
        rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding},
    },
    kube_aggregator::pkg::apis::apiregistration::v1::APIService,
};
use kube::{
    Api, Client, Resource,
    api::{Patch, PatchParams},
    core::{ClusterResourceScope, NamespaceResourceScope},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

pub(crate) const SERVICE: &str = "job-lag-metrics-adapter";
pub(crate) const SYSTEM: &str = "workflow-system";
pub(crate) const API_SERVICE: &str = "v1beta1.external.metrics.k8s.io";
pub(crate) const AUTH_READER: &str = "job-lag-metrics-adapter-auth-reader";
/// Of the adapter.
pub(crate) const ACCOUNT: &str = "system:serviceaccount:workflow-system:job-lag-metrics-adapter";
/// What the fake engine's certificate is for.
pub(crate) const ENGINE_HOST: &str = "localhost";

/// The rights of `docs/spec/metrics-adapter.md`, as the chart grants them.
pub(crate) async fn apply_rights(client: &Client) {
    let account = json!([{"kind": "ServiceAccount", "name": SERVICE, "namespace": SYSTEM}]);
    let to_role =
        |kind: &str, name: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name});
    let rbac = "rbac.authorization.k8s.io/v1";
    apply::<RoleBinding>(
        client,
        "kube-system",
        json!({
            "apiVersion": rbac, "kind": "RoleBinding", "metadata": {"name": AUTH_READER}, "subjects": account,
            "roleRef": to_role("Role", "extension-apiserver-authentication-reader"),
        }),
    )
    .await;
    apply_cluster_wide::<ClusterRoleBinding>(
        client,
        json!({
            "apiVersion": rbac, "kind": "ClusterRoleBinding", "metadata": {"name": format!("{SERVICE}-auth-delegator")},
            "subjects": account, "roleRef": to_role("ClusterRole", "system:auth-delegator"),
        }),
    )
    .await;
    apply_cluster_wide::<ClusterRole>(
        client,
        json!({
            "apiVersion": rbac, "kind": "ClusterRole", "metadata": {"name": SERVICE},
            "rules": [
                {
                    "apiGroups": ["workflow.example.com"],
                    "resources": ["workflowclusters", "workflowtenants", "workflowworkers"],
                    "verbs": ["list", "watch"],
                },
                {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list", "watch"]},
                {"apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": ["get"]},
                {
                    "apiGroups": ["apiregistration.k8s.io"], "resources": ["apiservices"],
                    "resourceNames": [API_SERVICE], "verbs": ["get", "create", "patch"],
                },
                {
                    "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"],
                    "resourceNames": [SERVICE], "verbs": ["get"],
                },
            ],
        }),
    )
    .await;
    apply_cluster_wide::<ClusterRoleBinding>(
        client,
        json!({
            "apiVersion": rbac, "kind": "ClusterRoleBinding", "metadata": {"name": SERVICE}, "subjects": account,
            "roleRef": to_role("ClusterRole", SERVICE),
        }),
    )
    .await;
    apply::<Role>(
        client,
        SYSTEM,
        json!({
            "apiVersion": rbac, "kind": "Role", "metadata": {"name": SERVICE},
            "rules": [
                {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
                {
                    "apiGroups": [""], "resources": ["secrets"], "resourceNames": [format!("{SERVICE}-serving-cert")],
                    "verbs": ["get", "update"],
                },
            ],
        }),
    )
    .await;
    apply::<RoleBinding>(
        client,
        SYSTEM,
        json!({
            "apiVersion": rbac, "kind": "RoleBinding", "metadata": {"name": SERVICE}, "subjects": account,
            "roleRef": to_role("Role", SERVICE),
        }),
    )
    .await;
}

/// On WorkflowCluster `prod` beside it.
pub(crate) async fn apply_tenant(client: &Client, namespace: &str, name: &str, namespaces: &[&str]) {
    let tenant = json!({
        "apiVersion": "workflow.example.com/v1alpha1",
        "kind": "WorkflowTenant",
        "metadata": {"name": name},
        "spec": {"clusterRef": {"name": "prod"}, "namespaces": namespaces},
    });
    apply::<WorkflowTenant>(client, namespace, tenant).await;
}

/// Of a tenant on WorkflowCluster `prod` in `cluster_namespace`.
pub(crate) async fn apply_worker(client: &Client, namespace: &str, cluster_namespace: &str, tenant: &str) {
    let worker = json!({
        "apiVersion": "workflow.example.com/v1alpha1",
        "kind": "WorkflowWorker",
        "metadata": {"name": "worker"},
        "spec": {
            "clusterRef": {"name": "prod", "namespace": cluster_namespace}, "tenantRef": {"name": tenant},
            "image": "worker", "jobTypes": ["charge"], "replicas": 1,
        },
    });
    apply::<WorkflowWorker>(client, namespace, worker).await;
}

/// What the cluster-controller leaves behind for those who call the engine.
pub(crate) async fn apply_workflow_cluster(
    client: &Client,
    namespace: &str,
    server: &FakeServer,
    token: &Credential,
) {
    apply::<WorkflowCluster>(
        client,
        namespace,
        json!({
            "apiVersion": "workflow.example.com/v1alpha1",
            "kind": "WorkflowCluster",
            "metadata": {"name": "prod"},
            "spec": {
                "version": "1.2.3",
                "replicas": 1,
                "postgres": {"externalRef": {"host": "postgres", "databaseSecret": "postgres"}},
            },
        }),
    )
    .await;
    let endpoint = json!({
        "host": ENGINE_HOST, "port": server.port(), "url": format!("https://{ENGINE_HOST}:{}", server.port()),
    });
    let clusters: Api<WorkflowCluster> = Api::namespaced(client.clone(), namespace);
    let status = Patch::Merge(json!({"status": {"endpoint": endpoint}}));
    clusters.patch_status("prod", &PatchParams::default(), &status).await.unwrap();
    apply::<Secret>(
        client,
        namespace,
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": engine_access::access_secret_name("prod", engine_access::Access::MonitorToken)},
            "stringData": {engine_access::CURRENT_KEY: token.expose()},
        }),
    )
    .await;
    apply_engine_ca(client, namespace, server).await;
}

pub(crate) async fn apply_engine_ca(client: &Client, namespace: &str, server: &FakeServer) {
    let ca = server.address().tls.expect("the engine should speak TLS").ca_pem;
    apply::<ConfigMap>(
        client,
        namespace,
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": engine_access::ca_config_map_name("prod")},
            "data": {engine_access::CA_CERT_KEY: ca},
        }),
    )
    .await;
}

/// As another product has it.
pub(crate) async fn apply_foreign_api_service(client: &Client) {
    apply_cluster_wide::<APIService>(
        client,
        json!({
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": API_SERVICE},
            "spec": {
                "group": "external.metrics.k8s.io",
                "version": "v1beta1",
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
                "insecureSkipTLSVerify": true,
                "service": {"namespace": "keda", "name": "keda-metrics-apiserver", "port": 443},
            },
        }),
    )
    .await;
}

pub(crate) async fn apply<K>(client: &Client, namespace: &str, object: Value)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + Serialize,
{
    apply_to(&Api::<K>::namespaced(client.clone(), namespace), object).await;
}

pub(crate) async fn apply_cluster_wide<K>(client: &Client, object: Value)
where
    K: Resource<DynamicType = (), Scope = ClusterResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + Serialize,
{
    apply_to(&Api::<K>::all(client.clone()), object).await;
}

async fn apply_to<K: Clone + std::fmt::Debug + DeserializeOwned>(api: &Api<K>, object: Value) {
    let name = object["metadata"]["name"].as_str().expect("an object has a name").to_owned();
    let params = PatchParams::apply("control-plane-test").force();
    if let Err(error) = api.patch(&name, &params, &Patch::Apply(object)).await {
        panic!("{name} is refused: {error}");
    }
}
