//! Fencing: only one replica of a controller may write. Its calls carry a number that grows with every change of the
//! writing replica (`workflow-writer` and `workflow-fence` in the call's metadata). Calls with a smaller number than
//! the recorded one are refused.
//!
//! Every call records its number, reads too: so a former replica cannot change any more what the current one has read.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Engine;
use crate::database::{History, TenantTx};
use crate::error::Error;
use crate::storage::writers;

/// Name of a controller, and the fencing number of its calling replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    pub writer: String,
    pub number: i64,
}

/// Cache of the numbers that are recorded in the database: a call with one of them needs no write.
#[derive(Debug, Default)]
pub struct Fences {
    recorded: Mutex<Recorded>,
}

#[derive(Debug, Default)]
struct Recorded {
    by: Option<History>,
    numbers: HashMap<String, i64>,
}

/// Far more writers than a cluster has.
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

    /// The numbers of this history; those of another one are dropped, since this one may have lost them.
    fn of(&self, history: &History) -> MutexGuard<'_, Recorded> {
        let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        if recorded.by.as_ref() != Some(history) {
            *recorded = Recorded { by: Some(history.clone()), numbers: HashMap::new() };
        }
        recorded
    }
}

impl Engine {
    /// Records the number, for all nodes, before the call begins.
    pub async fn record_fence(&self, fence: &Fence) -> Result<(), Error> {
        let history = self.database.history();
        if history.as_ref().is_some_and(|history| self.fences.is_recorded(history, fence)) {
            return Ok(());
        }
        let mut tx = self.database.cluster().await?;
        writers::record_fence(&mut tx, &fence.writer, fence.number).await?;
        tx.commit().await?;
        if let Some(history) = &history {
            self.fences.remember(history, fence);
        }
        Ok(())
    }
}

/// Refuses a former replica. A new replica's first call waits until this transaction ends.
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
