use super::*;

fn lags(count: usize, job_type_chars: usize) -> Vec<JobLag> {
    (0..count)
        .map(|n| JobLag {
            tenant_id: "a".repeat(63),
            job_type: format!("{n:0job_type_chars$}"),
            activatable: i64::MAX,
            oldest_run_at: Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 999_999_999 }),
            activated: i64::MAX,
        })
        .collect()
}

#[test]
fn no_changes_are_one_empty_part() {
    assert_eq!(split(Vec::new(), Vec::new()), [Part::default()]);
}

#[test]
fn parts_are_bounded_by_bytes_and_lose_nothing() {
    let (reported, gone) = (lags(20_000, 255), lags(9_000, 255));
    let parts = split(reported.clone(), gone.clone());
    assert!(parts.len() > 8, "{}", parts.len());
    let message = |(lags, removed): &Part| engine_api::proto::WatchJobLagResponse {
        snapshot: true,
        lags: lags.clone(),
        removed: removed.clone(),
        measured_at: Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 999_999_999 }),
        more: true,
    };
    assert!(parts.iter().all(|part| message(part).encoded_len() < MAX_BYTES + 64));
    let (lags, removed): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
    assert_eq!((lags.concat(), removed.concat()), (reported, gone));
}

#[test]
fn parts_are_bounded_by_entries() {
    let short = |n: usize| JobLag { job_type: n.to_string(), ..JobLag::default() };
    let parts = split((0..=MAX_ENTRIES).map(short).collect(), Vec::new());
    assert_eq!(parts.iter().map(|part| part.0.len()).collect::<Vec<_>>(), [MAX_ENTRIES, 1]);
}
