//! Whatever was asked for on the way, the end is that of a fresh install: random changes of template and replicas, lost
//! pods and a lost status against a small model of Kubernetes' StatefulSet controller.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::testing::stateful_set_controller::{self, ModelPod, applied};
use crate::testing::{minimal, nothing, pod, serving, today, with_input, with_set};
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

#[derive(Debug)]
struct Model {
    cluster: api_types::WorkflowCluster,
    set: Option<StatefulSet>,
    pods: BTreeMap<i32, ModelPod>,
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
        let mut set = applied(desired, self.set.take());
        stateful_set_controller::sync(&mut set, &mut self.pods, today());
        self.set = Some(set);
        before != (self.set.clone(), self.pods.clone())
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
            (0..replicas).map(|ordinal| (ordinal, ModelPod { revision: revision.clone(), ready: true, since: today() })).collect();
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
