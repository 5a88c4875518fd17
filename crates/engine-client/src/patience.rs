//! When those who start work and those who do it try again.
//!
//! An engine has several nodes behind one address. While one of them ends, its callers are refused, and another node answers the
//! next attempt; so the first one follows at once. When the whole engine is away, attempts must become rare.

use std::time::Duration;

use backon::ExponentialBuilder;

/// Short beside the latency that callers notice, long enough for a connection to another node.
const FIRST: Duration = Duration::from_millis(12);
/// With these doublings the last attempt is made 12 to 25 s after the first one: an engine whose nodes are replaced, and one
/// whose database fails over, are back by then.
const REPETITIONS: usize = 10;
const SLOWEST: Duration = Duration::from_secs(10);

/// Pauses between the attempts of a call that [is unavailable](crate::EngineError::is_unavailable). For calls that carry a
/// `request_id` or a lease: without either, a repetition may do the work again.
pub fn repetitions() -> ExponentialBuilder {
    ExponentialBuilder::new().with_jitter().with_min_delay(FIRST).with_max_times(REPETITIONS)
}

/// Pauses between the attempts to open a stream, without an end; begin anew once a stream has brought something.
pub fn reconnects() -> ExponentialBuilder {
    ExponentialBuilder::new().with_jitter().with_min_delay(FIRST).with_max_delay(SLOWEST).without_max_times()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use backon::BackoffBuilder as _;

    use super::{reconnects, repetitions};

    #[test]
    fn another_node_is_asked_at_once_and_an_engine_that_is_away_for_long_enough() {
        let pauses: Vec<Duration> = repetitions().build().collect();
        assert!(pauses[0] <= Duration::from_millis(25), "{pauses:?}");
        let total: Duration = pauses.iter().sum();
        assert!((12..=26).contains(&total.as_secs()), "{total:?}");
    }

    #[test]
    fn streams_are_opened_again_at_once_and_rarely_in_the_end() {
        let pauses: Vec<Duration> = reconnects().build().take(100).collect();
        assert!(pauses[0] <= Duration::from_millis(25), "{pauses:?}");
        assert!((10..=20).contains(&pauses[99].as_secs()), "{pauses:?}");
    }
}
