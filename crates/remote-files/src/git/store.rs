//! The objects on disk: one folder per commit, in one folder per repository, all together in bounded room.
//!
//! A folder holds what was fetched for the commit. It appears whole, by a rename; what a killed process left half-done is removed by
//! the next one. Everything here can be fetched again, so what is old goes when room is needed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use gix_hash::ObjectId;

use crate::Error;

/// A folder of fetched objects. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
    max_bytes: u64,
    /// One eviction at a time.
    evicting: Arc<Mutex<()>>,
}

/// A folder that is being filled.
pub(super) struct Incoming {
    folder: tempfile::TempDir,
    target: PathBuf,
}

impl Store {
    /// A store in the folder `root` with room for `max_bytes`. The folder is this store's alone.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Local`] if the folder cannot be written.
    pub fn open(root: impl Into<PathBuf>, max_bytes: u64) -> Result<Self, Error> {
        let store = Self { root: root.into(), max_bytes, evicting: Arc::default() };
        let incoming = store.incoming_folder();
        match fs::remove_dir_all(&incoming) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(local(&error)),
            _ => {}
        }
        fs::create_dir_all(&incoming).map_err(|error| local(&error))?;
        Ok(store)
    }

    /// What was fetched for a commit, if anything is there.
    pub(super) fn objects_of(&self, repository: &str, commit: ObjectId) -> Option<gix_odb::Handle> {
        let folder = self.folder_of(repository, commit);
        if !folder.is_dir() {
            return None;
        }
        // So that it counts as used.
        let _ = fs::File::open(&folder).and_then(|folder| folder.set_modified(SystemTime::now()));
        open(&folder).ok()
    }

    /// A folder to receive objects of the commit into.
    pub(super) fn begin(&self, repository: &str, commit: ObjectId) -> Result<Incoming, Error> {
        let folder = tempfile::tempdir_in(self.incoming_folder()).map_err(|error| local(&error))?;
        fs::create_dir(folder.path().join("pack")).map_err(|error| local(&error))?;
        Ok(Incoming { folder, target: self.folder_of(repository, commit) })
    }

    /// Adds what was received to the folder of its commit, then makes room.
    pub(super) fn complete(&self, incoming: Incoming) -> Result<(), Error> {
        let Incoming { folder, target } = incoming;
        let added = || -> io::Result<()> {
            if !target.is_dir() {
                fs::create_dir_all(target.parent().unwrap_or(&self.root))?;
                return fs::rename(folder.path(), &target);
            }
            // Files that were asked for later. The index comes last: without it a pack does not count.
            let mut files: Vec<PathBuf> = list(&folder.path().join("pack"))?;
            files.sort_by_key(|file| file.extension().is_some_and(|extension| extension == "idx"));
            for file in files {
                if let Some(name) = file.file_name() {
                    fs::rename(&file, target.join("pack").join(name))?;
                }
            }
            Ok(())
        };
        added().map_err(|error| local(&error))?;
        self.make_room(&target);
        Ok(())
    }

    /// Removes the commits of a repository that are not wanted any more.
    pub(super) fn keep_only(&self, repository: &str, commits: &[ObjectId]) {
        let kept: Vec<PathBuf> = commits.iter().map(|commit| self.folder_of(repository, *commit)).collect();
        for folder in list(&self.root.join(repository)).unwrap_or_default() {
            if !kept.contains(&folder) {
                remove(&folder);
            }
        }
    }

    /// Removes everything of a repository.
    pub(super) fn forget(&self, repository: &str) {
        remove(&self.root.join(repository));
    }

    /// The folders that were used longest ago go first; the newest stays, however large it is.
    fn make_room(&self, newest: &Path) {
        let _one_at_a_time = self.evicting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut folders = self.folders();
        let mut used: u64 = folders.iter().map(|folder| folder.bytes).sum();
        folders.sort_by_key(|folder| folder.used_at);
        for folder in folders.iter().filter(|folder| folder.path != newest) {
            if used <= self.max_bytes {
                break;
            }
            remove(&folder.path);
            used = used.saturating_sub(folder.bytes);
        }
    }

    fn folders(&self) -> Vec<Folder> {
        let repositories = list(&self.root).unwrap_or_default();
        let repositories = repositories.iter().filter(|folder| **folder != self.incoming_folder());
        let commits = repositories.flat_map(|folder| list(folder).unwrap_or_default());
        commits.filter_map(|path| Folder::of(path).ok()).collect()
    }

    fn incoming_folder(&self) -> PathBuf {
        self.root.join("incoming")
    }

    fn folder_of(&self, repository: &str, commit: ObjectId) -> PathBuf {
        self.root.join(repository).join(commit.to_string())
    }
}

impl Incoming {
    /// Where packs are to be written.
    pub(super) fn packs(&self) -> PathBuf {
        self.folder.path().join("pack")
    }
}

struct Folder {
    path: PathBuf,
    bytes: u64,
    used_at: SystemTime,
}

impl Folder {
    fn of(path: PathBuf) -> io::Result<Self> {
        let mut bytes = 0;
        for file in list(&path.join("pack"))? {
            bytes += fs::metadata(file)?.len();
        }
        let used_at = fs::metadata(&path)?.modified()?;
        Ok(Self { path, bytes, used_at })
    }
}

fn local(error: &io::Error) -> Error {
    Error::local("the folder of fetched sources", error)
}

fn open(folder: &Path) -> io::Result<gix_odb::Handle> {
    let options = gix_odb::store::init::Options {
        use_multi_pack_index: false,
        current_dir: Some(folder.to_owned()),
        ..Default::default()
    };
    gix_odb::at_opts(folder, gix_hash::Kind::Sha1, None, options)
}

fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect()
}

/// What cannot be removed stays until room is needed again.
fn remove(folder: &Path) {
    if let Err(error) = fs::remove_dir_all(folder)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(folder = %folder.display(), %error, "a folder of fetched sources cannot be removed");
    }
}
