use std::sync::Arc;

use api_types::cluster::UpgradeStatus;
use rstest::rstest;

use super::*;
use crate::observe::postgres::PostgresProblem;
use crate::testing::{
    days, ended, minimal, nothing, pod, reachable, rolling_set, settled_pods, settled_set, today, with_input,
    with_set,
};

/// The verdict on a cluster with this version, a database with this marker, and a StatefulSet at this version.
fn planned(version: &str, marker: Option<&str>, runs: Option<&str>) -> Migration {
    let cluster = minimal(|cluster| version.clone_into(&mut cluster.spec.version));
    let mut observed = nothing();
    observed.postgres = reachable(marker);
    if let Some(runs) = runs {
        observed.children = with_set(settled_set(&cluster, runs));
        observed.pods = settled_pods(1);
    }
    with_input(&cluster, |input| judge_migration(input, &observed, today()))
}

fn job(version: &str, up_to: UpTo) -> Job {
    let cluster = minimal(|cluster| version.clone_into(&mut cluster.spec.version));
    with_input(&cluster, |input| build_job(input, up_to, false))
}

fn needed(version: &str, up_to: UpTo) -> Migration {
    Migration::Needed { up_to, job: Box::new(job(version, up_to)), state: JobState::Missing }
}

fn refused(reason: Reason, message: &str) -> Migration {
    Migration::Refused { reason, message: message.to_owned() }
}

#[rstest]
#[case::fresh("1.2.3", None, None, needed("1.2.3", UpTo::All))]
#[case::emptied_database("1.2.3", None, Some("1.2.3"), needed("1.2.3", UpTo::All))]
#[case::done("1.2.3", Some("1.2.3"), None, Migration::Done)]
#[case::done_and_running("1.2.3", Some("1.2.3"), Some("1.2.3"), Migration::Done)]
#[case::given_up_upgrade("1.2.3", Some("1.2.3"), Some("1.3.0"), Migration::Done)]
#[case::minor_upgrade("1.3.0", Some("1.2.3"), Some("1.2.3"), needed("1.3.0", UpTo::Expand))]
#[case::nobody_runs("1.3.0", Some("1.2.3"), None, needed("1.3.0", UpTo::All))]
#[case::rolled("1.3.0", Some("1.2.3"), Some("1.3.0"), needed("1.3.0", UpTo::All))]
#[case::skipped_minor(
    "1.4.0",
    Some("1.2.3"),
    Some("1.2.3"),
    refused(
        Reason::UpgradeRefused,
        "1.2.3 → 1.4.0: at most one MINOR may be stepped up at once; set spec.version to a 1.3 version first"
    )
)]
#[case::skipped_major(
    "3.0.0",
    Some("1.2.3"),
    Some("1.2.3"),
    refused(
        Reason::UpgradeRefused,
        "1.2.3 → 3.0.0: at most one MAJOR may be stepped up at once; set spec.version to a 2.x version first"
    )
)]
#[case::downgrade(
    "1.1.0",
    Some("1.2.3"),
    Some("1.2.3"),
    refused(
        Reason::UpgradeRefused,
        "1.2.3 → 1.1.0: a downgrade is never possible, restore a backup instead; set spec.version back to 1.2.3"
    )
)]
#[case::newer_schema(
    "1.1.0",
    Some("1.2.3"),
    None,
    refused(Reason::SchemaTooNew, "the database has the schema of 1.2.3, newer than spec.version 1.1.0")
)]
#[case::major_without_approval(
    "2.0.0",
    Some("1.2.3"),
    Some("1.2.3"),
    refused(
        Reason::UpgradeRefused,
        "1.2.3 → 2.0.0: one MAJOR up needs approval: annotate the WorkflowCluster with workflow.example.com/approve-upgrade=2.0.0"
    )
)]
#[case::fresh_prerelease(
    "1.3.0-rc.1",
    None,
    None,
    refused(
        Reason::UpgradeRefused,
        "spec.version 1.3.0-rc.1: pre-releases are neither a target nor a starting point; set it to a release"
    )
)]
#[case::prerelease(
    "1.3.0-rc.1",
    Some("1.2.3"),
    Some("1.2.3"),
    refused(
        Reason::UpgradeRefused,
        "spec.version 1.3.0-rc.1: pre-releases are neither a target nor a starting point; set it to a release"
    )
)]
#[case::denied(
    "1.3.66",
    Some("1.2.3"),
    Some("1.2.3"),
    refused(Reason::VersionUnsupported, "spec.version 1.3.66 must not be used: it is denied; use 1.3.0")
)]
#[case::denied_for_the_first_time(
    "1.3.66",
    None,
    None,
    refused(Reason::VersionUnsupported, "spec.version 1.3.66 must not be used: it is denied; use 1.3.0")
)]
#[case::denied_and_running("1.3.66", Some("1.3.66"), Some("1.3.66"), Migration::Done)]
#[case::foreign_marker(
    "1.2.3",
    Some("banana"),
    None,
    refused(Reason::UpgradeRefused, "the database records an engine version that is no version")
)]
fn verdict(
    #[case] version: &str,
    #[case] marker: Option<&str>,
    #[case] runs: Option<&str>,
    #[case] expected: Migration,
) {
    assert_eq!(planned(version, marker, runs), expected);
}

#[test]
fn a_database_that_cannot_be_asked_decides_nothing() {
    let mut observed = nothing();
    observed.postgres = PostgresView::Unusable(PostgresProblem {
        reason: Reason::PostgresUnreachable,
        cause: "timeout".to_owned(),
    });
    let migration = with_input(&minimal(|_| ()), |input| judge_migration(input, &observed, today()));
    assert_eq!(migration, Migration::Unknown);
}

#[test]
fn an_approved_major_step_is_reported_to_the_engine() {
    let cluster = minimal(|cluster| {
        "2.0.0".clone_into(&mut cluster.spec.version);
        cluster.metadata.annotations = Some([(APPROVE_UPGRADE.to_owned(), "2.0.0".to_owned())].into());
    });
    let mut observed = nothing();
    observed.postgres = reachable(Some("1.2.3"));
    observed.children = with_set(settled_set(&cluster, "1.2.3"));
    let (found, expected) = with_input(&cluster, |input| {
        (judge_migration(input, &observed, today()), build_job(input, UpTo::Expand, true))
    });
    assert_eq!(
        found,
        Migration::Needed { up_to: UpTo::Expand, job: Box::new(expected.clone()), state: JobState::Missing }
    );
    let env = expected.spec.unwrap().template.spec.unwrap().containers.remove(0).env.unwrap();
    assert!(env.iter().any(|variable| variable.name == "WORKFLOW_MIGRATE_APPROVE_BREAKING"));
}

/// The list may change while pods are on their way: they are not left there.
#[rstest]
#[case::nothing_has_begun(UpgradeStage::Planned, true)]
#[case::the_schema_is_expanded(UpgradeStage::Expanding, false)]
#[case::a_pod_has_it(UpgradeStage::Canary, false)]
fn a_version_is_denied_before_its_upgrade_begins(#[case] stage: UpgradeStage, #[case] expected: bool) {
    let cluster = minimal(|cluster| {
        "1.3.66".clone_into(&mut cluster.spec.version);
        let upgrade = UpgradeStatus { to: Some("1.3.66".to_owned()), stage, ..UpgradeStatus::default() };
        cluster.status.get_or_insert_default().upgrade = Some(upgrade);
    });
    let mut observed = nothing();
    observed.postgres = reachable(Some("1.2.3"));
    observed.children = with_set(settled_set(&cluster, "1.2.3"));
    let migration = with_input(&cluster, |input| judge_migration(input, &observed, today()));
    assert_eq!(matches!(migration, Migration::Refused { .. }), expected, "{migration:?}");
}

#[rstest]
#[case::any_plan("2.0.0", true)]
#[case::this_plan("2.0.0@0123456789abcdef", true)]
#[case::another_plan("2.0.0@fedcba9876543210", false)]
#[case::another_version("2.0.1", false)]
#[case::another_version_of_this_plan("2.0.1@0123456789abcdef", false)]
#[case::no_plan("2.0.0@", false)]
fn a_major_step_is_approved_for_a_version_or_for_one_plan(#[case] approval: &str, #[case] expected: bool) {
    let cluster = minimal(|cluster| {
        "2.0.0".clone_into(&mut cluster.spec.version);
        cluster.metadata.annotations = Some([(APPROVE_UPGRADE.to_owned(), approval.to_owned())].into());
        let plan_hash = Some("0123456789abcdef".to_owned());
        cluster.status.get_or_insert_default().upgrade =
            Some(UpgradeStatus { plan_hash, ..UpgradeStatus::default() });
    });
    assert_eq!(with_input(&cluster, is_approved), expected);
}

#[test]
fn the_schema_is_not_contracted_before_every_pod_runs_the_new_version() {
    let cluster = minimal(|cluster| "1.3.0".clone_into(&mut cluster.spec.version));
    let mut observed = nothing();
    observed.postgres = reachable(Some("1.2.3"));
    observed.children = with_set(rolling_set(&cluster, "1.3.0", 0));
    let migration = with_input(&cluster, |input| judge_migration(input, &observed, today()));
    assert_eq!(migration, Migration::Expanded);
}

#[test]
fn a_stopped_engine_is_migrated_in_one_go() {
    let cluster = minimal(|cluster| {
        "1.3.0".clone_into(&mut cluster.spec.version);
        cluster.spec.replicas = 0;
    });
    let mut observed = nothing();
    observed.postgres = reachable(Some("1.2.3"));
    observed.children = with_set(settled_set(&cluster, "1.2.3"));
    let migration = with_input(&cluster, |input| judge_migration(input, &observed, today()));
    assert!(matches!(migration, Migration::Needed { up_to: UpTo::All, .. }), "{migration:?}");
}

#[rstest]
#[case::missing(None, JobState::Missing)]
#[case::another_job(Some(job("1.2.2", UpTo::All)), JobState::Missing)]
#[case::running(Some(job("1.2.3", UpTo::All)), JobState::Running(None))]
#[case::succeeded(Some(ended(job("1.2.3", UpTo::All), "Complete", today())), JobState::Succeeded)]
#[case::succeeded_for_another_database(Some(ended(job("1.2.3", UpTo::All), "Complete", today() - days(1))), JobState::Outdated)]
#[case::failed(Some(ended(job("1.2.3", UpTo::All), "Failed", today())), JobState::Failed)]
fn state_of_the_job(#[case] live: Option<Job>, #[case] expected: JobState) {
    let mut observed = nothing();
    observed.children.jobs = live.into_iter().map(Arc::new).collect();
    assert_eq!(job_state(&job("1.2.3", UpTo::All), &observed, UpTo::All, today()), expected);
}

#[test]
fn what_holds_the_pod_of_a_running_job_up_is_reported() {
    let broken = PodView { ordinal: None, problem: Some("ImagePullBackOff".to_owned()), ..pod(0, "", false) };
    let mut observed = nothing();
    observed.children.jobs = vec![Arc::new(job("1.2.3", UpTo::All))];
    observed.pods = vec![pod(0, "", false), broken];
    let state = |observed: &Observed| job_state(&job("1.2.3", UpTo::All), observed, UpTo::All, today());
    assert_eq!(state(&observed), JobState::Running(Some("pod dev-engine-0: ImagePullBackOff".to_owned())));
    observed.obstacles.missing_pull_secrets = vec!["registry-login".to_owned()];
    assert_eq!(
        state(&observed),
        JobState::Running(Some(
            "pod dev-engine-0: ImagePullBackOff; namespace acme has no pull Secret registry-login".to_owned()
        ))
    );
}

#[test]
fn another_spec_is_another_job() {
    let (former, current) = (job("1.2.2", UpTo::All), job("1.2.3", UpTo::All));
    assert_ne!(former.name_any(), current.name_any());
    assert_ne!(job("1.2.3", UpTo::Expand).name_any(), current.name_any());
    assert_eq!(job("1.2.3", UpTo::All).name_any(), current.name_any());
}

#[test]
fn names_of_jobs_fit_for_the_longest_cluster_and_version() {
    let cluster = minimal(|cluster| {
        cluster.metadata.name = Some("a".repeat(40));
        "999999999.999999999.999999999".clone_into(&mut cluster.spec.version);
    });
    let name = with_input(&cluster, |input| build_job(input, UpTo::All, false).name_any());
    assert!(name.len() <= 63, "{name}");
}
