//! A repository as its readers see it: files of revisions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gix_hash::ObjectId;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::remote::{Ask, Remote};
use super::revision::Revision;
use super::store::Store;
use super::transport::Authorization;
use super::tree::{Found, find_file};
use super::url::RepositoryUrl;
use crate::contained::contain;
use crate::network::{AddressPolicy, Endpoint, TrustedCertificates};
use crate::{Error, ErrorKind};

/// What one visit to a server may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Bytes of greeting and refs.
    pub refs_bytes: u64,
    /// Bytes of one pack.
    pub pack_bytes: u64,
    /// Objects of one pack.
    pub objects: u32,
    /// Bytes of one object.
    pub object_bytes: usize,
    /// Bytes of all objects of a pack together.
    pub unpacked_bytes: usize,
    /// Bytes of an object together with those that it is built from by deltas. They are in memory at the same time.
    pub chain_bytes: usize,
    /// Bytes of a file that is asked for.
    pub file_bytes: usize,
    /// Time of the whole visit.
    pub time: Duration,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            refs_bytes: 4 << 20,
            pack_bytes: 50 << 20,
            objects: 100_000,
            object_bytes: 16 << 20,
            unpacked_bytes: 256 << 20,
            chain_bytes: 64 << 20,
            file_bytes: 1 << 20,
            time: Duration::from_mins(1),
        }
    }
}

/// How a server is called.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Sent with every request.
    pub authorization: Option<Authorization>,
    /// Whose certificates are trusted.
    pub trust: TrustedCertificates,
    /// Which addresses may be called.
    pub policy: AddressPolicy,
}

/// A file of a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    /// Of which commit.
    pub revision: Revision,
    /// Relative to the root of the repository.
    pub path: String,
    /// What was read last; it is not read again while the revision means the same commit.
    pub known: Option<File>,
}

/// A file as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// The commit, in hexadecimal digits.
    pub commit: String,
    /// Its content.
    pub bytes: Arc<[u8]>,
}

/// What became of a [`Want`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The commit that the revision means, as far as it is known.
    pub commit: Option<String>,
    /// The file.
    pub file: Result<File, Error>,
}

/// A repository on a server, with its part of the [`Store`]. One visit at a time.
#[derive(Clone, Debug)]
pub struct Repository {
    url: RepositoryUrl,
    /// Name of its folder in the store, which no other repository uses.
    folder: String,
    store: Store,
}

impl Repository {
    /// `folder` is one path component. Repositories with different credentials need different folders.
    #[must_use]
    pub fn new(url: RepositoryUrl, folder: String, store: Store) -> Self {
        Self { url, folder, store }
    }

    /// Visits the server: lists its refs, fetches what is new, and reads the files. One outcome per want, in their order.
    pub async fn read(&self, access: &Access, budget: &Budget, wants: Vec<Want>) -> Vec<Outcome> {
        let is_known = |want: &Want| matches!((&want.revision, &want.known), (Revision::Commit(_), Some(_)));
        let count = wants.len();
        if wants.iter().all(is_known) {
            return wants.into_iter().filter_map(|want| want.known).map(Outcome::of).collect();
        }
        let deadline = Instant::now() + budget.time;
        let endpoint = match Endpoint::resolve(self.url.as_url(), &access.policy, deadline).await {
            Ok(endpoint) => endpoint,
            Err(error) => return vec![Outcome::failed(None, &error); count],
        };
        let is_over = Arc::new(AtomicBool::new(false));
        let visit = Visit {
            repository: self.clone(),
            endpoint,
            access: access.clone(),
            budget: budget.clone(),
            deadline,
            runtime: Handle::current(),
            is_over: is_over.clone(),
        };
        let mut visiting = tokio::task::spawn_blocking(move || contain(|| visit.read(&wants)));
        let visited = tokio::select! {
            visited = &mut visiting => visited,
            () = tokio::time::sleep_until(deadline) => {
                is_over.store(true, Ordering::Relaxed);
                visiting.await
            }
        };
        visited.unwrap_or_else(|_| {
            let message = "the git server sent what the reader cannot cope with";
            vec![Outcome::failed(None, &Error::new(ErrorKind::Malformed, message)); count]
        })
    }

    /// Forgets what was fetched, but for these commits.
    pub fn keep_only(&self, commits: &[String]) {
        let ids = commits.iter().filter_map(|commit| ObjectId::from_hex(commit.as_bytes()).ok());
        self.store.keep_only(&self.folder, &ids.collect::<Vec<_>>());
    }

    /// Forgets everything that was fetched.
    pub fn forget(&self) {
        self.store.forget(&self.folder);
    }
}

impl Outcome {
    fn of(file: File) -> Self {
        Self { commit: Some(file.commit.clone()), file: Ok(file) }
    }

    fn failed(commit: Option<ObjectId>, error: &Error) -> Self {
        Self { commit: commit.map(|commit| commit.to_string()), file: Err(error.clone()) }
    }
}

/// One visit, on a thread that may block.
struct Visit {
    repository: Repository,
    endpoint: Endpoint,
    access: Access,
    budget: Budget,
    deadline: Instant,
    runtime: Handle,
    is_over: Arc<AtomicBool>,
}

impl Visit {
    fn read(&self, wants: &[Want]) -> Vec<Outcome> {
        let resolved = self.resolve(wants);
        let (mut remote, commits) = match resolved {
            Ok(resolved) => resolved,
            Err(error) => return wants.iter().map(|_| Outcome::failed(None, &error)).collect(),
        };
        // Each commit is fetched once, with all the files that are wanted of it.
        let mut by_commit: BTreeMap<ObjectId, Vec<usize>> = BTreeMap::new();
        let mut outcomes: Vec<Option<Outcome>> = Vec::new();
        for (index, (want, commit)) in wants.iter().zip(commits).enumerate() {
            outcomes.push(match commit {
                Err(error) => Some(Outcome::failed(None, &error)),
                Ok(commit) => {
                    let id = commit.to_string();
                    let known = want.known.as_ref().filter(|known| known.commit == id);
                    if known.is_none() {
                        by_commit.entry(commit).or_default().push(index);
                    }
                    known.cloned().map(Outcome::of)
                }
            });
        }
        for (commit, indexes) in by_commit {
            let paths: Vec<&str> = indexes.iter().map(|index| wants[*index].path.as_str()).collect();
            let files = self.read_files(&mut remote, commit, &paths);
            for (index, file) in indexes.into_iter().zip(files) {
                outcomes[index] = Some(match file {
                    Ok(bytes) => Outcome::of(File { commit: commit.to_string(), bytes: bytes.into() }),
                    Err(error) => Outcome::failed(Some(commit), &error),
                });
            }
        }
        outcomes.into_iter().flatten().collect()
    }

    /// Greets the server, and learns which commits the revisions mean.
    fn resolve(&self, wants: &[Want]) -> Result<(Remote, Vec<Result<ObjectId, Error>>), Error> {
        let mut remote = Remote::connect(
            &self.repository.url,
            &self.endpoint,
            &self.access,
            &self.budget,
            self.deadline,
            self.runtime.clone(),
        )?;
        let mut names: Vec<String> = wants.iter().flat_map(|want| want.revision.ref_names()).collect();
        names.sort();
        names.dedup();
        let refs = if names.is_empty() { Vec::new() } else { remote.list_refs(&names)? };
        let commits = wants.iter().map(|want| want.revision.resolve(&refs)).collect();
        Ok((remote, commits))
    }

    /// One result per path, in their order.
    fn read_files(
        &self,
        remote: &mut Remote,
        commit: ObjectId,
        paths: &[&str],
    ) -> Vec<Result<Vec<u8>, Error>> {
        let looked = self.objects_of(remote, commit).map(|objects| self.look(&objects, commit, paths));
        let looked = looked.and_then(|found| {
            let mut missing: Vec<ObjectId> = found.iter().filter_map(unfetched).collect();
            missing.sort();
            missing.dedup();
            if missing.is_empty() {
                return Ok(found);
            }
            self.fetch(remote, commit, &Ask::Blobs(&missing))?;
            Ok(self.look(&self.stored(commit)?, commit, paths))
        });
        match looked {
            Ok(found) => found.into_iter().map(content).collect(),
            Err(error) => vec![Err(error); paths.len()],
        }
    }

    fn look(&self, objects: &gix_odb::Handle, commit: ObjectId, paths: &[&str]) -> Vec<Result<Found, Error>> {
        paths.iter().map(|path| find_file(objects, commit, path, self.budget.file_bytes)).collect()
    }

    fn objects_of(&self, remote: &mut Remote, commit: ObjectId) -> Result<gix_odb::Handle, Error> {
        let Repository { store, folder, .. } = &self.repository;
        if let Some(objects) = store.objects_of(folder, commit) {
            return Ok(objects);
        }
        self.fetch(remote, commit, &Ask::Commit(commit))?;
        self.stored(commit)
    }

    fn stored(&self, commit: ObjectId) -> Result<gix_odb::Handle, Error> {
        let Repository { store, folder, .. } = &self.repository;
        let missing = || Error::new(ErrorKind::Local, "fetched sources were removed before they were read");
        store.objects_of(folder, commit).ok_or_else(missing)
    }

    fn fetch(&self, remote: &mut Remote, commit: ObjectId, ask: &Ask<'_>) -> Result<(), Error> {
        let Repository { store, folder, .. } = &self.repository;
        let incoming = store.begin(folder, commit)?;
        remote.fetch(ask, &incoming.packs(), &self.budget, &self.is_over)?;
        store.complete(incoming)
    }
}

fn unfetched(found: &Result<Found, Error>) -> Option<ObjectId> {
    match found {
        Ok(Found::Unfetched(blob)) => Some(*blob),
        _ => None,
    }
}

fn content(found: Result<Found, Error>) -> Result<Vec<u8>, Error> {
    match found? {
        Found::File(bytes) => Ok(bytes),
        Found::Unfetched(_) => {
            let message = "the git server did not send a file that it was asked for";
            Err(Error::new(ErrorKind::Malformed, message))
        }
    }
}
