//! Small shapes between the contract and the database.

use jiff::Timestamp;

pub(crate) fn timestamp(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() }
}

/// Counts in the database are signed; a negative one would be a defect and reads as none.
pub(crate) fn count(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

/// Numbers of versions and attempts, which are never negative.
pub(crate) fn number(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

/// As the database has it; beyond its range nothing is found and nothing is reached.
pub(crate) fn stored(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
