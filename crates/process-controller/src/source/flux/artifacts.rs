//! Downloads of artifacts, by tasks beside the passes: one per process, and one download for all that read from the same artifact.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use api_types::WorkflowProcess;
use api_types::process::{FluxRef, ProcessReason as Reason};
use bytes::Bytes;
use controller_kit::controller::Queue;
use controller_kit::outcome::{ErrorClass, Next};
use controller_kit::problem::Problem;
use kube::runtime::reflector::ObjectRef;
use remote_files::archive::{download, read_file};
use remote_files::network::AddressPolicy;
use remote_files::{Error, ErrorKind};
use tokio::sync::{OnceCell, Semaphore};
use tokio::task::AbortHandle;
use url::Url;

use super::FluxSettings;
use super::kinds::Artifact;
use crate::source::reason::problem_of;
use crate::source::{Fetched, ReadFailure, Reading};

/// Downloads at the same time.
const AT_ONCE: usize = 8;
/// An archive is kept so long after the last process has read from it: those that are applied together share it.
const KEPT_FOR: Duration = Duration::from_secs(10);

/// What a process wants.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) uid: String,
    pub(super) object: ObjectRef<WorkflowProcess>,
    pub(super) reference: FluxRef,
    /// What the Flux source has now.
    pub(super) artifact: Artifact,
}

/// All downloads. Cheap to clone.
#[derive(Clone)]
pub(super) struct Artifacts {
    settings: Arc<FluxSettings>,
    queue: Queue<WorkflowProcess>,
    permits: Arc<Semaphore>,
    known: Arc<Mutex<HashMap<String, Served>>>,
    archives: Arc<Mutex<HashMap<Artifact, Weak<Archive>>>>,
}

type Archive = OnceCell<Bytes>;

/// Bytes of documents that are kept. One that is dropped is read again when its process asks for it.
const ROOM: usize = 32 * 1024 * 1024;

/// A process and what was read for it.
struct Served {
    reference: FluxRef,
    artifact: Artifact,
    task: AbortHandle,
    /// `None`: nothing has come yet.
    reading: Option<Reading>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Served {
    fn is_of(&self, wanted: &Wanted) -> bool {
        self.reference == wanted.reference && self.artifact == wanted.artifact
    }
}

impl Artifacts {
    pub(super) fn new(settings: FluxSettings, queue: Queue<WorkflowProcess>) -> Self {
        Self {
            settings: Arc::new(settings),
            queue,
            permits: Arc::new(Semaphore::new(AT_ONCE)),
            known: Arc::default(),
            archives: Arc::default(),
        }
    }

    /// What was read for this process; a new artifact is begun to be read, and what was read before is given until it is there.
    pub(super) fn read(&self, wanted: Wanted) -> Reading {
        let mut known = self.lock();
        let former = known.remove(&wanted.uid);
        let served = match former {
            Some(served) if served.is_of(&wanted) => served,
            former => {
                // Of the same file in a former artifact.
                let reading = former.filter(|former| former.reference == wanted.reference);
                let reading = reading.and_then(|mut former| former.reading.take());
                let task = tokio::spawn(self.clone().run(wanted.clone())).abort_handle();
                Served { reference: wanted.reference, artifact: wanted.artifact, task, reading }
            }
        };
        let reading = served.reading.clone();
        known.insert(wanted.uid, served);
        reading.unwrap_or_else(|| Fetched::Pending.into())
    }

    /// The Flux source has no artifact now, or could not be read: what was read before stays.
    pub(super) fn fail(&self, uid: &str, reference: &FluxRef, problem: Problem<Reason>) -> Reading {
        let known = self.lock();
        let former = known.get(uid).filter(|served| served.reference == *reference);
        let former = former.and_then(|served| served.reading.as_ref());
        if problem.class == ErrorClass::Transient {
            // The API server is away: that says nothing about the source.
            return former.cloned().unwrap_or_else(|| Fetched::Unread(problem).into());
        }
        let latest = match former.map(|reading| &reading.latest) {
            Some(document @ Fetched::Document { .. }) => document.clone(),
            _ => Fetched::Unread(problem.clone()),
        };
        Reading { latest, failure: Some(ReadFailure { problem, revision: None }) }
    }

    pub(super) fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    pub(super) fn retain(&self, processes: &[Arc<WorkflowProcess>]) {
        let present: HashSet<&str> =
            processes.iter().filter_map(|process| process.metadata.uid.as_deref()).collect();
        self.lock().retain(|uid, _| present.contains(uid.as_str()));
        self.archives
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, kept| kept.strong_count() > 0);
    }

    /// Reads until it succeeds, after growing pauses. Another artifact ends it.
    async fn run(self, wanted: Wanted) {
        for failures in 1.. {
            let (read, archive) = self.fetch(&wanted).await;
            let is_done = read.is_ok();
            if self.keep(&wanted, read) {
                self.queue.push(wanted.object.clone());
            }
            if is_done {
                tokio::time::sleep(KEPT_FOR).await;
                drop(archive);
                return;
            }
            let pause = Next::Failed(ErrorClass::Transient).delay(failures, rand::random());
            tokio::time::sleep(pause.unwrap_or(KEPT_FOR)).await;
        }
    }

    async fn fetch(&self, wanted: &Wanted) -> (Result<Arc<[u8]>, Error>, Option<Arc<Archive>>) {
        let archive = self.archive(&wanted.artifact);
        let bytes = archive.get_or_try_init(|| self.download(&wanted.artifact)).await.cloned();
        match bytes {
            Ok(bytes) => {
                let read =
                    read_file(bytes, wanted.reference.path.clone(), self.settings.budget.clone()).await;
                (read, Some(archive))
            }
            Err(error) => (Err(error), None),
        }
    }

    async fn download(&self, artifact: &Artifact) -> Result<Bytes, Error> {
        let refused = |message: &str| Error::new(ErrorKind::AddressRefused, message);
        let url = Url::parse(&artifact.url).map_err(|_| refused("the URL of the artifact is none"))?;
        let host = url.host_str().unwrap_or_default().trim_end_matches('.');
        if !matches!(url.scheme(), "http" | "https")
            || !self.settings.hosts.iter().any(|allowed| allowed == host)
        {
            return Err(refused(
                "the artifact is at a host that is none of Flux; have a cluster admin add it to global.flux.artifactHosts",
            ));
        }
        let _permit = self.permits.acquire().await;
        // The host is one that the installation names.
        let anywhere = ["0.0.0.0/0", "::/0"].iter().filter_map(|range| range.parse().ok()).collect();
        let policy = AddressPolicy { allowed: anywhere, denied: Vec::new() };
        download(&url, &artifact.sha256, &policy, &self.settings.budget).await
    }

    fn archive(&self, artifact: &Artifact) -> Arc<Archive> {
        let mut archives = self.archives.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = archives.get(artifact).and_then(Weak::upgrade) {
            return found;
        }
        archives.retain(|_, kept| kept.strong_count() > 0);
        let archive: Arc<Archive> = Arc::default();
        archives.insert(artifact.clone(), Arc::downgrade(&archive));
        archive
    }

    /// Is it something new?
    fn keep(&self, wanted: &Wanted, read: Result<Arc<[u8]>, Error>) -> bool {
        let mut known = self.lock();
        let Some(served) = known.get_mut(&wanted.uid).filter(|served| served.is_of(wanted)) else {
            return false;
        };
        let former = served.reading.take();
        let reading = match read {
            Ok(bytes) => Fetched::Document { bytes, revision: Some(wanted.artifact.revision.clone()) }.into(),
            Err(error) => {
                let problem = problem_of(&error);
                let message =
                    format!("{} in {}: {}", wanted.reference.path, wanted.artifact.revision, problem.message);
                let problem = Problem { message, ..problem };
                let latest = match &former {
                    Some(Reading { latest: document @ Fetched::Document { .. }, .. }) => document.clone(),
                    _ => Fetched::Unread(problem.clone()),
                };
                Reading {
                    latest,
                    failure: Some(ReadFailure { problem, revision: Some(wanted.artifact.revision.clone()) }),
                }
            }
        };
        let is_new = former.as_ref() != Some(&reading);
        served.reading = Some(reading);
        make_room(&mut known, &wanted.uid);
        is_new
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Served>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Drops documents of others until all of them fit.
fn make_room(known: &mut HashMap<String, Served>, newest: &str) {
    let mut used: usize = known.values().map(size_of).sum();
    known.retain(|uid, served| {
        let size = size_of(served);
        let is_kept = used <= ROOM || size == 0 || uid == newest;
        if !is_kept {
            used -= size;
        }
        is_kept
    });
}

fn size_of(served: &Served) -> usize {
    match &served.reading {
        Some(Reading { latest: Fetched::Document { bytes, .. }, .. }) => bytes.len(),
        _ => 0,
    }
}
