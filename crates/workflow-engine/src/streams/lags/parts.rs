//! Splits lags into messages of limited size. The number of pairs and the length of their names depend on all tenants.
//! A message that is too large for clients would stop the autoscaling of all of them.

use engine_api::proto::JobLag;
use prost::Message as _;

/// Well below the 4 MiB that clients accept.
const MAX_BYTES: usize = 1 << 20;
/// Entries with short names take more memory than their encoded bytes.
const MAX_ENTRIES: usize = 10_000;
/// Encoded tag and length of an entry.
const ENTRY_OVERHEAD: usize = 6;

/// How much of one message is used.
#[derive(Debug, Default)]
pub(super) struct Room {
    bytes: usize,
    entries: usize,
}

impl Room {
    /// Adds an entry; false = it does not fit. The first entry always fits, since names are limited.
    pub(super) fn take(&mut self, lag: &JobLag) -> bool {
        let bytes = self.bytes + lag.encoded_len() + ENTRY_OVERHEAD;
        if bytes > MAX_BYTES || self.entries == MAX_ENTRIES {
            return false;
        }
        *self = Self { bytes, entries: self.entries + 1 };
        true
    }
}

/// Changed and removed lags of one message.
pub(super) type Part = (Vec<JobLag>, Vec<JobLag>);

/// Returns at least one part, since a message without changes is a heartbeat.
pub(super) fn split(lags: Vec<JobLag>, removed: Vec<JobLag>) -> Vec<Part> {
    let (mut parts, mut room) = (vec![Part::default()], Room::default());
    let entries = lags.into_iter().map(|lag| (lag, false)).chain(removed.into_iter().map(|lag| (lag, true)));
    for (lag, is_removed) in entries {
        if !room.take(&lag) {
            parts.push(Part::default());
            room = Room::default();
            room.take(&lag);
        }
        if let Some((lags, removed)) = parts.last_mut() {
            if is_removed { removed.push(lag) } else { lags.push(lag) }
        }
    }
    parts
}

#[cfg(test)]
mod tests;
