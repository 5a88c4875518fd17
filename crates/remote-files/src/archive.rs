//! One file of a `tar.gz` whose digest is known, as Flux makes them.
//!
//! Nothing is unpacked to a disk: the archive is in memory, is read from its beginning to its end, and gives one regular file. Links are
//! not followed.

mod limited;

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flate2::read::GzDecoder;
use reqwest::Method;
use reqwest::header::HeaderMap;
use sha2::{Digest as _, Sha256};
use tar::{Archive, EntryType};
use tokio::time::Instant;
use url::Url;

use crate::contained::contain;
use crate::network::{AddressPolicy, Client, Endpoint, TrustedCertificates};
use crate::{Error, ErrorKind};
use limited::Limited;

/// What one archive may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Bytes of the archive as it is sent.
    pub archive_bytes: usize,
    /// Bytes of what is in it.
    pub unpacked_bytes: u64,
    /// Entries in it.
    pub entries: usize,
    /// Bytes of the file that is asked for.
    pub file_bytes: usize,
    /// Time of the download.
    pub time: Duration,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            archive_bytes: 20 << 20,
            unpacked_bytes: 256 << 20,
            entries: 100_000,
            file_bytes: 1 << 20,
            time: Duration::from_mins(1),
        }
    }
}

/// Downloads an archive. `sha256` is 64 hexadecimal digits.
///
/// # Errors
/// What [`crate::network`] refuses or cannot reach; [`ErrorKind::FileMissing`] if it is not there any more, [`ErrorKind::TooLarge`],
/// [`ErrorKind::Malformed`] if its digest is another one.
pub async fn download(
    url: &Url,
    sha256: &str,
    policy: &AddressPolicy,
    budget: &Budget,
) -> Result<Bytes, Error> {
    let deadline = Instant::now() + budget.time;
    let endpoint = Endpoint::resolve(url, policy, deadline).await?;
    let client = Client::new(&endpoint, &TrustedCertificates::System, deadline)?;
    let mut response = client.send(Method::GET, url.clone(), HeaderMap::new(), Vec::new()).await?;
    match response.status.as_u16() {
        200 => {}
        404 | 410 => {
            let message = "the artifact is not at its URL any more; its source has a newer one soon";
            return Err(Error::new(ErrorKind::FileMissing, message));
        }
        status => {
            let message = format!("the artifact cannot be had (HTTP status {status})");
            return Err(Error::new(ErrorKind::Unreachable, message));
        }
    }
    let (mut archive, mut hasher) = (BytesMut::new(), Sha256::new());
    while let Some(piece) = response.chunk().await? {
        if archive.len() + piece.len() > budget.archive_bytes {
            return Err(too_large("more bytes"));
        }
        hasher.update(&piece);
        archive.extend_from_slice(&piece);
    }
    let digest = hasher.finalize().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    if !digest.eq_ignore_ascii_case(sha256) {
        let message = "the artifact has another digest than its source says";
        return Err(Error::new(ErrorKind::Malformed, message));
    }
    Ok(archive.freeze())
}

/// The file at `path`, relative to the root of the archive; parts are compared byte by byte. It is work for the processor, on a thread
/// that may block.
///
/// # Errors
/// [`ErrorKind::FileMissing`], [`ErrorKind::NotAFile`] for a folder or a link, [`ErrorKind::TooLarge`], [`ErrorKind::Malformed`] for what
/// is no archive, or has the file twice.
pub async fn read_file(archive: Bytes, path: String, budget: Budget) -> Result<Arc<[u8]>, Error> {
    let reading = tokio::task::spawn_blocking(move || contain(|| find_file(&archive, &path, &budget)));
    reading.await.unwrap_or_else(|_| Err(malformed()))
}

fn find_file(archive: &[u8], path: &str, budget: &Budget) -> Result<Arc<[u8]>, Error> {
    let limited = Limited::new(GzDecoder::new(archive), budget.unpacked_bytes);
    let is_over = limited.is_over();
    let read_error = |_| if is_over.get() { too_large("more bytes") } else { malformed() };
    let mut archive = Archive::new(limited);
    let mut found = None;
    for (index, entry) in archive.entries().map_err(read_error)?.enumerate() {
        if index >= budget.entries {
            return Err(too_large("more entries"));
        }
        let mut entry = entry.map_err(read_error)?;
        let is_wanted = {
            let name = entry.path_bytes();
            let name = name.strip_prefix(b"./").unwrap_or(&name);
            name.strip_suffix(b"/").unwrap_or(name) == path.as_bytes()
        };
        if !is_wanted {
            continue;
        }
        match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous => {}
            EntryType::Directory => return Err(not_a_file("is a folder")),
            EntryType::Symlink | EntryType::Link => {
                return Err(not_a_file("is a link, which is not followed"));
            }
            _ => return Err(not_a_file("is something special")),
        }
        if found.is_some() {
            let message = "the archive has the file twice; which one is meant cannot be told";
            return Err(Error::new(ErrorKind::Malformed, message));
        }
        if entry.size() > budget.file_bytes as u64 {
            let message =
                format!("the file has {} bytes; expected at most {}", entry.size(), budget.file_bytes);
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(read_error)?;
        found = Some(bytes.into());
    }
    found.ok_or_else(|| Error::new(ErrorKind::FileMissing, "the archive has no such file"))
}

fn malformed() -> Error {
    Error::new(ErrorKind::Malformed, "the artifact is no whole tar.gz archive")
}

fn too_large(what: &str) -> Error {
    Error::new(ErrorKind::TooLarge, format!("the artifact has {what} than a source may have"))
}

fn not_a_file(what: &str) -> Error {
    Error::new(ErrorKind::NotAFile, format!("the path {what}; expected a regular file"))
}

#[cfg(test)]
mod tests;
