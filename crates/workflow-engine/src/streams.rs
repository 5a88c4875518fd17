//! The two kinds of server stream: new jobs, and changes of job lag.

pub mod jobs;
pub mod lags;
pub mod waiting;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;

/// Which stream of this process each job was sent on, so that finishing the job makes room for another one at once.
/// Jobs that are finished through another replica are found by a query.
#[derive(Debug, Default)]
pub struct InFlight {
    streams: Mutex<HashMap<i64, Weak<Load>>>,
}

/// Notifications of one stream about its finished jobs.
#[derive(Debug, Default)]
pub struct Load {
    finished: Mutex<Vec<i64>>,
    changed: Notify,
}

impl Load {
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    pub fn take_finished(&self) -> Vec<i64> {
        std::mem::take(&mut *self.finished.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl InFlight {
    pub fn sent(&self, load: &Arc<Load>, keys: impl IntoIterator<Item = i64>) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.extend(keys.into_iter().map(|key| (key, Arc::downgrade(load))));
    }

    /// Call it for jobs that were completed, failed or canceled, or whose stream ended.
    pub fn finished(&self, keys: impl IntoIterator<Item = i64>) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            if let Some(load) = streams.remove(&key).and_then(|load| load.upgrade()) {
                load.finished.lock().unwrap_or_else(PoisonError::into_inner).push(key);
                load.changed.notify_one();
            }
        }
    }
}
