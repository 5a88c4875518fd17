//! Keys of definitions, instances, jobs and incidents: unique in the whole cluster, handed out without a round trip.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use crate::database::TenantTx;

/// Partition 1 of 1: keys are `(partition << 51) | counter`.
const PARTITION_BITS: i64 = 1 << 51;
/// A crash wastes at most this many of 2^51 keys.
const BLOCK: usize = 1 << BLOCK_BITS;
const BLOCK_BITS: u32 = 10;

/// The rest of the blocks that this process drew from the database's sequence.
#[derive(Debug, Default)]
pub struct Keys {
    free: Mutex<Vec<Range<i64>>>,
}

impl Keys {
    pub async fn take(&self, tx: &mut TenantTx, count: usize) -> Result<Vec<i64>, sqlx::Error> {
        let mut taken = self.take_free(count);
        while taken.len() < count {
            let missing = (count - taken.len()).div_ceil(BLOCK);
            let blocks: Vec<i64> =
                sqlx::query_scalar("SELECT nextval('workflow.key_block') FROM generate_series(1, $1)")
                    .bind(i64::try_from(missing).unwrap_or(i64::MAX))
                    .fetch_all(tx.connection())
                    .await?;
            self.add(blocks);
            taken.extend(self.take_free(count - taken.len()));
        }
        Ok(taken)
    }

    fn add(&self, blocks: Vec<i64>) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.extend(blocks.into_iter().map(|block| {
            let first = PARTITION_BITS | (block << BLOCK_BITS);
            first..first + (1 << BLOCK_BITS)
        }));
    }

    fn take_free(&self, count: usize) -> Vec<i64> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = Vec::with_capacity(count);
        while let Some(range) = free.last_mut() {
            taken.extend(range.by_ref().take(count - taken.len()));
            if taken.len() == count {
                break;
            }
            free.pop();
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_carry_the_partition_and_never_repeat() {
        let keys = Keys::default();
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
