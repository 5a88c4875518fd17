use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{DeleteParams, ListParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde::de::DeserializeOwned;

use super::*;
use crate::wait::{await_gone, eventually};

mod aggregation;

fn from_json<K: DeserializeOwned>(value: serde_json::Value) -> K {
    serde_json::from_value(value).unwrap()
}

fn config(name: &str) -> ConfigMap {
    from_json(json!({"metadata": {"name": name}}))
}

#[tokio::test]
async fn rbac_decides_for_each_user() {
    let apiserver = crate::require_apiserver!();
    let namespace = apiserver.namespace("rbac").await;
    let admin = apiserver.client().await;
    let role: Role = from_json(json!({
        "metadata": {"name": "readers"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}],
    }));
    let binding: RoleBinding = from_json(json!({
        "metadata": {"name": "readers"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "readers"},
        "subjects": [
            {"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "developers"},
            {"kind": "ServiceAccount", "name": "controller", "namespace": namespace},
        ],
    }));
    let params = PostParams::default();
    Api::namespaced(admin.clone(), &namespace).create(&params, &role).await.unwrap();
    Api::namespaced(admin.clone(), &namespace).create(&params, &binding).await.unwrap();

    let config_maps = |client| Api::<ConfigMap>::namespaced(client, &namespace);
    let service_account = format!("system:serviceaccount:{namespace}:controller");
    for client in [
        apiserver.client_for("jane", &["developers"]).await,
        apiserver.client_for(&service_account, &[]).await,
    ] {
        // The authorizer learns of new roles by its own watch.
        eventually("the list is allowed", Duration::from_secs(10), || async {
            config_maps(client.clone()).list(&ListParams::default()).await
        })
        .await;
        let refused = config_maps(client).create(&params, &config("a")).await.unwrap_err();
        assert!(matches!(&refused, kube::Error::Api(status) if status.is_forbidden()), "{refused:?}");
    }
    let nobody = config_maps(apiserver.client_for("joe", &[]).await);
    let refused = nobody.list(&ListParams::default()).await.unwrap_err();
    let kube::Error::Api(status) = refused else { panic!("{refused:?}") };
    let expected = format!(
        "configmaps is forbidden: User \"joe\" cannot list resource \"configmaps\" in API group \"\" in the namespace \"{namespace}\""
    );
    assert_eq!(status.message, expected);
}

#[tokio::test]
async fn kubeconfig_files_serve_programs() {
    let apiserver = crate::require_apiserver!();
    for (path, user) in [
        (apiserver.kubeconfig(), "test-admin"),
        (apiserver.kubeconfig_for("system:serviceaccount:a:b", &[]), "system:serviceaccount:a:b"),
    ] {
        let kubeconfig = Kubeconfig::read_from(path).unwrap();
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        let client = Client::try_from(config).unwrap();
        let review: k8s_openapi::api::authentication::v1::SelfSubjectReview =
            from_json(json!({"metadata": {}}));
        let review = Api::all(client).create(&PostParams::default(), &review).await.unwrap();
        let who = review.status.and_then(|status| status.user_info).and_then(|info| info.username);
        assert_eq!(who.as_deref(), Some(user));
    }
}

#[tokio::test]
async fn applied_crd_is_served_and_validates() {
    let apiserver = crate::require_apiserver!();
    let namespace = apiserver.namespace("crds").await;
    let crd: CustomResourceDefinition = from_json(json!({
        "metadata": {"name": "parcels.test.example.com"},
        "spec": {
            "group": "test.example.com",
            "names": {"kind": "Parcel", "plural": "parcels"},
            "scope": "Namespaced",
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object",
                "properties": {"spec": {
                    "type": "object",
                    "properties": {"weight": {"type": "integer"}},
                    "x-kubernetes-validations": [{"rule": "self.weight > 0", "message": "a parcel weighs something"}],
                }},
            }}}],
        },
    }));
    apiserver.apply_crds(std::slice::from_ref(&crd)).await;
    apiserver.apply_crds(&[crd]).await;

    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("test.example.com", "v1", "Parcel"));
    let api: Api<DynamicObject> = Api::namespaced_with(apiserver.client().await, &namespace, &kind);
    let parcel = |weight| DynamicObject::new("parcel", &kind).data(json!({"spec": {"weight": weight}}));
    let refused = api.create(&PostParams::default(), &parcel(0)).await.unwrap_err();
    assert!(refused.to_string().contains("a parcel weighs something"), "{refused}");
    api.create(&PostParams::default(), &parcel(1)).await.unwrap();
}

#[tokio::test]
async fn namespaces_are_unique_and_pods_need_no_controller_manager() {
    let apiserver = crate::require_apiserver!();
    let (first, second) = (apiserver.namespace("same").await, apiserver.namespace("same").await);
    assert_ne!(first, second);
    let pod: Pod = from_json(json!({
        "metadata": {"name": "pod"},
        "spec": {"containers": [{"name": "c", "image": "none"}]},
    }));
    let pods: Api<Pod> = Api::namespaced(apiserver.client().await, &first);
    pods.create(&PostParams::default(), &pod).await.unwrap();
}

#[tokio::test]
async fn stopped_apiserver_comes_back_with_its_objects() {
    let Some(mut apiserver) = TestApiServer::start(ApiServerOptions::default()).await else { return };
    let client = apiserver.client().await;
    let config_maps: Api<ConfigMap> = Api::namespaced(client, "default");
    config_maps.create(&PostParams::default(), &config("kept")).await.unwrap();
    apiserver.stop();
    assert!(config_maps.get("kept").await.is_err());
    apiserver.start_again().await;
    config_maps.get("kept").await.unwrap();

    let folder = apiserver.folder.path().to_owned();
    drop(apiserver);
    assert!(!folder.exists());
}

#[tokio::test]
async fn controller_manager_makes_pods_and_collects_them() {
    let apiserver = crate::require_controller_manager!();
    let namespace = apiserver.namespace("controllers").await;
    let client = apiserver.client().await;
    let labels = json!({"app": "a"});
    let deployment: Deployment = from_json(json!({
        "metadata": {"name": "a"},
        "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": {
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": "c", "image": "none"}]},
        }},
    }));
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &namespace);
    deployments.create(&PostParams::default(), &deployment).await.unwrap();
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let count = |expected: usize| {
        let pods = pods.clone();
        eventually("the pods are as many as they should be", Duration::from_mins(1), move || {
            let pods = pods.clone();
            async move {
                let found = pods.list(&ListParams::default()).await.map_err(|e| e.to_string())?.items.len();
                if found == expected { Ok(()) } else { Err(format!("{found} instead of {expected}")) }
            }
        })
    };
    count(2).await;
    let accounts: Api<ServiceAccount> = Api::namespaced(client, &namespace);
    accounts.get("default").await.unwrap();

    deployments.delete("a", &DeleteParams::foreground()).await.unwrap();
    await_gone(&deployments, "a", Duration::from_mins(1)).await;
    count(0).await;
}
