// The cases read better with values, and with the backup as the view has it.
#![allow(clippy::needless_pass_by_value, clippy::unnecessary_wraps)]

use api_types::cluster::ClusterReason;
use backup_format::Totals;
use k8s_openapi::api::batch::v1::{JobCondition, JobStatus};
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::observe::postgres::{Database, PostgresProblem};
use crate::testing::{MANAGED, cluster, minimal, reachable, today, unreachable, with_input};

const OWNER: &str = "the-installation/acme/dev";

fn recovering(recovery: Value) -> WorkflowCluster {
    minimal(|cluster| {
        cluster.spec.bootstrap = serde_json::from_value(json!({"recovery": recovery})).unwrap();
    })
}

fn from_object() -> WorkflowCluster {
    recovering(json!({"backupRef": {"name": "nightly"}}))
}

fn from_id() -> WorkflowCluster {
    let destination = json!({"s3": {"bucket": "backups", "prefix": "prod", "credentialsSecret": "s3", "caSecret": "s3-ca"}});
    recovering(json!({"backupId": "nightly-1", "destination": destination, "identitySecret": "key"}))
}

fn backup(change: impl FnOnce(&mut Value)) -> Option<Arc<WorkflowBackup>> {
    let mut backup = json!({
        "metadata": {"name": "nightly", "namespace": "acme"},
        "spec": {"clusterRef": {"name": "gone"}},
        "status": {
            "phase": "Completed", "ready": true, "backupId": "nightly-1", "engineVersion": "1.2.3", "digest": "sha256:1",
            "artefact": {"method": "Logical", "destination": {"volume": {"claimName": "backups", "path": "prod"}}},
        },
    });
    change(&mut backup);
    Some(Arc::new(serde_json::from_value(backup).unwrap()))
}

fn nothing_of_it() -> RecoveryView {
    RecoveryView { backup: None, job: None, outcome: None, pod: None }
}

fn seen(backup: Option<Arc<WorkflowBackup>>) -> RecoveryView {
    RecoveryView { backup, ..nothing_of_it() }
}

fn judged(cluster: &WorkflowCluster, view: &RecoveryView, postgres: &PostgresView) -> Option<Stage> {
    with_input(cluster, |input| judge_recovery(input, Some(view), postgres, Some(OWNER)))
}

fn restored(id: &str, owner: &str) -> PostgresView {
    let PostgresView::Reachable(database) = reachable(Some("1.2.3")) else { unreachable!() };
    let report = RestoreReport {
        backup_id: "nightly-1".parse().unwrap(),
        source_owner: "elsewhere/acme/gone".to_owned(),
        snapshot_at: today(),
        restored_at: today(),
        seconds: 3,
        engine_version: "1.2.3".to_owned(),
        schema_version: 1,
        digest: "sha256:1".to_owned(),
        totals: Totals { definitions: 2, active_instances: 5, jobs: 7, leased_jobs: 3, rows: 20 },
        leases_cleared: 3,
        key_block: 9,
    };
    let restored = Restored { backup_id: id.to_owned(), owner: owner.to_owned(), report: Some(report) };
    PostgresView::Reachable(Database { restored: Some(Box::new(restored)), ..database })
}

fn job_of(cluster: &WorkflowCluster, view: &RecoveryView) -> Job {
    match judged(cluster, view, &reachable(None)) {
        Some(Stage::JobMissing(job)) => *job,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_cluster_that_asks_for_no_backup_begins_at_once() {
    let plain = minimal(|_| ());
    assert_eq!(with_input(&plain, |input| judge_recovery(input, None, &reachable(None), Some(OWNER))), None);
}

#[test]
fn a_backup_of_a_volume_is_loaded_by_a_job() {
    let job = job_of(&from_object(), &seen(backup(|_| ())));
    insta::assert_yaml_snapshot!(serde_json::to_value(job).unwrap());
}

#[test]
fn a_backup_whose_object_is_gone_is_loaded_from_its_id_and_destination() {
    let mut cluster = from_id();
    cluster.spec.postgres = self::cluster(MANAGED).spec.postgres;
    let job = job_of(&cluster, &nothing_of_it());
    insta::assert_yaml_snapshot!(serde_json::to_value(job).unwrap());
}

#[rstest]
#[case::no_object(
    None,
    ClusterReason::RestoreBackupMissing,
    "spec.bootstrap.recovery.backupRef: there is no WorkflowBackup nightly in this namespace"
)]
#[case::not_complete(
    backup(|it| it["status"]["phase"] = json!("Running")),
    ClusterReason::RestoreBackupAwaited,
    "WorkflowBackup nightly is not complete yet"
)]
#[case::failed(
    backup(|it| it["status"]["phase"] = json!("Failed")),
    ClusterReason::RestoreRefused,
    "WorkflowBackup nightly failed: name another one"
)]
#[case::of_a_newer_engine(
    backup(|it| it["status"]["engineVersion"] = json!("1.3.0")),
    ClusterReason::RestoreRefused,
    "WorkflowBackup nightly is of engine 1.3.0, spec.version 1.2.3: a downgrade is never possible, restore a backup instead"
)]
#[case::physical(
    backup(|it| it["status"]["artefact"]["method"] = json!("CloudNativePG")),
    ClusterReason::RestoreRefused,
    "WorkflowBackup nightly was made by CloudNativePG: only backups of method Logical are restored"
)]
fn a_backup_that_cannot_be_used_is_refused_before_anything_is_written(
    #[case] backup: Option<Arc<WorkflowBackup>>,
    #[case] reason: ClusterReason,
    #[case] message: &str,
) {
    let stage = judged(&from_object(), &seen(backup), &reachable(None));
    assert_eq!(stage, Some(Stage::Held(reason, message.to_owned())));
}

#[test]
fn a_database_that_is_not_empty_is_refused() {
    let stage = judged(&from_object(), &seen(backup(|_| ())), &reachable(Some("1.2.3")));
    let message = "the database has an engine's schema already: give an empty one, or drop schema workflow if nothing in it is needed";
    assert_eq!(stage, Some(Stage::Held(ClusterReason::RestoreRefused, message.to_owned())));
}

/// Also when the WorkflowBackup was deleted after the restore.
#[rstest]
#[case::backup_there(backup(|_| ()))]
#[case::backup_gone(None)]
fn the_database_says_that_it_is_complete(#[case] backup: Option<Arc<WorkflowBackup>>) {
    let stage = judged(&from_object(), &seen(backup), &restored("nightly-1", OWNER));
    let status = RecoveryStatus {
        backup_id: "nightly-1".to_owned(),
        engine_version: Some("1.2.3".to_owned()),
        completed_at: Some(Time(today())),
        definitions: Some(2),
        active_instances: Some(5),
        leased_jobs: Some(3),
    };
    assert_eq!(stage, Some(Stage::Done(status)));
}

#[rstest]
#[case::another_backup("weekly-1", OWNER)]
#[case::another_cluster("nightly-1", "the-installation/acme/other")]
fn a_database_that_was_restored_otherwise_is_refused(#[case] id: &str, #[case] owner: &str) {
    let stage = judged(&from_object(), &seen(backup(|_| ())), &restored(id, owner));
    let message = format!("the database was restored from another backup, {id}: give an empty one");
    assert_eq!(stage, Some(Stage::Held(ClusterReason::RestoreRefused, message)));
}

#[test]
fn nothing_is_known_while_the_database_is_away_or_not_ours() {
    let view = seen(backup(|_| ()));
    assert_eq!(judged(&from_object(), &view, &unreachable()), Some(Stage::Unknown));
    let unowned =
        with_input(&from_object(), |input| judge_recovery(input, Some(&view), &reachable(None), None));
    assert_eq!(unowned, Some(Stage::Unknown));
    let problem = PostgresProblem { reason: ClusterReason::DatabaseInUse, cause: "another's".to_owned() };
    assert_eq!(judged(&from_object(), &view, &PostgresView::Unusable(problem)), Some(Stage::Unknown));
}

fn condition(type_: &str) -> Option<JobStatus> {
    let condition = JobCondition {
        type_: type_.to_owned(),
        status: "True".to_owned(),
        reason: Some("BackoffLimitExceeded".to_owned()),
        ..JobCondition::default()
    };
    Some(JobStatus { conditions: Some(vec![condition]), ..JobStatus::default() })
}

fn failure() -> Option<Outcome> {
    Some(Outcome::Failure(Failure::new(backup_format::Reason::BackupMissing, "there is no such backup")))
}

#[rstest]
#[case::at_work(None, None, Stage::Running("dev-restore".into(), None))]
#[case::tried_again(
    None,
    failure(),
    Stage::Running("dev-restore".into(), Some("tried again: there is no such backup".into()))
)]
#[case::succeeded(condition("Complete"), None, Stage::Succeeded("dev-restore".into()))]
#[case::failed(condition("Failed"), failure(), Stage::Failed("dev-restore".into(), "there is no such backup".into()))]
#[case::failed_without_a_word(
    condition("Failed"),
    None,
    Stage::Failed("dev-restore".into(), "BackoffLimitExceeded".into())
)]
fn a_job_is_judged_by_its_end_and_what_its_pod_left(
    #[case] status: Option<JobStatus>,
    #[case] outcome: Option<Outcome>,
    #[case] expected: Stage,
) {
    let view = seen(backup(|_| ()));
    let job = Job { status, ..job_of(&from_object(), &view) };
    let view = RecoveryView { job: Some(Arc::new(job)), outcome, ..view };
    assert_eq!(judged(&from_object(), &view, &reachable(None)), Some(expected));
}
