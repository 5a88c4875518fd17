//! Whole passes on a real API server, with no more rights than the charts grant.

use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agent_jobs::pod::AgentImage;
use api_types::WorkflowCluster;
use api_types::engine_access::{engine_host, engine_pod_host};
use async_trait::async_trait;
use cluster_controller::args::{Account, PullPolicy, Readers, Settings};
use cluster_controller::children::ClusterChildren;
use cluster_controller::claim::{Claim, ClaimChange, Identity};
use cluster_controller::context::Context;
use cluster_controller::installation::Installation;
use cluster_controller::kind::Clusters;
use cluster_controller::observe::dependants::DependantCaches;
use cluster_controller::observe::postgres::{
    Database, Databases, Login, PostgresProbe, PostgresProblem, PostgresView,
};
use cluster_controller::proof::ProofKeeper;
use cluster_controller::versions::EngineVersions;
use controller_kit::apply::Writer;
use controller_kit::clock::Clock;
use controller_kit::controller::{Pass, Reconciler as _};
use controller_kit::events::Publisher;
use controller_kit::outcome::{ErrorClass, Next};
use controller_kit::pass::Passes;
use controller_testing::caches::{children, listed, managed};
use controller_testing::permissions::{Scope, chart_rules, permit_everywhere, permit_in};
use controller_testing::real::TestNamespace;
use engine_access::engine::{EngineConnector, EngineRole};
use engine_fake::FakeEngines;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use kube::{Api, Client, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use test_support::apiserver::TestApiServer;
use test_support::wait::eventually;

pub(crate) const CLUSTER: &str = "prod-east";
pub(crate) const PROOF_SECRET: &str = "proof";
pub(crate) const ENGINE: &str = "prod-east-engine";
/// More pods than any test has.
const MAX_PODS: usize = 8;
/// The seed's manifest.
pub(crate) const SEED: &str = include_str!("../../testdata/seed.yaml");

/// A database whose marker is set by the migration Job of [`World::answer`], and its claim.
#[derive(Clone, Default)]
pub(crate) struct FakeDatabase(pub(crate) Arc<Mutex<Option<String>>>, pub(crate) Arc<Mutex<Option<Claim>>>);

#[async_trait]
impl Databases for FakeDatabase {
    async fn probe(&self, _: &Login) -> PostgresView {
        let engine_version = self.0.lock().unwrap().clone();
        let protection = postgres_guard::Protection::Verified;
        PostgresView::Reachable(Database {
            restored: None,
            protection,
            server_version: 150_004,
            schema_version: Some(1),
            engine_version,
            claim: self.1.lock().unwrap().clone(),
        })
    }

    async fn claim(&self, _: &Login, change: &ClaimChange) -> Result<bool, PostgresProblem> {
        let mut claim = self.1.lock().unwrap();
        let is_first = *claim == change.former;
        if is_first {
            *claim = Some(change.next.clone());
        }
        Ok(is_first)
    }

    async fn release(&self, _: &Login, identity: &Identity, uid: &str) -> Result<bool, PostgresProblem> {
        let mut claim = self.1.lock().unwrap();
        let ours = claim.as_mut().filter(|claim| claim.identity == *identity && claim.uid == uid);
        let is_ours = ours.is_some();
        if let Some(claim) = ours {
            claim.is_released = true;
        }
        Ok(is_ours)
    }
}

/// One test's namespace, and a controller in it.
pub(crate) struct World {
    namespace: TestNamespace,
    pub(crate) controller: Client,
    pub(crate) database: FakeDatabase,
    pub(crate) engines: FakeEngines,
    /// Another time than the machine's.
    pub(crate) now: Mutex<Option<Timestamp>>,
}

impl Deref for World {
    type Target = TestNamespace;

    fn deref(&self) -> &TestNamespace {
        &self.namespace
    }
}

impl World {
    pub(crate) async fn new(apiserver: &TestApiServer, prefix: &str) -> Self {
        let namespace = TestNamespace::create(apiserver, prefix).await;
        let engines = FakeEngines::new();
        let engine = engines.at(&engine_host(CLUSTER, &namespace.name), 26500);
        for ordinal in 0..MAX_PODS {
            let pod = engine_pod_host(CLUSTER, &namespace.name, &format!("{ENGINE}-{ordinal}"));
            engines.put(&pod, 26500, &engine);
        }
        let user = user_of(&namespace.name);
        permit_everywhere(&namespace.client, &user, &chart_rules("cluster-controller", Scope::Everywhere))
            .await;
        let rules = chart_rules("cluster-controller", Scope::ClusterNamespace);
        permit_in(&namespace.client, &namespace.name, &user, &user, &rules).await;
        let login = json!({"metadata": {"name": "wf-db-credentials"}, "stringData": {"username": "u", "password": "p"}});
        namespace.add(&read::<Secret>(login)).await;
        let (controller, database) = (apiserver.client_for(&user, &[]).await, FakeDatabase::default());
        Self { namespace, controller, database, engines, now: Mutex::default() }
    }

    /// As `kubectl apply --server-side` does.
    pub(crate) async fn apply(&self, change: impl FnOnce(&mut Value)) {
        let mut manifest: Value = serde_saphyr::from_str(SEED).unwrap();
        manifest["metadata"] = json!({"name": CLUSTER, "namespace": self.name});
        change(&mut manifest);
        let params = PatchParams::apply("kubectl").force();
        self.api::<WorkflowCluster>().patch(CLUSTER, &params, &Patch::Apply(&manifest)).await.unwrap();
    }

    /// As the chart names them, in a namespace that is this test's own.
    pub(crate) fn readers(&self) -> Readers {
        let accounts = |names: &[&str]| {
            let account = |name: &&str| Account { namespace: self.name.clone(), name: (*name).to_owned() };
            names.iter().map(account).collect()
        };
        Readers {
            controller_token_readers: accounts(&["process-controller", "tenant-controller"]),
            monitor_token_readers: accounts(&["job-lag-metrics-adapter"]),
            worker_key_readers: accounts(&["worker-controller"]),
            client_key_readers: accounts(&["tenant-controller"]),
        }
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            agent: AgentImage {
                reference: "ghcr.io/example/backup-agent:1.0.0".to_owned(),
                pull_policy: "IfNotPresent".to_owned(),
                pull_secrets: Vec::new(),
            },
            engine_image_repository: "ghcr.io/example/workflow-engine".to_owned(),
            engine_image_pull_policy: PullPolicy::IfNotPresent,
            engine_image_pull_secrets: Vec::new(),
            managed_postgres_image: String::new(),
            certificate_days: 90,
            proof_secret: PROOF_SECRET.to_owned(),
            credential_settle_seconds: 600,
            credential_overlap_seconds: 86_400,
            engine_versions: EngineVersions::default(),
            readers: self.readers(),
        }
    }

    /// The user that has the controller's rights.
    pub(crate) fn user(&self) -> String {
        user_of(&self.name)
    }

    pub(crate) async fn cluster(&self) -> WorkflowCluster {
        self.api().get(CLUSTER).await.unwrap()
    }

    /// One pass of a controller that knows nothing of the passes before.
    pub(crate) async fn pass(&self) -> Pass<WorkflowCluster> {
        let cluster = self.cluster().await;
        self.pass_over(cluster).await
    }

    pub(crate) async fn pass_over(&self, cluster: WorkflowCluster) -> Pass<WorkflowCluster> {
        // The caches of all kinds at once are too large for a stack.
        Box::pin(self.read_and_pass(cluster)).await
    }

    async fn read_and_pass(&self, cluster: WorkflowCluster) -> Pass<WorkflowCluster> {
        let clock = self.now.lock().unwrap().map_or_else(Clock::system, Clock::fixed);
        let client = self.controller.clone();
        let writer = Writer::new(client.clone(), api_types::labels::CLUSTER_CONTROLLER.field_manager);
        let publisher = Publisher::new(client.clone(), "cluster-controller", "test".into(), clock.clone());
        let everything = ListParams::default();
        let context = Context {
            writer: writer.clone(),
            caches: children::<ClusterChildren>(&self.client, &self.name).await,
            jobs: listed(self.api(), &managed()).await,
            backups: listed(Api::all(self.client.clone()), &everything).await,
            dependants: DependantCaches {
                clusters: listed(Api::all(self.client.clone()), &everything).await,
                tenants: listed(Api::all(self.client.clone()), &everything).await,
                processes: listed(Api::all(self.client.clone()), &everything).await,
                workers: listed(Api::all(self.client.clone()), &everything).await,
            },
            cluster_namespace: "workflow-system".to_owned(),
            installation: Installation::new(client.clone()),
            postgres: PostgresProbe::new(Arc::new(self.database.clone())),
            engines: EngineConnector::new(
                client.clone(),
                Arc::new(self.engines.clone()),
                EngineRole::Controller,
            ),
            proof: ProofKeeper::new(client.clone(), &self.name, PROOF_SECRET),
            settings: self.settings(),
            client,
        };
        let passes = Passes { kind: Clusters { context }, writer, publisher, clock };
        passes.reconcile(Arc::new(cluster)).await
    }

    /// What Kubernetes' own controllers do: Jobs succeed, pods become ready.
    pub(crate) async fn answer(&self) {
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
    pub(crate) async fn answer_pods(&self, set: &StatefulSet) {
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

    pub(crate) async fn settle(&self) {
        for _ in 0..8 {
            self.pass().await;
            self.answer().await;
        }
    }

    /// A new user's rights reach the authorizer through a watch.
    pub(crate) async fn await_rights(&self) {
        let granted = eventually("the rights arrive", Duration::from_secs(20), || async {
            match self.pass().await.next {
                Next::Failed(ErrorClass::Denied) => Err("denied"),
                _ => Ok(()),
            }
        });
        Box::pin(granted).await;
    }

    pub(crate) async fn settle_with_fresh_rights(&self) {
        self.await_rights().await;
        self.settle().await;
    }

    /// Kind, name and version of every object that the controller writes.
    pub(crate) async fn written_versions(&self) -> Vec<String> {
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
        self.versions(&kinds).await
    }
}

fn user_of(namespace: &str) -> String {
    format!("cluster-controller-{namespace}")
}

pub(crate) fn read<K: DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}
