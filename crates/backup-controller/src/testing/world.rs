//! A whole world in memory: an apiserver, what answers to it, and a controller that takes one pass when a test says so.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use api_types::backup::{BackupPhase, BackupReason};
use api_types::labels::BACKUP_CONTROLLER;
use api_types::{WorkflowBackup, WorkflowCluster};
use backup_format::{DeleteReport, Failure, Outcome, PhysicalId, Reason};
use controller_kit::apply::Writer;
use controller_kit::clock::Clock;
use controller_kit::condition::find;
use controller_kit::events::Publisher;
use controller_kit::pass::Passes;
use controller_testing::World as _;
use controller_testing::caches::store_of;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Namespace, Pod};
use kube::ResourceExt as _;
use kube::api::ApiResource;
use serde_json::{Value, json};
use test_support::snapshot::Snapshot;
use test_support::{FakeApiServer, Faults};

use super::{base_report, drill_report, report, settings, today};
use crate::children::Task;
use crate::children::base_backup::Backup;
use crate::context::{Context, Installation};
use crate::kind::Backups;

/// Name of the backup.
pub(crate) const NAME: &str = "nightly";
/// Its namespace.
pub(crate) const HOME: &str = "acme";
/// Its Jobs.
pub(crate) const BACKUP_JOB: &str = "nightly-backup-b1b2b3b4";
pub(crate) const DELETE_JOB: &str = "nightly-delete-b1b2b3b4";

/// How a Job's pod answers.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// It does what it shall, and says so.
    Good,
    /// It succeeds, and its pod is gone before anybody asked it.
    GoodAndGone,
    /// One attempt fails so, and the Job goes on.
    FailedAttempt(Reason),
    /// The last attempt failed so.
    Failed(Reason),
    /// Kubernetes ended it without a word of the agent.
    Killed(&'static str),
    /// It does not end.
    Never,
    /// Its pod does not start: status of the pod, and an event about it.
    Stuck(Value, Option<(&'static str, &'static str)>),
    /// It gets no pod: an event about the Job.
    NoPod(&'static str),
}

/// An apiserver with a cluster and a backup of it, and the Job controller.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) apiserver: FakeApiServer,
    state: Arc<Mutex<State>>,
}

struct State {
    now: Timestamp,
    answers: BTreeMap<&'static str, Answer>,
    /// What CloudNativePG says of each `Backup`.
    base: Value,
    /// Jobs that are being deleted stay until a test says that their pods are gone.
    pods_linger: bool,
}

impl World {
    /// With this cluster and this backup.
    pub(crate) fn new(cluster: &str, backup: &str) -> Self {
        let apiserver = FakeApiServer::new();
        apiserver.set_now(today());
        apiserver.seed(&super::cluster(cluster));
        apiserver.seed(&super::backup(backup));
        let namespace: Namespace =
            serde_json::from_value(json!({"metadata": {"name": "kube-system", "uid": "installation"}}))
                .unwrap();
        apiserver.seed(&namespace);
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": HOME}})).unwrap();
        apiserver.seed(&namespace);
        let state = State { now: today(), answers: BTreeMap::new(), base: Value::Null, pods_linger: false };
        Self { apiserver, state: Arc::new(Mutex::new(state)) }
    }

    /// The same, with the backup complete, and all requests until then forgotten.
    pub(crate) async fn complete(cluster: &str, backup: &str) -> Self {
        let world = Self::new(cluster, backup);
        world.settle(NAME).await;
        assert_eq!(world.status(NAME).phase, Some(BackupPhase::Completed), "{:?}", world.status(NAME));
        world.apiserver.forget_requests();
        world
    }

    pub(crate) fn set_answer(&self, task: Task, answer: Answer) {
        self.state.lock().unwrap().answers.insert(task.as_str(), answer);
    }

    pub(crate) fn set_base(&self, says: Value) {
        self.state.lock().unwrap().base = says;
    }

    pub(crate) fn set_pods_linger(&self, linger: bool) {
        self.state.lock().unwrap().pods_linger = linger;
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.state.lock().unwrap().now
    }

    pub(crate) fn pass_time(&self, time: SignedDuration) {
        let mut state = self.state.lock().unwrap();
        state.now = state.now.checked_add(time).unwrap();
        self.apiserver.set_now(state.now);
    }

    pub(crate) fn edit_cluster(&self, change: impl FnOnce(&mut Value)) {
        self.apiserver.edit::<WorkflowCluster>(HOME, "dev", change);
    }

    /// Phase, reason of `Ready`, message.
    pub(crate) fn reported(&self) -> (Option<BackupPhase>, String, String) {
        let status = self.status(NAME);
        let reason = find(&status.conditions, "Ready").map(|ready| ready.reason.clone()).unwrap_or_default();
        (status.phase, reason, status.message.unwrap_or_default())
    }

    /// Names of the Jobs.
    pub(crate) fn jobs(&self) -> Vec<String> {
        self.apiserver.list::<Job>(HOME).iter().map(kube::ResourceExt::name_any).collect()
    }

    /// Variables of a Job's container.
    pub(crate) fn env(&self, job: &str) -> BTreeMap<String, String> {
        let job: Job = self.apiserver.get(HOME, job).unwrap();
        let pod = job.spec.unwrap().template.spec.unwrap();
        let env = pod.containers[0].env.clone().unwrap();
        env.into_iter().map(|it| (it.name, it.value.unwrap_or_default())).collect()
    }

    pub(crate) fn context(&self, faults: &Faults) -> Context {
        let client = faults.wrap(self.apiserver.client());
        let clock = Clock::fixed(self.now());
        Context {
            writer: Writer::new(client.clone(), BACKUP_CONTROLLER.field_manager),
            publisher: Publisher::new(client.clone(), "backup-controller", "test".into(), clock),
            clusters: store_of(self.apiserver.list("")),
            backups: store_of(self.apiserver.list("")),
            jobs: store_of(self.apiserver.list("")),
            installation: Installation::new(client.clone()),
            settings: settings(),
            client,
        }
    }

    fn answer_job(&self, job: &Job) -> bool {
        let name = job.name_any();
        if job.metadata.deletion_timestamp.is_some() {
            return self.end_job(&name);
        }
        let Some(task) = Task::of(job) else { return false };
        let answer = self.state.lock().unwrap().answers.get(task.as_str()).cloned();
        let is_over = job.status.as_ref().is_some_and(|status| status.conditions.is_some());
        if is_over {
            return false;
        }
        match answer.unwrap_or(Answer::Good) {
            Answer::Good => {
                self.seed_ended_pod(job, &self.good_outcome(task, job), 0);
                self.finish(&name, "Complete", "CompletionsReached")
            }
            Answer::GoodAndGone => self.finish(&name, "Complete", "CompletionsReached"),
            Answer::FailedAttempt(reason) => self.seed_ended_pod(job, &failure(reason), 1),
            Answer::Failed(reason) => {
                self.seed_ended_pod(job, &failure(reason), 2);
                self.finish(&name, "Failed", "PodFailurePolicy")
            }
            Answer::Killed(why) => self.finish(&name, "Failed", why),
            Answer::Never => false,
            Answer::Stuck(status, event) => {
                let is_new = self.seed_pod(job, &status);
                if let Some((reason, message)) = event {
                    let pod: Pod = self.apiserver.get(HOME, &format!("{name}-0")).unwrap();
                    self.seed_event(&pod.uid().unwrap(), reason, message);
                }
                is_new
            }
            Answer::NoPod(message) => self.seed_event(&job.uid().unwrap(), "FailedCreate", message),
        }
    }

    /// CloudNativePG: it looks only at what is controlled by a WorkflowBackup here.
    fn answer_base(&self, base: &Value) -> bool {
        let says = self.state.lock().unwrap().base.clone();
        if base["status"] == says || base["metadata"]["ownerReferences"].is_null() {
            return false;
        }
        let name = base["metadata"]["name"].as_str().unwrap();
        self.apiserver.edit::<Backup>(HOME, name, |base| base["status"] = says);
        true
    }

    /// The garbage collector: a Job that is deleted behind its pods goes when they have.
    fn end_job(&self, name: &str) -> bool {
        if self.state.lock().unwrap().pods_linger {
            return false;
        }
        self.apiserver.remove::<Job>(HOME, name);
        true
    }

    fn good_outcome(&self, task: Task, job: &Job) -> Outcome {
        let id = self.env(&job.name_any())["WORKFLOW_BACKUP_ID"].clone();
        match task {
            Task::Backup if id.parse::<PhysicalId>().is_ok() => Outcome::Base(base_report(&id, self.now())),
            Task::Backup => Outcome::Backup(report(&id, self.now())),
            Task::Delete => {
                Outcome::Delete(DeleteReport { backup_id: id.parse().unwrap(), deleted_objects: 2 })
            }
            Task::Drill => Outcome::Drill(drill_report(&id, self.now())),
        }
    }

    fn seed_ended_pod(&self, job: &Job, outcome: &Outcome, code: i32) -> bool {
        let terminated = json!({"exitCode": code, "reason": "Error", "message": outcome.to_json()});
        self.seed_pod(job, &container_status(&json!({"terminated": terminated})))
    }

    fn seed_pod(&self, job: &Job, status: &Value) -> bool {
        let name = format!("{}-0", job.name_any());
        let former = self.apiserver.get::<Pod>(HOME, &name);
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {
                "name": name,
                "namespace": HOME,
                "uid": format!("uid-{name}"),
                "labels": {"batch.kubernetes.io/job-name": job.name_any()},
                "ownerReferences": [{
                    "apiVersion": "batch/v1", "kind": "Job", "name": job.name_any(), "uid": job.uid(), "controller": true,
                }],
            },
            "status": status,
        }))
        .unwrap();
        let is_new = former.as_ref().map(|former| &former.status) != Some(&pod.status)
            || former.is_some_and(|former| former.metadata.owner_references != pod.metadata.owner_references);
        if is_new {
            self.apiserver.remove::<Pod>(HOME, &name);
            self.apiserver.seed(&pod);
        }
        is_new
    }

    fn seed_event(&self, uid: &str, reason: &str, message: &str) -> bool {
        let name = format!("event-{uid}");
        if self.apiserver.get::<Event>(HOME, &name).is_some() {
            return false;
        }
        let event: Event = serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": HOME},
            "involvedObject": {"uid": uid},
            "reason": reason,
            "message": message,
            "count": 3,
        }))
        .unwrap();
        self.apiserver.seed(&event);
        true
    }

    fn finish(&self, name: &str, how: &str, reason: &str) -> bool {
        let now = self.now();
        self.apiserver.edit::<Job>(HOME, name, |job| {
            job["status"] = json!({
                "startTime": now - SignedDuration::from_secs(60),
                "conditions": [{"type": how, "status": "True", "reason": reason, "lastTransitionTime": now}],
            });
        });
        true
    }
}

impl controller_testing::World for World {
    type Kind = Backups;

    fn namespace(&self) -> &str {
        HOME
    }

    fn apiserver(&self) -> &FakeApiServer {
        &self.apiserver
    }

    fn started_behind(&self, faults: &Faults) -> Passes<Backups> {
        let context = self.context(faults);
        Passes {
            writer: context.writer.clone(),
            publisher: context.publisher.clone(),
            kind: Backups { context },
            clock: Clock::fixed(self.now()),
        }
    }

    fn refresh(&self, passes: &mut Passes<Backups>) {
        let context = &mut passes.kind.context;
        context.clusters = store_of(self.apiserver.list(""));
        context.backups = store_of(self.apiserver.list(""));
        context.jobs = store_of(self.apiserver.list(""));
        passes.clock = Clock::fixed(self.now());
    }

    fn answer(&self) -> bool {
        let jobs = self.apiserver.list::<Job>(HOME);
        let mut answered: Vec<bool> = jobs.iter().map(|job| self.answer_job(job)).collect();
        let resource = ApiResource::erase::<Backup>(&());
        answered.extend(self.apiserver.list_of(&resource).iter().map(|base| self.answer_base(base)));
        answered.contains(&true)
    }

    /// Everything but pods, which are not the controller's.
    fn end_state(&self) -> Snapshot {
        let mut snapshot = self.apiserver.snapshot();
        snapshot.retain(|key, _| !key.starts_with("pods/") && !key.starts_with("events"));
        snapshot
    }
}

/// The status of a pod with one container in this state.
pub(crate) fn container_status(state: &Value) -> Value {
    json!({"containerStatuses": [{
        "name": "agent", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state,
    }]})
}

/// The status of a pod whose container waits.
pub(crate) fn waiting(reason: &str) -> Value {
    container_status(&json!({"waiting": {"reason": reason}}))
}

fn failure(reason: Reason) -> Outcome {
    Outcome::Failure(Failure::new(reason, format!("the agent says {reason:?}")))
}

pub(crate) fn as_reported(
    phase: BackupPhase,
    reason: BackupReason,
    message: &str,
) -> (Option<BackupPhase>, String, String) {
    (Some(phase), reason.to_string(), message.to_owned())
}

/// Another backup of the same cluster.
pub(crate) fn another(name: &str, change: impl FnOnce(&mut Value)) -> WorkflowBackup {
    let mut backup = json!({
        "apiVersion": "workflow.example.com/v1alpha1",
        "kind": "WorkflowBackup",
        "metadata": {
            "name": name, "namespace": HOME, "uid": format!("uid-{name}"), "generation": 1,
            "creationTimestamp": "2026-06-01T11:00:00Z",
        },
        "spec": {"clusterRef": {"name": "dev"}},
    });
    change(&mut backup);
    serde_json::from_value(backup).unwrap()
}
