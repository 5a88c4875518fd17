use kube::api::ObjectMeta;

use super::*;

#[test]
fn a_status_write_is_no_trigger_and_a_new_generation_is() {
    let before =
        ObjectMeta { generation: Some(1), resource_version: Some("5".into()), ..ObjectMeta::default() };
    let status_written = ObjectMeta { resource_version: Some("6".into()), ..before.clone() };
    let edited = ObjectMeta { generation: Some(2), ..before.clone() };
    assert_eq!(trigger_of(&before), trigger_of(&status_written));
    assert_ne!(trigger_of(&before), trigger_of(&edited));
}

#[test]
fn a_silent_watch_grows_old_and_an_answer_makes_it_young() {
    let (progress, born) = (Progress::default(), Instant::now());
    assert_eq!(progress.age("/apis/a", born, born + WEDGED_AFTER), WEDGED_AFTER);
    progress.note("/apis/a", born + WEDGED_AFTER);
    assert_eq!(progress.age("/apis/a", born, born + WEDGED_AFTER), Duration::ZERO);
}

#[test]
fn backoff_is_capped_at_ten_seconds_plus_jitter_and_starts_again() {
    let mut backoff = WatchBackoff::new();
    let delays: Vec<_> = backoff.by_ref().take(50).collect();
    assert!(delays.iter().all(|delay| *delay <= Duration::from_secs(20)), "{delays:?}");
    backoff.reset();
    assert!(backoff.next().unwrap() <= Duration::from_secs(1));
}
