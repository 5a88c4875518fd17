// The cases read better with values.
#![allow(clippy::needless_pass_by_value)]

use rstest::rstest;
use serde_json::{Value, json};

use super::*;

fn backup(name: &str, labels: Value, annotations: Value, status: Value) -> WorkflowBackup {
    serde_json::from_value(json!({
        "apiVersion": "workflow.example.com/v1alpha1", "kind": "WorkflowBackup",
        "metadata": {"name": name, "namespace": "acme", "labels": labels, "annotations": annotations},
        "spec": {"clusterRef": {"name": "dev"}},
        "status": status,
    }))
    .unwrap()
}

fn plain(name: &str, status: Value) -> WorkflowBackup {
    backup(name, json!({}), json!({}), status)
}

fn completed(at: &str) -> Value {
    json!({"phase": "Completed", "ready": true, "completedAt": at, "backupId": "the-id"})
}

#[test]
fn the_last_backup_is_the_newest_that_is_complete() {
    let backups = Backups::of(vec![
        plain("a", completed("2026-11-27T03:00:00Z")),
        plain("b", completed("2026-11-26T03:00:00Z")),
        plain("c", json!({"phase": "Failed", "completedAt": "2026-11-28T03:00:00Z", "backupId": "c-1"})),
        plain("d", json!({"phase": "Running"})),
    ]);
    let last = backups.last().unwrap();
    assert_eq!((last.name.as_str(), last.id.as_str()), ("a", "the-id"));
    assert_eq!(Backups::default().last(), None);
}

#[test]
fn the_last_drill_is_the_newest_of_all_backups() {
    let drill = |at: &str, succeeded: bool| json!({"phase": "Completed", "lastDrill": {"at": at, "succeeded": succeeded, "seconds": 7}});
    let backups = Backups::of(vec![
        plain("a", drill("2026-11-27T03:00:00Z", false)),
        plain("b", drill("2026-11-26T03:00:00Z", true)),
    ]);
    let last = backups.last_drill().unwrap();
    assert_eq!((last.backup_name.as_deref(), last.succeeded), (Some("a"), false));
}

#[rstest]
#[case::not_seen(json!({}), true)]
#[case::pending(json!({"phase": "Pending"}), true)]
#[case::running(json!({"phase": "Running"}), true)]
#[case::waits_for_a_person(
    json!({"phase": "Pending", "conditions": [{
        "type": "Stalled", "status": "True", "reason": "DestinationMissing", "message": "",
        "lastTransitionTime": "2026-11-27T03:00:00Z",
    }]}),
    false
)]
#[case::complete(json!({"phase": "Completed"}), false)]
#[case::failed(json!({"phase": "Failed"}), false)]
fn a_backup_that_goes_on_by_itself_needs_the_database(#[case] status: Value, #[case] expected: bool) {
    assert_eq!(Backups::of(vec![plain("a", status)]).need_database(), expected);
}

#[rstest]
#[case::none(None, Awaited::Missing)]
#[case::of_another_plan(Some(("other", json!({"phase": "Completed"}))), Awaited::Missing)]
#[case::not_seen(Some(("cafe", json!({}))), Awaited::Running("dev-before-cafe".into()))]
#[case::running(Some(("cafe", json!({"phase": "Running"}))), Awaited::Running("dev-before-cafe".into()))]
#[case::failed(
    Some(("cafe", json!({"phase": "Failed", "message": "the bucket does not exist"}))),
    Awaited::Failed("dev-before-cafe".into(), "the bucket does not exist".into())
)]
#[case::complete(Some(("cafe", json!({"phase": "Completed"}))), Awaited::Completed)]
fn a_backup_before_an_upgrade_is_one_of_its_plan(
    #[case] found: Option<(&str, Value)>,
    #[case] expected: Awaited,
) {
    let of_plan = |(plan, status): (&str, Value)| {
        let annotations = json!({"workflow.example.com/plan-hash": plan});
        backup("dev-before-cafe", json!({}), annotations, status)
    };
    assert_eq!(Backups::of(found.map(of_plan).into_iter().collect()).for_plan("cafe"), expected);
}

#[test]
fn a_backup_before_a_deletion_is_one_of_that_very_cluster() {
    let labels = json!({"workflow.example.com/backup-cause": "deletion"});
    let former = backup("dev-final-00000000", labels.clone(), json!({}), json!({"phase": "Completed"}));
    let named = plain("dev-final-12345678", json!({"phase": "Completed"}));
    let uid = "12345678-aaaa-bbbb";
    assert_eq!(Backups::of(vec![former, named]).for_deletion(uid), Awaited::Missing);
    let last = backup("dev-final-12345678", labels, json!({}), json!({"phase": "Completed"}));
    assert_eq!(Backups::of(vec![last]).for_deletion(uid), Awaited::Completed);
}
