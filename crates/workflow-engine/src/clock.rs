//! The only place that asks for the time. What is compared with the database's rows uses the database's `now()`
//! instead, so that replicas with different clocks agree.

use jiff::Timestamp;

#[expect(clippy::disallowed_methods, reason = "this is the crate's clock room")]
pub fn now() -> Timestamp {
    Timestamp::now()
}
