//! Answers of the Kubernetes API kept for a short while, asked for once however many requests wait for them.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Mutex as AsyncMutex, time::Instant};

/// An entry that nobody asked for in this time is dropped first, and not refreshed any more. Four sync periods of
/// the autoscaler.
const IDLE: Duration = Duration::from_mins(1);

pub(super) struct ReviewCache<K, V> {
    capacity: usize,
    entries: Mutex<HashMap<K, Entry<V>>>,
}

struct Entry<V> {
    slot: Slot<V>,
    used: Instant,
}

type Slot<V> = Arc<AsyncMutex<Option<Answer<V>>>>;

/// An answer and how long it holds from the moment it was asked for.
#[derive(Clone)]
pub(super) struct Answer<V> {
    pub value: V,
    pub asked: Instant,
    pub holds: Duration,
}

impl<K: Clone + Eq + Hash, V: Clone> ReviewCache<K, V> {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, entries: Mutex::default() }
    }

    /// The kept answer, or what `ask` gives. Those who come while somebody asks wait for the same answer.
    pub(super) async fn get_or_ask(&self, key: &K, ask: impl Future<Output = Answer<V>>) -> V {
        self.answer_or_ask(key, ask).await.value
    }

    /// The same, with how long it holds.
    pub(super) async fn answer_or_ask(&self, key: &K, ask: impl Future<Output = Answer<V>>) -> Answer<V> {
        let slot = self.slot(key);
        let mut answer = slot.lock().await;
        match &*answer {
            Some(kept) if kept.asked.elapsed() < kept.holds => kept.clone(),
            _ => {
                let fresh = ask.await;
                *answer = Some(fresh.clone());
                fresh
            }
        }
    }

    /// Whether the key was asked for lately, whatever the answer.
    pub(super) fn contains(&self, key: &K) -> bool {
        self.lock().get(key).is_some_and(|entry| entry.used.elapsed() < IDLE)
    }

    /// Keys still in use whose answer was asked for at least `age` ago.
    pub(super) fn aging(&self, age: Duration) -> Vec<K> {
        let mut entries = self.lock();
        entries.retain(|_, entry| entry.used.elapsed() < IDLE);
        entries
            .iter()
            .filter(|(_, entry)| {
                entry
                    .slot
                    .try_lock()
                    .is_ok_and(|answer| answer.as_ref().is_some_and(|a| a.asked.elapsed() >= age))
            })
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// Replaces the answer of a key that is still there.
    pub(super) async fn replace(&self, key: &K, answer: Answer<V>) {
        let slot = self.lock().get(key).map(|entry| entry.slot.clone());
        if let Some(slot) = slot {
            *slot.lock().await = Some(answer);
        }
    }

    fn slot(&self, key: &K) -> Slot<V> {
        let now = Instant::now();
        let mut entries = self.lock();
        if let Some(entry) = entries.get_mut(key) {
            entry.used = now;
            return entry.slot.clone();
        }
        if entries.len() >= self.capacity {
            entries.retain(|_, entry| entry.used.elapsed() < IDLE);
        }
        if entries.len() >= self.capacity
            && let Some(oldest) =
                entries.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone())
        {
            entries.remove(&oldest);
        }
        let slot = Slot::default();
        entries.insert(key.clone(), Entry { slot: slot.clone(), used: now });
        slot
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<K, Entry<V>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
