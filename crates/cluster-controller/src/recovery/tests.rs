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
        digest: Some("sha256:1".to_owned()),
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
#[case::physical_into_an_external_postgres(
    base_backup(),
    ClusterReason::RestoreRefused,
    "gone-1a2b3c4d-20260601t120000 is a base backup of CloudNativePG, which only spec.postgres.managed begins with"
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

const BASE: &str = "gone-1a2b3c4d-20260601t120000";

fn base_backup() -> Option<Arc<WorkflowBackup>> {
    backup(|it| {
        it["status"]["artefact"] = json!({
            "method": "CloudNativePG", "serverName": "gone-1a2b3c4d", "destination": {"s3": {"bucket": "backups"}},
        });
        it["status"]["backupId"] = json!(BASE);
        it["status"]["completedAt"] = json!("2026-06-01T12:00:05Z");
    })
}

fn managed(recovery: Value) -> WorkflowCluster {
    let mut cluster = recovering(recovery);
    cluster.spec.postgres = self::cluster(MANAGED).spec.postgres;
    cluster
}

fn beginning(cluster: &WorkflowCluster, backup: Option<Arc<WorkflowBackup>>) -> Beginning {
    with_input(cluster, |input| judge_beginning(input, Some(&seen(backup))))
}

#[rstest]
#[case::of_an_object(json!({"backupRef": {"name": "nightly"}}), base_backup(), None)]
#[case::by_its_id(json!({"backupId": BASE, "destination": {"s3": {"bucket": "backups"}}}), None, None)]
#[case::to_a_time(
    json!({"backupRef": {"name": "nightly"}, "targetTime": "2026-06-01T14:30:00+02:00"}),
    base_backup(),
    Some("2026-06-01T12:30:00Z")
)]
fn a_managed_postgres_begins_with_a_base_backup(
    #[case] recovery: Value,
    #[case] backup: Option<Arc<WorkflowBackup>>,
    #[case] target_time: Option<&str>,
) {
    let Beginning::Recovered(origin) = beginning(&managed(recovery), backup) else {
        panic!("is not recovered")
    };
    assert_eq!((origin.id.to_string().as_str(), origin.s3.bucket.as_str()), (BASE, "backups"));
    assert_eq!(origin.target_time.as_deref(), target_time);
}

#[rstest]
#[case::nothing_to_begin_with(json!({"backupRef": {"name": "nightly"}}), None, ClusterReason::RestoreBackupMissing, "spec.bootstrap.recovery.backupRef: there is no WorkflowBackup nightly in this namespace")]
#[case::before_its_end(
    json!({"backupRef": {"name": "nightly"}, "targetTime": "2026-06-01T12:00:00Z"}),
    base_backup(),
    ClusterReason::RestoreRefused,
    "spec.bootstrap.recovery.targetTime is before the end of base backup gone-1a2b3c4d-20260601t120000, 2026-06-01T12:00:05Z: name an older one"
)]
#[case::no_time(
    json!({"backupRef": {"name": "nightly"}, "targetTime": "2026-13-01T12:00:00Z"}),
    base_backup(),
    ClusterReason::RestoreRefused,
    "spec.bootstrap.recovery.targetTime is no time, like 2026-11-27T03:00:00Z"
)]
#[case::logical(
    json!({"backupRef": {"name": "nightly"}, "targetTime": "2026-06-01T12:00:00Z"}),
    backup(|_| ()),
    ClusterReason::RestoreRefused,
    "spec.bootstrap.recovery.targetTime: backup nightly-1 is of method Logical, which holds one point in time only"
)]
#[case::not_in_s3(
    json!({"backupId": BASE, "destination": {"volume": {"claimName": "backups"}}}),
    None,
    ClusterReason::RestoreRefused,
    "gone-1a2b3c4d-20260601t120000 is a base backup of CloudNativePG, and the destination is not in S3"
)]
fn a_postgres_is_not_made_before_it_can_begin(
    #[case] recovery: Value,
    #[case] backup: Option<Arc<WorkflowBackup>>,
    #[case] reason: ClusterReason,
    #[case] message: &str,
) {
    assert_eq!(beginning(&managed(recovery), backup), Beginning::Held(reason, message.to_owned()));
}

#[test]
fn a_logical_backup_is_loaded_into_an_empty_postgres() {
    let cluster = managed(json!({"backupRef": {"name": "nightly"}}));
    assert_eq!(beginning(&cluster, backup(|_| ())), Beginning::Empty);
    assert_eq!(with_input(&cluster, |input| judge_beginning(input, None)), Beginning::Empty);
}

/// It has the source's schema, and what the source says of a restore of its own.
#[rstest]
#[case::plain(reachable(Some("1.2.3")))]
#[case::of_a_source_that_was_restored_itself(restored("weekly-1", "elsewhere/acme/gone"))]
fn a_recovered_database_is_completed_by_a_job(#[case] postgres: PostgresView) {
    let cluster = managed(json!({"backupRef": {"name": "nightly"}}));
    match judged(&cluster, &seen(base_backup()), &postgres) {
        Some(Stage::JobMissing(job)) => {
            insta::assert_yaml_snapshot!("adopt", serde_json::to_value(job).unwrap());
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(judged(&cluster, &seen(base_backup()), &restored(BASE, OWNER)), Some(Stage::Done(_))));
}
