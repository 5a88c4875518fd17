//! Sources that take long: fetched by tasks beside the passes, one per object.
//!
//! A pass is given what is there, or [`Fetched::Pending`]; the task asks for another pass when that changes. A document is
//! fetched once per spec. It is kept until the spec changes or the object goes, and only while there is room for it. A fetch
//! that fails is repeated by its task after growing pauses; until it succeeds, passes are given the failure.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api_types::WorkflowProcess;
use controller_kit::controller::Queue;
use controller_kit::outcome::{ErrorClass, Next};
use kube::runtime::reflector::ObjectRef;
use kube::{Client, ResourceExt as _};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use super::{Fetched, Source};

/// Fetches at the same time, of all objects.
const AT_ONCE: usize = 4;
/// Bytes of documents that are kept. What is dropped is fetched again when it is asked for.
const ROOM: usize = 64 * 1024 * 1024;

/// The fetches of one controller. Cheap to clone.
#[derive(Clone)]
pub struct Fetches {
    queue: Queue<WorkflowProcess>,
    permits: Arc<Semaphore>,
    known: Arc<Mutex<HashMap<String, Fetch>>>,
}

/// The fetch of one object, by its uid.
struct Fetch {
    /// Of the spec that it is for.
    generation: Option<i64>,
    task: AbortHandle,
    /// `None`: nothing has come yet.
    latest: Option<Fetched>,
}

impl Drop for Fetch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fetches {
    /// `queue` is asked for a pass when a fetch gives something new.
    #[must_use]
    pub fn new(queue: Queue<WorkflowProcess>) -> Self {
        Self { queue, permits: Arc::new(Semaphore::new(AT_ONCE)), known: Arc::default() }
    }

    /// What `source` gave for this generation of the object, or the beginning of a fetch.
    pub fn get_or_begin(
        &self,
        source: &Arc<dyn Source>,
        client: &Client,
        process: &WorkflowProcess,
    ) -> Fetched {
        let uid = process.uid().unwrap_or_default();
        let generation = process.metadata.generation;
        let mut known = self.lock();
        if let Some(fetch) = known.get(&uid).filter(|fetch| fetch.generation == generation) {
            return fetch.latest.clone().unwrap_or(Fetched::Pending);
        }
        let task = tokio::spawn(self.clone().run(source.clone(), client.clone(), process.clone()));
        known.insert(uid, Fetch { generation, task: task.abort_handle(), latest: None });
        Fetched::Pending
    }

    /// The object goes, or its spec names no slow source any more: what is being fetched for it is given up.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    /// Forgets every object but these.
    pub fn retain(&self, processes: &[Arc<WorkflowProcess>]) {
        let present: HashSet<_> =
            processes.iter().filter_map(|process| process.metadata.uid.as_deref()).collect();
        self.lock().retain(|uid, _| present.contains(uid.as_str()));
    }

    async fn run(self, source: Arc<dyn Source>, client: Client, process: WorkflowProcess) {
        for failures in 1.. {
            let fetched = {
                let Ok(_permit) = self.permits.acquire().await else { return };
                source.read(&client, &process).await.latest
            };
            let pause = pause_after(&fetched, failures);
            if self.keep(&process, fetched) {
                self.queue.push(ObjectRef::from_obj(&process));
            }
            let Some(pause) = pause else { return };
            tokio::time::sleep(pause).await;
        }
    }

    /// Is it something new?
    fn keep(&self, process: &WorkflowProcess, fetched: Fetched) -> bool {
        let mut known = self.lock();
        let uid = process.uid().unwrap_or_default();
        // Another generation has taken its place, or the object is gone.
        let is_wanted = |fetch: &&mut Fetch| fetch.generation == process.metadata.generation;
        let Some(fetch) = known.get_mut(&uid).filter(is_wanted) else { return false };
        let is_new = fetch.latest.as_ref() != Some(&fetched);
        fetch.latest = Some(fetched);
        make_room(&mut known, &uid);
        is_new
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Fetch>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Time to the next attempt; `None`: only another spec can change the answer. What is missing may appear, and no watch shows
/// it. Without jitter: the permits keep many objects of one dead server from coming back as one wave.
fn pause_after(fetched: &Fetched, failures: u32) -> Option<Duration> {
    match fetched {
        Fetched::Unread(problem) => Next::Failed(problem.class).delay(failures, 1.0),
        Fetched::Missing(_) => Next::Failed(ErrorClass::Transient).delay(failures, 1.0),
        Fetched::Document { .. } | Fetched::Pending => None,
    }
}

/// Drops documents of others until all of them fit.
fn make_room(known: &mut HashMap<String, Fetch>, newest: &str) {
    let mut used: usize = known.values().map(size_of).sum();
    known.retain(|uid, fetch| {
        let size = size_of(fetch);
        let is_kept = used <= ROOM || size == 0 || uid == newest;
        if !is_kept {
            used -= size;
        }
        is_kept
    });
}

fn size_of(fetch: &Fetch) -> usize {
    match &fetch.latest {
        Some(Fetched::Document { bytes, .. }) => bytes.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
