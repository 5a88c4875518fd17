use rstest::rstest;

use super::*;
use crate::observe::engine::EngineView;
use crate::observe::postgres::PostgresProblem;
use crate::testing::{
    minimal, nothing, pod, reachable, rolling_set, serving, settled_set, with_input, with_set,
};

fn three() -> api_types::WorkflowCluster {
    minimal(|cluster| cluster.spec.replicas = 3)
}

fn wanted() -> EngineTemplate {
    EngineTemplate::Wanted(Version::new(1, 2, 3))
}

fn planned(cluster: &api_types::WorkflowCluster, observed: &Observed) -> Rollout {
    with_input(cluster, |input| plan_rollout(input, observed, Some(wanted()), None))
}

#[test]
fn without_a_migrated_schema_there_is_no_engine() {
    let rollout = with_input(&three(), |input| plan_rollout(input, &nothing(), None, None));
    assert_eq!(
        rollout,
        Rollout {
            template: None,
            size: 3,
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
            template: Some(wanted()),
            size: 3,
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
            template: Some(wanted()),
            size: 3,
            partition: 3,
            stuck: Vec::new(),
            is_rolling: true,
            change: Change { scale: None, template: true },
        }
    );
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
#[case::postgres(PostgresView::Unusable(PostgresProblem { reason: api_types::cluster::ClusterReason::PostgresUnreachable, cause: String::new() }), serving())]
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

/// Partition, and the revisions of three pods in the order of their ordinals, `!` = not ready; the StatefulSet wants `new`
/// and makes lost pods from it, too.
#[rstest]
#[case::one_behind(3, ["new", "new", "given-up"], 2, &[])]
#[case::two_behind(3, ["new", "given-up", "given-up"], 2, &[])]
#[case::only_the_lowest(3, ["given-up", "new", "new"], 0, &[])]
#[case::all_of_them(3, ["old", "old", "old"], 2, &[])]
#[case::good_ones_are_left_alone(2, ["given-up", "new", "new"], 0, &[])]
#[case::one_at_a_time(2, ["new", "given-up", "new!"], 2, &[])]
#[case::not_while_another_one_is_unready(3, ["new!", "new", "given-up"], 3, &[])]
#[case::stuck(3, ["new", "new", "given-up!"], 2, &["dev-engine-2"])]
#[case::all_back(2, ["new", "new", "new"], 3, &[])]
fn on_the_way_back(
    #[case] partition: i32,
    #[case] pods: [&str; 3],
    #[case] expected: i32,
    #[case] stuck: &[&str],
) {
    let mut set = rolling_set(&three(), "1.2.3", partition);
    set.status.as_mut().unwrap().current_revision = Some("new".to_owned());
    let mut observed = nothing();
    (observed.children, observed.engine) = (with_set(set), serving());
    observed.pods = (0..)
        .zip(pods)
        .map(|(ordinal, reported)| pod(ordinal, reported.trim_end_matches('!'), !reported.ends_with('!')))
        .collect();
    let rollout = planned(&three(), &observed);
    let deletion: Vec<_> = rollout.stuck.iter().map(|pod| pod.name.as_str()).collect();
    assert_eq!((rollout.partition, deletion.as_slice()), (expected, stuck));
    assert_eq!(rollout.is_rolling, pods != ["new"; 3]);
}

#[test]
fn a_pod_that_does_not_serve_is_replaced_whatever_the_engine_says() {
    let mut observed = nothing();
    observed.children = with_set(rolling_set(&three(), "1.2.3", 3));
    observed.engine = EngineView::Unreachable("no answer".to_owned());
    observed.pods = vec![pod(0, "old", true), pod(1, "old", true), pod(2, "given-up", false)];
    assert_eq!(planned(&three(), &observed).partition, 2);
}

#[test]
fn a_pod_that_is_only_away_from_its_database_is_not_stuck() {
    let mut set = rolling_set(&three(), "1.2.3", 3);
    set.status.as_mut().unwrap().current_revision = Some("new".to_owned());
    let mut observed = nothing();
    observed.children = with_set(set);
    let reason = api_types::cluster::ClusterReason::PostgresUnreachable;
    observed.postgres = PostgresView::Unusable(PostgresProblem { reason, cause: String::new() });
    let broken = PodView { problem: Some("ImagePullBackOff".to_owned()), ..pod(2, "given-up", false) };
    observed.pods = vec![pod(0, "old", false), pod(1, "old", false), broken];
    let stuck: Vec<_> = planned(&three(), &observed).stuck.into_iter().map(|pod| pod.name).collect();
    assert_eq!(stuck, ["dev-engine-2"]);
}

#[test]
fn pods_that_are_added_in_the_middle_of_a_roll_begin_with_the_former_template() {
    let mut observed = nothing();
    let mut set = rolling_set(&three(), "1.2.3", 2);
    set.spec.as_mut().unwrap().replicas = Some(3);
    (observed.children, observed.engine) = (with_set(set), serving());
    observed.pods = vec![pod(0, "old", true), pod(1, "old", true), pod(2, "new", true)];
    let rollout = planned(&minimal(|cluster| cluster.spec.replicas = 5), &observed);
    assert_eq!(rollout.partition, 5);
}

#[test]
fn a_template_that_somebody_else_changed_is_put_back_and_begins_with_nobody() {
    let mut set = settled_set(&three(), "1.2.3");
    let containers = &mut set.spec.as_mut().unwrap().template.spec.as_mut().unwrap().containers;
    containers[0].image = Some("registry.example/undone:1.2.2".to_owned());
    let mut observed = nothing();
    (observed.children, observed.engine) = (with_set(set), serving());
    let rollout = planned(&three(), &observed);
    assert_eq!((rollout.partition, rollout.is_rolling, rollout.change.template), (3, true, true));
}

#[test]
fn below_the_partition_only_what_comes_back_with_the_wanted_template_is_stuck() {
    let mut observed = nothing();
    observed.children = with_set(rolling_set(&three(), "1.2.3", 1));
    let leaving = PodView { terminating: true, ..pod(1, "bad", false) };
    observed.pods =
        vec![pod(0, "old", false), leaving, pod(2, "bad", false), pod(3, "bad", false), pod(4, "old", true)];
    let stuck: Vec<_> = planned(&three(), &observed)
        .stuck
        .into_iter()
        .map(|pod| (pod.resource.kind, pod.name, pod.uid))
        .collect();
    assert_eq!(stuck, [("Pod".to_owned(), "dev-engine-2".to_owned(), "uid-pod-2".to_owned())]);
}

#[rstest]
#[case::up(1, 3, Some((1, 3)), 3)]
#[case::down_by_one_pod_at_a_time(3, 1, Some((3, 2)), 2)]
#[case::to_none_at_once(3, 0, Some((3, 0)), 0)]
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

#[test]
fn the_next_pod_goes_when_the_one_before_it_has_ended() {
    let mut observed = nothing();
    observed.children = with_set(settled_set(&minimal(|cluster| cluster.spec.replicas = 3), "1.2.3"));
    observed.pods = (0..4).map(|ordinal| pod(ordinal, "new", true)).collect();
    let wanted = minimal(|cluster| cluster.spec.replicas = 1);
    assert_eq!(planned(&wanted, &observed).size, 3, "pod 3 is still there");
    observed.pods.pop();
    assert_eq!(planned(&wanted, &observed).size, 2);
    observed.pods[0].terminating = true;
    assert_eq!(planned(&wanted, &observed).size, 3, "a node is drained");
}
