use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

fn answer(value: u32) -> Answer<u32> {
    Answer { value, asked: Instant::now(), holds: Duration::from_secs(10) }
}

#[tokio::test(start_paused = true)]
async fn answer_is_asked_for_once_while_it_holds() {
    let cache = ReviewCache::new(8);
    assert_eq!(cache.get_or_ask(&"a", async { answer(1) }).await, 1);
    tokio::time::advance(Duration::from_millis(9_999)).await;
    assert_eq!(cache.get_or_ask(&"a", async { answer(2) }).await, 1);
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(cache.get_or_ask(&"a", async { answer(3) }).await, 3);
}

#[tokio::test]
async fn those_who_come_meanwhile_wait_for_the_same_answer() {
    let cache = ReviewCache::new(8);
    let asked = AtomicUsize::new(0);
    let ask = || async {
        asked.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        answer(1)
    };
    let answers = futures::future::join_all((0..100).map(|_| cache.get_or_ask(&"a", ask()))).await;
    assert_eq!((answers, asked.into_inner()), (vec![1; 100], 1));
}

#[tokio::test(start_paused = true)]
async fn least_recently_used_makes_room() {
    let cache = ReviewCache::new(2);
    for key in ["a", "b"] {
        cache.get_or_ask(&key, async { answer(1) }).await;
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    cache.get_or_ask(&"a", async { answer(2) }).await;
    cache.get_or_ask(&"c", async { answer(1) }).await;
    assert_eq!(cache.get_or_ask(&"a", async { answer(3) }).await, 1, "kept");
    assert_eq!(cache.get_or_ask(&"b", async { answer(4) }).await, 4, "dropped");
}

#[tokio::test(start_paused = true)]
async fn used_entries_age_and_idle_ones_are_dropped() {
    let cache = ReviewCache::new(8);
    cache.get_or_ask(&"used", async { answer(1) }).await;
    assert_eq!(cache.aging(Duration::from_secs(7)), Vec::<&str>::new());
    tokio::time::advance(Duration::from_secs(7)).await;
    assert_eq!(cache.aging(Duration::from_secs(7)), ["used"]);
    cache.replace(&"used", answer(2)).await;
    assert_eq!(cache.aging(Duration::from_secs(7)), Vec::<&str>::new());
    assert_eq!(cache.get_or_ask(&"used", async { answer(3) }).await, 2);
    tokio::time::advance(Duration::from_mins(1)).await;
    assert_eq!(cache.aging(Duration::from_secs(7)), Vec::<&str>::new());
}
