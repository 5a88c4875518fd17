//! Whatever is asked for on the way, and whenever the controller ends, an upgrade ends with the spec's version and template on
//! every pod, or terminal with a reason: random edits, outages, lost pods and passes that are cut off after any of their
//! writes, against a small model of Kubernetes' StatefulSet and Job controllers and of the database's marker.

use std::collections::BTreeMap;
use std::sync::Arc;

use api_types::WorkflowCluster;
use api_types::cluster::{StableTemplate, UpgradeStage, WorkflowClusterStatus};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use kube::ResourceExt as _;
use proptest::prelude::*;
use rstest::rstest;
use semver::Version;

use super::*;
use crate::children::stateful_set;
use crate::observe::canaries::CanaryView;
use crate::observe::pods::PodHealth;
use crate::testing::stateful_set_controller::{self, ModelPod, applied, revision_of};
use crate::testing::{
    ended, minimal, nothing, pod, reachable, serving, today, unreachable, with_input, with_set,
};

const VERSIONS: [&str; 3] = ["1.2.3", "1.2.4", "1.3.0"];
/// Repositories of images, by what their pods do.
const IMAGES: [&str; 4] = ["good-0", "good-1", "bad", "sick"];
/// Writes of a pass: withdrawn Jobs, a Job, the StatefulSet, stuck pods, the status.
const WRITES: usize = 5;

#[derive(Clone, Debug)]
enum Event {
    Version(usize),
    Image(usize),
    Replicas(i32),
    Stopped(bool),
    Postgres(bool),
    KillPod(i32),
    /// Passes, each of which ends after so many of its writes.
    Passes(usize, usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0..VERSIONS.len()).prop_map(Event::Version),
        3 => (0..IMAGES.len()).prop_map(Event::Image),
        1 => (0..5).prop_map(Event::Replicas),
        1 => any::<bool>().prop_map(Event::Stopped),
        1 => any::<bool>().prop_map(Event::Postgres),
        1 => (0..4).prop_map(Event::KillPod),
        6 => (1_usize..20, 0..=WRITES).prop_map(|(passes, writes)| Event::Passes(passes, writes)),
        4 => (1_usize..40).prop_map(|passes| Event::Passes(passes, WRITES)),
    ]
}

#[derive(Debug)]
struct Model {
    cluster: WorkflowCluster,
    set: Option<StatefulSet>,
    templates: BTreeMap<String, PodTemplateSpec>,
    pods: BTreeMap<i32, ModelPod>,
    jobs: Vec<Job>,
    marker: String,
    postgres: bool,
    now: Timestamp,
    /// No version below it may be put on a pod any more.
    contracted_to: Version,
}

impl Model {
    fn new() -> Self {
        let cluster = minimal(|cluster| {
            cluster.spec.replicas = 3;
            cluster.spec.image = Some("registry.example/good-0".to_owned());
        });
        let mut model = Self {
            cluster,
            set: None,
            templates: BTreeMap::new(),
            pods: BTreeMap::new(),
            jobs: Vec::new(),
            marker: "1.2.3".to_owned(),
            postgres: true,
            now: today(),
            contracted_to: Version::new(1, 2, 3),
        };
        model.run(30, WRITES);
        assert!(model.stable().is_some(), "{model:#?}");
        model
    }

    fn status(&mut self) -> &mut WorkflowClusterStatus {
        self.cluster.status.get_or_insert_default()
    }

    fn stable(&self) -> Option<&StableTemplate> {
        self.cluster.status.as_ref()?.last_stable.as_ref()
    }

    fn stage(&self) -> Option<UpgradeStage> {
        self.cluster.status.as_ref()?.upgrade.as_ref().map(|upgrade| upgrade.stage)
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::Version(index) => VERSIONS[*index].clone_into(&mut self.cluster.spec.version),
            Event::Image(index) => {
                self.cluster.spec.image = Some(format!("registry.example/{}", IMAGES[*index]));
            }
            Event::Replicas(replicas) => self.cluster.spec.replicas = *replicas,
            Event::Stopped(stopped) => self.cluster.spec.stopped = Some(*stopped),
            Event::Postgres(reachable) => self.postgres = *reachable,
            Event::KillPod(ordinal) => {
                self.pods.remove(ordinal);
            }
            Event::Passes(passes, writes) => self.run(*passes, *writes),
        }
    }

    fn observed(&self) -> Observed {
        let mut observed = nothing();
        observed.postgres = if self.postgres { reachable(Some(&self.marker)) } else { unreachable() };
        observed.children = self.set.clone().map(with_set).unwrap_or_default();
        observed.children.jobs = self.jobs.iter().cloned().map(Arc::new).collect();
        observed.engine = serving();
        observed.stable_template =
            self.stable().and_then(|stable| self.templates.get(&stable.revision)).cloned();
        for (ordinal, found) in &self.pods {
            let mut view = pod(*ordinal, &found.revision, found.ready);
            if !found.ready {
                view.health = PodHealth::Unready { since: Some(found.since) };
                view.problem = found.revision.contains("bad").then(|| "ImagePullBackOff".to_owned());
            }
            let canary = if found.revision.contains("sick") {
                CanaryView::Failed("it fails to complete the job: no".to_owned())
            } else {
                CanaryView::Worked(std::time::Duration::from_millis(9))
            };
            observed.canaries.insert(view.name.clone(), canary);
            observed.pods.push(view);
        }
        observed
    }

    /// One pass that ends after `writes` of its writes, and what Kubernetes makes of it.
    fn pass(&mut self, writes: usize) {
        let observed = self.observed();
        let (upgrade, desired) = with_input(&self.cluster, |input| {
            let upgrade = plan_upgrade(input, &observed, self.now);
            let desired = upgrade.rollout.template.as_ref().map(|template| {
                stateful_set::build(input, template, upgrade.rollout.size, upgrade.rollout.partition)
            });
            (upgrade, desired)
        });
        self.check(&upgrade);
        if writes > 0 {
            self.jobs.retain(|job| !upgrade.unwanted.iter().any(|unwanted| unwanted.name == job.name_any()));
        }
        if let Some(job) = upgrade.missing_job().filter(|_| writes > 1) {
            if is_contracting(job) {
                self.contracted_to = self.cluster.spec.version.parse().unwrap();
            }
            self.jobs.push(job.clone());
        }
        if let Some(desired) = desired.filter(|_| writes > 2) {
            self.set = Some(applied(desired, self.set.take()));
        }
        if writes > 3 {
            for stuck in &upgrade.rollout.stuck {
                let ordinal: i32 = stuck.name.rsplit('-').next().unwrap().parse().unwrap();
                self.pods.remove(&ordinal);
            }
        }
        if writes > 4 {
            (self.status().upgrade, self.status().last_stable) = (upgrade.record, upgrade.stable);
        }
        self.sync();
        self.now = self.now.checked_add(SignedDuration::from_secs(10)).unwrap();
    }

    /// What must hold in every pass.
    fn check(&self, upgrade: &Upgrade) {
        let decides = upgrade.stable.as_ref() != self.stable() && self.stable().is_some();
        let contracts = upgrade.missing_job().is_some_and(is_contracting);
        let is_free = self.pods.is_empty() || self.cluster.spec.engine_pods() == 0;
        assert!(is_free || !(decides && contracts), "two steps that cannot be undone in one pass: {self:#?}");
        if let (Some(template), Some(set)) = (&upgrade.rollout.template, &self.set)
            && upgrade.rollout.change.template
        {
            let from = version_of(set);
            assert!(
                *template.version() >= self.contracted_to,
                "from {from:?} to {} after the schema was contracted to {}: {self:#?}",
                template.version(),
                self.contracted_to
            );
        }
    }

    /// Jobs end, and the StatefulSet controller and the kubelets make one step.
    fn sync(&mut self) {
        for job in &mut self.jobs {
            let template = &job.spec.as_ref().unwrap().template;
            if job.status.is_none() && self.postgres && !revision_of(template).contains("bad") {
                let args = template.spec.as_ref().unwrap().containers[0].args.clone().unwrap();
                *job = ended(job.clone(), "Complete", self.now);
                if args[4] == "all" {
                    self.marker.clone_from(&args[2]);
                }
            }
        }
        if let Some(set) = &mut self.set {
            let template = &set.spec.as_ref().unwrap().template;
            self.templates.insert(revision_of(template), template.clone());
            stateful_set_controller::sync(set, &mut self.pods, self.now);
        }
    }

    fn run(&mut self, passes: usize, writes: usize) {
        for _ in 0..passes {
            self.pass(writes);
        }
    }

    /// Every pod has this image and is ready, and there are as many as the spec asks for.
    fn all_have(&self, image: &str) -> bool {
        let wanted = usize::try_from(self.cluster.spec.engine_pods()).unwrap();
        self.pods.len() == wanted && self.pods.values().all(|found| found.ready && found.revision == image)
    }
}

fn is_contracting(job: &Job) -> bool {
    let containers = &job.spec.as_ref().unwrap().template.spec.as_ref().unwrap().containers;
    containers[0].args.as_ref().unwrap()[4] == "all"
}

/// What happened, then the last word: a version and an image, on so many pods.
fn ends_well(events: &[Event], last: (usize, usize), replicas: i32) -> Result<(), TestCaseError> {
    let mut model = Model::new();
    let last_word = [
        Event::Postgres(true),
        Event::Stopped(false),
        Event::Replicas(replicas),
        Event::Version(last.0),
        Event::Image(last.1),
    ];
    for event in events.iter().chain(&last_word) {
        model.happen(event);
    }
    model.run(300, WRITES);
    let spec = &model.cluster.spec;
    let wanted = format!("{}:{}", spec.image.as_ref().unwrap(), spec.version);
    let observed = model.observed();
    let upgrade = with_input(&model.cluster, |input| plan_upgrade(input, &observed, model.now));
    let is_refused = matches!(upgrade.migration, Migration::Refused { .. });
    let is_good = IMAGES[last.1].starts_with("good");
    match model.stage() {
        None | Some(UpgradeStage::Done) if !is_refused => {
            prop_assert!(!is_good || model.all_have(&wanted), "{wanted}: {model:#?}");
            prop_assert!(!is_good || model.marker == spec.version, "{model:#?}");
        }
        Some(UpgradeStage::RolledBack) => {
            let record = model.cluster.status.as_ref().unwrap().upgrade.as_ref().unwrap();
            let has_reason = record.last_failure.as_ref().is_some_and(|failure| !failure.message.is_empty());
            prop_assert!(has_reason && !is_good, "{model:#?}");
        }
        stage => {
            // Another spec is awaited by a version that is not allowed, by a migration whose image is bad, and by a
            // version that fails after one that was never seen to work, because the engine was stopped.
            let waits = is_refused
                || (IMAGES[last.1] == "bad" && spec.version != model.marker)
                || (stage == Some(UpgradeStage::RollingBack) && !is_good);
            prop_assert!(waits, "{stage:?}: {model:#?}");
        }
    }
    // Nothing moves any more.
    let before = (model.cluster.status.clone(), model.set.clone(), model.pods.clone());
    model.run(3, WRITES);
    prop_assert_eq!(before, (model.cluster.status.clone(), model.set.clone(), model.pods.clone()));
    Ok(())
}

/// What random events found once.
#[rstest]
#[case::decided_while_stopped_by_a_controller_that_ended(
    &[Event::Stopped(true), Event::Version(1), Event::Passes(3, 3)], (0, 0), 1)]
#[case::a_stable_template_that_kubernetes_has_never_seen(
    &[Event::Replicas(0), Event::Version(1), Event::Passes(1, WRITES)], (1, 1), 1)]
#[case::a_stable_template_that_is_bad_and_one_pod(
    &[Event::Stopped(true), Event::Image(2), Event::Passes(3, WRITES)], (0, 3), 1)]
#[case::a_stable_template_that_is_bad_and_a_sick_pod_that_serves(
    &[Event::Stopped(true), Event::Image(2), Event::Passes(3, WRITES), Event::Stopped(false), Event::Replicas(2),
      Event::Image(3), Event::Passes(40, WRITES)], (0, 1), 2)]
fn an_upgrade_ends_well(
    #[case] events: &[Event],
    #[case] last: (usize, usize),
    #[case] replicas: i32,
) -> Result<(), TestCaseError> {
    ends_well(events, last, replicas)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_upgrade_ends_with_the_spec_or_terminal_with_a_reason(
        events in prop::collection::vec(event(), 1..14),
        last in (0..VERSIONS.len(), 0..IMAGES.len()),
        replicas in 1..4,
    ) {
        ends_well(&events, last, replicas)?;
    }
}
