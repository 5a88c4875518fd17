//! Base backups and WAL as Barman Cloud lays them out: `<server>/base/<id>/…` and `<server>/wals/…/<wal>`.

use backup_format::{Destination, Failure, PhysicalId, Reason};
use futures::TryStreamExt as _;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt as _};

use super::failures::{describe, is_missing};
use super::{Storage, build, parse_destination};
use crate::args::StorageArgs;
use crate::inspect::{Info, is_wal};

/// Larger than any that Barman writes.
const MAX_INFO_BYTES: u64 = 16 * 1024 * 1024;
const INFO: &str = "backup.info";

/// A bucket with base backups.
#[derive(Debug)]
pub struct BaseStorage {
    id: PhysicalId,
    storage: Storage,
}

impl BaseStorage {
    /// The base backup and the bucket that the arguments name.
    pub fn open(args: &StorageArgs) -> Result<Self, Failure> {
        let id = args.backup_id.parse().map_err(|error: backup_format::PhysicalIdError| {
            Failure::new(Reason::DestinationInvalid, error.to_string())
        })?;
        let destination = parse_destination(args)?;
        if matches!(destination, Destination::Folder(_)) {
            return Err(Failure::new(
                Reason::DestinationInvalid,
                "base backups of CloudNativePG are in S3 only: the destination must be 's3://<bucket>/<prefix>'",
            ));
        }
        Ok(Self { id, storage: build(destination, args)? })
    }

    #[cfg(test)]
    pub fn on(storage: Storage, id: PhysicalId) -> Self {
        Self { id, storage }
    }

    /// The base backup.
    pub fn id(&self) -> &PhysicalId {
        &self.id
    }

    /// Its folder, as the destination is written.
    pub fn location(&self) -> String {
        format!("{}/{}", self.storage.destination.to_string().trim_end_matches('/'), self.id.folder())
    }

    fn path(&self, below: &str) -> Path {
        below.split('/').fold(self.storage.prefix.clone(), Path::join)
    }

    /// What Barman wrote about a base backup; `None` = there is none of this id.
    pub async fn observe_info(&self, id: &PhysicalId) -> Result<Option<Info>, Failure> {
        let doing = "read what is written about the base backup";
        let found = match self.storage.store.get(&self.path(&format!("{}/{INFO}", id.folder()))).await {
            Ok(found) => found,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(describe(&error, doing)),
        };
        if found.meta.size > MAX_INFO_BYTES {
            return Err(Failure::new(
                Reason::ArtefactAltered,
                format!("the description of base backup {id} is larger than any that Barman writes"),
            ));
        }
        let bytes = found.bytes().await.map_err(|error| describe(&error, doing))?;
        Ok(Some(Info::parse(&String::from_utf8_lossy(&bytes))))
    }

    /// Bytes of a base backup, without its WAL.
    pub async fn observe_size(&self, id: &PhysicalId) -> Result<u64, Failure> {
        Ok(self.observe_objects(&id.folder()).await?.iter().map(|object| object.size).sum())
    }

    async fn observe_objects(&self, below: &str) -> Result<Vec<ObjectMeta>, Failure> {
        let listed = self.storage.store.list(Some(&self.path(below))).try_collect().await;
        listed.map_err(|error| describe(&error, "list the objects of the backup"))
    }

    /// Deletes the base backup, and the WAL that no other one needs: all that is older than the oldest one, or everything of
    /// the server when it archives no more and no base backup is left. Says how many objects there were.
    pub async fn delete_base(&self, server_is_gone: bool) -> Result<u64, Failure> {
        // First what makes it a backup, so that an interruption leaves none that looks complete.
        let info = self.path(&format!("{}/{INFO}", self.id.folder()));
        let mut deleted = 0;
        let objects = self.observe_objects(&self.id.folder()).await?;
        let (first, rest): (Vec<_>, Vec<_>) = objects.into_iter().partition(|object| object.location == info);
        for object in first.into_iter().chain(rest) {
            deleted += u64::from(self.storage.delete_path(&object.location).await?);
        }
        let others = self.observe_bases().await?;
        let outdated = if others.is_empty() && server_is_gone {
            self.observe_objects(self.id.server()).await?
        } else {
            match self.observe_first_wal(&others).await? {
                None => Vec::new(),
                Some(first) => {
                    let wals = self.observe_objects(&format!("{}/wals", self.id.server())).await?;
                    wals.into_iter().filter(|object| is_older(&object.location, &first)).collect()
                }
            }
        };
        for object in outdated {
            deleted += u64::from(self.storage.delete_path(&object.location).await?);
        }
        Ok(deleted)
    }

    /// The base backups of the server that are there.
    async fn observe_bases(&self) -> Result<Vec<PhysicalId>, Failure> {
        let server = self.id.server();
        let objects = self.observe_objects(&format!("{server}/base")).await?;
        let mut names: Vec<_> = objects
            .iter()
            .filter_map(|object| {
                let parts: Vec<_> = object.location.parts().collect();
                let base = parts
                    .len()
                    .checked_sub(2)
                    .filter(|_| parts.last().is_some_and(|last| last.as_ref() == INFO))?;
                PhysicalId::new(server, parts[base].as_ref())
            })
            .collect();
        names.dedup();
        Ok(names)
    }

    /// The first WAL file that any of these needs; `None` when one of them does not say it, or there are none.
    async fn observe_first_wal(&self, bases: &[PhysicalId]) -> Result<Option<String>, Failure> {
        let mut first: Option<String> = None;
        for id in bases {
            let Some(wal) = self.observe_info(id).await?.and_then(|info| info.first_wal) else {
                return Ok(None);
            };
            first = Some(first.map_or(wal.clone(), |found| older(found, wal)));
        }
        Ok(first)
    }
}

/// Timelines do not count: the position in the WAL goes on growing over them.
fn position(wal: &str) -> Option<&str> {
    wal.get(8..24).filter(|_| wal.get(..24).is_some_and(is_wal))
}

fn older(one: String, other: String) -> String {
    if position(&other) < position(&one) { other } else { one }
}

/// A WAL file, also a compressed one. Files of history and of labels stay: they are small, and a recovery may ask for them.
fn is_older(object: &Path, first: &str) -> bool {
    let name = object.filename().unwrap_or_default();
    let is_segment = name.get(24..).is_some_and(|rest| rest.is_empty() || is_compression(rest));
    is_segment && position(name).is_some_and(|at| position(first).is_some_and(|first| at < first))
}

fn is_compression(suffix: &str) -> bool {
    matches!(suffix, ".gz" | ".bz2" | ".xz" | ".zst" | ".lz4" | ".snappy")
}

#[cfg(test)]
mod tests;
