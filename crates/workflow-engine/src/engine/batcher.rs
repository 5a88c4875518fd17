//! Batches requests of one kind, tenant and epoch: those that arrive while a batch is being written form the next one.
//! A batch costs one transaction and one synced commit. No request waits for others to arrive.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Mutex as Turn, oneshot};

use crate::error::Error;
use crate::tenant_scope::TenantScope;

/// Requests in one transaction.
const MAX_TOGETHER: usize = 1000;

type Waiting<T, R> = (T, oneshot::Sender<Result<R, Error>>);

#[derive(Debug)]
pub(super) struct Batcher<T, R> {
    /// Never removed: some bytes for each tenant and epoch that ever wrote through this process.
    queues: Mutex<HashMap<TenantScope, Arc<Queue<T, R>>>>,
}

#[derive(Debug)]
struct Queue<T, R> {
    waiting: Mutex<Vec<Waiting<T, R>>>,
    turn: Turn<()>,
}

impl<T, R> Default for Batcher<T, R> {
    fn default() -> Self {
        Self { queues: Mutex::default() }
    }
}

impl<T, R> Default for Queue<T, R> {
    fn default() -> Self {
        Self { waiting: Mutex::default(), turn: Turn::default() }
    }
}

impl<T: Send + 'static, R: Send + 'static> Batcher<T, R> {
    /// Returns the answer to this item. `write` gets all waiting items, maybe without this one, and returns one answer
    /// for each, in order. It continues when its caller is dropped, because other callers wait for its answers.
    pub(super) async fn write<F>(
        &self,
        tenant: &TenantScope,
        item: T,
        write: impl FnOnce(Vec<T>) -> F,
    ) -> Result<R, Error>
    where
        F: Future<Output = Vec<Result<R, Error>>> + Send + 'static,
    {
        let queue = Arc::clone(locked(&self.queues).entry(tenant.clone()).or_default());
        let (answer, mut answered) = oneshot::channel();
        locked(&queue.waiting).push((item, answer));
        let answer = tokio::select! {
            biased;
            answer = &mut answered => answer,
            turn = queue.turn.lock() => {
                let (items, answers): (Vec<T>, Vec<_>) = take_together(&queue).into_iter().unzip();
                let written = write(items);
                let writing = tokio::spawn(async move {
                    for (answer, written) in answers.into_iter().zip(written.await) {
                        // The caller may have been dropped.
                        let _ = answer.send(written);
                    }
                });
                // A panic drops the senders of the answers: each caller then gets an error below.
                let _ = writing.await;
                drop(turn);
                answered.await
            }
        };
        answer.unwrap_or_else(|_| Err(Error::Defect("what was to be written together failed".to_owned())))
    }
}

fn take_together<T, R>(queue: &Queue<T, R>) -> Vec<Waiting<T, R>> {
    let mut waiting = locked(&queue.waiting);
    let together = waiting.len().min(MAX_TOGETHER);
    waiting.drain(..together).collect()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
