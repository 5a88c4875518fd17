//! Small shapes between the wire and ours.

use std::time::Duration;

use jiff::Timestamp;

use crate::error::Error;

pub(crate) fn timestamp(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() }
}

/// Counts in the database are signed; a negative one would be a defect and reads as none.
pub(crate) fn count(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

/// An absent duration is the default; one outside the range is refused.
pub(crate) fn duration(
    field: &str,
    wire: Option<prost_types::Duration>,
    default: Duration,
    range: std::ops::RangeInclusive<Duration>,
) -> Result<Duration, Error> {
    let Some(wire) = wire else { return Ok(default) };
    let duration = Duration::try_from(wire).ok().filter(|duration| range.contains(duration));
    duration.ok_or_else(|| {
        Error::Invalid(format!(
            "{field} must be {} s to {} s",
            range.start().as_secs_f64(),
            range.end().as_secs_f64()
        ))
    })
}
