use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rstest::rstest;

use controller_kit::plan::Deletion;

use super::*;
use crate::children::migration_job::{UpTo, build_job};
use crate::testing::{minimal, today, with_input};

fn deleted() -> WorkflowCluster {
    minimal(|cluster| cluster.metadata.deletion_timestamp = Some(Time(today())))
}

fn forced() -> WorkflowCluster {
    let mut cluster = deleted();
    cluster.metadata.annotations = Some([(FORCE_DELETE.to_owned(), "true".to_owned())].into());
    cluster
}

fn dependant(kind: &'static str, name: &str, deleting: bool) -> Dependant {
    Dependant { kind, namespace: "acme".to_owned(), name: name.to_owned(), deleting }
}

fn flow() -> Dependant {
    dependant("WorkflowProcess", "flow", true)
}

fn solo() -> Dependant {
    dependant("WorkflowTenant", "solo", true)
}

fn staying() -> Dependant {
    dependant("WorkflowTenant", "beta", false)
}

fn remains(engine: EngineLife, dependants: &[Dependant]) -> Remains {
    Remains {
        engine,
        dependants: dependants.to_vec(),
        jobs: Vec::new(),
        release: None,
        last_backup: Awaited::Missing,
        provider: None,
    }
}

/// The plan, and the last event of a cluster that goes.
fn planned(cluster: &WorkflowCluster, remains: &Remains, seconds: i64) -> (Plan, Option<Event>) {
    let now = today() + jiff::SignedDuration::from_secs(seconds);
    (plan_cleanup(cluster, remains, None, now), build_left_event(cluster, remains, now))
}

fn gone(reason: &str, note: &str) -> (Plan, Option<Event>) {
    let last_event =
        Event { type_: EventType::Warning, reason: reason.to_owned(), note: format!("{reason}: {note}") };
    (Plan { steps: vec![Step::RemoveFinalizer], wait: None }, Some(last_event))
}

fn silently_gone() -> (Plan, Option<Event>) {
    (Plan { steps: vec![Step::RemoveFinalizer], wait: None }, None)
}

fn waits(message: &str) -> (Plan, Option<Event>) {
    let reason = ClusterReason::AwaitingDependants;
    let wait = Some(Wait { reason, message: message.to_owned(), recheck: Duration::from_secs(1) });
    (Plan { steps: Vec::new(), wait }, None)
}

use EngineLife::{Gone, Lives, Stopped};

#[rstest]
#[case::nobody(deleted(), Lives, &[], 0, silently_gone())]
#[case::nobody_and_no_engine(deleted(), Gone, &[], 0, silently_gone())]
#[case::nobody_forced(forced(), Lives, &[], 0, silently_gone())]
#[case::both_go(deleted(), Lives, &[flow(), solo()], 0, waits("the engine serves on, for at most 5 minutes, until these are cleaned up: WorkflowProcess acme/flow, WorkflowTenant acme/solo"))]
#[case::one_goes_and_one_may_follow(deleted(), Lives, &[flow(), staying()], 3, waits("the engine serves on, for at most 5 minutes, until these are cleaned up: WorkflowProcess acme/flow"))]
#[case::one_goes_and_one_stays(deleted(), Lives, &[flow(), staying()], 30, waits("the engine serves on, for at most 5 minutes, until these are cleaned up: WorkflowProcess acme/flow"))]
#[case::a_clock_behind(deleted(), Lives, &[staying()], -5, waits("the engine serves on for 10 s, should these be deleted too: WorkflowTenant acme/beta"))]
#[case::may_follow(deleted(), Lives, &[staying()], 9, waits("the engine serves on for 10 s, should these be deleted too: WorkflowTenant acme/beta"))]
#[case::stays(deleted(), Lives, &[staying()], 10, gone("LeftInDatabase", "the database keeps what was not deleted; the same objects applied again take it over: WorkflowTenant acme/beta"))]
#[case::almost_too_long(deleted(), Lives, &[flow()], 299, waits("the engine serves on, for at most 5 minutes, until these are cleaned up: WorkflowProcess acme/flow"))]
#[case::too_long(deleted(), Lives, &[flow(), staying()], 300, gone("LeftInDatabase", "the database keeps what was not cleaned up within five minutes; the same objects applied again take it over: WorkflowProcess acme/flow, WorkflowTenant acme/beta"))]
#[case::engine_gone(deleted(), Gone, &[flow()], 0, gone("LeftInDatabase", "the database keeps what could not be cleaned up: the engine is gone already; the same objects applied again take it over: WorkflowProcess acme/flow"))]
#[case::engine_stopped(deleted(), Stopped, &[solo()], 0, gone("LeftInDatabase", "the database keeps what could not be cleaned up: the engine is stopped (spec.stopped, or spec.replicas 0); the same objects applied again take it over: WorkflowTenant acme/solo"))]
#[case::forced(forced(), Lives, &[flow()], 0, gone("DeletionForced", "the database keeps what was not awaited; the same objects applied again take it over: WorkflowProcess acme/flow"))]
fn a_cluster_that_is_deleted(
    #[case] cluster: WorkflowCluster,
    #[case] engine: EngineLife,
    #[case] dependants: &[Dependant],
    #[case] seconds: i64,
    #[case] expected: (Plan, Option<Event>),
) {
    assert_eq!(planned(&cluster, &remains(engine, dependants), seconds), expected);
}

#[test]
fn pausing_holds_no_deletion_up() {
    let mut cluster = deleted();
    cluster.spec.paused = Some(true);
    assert_eq!(planned(&cluster, &remains(Lives, &[]), 0), silently_gone());
}

#[test]
fn migrations_end_at_once_also_while_others_are_awaited() {
    let job: Job = with_input(&deleted(), |input| build_job(input, UpTo::All, false));
    let jobs = vec![std::sync::Arc::new(job.clone())];
    let (waiting, _) = planned(&deleted(), &Remains { jobs, ..remains(Lives, &[flow()]) }, 0);
    assert_eq!(waiting.steps, [Step::Own(ClusterStep::WithdrawJob(Deletion::of(&job)))]);
    assert!(waiting.wait.is_some());
}

#[test]
fn many_names_are_cut_and_counted_and_the_text_fits_an_event() {
    let many: Vec<_> =
        (0..1000).map(|i| dependant("WorkflowProcess", &format!("flow-{i:04}"), true)).collect();
    let (Plan { wait: Some(wait), .. }, _) = planned(&deleted(), &remains(Lives, &many), 0) else {
        panic!("waits")
    };
    assert!(
        wait.message.ends_with("WorkflowProcess acme/flow-0001, WorkflowProcess acme/flow-0002 and 997 more"),
        "{}",
        wait.message
    );
    let (_, Some(last_event)) = planned(&deleted(), &remains(Gone, &many), 0) else { panic!("goes") };
    assert!(last_event.note.chars().count() <= controller_kit::message::MAX_CHARS, "{}", last_event.note);
}

fn snapshotted(change: impl FnOnce(&mut WorkflowCluster)) -> WorkflowCluster {
    let mut cluster = deleted();
    cluster.spec.deletion_policy = Some(ClusterDeletionPolicy::Snapshot);
    cluster.status = serde_json::from_value(serde_json::json!({"version": "1.2.3"})).unwrap();
    change(&mut cluster);
    cluster
}

#[rstest]
#[case::not_made(Awaited::Missing, Some(("SnapshotAwaited", "the last backup, a WorkflowBackup, is being created")))]
#[case::being_made(
    Awaited::Running("dev-final-1".to_owned()),
    Some(("SnapshotAwaited", "the last backup, WorkflowBackup dev-final-1, is being made"))
)]
#[case::failed(
    Awaited::Failed("dev-final-1".to_owned(), "the bucket does not exist".to_owned()),
    Some(("SnapshotFailed", "WorkflowBackup dev-final-1 failed: the bucket does not exist"))
)]
#[case::complete(Awaited::Completed, None)]
fn a_cluster_stays_until_its_last_backup_is_complete(
    #[case] last_backup: Awaited,
    #[case] expected: Option<(&str, &str)>,
) {
    let remains = Remains { last_backup, ..remains(EngineLife::Lives, &[]) };
    let reported = |cluster: &WorkflowCluster| {
        let wait = plan_cleanup(cluster, &remains, None, today()).wait?;
        Some((wait.reason.to_string(), wait.message))
    };
    let expected = expected.map(|(reason, message)| (reason.to_owned(), message.to_owned()));
    assert_eq!(reported(&snapshotted(|_| ())), expected);
    let gives_up: [fn(&mut WorkflowCluster); 3] = [
        |it| it.spec.deletion_policy = Some(ClusterDeletionPolicy::Delete),
        |it| it.metadata.annotations = forced().metadata.annotations,
        // It never ran: there is nothing to back up.
        |it| it.status = None,
    ];
    for give_up in gives_up {
        assert_eq!(reported(&snapshotted(give_up)), None);
    }
}
