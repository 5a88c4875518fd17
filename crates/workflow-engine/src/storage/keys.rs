//! Keys of definitions, instances, jobs and incidents: unique in the whole cluster, and mostly assigned without a round
//! trip.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::database::{History, TenantTx};

/// Partition 1 of 1: keys are `(partition << 51) | counter`.
const PARTITION_BITS: i64 = 1 << 51;
/// Keys of one block. A crash wastes at most one block of 2^51 keys.
const BLOCK: usize = 1 << BLOCK_BITS;
const BLOCK_BITS: u32 = 10;

/// Unused keys of the blocks that this process took from the database's sequence. They are valid in one history of the
/// database: in another the sequence may give them to another process.
#[derive(Debug, Default)]
pub struct Keys {
    drawn: Mutex<Drawn>,
}

#[derive(Debug, Default)]
struct Drawn {
    from: Option<History>,
    free: Vec<Range<i64>>,
}

impl Keys {
    pub async fn take(&self, tx: &mut TenantTx, count: usize) -> Result<Vec<i64>, sqlx::Error> {
        let mut taken = self.of(tx.history()).take_free(count);
        while taken.len() < count {
            let missing = (count - taken.len()).div_ceil(BLOCK);
            let blocks: Vec<i64> =
                sqlx::query_scalar("SELECT nextval('workflow.key_block') FROM generate_series(1, $1)")
                    .bind(i64::try_from(missing).unwrap_or(i64::MAX))
                    .fetch_all(tx.connection())
                    .await?;
            let mut drawn = self.of(tx.history());
            drawn.add(blocks);
            taken.extend(drawn.take_free(count - taken.len()));
        }
        Ok(taken)
    }

    /// Drops the unused keys. Called after a key collision: other keys of the block may be in use too.
    pub fn forget(&self) {
        self.drawn.lock().unwrap_or_else(PoisonError::into_inner).free.clear();
    }

    /// The keys of this history; those of another one are dropped.
    fn of(&self, history: &History) -> MutexGuard<'_, Drawn> {
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        if drawn.from.as_ref() != Some(history) {
            *drawn = Drawn { from: Some(history.clone()), free: Vec::new() };
        }
        drawn
    }
}

impl Drawn {
    fn add(&mut self, blocks: Vec<i64>) {
        self.free.extend(blocks.into_iter().map(|block| {
            let first = PARTITION_BITS | (block << BLOCK_BITS);
            first..first + (1 << BLOCK_BITS)
        }));
    }

    fn take_free(&mut self, count: usize) -> Vec<i64> {
        let mut taken = Vec::with_capacity(count);
        while let Some(range) = self.free.last_mut() {
            taken.extend(range.by_ref().take(count - taken.len()));
            if taken.len() == count {
                break;
            }
            self.free.pop();
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_carry_the_partition_and_never_repeat() {
        let mut keys = Drawn::default();
        keys.add(vec![1, 2]);
        let mut taken = keys.take_free(1500);
        assert_eq!((taken.len(), taken.iter().all(|key| key >> 51 == 1)), (1500, true));
        taken.extend(keys.take_free(10_000));
        assert_eq!(taken.len(), 2048);
        taken.sort_unstable();
        taken.dedup();
        assert_eq!(taken.len(), 2048);
    }
}
