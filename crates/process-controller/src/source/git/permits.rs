//! How many visits of git servers run at the same time: in all, for a namespace, and for a namespace at one host. So a host that answers
//! slowly delays its own readers only.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Visits at the same time. Each is a thread that waits, mostly.
const AT_ONCE: usize = 64;
/// Of these, for the repositories of one namespace.
const OF_NAMESPACE: usize = 8;
/// Of these, at one host by the readers of one namespace.
const AT_HOST: usize = 4;

/// Permits are taken in the order in which they are asked for.
#[derive(Clone)]
pub(super) struct Permits {
    all: Arc<Semaphore>,
    parts: Arc<Mutex<HashMap<Part, Weak<Semaphore>>>>,
}

/// A namespace, or its readers at one host.
type Part = (String, Option<String>);

/// A permit; it ends when this is dropped.
pub(super) struct Permit {
    _permits: [Option<OwnedSemaphorePermit>; 3],
}

impl Permits {
    pub(super) fn new() -> Self {
        Self { all: Arc::new(Semaphore::new(AT_ONCE)), parts: Arc::default() }
    }

    /// Waits for a permit. The narrow ones come first: a reader that waits for them holds none of those that all share.
    pub(super) async fn take(&self, namespace: &str, host: &str) -> Permit {
        let at_host = self.part(namespace, Some(host), AT_HOST);
        let of_namespace = self.part(namespace, None, OF_NAMESPACE);
        Permit {
            _permits: [
                at_host.acquire_owned().await.ok(),
                of_namespace.acquire_owned().await.ok(),
                self.all.clone().acquire_owned().await.ok(),
            ],
        }
    }

    fn part(&self, namespace: &str, host: Option<&str>, at_once: usize) -> Arc<Semaphore> {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (namespace.to_owned(), host.map(str::to_owned));
        if let Some(found) = parts.get(&key).and_then(Weak::upgrade) {
            return found;
        }
        parts.retain(|_, part| part.strong_count() > 0);
        let part = Arc::new(Semaphore::new(at_once));
        parts.insert(key, Arc::downgrade(&part));
        part
    }
}

#[cfg(test)]
mod tests;
