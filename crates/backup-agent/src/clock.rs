//! The only place that reads the system clock.

use jiff::Timestamp;

/// The time by this machine's clock.
#[expect(clippy::disallowed_methods, reason = "the only place of the crate that reads the clock")]
pub fn now() -> Timestamp {
    Timestamp::now()
}
