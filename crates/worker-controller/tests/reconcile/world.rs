//! What a pass needs, read anew before each: watches that are always up to date.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use api_types::labels::{MANAGED_BY, OPERATOR, WORKER_CONTROLLER};
use api_types::{WorkflowCluster, WorkflowTenant, WorkflowWorker};
use controller_kit::apply::Writer;
use controller_kit::children::{ChildCaches, watched_resources};
use controller_kit::clock::Clock;
use controller_kit::controller::{Pass, Reconciler as _};
use controller_kit::events::Publisher;
use controller_kit::outcome::{ErrorClass, Next};
use controller_kit::pass::Passes;
use engine_access::engine::{EngineConnector, EngineRole};
use engine_access::reference::CachedDirectory;
use engine_client::{EnginePool, TenantEpoch, TenantKey, Timeouts, TokenRole};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::{DynamicObject, ListParams, PartialObjectMeta};
use kube::runtime::reflector::{self, Store};
use kube::runtime::watcher::Event;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use test_support::builders;
use worker_controller::children::WorkerChildren;
use worker_controller::context::Context;
use worker_controller::kind::Workers;

pub(crate) const SEED: &str = include_str!("../../../api-types/testdata/seeds/workflowworker.yaml");
pub(crate) const EVERY_FIELD: &str = include_str!("../../testdata/every-field.yaml");
pub(crate) const PASSED_ON: &str = include_str!("../../testdata/passed-on.yaml");
pub(crate) const CLUSTER: &str = "prod-east";
pub(crate) const WORKER: &str = "payment-worker";

pub(crate) fn parse<K: DeserializeOwned>(yaml: &str) -> K {
    serde_saphyr::from_str(yaml).unwrap()
}

/// The worker of that manifest in that namespace, changed.
pub(crate) fn worker(yaml: &str, namespace: &str, change: impl FnOnce(&mut Value)) -> WorkflowWorker {
    let mut value: Value = parse(yaml);
    value["metadata"]["namespace"] = json!(namespace);
    change(&mut value);
    serde_json::from_value(value).unwrap()
}

pub(crate) fn ca_config_map(namespace: &str) -> ConfigMap {
    let mut config_map = ConfigMap::default();
    config_map.metadata.name = Some(format!("{CLUSTER}-engine-ca"));
    config_map.metadata.namespace = Some(namespace.into());
    config_map.data = Some(BTreeMap::from([("ca.crt".into(), "-----BEGIN CERTIFICATE-----".into())]));
    config_map
}

pub(crate) fn worker_key(namespace: &str) -> Secret {
    let mut secret = Secret::default();
    secret.metadata.name = Some(format!("{CLUSTER}-engine-worker-key"));
    secret.metadata.namespace = Some(namespace.into());
    let key = ByteString(builders::WORKER_KEY.as_bytes().to_vec());
    secret.data = Some(BTreeMap::from([("current".into(), key)]));
    secret
}

/// The token that a tenant's workers must get.
pub(crate) fn token(tenant_id: &str, epoch: &str) -> String {
    let tenant = TenantEpoch { tenant_id: tenant_id.to_owned(), epoch: epoch.to_owned() };
    let key = TenantKey::parse(builders::WORKER_KEY).unwrap();
    key.mint(TokenRole::Worker, &tenant).expose().to_owned()
}

/// A store that holds what a list gave.
pub(crate) fn store_of<K>(objects: Vec<K>) -> Store<K>
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

async fn list<K>(api: Api<K>, params: &ListParams) -> Store<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + 'static,
{
    store_of(api.list(params).await.unwrap().items)
}

/// The children of one namespace, as a watch shows them.
pub(crate) async fn caches(reader: &Client, namespace: &str) -> ChildCaches {
    let ours = ListParams::default().labels(&format!("{MANAGED_BY}={OPERATOR}"));
    let mut listed = BTreeMap::new();
    for resource in watched_resources::<WorkerChildren>() {
        let api: Api<DynamicObject> = Api::namespaced_with(reader.clone(), namespace, &resource);
        let objects: Vec<Value> = api.list(&ours).await.unwrap().iter().map(|object| json!(object)).collect();
        listed.insert(resource.kind, objects);
    }
    ChildCaches::holding::<WorkerChildren>(|resource| listed[&resource.kind].clone()).unwrap()
}

/// All clusters, tenants and namespaces.
pub(crate) async fn directory(reader: &Client) -> CachedDirectory {
    let namespaces =
        Api::<Namespace>::all(reader.clone()).list_metadata(&ListParams::default()).await.unwrap();
    let namespaces: Vec<PartialObjectMeta<Namespace>> = namespaces.items;
    CachedDirectory {
        clusters: list(Api::<WorkflowCluster>::all(reader.clone()), &ListParams::default()).await,
        tenants: list(Api::<WorkflowTenant>::all(reader.clone()), &ListParams::default()).await,
        namespaces: store_of(namespaces),
    }
}

/// `client` is the controller's own; what is not given is read through `reader`.
pub(crate) fn context(client: &Client, directory: CachedDirectory, caches: ChildCaches) -> Context {
    Context {
        client: client.clone(),
        clock: Clock::fixed("2026-01-01T00:00:00Z".parse().unwrap()),
        directory: Arc::new(directory),
        cluster_namespace: "workflow-system".into(),
        engines: EngineConnector::new(
            client.clone(),
            Arc::new(EnginePool::new(Timeouts::default())),
            EngineRole::Monitor,
        ),
        caches,
    }
}

/// One pass over the worker as it is.
pub(crate) async fn pass_with(context: Context, reader: &Client, namespace: &str) -> Pass<WorkflowWorker> {
    let writer = Writer::new(context.client.clone(), WORKER_CONTROLLER.field_manager);
    pass_as(&writer, context, reader, namespace).await
}

/// The same in a life of the controller that has written before.
pub(crate) async fn pass_as(
    writer: &Writer,
    context: Context,
    reader: &Client,
    namespace: &str,
) -> Pass<WorkflowWorker> {
    let api: Api<WorkflowWorker> = Api::namespaced(reader.clone(), namespace);
    let worker = api.get(WORKER).await.unwrap();
    let passes = Passes { writer: writer.clone(), ..passes(context) };
    Box::pin(passes.reconcile(Arc::new(worker))).await
}

/// A life of the controller.
pub(crate) fn passes(context: Context) -> Passes<Workers> {
    let (client, clock) = (context.client.clone(), context.clock.clone());
    Passes {
        kind: Workers { context },
        writer: Writer::new(client.clone(), WORKER_CONTROLLER.field_manager),
        publisher: Publisher::new(client, "worker-controller", "test".into(), clock.clone()),
        clock,
    }
}

/// One pass with watches that are up to date.
pub(crate) async fn pass(client: &Client, reader: &Client, namespace: &str) -> Pass<WorkflowWorker> {
    let context = context(client, directory(reader).await, caches(reader, namespace).await);
    pass_with(context, reader, namespace).await
}

/// A pass that must not fail. One that another controller came before is repeated, as the queue does.
pub(crate) async fn good_pass(client: &Client, namespace: &str) {
    for _ in 0..10 {
        match pass(client, client, namespace).await.next {
            Next::Failed(ErrorClass::Conflict) => {}
            next => return assert!(!matches!(next, Next::Failed(_)), "{next:?}"),
        }
    }
    panic!("ten conflicts in a row");
}
