use api_types::cluster::ClusterReason as Reason;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rstest::rstest;

use super::*;
use crate::children::migration_job::{UpTo, build_job};
use crate::observe::postgres::{PostgresProblem, PostgresView};
use crate::testing::{
    days, ended, minimal, nothing, reachable, settled_pods, settled_set, today, with_input, with_set,
};
use crate::upgrade::migration::plan_migration;

fn at(version: &str) -> WorkflowCluster {
    minimal(|cluster| version.clone_into(&mut cluster.spec.version))
}

/// A Job that is not finished.
fn job(version: &str) -> Job {
    with_input(&at(version), |input| build_job(input, UpTo::All, false))
}

fn complete(version: &str) -> Job {
    ended(job(version), "Complete", today())
}

fn leaving(mut job: Job) -> Job {
    job.metadata.deletion_timestamp = Some(Time(today()));
    job
}

fn shared(jobs: &[Job]) -> Vec<Arc<Job>> {
    jobs.iter().cloned().map(Arc::new).collect()
}

fn refused() -> Migration {
    Migration::Refused { reason: Reason::UpgradeRefused, message: String::new() }
}

fn needed(state: JobState) -> Migration {
    Migration::Needed { up_to: UpTo::All, job: Box::new(job("1.2.3")), state }
}

#[rstest]
#[case::done(Migration::Done, &[job("1.3.0")], &["1.3.0"])]
#[case::expanded(Migration::Expanded, &[job("1.3.0")], &["1.3.0"])]
#[case::unknown(Migration::Unknown, &[job("1.3.0")], &["1.3.0"])]
#[case::refused(refused(), &[job("1.3.0")], &["1.3.0"])]
#[case::another_is_needed(needed(JobState::Missing), &[job("1.3.0")], &["1.3.0"])]
#[case::a_finished_one_of_another_version(Migration::Done, &[complete("1.3.0")], &["1.3.0"])]
#[case::the_log_of_the_wanted_one(Migration::Done, &[complete("1.2.3")], &[])]
#[case::the_log_of_a_refused_one(refused(), &[complete("1.2.3")], &[])]
#[case::what_runs_is_no_longer_allowed(refused(), &[job("1.2.3")], &["1.2.3"])]
#[case::postgres_comes_back(Migration::Unknown, &[job("1.2.3")], &[])]
#[case::it_is_about_to_end(Migration::Done, &[job("1.2.3")], &[])]
#[case::the_needed_one(needed(JobState::Running(None)), &[job("1.2.3")], &[])]
#[case::for_another_database(needed(JobState::Outdated), &[complete("1.2.3")], &["1.2.3"])]
fn what_must_go(#[case] migration: Migration, #[case] jobs: &[Job], #[case] expected: &[&str]) {
    let jobs = shared(jobs);
    let found: Vec<_> =
        unwanted("1.2.3", |_| true, &migration, &jobs).into_iter().filter_map(version_of_job).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_job_of_the_same_version_from_another_spec_goes_before_the_needed_one_is_made() {
    let with_image = minimal(|cluster| cluster.spec.image = Some("registry.example/former".to_owned()));
    let former = with_input(&with_image, |input| build_job(input, UpTo::All, false));
    let jobs = shared(std::slice::from_ref(&former));
    assert_eq!(unwanted("1.2.3", |_| true, &needed(JobState::Missing), &jobs), [&former]);
}

#[test]
fn an_unfinished_job_of_the_same_version_for_another_database_goes() {
    let elsewhere = minimal(|cluster| {
        cluster.spec.postgres.external_ref.as_mut().unwrap().database = Some("former".to_owned());
    });
    let former = with_input(&elsewhere, |input| build_job(input, UpTo::All, false));
    let (migration, deletion) = planned("1.2.3", reachable(Some("1.2.3")), std::slice::from_ref(&former));
    let expected = Migration::Withdrawn { job: former.name_any(), version: "1.2.3".to_owned() };
    assert_eq!((migration, deletion), (expected, vec![former.name_any()]));
    // While the database cannot be asked, not even its name may be known.
    assert_eq!(planned("1.2.3", away(), std::slice::from_ref(&former)), (Migration::Unknown, Vec::new()));
    let finished = ended(former, "Complete", today());
    assert_eq!(planned("1.2.3", reachable(Some("1.2.3")), &[finished]), (Migration::Done, Vec::new()));
}

/// A running engine of 1.2.3, whose schema is 1.2.3's.
fn planned(version: &str, postgres: PostgresView, jobs: &[Job]) -> (Migration, Vec<String>) {
    let cluster = at(version);
    let mut observed = nothing();
    observed.postgres = postgres;
    observed.children = with_set(settled_set(&cluster, "1.2.3"));
    observed.children.jobs = shared(jobs);
    observed.pods = settled_pods(1);
    let (migration, deletion) = with_input(&cluster, |input| plan_migration(input, &observed, today()));
    (migration, deletion.into_iter().map(|deletion| deletion.name).collect())
}

fn withdrawn() -> Migration {
    Migration::Withdrawn { job: job("1.3.0").name_any(), version: "1.3.0".to_owned() }
}

fn away() -> PostgresView {
    PostgresView::Unusable(PostgresProblem { reason: Reason::PostgresUnreachable, cause: String::new() })
}

#[rstest]
#[case::it_runs(reachable(Some("1.2.3")), job("1.3.0"), withdrawn(), true)]
#[case::it_is_ending(reachable(Some("1.2.3")), leaving(job("1.3.0")), withdrawn(), false)]
#[case::the_database_is_away(away(), job("1.3.0"), withdrawn(), true)]
#[case::the_contraction_may_be_at_its_last_step(reachable(Some("1.3.0")), job("1.3.0"), withdrawn(), true)]
#[case::it_is_finished(reachable(Some("1.2.3")), complete("1.3.0"), Migration::Done, true)]
#[case::it_failed(reachable(Some("1.2.3")), ended(job("1.3.0"), "Failed", today()), Migration::Done, true)]
fn nothing_is_decided_while_an_unwanted_job_may_be_at_work(
    #[case] postgres: PostgresView,
    #[case] found: Job,
    #[case] expected: Migration,
    #[case] deletes: bool,
) {
    let name = found.name_any();
    let deletion = if deletes { vec![name] } else { Vec::new() };
    assert_eq!(planned("1.2.3", postgres, &[found]), (expected, deletion));
}

#[test]
fn the_next_job_is_not_made_before_the_former_one_is_gone() {
    let (migration, deletion) = planned("1.2.4", reachable(Some("1.2.3")), &[job("1.3.0")]);
    assert_eq!((migration, deletion), (withdrawn(), vec![job("1.3.0").name_any()]));
}

#[rstest]
#[case::named_by_the_spec("1.3.0", job("1.3.0"), false, false)]
#[case::another("1.2.3", job("1.3.0"), false, true)]
#[case::no_version_at_all("banana", job("1.3.0"), false, true)]
#[case::finished("1.2.3", complete("1.3.0"), false, false)]
#[case::going_already("1.2.3", leaving(job("1.3.0")), false, false)]
#[case::paused("1.2.3", job("1.3.0"), true, false)]
fn of_a_refused_spec(#[case] version: &str, #[case] found: Job, #[case] paused: bool, #[case] goes: bool) {
    let mut cluster = at(version);
    cluster.spec.paused = Some(paused);
    assert_eq!(unwanted_by_refused(&cluster, &shared(&[found])).len(), usize::from(goes));
}

#[test]
fn of_a_deleted_cluster_every_job_that_is_not_finished_goes() {
    let jobs = shared(&[
        job("1.2.3"),
        job("1.3.0"),
        ended(job("1.2.4"), "Complete", today() - days(1)),
        leaving(job("1.2.5")),
    ]);
    let names: Vec<_> = unwanted_by_deleted(&jobs).into_iter().map(|deletion| deletion.name).collect();
    assert_eq!(names, [job("1.2.3").name_any(), job("1.3.0").name_any()]);
}
