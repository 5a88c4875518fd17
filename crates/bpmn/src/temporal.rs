//! The notations of constant timer values: ISO 8601 dates, durations and repetitions, and cron expressions.

/// `2026-11-22T10:15:30+01:00`, with seconds and fraction optional, ended by an offset, a zone in brackets or both.
pub(crate) fn is_date_time(value: &str) -> bool {
    let Some((date, time)) = value.split_once('T') else { return false };
    let (time, zone) = match time.strip_suffix(']').map(|time| time.split_once('[')) {
        Some(Some((time, zone))) => (time, Some(zone)),
        Some(None) => return false,
        None => (time, None),
    };
    let offset_at = time.find(['Z', '+', '-']).unwrap_or(time.len());
    let (time, offset) = time.split_at(offset_at);
    let has_offset = is_offset(offset);
    let has_zone = zone.is_some_and(is_zone);
    is_date(date)
        && is_time(time)
        && (has_offset || offset.is_empty())
        && (has_zone || zone.is_none())
        && (has_offset || has_zone)
}

fn is_date(value: &str) -> bool {
    let mut parts = value.splitn(3, '-');
    let (Some(year), Some(month), Some(day)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let (Some(year), Some(month), Some(day)) =
        (fixed_number(year, 4), fixed_number(month, 2), fixed_number(day, 2))
    else {
        return false;
    };
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return false,
    };
    (1..=days).contains(&day)
}

fn is_time(value: &str) -> bool {
    let (clock, fraction) = match value.split_once('.') {
        Some((clock, fraction)) => (clock, Some(fraction)),
        None => (value, None),
    };
    let parts: Vec<&str> = clock.split(':').collect();
    let is_clock = match parts.as_slice() {
        [hours, minutes] => fraction.is_none() && is_below(hours, 24) && is_below(minutes, 60),
        [hours, minutes, seconds] => is_below(hours, 24) && is_below(minutes, 60) && is_below(seconds, 60),
        _ => false,
    };
    is_clock && fraction.is_none_or(|digits| (1..=9).contains(&digits.len()) && is_digits(digits))
}

fn is_offset(value: &str) -> bool {
    if value == "Z" {
        return true;
    }
    let Some(value) = value.strip_prefix(['+', '-']) else { return false };
    let parts: Vec<&str> = value.split(':').collect();
    parts.len() <= 3 && is_below(parts[0], 19) && parts[1..].iter().all(|part| is_below(part, 60))
}

fn is_zone(value: &str) -> bool {
    !value.is_empty()
        && value
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'-' | b'+' | b':'))
}

/// `P1DT2H30M`, either part optional, with a sign and fractional seconds.
pub(crate) fn is_duration(value: &str) -> bool {
    let unsigned = value.strip_prefix(['-', '+']).unwrap_or(value);
    let Some(rest) = unsigned.strip_prefix('P') else { return false };
    let (period, time) = match rest.split_once('T') {
        Some((period, time)) => (period, Some(time)),
        None => (rest, None),
    };
    let is_period_valid = has_units(period, &['Y', 'M', 'W', 'D'], false);
    match time {
        Some(time) => is_period_valid && !time.is_empty() && has_units(time, &['H', 'M', 'S'], true),
        None => is_period_valid && !period.is_empty(),
    }
}

/// Numbers, each followed by one of the units, in their order.
fn has_units(mut value: &str, units: &[char], fraction: bool) -> bool {
    let mut units = units.iter();
    while !value.is_empty() {
        let end = value.find(|character: char| character.is_ascii_alphabetic()).unwrap_or(value.len());
        let (number, rest) = value.split_at(end);
        let Some(unit) = rest.chars().next() else { return false };
        if !units.any(|known| *known == unit) {
            return false;
        }
        let number = number.strip_prefix(['-', '+']).unwrap_or(number);
        let is_number = match number.split_once('.') {
            Some((whole, digits)) => {
                fraction
                    && unit == 'S'
                    && is_digits(whole)
                    && !digits.is_empty()
                    && digits.len() <= 9
                    && is_digits(digits)
            }
            None => is_digits(number),
        };
        if !is_number {
            return false;
        }
        value = &rest[1..];
    }
    true
}

/// `R3/PT10S`, `R/2026-01-01T00:00:00Z/P1D` or a cron expression.
pub(crate) fn is_cycle(value: &str) -> bool {
    if !value.starts_with('R') {
        return is_cron(value);
    }
    let parts: Vec<&str> = value.split('/').collect();
    let is_count = |part: &str| part[1..].is_empty() || part[1..].parse::<i32>().is_ok();
    match parts.as_slice() {
        [count, duration] => is_count(count) && is_duration(duration),
        // Names of time zones contain slashes too.
        [count, start @ .., duration] => {
            is_count(count) && is_date_time(&start.join("/")) && is_duration(duration)
        }
        _ => false,
    }
}

/// Six fields (second, minute, hour, day, month, weekday) or a macro.
fn is_cron(value: &str) -> bool {
    const MACROS: [&str; 7] =
        ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];
    if MACROS.contains(&value) {
        return true;
    }
    let fields: Vec<&str> = value.split_whitespace().collect();
    let [seconds, minutes, hours, days, months, weekdays] = fields.as_slice() else { return false };
    is_cron_field(seconds, 0, 59, &[])
        && is_cron_field(minutes, 0, 59, &[])
        && is_cron_field(hours, 0, 23, &[])
        && (*days == "?" || is_cron_day(days))
        && is_cron_field(months, 1, 12, &MONTHS)
        && (*weekdays == "?" || is_cron_weekday(weekdays))
}

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"];

/// `L`, `LW`, `L-3`, `15W` or plain days.
fn is_cron_day(value: &str) -> bool {
    value.split(',').all(|part| match part.strip_prefix('L') {
        Some("" | "W") => true,
        Some(rest) => rest.strip_prefix('-').is_some_and(|days| is_below(days, 31)),
        None => is_cron_field(part.strip_suffix('W').unwrap_or(part), 1, 31, &[]),
    })
}

/// `5L`, `MON#2` or plain weekdays.
fn is_cron_weekday(value: &str) -> bool {
    value.split(',').all(|part| match part.split_once('#') {
        Some((day, nth)) => is_cron_value(day, 0, 7, &WEEKDAYS) && is_cron_value(nth, 1, 5, &[]),
        None => is_cron_field(
            part.strip_suffix('L').filter(|day| !day.is_empty()).unwrap_or(part),
            0,
            7,
            &WEEKDAYS,
        ),
    })
}

/// Lists of values and ranges, each with an optional step.
fn is_cron_field(value: &str, low: u32, high: u32, names: &[&str]) -> bool {
    value.split(',').all(|part| {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (part, None),
        };
        let is_range = match range.split_once('-') {
            Some((first, last)) => {
                is_cron_value(first, low, high, names) && is_cron_value(last, low, high, names)
            }
            None => range == "*" || is_cron_value(range, low, high, names),
        };
        is_range && step.is_none_or(|step| step.parse::<u32>().is_ok_and(|step| step > 0))
    })
}

fn is_cron_value(value: &str, low: u32, high: u32, names: &[&str]) -> bool {
    names.iter().any(|name| name.eq_ignore_ascii_case(value))
        || (is_digits(value) && value.parse::<u32>().is_ok_and(|number| (low..=high).contains(&number)))
}

fn is_digits(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit())
}

fn fixed_number(value: &str, length: usize) -> Option<u32> {
    (value.len() == length && is_digits(value)).then(|| value.parse().ok()).flatten()
}

fn is_below(value: &str, limit: u32) -> bool {
    value.len() <= 2 && is_digits(value) && value.parse::<u32>().is_ok_and(|number| number < limit)
}

#[cfg(test)]
mod tests;
