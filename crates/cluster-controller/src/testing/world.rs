//! A whole world in memory: an apiserver, the parts of Kubernetes, of the engine and of Postgres that answer to what a pass
//! wrote, and a controller that takes one pass when a test says so.

mod database;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use api_types::WorkflowCluster;
use api_types::cluster::{ClusterPhase, ClusterReason, UpgradeStage, WorkflowClusterStatus};
use api_types::labels::{CLUSTER_CONTROLLER, MANAGED_BY, OPERATOR};
use controller_kit::apply::Writer;
use controller_kit::clock::Clock;
use controller_kit::condition::find;
use controller_kit::events::Publisher;
use controller_kit::pass::Passes;
use controller_kit::plan::digest;
use controller_testing::World as _;
use controller_testing::caches::{children_in_memory, store_of};
use engine_access::engine::{EngineConnector, EngineRole};
use engine_fake::{FakeEngine, FakeEngines};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, Pod, PodTemplateSpec, Secret};
use kube::ResourceExt as _;
use kube::runtime::reflector::Store;
use serde_json::{Value, json};
use test_support::snapshot::Snapshot;
use test_support::{FakeApiServer, Faults};

use self::database::FakeDatabase;
use super::{INSTALLATION, reachable, settings, today};
use crate::children::ClusterChildren;
use crate::claim::Claim;
use crate::context::Context;
use crate::installation::Installation;
use crate::kind::Clusters;
use crate::observe::dependants::DependantCaches;
use crate::observe::postgres::{PostgresProbe, PostgresView};
use crate::proof::ProofKeeper;
use crate::provider::cloud_native_pg::Cluster;

/// More pods than any test has.
const MAX_PODS: usize = 8;
/// The engine's image, without its tag.
pub(crate) const IMAGE: &str = "ghcr.io/example/workflow-engine";

/// An apiserver, what answers to it, a database and an engine.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) apiserver: FakeApiServer,
    pub(crate) engine: FakeEngine,
    name: String,
    namespace: String,
    engines: FakeEngines,
    state: Arc<Mutex<State>>,
}

struct State {
    postgres: PostgresView,
    claim: Option<Claim>,
    now: Timestamp,
    /// Images that no node can pull.
    bad_images: BTreeSet<String>,
    failing_jobs: bool,
    /// What the StatefulSet's ControllerRevisions hold.
    templates: BTreeMap<String, PodTemplateSpec>,
    /// The partition at each change of it.
    partitions: Vec<i64>,
}

impl World {
    /// The cluster, its Secret, an empty database.
    pub(crate) fn new(yaml: &str) -> Self {
        let apiserver = FakeApiServer::new();
        let cluster = super::cluster(yaml);
        apiserver.seed(&cluster);
        let kube_system = json!({"metadata": {"name": "kube-system", "uid": INSTALLATION}});
        apiserver.seed(&serde_json::from_value::<Namespace>(kube_system).unwrap());
        let namespace = cluster.namespace();
        if let Some(external) = &cluster.spec.postgres.external_ref {
            let mut login = login(&external.database_secret);
            login.metadata.namespace.clone_from(&namespace);
            apiserver.seed(&login);
        }
        let engines = FakeEngines::new();
        let (name, namespace) = (cluster.name_any(), namespace.unwrap());
        let host = api_types::engine_access::engine_host(&name, &namespace);
        let state = State {
            postgres: reachable(None),
            claim: None,
            now: today(),
            bad_images: BTreeSet::new(),
            failing_jobs: false,
            templates: BTreeMap::new(),
            partitions: Vec::new(),
        };
        let engine = engines.at(&host, 26500);
        for ordinal in 0..MAX_PODS {
            let pod = format!("{name}-engine-{ordinal}");
            let host = api_types::engine_access::engine_pod_host(&name, &namespace, &pod);
            engines.put(&host, 26500, &engine);
        }
        Self { apiserver, engine, name, namespace, engines, state: Arc::new(Mutex::new(state)) }
    }

    pub(crate) fn set_postgres(&self, view: PostgresView) {
        self.state.lock().unwrap().postgres = view;
    }

    pub(crate) fn postgres(&self) -> PostgresView {
        self.state.lock().unwrap().postgres.clone()
    }

    pub(crate) fn claim(&self) -> Option<Claim> {
        self.state.lock().unwrap().claim.clone()
    }

    pub(crate) fn set_claim(&self, claim: Option<Claim>) {
        self.state.lock().unwrap().claim = claim;
    }

    pub(crate) fn set_bad_image(&self, image: &str) {
        self.state.lock().unwrap().bad_images.insert(image.to_owned());
    }

    pub(crate) fn set_good_image(&self, image: &str) {
        self.state.lock().unwrap().bad_images.remove(image);
    }

    pub(crate) fn set_failing_jobs(&self, failing: bool) {
        self.state.lock().unwrap().failing_jobs = failing;
    }

    pub(crate) fn pass_time(&self, time: jiff::SignedDuration) {
        let mut state = self.state.lock().unwrap();
        state.now = state.now.checked_add(time).unwrap();
    }

    /// Every partition that the StatefulSet had, in order.
    pub(crate) fn partitions(&self) -> Vec<i64> {
        self.state.lock().unwrap().partitions.clone()
    }

    /// The same, running, and all requests until then forgotten.
    pub(crate) async fn running(yaml: &str) -> Self {
        let world = Self::new(yaml);
        world.settle(&world.name).await;
        let status = world.status(&world.name);
        assert!(status.ready, "{status:?}");
        world.apiserver.forget_requests();
        world
    }

    /// Phase, reason of `Ready`, message.
    pub(crate) fn reported(&self) -> (Option<ClusterPhase>, String, String) {
        let status = self.status(&self.name);
        let reason = find(&status.conditions, "Ready").map(|ready| ready.reason.clone()).unwrap_or_default();
        (status.phase, reason, status.message.unwrap_or_default())
    }

    fn now(&self) -> Timestamp {
        self.state.lock().unwrap().now
    }

    fn dependants(&self) -> DependantCaches {
        DependantCaches {
            clusters: store_of(self.apiserver.list("")),
            tenants: store_of(self.apiserver.list("")),
            processes: store_of(self.apiserver.list("")),
            workers: store_of(self.apiserver.list("")),
        }
    }

    fn probe(&self, faults: &Faults) -> PostgresProbe {
        PostgresProbe::new(Arc::new(FakeDatabase(self.state.clone(), faults.clone())))
    }

    fn jobs(&self) -> Store<Job> {
        let is_managed = |job: &Job| job.labels().get(MANAGED_BY).is_some_and(|manager| manager == OPERATOR);
        store_of(self.apiserver.list::<Job>("").into_iter().filter(is_managed).collect())
    }

    /// As CloudNativePG does it: first the Secrets, then all instances at once; asleep, none.
    fn answer_provider(&self, cluster: &Cluster) -> bool {
        let (name, namespace) = (cluster.name_any(), cluster.namespace().unwrap());
        let instances = cluster.spec.instances;
        let asleep = cluster.annotations().get("cnpg.io/hibernation").is_some_and(|value| value == "on");
        if self.apiserver.get::<Secret>(&namespace, &format!("{name}-app")).is_none() {
            let certificate = super::authority(today()).certificate;
            let authority = super::secret(&format!("{name}-ca"), &[("ca.crt", &certificate)]).0;
            for mut secret in [login(&format!("{name}-app")), authority] {
                secret.metadata.namespace = Some(namespace.clone());
                self.apiserver.seed(&secret);
            }
            return true;
        }
        let status = json!({
            "phase": "Cluster in healthy state",
            "instances": instances,
            "readyInstances": if asleep { 0 } else { instances },
            "currentPrimary": format!("{name}-1"),
            "targetPrimary": format!("{name}-1"),
            "conditions": [{"type": "cnpg.io/hibernation", "status": if asleep { "True" } else { "False" }}],
        });
        let mut changed = false;
        self.apiserver.edit::<Cluster>(&namespace, &name, |live| {
            changed = live["status"] != status;
            live["status"] = status;
        });
        changed
    }

    fn answer_job(&self, job: &Job) -> bool {
        let state = self.state.lock().unwrap();
        if job.status.is_some() || !matches!(state.postgres, PostgresView::Reachable(_)) {
            return false;
        }
        let container = &job.spec.as_ref().unwrap().template.spec.as_ref().unwrap().containers[0];
        if state.bad_images.contains(container.image.as_deref().unwrap()) {
            return false;
        }
        drop(state);
        self.end_job(job);
        true
    }

    /// The Job ends; a complete migration leaves its marker.
    pub(crate) fn end_job(&self, job: &Job) {
        let mut state = self.state.lock().unwrap();
        let container = &job.spec.as_ref().unwrap().template.spec.as_ref().unwrap().containers[0];
        let args = container.args.clone().unwrap();
        let how = if state.failing_jobs { "Failed" } else { "Complete" };
        if how == "Complete" && args[4] == "all" {
            state.postgres = reachable(Some(&args[2]));
        }
        let (namespace, now) = (job.namespace().unwrap(), state.now);
        self.apiserver.edit::<Job>(&namespace, &job.name_any(), |job| {
            job["status"] =
                json!({"conditions": [{"type": how, "status": "True", "lastTransitionTime": now}]});
        });
    }

    /// As the StatefulSet controller does it: missing pods by partition; of the pods from the partition on, the highest
    /// whose revision is not the latest one is replaced, unless one above it is not ready.
    fn answer_set(&self, set: &StatefulSet) -> bool {
        let (namespace, name) = (set.namespace().unwrap(), set.name_any());
        let spec = set.spec.as_ref().unwrap();
        let revision = digest(&serde_json::to_value(&spec.template).unwrap());
        let strategy = spec.update_strategy.as_ref().unwrap().rolling_update.as_ref().unwrap();
        let (replicas, partition) = (spec.replicas.unwrap(), strategy.partition.unwrap());
        let former = set.status.clone().unwrap_or_default();
        let current = former.current_revision.clone().unwrap_or_else(|| revision.clone());
        {
            let mut state = self.state.lock().unwrap();
            if state.partitions.last() != Some(&partition.into()) {
                state.partitions.push(partition.into());
            }
            state.templates.insert(revision.clone(), spec.template.clone());
        }
        self.seed_revision(set, &revision);

        for ordinal in 0..replicas {
            let pod = format!("{name}-{ordinal}");
            if self.apiserver.get::<Pod>(&namespace, &pod).is_none() {
                let made_from = if ordinal < partition { &current } else { &revision };
                let state = self.state.lock().unwrap();
                let template = &state.templates[made_from];
                let image = &template.spec.as_ref().unwrap().containers[0].image;
                let ready = !state.bad_images.contains(image.as_ref().unwrap());
                self.apiserver.seed(&build_pod(&namespace, template, &pod, made_from, ready));
            }
        }
        let revision_of = |pod: &Pod| pod.labels()["controller-revision-hash"].clone();
        for pod in self.pods(&name) {
            let ordinal: i32 = pod.name_any().rsplit('-').next().unwrap().parse().unwrap();
            if ordinal >= replicas {
                self.apiserver.remove::<Pod>(&namespace, &pod.name_any());
            }
        }
        for pod in self.pods(&name).iter().rev() {
            let ordinal: i32 = pod.name_any().rsplit('-').next().unwrap().parse().unwrap();
            if ordinal < partition {
                break;
            }
            if revision_of(pod) != revision {
                self.apiserver.remove::<Pod>(&namespace, &pod.name_any());
                break;
            }
            if !is_ready(pod) {
                break;
            }
        }

        let pods = self.pods(&name);
        let ready = pods.iter().filter(|pod| is_ready(pod)).count();
        let updated = pods.iter().filter(|pod| revision_of(pod) == revision).count();
        let wanted = usize::try_from(replicas).unwrap();
        let is_complete = updated == wanted && ready == wanted && pods.len() == wanted;
        let status = json!({
            "observedGeneration": set.metadata.generation,
            "replicas": pods.len(),
            "readyReplicas": ready,
            "updatedReplicas": updated,
            "currentRevision": if is_complete { &revision } else { &current },
            "updateRevision": revision,
        });
        if former == serde_json::from_value(status.clone()).unwrap() {
            return false;
        }
        self.apiserver.edit::<StatefulSet>(&namespace, &name, |set| set["status"] = status);
        true
    }

    /// Kubernetes keeps every template that pods may have.
    fn seed_revision(&self, set: &StatefulSet, revision: &str) {
        let namespace = set.namespace().unwrap();
        if self.apiserver.get::<ControllerRevision>(&namespace, revision).is_some() {
            return;
        }
        let template = &set.spec.as_ref().unwrap().template;
        let kept: ControllerRevision = serde_json::from_value(json!({
            "metadata": {
                "name": revision,
                "namespace": namespace,
                "ownerReferences": [{
                    "apiVersion": "apps/v1", "kind": "StatefulSet", "name": set.name_any(), "uid": set.uid(),
                    "controller": true,
                }],
            },
            "revision": 1,
            "data": {"spec": {"template": template}},
        }))
        .unwrap();
        self.apiserver.seed(&kept);
    }

    /// While an upgrade waits for something, time passes; not for ever, since it may wait for a person.
    fn pass_time_of_upgrade(&self) -> bool {
        let Some(upgrade) = self.status_if_any().and_then(|status| status.upgrade) else { return false };
        let waits = [UpgradeStage::Canary, UpgradeStage::Rolling, UpgradeStage::Soaking];
        let since = upgrade.stage_since.max(upgrade.healthy_since).map_or(self.now(), |since| since.0);
        let has_time = self.now().duration_since(since) < jiff::SignedDuration::from_secs(200);
        if !waits.contains(&upgrade.stage) || !has_time {
            return false;
        }
        self.pass_time(jiff::SignedDuration::from_secs(20));
        true
    }

    fn status_if_any(&self) -> Option<WorkflowClusterStatus> {
        self.apiserver.get::<WorkflowCluster>(&self.namespace, &self.name)?.status
    }

    /// The engine's pods, in order.
    pub(crate) fn pods(&self, set: &str) -> Vec<Pod> {
        let mut pods = self.apiserver.list::<Pod>("");
        pods.retain(|pod| pod.name_any().starts_with(set));
        pods.sort_by_key(|pod| (pod.name_any().len(), pod.name_any()));
        pods
    }

    /// Which engine pod runs which image, and whether it is ready.
    pub(crate) fn pods_reported(&self) -> Vec<(String, bool)> {
        self.apiserver
            .list::<Pod>("")
            .iter()
            .map(|pod| (pod.annotations()["image"].clone(), is_ready(pod)))
            .collect()
    }
}

impl controller_testing::World for World {
    type Kind = Clusters;

    fn namespace(&self) -> &str {
        &self.namespace
    }

    fn apiserver(&self) -> &FakeApiServer {
        &self.apiserver
    }

    fn started_behind(&self, faults: &Faults) -> Passes<Clusters> {
        let client = faults.wrap(self.apiserver.client());
        let clock = Clock::fixed(self.now());
        let writer = Writer::new(client.clone(), CLUSTER_CONTROLLER.field_manager);
        let publisher = Publisher::new(client.clone(), "cluster-controller", "test".into(), clock.clone());
        let engines = Arc::new(self.engines.clone());
        let context = Context {
            writer: writer.clone(),
            caches: children_in_memory::<ClusterChildren>(&self.apiserver),
            jobs: self.jobs(),
            backups: store_of(self.apiserver.list("")),
            dependants: self.dependants(),
            cluster_namespace: "workflow-system".to_owned(),
            installation: Installation::new(client.clone()),
            postgres: self.probe(faults),
            engines: EngineConnector::new(client.clone(), engines, EngineRole::Controller),
            proof: ProofKeeper::new(client.clone(), "workflow-system", "proof"),
            settings: settings(),
            client,
        };
        Passes { kind: Clusters { context }, writer, publisher, clock }
    }

    fn refresh(&self, passes: &mut Passes<Clusters>) {
        let context = &mut passes.kind.context;
        context.caches = children_in_memory::<ClusterChildren>(&self.apiserver);
        context.jobs = self.jobs();
        context.backups = store_of(self.apiserver.list(""));
        context.dependants = self.dependants();
        // Between two passes goes more time than an answer of the database is kept.
        let uid = self.object(&self.name).and_then(|cluster| cluster.uid()).unwrap_or_default();
        context.postgres.forget(&uid);
        passes.clock = Clock::fixed(self.now());
    }

    /// A provider's Postgres, Jobs and the StatefulSet controller and the kubelet make one step.
    fn answer(&self) -> bool {
        let clusters = self.apiserver.list::<Cluster>("");
        let jobs = self.apiserver.list::<Job>("");
        let sets = self.apiserver.list::<StatefulSet>("");
        let answered: Vec<bool> = clusters
            .iter()
            .map(|cluster| self.answer_provider(cluster))
            .chain(jobs.iter().map(|job| self.answer_job(job)))
            .chain(sets.iter().map(|set| self.answer_set(set)))
            .collect();
        answered.contains(&true) || self.pass_time_of_upgrade()
    }

    /// Everything but what is random by nature: keys, certificates, tokens and digests of them, times of an upgrade; and
    /// Pods and ControllerRevisions, which are not the controller's.
    fn end_state(&self) -> Snapshot {
        let mut snapshot = self.apiserver.snapshot();
        snapshot.retain(|key, _| !key.starts_with("pods/") && !key.starts_with("controllerrevisions."));
        for (key, object) in &mut snapshot {
            if key.starts_with("workflowclusters.") {
                object["status"]["accessKeyIds"] = Value::Null;
                for time in ["startedAt", "stageSince", "healthySince", "unhealthySince"] {
                    mask(&mut object["status"]["upgrade"][time]);
                }
                mask(&mut object["status"]["upgrade"]["lastFailure"]["at"]);
            }
            if key.starts_with("secrets/") || key.starts_with("configmaps/") {
                object["metadata"]["annotations"] = Value::Null;
                for value in object["data"].as_object_mut().unwrap().values_mut() {
                    *value = json!("<masked>");
                }
            }
        }
        snapshot
    }
}

fn login(secret: &str) -> Secret {
    super::secret(secret, &[("username", "engine"), ("password", "hunter2")]).0
}

fn mask(value: &mut Value) {
    if !value.is_null() {
        *value = json!("<masked>");
    }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|all| {
        all.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
    })
}

fn build_pod(namespace: &str, template: &PodTemplateSpec, name: &str, revision: &str, ready: bool) -> Pod {
    let mut labels = template.metadata.as_ref().unwrap().labels.clone().unwrap();
    labels.insert("controller-revision-hash".to_owned(), revision.to_owned());
    let waiting = json!([{
        "name": "engine", "image": "", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"waiting": {"reason": "ImagePullBackOff"}},
    }]);
    serde_json::from_value(json!({
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": labels,
            "annotations": {"image": template.spec.as_ref().unwrap().containers[0].image},
        },
        "status": {
            "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }, "lastTransitionTime": today()}],
            "containerStatuses": if ready { json!([]) } else { waiting },
        },
    }))
    .unwrap()
}

pub(crate) fn as_reported(
    phase: ClusterPhase,
    reason: ClusterReason,
    message: &str,
) -> (Option<ClusterPhase>, String, String) {
    (Some(phase), reason.to_string(), message.to_owned())
}
