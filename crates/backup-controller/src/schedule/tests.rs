//! What a pass over a cluster decides.

use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::testing::world::another;
use crate::testing::{self, CLUSTER, settings, today};

/// 12:00 on the first of June, when the tests begin; the cluster was made in May.
fn hours(hours: i64) -> Timestamp {
    today() + SignedDuration::from_hours(hours)
}

fn cluster(change: impl FnOnce(&mut Value)) -> WorkflowCluster {
    let mut cluster = json!(testing::cluster(CLUSTER));
    cluster["metadata"]["managedFields"] = json!([{
        "manager": "kubectl", "operation": "Apply", "time": "2026-06-01T11:00:00Z",
        "fieldsV1": {"f:spec": {"f:backup": {"f:schedule": {}, "f:drill": {"f:schedule": {}}}}},
    }]);
    change(&mut cluster);
    serde_json::from_value(cluster).unwrap()
}

fn nightly(cluster: &mut Value) {
    cluster["spec"]["backup"]["schedule"] = json!("0 3 * * *");
}

fn plan(
    cluster: &WorkflowCluster,
    backups: &[Arc<WorkflowBackup>],
    handled: Handled,
    now: Timestamp,
) -> SchedulePlan {
    let settings = settings();
    let view = View { cluster, neighbours: &[], backups, jobs: &[], handled, settings: &settings };
    plan_schedule(&view, now)
}

fn reported(plan: &SchedulePlan) -> Vec<String> {
    plan.steps
        .iter()
        .map(|step| match step {
            ScheduleStep::Make(backup) => format!("make {}", backup.name_any()),
            ScheduleStep::Drill(job) => format!("drill {}", job.name_any()),
            ScheduleStep::Delete(deletion) => format!("delete {}", deletion.name),
            ScheduleStep::Publish(event) => event.note.clone(),
        })
        .collect()
}

fn stored(backup: &WorkflowBackup, status: &Value) -> Arc<WorkflowBackup> {
    let mut stored = json!(backup);
    stored["metadata"]["uid"] = json!(format!("uid-{}", backup.name_any()));
    stored["metadata"]["creationTimestamp"] = json!(today());
    stored["status"] = status.clone();
    Arc::new(serde_json::from_value(stored).unwrap())
}

fn made(plan: &SchedulePlan) -> &WorkflowBackup {
    match &plan.steps[0] {
        ScheduleStep::Make(backup) => backup,
        other => panic!("{other:?}"),
    }
}

fn complete() -> Value {
    json!({
        "phase": "Completed", "ready": true, "completedAt": today(), "backupId": "b1", "destination": "s3://backups/b1",
        "artefact": {"method": "Logical", "destination": {"s3": {"bucket": "backups"}}},
    })
}

#[test]
fn a_run_makes_a_backup_with_a_name_that_its_time_gives() {
    let cluster = cluster(nightly);
    assert_eq!(reported(&plan(&cluster, &[], Handled::default(), hours(0))), Vec::<String>::new());
    let due = plan(&cluster, &[], Handled::default(), hours(16));
    assert_eq!(reported(&due), ["make dev-202606020300"]);
    assert_eq!(due.handled.backup, Some(hours(15)));
    let backup = json!(made(&due));
    assert_eq!(
        backup["metadata"]["labels"],
        json!({
            "app.kubernetes.io/managed-by": "workflow-operator",
            "workflow.example.com/backup-cause": "schedule",
            "workflow.example.com/cluster": "dev",
        })
    );
    assert_eq!(
        backup["metadata"]["annotations"],
        json!({
            "workflow.example.com/scheduled-by": "0 3 * * * UTC",
            "workflow.example.com/scheduled-for": "2026-06-02T03:00:00Z",
        })
    );
    assert_eq!(backup["spec"], json!({"clusterRef": {"name": "dev"}}));

    // A process that was started anew sees the object and makes no other.
    let stored = [stored(made(&due), &complete())];
    assert_eq!(reported(&plan(&cluster, &stored, Handled::default(), hours(16))), Vec::<String>::new());
    // One that remembers makes none for an object that somebody deleted.
    assert_eq!(reported(&plan(&cluster, &[], due.handled, hours(16))), Vec::<String>::new());
}

#[test]
fn it_looks_again_when_the_next_run_is_due() {
    let cluster = cluster(nightly);
    let jitter = runs::jitter(&cluster);
    let now = hours(15) + jitter - SignedDuration::from_secs(30);
    assert_eq!(plan(&cluster, &[], Handled::default(), now).recheck, Duration::from_secs(30));
    assert_eq!(plan(&cluster, &[], Handled::default(), hours(1)).recheck, RESYNC);
}

#[test]
fn another_schedule_makes_no_run_at_once() {
    let before = cluster(nightly);
    let first = plan(&before, &[], Handled::default(), hours(15) + SignedDuration::from_mins(2));
    let backups = [stored(made(&first), &complete())];
    // Eleven o'clock was after the last run, and before the new schedule was set.
    let after = cluster(|cluster| {
        cluster["spec"]["backup"]["schedule"] = json!("0 11 * * *");
        cluster["metadata"]["managedFields"][0]["time"] = json!("2026-06-02T14:00:00Z");
    });
    assert_eq!(reported(&plan(&after, &backups, first.handled.clone(), hours(27))), Vec::<String>::new());
    assert_eq!(reported(&plan(&after, &backups, Handled::default(), hours(27))), Vec::<String>::new());
    assert_eq!(reported(&plan(&after, &backups, Handled::default(), hours(48))), ["make dev-202606031100"]);
    // A change of another field is none of the schedule.
    let touched = cluster(|cluster| {
        nightly(cluster);
        cluster["metadata"]["managedFields"][0]["time"] = json!("2026-06-03T03:00:10Z");
    });
    assert_eq!(
        reported(&plan(&touched, &backups, Handled::default(), hours(39) + SignedDuration::from_mins(2))),
        ["make dev-202606030300"]
    );
}

#[test]
fn a_run_that_was_missed_is_made_late_once_or_reported() {
    let cluster = cluster(nightly);
    assert_eq!(reported(&plan(&cluster, &[], Handled::default(), hours(24 * 3))), ["make dev-202606040300"]);
    let near = plan(&cluster, &[], Handled::default(), hours(24 + 12));
    assert_eq!(
        reported(&near),
        [
            "BackupMissed: no backup was made for 2026-06-02T03:00:00Z, and the next one is near: 2026-06-03T03:00:00Z"
        ]
    );
    assert_eq!(reported(&plan(&cluster, &[], near.handled, hours(24 + 12))), Vec::<String>::new());
}

#[rstest]
#[case::running(json!({"phase": "Running", "ready": false}), true)]
#[case::pending(json!({"phase": "Pending", "ready": false}), true)]
#[case::failed(json!({"phase": "Failed", "ready": false}), false)]
#[case::complete(complete(), false)]
fn a_run_is_left_out_while_the_former_one_is_not_done(#[case] status: Value, #[case] left_out: bool) {
    let cluster = cluster(nightly);
    let first = plan(&cluster, &[], Handled::default(), hours(16));
    let backups = [stored(made(&first), &status)];
    let second = plan(&cluster, &backups, Handled::default(), hours(40));
    let expected = if left_out {
        "BackupSkipped: no backup was made for 2026-06-03T03:00:00Z: WorkflowBackup dev-202606020300 is not done"
    } else {
        "make dev-202606030300"
    };
    assert_eq!(reported(&second), [expected]);
}

#[test]
fn one_that_a_person_made_does_not_count_as_the_former_run() {
    let manual = Arc::new(another("manual", |_| ()));
    let planned = plan(&cluster(nightly), &[manual], Handled::default(), hours(16));
    assert_eq!(reported(&planned), ["make dev-202606020300"]);
}

#[rstest]
#[case::schedule("schedule", json!("61 3 * * *"), "BackupScheduleInvalid: spec.backup.schedule: '61 3 * * *' are no five fields of cron, like 0 3 * * *")]
#[case::drill("drill", json!({"schedule": "0 3 31 4 *"}), "BackupScheduleInvalid: spec.backup.drill.schedule: '0 3 31 4 *' never comes")]
#[case::zone("timeZone", json!("Moon/Crater"), "BackupScheduleInvalid: spec.backup.timeZone: Moon/Crater is no time zone of the IANA database, like Europe/Berlin")]
fn a_schedule_that_is_none_is_reported_once_per_generation(
    #[case] field: &str,
    #[case] value: Value,
    #[case] expected: &str,
) {
    let mut cluster = cluster(|cluster| {
        nightly(cluster);
        cluster["spec"]["backup"][field] = value;
    });
    let first = plan(&cluster, &[], Handled::default(), hours(16));
    assert_eq!(reported(&first), [expected]);
    assert_eq!(reported(&plan(&cluster, &[], first.handled.clone(), hours(16))), Vec::<String>::new());
    cluster.metadata.generation = Some(2);
    assert_eq!(reported(&plan(&cluster, &[], first.handled, hours(16))), [expected]);
}

#[test]
fn a_paused_cluster_has_no_runs_and_loses_nothing() {
    let cluster = cluster(|cluster| {
        nightly(cluster);
        cluster["spec"]["paused"] = json!(true);
        cluster["spec"]["backup"]["retentionDays"] = json!(1);
    });
    assert_eq!(reported(&plan(&cluster, &[], Handled::default(), hours(16))), Vec::<String>::new());
}

fn upgrading(stage: &str, hash: &str) -> impl Fn(&mut Value) {
    move |cluster: &mut Value| {
        cluster["status"]["upgrade"] =
            json!({"stage": stage, "planHash": hash, "from": "1.2.3", "to": "1.3.0", "rollbackable": true});
    }
}

#[test]
fn an_upgrade_gets_one_backup_per_plan() {
    let waits = cluster(upgrading("BackingUp", "0123456789abcdef"));
    let planned = plan(&waits, &[], Handled::default(), hours(0));
    assert_eq!(reported(&planned), ["make dev-before-0123456789abcdef"]);
    let backup = json!(made(&planned));
    assert_eq!(backup["metadata"]["labels"]["workflow.example.com/backup-cause"], "upgrade");
    assert_eq!(backup["metadata"]["annotations"]["workflow.example.com/plan-hash"], "0123456789abcdef");
    for status in [complete(), json!({"phase": "Failed", "ready": false})] {
        let backups = [stored(made(&planned), &status)];
        assert_eq!(reported(&plan(&waits, &backups, Handled::default(), hours(0))), Vec::<String>::new());
    }
    // One that failed and was deleted is made again, soon.
    assert_eq!(plan(&waits, &[], planned.handled.clone(), hours(1)).recheck, Duration::from_mins(1));
    let next = cluster(upgrading("BackingUp", "fedcba9876543210"));
    let backups = [stored(made(&planned), &complete())];
    assert_eq!(
        reported(&plan(&next, &backups, Handled::default(), hours(0))),
        ["make dev-before-fedcba9876543210"]
    );
}

#[rstest]
#[case::not_there_yet("Planned", json!({"bucket": "b-1"}))]
#[case::beyond("Expanding", json!({"bucket": "b-1"}))]
#[case::nowhere_to_go("BackingUp", json!(null))]
fn an_upgrade_that_waits_for_no_backup_gets_none(#[case] stage: &str, #[case] s3: Value) {
    let cluster = cluster(|cluster| {
        upgrading(stage, "0123456789abcdef")(cluster);
        let destination = if s3.is_null() { json!(null) } else { json!({"s3": s3}) };
        cluster["spec"]["backup"]["destination"] = destination;
    });
    assert_eq!(reported(&plan(&cluster, &[], Handled::default(), hours(0))), Vec::<String>::new());
}

#[rstest]
#[case("Snapshot", &["make dev-final-c1c2c3c4"])]
#[case("Delete", &[])]
#[case("Retain", &[])]
fn a_deletion_with_a_snapshot_gets_a_last_backup(#[case] policy: &str, #[case] expected: &[&str]) {
    let cluster = cluster(|cluster| {
        nightly(cluster);
        cluster["spec"]["deletionPolicy"] = json!(policy);
        cluster["metadata"]["deletionTimestamp"] = json!(today());
        cluster["spec"]["paused"] = json!(true);
    });
    let planned = plan(&cluster, &[], Handled::default(), hours(16));
    assert_eq!(reported(&planned), expected);
    if let Some(ScheduleStep::Make(backup)) = planned.steps.first() {
        assert!(Cause::Deletion.is_of(backup) && backup.owner_references().is_empty());
        let backups = [stored(backup, &json!({"phase": "Running", "ready": false}))];
        assert_eq!(reported(&plan(&cluster, &backups, Handled::default(), hours(16))), Vec::<String>::new());
    }
}

fn drilling(cluster: &mut Value) {
    cluster["spec"]["backup"]["drill"] = json!({"schedule": "0 6 * * *"});
    cluster["spec"]["backup"]["encryption"] = json!({"recipientSecret": "age", "identitySecret": "identity"});
}

fn done(name: &str, change: impl FnOnce(&mut Value)) -> Arc<WorkflowBackup> {
    Arc::new(another(name, |backup| {
        backup["status"] = complete();
        backup["status"]["artefact"]["encryption"] = json!({"recipientSecret": "age"});
        change(backup);
    }))
}

#[test]
fn a_drill_tries_the_newest_complete_backup() {
    let cluster = cluster(drilling);
    let backups = [
        done("old", |backup| backup["status"]["completedAt"] = json!(hours(-24))),
        done("new", |_| ()),
        done("failed", |backup| backup["status"] = json!({"phase": "Failed", "ready": false})),
        done("other", |backup| {
            backup["status"]["completedAt"] = json!(hours(1));
            backup["status"]["artefact"]["method"] = json!("CloudNativePG");
        }),
    ];
    let planned = plan(&cluster, &backups, Handled::default(), hours(19));
    assert_eq!(reported(&planned), ["drill new-drill-202606020600"]);
    let ScheduleStep::Drill(job) = &planned.steps[0] else { panic!("{planned:?}") };
    let volumes = json!(job)["spec"]["template"]["spec"]["volumes"].to_string();
    assert!(volumes.contains("\"secretName\":\"identity\""), "{volumes}");

    // Its result is on the backup: no other drill before the next time.
    let drilled = |succeeded: bool| {
        done("new", |backup| {
            backup["status"]["lastDrill"] = json!({"at": hours(19), "succeeded": succeeded, "seconds": 9});
        })
    };
    for succeeded in [true, false] {
        let backups = [drilled(succeeded)];
        assert_eq!(reported(&plan(&cluster, &backups, Handled::default(), hours(20))), Vec::<String>::new());
        assert_eq!(
            reported(&plan(&cluster, &backups, Handled::default(), hours(44))),
            ["drill new-drill-202606030600"]
        );
    }
}

#[test]
fn a_drill_of_nothing_is_a_failed_one() {
    let planned = plan(&cluster(drilling), &[], Handled::default(), hours(19));
    assert_eq!(reported(&planned), ["DrillFailed: there is no complete backup that could be tried out"]);
    assert_eq!(planned.handled.drill, Some(hours(18)));
}

#[test]
fn another_schedule_makes_no_drill_at_once() {
    let cluster = cluster(|cluster| {
        drilling(cluster);
        cluster["metadata"]["managedFields"][0]["time"] = json!("2026-06-02T07:00:00Z");
    });
    assert_eq!(
        reported(&plan(&cluster, &[done("new", |_| ())], Handled::default(), hours(20))),
        Vec::<String>::new()
    );
}

#[test]
fn what_is_read_is_not_deleted() {
    let cluster = cluster(|cluster| cluster["spec"]["backup"]["keepLast"] = json!(1));
    let of_schedule = |name: &str, hour: i64| {
        done(name, |backup| {
            backup["metadata"]["labels"] = json!({"workflow.example.com/backup-cause": "schedule"});
            backup["status"]["completedAt"] = json!(hours(hour));
            backup["status"]["backupId"] = json!(name);
        })
    };
    let backups = [
        of_schedule("restored", -4),
        of_schedule("drilled", -3),
        of_schedule("old", -2),
        of_schedule("new", -1),
    ];
    let neighbour: WorkflowCluster = serde_json::from_value(json!({
        "apiVersion": "workflow.example.com/v1alpha1", "kind": "WorkflowCluster",
        "metadata": {"name": "restored", "namespace": "acme"},
        "spec": {
            "version": "1.2.3", "postgres": {"externalRef": {"host": "new", "databaseSecret": "db"}},
            "bootstrap": {"recovery": {"backupRef": {"name": "restored"}}},
        },
    }))
    .unwrap();
    let settings = settings();
    let order = Order::of(&backups[1], None, &settings).unwrap();
    let jobs = [Arc::new(drill_job::build(&order, today(), None, 60))];
    let neighbours = [Arc::new(neighbour)];
    let view = View {
        cluster: &cluster,
        neighbours: &neighbours,
        backups: &backups,
        jobs: &jobs,
        handled: Handled::default(),
        settings: &settings,
    };
    assert_eq!(reported(&plan_schedule(&view, hours(0))), ["delete old"]);
    let view = View { neighbours: &[], jobs: &[], ..view };
    assert_eq!(
        reported(&plan_schedule(&view, hours(0))),
        ["delete restored", "delete drilled", "delete old"]
    );
}
