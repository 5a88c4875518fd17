//! The only place that reads the system clock. Times that are compared with rows of the database come from its `now()`
//! instead, so that replicas with different clocks agree.

use jiff::Timestamp;

#[expect(clippy::disallowed_methods, reason = "the only place of the crate that reads the clock")]
pub fn now() -> Timestamp {
    Timestamp::now()
}
