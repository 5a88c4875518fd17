//! Caches that hold what an API server has now, as watches show it that are up to date.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use api_types::labels::{MANAGED_BY, OPERATOR, TENANT};
use api_types::{WorkflowCluster, WorkflowTenant};
use controller_kit::children::{ChildCaches, ChildSet, watched_resources};
use engine_access::reference::{CachedDirectory, Directory, Namespaces};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DynamicObject, ListParams};
use kube::runtime::reflector::{self, Store};
use kube::runtime::watcher::Event;
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use test_support::FakeApiServer;

/// A cache with these objects.
pub fn store_of<K>(objects: Vec<K>) -> Store<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let (store, mut writer) = reflector::store();
    writer.apply_watcher_event(&Event::Init);
    for object in objects {
        writer.apply_watcher_event(&Event::InitApply(object));
    }
    writer.apply_watcher_event(&Event::InitDone);
    store
}

/// A cache with the objects that this list gives.
pub async fn listed<K>(api: Api<K>, which: &ListParams) -> Store<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + 'static,
{
    store_of(api.list(which).await.expect("should be listed").items)
}

/// Of objects that this operator manages.
#[must_use]
pub fn managed() -> ListParams {
    ListParams::default().labels(&format!("{MANAGED_BY}={OPERATOR}"))
}

/// The children in all namespaces of an API server in memory.
pub fn children_in_memory<S: ChildSet>(apiserver: &FakeApiServer) -> ChildCaches {
    let is_managed = |object: &Value| object["metadata"]["labels"][MANAGED_BY] == OPERATOR;
    let list = |resource: &_| apiserver.list_of(resource).into_iter().filter(is_managed).collect();
    ChildCaches::holding::<S>(list).expect("children should be readable")
}

/// The children in one namespace of a real API server.
pub async fn children<S: ChildSet>(reader: &Client, namespace: &str) -> ChildCaches {
    let mut listed = BTreeMap::new();
    for resource in watched_resources::<S>() {
        let api: Api<DynamicObject> = Api::namespaced_with(reader.clone(), namespace, &resource);
        let objects = api.list(&managed()).await.expect("children should be listed");
        listed.insert(resource.kind, objects.iter().map(|object| json!(object)).collect::<Vec<_>>());
    }
    let list = |resource: &kube::api::ApiResource| listed[&resource.kind].clone();
    ChildCaches::holding::<S>(list).expect("children should be readable")
}

/// All clusters, tenants and namespaces of an API server.
pub async fn directory(reader: &Client) -> CachedDirectory {
    let everything = ListParams::default();
    let namespaces = Api::<Namespace>::all(reader.clone()).list_metadata(&everything).await;
    CachedDirectory {
        clusters: listed(Api::all(reader.clone()), &everything).await,
        tenants: listed(Api::all(reader.clone()), &everything).await,
        namespaces: store_of(namespaces.expect("namespaces should be listed").items),
    }
}

/// Clusters, tenants and namespaces as the API server in memory has them at the moment of the question.
pub struct Stored(pub FakeApiServer);

impl Directory for Stored {
    fn cluster(&self, namespace: &str, name: &str) -> Option<Arc<WorkflowCluster>> {
        self.0.get(namespace, name).map(Arc::new)
    }

    fn tenant(&self, namespace: &str, name: &str) -> Option<Arc<WorkflowTenant>> {
        self.0.get(namespace, name).map(Arc::new)
    }

    fn namespace_labels(&self, namespace: &str) -> BTreeMap<String, String> {
        self.0.get::<Namespace>("", namespace).map(|found| found.labels().clone()).unwrap_or_default()
    }
}

impl Namespaces for Stored {
    fn contains(&self, name: &str) -> bool {
        self.0.get::<Namespace>("", name).is_some()
    }

    fn labelled(&self, tenant: &str) -> Vec<String> {
        let namespaces = self.0.list::<Namespace>("").into_iter();
        let carries = |namespace: &Namespace| namespace.labels().get(TENANT).is_some_and(|it| it == tenant);
        namespaces.filter(carries).map(|namespace| namespace.name_any()).collect()
    }
}
