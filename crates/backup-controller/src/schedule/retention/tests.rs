use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::testing::today;
use crate::testing::world::another;

fn days_ago(days: i64) -> Timestamp {
    today() - SignedDuration::from_hours(24 * days)
}

fn of_schedule(name: &str, change: impl FnOnce(&mut Value)) -> Arc<WorkflowBackup> {
    Arc::new(another(name, |backup| {
        backup["metadata"]["labels"] = json!({"workflow.example.com/backup-cause": "schedule"});
        change(backup);
    }))
}

fn complete(name: &str, days: i64) -> Arc<WorkflowBackup> {
    of_schedule(name, |backup| {
        backup["metadata"]["creationTimestamp"] = json!(days_ago(days));
        backup["status"] = json!({"phase": "Completed", "ready": true, "completedAt": days_ago(days)});
    })
}

fn failed(name: &str, days: i64) -> Arc<WorkflowBackup> {
    of_schedule(name, |backup| {
        backup["metadata"]["creationTimestamp"] = json!(days_ago(days));
        backup["status"] = json!({"phase": "Failed", "ready": false});
    })
}

fn deleted(backups: &[Arc<WorkflowBackup>], days: Option<i32>, keep: Option<i32>) -> Vec<String> {
    plan_retention(backups, days, keep, |_| false, today()).iter().map(|it| it.name_any()).collect()
}

#[rstest]
#[case::nothing_asked(None, None, &[])]
#[case::age(Some(7), None, &["d30", "f20", "d10", "f9"])]
#[case::count(None, Some(2), &["d30", "f20", "d10", "f9"])]
#[case::count_of_all(None, Some(4), &[])]
#[case::both_must_say_so(Some(7), Some(3), &["d30", "f20", "f9"])]
#[case::only_age_says_so(Some(7), Some(10), &["f20", "f9"])]
#[case::only_the_newest(None, Some(1), &["d30", "f20", "d10", "f9", "d5"])]
fn age_and_count(#[case] days: Option<i32>, #[case] keep: Option<i32>, #[case] expected: &[&str]) {
    let backups = [
        complete("d1", 1),
        complete("d5", 5),
        complete("d10", 10),
        complete("d30", 30),
        failed("f20", 20),
        failed("f9", 9),
        failed("f0", 0),
    ];
    assert_eq!(deleted(&backups, days, keep), expected);
}

#[test]
fn the_last_good_one_stays_however_old_it_is() {
    let backups = [complete("old", 400), failed("f1", 1), failed("f300", 300)];
    assert_eq!(deleted(&backups, Some(7), None), ["f300"]);
    assert_eq!(deleted(&backups, None, Some(1)), Vec::<String>::new());
}

#[test]
fn only_what_a_schedule_made_and_what_is_done_is_deleted() {
    let mine = |cause: Option<&str>| {
        Arc::new(another("mine", |backup| {
            if let Some(cause) = cause {
                backup["metadata"]["labels"] = json!({"workflow.example.com/backup-cause": cause});
            }
            backup["status"] = json!({"phase": "Completed", "ready": true, "completedAt": days_ago(90)});
        }))
    };
    let running = of_schedule("running", |backup| {
        backup["metadata"]["creationTimestamp"] = json!(days_ago(90));
        backup["status"] = json!({"phase": "Running", "ready": false});
    });
    let going = of_schedule("going", |backup| {
        backup["metadata"]["deletionTimestamp"] = json!(days_ago(1));
        backup["status"] = json!({"phase": "Deleting", "ready": false, "completedAt": days_ago(90)});
    });
    let backups =
        [complete("new", 1), mine(None), mine(Some("upgrade")), mine(Some("deletion")), running, going];
    assert_eq!(deleted(&backups, Some(1), None), Vec::<String>::new());
}

#[test]
fn one_that_is_going_is_not_the_last_good_one() {
    let going = of_schedule("going", |backup| {
        backup["metadata"]["deletionTimestamp"] = json!(days_ago(0));
        backup["status"] = json!({"phase": "Deleting", "ready": false, "completedAt": days_ago(1)});
    });
    assert_eq!(deleted(&[going, complete("old", 90)], Some(7), None), Vec::<String>::new());
}

fn any_backups() -> impl Strategy<Value = Vec<Arc<WorkflowBackup>>> {
    let one = (0_i64..100, 0_u8..4);
    proptest::collection::vec(one, 0..25).prop_map(|all| {
        all.into_iter()
            .enumerate()
            .map(|(index, (days, kind))| match kind {
                0 => failed(&format!("failed-{index}"), days),
                1 => Arc::new(another(&format!("manual-{index}"), |backup| {
                    backup["status"] =
                        json!({"phase": "Completed", "ready": true, "completedAt": days_ago(days)});
                })),
                _ => complete(&format!("good-{index}"), days),
            })
            .collect()
    })
}

fn good(backups: &[Arc<WorkflowBackup>]) -> Vec<(Timestamp, String)> {
    let of_schedule = backups.iter().filter(|it| Cause::Schedule.is_of(it));
    let mut good: Vec<_> = of_schedule.filter_map(|it| Some((completed_at(it)?, it.name_any()))).collect();
    good.sort_by(|a, b| b.cmp(a));
    good
}

proptest! {
    #[test]
    fn what_is_deleted_may_be_deleted(
        backups in any_backups(),
        days in proptest::option::of(1_i32..60),
        keep in proptest::option::of(1_i32..12),
        read in 0_usize..25,
    ) {
        let is_kept = |backup: &WorkflowBackup| backup.name_any().ends_with(&format!("-{read}"));
        let old = plan_retention(&backups, days, keep, is_kept, today());
        let names: Vec<_> = old.iter().map(|it| it.name_any()).collect();
        let before = good(&backups);
        let stays: Vec<_> =
            backups.iter().filter(|it| !names.contains(&it.name_any())).cloned().collect();
        let after = good(&stays);
        prop_assert_eq!(after.first(), before.first(), "the last good one is gone");
        prop_assert!(old.iter().all(|it| Cause::Schedule.is_of(it) && !is_kept(it)));
        if let Some(keep) = keep {
            prop_assert!(after.len() >= before.len().min(usize::try_from(keep).unwrap()));
        }
        if let Some(days) = days {
            let is_young = |(at, _): &&(Timestamp, String)| *at >= days_ago(days.into());
            prop_assert_eq!(after.iter().filter(is_young).count(), before.iter().filter(is_young).count());
        }
        if days.is_none() && keep.is_none() {
            prop_assert!(names.is_empty());
        }
        // And what may be deleted is: a second look finds nothing more.
        prop_assert_eq!(plan_retention(&stays, days, keep, is_kept, today()).len(), 0);
        if let (Some(keep), None) = (keep, days) {
            let most = usize::try_from(keep).unwrap();
            prop_assert!(after.len() <= most + 1, "{} of {most}: only one is being read", after.len());
        }
    }
}
