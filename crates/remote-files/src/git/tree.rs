//! The file at a path of a commit, by a walk through its trees.

use gix_hash::ObjectId;
use gix_object::bstr::ByteSlice as _;
use gix_object::tree::EntryKind;
use gix_object::{Find, FindExt as _, Kind};

use crate::{Error, ErrorKind};

/// What every pointer of Git LFS begins with.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// What is at a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The file.
    File(Vec<u8>),
    /// There is a file with this content, which was not fetched yet.
    Unfetched(ObjectId),
}

/// Looks a file up. `path` is relative to the root of the repository; its parts are compared byte by byte.
///
/// # Errors
/// [`ErrorKind::FileMissing`], [`ErrorKind::NotAFile`] for a directory, symbolic link, submodule or LFS pointer,
/// [`ErrorKind::TooLarge`] beyond `max_bytes`, [`ErrorKind::Malformed`].
pub(super) fn find_file(
    objects: &impl Find,
    commit: ObjectId,
    path: &str,
    max_bytes: usize,
) -> Result<Found, Error> {
    let mut buffer = Vec::new();
    let mut next = root_tree(objects, commit, &mut buffer)?;
    let mut parts = path.split('/').peekable();
    while let Some(part) = parts.next() {
        let (kind, id) = entry_of(objects, next, part, &mut buffer)?
            .ok_or_else(|| Error::new(ErrorKind::FileMissing, "the commit has no such file"))?;
        let is_last = parts.peek().is_none();
        match kind {
            EntryKind::Tree if !is_last => next = id,
            EntryKind::Blob | EntryKind::BlobExecutable if is_last => {
                return read_file(objects, id, max_bytes);
            }
            EntryKind::Tree => return Err(not_a_file("is a directory")),
            EntryKind::Link => return Err(not_a_file("leads to a symbolic link, which is not followed")),
            EntryKind::Commit => return Err(not_a_file("leads into a submodule, which is not fetched")),
            EntryKind::Blob | EntryKind::BlobExecutable => {
                return Err(Error::new(
                    ErrorKind::FileMissing,
                    "the commit has no such file: a file is where a directory is expected",
                ));
            }
        }
    }
    Err(Error::new(ErrorKind::FileMissing, "the path is empty"))
}

fn not_a_file(what: &str) -> Error {
    Error::new(ErrorKind::NotAFile, format!("the path {what}; expected a regular file"))
}

fn malformed(what: &str) -> Error {
    Error::new(ErrorKind::Malformed, format!("the server's objects are not whole: {what}"))
}

fn root_tree(objects: &impl Find, commit: ObjectId, buffer: &mut Vec<u8>) -> Result<ObjectId, Error> {
    let data = objects.find(&commit, buffer).map_err(|_| malformed("no commit"))?;
    if data.kind != Kind::Commit {
        let message = "the revision is no commit: a tag of something else, for instance";
        return Err(Error::new(ErrorKind::RevisionMissing, message));
    }
    let commit = objects.find_commit(&commit, buffer).map_err(|_| malformed("no commit"))?;
    Ok(commit.tree())
}

fn entry_of(
    objects: &impl Find,
    tree: ObjectId,
    name: &str,
    buffer: &mut Vec<u8>,
) -> Result<Option<(EntryKind, ObjectId)>, Error> {
    let entries = objects.find_tree_iter(&tree, buffer).map_err(|_| malformed("no tree"))?;
    for entry in entries {
        let entry = entry.map_err(|_| malformed("no tree"))?;
        if entry.filename.as_bytes() == name.as_bytes() {
            return Ok(Some((entry.mode.kind(), entry.oid.to_owned())));
        }
    }
    Ok(None)
}

fn read_file(objects: &impl Find, blob: ObjectId, max_bytes: usize) -> Result<Found, Error> {
    let mut bytes = Vec::new();
    let found = objects.try_find(&blob, &mut bytes).map_err(|_| malformed("no file"))?;
    let Some(data) = found else { return Ok(Found::Unfetched(blob)) };
    if data.kind != Kind::Blob {
        return Err(malformed("no file"));
    }
    if data.data.len() > max_bytes {
        let message = format!("the file has {} bytes; expected at most {max_bytes}", data.data.len());
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    if data.data.starts_with(LFS_POINTER) {
        return Err(not_a_file("has a pointer of Git LFS, which is not fetched"));
    }
    Ok(Found::File(data.data.to_vec()))
}
