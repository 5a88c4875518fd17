//! A maintenance window is open.

use api_types::cluster::{MaintenanceWindow, Weekday};
use jiff::civil::{self, Date};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan as _};

use super::Scene;

/// No window is longer than a week, and each opens at least once a week.
const WEEK: i32 = 7;

pub(super) fn closed(scene: &Scene<'_>) -> Option<String> {
    let windows = scene.input.cluster.spec.upgrade().maintenance_windows;
    let opens_at = next_opening(&windows, scene.now)?;
    Some(format!("the maintenance window opens at {opens_at}"))
}

/// When the next window opens; `None` while one is open, and without windows.
fn next_opening(windows: &[MaintenanceWindow], now: Timestamp) -> Option<Timestamp> {
    if windows.iter().any(|window| is_open(window, now)) {
        return None;
    }
    let starts = windows.iter().flat_map(|window| starts_of(window, now, 0..=WEEK));
    starts.filter(|start| *start > now).min()
}

fn is_open(window: &MaintenanceWindow, now: Timestamp) -> bool {
    let length: Span = i64::from(window.duration_minutes).minutes();
    let is_open_since =
        |start: Timestamp| start <= now && start.checked_add(length).is_ok_and(|end| now < end);
    starts_of(window, now, -WEEK..=0).any(is_open_since)
}

/// When it opens on each of these days, counted from today in its own time zone. An hour that a clock skips is the one after
/// it.
fn starts_of(
    window: &MaintenanceWindow,
    now: Timestamp,
    days: std::ops::RangeInclusive<i32>,
) -> impl Iterator<Item = Timestamp> {
    let zone = TimeZone::get(window.time_zone()).ok();
    let time = window.start.parse::<civil::Time>().ok();
    days.filter_map(move |day| {
        let zone = zone.clone()?;
        let date = now.to_zoned(zone.clone()).date().checked_add(day.days()).ok()?;
        let opens = window.days.is_empty() || window.days.contains(&weekday_of(date));
        opens.then_some(())?;
        Some(date.to_datetime(time?).to_zoned(zone).ok()?.timestamp())
    })
}

fn weekday_of(date: Date) -> Weekday {
    match date.weekday() {
        civil::Weekday::Monday => Weekday::Monday,
        civil::Weekday::Tuesday => Weekday::Tuesday,
        civil::Weekday::Wednesday => Weekday::Wednesday,
        civil::Weekday::Thursday => Weekday::Thursday,
        civil::Weekday::Friday => Weekday::Friday,
        civil::Weekday::Saturday => Weekday::Saturday,
        civil::Weekday::Sunday => Weekday::Sunday,
    }
}

#[cfg(test)]
mod tests;
