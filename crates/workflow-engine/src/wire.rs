//! Conversions between the types of the API and of the database.

use jiff::Timestamp;

pub(crate) fn timestamp(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() }
}

/// Counts in the database are signed; a negative one would be a defect and reads as 0.
pub(crate) fn count(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

/// For versions and retries, which are never negative.
pub(crate) fn number(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

/// For the database. A number beyond its range becomes the maximum, which no row has.
pub(crate) fn stored(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
