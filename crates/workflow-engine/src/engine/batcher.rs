//! Requests of one kind, tenant and epoch that come while one of them is being written are written together next: each
//! costs a transaction and a synced commit, and under load most share one. A request does not wait for others to come.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Mutex as Turn, oneshot};

use crate::error::Error;
use crate::tenant_scope::TenantScope;

/// Together in one transaction.
const MAX_TOGETHER: usize = 1000;

type Waiting<T, R> = (T, oneshot::Sender<Result<R, Error>>);

#[derive(Debug)]
pub(super) struct Batcher<T, R> {
    /// Some bytes for each tenant, and each of its epochs, that ever wrote through this process.
    lines: Mutex<HashMap<TenantScope, Arc<Line<T, R>>>>,
}

#[derive(Debug)]
struct Line<T, R> {
    waiting: Mutex<Vec<Waiting<T, R>>>,
    turn: Turn<()>,
}

impl<T, R> Default for Batcher<T, R> {
    fn default() -> Self {
        Self { lines: Mutex::default() }
    }
}

impl<T, R> Default for Line<T, R> {
    fn default() -> Self {
        Self { waiting: Mutex::default(), turn: Turn::default() }
    }
}

impl<T: Send + 'static, R: Send + 'static> Batcher<T, R> {
    /// The answer to this item. `write` gets what waits, this item or others, and gives one answer for each in order. It
    /// goes on when its caller does not: the others wait for it.
    pub(super) async fn write<F>(
        &self,
        tenant: &TenantScope,
        item: T,
        write: impl FnOnce(Vec<T>) -> F,
    ) -> Result<R, Error>
    where
        F: Future<Output = Vec<Result<R, Error>>> + Send + 'static,
    {
        let line = Arc::clone(locked(&self.lines).entry(tenant.clone()).or_default());
        let (answer, mut answered) = oneshot::channel();
        locked(&line.waiting).push((item, answer));
        let answer = tokio::select! {
            biased;
            answer = &mut answered => answer,
            turn = line.turn.lock() => {
                let (items, answers): (Vec<T>, Vec<_>) = take_together(&line).into_iter().unzip();
                let written = write(items);
                let writing = tokio::spawn(async move {
                    for (answer, written) in answers.into_iter().zip(written.await) {
                        // The caller may be gone.
                        let _ = answer.send(written);
                    }
                });
                // A panic is reported by the answers that it dropped.
                let _ = writing.await;
                drop(turn);
                answered.await
            }
        };
        answer.unwrap_or_else(|_| Err(Error::Defect("what was to be written together failed".to_owned())))
    }
}

fn take_together<T, R>(line: &Line<T, R>) -> Vec<Waiting<T, R>> {
    let mut waiting = locked(&line.waiting);
    let together = waiting.len().min(MAX_TOGETHER);
    waiting.drain(..together).collect()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
