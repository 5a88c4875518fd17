use rstest::rstest;

use super::*;
use crate::observe::engine::EngineView;
use crate::testing::{minimal, nothing, pod, reachable, rolling_set, serving, today, unreachable, with_set};

fn later(seconds: i64) -> Timestamp {
    today().checked_add(SignedDuration::from_secs(seconds)).unwrap()
}

/// One pod of the new template, one of the former, both ready.
fn observed(change: impl FnOnce(&mut Observed)) -> Observed {
    let cluster = minimal(|cluster| cluster.spec.replicas = 2);
    let mut observed = nothing();
    (observed.postgres, observed.engine) = (reachable(Some("1.2.3")), serving());
    observed.children = with_set(rolling_set(&cluster, "1.2.3", 1));
    observed.pods = vec![pod(0, "old", true), pod(1, "new", true)];
    observed.canaries = [("dev-engine-1".to_owned(), worked(9))].into();
    change(&mut observed);
    observed
}

fn canary(observed: &mut Observed, view: CanaryView) {
    observed.canaries.insert("dev-engine-1".to_owned(), view);
}

fn worked(millis: u64) -> CanaryView {
    CanaryView::Worked(Duration::from_millis(millis))
}

/// What the former and the new pod take.
fn work(observed: &mut Observed, former: u64, new: u64) {
    observed.canaries.insert("dev-engine-0".to_owned(), worked(former));
    canary(observed, worked(new));
}

fn fault(message: &str) -> Health {
    Health::Faulty(message.to_owned())
}

#[rstest]
#[case::well(|_: &mut Observed| (), Health::Healthy)]
#[case::it_was_not_asked_to_work_yet(|it: &mut Observed| it.canaries.clear(), Health::Undecided)]
#[case::its_version_cannot_be_asked(|it: &mut Observed| canary(it, CanaryView::Unsupported), Health::Healthy)]
#[case::ready_but_sick(
    |it: &mut Observed| canary(it, CanaryView::Failed("it fails to complete the job: no".to_owned())),
    fault("engine pod dev-engine-1 is ready, but it fails to complete the job: no")
)]
#[case::ready_but_silent(
    |it: &mut Observed| canary(it, CanaryView::Silent("refused".to_owned())),
    fault("engine pod dev-engine-1 is ready, but does not answer: refused")
)]
#[case::all_are_silent(
    |it: &mut Observed| {
        canary(it, CanaryView::Silent("refused".to_owned()));
        it.engine = EngineView::Unreachable("refused".to_owned());
    },
    Health::Undecided
)]
#[case::nobody_has_it_yet(|it: &mut Observed| it.pods[1] = pod(1, "old", true), Health::Undecided)]
#[case::starting(|it: &mut Observed| it.pods[1] = pod(1, "new", false), Health::Undecided)]
#[case::ending(|it: &mut Observed| it.pods[1].terminating = true, Health::Undecided)]
#[case::the_engine_does_not_answer(
    |it: &mut Observed| it.engine = EngineView::Unreachable("refused".to_owned()),
    Health::Undecided
)]
#[case::nobody_to_blame_without_a_database(
    |it: &mut Observed| {
        it.postgres = unreachable();
        it.pods[1].problem = Some("CrashLoopBackOff".to_owned());
    },
    Health::Undecided
)]
#[case::cannot_start(
    |it: &mut Observed| it.pods[1].problem = Some("ImagePullBackOff".to_owned()),
    fault("engine pod dev-engine-1: ImagePullBackOff")
)]
#[case::the_former_template_is_not_judged(
    |it: &mut Observed| it.pods[0].problem = Some("ImagePullBackOff".to_owned()),
    Health::Healthy
)]
#[case::as_fast_as_before(|it: &mut Observed| work(it, 400, 400), Health::Healthy)]
#[case::slower_but_not_too_slow(|it: &mut Observed| work(it, 400, 1200), Health::Healthy)]
#[case::too_slow(
    |it: &mut Observed| work(it, 400, 1201),
    fault("engine pod dev-engine-1 works, but takes 1201 ms for what takes the former pods 400 ms")
)]
#[case::a_few_milliseconds_say_nothing(|it: &mut Observed| work(it, 5, 500), Health::Healthy)]
#[case::nothing_to_compare_with(|it: &mut Observed| canary(it, worked(9_000)), Health::Healthy)]
#[case::the_former_version_cannot_be_asked(
    |it: &mut Observed| {
        work(it, 5, 9_000);
        it.canaries.insert("dev-engine-0".to_owned(), CanaryView::Unsupported);
    },
    Health::Healthy
)]
#[case::one_restart_may_be_bad_luck(|it: &mut Observed| it.pods[1].restarts = 1, Health::Healthy)]
#[case::ends_again_and_again(
    |it: &mut Observed| it.pods[1].restarts = 2,
    fault("engine pod dev-engine-1: its container ended 2 times")
)]
fn the_pods_of_the_new_template_are_judged(#[case] change: fn(&mut Observed), #[case] expected: Health) {
    assert_eq!(judge_new_pods(&observed(change), 3, later(60)), expected);
}

#[test]
fn a_pod_has_two_minutes_to_become_ready() {
    let observed = observed(|it| it.pods[1] = pod(1, "new", false));
    assert_eq!(judge_new_pods(&observed, 3, later(119)), Health::Undecided);
    let message = "engine pod dev-engine-1 does not become ready: look at its events and log";
    assert_eq!(judge_new_pods(&observed, 3, later(120)), fault(message));
}

/// A node that is drained evicts the canary, too.
#[test]
fn a_pod_has_two_minutes_to_find_a_node() {
    let observed = observed(|it| {
        it.pods[1] = pod(1, "new", false);
        it.pods[1].problem = Some("Unschedulable".to_owned());
    });
    assert_eq!(judge_new_pods(&observed, 3, later(119)), Health::Undecided);
    assert_eq!(judge_new_pods(&observed, 3, later(120)), fault("engine pod dev-engine-1: Unschedulable"));
}
