//! Looks at repositories again and again: one task per repository, whatever the number of processes that come from it.
//!
//! A task lives as long as there are readers. It visits the repository when the first of them is due, for all of them. A reader that
//! changes during a visit is served by the next one. What is new is kept for the reader's pass, which the task requests.

mod task;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api_types::WorkflowProcess;
use controller_kit::controller::Queue;
use kube::Client;
use kube::runtime::reflector::ObjectRef;
use remote_files::git::{Repository, RepositoryUrl, Revision};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::GitSettings;
use super::github_app::Tokens;
use super::permits::Permits;
use crate::source::{Fetched, Reading};

/// Bytes of documents that are kept. One that is dropped is read again when its reader asks for it.
const ROOM: usize = 32 * 1024 * 1024;

/// Whose repository it is. Another namespace, or another Secret, never reads what these credentials opened.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) namespace: String,
    pub(super) url: RepositoryUrl,
    pub(super) secret: Option<String>,
}

/// A process, and what it wants of a repository.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reader {
    pub(super) uid: String,
    pub(super) object: ObjectRef<WorkflowProcess>,
    pub(super) revision: Revision,
    pub(super) path: String,
    pub(super) interval: Duration,
    /// Value of the annotation that asks for a look now.
    pub(super) requested_at: Option<String>,
}

/// All repositories. Cheap to clone.
#[derive(Clone)]
pub(super) struct Repositories {
    client: Client,
    settings: GitSettings,
    queue: Queue<WorkflowProcess>,
    permits: Permits,
    tokens: Tokens,
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    watched: HashMap<Key, Watched>,
    /// Which repository a reader reads.
    keys: HashMap<String, Key>,
}

/// One repository with its task.
struct Watched {
    /// By uid.
    readers: BTreeMap<String, Served>,
    wake: Arc<Notify>,
    task: AbortHandle,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A reader and what was read for it.
struct Served {
    reader: Reader,
    due: Instant,
    /// Visits in a row that gave it nothing, as long as it has nothing.
    failures: u32,
    /// `None`: nothing has come yet.
    reading: Option<Reading>,
}

impl Repositories {
    pub(super) fn new(
        client: Client,
        settings: GitSettings,
        queue: Queue<WorkflowProcess>,
        tokens: Tokens,
    ) -> Self {
        Self { client, settings, queue, permits: Permits::new(), tokens, known: Arc::default() }
    }

    /// What was read last for this reader. One that is new, or wants something else, is due now.
    pub(super) fn read(&self, key: Key, reader: Reader) -> Reading {
        let mut known = self.lock();
        if known.keys.get(&reader.uid).is_some_and(|former| *former != key) {
            self.remove(&mut known, &reader.uid);
        }
        known.keys.insert(reader.uid.clone(), key.clone());
        let watched = known.watched.entry(key).or_insert_with_key(|key| {
            let wake: Arc<Notify> = Arc::default();
            let task = tokio::spawn(task::run(self.clone(), key.clone(), wake.clone())).abort_handle();
            Watched { readers: BTreeMap::new(), wake, task }
        });
        let former = watched.readers.remove(&reader.uid);
        let served = match former {
            Some(served) if served.reader == reader => served,
            former => {
                watched.wake.notify_one();
                let reading = former.filter(|former| former.reader.wants_same(&reader));
                let reading = reading.and_then(|former| former.reading);
                Served { reader, due: Instant::now(), failures: 0, reading }
            }
        };
        let reading = served.reading.clone();
        if reading.is_none() {
            // Its document was dropped, and it is due at once.
            watched.wake.notify_one();
        }
        watched.readers.insert(served.reader.uid.clone(), served);
        reading.unwrap_or_else(|| Fetched::Pending.into())
    }

    /// The object goes, or reads no repository any more.
    pub(super) fn forget(&self, uid: &str) {
        self.remove(&mut self.lock(), uid);
    }

    /// Forgets every reader but these.
    pub(super) fn retain(&self, processes: &[Arc<WorkflowProcess>]) {
        let present: HashSet<&str> =
            processes.iter().filter_map(|process| process.metadata.uid.as_deref()).collect();
        let mut known = self.lock();
        let gone: Vec<String> =
            known.keys.keys().filter(|uid| !present.contains(uid.as_str())).cloned().collect();
        for uid in gone {
            self.remove(&mut known, &uid);
        }
    }

    /// What was fetched goes with the last reader.
    fn remove(&self, known: &mut Known, uid: &str) {
        if let Some(key) = known.remove(uid) {
            let repository = self.repository(&key);
            tokio::task::spawn_blocking(move || repository.forget());
        }
    }

    fn repository(&self, key: &Key) -> Repository {
        Repository::new(key.url.clone(), task::folder_of(key), self.settings.store.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader {
    /// Only the interval or the requested look differs: what was read is still what it wants.
    fn wants_same(&self, other: &Self) -> bool {
        self.revision == other.revision && self.path == other.path
    }
}

impl Known {
    /// The task ends with its last reader; the repository, if that was it.
    fn remove(&mut self, uid: &str) -> Option<Key> {
        let key = self.keys.remove(uid)?;
        let watched = self.watched.get_mut(&key)?;
        watched.readers.remove(uid);
        if !watched.readers.is_empty() {
            return None;
        }
        self.watched.remove(&key);
        Some(key)
    }

    /// Drops documents of others until all of them fit.
    fn make_room(&mut self, newest: &Key) {
        let mut used: usize =
            self.watched.values().flat_map(|watched| watched.readers.values()).map(size_of).sum();
        for (key, watched) in &mut self.watched {
            for served in watched.readers.values_mut() {
                if used > ROOM && key != newest && size_of(served) > 0 {
                    used -= size_of(served);
                    served.reading = None;
                    served.due = Instant::now();
                }
            }
        }
    }
}

fn size_of(served: &Served) -> usize {
    match &served.reading {
        Some(Reading { latest: Fetched::Document { bytes, .. }, .. }) => bytes.len(),
        _ => 0,
    }
}
