use engine_client::model::WaitingCount;

use super::*;

fn ids(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|index| format!("{prefix}{index:03}")).collect()
}

#[test]
fn lists_are_bounded_and_what_is_left_out_is_counted() {
    let awaited = SourceChange { from_version: 3, to_version: 4, ..SourceChange::default() };
    let changes = Changes {
        added: ids("a", 60),
        removed: ids("r", 50),
        changed: ids("c", 52),
        removed_nodes: ids("r", 50),
    };
    let waiting = WaitingInstances {
        counts: vec![WaitingCount { element_id: "r001".into(), instances: 7 }],
        instances: 7,
        is_at_least: true,
    };
    assert_eq!(
        build_change(&awaited, &changes, Some(waiting)),
        SourceChange {
            from_version: 3,
            to_version: 4,
            added: ids("a", 50),
            removed: ids("r", 50),
            changed: ids("c", 50),
            omitted: Some(12),
            waiting_instances: Some(7),
            waiting_instances_are_more: Some(true),
            compared_at: None,
        }
    );
}

#[test]
fn what_cannot_be_told_is_left_out() {
    let awaited = SourceChange { from_version: 1, to_version: 2, ..SourceChange::default() };
    assert_eq!(build_change(&awaited, &Changes::default(), None), awaited);
}
