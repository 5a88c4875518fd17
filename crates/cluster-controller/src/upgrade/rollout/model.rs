//! Whatever was asked for on the way, the end is that of a fresh install: random changes of template and replicas, lost
//! pods and a lost status against a small model of Kubernetes' StatefulSet controller (of 1.34; `Parallel`, `RollingUpdate`).

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::testing::{minimal, nothing, pod, serving, with_input, with_set};
use crate::upgrade::revisions;

/// Templates of this name make pods that never become ready.
const BAD: usize = 3;

#[derive(Clone, Debug)]
enum Change {
    Template(usize),
    Replicas(i32),
    /// A pod is lost.
    Kill(i32),
    /// The StatefulSet is deleted without its pods and made anew.
    Orphan,
    /// So many passes happen before the next change.
    Passes(usize),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (0..=BAD).prop_map(Change::Template),
        2 => (0..5).prop_map(Change::Replicas),
        2 => (0..5).prop_map(Change::Kill),
        1 => Just(Change::Orphan),
        4 => (1_usize..6).prop_map(Change::Passes),
    ]
}

#[derive(Clone, Debug, PartialEq)]
struct ModelPod {
    revision: String,
    ready: bool,
}

#[derive(Debug)]
struct Model {
    cluster: api_types::WorkflowCluster,
    set: Option<StatefulSet>,
    pods: BTreeMap<i32, ModelPod>,
}

fn revision_of(set: &StatefulSet) -> String {
    set.spec.as_ref().unwrap().template.spec.as_ref().unwrap().containers[0].image.clone().unwrap()
}

impl Model {
    fn new() -> Self {
        let mut model = Self { cluster: minimal(|_| ()), set: None, pods: BTreeMap::new() };
        model.change(&Change::Template(0));
        model.change(&Change::Replicas(3));
        model.run(20);
        model
    }

    fn change(&mut self, change: &Change) {
        match change {
            Change::Template(BAD) => self.cluster.spec.image = Some("registry.example/bad".to_owned()),
            Change::Template(number) => {
                self.cluster.spec.image = Some(format!("registry.example/good-{number}"));
            }
            Change::Replicas(replicas) => self.cluster.spec.replicas = *replicas,
            Change::Kill(ordinal) => {
                self.pods.remove(ordinal);
            }
            Change::Orphan => self.set = None,
            Change::Passes(count) => self.run(*count),
        }
    }

    fn observed(&self) -> Observed {
        let mut observed = nothing();
        observed.children = self.set.clone().map(with_set).unwrap_or_default();
        observed.engine = serving();
        observed.pods = self
            .pods
            .iter()
            .map(|(ordinal, found)| PodView { ..pod(*ordinal, &found.revision, found.ready) })
            .collect();
        observed
    }

    /// One pass of the cluster-controller, and of Kubernetes after it.
    fn pass(&mut self) -> bool {
        let before = (self.set.clone(), self.pods.clone());
        let observed = self.observed();
        let (rollout, desired) = with_input(&self.cluster, |input| {
            let wanted = EngineTemplate::Wanted(input.target.version.clone());
            let rollout = plan_rollout(input, &observed, Some(wanted.clone()), None);
            let desired = stateful_set::build(input, &wanted, rollout.size, rollout.partition);
            (rollout, desired)
        });
        for stuck in &rollout.stuck {
            let ordinal: i32 = stuck.name.rsplit('-').next().unwrap().parse().unwrap();
            assert!(!self.pods.remove(&ordinal).unwrap().ready, "a pod that serves is not stuck");
        }
        let former = self.set.take();
        let generation = former.as_ref().and_then(|set| set.metadata.generation).unwrap_or_default();
        let is_changed = former.as_ref().is_none_or(|former| former.spec != desired.spec);
        let mut set = desired;
        set.status = former.and_then(|former| former.status);
        set.metadata.generation = Some(generation + i64::from(is_changed));
        self.set = Some(set);
        self.sync();
        before != (self.set.clone(), self.pods.clone())
    }

    /// `updateStatefulSet` of the StatefulSet controller, then pods of good templates become ready.
    fn sync(&mut self) {
        let set = self.set.as_mut().unwrap();
        let spec = set.spec.as_ref().unwrap();
        let (replicas, update) = (spec.replicas.unwrap(), revision_of(set));
        let partition = partition_of(set);
        let former = set.status.clone().unwrap_or_default();
        // A status that was lost begins with the latest revision.
        let current = former.current_revision.unwrap_or_else(|| update.clone());
        for ordinal in 0..replicas {
            let revision = if ordinal < partition { &current } else { &update };
            let made = ModelPod { revision: revision.clone(), ready: false };
            self.pods.entry(ordinal).or_insert(made);
        }
        self.pods.retain(|ordinal, _| *ordinal < replicas);
        for ordinal in (partition..replicas).rev() {
            let found = &self.pods[&ordinal];
            if found.revision != update {
                self.pods.remove(&ordinal);
                break;
            }
            if !found.ready {
                break;
            }
        }
        for found in self.pods.values_mut() {
            found.ready = !found.revision.contains("bad");
        }
        let count = |is: &dyn Fn(&ModelPod) -> bool| {
            i32::try_from(self.pods.values().filter(|found| is(found)).count()).unwrap()
        };
        let (all, ready) = (count(&|_| true), count(&|found| found.ready));
        let updated = count(&|found| found.revision == update);
        let is_complete = [all, ready, updated] == [replicas; 3];
        let status = set.status.get_or_insert_default();
        status.observed_generation = set.metadata.generation;
        (status.replicas, status.ready_replicas, status.updated_replicas) = (all, Some(ready), Some(updated));
        status.current_revision = Some(if is_complete { update.clone() } else { current });
        status.update_revision = Some(update);
    }

    fn run(&mut self, passes: usize) {
        for _ in 0..passes {
            self.pass();
        }
    }

    /// Passes until nothing changes any more.
    fn settle(&mut self) {
        for _ in 0..80 {
            if !self.pass() {
                return;
            }
        }
        panic!("not settled: {self:#?}");
    }

    fn ready(&self) -> usize {
        self.pods.values().filter(|found| found.ready).count()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn the_end_is_that_of_a_fresh_install(
        changes in prop::collection::vec(change(), 1..12),
        last in 0..BAD,
        replicas in 0..5,
    ) {
        let mut model = Model::new();
        for change in &changes {
            model.change(change);
        }
        model.change(&Change::Replicas(replicas));
        model.change(&Change::Template(last));
        model.settle();
        let revision = format!("registry.example/good-{last}:1.2.3");
        let fresh: BTreeMap<_, _> =
            (0..replicas).map(|ordinal| (ordinal, ModelPod { revision: revision.clone(), ready: true })).collect();
        prop_assert_eq!(&model.pods, &fresh);
        prop_assert_eq!(partition_of(model.set.as_ref().unwrap()), replicas);
        let observed = model.observed();
        prop_assert!(observed.is_rolled_out(replicas));
        prop_assert!(!revisions::is_rolling(model.set.as_ref().unwrap(), &observed.pods));
    }

    /// A template that cannot start takes at most one pod that serves.
    #[test]
    fn a_bad_template_takes_at_most_one_pod(
        changes in prop::collection::vec(change(), 1..12),
        last in 0..BAD,
        replicas in 1..5,
    ) {
        let mut model = Model::new();
        for change in &changes {
            model.change(change);
        }
        model.change(&Change::Replicas(replicas));
        model.change(&Change::Template(last));
        model.settle();
        model.change(&Change::Template(BAD));
        for _ in 0..20 {
            model.pass();
            prop_assert!(model.ready() + 1 >= usize::try_from(replicas).unwrap(), "{:#?}", model);
        }
        model.change(&Change::Template(last));
        for _ in 0..20 {
            model.pass();
            prop_assert!(model.ready() + 1 >= usize::try_from(replicas).unwrap(), "{:#?}", model);
        }
        prop_assert!(model.observed().is_rolled_out(replicas));
    }
}
