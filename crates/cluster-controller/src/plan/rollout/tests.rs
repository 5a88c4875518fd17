use rstest::rstest;

use super::*;
use crate::observe::engine::EngineView;
use crate::observe::postgres::Trouble;
use crate::plan::migration::Migration;
use crate::testing::{
    minimal, nothing, pod, reachable, rolling_set, serving, settled_set, with_blueprint, with_set,
};

fn three() -> api_types::WorkflowCluster {
    minimal(|cluster| cluster.spec.replicas = 3)
}

fn version() -> Version {
    Version::new(1, 2, 3)
}

fn planned(cluster: &api_types::WorkflowCluster, observed: &Observed) -> Rollout {
    with_blueprint(cluster, |blueprint| plan_rollout(blueprint, observed, &Migration::Done))
}

#[test]
fn without_a_migrated_schema_there_is_no_engine() {
    let rollout =
        with_blueprint(&three(), |blueprint| plan_rollout(blueprint, &nothing(), &Migration::Unknown));
    assert_eq!(
        rollout,
        Rollout {
            version: None,
            partition: 3,
            stuck: Vec::new(),
            is_rolling: false,
            change: Change::default()
        }
    );
}

#[test]
fn a_settled_engine_is_held_so_that_a_new_template_begins_with_nobody() {
    let mut observed = nothing();
    observed.children = with_set(settled_set(&three(), "1.2.3"));
    assert_eq!(
        planned(&three(), &observed),
        Rollout {
            version: Some(version()),
            partition: 3,
            stuck: Vec::new(),
            is_rolling: false,
            change: Change::default()
        }
    );
}

#[test]
fn a_changed_template_is_applied_before_any_pod_is_replaced() {
    let mut observed = nothing();
    observed.children = with_set(settled_set(&three(), "1.2.2"));
    observed.engine = serving();
    assert_eq!(
        planned(&three(), &observed),
        Rollout {
            version: Some(version()),
            partition: 3,
            stuck: Vec::new(),
            is_rolling: true,
            change: Change { scale: None, template: true },
        }
    );
}

#[test]
fn the_running_version_is_kept_while_the_schema_does_not_admit_the_new_one() {
    let mut observed = nothing();
    observed.children = with_set(settled_set(&three(), "1.2.2"));
    let rollout =
        with_blueprint(&three(), |blueprint| plan_rollout(blueprint, &observed, &Migration::Unknown));
    assert_eq!((rollout.version, rollout.change), (Some(Version::new(1, 2, 2)), Change::default()));
}

#[rstest]
#[case::first_pod(3, &[("old", true), ("old", true), ("old", true)], 2)]
#[case::waits_for_the_first_pod(2, &[("old", true), ("old", true), ("new", false)], 2)]
#[case::second_pod(2, &[("old", true), ("old", true), ("new", true)], 1)]
#[case::last_pod(1, &[("old", true), ("new", true), ("new", true)], 0)]
#[case::done_below_is_not_asked_for(0, &[("new", false), ("new", true), ("new", true)], 0)]
#[case::an_unready_old_pod_does_not_hold_the_roll_up(3, &[("old", false), ("old", true), ("old", true)], 2)]
#[case::nobody_serves(3, &[("old", false), ("old", false), ("old", false)], 0)]
fn one_pod_at_a_time(#[case] partition: i32, #[case] pods: &[(&str, bool)], #[case] expected: i32) {
    let mut observed = nothing();
    observed.children = with_set(rolling_set(&three(), "1.2.3", partition));
    observed.engine = serving();
    observed.pods =
        (0..).zip(pods).map(|(ordinal, (revision, ready))| pod(ordinal, revision, *ready)).collect();
    assert_eq!(planned(&three(), &observed).partition, expected);
}

#[rstest]
#[case::engine(reachable(Some("1.2.3")), EngineView::Unreachable("no answer".to_owned()))]
#[case::postgres(PostgresView::Unusable(Trouble { reason: api_types::cluster::ClusterReason::PostgresUnreachable, cause: String::new() }), serving())]
fn the_roll_waits_for_engine_and_database(#[case] postgres: PostgresView, #[case] engine: EngineView) {
    let mut observed = nothing();
    observed.children = with_set(rolling_set(&three(), "1.2.3", 3));
    (observed.postgres, observed.engine) = (postgres, engine);
    observed.pods = (0..3).map(|ordinal| pod(ordinal, "old", true)).collect();
    assert_eq!(planned(&three(), &observed).partition, 3);
}

#[test]
fn a_template_that_kubernetes_has_not_seen_is_awaited() {
    let mut set = rolling_set(&three(), "1.2.3", 3);
    set.metadata.generation = Some(2);
    let mut observed = nothing();
    observed.children = with_set(set);
    observed.engine = serving();
    observed.pods = vec![pod(2, "old", false)];
    let rollout = planned(&three(), &observed);
    assert_eq!((rollout.partition, rollout.stuck), (3, Vec::new()));
}

#[test]
fn only_unready_pods_of_a_former_template_whose_turn_has_come_are_stuck() {
    let mut observed = nothing();
    observed.children = with_set(rolling_set(&three(), "1.2.3", 1));
    let leaving = PodView { terminating: true, ..pod(1, "bad", false) };
    observed.pods =
        vec![pod(0, "old", false), leaving, pod(2, "bad", false), pod(3, "new", false), pod(4, "old", true)];
    let stuck: Vec<_> = planned(&three(), &observed)
        .stuck
        .into_iter()
        .map(|pod| (pod.resource.kind, pod.name, pod.uid))
        .collect();
    assert_eq!(stuck, [("Pod".to_owned(), "dev-engine-2".to_owned(), "uid-pod-2".to_owned())]);
}

#[rstest]
#[case::up(1, 3, Some((1, 3)), 3)]
#[case::down(3, 1, Some((3, 1)), 1)]
#[case::to_none(3, 0, Some((3, 0)), 0)]
fn scaling_holds_all_pods(
    #[case] from: i32,
    #[case] to: i32,
    #[case] scale: Option<(i32, i32)>,
    #[case] partition: i32,
) {
    let mut observed = nothing();
    observed.children = with_set(settled_set(&minimal(|cluster| cluster.spec.replicas = from), "1.2.3"));
    let rollout = planned(&minimal(|cluster| cluster.spec.replicas = to), &observed);
    assert_eq!((rollout.change, rollout.partition), (Change { scale, template: false }, partition));
}
