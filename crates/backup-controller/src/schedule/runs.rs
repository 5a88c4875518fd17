//! Whether a run of a schedule is due. Pure.

use api_types::WorkflowCluster;
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use sha2::{Digest as _, Sha256};

use super::cron::Schedule;

/// A run counts as made in time for so long: passes wait for others, and a controller is restarted.
pub const IN_TIME: SignedDuration = SignedDuration::from_mins(5);
/// Seconds over which the runs of one moment are spread.
const SPREAD_SECONDS: u64 = 60;

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    No,
    /// The run of this time, in time or late. Earlier ones that were missed too are not made up for.
    Make(Timestamp),
    /// The run of this time was missed, and the next one is near.
    Missed {
        /// Its time.
        at: Timestamp,
        /// The next one's.
        next: Timestamp,
    },
}

/// What is due, and when to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// What is due now.
    pub due: Due,
    /// When the next run is due.
    pub wake: Option<Timestamp>,
}

/// Judges a schedule. `since` is the last time that was dealt with, or when the schedule was set.
#[must_use]
pub fn judge(schedule: &Schedule, since: Timestamp, jitter: SignedDuration, now: Timestamp) -> Run {
    let Ok(reached) = now.checked_sub(jitter) else { return Run { due: Due::No, wake: None } };
    let next = schedule.next_after(reached);
    let wake = next.and_then(|next| next.checked_add(jitter).ok());
    let Some(at) = schedule.last_between(since, reached) else { return Run { due: Due::No, wake } };
    let is_in_time = reached.duration_since(at) <= IN_TIME;
    let due = match next {
        Some(next) if !is_in_time => {
            let period = next.duration_since(at);
            let is_near = next.duration_since(reached) <= period / 4;
            if is_near { Due::Missed { at, next } } else { Due::Make(at) }
        }
        _ => Due::Make(at),
    };
    Run { due, wake }
}

/// How much later than its schedule a cluster is: always the same, and another one for another cluster, so that not all
/// databases are dumped at the same moment.
#[must_use]
pub fn jitter(cluster: &WorkflowCluster) -> SignedDuration {
    let hash = Sha256::digest(cluster.uid().unwrap_or_default());
    let number = hash[..8].iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    SignedDuration::from_secs(i64::try_from(number % SPREAD_SECONDS).unwrap_or(0))
}

#[cfg(test)]
mod tests;
