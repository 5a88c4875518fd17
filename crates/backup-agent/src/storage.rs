//! Where backups are kept: an S3 bucket or a folder, behind one interface.

pub mod base;
mod failures;
mod s3;

use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use backup_format::{BackupId, Destination, Failure, MANIFEST_NAME, Reason};
use bytes::Bytes;
use futures::TryStreamExt as _;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, WriteMultipart};

use crate::args::StorageArgs;
use failures::{describe, is_missing, is_unsupported};

/// A manifest has a line per tenant and table. One that is larger is not the agent's.
const MAX_MANIFEST_BYTES: u64 = 256 * 1024 * 1024;
/// The smallest part of an upload: S3 wants 5 MiB or more, and keeps each in memory until it is sent.
const MIN_UPLOAD_PART: u64 = 8 * 1024 * 1024;
/// The largest, which still fits into a small pod.
const MAX_UPLOAD_PART: u64 = 512 * 1024 * 1024;
/// S3 takes 10,000 parts at most. The size of the dump is only estimated beforehand.
const WANTED_UPLOAD_PARTS: u64 = 4000;
/// Parts that are sent at the same time.
const UPLOADS_AT_ONCE: usize = 2;
/// Giving up an upload must not keep the pod.
const ABORT_TIMEOUT: Duration = Duration::from_secs(10);

/// The storage of one destination.
#[derive(Debug, Clone)]
pub struct Storage {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    destination: Destination,
}

/// The id and the storage that the arguments name.
pub fn open(args: &StorageArgs) -> Result<(BackupId, Storage), Failure> {
    let id = BackupId::from_str(&args.backup_id).map_err(|error| invalid(error.to_string()))?;
    Ok((id, build(parse_destination(args)?, args)?))
}

fn invalid(message: String) -> Failure {
    Failure::new(Reason::DestinationInvalid, message)
}

fn parse_destination(args: &StorageArgs) -> Result<Destination, Failure> {
    Destination::from_str(&args.destination).map_err(|error| invalid(error.to_string()))
}

fn build(destination: Destination, args: &StorageArgs) -> Result<Storage, Failure> {
    let (store, prefix): (Arc<dyn ObjectStore>, Path) = match &destination {
        Destination::S3 { bucket, prefix } => {
            (Arc::new(s3::build(bucket, args)?), Path::parse(prefix).map_err(|_| invalid_prefix())?)
        }
        Destination::Folder(folder) => {
            if !folder.is_dir() {
                return Err(invalid(format!(
                    "the folder {} does not exist: mount the volume for backups there",
                    folder.display()
                )));
            }
            let store = LocalFileSystem::new_with_prefix(folder)
                .map_err(|error| describe(&error, "open the folder of the destination"))?;
            // Else a manifest could survive a crash that its data does not.
            (Arc::new(store.with_fsync(true)), Path::default())
        }
    };
    Ok(Storage { store, prefix, destination })
}

fn invalid_prefix() -> Failure {
    invalid("the path of the destination is no valid prefix of object names".to_owned())
}

impl Storage {
    /// A storage on a store that is there already, for tests with faults.
    #[cfg(test)]
    pub fn on(store: Arc<dyn ObjectStore>, destination: Destination) -> Self {
        Self { store, prefix: Path::default(), destination }
    }

    /// The failure for an error while an object is read.
    pub fn describe(error: &object_store::Error, doing: &str) -> Failure {
        describe(error, doing)
    }

    /// The folder of a backup, as the destination is written.
    pub fn location(&self, id: &BackupId) -> String {
        self.destination.of_backup(id)
    }

    fn folder(&self, id: &BackupId) -> Path {
        self.prefix.clone().join(id.as_str())
    }

    fn path(&self, id: &BackupId, name: &str) -> Path {
        self.folder(id).join(name)
    }

    /// Whether the destination answers and the bucket exists, before anything is asked of the database. Deleting a backup needs
    /// the same privilege.
    pub async fn check(&self, id: &BackupId) -> Result<(), Failure> {
        let first = self.store.list(Some(&self.folder(id))).try_next().await;
        first.map(|_| ()).map_err(|error| describe(&error, "look into the destination"))
    }

    /// The manifest's bytes; `None` = there is no such backup.
    pub async fn observe_manifest(&self, id: &BackupId) -> Result<Option<Bytes>, Failure> {
        let doing = "read the manifest";
        // GET and not HEAD: only its answer distinguishes a missing bucket from a missing object.
        let found = match self.store.get(&self.path(id, MANIFEST_NAME)).await {
            Ok(found) => found,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(describe(&error, doing)),
        };
        if found.meta.size > MAX_MANIFEST_BYTES {
            return Err(Failure::new(
                Reason::ArtefactAltered,
                format!("the manifest of backup {id} is larger than any that this agent writes"),
            ));
        }
        found.bytes().await.map(Some).map_err(|error| describe(&error, doing))
    }

    /// Writes the manifest, and with it makes the backup exist. `false` = another manifest was there already, and stays.
    pub async fn apply_manifest(&self, id: &BackupId, json: Vec<u8>) -> Result<bool, Failure> {
        let path = self.path(id, MANIFEST_NAME);
        let bytes = Bytes::from(json);
        let create = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.store.put_opts(&path, bytes.clone().into(), create).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                Ok(false)
            }
            // A service without conditional writes, or a volume without hard links. Two agents that write one backup at once have
            // data of their own each, so the manifest that comes last is right as well.
            Err(error) if is_unsupported(&error) => {
                let written = self.store.put(&path, bytes.into()).await;
                written.map(|_| true).map_err(|error| describe(&error, "write the manifest"))
            }
            Err(error) => Err(describe(&error, "write the manifest")),
        }
    }

    /// Begins to write a part. `expected_bytes` is an estimate.
    pub async fn begin_upload(
        &self,
        id: &BackupId,
        name: &str,
        expected_bytes: u64,
    ) -> Result<Upload, Failure> {
        let part_size = plan_part_size(expected_bytes);
        let upload = self
            .store
            .put_multipart(&self.path(id, name))
            .await
            .map_err(|error| describe(&error, "begin to write the data"))?;
        let part_size = usize::try_from(part_size).unwrap_or(usize::MAX);
        Ok(Upload { writer: WriteMultipart::new_with_chunk_size(upload, part_size) })
    }

    /// A part from its beginning; `None` = it is not there.
    pub async fn read(
        &self,
        id: &BackupId,
        name: &str,
    ) -> Result<Option<BoxStream<'static, object_store::Result<Bytes>>>, Failure> {
        match self.store.get(&self.path(id, name)).await {
            Ok(found) => Ok(Some(found.into_stream())),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(describe(&error, "read the data")),
        }
    }

    /// Deletes one object; that it is not there is no error.
    pub async fn delete_object(&self, id: &BackupId, name: &str) -> Result<bool, Failure> {
        self.delete_path(&self.path(id, name)).await
    }

    async fn delete_path(&self, path: &Path) -> Result<bool, Failure> {
        match self.store.delete(path).await {
            Ok(()) => Ok(true),
            Err(error) if is_missing(&error) => Ok(false),
            Err(error) => Err(describe(&error, "delete an object of the backup")),
        }
    }

    /// Deletes what is in the folder of a backup, the manifest first: what is left after an interruption is no backup. Says
    /// how many objects there were.
    pub async fn delete_backup(&self, id: &BackupId) -> Result<u64, Failure> {
        let mut deleted = 0;
        if self.observe_manifest_exists(id).await? {
            deleted += u64::from(self.delete_object(id, MANIFEST_NAME).await?);
        }
        let folder = self.folder(id);
        let objects: Vec<Path> = self
            .store
            .list(Some(&folder))
            .map_ok(|object| object.location)
            .try_collect()
            .await
            .map_err(|error| describe(&error, "list the objects of the backup"))?;
        for path in objects {
            deleted += u64::from(self.delete_path(&path).await?);
        }
        if let Destination::Folder(root) = &self.destination {
            remove_folder(root.join(id.as_str())).await?;
        }
        Ok(deleted)
    }

    /// S3 says that it deleted what never was there, so it is asked before.
    async fn observe_manifest_exists(&self, id: &BackupId) -> Result<bool, Failure> {
        match self.store.get(&self.path(id, MANIFEST_NAME)).await {
            Ok(_) => Ok(true),
            Err(error) if is_missing(&error) => Ok(false),
            Err(error) => Err(describe(&error, "look for the manifest")),
        }
    }
}

/// Removes the folder itself, and the unfinished files in it, which a listing leaves out. A link is removed, not followed.
async fn remove_folder(folder: PathBuf) -> Result<(), Failure> {
    let removed = tokio::task::spawn_blocking(move || {
        let is_link = std::fs::symlink_metadata(&folder)?.is_symlink();
        if is_link { std::fs::remove_file(&folder) } else { std::fs::remove_dir_all(&folder) }
    });
    match removed.await {
        Ok(Err(error)) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(failures::of_io(&error, "remove the folder of the backup"))
        }
        _ => Ok(()),
    }
}

/// All parts of one upload have the same size, because some services want that.
fn plan_part_size(expected_bytes: u64) -> u64 {
    (expected_bytes / WANTED_UPLOAD_PARTS)
        .next_multiple_of(1024 * 1024)
        .clamp(MIN_UPLOAD_PART, MAX_UPLOAD_PART)
}

/// An object that is being written. It does not exist until it is finished.
#[derive(Debug)]
pub struct Upload {
    writer: WriteMultipart,
}

impl Upload {
    /// The next bytes. Waits while too many are on their way.
    pub async fn write(&mut self, bytes: Vec<u8>) -> Result<(), Failure> {
        self.writer
            .wait_for_capacity(UPLOADS_AT_ONCE)
            .await
            .map_err(|error| describe(&error, "write the data"))?;
        self.writer.put(Bytes::from(bytes));
        Ok(())
    }

    /// Completes the object.
    pub async fn finish(self) -> Result<(), Failure> {
        self.writer.finish().await.map(|_| ()).map_err(|error| describe(&error, "write the data"))
    }

    /// Gives up, as far as the storage answers. What may be left are parts of an unfinished upload, for which buckets have
    /// the lifecycle rule `AbortIncompleteMultipartUpload`.
    pub async fn abort(self) {
        let aborted = tokio::time::timeout(ABORT_TIMEOUT, self.writer.abort()).await;
        if !matches!(aborted, Ok(Ok(()))) {
            tracing::warn!("an unfinished upload is left at the destination; it is no backup");
        }
    }
}

#[cfg(test)]
mod tests;
