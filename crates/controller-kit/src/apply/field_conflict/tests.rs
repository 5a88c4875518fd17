use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ObjectMeta;
use test_support::reply::apply_conflict;

use super::*;

fn desired(value: &str) -> Desired {
    let metadata =
        ObjectMeta { name: Some("a".into()), namespace: Some("acme".into()), ..ObjectMeta::default() };
    let data = Some([("key".to_owned(), value.to_owned())].into());
    Desired::of(&ConfigMap { metadata, data, ..ConfigMap::default() })
}

fn conflict(fields: &[(&str, &str)], shared: &[&str]) -> Option<FieldConflict> {
    FieldConflict::of(&apply_conflict(fields), "ConfigMap acme/a", shared)
}

#[test]
fn the_writers_and_their_fields_are_reported() {
    let fields = [(".data.a", "kubectl-edit"), (".data.b", "kubectl-edit"), (".spec.replicas", "keda")];
    let reported = conflict(&fields, &[]).unwrap();
    assert_eq!(
        reported.message(),
        r#"ConfigMap acme/a: "keda" set .spec.replicas; "kubectl-edit" set .data.a, .data.b"#
    );
    assert_eq!(
        reported.event(),
        Event {
            type_: EventType::Warning,
            reason: "Conflict".into(),
            note: r#"Conflict: set back what others changed: ConfigMap acme/a: "keda" set .spec.replicas; "kubectl-edit" set .data.a, .data.b"#.into(),
        }
    );
}

#[test]
fn shared_fields_are_no_conflict() {
    let fields = [(".spec.replicas", "kube-controller-manager")];
    assert_eq!(conflict(&fields, &[".spec.replicas"]), None);
    assert!(conflict(&fields, &[]).is_some());
}

#[test]
fn patches_of_this_operator_are_no_conflict() {
    assert_eq!(conflict(&[(".data.a", "workflow-cluster-controller")], &[]), None);
}

/// The other writer writes as often as it can, for an hour.
#[tokio::test(start_paused = true)]
async fn fields_that_are_changed_all_the_time_are_set_back_after_growing_pauses() {
    let (conflicts, refusal, desired) =
        (FieldConflicts::default(), apply_conflict(&[(".data.a", "x")]), desired("own"));
    let began = Instant::now();
    let (mut asked, mut reverted) = (0, Vec::new());
    while began.elapsed() < Duration::from_hours(1) {
        if conflicts.refusal_during_pause(&desired, Instant::now()).is_none() {
            asked += 1;
            if conflicts.may_set_back(&desired, &refusal, Instant::now()) {
                reverted.push(began.elapsed().as_secs());
            }
        }
        tokio::time::advance(Duration::from_millis(100)).await;
    }
    assert_eq!(reverted[..8], [0, 2, 6, 14, 30, 62, 122, 182]);
    assert_eq!(reverted.len(), 64, "then once a minute");
    // Once to set back, once to be refused, and nothing until the pause is over.
    assert_eq!(asked, 2 * reverted.len());
}

#[tokio::test(start_paused = true)]
async fn another_desired_object_is_tried_at_once_and_success_is_remembered() {
    let (conflicts, refusal) = (FieldConflicts::default(), apply_conflict(&[(".data.a", "x")]));
    assert!(conflicts.may_set_back(&desired("one"), &refusal, Instant::now()));
    assert!(!conflicts.may_set_back(&desired("one"), &refusal, Instant::now()));
    assert_eq!(conflicts.refusal_during_pause(&desired("one"), Instant::now()), Some(refusal.clone()));
    assert_eq!(conflicts.refusal_during_pause(&desired("two"), Instant::now()), None);
    assert!(conflicts.may_set_back(&desired("two"), &refusal, Instant::now()));
    assert_eq!(
        conflicts.refusal_during_pause(&desired("two"), Instant::now()),
        None,
        "it was set back, and nobody refused since"
    );

    tokio::time::advance(FORGOTTEN_AFTER).await;
    assert!(conflicts.may_set_back(&desired("two"), &refusal, Instant::now()));
    assert!(!conflicts.may_set_back(&desired("two"), &refusal, Instant::now()));
    tokio::time::advance(Duration::from_secs(2)).await;
    assert!(conflicts.may_set_back(&desired("two"), &refusal, Instant::now()), "the first pause again");
}
