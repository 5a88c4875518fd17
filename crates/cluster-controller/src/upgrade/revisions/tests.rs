use rstest::rstest;

use super::*;
use crate::testing::{minimal, nothing, pod, rolling_set, settled_pods, settled_set, with_set};

fn world(set: StatefulSet, pods: Vec<PodView>) -> Observed {
    let mut observed = nothing();
    (observed.children, observed.pods) = (with_set(set), pods);
    observed
}

fn three() -> StatefulSet {
    settled_set(&minimal(|cluster| cluster.spec.replicas = 3), "1.2.3")
}

fn with_pods(pods: &[(i32, &str, bool)]) -> Vec<PodView> {
    pods.iter().map(|(ordinal, revision, ready)| pod(*ordinal, revision, *ready)).collect()
}

#[rstest]
#[case::settled(three(), settled_pods(3), true, false)]
#[case::one_of_a_given_up_template(three(), with_pods(&[(0, "new", true), (1, "new", true), (2, "given-up", true)]), false, true)]
#[case::all_of_another(three(), with_pods(&[(0, "old", true), (1, "old", true), (2, "old", true)]), false, true)]
#[case::counts_without_pods(three(), Vec::new(), false, false)]
#[case::one_missing(three(), settled_pods(2), false, false)]
#[case::one_unready(three(), with_pods(&[(0, "new", true), (1, "new", true), (2, "new", false)]), false, false)]
#[case::one_too_many(three(), settled_pods(4), false, false)]
#[case::a_foreign_one_that_scaling_ends(three(), with_pods(&[(0, "new", true), (1, "new", true), (2, "new", true), (3, "old", true)]), false, false)]
#[case::a_lost_pod_would_be_of_the_former(rolling_set(&minimal(|cluster| cluster.spec.replicas = 3), "1.2.3", 0), settled_pods(3), false, true)]
fn rolled_out_means_every_pod(
    #[case] set: StatefulSet,
    #[case] pods: Vec<PodView>,
    #[case] rolled_out: bool,
    #[case] rolling: bool,
) {
    let observed = world(set, pods);
    let set = observed.children.stateful_set().cloned().unwrap();
    assert_eq!((observed.is_rolled_out(3), is_rolling(&set, &observed.pods)), (rolled_out, rolling));
}

#[test]
fn nothing_is_rolled_out_before_kubernetes_has_seen_the_template() {
    let mut set = three();
    set.metadata.generation = Some(2);
    let observed = world(set.clone(), settled_pods(3));
    assert_eq!((observed.is_rolled_out(3), is_rolling(&set, &observed.pods)), (false, true));
    assert_eq!((wanted_revision(&set), observed.replaced_pods()), (None, 0));
}

#[test]
fn a_terminating_pod_is_not_one_that_runs_the_template() {
    let mut pods = settled_pods(3);
    pods[1].terminating = true;
    let observed = world(three(), pods);
    assert_eq!((observed.is_rolled_out(3), observed.replaced_pods()), (false, 2));
}

#[rstest]
#[case::none(&[], None)]
#[case::one(&[Some("1.2.3")], Some("1.2.3"))]
#[case::two(&[Some("1.2.3"), Some("1.2.3")], Some("1.2.3"))]
#[case::different(&[Some("1.2.3"), Some("1.3.0")], None)]
#[case::unlabelled(&[Some("1.2.3"), None], None)]
fn the_version_is_that_of_all_pods(#[case] versions: &[Option<&str>], #[case] expected: Option<&str>) {
    let pods = (0..)
        .zip(versions)
        .map(|(ordinal, version)| PodView {
            version: version.map(str::to_owned),
            ..pod(ordinal, "new", true)
        })
        .collect();
    assert_eq!(world(three(), pods).running_version(), expected);
}
