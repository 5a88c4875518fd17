//! The times of a schedule: five fields of cron in a time zone.
//!
//! When clocks are set forward, a run of a time that is left out is made at the end of the gap; when they are set back, a run of
//! a time that comes twice is made the first time. A schedule with `*` or a step in its hours goes on as if no clock was set.

use std::fmt;

use croner::Cron;
use croner::parser::{CronParser, Seconds};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A schedule.
#[derive(Clone, Debug)]
pub struct Schedule {
    text: String,
    zone_name: String,
    cron: Cron,
    zone: TimeZone,
}

/// Why there is no schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScheduleError {
    /// The fields are none of cron.
    Cron(String),
    /// The fields name no day of any year.
    Never(String),
    /// The time zone is unknown.
    Zone(String),
}

impl ScheduleError {
    /// In words; `field` is the field of the schedule.
    #[must_use]
    pub fn message(&self, field: &str) -> String {
        match self {
            Self::Cron(text) => format!("{field}: '{text}' are no five fields of cron, like 0 3 * * *"),
            Self::Never(text) => format!("{field}: '{text}' never comes"),
            Self::Zone(zone) => format!(
                "spec.backup.timeZone: {zone} is no time zone of the IANA database, like Europe/Berlin"
            ),
        }
    }
}

impl Schedule {
    /// Reads `text` in the time zone `zone`.
    pub fn parse(text: &str, zone: &str) -> Result<Self, ScheduleError> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).build();
        let cron = parser.parse(text).map_err(|_| ScheduleError::Cron(text.to_owned()))?;
        let known = TimeZone::get(zone).map_err(|_| ScheduleError::Zone(zone.to_owned()))?;
        let schedule = Self { text: text.to_owned(), zone_name: zone.to_owned(), cron, zone: known };
        match schedule.next_after(Timestamp::UNIX_EPOCH) {
            Some(_) => Ok(schedule),
            None => Err(ScheduleError::Never(text.to_owned())),
        }
    }

    /// The first time after `at`.
    #[must_use]
    pub fn next_after(&self, at: Timestamp) -> Option<Timestamp> {
        let found = self.cron.find_next_occurrence(&at.to_zoned(self.zone.clone()), false);
        found.ok().map(|found| found.timestamp())
    }

    /// The last time up to `at`, if it is after `since`.
    #[must_use]
    pub fn last_between(&self, since: Timestamp, at: Timestamp) -> Option<Timestamp> {
        let found = self.cron.find_previous_occurrence(&at.to_zoned(self.zone.clone()), true);
        found.ok().map(|found| found.timestamp()).filter(|found| *found > since && *found <= at)
    }
}

/// The fields and the time zone: what [`api_types::labels::SCHEDULED_BY`] keeps.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.text, self.zone_name)
    }
}

#[cfg(test)]
mod tests;
