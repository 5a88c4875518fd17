//! Sources that take long: fetched by tasks beside the passes, one per object at a time.
//!
//! A pass is given what is there, or [`Fetched::Pending`]; the task asks for another pass when it is done. A document is kept
//! until the spec changes or the object goes, and only while there is room for it. A failure is given out once: the pass that
//! gets it fails and is repeated with the queue's backoff, and that pass fetches anew.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api_types::WorkflowProcess;
use controller_kit::controller::Queue;
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
    state: State,
}

enum State {
    Running(AbortHandle),
    Done(Fetched),
}

impl Drop for Fetch {
    fn drop(&mut self) {
        if let State::Running(task) = &self.state {
            task.abort();
        }
    }
}

impl Fetches {
    /// `queue` is asked for a pass when a fetch ends.
    #[must_use]
    pub fn new(queue: Queue<WorkflowProcess>) -> Self {
        Self { queue, permits: Arc::new(Semaphore::new(AT_ONCE)), known: Arc::default() }
    }

    /// What `source` gave for this generation of the object, or the beginning of a fetch.
    pub fn get_or_begin(
        &self,
        source: &'static dyn Source,
        client: &Client,
        process: &WorkflowProcess,
    ) -> Fetched {
        let uid = process.uid().unwrap_or_default();
        let generation = process.metadata.generation;
        let mut known = self.lock();
        if let Some(fetch) = known.get(&uid).filter(|fetch| fetch.generation == generation) {
            match &fetch.state {
                State::Running(_) => return Fetched::Pending,
                State::Done(Fetched::Bytes(bytes)) => return Fetched::Bytes(bytes.clone()),
                State::Done(_) => {}
            }
            if let Some(State::Done(fetched)) = known.remove(&uid).map(|mut fetch| take(&mut fetch)) {
                return fetched;
            }
        }
        let task = tokio::spawn(self.clone().run(source, client.clone(), process.clone()));
        known.insert(uid, Fetch { generation, state: State::Running(task.abort_handle()) });
        Fetched::Pending
    }

    /// The object goes: what is being fetched for it is given up.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    async fn run(self, source: &'static dyn Source, client: Client, process: WorkflowProcess) {
        let Ok(_permit) = self.permits.acquire().await else { return };
        let fetched = source.fetch(&client, &process).await;
        self.keep(&process, fetched);
        self.queue.push(ObjectRef::from_obj(&process));
    }

    fn keep(&self, process: &WorkflowProcess, fetched: Fetched) {
        let mut known = self.lock();
        let uid = process.uid().unwrap_or_default();
        // Another generation has taken its place, or the object is gone.
        let is_wanted = |fetch: &&mut Fetch| fetch.generation == process.metadata.generation;
        let Some(fetch) = known.get_mut(&uid).filter(is_wanted) else { return };
        fetch.state = State::Done(fetched);
        make_room(&mut known, &uid);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Fetch>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn take(fetch: &mut Fetch) -> State {
    std::mem::replace(&mut fetch.state, State::Done(Fetched::Pending))
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
    match &fetch.state {
        State::Done(Fetched::Bytes(bytes)) => bytes.len(),
        State::Done(_) | State::Running(_) => 0,
    }
}

#[cfg(test)]
mod tests;
