//! Only one replica of a controller may write. It says so with a number that grows with every change of the replica
//! (`workflow-writer` and `workflow-fence` in the call's metadata); a replica that was succeeded is refused.
//!
//! Every call of a replica records its number, reads too: what it then reads cannot be changed any more by one that it
//! succeeded.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Engine;
use crate::database::{History, TenantTx};
use crate::error::Error;
use crate::storage::writers;

/// Who calls, and since which change of the writing replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    pub writer: String,
    pub number: i64,
}

/// Numbers that are recorded in the database for certain: a call with one of these costs no write.
#[derive(Debug, Default)]
pub struct Fences {
    recorded: Mutex<Recorded>,
}

#[derive(Debug, Default)]
struct Recorded {
    by: Option<History>,
    numbers: HashMap<String, i64>,
}

/// A cluster has a handful of writers.
const MAX_WRITERS: usize = 64;

impl Fences {
    fn is_recorded(&self, history: &History, fence: &Fence) -> bool {
        self.of(history).numbers.get(&fence.writer).is_some_and(|number| *number >= fence.number)
    }

    fn remember(&self, history: &History, fence: &Fence) {
        let numbers = &mut self.of(history).numbers;
        if numbers.len() >= MAX_WRITERS {
            numbers.clear();
        }
        let number = numbers.entry(fence.writer.clone()).or_default();
        *number = fence.number.max(*number);
    }

    /// What this history of the database has; another one may have lost it.
    fn of(&self, history: &History) -> MutexGuard<'_, Recorded> {
        let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        if recorded.by.as_ref() != Some(history) {
            *recorded = Recorded { by: Some(history.clone()), numbers: HashMap::new() };
        }
        recorded
    }
}

impl Engine {
    /// Makes the number known to every node before the call begins.
    pub async fn record_fence(&self, fence: &Fence) -> Result<(), Error> {
        let history = self.database.history();
        if history.as_ref().is_some_and(|history| self.fences.is_recorded(history, fence)) {
            return Ok(());
        }
        let mut tx = self.database.nobody().await?;
        writers::record_fence(&mut tx, &fence.writer, fence.number).await?;
        tx.commit().await?;
        if let Some(history) = &history {
            self.fences.remember(history, fence);
        }
        Ok(())
    }
}

/// Refuses a replica that was succeeded. One that comes while the transaction runs waits for its end.
pub(super) async fn require_current(tx: &mut TenantTx, fence: Option<&Fence>) -> Result<(), Error> {
    let Some(fence) = fence else { return Ok(()) };
    match writers::lock_fence(tx, &fence.writer).await? {
        Some(current) if current > fence.number => Err(Error::Stale(format!(
            "this replica of {} was succeeded by another one: its fence is {}, the successor's {current}",
            fence.writer, fence.number
        ))),
        _ => Ok(()),
    }
}
