//! When an upgrade may disturb.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::grammar;

/// A window that opens at the same time on some days of each week.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MaintenanceWindow {
    /// Days on which it opens; every day when left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 7))]
    pub days: Vec<Weekday>,
    /// When it opens, hours and minutes of a day, `02:30`.
    #[schemars(length(min = 5, max = 5), regex(pattern = grammar::TIME_OF_DAY))]
    pub start: String,
    /// Minutes that it stays open, 15 to 10080, which is a week.
    #[schemars(range(min = 15, max = 10_080))]
    pub duration_minutes: i32,
    /// Time zone of `start`, by its IANA name, `Europe/Berlin`; `UTC` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = grammar::TIME_ZONE_MAX), regex(pattern = grammar::TIME_ZONE))]
    pub time_zone: Option<String>,
}

impl MaintenanceWindow {
    /// Time zone of `start`.
    pub fn time_zone(&self) -> &str {
        self.time_zone.as_deref().unwrap_or("UTC")
    }
}

/// A day of the week.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[schemars(description = "")] // each field of this type has its own description
pub enum Weekday {
    /// The first day of the week in ISO 8601.
    #[default]
    Monday,
    /// The second.
    Tuesday,
    /// The third.
    Wednesday,
    /// The fourth.
    Thursday,
    /// The fifth.
    Friday,
    /// The sixth.
    Saturday,
    /// The seventh.
    Sunday,
}
