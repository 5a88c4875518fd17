//! Lags cut into messages. How many pairs there are, and how long their names, is up to all tenants together; a message
//! that clients refuse would leave every one of them without autoscaling.

use engine_api::proto::JobLag;
use prost::Message as _;

/// Clients take messages of 4 MiB.
const MAX_BYTES: usize = 1 << 20;
/// Short names take more memory than bytes.
const MAX_ENTRIES: usize = 10_000;
/// Tag and length of a list's entry.
const ENTRY_OVERHEAD: usize = 6;

/// What fits into one message.
#[derive(Debug, Default)]
pub(super) struct Room {
    bytes: usize,
    entries: usize,
}

impl Room {
    /// Takes the entry in; false = the message is full. A single entry always fits, names have a limit.
    pub(super) fn take(&mut self, lag: &JobLag) -> bool {
        let bytes = self.bytes + lag.encoded_len() + ENTRY_OVERHEAD;
        if bytes > MAX_BYTES || self.entries == MAX_ENTRIES {
            return false;
        }
        *self = Self { bytes, entries: self.entries + 1 };
        true
    }
}

/// Lags and removed pairs of one message.
pub(super) type Part = (Vec<JobLag>, Vec<JobLag>);

/// At least one part: a look that saw nothing new is reported as well.
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
