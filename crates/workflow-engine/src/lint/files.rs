//! Which files the paths on the command line stand for, and what is in them. The paths of a pull request may come from anybody.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bpmn::limits::MAX_BYTES;
use thiserror::Error;

use super::Unread;

/// Why a path could not be judged. The path stands before it.
#[derive(Debug, Error)]
pub(super) enum Unreadable {
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("is larger than {} KiB, the most that an engine takes", MAX_BYTES / 1024)]
    TooLarge,
    #[error(
        "has no BPMN file: nothing in it or below it ends with .bpmn or .bpmn20.xml, hidden directories and symbolic links left out"
    )]
    NoBpmn,
}

/// The files in the order of `paths`, those of a directory sorted, each file once.
pub(super) fn observe_files(paths: &[PathBuf]) -> (Vec<PathBuf>, Vec<Unread>) {
    let mut files = Vec::new();
    let mut unread = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(observe_directory(path, &mut unread));
        } else {
            files.push(path.clone());
        }
    }
    let mut seen = BTreeSet::new();
    files.retain(|file| seen.insert(fs::canonicalize(file).unwrap_or_else(|_| file.clone())));
    (files, unread)
}

/// The BPMN files in the directory and below it. Symbolic links are not followed, so that no loop and nothing outside of it
/// is read; only regular files are opened, so that none blocks.
fn observe_directory(root: &Path, unread: &mut Vec<Unread>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let unread_before = unread.len();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        let listed = observe_entries(&directory, &mut files, &mut directories);
        unread.extend(listed.err().map(|error| Unread { path: directory, reason: error.into() }));
    }
    if files.is_empty() && unread.len() == unread_before {
        unread.push(Unread { path: root.to_owned(), reason: Unreadable::NoBpmn });
    }
    files.sort_unstable();
    files
}

fn observe_entries(
    directory: &Path,
    files: &mut Vec<PathBuf>,
    directories: &mut Vec<PathBuf>,
) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let (kind, name) = (entry.file_type()?, entry.file_name());
        if kind.is_dir() && !name.as_encoded_bytes().starts_with(b".") {
            directories.push(entry.path());
        } else if kind.is_file() && is_bpmn(&name) {
            files.push(entry.path());
        }
    }
    Ok(())
}

fn is_bpmn(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.ends_with(b".bpmn") || name.ends_with(b".bpmn20.xml")
}

/// The bytes of a file that an engine would take. Never more than those are read, also from a device or a pipe.
pub(super) fn observe_content(path: &Path) -> Result<Vec<u8>, Unreadable> {
    let mut content = Vec::new();
    File::open(path)?.take(MAX_BYTES as u64 + 1).read_to_end(&mut content)?;
    if content.len() > MAX_BYTES {
        return Err(Unreadable::TooLarge);
    }
    Ok(content)
}

#[cfg(test)]
mod tests;
