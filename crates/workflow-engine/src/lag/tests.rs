use super::*;

fn lag(tenant_id: &str, job_type: &str, activatable: i64) -> (Pair, Lag) {
    let pair = (tenant_id.to_owned(), job_type.to_owned());
    let lag = Lag {
        tenant_id: tenant_id.to_owned(),
        job_type: job_type.to_owned(),
        activatable,
        oldest_run_at: None,
        activated: 0,
    };
    (pair, lag)
}

#[test]
fn a_delta_contains_changed_new_and_removed_lags() {
    let before = BTreeMap::from([lag("acme", "charge", 1), lag("acme", "refund", 0), lag("acme", "ship", 2)]);
    let after =
        BTreeMap::from([lag("acme", "charge", 1), lag("acme", "refund", 5), lag("globex", "charge", 0)]);
    assert_eq!(
        build_delta(&before, &after),
        Delta {
            changed: vec![lag("acme", "refund", 5).1, lag("globex", "charge", 0).1],
            removed: vec![lag("acme", "ship", 2).1],
        }
    );
}

#[test]
fn a_filter_matches_pairs_that_are_in_both_lists() {
    let sample = Sample {
        lags: BTreeMap::from([
            lag("acme", "charge", 1),
            lag("acme", "refund", 0),
            lag("globex", "charge", 2),
        ]),
        measured_at: Timestamp::UNIX_EPOCH,
    };
    let keys = |filter: Filter| filter.apply(&sample).into_keys().collect::<Vec<_>>();
    let acme = Filter { tenant_ids: vec!["acme".to_owned()], job_types: Vec::new() };
    let both = Filter { job_types: vec!["charge".to_owned()], ..acme.clone() };
    assert_eq!(keys(Filter::default()).len(), 3);
    assert_eq!(keys(acme), [lag("acme", "charge", 0).0, lag("acme", "refund", 0).0]);
    assert_eq!(keys(both), [lag("acme", "charge", 0).0]);
}

#[test]
fn the_age_wins_over_a_contradicting_older_count() {
    let at = Some(Timestamp::UNIX_EPOCH);
    let observed = |job_type: &str, oldest_run_at| Lag { oldest_run_at, ..lag("acme", job_type, 0).1 };
    let oldest = vec![
        observed("counted", at),
        observed("emptied", None),
        observed("just-come", at),
        observed("idle", None),
    ];
    let counts = HashMap::from([(lag("acme", "counted", 0).0, 7), (lag("acme", "emptied", 0).0, 3)]);
    let activatable: Vec<i64> =
        build_lags(oldest, &counts).into_values().map(|lag| lag.activatable).collect();
    // counted, emptied, idle, just-come
    assert_eq!(activatable, [7, 0, 0, 1]);
}
