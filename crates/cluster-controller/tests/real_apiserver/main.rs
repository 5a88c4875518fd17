//! Whole passes on a real API server, where field ownership, defaults, schemas and RBAC are; with no more rights than
//! `docs/spec/workflowcluster.md` names under "Permissions".
#![cfg(test)]

mod access;
mod deletion;
mod passed_on;
mod pods;
mod refused;
mod rotation;
mod upgrade;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api_types::WorkflowCluster;
use api_types::engine_access::engine_host;
use async_trait::async_trait;
use cluster_controller::args::{Account, PullPolicy, Readers, Settings};
use cluster_controller::children::ClusterChildren;
use cluster_controller::context::Context;
use cluster_controller::kind::Clusters;
use cluster_controller::observe::dependants::DependantCaches;
use cluster_controller::observe::postgres::{Database, Databases, Login, PostgresProbe, PostgresView};
use cluster_controller::proof::ProofKeeper;
use cluster_controller::status::RESYNC;
use controller_kit::apply::Writer;
use controller_kit::children::{ChildCaches, watched_resources};
use controller_kit::clock::Clock;
use controller_kit::controller::{Pass, Reconciler as _};
use controller_kit::events::Publisher;
use controller_kit::outcome::{ErrorClass, Next};
use controller_kit::pass::Passes;
use engine_access::engine::{EngineConnector, EngineRole};
use engine_fake::FakeEngines;
use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use kube::runtime::reflector::{self, Store};
use kube::runtime::watcher;
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use test_support::apiserver::TestApiServer;
use test_support::wait::eventually;

const CLUSTER: &str = "prod-east";
const PROOF_SECRET: &str = "proof";
const ENGINE: &str = "prod-east-engine";
/// The seed's manifest.
const SEED: &str = include_str!("../../testdata/seed.yaml");

/// A database whose marker is set by the migration Job of [`Home::answer`].
#[derive(Clone, Default)]
struct FakeDatabase(Arc<std::sync::Mutex<Option<String>>>);

#[async_trait]
impl Databases for FakeDatabase {
    async fn look(&self, _: &Login) -> PostgresView {
        let engine_version = self.0.lock().unwrap().clone();
        let protection = postgres_guard::Protection::Verified;
        PostgresView::Reachable(Database {
            protection,
            server_version: 150_004,
            schema_version: Some(1),
            engine_version,
        })
    }
}

/// One test's namespace, and a controller in it.
struct Home {
    admin: Client,
    controller: Client,
    namespace: String,
    database: FakeDatabase,
    engines: FakeEngines,
    /// Another time than the machine's.
    now: std::sync::Mutex<Option<Timestamp>>,
}

impl Home {
    async fn new(apiserver: &TestApiServer, prefix: &str) -> Self {
        Box::pin(apiserver.apply_crds(&api_types::crds())).await;
        let namespace = apiserver.namespace(prefix).await;
        let engines = FakeEngines::new();
        engines.at(&engine_host(CLUSTER, &namespace), 26500);
        let admin = apiserver.client().await;
        let user = format!("cluster-controller-{namespace}");
        let controller = apiserver.client_for(&user, &[]).await;
        let database = FakeDatabase::default();
        let home = Self { admin, controller, namespace, database, engines, now: std::sync::Mutex::default() };
        home.grant(&user).await;
        let login = json!({"metadata": {"name": "wf-db-credentials"}, "stringData": {"username": "u", "password": "p"}});
        home.api::<Secret>()
            .create(&PostParams::default(), &serde_json::from_value(login).unwrap())
            .await
            .unwrap();
        home
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.admin.clone(), &self.namespace)
    }

    /// The documented rights, and no others.
    async fn grant(&self, user: &str) {
        let permit = |group: &str, resources: &[&str], verbs: &[&str]| json!({"apiGroups": [group], "resources": resources, "verbs": verbs});
        let everywhere = [
            permit("workflow.example.com", &["workflowclusters"], &["list", "watch", "patch"]),
            permit("workflow.example.com", &["workflowtenants", "workflowprocesses"], &["list", "watch"]),
            permit("workflow.example.com", &["workflowclusters/status"], &["patch"]),
            permit("workflow.example.com", &["workflowclusters/finalizers"], &["update"]),
            permit("apps", &["statefulsets"], &["list", "watch"]),
            permit("", &["services", "configmaps"], &["list", "watch"]),
            permit("batch", &["jobs"], &["list", "watch"]),
            permit("policy", &["poddisruptionbudgets"], &["list", "watch"]),
            permit("networking.k8s.io", &["networkpolicies", "ingresses"], &["list", "watch"]),
            permit("events.k8s.io", &["events"], &["create"]),
        ];
        let here = [
            permit("apps", &["statefulsets"], &["get", "create", "patch"]),
            permit("", &["services", "configmaps", "secrets"], &["get", "create", "patch"]),
            permit("", &["pods"], &["list", "delete"]),
            permit("", &["events"], &["list"]),
            permit("batch", &["jobs"], &["get", "create", "delete"]),
            permit("networking.k8s.io", &["networkpolicies"], &["get", "create", "patch"]),
            permit("networking.k8s.io", &["ingresses"], &["get", "create", "patch", "delete"]),
            permit("policy", &["poddisruptionbudgets"], &["get", "create", "patch", "delete"]),
            permit(
                "rbac.authorization.k8s.io",
                &["roles", "rolebindings"],
                &["get", "create", "patch", "delete"],
            ),
            permit("monitoring.coreos.com", &["servicemonitors"], &["get", "create", "patch", "delete"]),
        ];
        let create = PostParams::default();
        let subjects = json!([{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}]);
        let reference =
            |kind: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": user});
        let role: ClusterRole = read(json!({"metadata": {"name": user}, "rules": everywhere}));
        Api::all(self.admin.clone()).create(&create, &role).await.unwrap();
        let binding: ClusterRoleBinding = read(
            json!({"metadata": {"name": user}, "roleRef": reference("ClusterRole"), "subjects": subjects}),
        );
        Api::all(self.admin.clone()).create(&create, &binding).await.unwrap();
        let role: Role = read(json!({"metadata": {"name": user}, "rules": here}));
        self.api().create(&create, &role).await.unwrap();
        let binding: RoleBinding =
            read(json!({"metadata": {"name": user}, "roleRef": reference("Role"), "subjects": subjects}));
        self.api().create(&create, &binding).await.unwrap();
    }

    /// As `kubectl apply --server-side` does.
    async fn apply(&self, change: impl FnOnce(&mut Value)) {
        let mut manifest: Value = serde_saphyr::from_str(SEED).unwrap();
        manifest["metadata"] = json!({"name": CLUSTER, "namespace": self.namespace});
        change(&mut manifest);
        let params = PatchParams::apply("kubectl").force();
        self.api::<WorkflowCluster>().patch(CLUSTER, &params, &Patch::Apply(&manifest)).await.unwrap();
    }

    /// As the chart names them, in a namespace that is this test's own.
    fn readers(&self) -> Readers {
        let accounts = |names: &[&str]| {
            let account =
                |name: &&str| Account { namespace: self.namespace.clone(), name: (*name).to_owned() };
            names.iter().map(account).collect()
        };
        Readers {
            controller_token_readers: accounts(&["process-controller", "tenant-controller"]),
            monitor_token_readers: accounts(&["job-lag-metrics-adapter"]),
            worker_key_readers: accounts(&["worker-controller"]),
            client_key_readers: accounts(&["tenant-controller"]),
        }
    }

    async fn cluster(&self) -> WorkflowCluster {
        self.api().get(CLUSTER).await.unwrap()
    }

    async fn caches(&self) -> ChildCaches {
        let ours = ListParams::default().labels("app.kubernetes.io/managed-by=workflow-operator");
        let mut listed = BTreeMap::new();
        for resource in watched_resources::<ClusterChildren>() {
            let api: Api<DynamicObject> =
                Api::namespaced_with(self.admin.clone(), &self.namespace, &resource);
            let objects: Vec<Value> =
                api.list(&ours).await.unwrap().iter().map(|object| json!(object)).collect();
            listed.insert(resource.kind, objects);
        }
        ChildCaches::holding::<ClusterChildren>(|resource| listed[&resource.kind].clone()).unwrap()
    }

    async fn cache<K>(&self) -> Store<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug
            + 'static,
    {
        let ours = ListParams::default().labels("app.kubernetes.io/managed-by=workflow-operator");
        self.read_all(self.api::<K>(), &ours).await
    }

    async fn read_all<K>(&self, api: Api<K>, which: &ListParams) -> Store<K>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + 'static,
    {
        let (store, mut writer) = reflector::store();
        for object in api.list(which).await.unwrap() {
            writer.apply_watcher_event(&watcher::Event::Apply(object));
        }
        store
    }

    /// One pass of a controller that knows nothing of the passes before.
    async fn pass(&self) -> Pass<WorkflowCluster> {
        let cluster = self.cluster().await;
        self.pass_over(cluster).await
    }

    async fn pass_over(&self, cluster: WorkflowCluster) -> Pass<WorkflowCluster> {
        // The caches of all kinds at once are too large for a stack.
        Box::pin(self.read_and_pass(cluster)).await
    }

    async fn read_and_pass(&self, cluster: WorkflowCluster) -> Pass<WorkflowCluster> {
        let clock = self.now.lock().unwrap().map_or_else(Clock::system, Clock::fixed);
        let client = self.controller.clone();
        let writer = Writer::new(client.clone(), api_types::labels::CLUSTER_CONTROLLER.field_manager);
        let publisher = Publisher::new(client.clone(), "cluster-controller", "test".into(), clock.clone());
        let context = Context {
            writer: writer.clone(),
            caches: self.caches().await,
            jobs: self.cache().await,
            dependants: DependantCaches {
                clusters: self.read_all(Api::all(self.admin.clone()), &ListParams::default()).await,
                tenants: self.read_all(Api::all(self.admin.clone()), &ListParams::default()).await,
                processes: self.read_all(Api::all(self.admin.clone()), &ListParams::default()).await,
                workers: self.read_all(Api::all(self.admin.clone()), &ListParams::default()).await,
            },
            cluster_namespace: "workflow-system".to_owned(),
            postgres: PostgresProbe::new(Arc::new(self.database.clone())),
            engines: EngineConnector::new(
                client.clone(),
                Arc::new(self.engines.clone()),
                EngineRole::Controller,
            ),
            proof: ProofKeeper::new(client.clone(), &self.namespace, PROOF_SECRET),
            settings: Settings {
                engine_image_repository: "ghcr.io/example/workflow-engine".to_owned(),
                engine_image_pull_policy: PullPolicy::IfNotPresent,
                engine_image_pull_secrets: Vec::new(),
                certificate_days: 90,
                proof_secret: PROOF_SECRET.to_owned(),
                credential_settle_seconds: 600,
                credential_overlap_seconds: 86_400,
                readers: self.readers(),
            },
            client,
        };
        let passes = Passes { kind: Clusters { context }, writer, publisher, clock };
        passes.reconcile(Arc::new(cluster)).await
    }

    /// What Kubernetes' own controllers do: Jobs succeed, pods become ready.
    async fn answer(&self) {
        let now = k8s_openapi::jiff::Timestamp::from_second(1_800_000_000).unwrap();
        for job in self.api::<Job>().list(&ListParams::default()).await.unwrap() {
            if job.status.as_ref().is_some_and(|status| status.completion_time.is_some()) {
                continue;
            }
            let condition = |type_| json!({"type": type_, "status": "True", "lastTransitionTime": now});
            let status = json!({"status": {
                "startTime": now,
                "completionTime": now,
                "succeeded": 1,
                "conditions": [condition("SuccessCriteriaMet"), condition("Complete")],
                "uncountedTerminatedPods": {},
            }});
            let params = PatchParams::default();
            self.api::<Job>().patch_status(&job.name_any(), &params, &Patch::Merge(status)).await.unwrap();
            *self.database.0.lock().unwrap() = Some("1.2.3".to_owned());
        }
        for set in self.api::<StatefulSet>().list(&ListParams::default()).await.unwrap() {
            let replicas = set.spec.as_ref().unwrap().replicas;
            self.answer_pods(&set).await;
            let status = json!({"status": {
                "observedGeneration": set.metadata.generation,
                "replicas": replicas,
                "readyReplicas": replicas,
                "updatedReplicas": replicas,
                "currentRevision": "r1",
                "updateRevision": "r1",
            }});
            let params = PatchParams::default();
            self.api::<StatefulSet>()
                .patch_status(&set.name_any(), &params, &Patch::Merge(status))
                .await
                .unwrap();
        }
    }

    /// As many ready pods as the StatefulSet asks for.
    async fn answer_pods(&self, set: &StatefulSet) {
        let pods = self.api::<Pod>();
        let (template, name) = (&set.spec.as_ref().unwrap().template, set.name_any());
        let wanted: Vec<_> = (0..set.spec.as_ref().unwrap().replicas.unwrap())
            .map(|ordinal| format!("{name}-{ordinal}"))
            .collect();
        let live = pods.list(&ListParams::default()).await.unwrap();
        for pod in
            live.iter().map(Pod::name_any).filter(|pod| pod.starts_with(&name) && !wanted.contains(pod))
        {
            pods.delete(&pod, &DeleteParams::default().grace_period(0)).await.unwrap();
        }
        for name in wanted.iter().filter(|name| live.iter().all(|pod| pod.name_any() != **name)) {
            let mut labels = json!(template.metadata.as_ref().unwrap().labels);
            labels["controller-revision-hash"] = json!("r1");
            let pod = read(json!({"metadata": {"name": name, "labels": labels}, "spec": template.spec}));
            pods.create(&PostParams::default(), &pod).await.unwrap();
            let ready = json!([{"type": "Ready", "status": "True"}]);
            let status = Patch::Merge(json!({"status": {"phase": "Running", "conditions": ready}}));
            pods.patch_status(name, &PatchParams::default(), &status).await.unwrap();
        }
    }

    async fn settle(&self) {
        for _ in 0..8 {
            self.pass().await;
            self.answer().await;
        }
    }

    /// A new user's rights reach the authorizer through a watch.
    async fn await_rights(&self) {
        let granted = eventually("the rights arrive", Duration::from_secs(20), || async {
            match self.pass().await.next {
                Next::Failed(ErrorClass::Denied) => Err("denied"),
                _ => Ok(()),
            }
        });
        Box::pin(granted).await;
    }

    async fn settle_with_fresh_rights(&self) {
        self.await_rights().await;
        self.settle().await;
    }

    /// Name and version of every object that the controller writes.
    async fn versions(&self) -> Vec<String> {
        let kinds = [
            ApiResource::erase::<WorkflowCluster>(&()),
            ApiResource::erase::<StatefulSet>(&()),
            ApiResource::erase::<Service>(&()),
            ApiResource::erase::<ConfigMap>(&()),
            ApiResource::erase::<Secret>(&()),
            ApiResource::erase::<PodDisruptionBudget>(&()),
            ApiResource::erase::<NetworkPolicy>(&()),
            ApiResource::erase::<Ingress>(&()),
            ApiResource::erase::<Job>(&()),
            ApiResource::erase::<Role>(&()),
            ApiResource::erase::<RoleBinding>(&()),
        ];
        let mut versions = Vec::new();
        for kind in kinds {
            let api: Api<DynamicObject> = Api::namespaced_with(self.admin.clone(), &self.namespace, &kind);
            for object in api.list(&ListParams::default()).await.unwrap() {
                versions.push(format!(
                    "{} {} {}",
                    kind.kind,
                    object.name_any(),
                    object.resource_version().unwrap()
                ));
            }
        }
        versions
    }
}

fn read<K: DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

#[tokio::test]
async fn a_settled_cluster_is_not_written_in_fifty_passes() {
    let apiserver = test_support::require_apiserver!();
    let home = Home::new(apiserver, "settled").await;
    home.apply(|_| ()).await;
    home.settle_with_fresh_rights().await;
    let status = home.cluster().await.status.unwrap();
    assert!(status.ready, "{status:#?}");
    let before = home.versions().await;
    assert!(before.len() >= 12, "{before:#?}");
    for _ in 0..50 {
        assert_eq!(home.pass().await.next, Next::Settled { resync: RESYNC });
    }
    assert_eq!(home.versions().await, before);
}

#[tokio::test]
async fn what_is_ours_is_put_right_and_what_others_add_is_kept() {
    let apiserver = test_support::require_apiserver!();
    let home = Home::new(apiserver, "drift").await;
    home.apply(|_| ()).await;
    home.settle_with_fresh_rights().await;
    let params = PatchParams { field_manager: Some("somebody".to_owned()), ..PatchParams::default() };
    let change = json!({
        "metadata": {"annotations": {"example.com/theirs": "kept"}, "labels": {"app.kubernetes.io/part-of": "drifted"}},
        "spec": {"updateStrategy": {"rollingUpdate": {"partition": 0}}},
    });
    home.api::<StatefulSet>().patch(ENGINE, &params, &Patch::Merge(change)).await.unwrap();
    let change = json!({"spec": {"ports": [{"name": "grpc", "port": 1}]}});
    home.api::<Service>().patch(ENGINE, &params, &Patch::Merge(change)).await.unwrap();
    home.api::<ConfigMap>()
        .patch("prod-east-engine-ca", &params, &Patch::Merge(json!({"data": {"ca.crt": "mine"}})))
        .await
        .unwrap();
    home.settle().await;

    let set = home.api::<StatefulSet>().get(ENGINE).await.unwrap();
    assert_eq!(set.annotations().get("example.com/theirs").map(String::as_str), Some("kept"));
    assert_eq!(set.labels().get("app.kubernetes.io/part-of").map(String::as_str), Some("workflow"));
    let strategy = set.spec.unwrap().update_strategy.unwrap().rolling_update.unwrap();
    assert_eq!(strategy.partition, Some(3));
    let service = home.api::<Service>().get(ENGINE).await.unwrap();
    let ports: Vec<_> = service.spec.unwrap().ports.unwrap().into_iter().map(|port| port.port).collect();
    assert_eq!(ports, [26500, 8080]);
    let bundle = home.api::<ConfigMap>().get("prod-east-engine-ca").await.unwrap().data.unwrap();
    assert!(bundle["ca.crt"].starts_with("-----BEGIN CERTIFICATE-----"));
}

#[tokio::test]
async fn a_deleted_child_is_made_again_and_no_key_changes() {
    let apiserver = test_support::require_apiserver!();
    let home = Home::new(apiserver, "deleted").await;
    home.apply(|_| ()).await;
    home.settle_with_fresh_rights().await;
    let names = |versions: Vec<String>| {
        let mut names: Vec<String> = versions
            .iter()
            .filter_map(|line| line.rsplit_once(' '))
            .map(|(name, _)| name.to_owned())
            .collect();
        names.retain(|name| !name.starts_with("Job"));
        names
    };
    let before = names(home.versions().await);
    let credentials = async || home.api::<Secret>().get("prod-east-engine-worker-key").await.unwrap().data;
    let keys = credentials().await;
    let params = DeleteParams::background();
    home.api::<StatefulSet>().delete(ENGINE, &params).await.unwrap();
    home.api::<Service>().delete(ENGINE, &params).await.unwrap();
    home.api::<Service>().delete("prod-east-engine-headless", &params).await.unwrap();
    home.api::<ConfigMap>().delete("prod-east-engine-ca", &params).await.unwrap();
    home.api::<PodDisruptionBudget>().delete(ENGINE, &params).await.unwrap();
    home.api::<NetworkPolicy>().delete(ENGINE, &params).await.unwrap();
    home.api::<Ingress>().delete(ENGINE, &params).await.unwrap();
    home.settle().await;
    assert_eq!(names(home.versions().await), before);
    assert_eq!(credentials().await, keys);
    assert!(home.cluster().await.status.unwrap().ready);
}

#[tokio::test]
async fn a_name_that_is_taken_is_refused() {
    let apiserver = test_support::require_apiserver!();
    let home = Home::new(apiserver, "taken").await;
    let foreign: Service = read(json!({"metadata": {"name": ENGINE}, "spec": {"ports": [{"port": 80}]}}));
    home.api().create(&PostParams::default(), &foreign).await.unwrap();
    let before = home.api::<Service>().get(ENGINE).await.unwrap();
    home.apply(|_| ()).await;
    home.settle_with_fresh_rights().await;
    assert_eq!(home.api::<Service>().get(ENGINE).await.unwrap(), before);
    let status = home.cluster().await.status.unwrap();
    let stalled = status.conditions.iter().find(|condition| condition.type_ == "Stalled").unwrap();
    assert_eq!(stalled.reason, "NameTaken");
    assert!(home.api::<StatefulSet>().get_opt(ENGINE).await.unwrap().is_some());
}

#[tokio::test]
async fn optional_children_come_and_go_with_the_spec() {
    let apiserver = test_support::require_apiserver!();
    let home = Home::new(apiserver, "optional").await;
    home.apply(|_| ()).await;
    home.settle_with_fresh_rights().await;
    let optional = async || {
        (
            home.api::<Ingress>().get_opt(ENGINE).await.unwrap().is_some(),
            home.api::<PodDisruptionBudget>().get_opt(ENGINE).await.unwrap().is_some(),
        )
    };
    assert_eq!(optional().await, (true, true));
    home.apply(|cluster| {
        cluster["spec"]["replicas"] = json!(1);
        cluster["spec"].as_object_mut().unwrap().remove("network");
    })
    .await;
    home.settle().await;
    assert_eq!(optional().await, (false, false));
    let status = home.cluster().await.status.unwrap();
    assert_eq!((status.ready, status.ready_replicas), (true, Some(1)));
}

#[tokio::test]
async fn the_scale_subresource_changes_the_engine() {
    let apiserver = test_support::require_apiserver!();
    let home = Home::new(apiserver, "scale").await;
    home.apply(|_| ()).await;
    home.settle_with_fresh_rights().await;
    let clusters = home.api::<WorkflowCluster>();
    let patch = Patch::Merge(json!({"spec": {"replicas": 5}}));
    clusters.patch_scale(CLUSTER, &PatchParams::default(), &patch).await.unwrap();
    home.settle().await;
    let scale = clusters.get_scale(CLUSTER).await.unwrap().status.unwrap();
    assert_eq!(scale.replicas, 5);
    assert_eq!(
        scale.selector.as_deref(),
        Some(
            "app.kubernetes.io/component=engine,app.kubernetes.io/instance=prod-east,app.kubernetes.io/name=workflow-engine"
        )
    );
    assert_eq!(home.api::<StatefulSet>().get(ENGINE).await.unwrap().spec.unwrap().replicas, Some(5));
}

#[tokio::test]
async fn retained_secrets_outlive_the_cluster_and_serve_the_next_one() {
    let apiserver = test_support::require_controller_manager!();
    let home = Home::new(apiserver, "retain").await;
    home.apply(|cluster| cluster["spec"]["deletionPolicy"] = json!("Retain")).await;
    home.await_rights().await;
    home.pass().await;
    home.pass().await;
    let secrets = async || {
        let ours = ListParams::default().labels("workflow.example.com/cluster=prod-east");
        let found = home.api::<Secret>().list(&ours).await.unwrap().items;
        found.into_iter().map(|secret| (secret.name_any(), secret.data)).collect::<Vec<_>>()
    };
    let before = secrets().await;
    assert_eq!(before.len(), 6);
    home.api::<WorkflowCluster>().delete(CLUSTER, &DeleteParams::default()).await.unwrap();
    home.pass().await;
    let collected = eventually("the other children are collected", Duration::from_mins(1), || async {
        match home.api::<Service>().get_opt(ENGINE).await.unwrap() {
            Some(_) => Err("the Service is still there"),
            None => Ok(()),
        }
    });
    Box::pin(collected).await;
    assert_eq!(secrets().await, before);

    home.apply(|_| ()).await;
    home.pass().await;
    assert_eq!(secrets().await, before);
    let uid = home.cluster().await.uid();
    let adopted = home.api::<Secret>().get("prod-east-engine-worker-key").await.unwrap();
    assert_eq!(adopted.owner_references().first().map(|owner| owner.uid.clone()), uid);
}
