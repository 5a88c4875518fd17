//! A backup at its destination: its manifest, and its data read from the beginning to the end.

use std::io;

use backup_format::{BackupId, Failure, Manifest, ManifestError, Part, Reason, SCHEME_AGE};
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream};
use tokio::sync::oneshot;
use tokio_util::compat::{FuturesAsyncReadCompatExt as _, TokioAsyncReadCompatExt as _};

use crate::hash::StreamHash;
use crate::seal::Identity;
use crate::storage::Storage;

/// Read at once.
const PIECE: usize = 256 * 1024;

/// The manifest, if it is one and belongs to this id.
pub async fn observe_manifest(storage: &Storage, id: &BackupId) -> Result<Manifest, Failure> {
    let Some(bytes) = storage.observe_manifest(id).await? else {
        return Err(Failure::new(
            Reason::BackupMissing,
            format!("there is no backup at {}: it has no manifest", storage.location(id)),
        ));
    };
    Manifest::parse(&bytes, id).map_err(|error| {
        let reason = match error {
            ManifestError::Format(_) => Reason::FormatUnsupported,
            ManifestError::Malformed | ManifestError::Inconsistent(_) => Reason::ArtefactAltered,
        };
        Failure::new(reason, format!("backup {id}: {error}"))
    })
}

/// Refuses an encrypted backup without the key that it needs, before its data is read.
pub fn check_identity(manifest: &Manifest, identity: Option<&Identity>) -> Result<(), Failure> {
    let id = &manifest.backup_id;
    match (&manifest.encryption, identity) {
        (Some(encryption), _) if encryption.scheme != SCHEME_AGE => Err(Failure::new(
            Reason::FormatUnsupported,
            format!("backup {id} is encrypted in a way that this agent does not know"),
        )),
        (Some(encryption), None) => Err(Failure::new(
            Reason::DecryptionFailed,
            format!(
                "backup {id} is encrypted, and no secret key was given: it needs that of the recipient with the fingerprint {}",
                encryption.recipient_fingerprint
            ),
        )),
        (Some(encryption), Some(identity)) if !identity.fits(encryption) => Err(Failure::new(
            Reason::DecryptionFailed,
            format!(
                "backup {id} is encrypted for another key: it needs that of the recipient with the fingerprint {}",
                encryption.recipient_fingerprint
            ),
        )),
        _ => Ok(()),
    }
}

/// What becomes of the data when its reader ends before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnEarlyEnd {
    /// It is read to the end all the same, to check it.
    ReadOn,
    /// There is no use in reading on.
    Stop,
}

/// Reads the data once, checks it, and hands the decrypted dump to `sink`. The last piece is handed over only after the
/// whole data was found to be as written, and the sink is closed only then: a reader that needs the end of its input does
/// nothing final with data that was altered.
pub async fn read_data(
    storage: &Storage,
    manifest: &Manifest,
    identity: Option<&Identity>,
    sink: impl AsyncWrite + Unpin,
    on_early_end: OnEarlyEnd,
) -> Result<(), Failure> {
    for_single_part(manifest, async |id, part| {
        let Some(stream) = storage.read(id, &part.name).await? else {
            return Err(Failure::new(
                Reason::ArtefactTruncated,
                format!("the part {} of backup {id} is missing", part.name),
            ));
        };
        let (near, far) = tokio::io::duplex(PIECE);
        let (approve, approved) = oneshot::channel();
        let checking = check(id, part, stream, near, approve);
        let identity = identity.filter(|_| manifest.encryption.is_some());
        let handing = hand_over(far, identity, approved, sink);
        tokio::pin!(checking, handing);
        let mut handed = None;
        let checked = loop {
            tokio::select! {
                checked = &mut checking => break checked,
                result = &mut handing, if handed.is_none() => {
                    let is_over = result.is_err() && on_early_end == OnEarlyEnd::Stop;
                    handed = Some(result);
                    if is_over {
                        break Ok(());
                    }
                }
            }
        };
        // What is wrong with the data as stored explains every other error.
        checked?;
        match handed {
            Some(result) => result,
            None => handing.await,
        }
        .map_err(|error| unreadable(id, &error))
    })
    .await
}

/// Checks the data without looking into it.
pub async fn check_data(storage: &Storage, manifest: &Manifest) -> Result<(), Failure> {
    for_single_part(manifest, async |id, part| match storage.read(id, &part.name).await? {
        Some(stream) => {
            let (near, far) = tokio::io::duplex(PIECE);
            drop(far);
            check(id, part, stream, near, oneshot::channel().0).await
        }
        None => Err(Failure::new(
            Reason::ArtefactTruncated,
            format!("the part {} of backup {id} is missing", part.name),
        )),
    })
    .await
}

async fn for_single_part(
    manifest: &Manifest,
    work: impl AsyncFnOnce(&BackupId, &Part) -> Result<(), Failure>,
) -> Result<(), Failure> {
    match manifest.parts.as_slice() {
        [part] => work(&manifest.backup_id, part).await,
        // Cannot happen: such a manifest is refused when it is read.
        _ => Err(Failure::new(Reason::ArtefactAltered, "the manifest has not exactly one part")),
    }
}

/// Reads the stored data to its end and compares it with the manifest. What it reads goes on to `to` as long as that is open.
async fn check(
    id: &BackupId,
    part: &Part,
    mut stream: BoxStream<'static, object_store::Result<Bytes>>,
    mut to: DuplexStream,
    approve: oneshot::Sender<()>,
) -> Result<(), Failure> {
    let mut hash = StreamHash::default();
    let mut is_open = true;
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|error| Storage::describe(&error, "read the data"))?;
        hash.add(&piece);
        is_open = is_open && to.write_all(&piece).await.is_ok();
    }
    let (size, sha256) = hash.finish();
    if size < part.size {
        return Err(Failure::new(
            Reason::ArtefactTruncated,
            format!("the part {} of backup {id} has {size} bytes, expected {}", part.name, part.size),
        ));
    }
    if size > part.size || sha256 != part.sha256 {
        return Err(Failure::new(
            Reason::ArtefactAltered,
            format!("the part {} of backup {id} is not what was written: its SHA-256 is another", part.name),
        ));
    }
    // The receiver may be gone already.
    let _ = approve.send(());
    Ok(())
}

/// Why the data did not reach its reader.
#[derive(Debug)]
enum HandOverError {
    Decrypt,
    /// The reader closed its end.
    Closed,
}

async fn hand_over(
    from: DuplexStream,
    identity: Option<&Identity>,
    approved: oneshot::Receiver<()>,
    mut sink: impl AsyncWrite + Unpin,
) -> Result<(), HandOverError> {
    match identity {
        None => copy(from, approved, &mut sink).await,
        Some(identity) => {
            let plain = identity.open(from.compat()).await.map_err(|_| HandOverError::Decrypt)?;
            copy(Box::pin(plain).compat(), approved, &mut sink).await
        }
    }
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    approved: oneshot::Receiver<()>,
    sink: &mut (impl AsyncWrite + Unpin),
) -> Result<(), HandOverError> {
    let closed = |_: io::Error| HandOverError::Closed;
    let (mut current, mut held) = (vec![0; PIECE], Vec::new());
    loop {
        let length = from.read(&mut current).await.map_err(|_| HandOverError::Decrypt)?;
        if length == 0 {
            break;
        }
        sink.write_all(&held).await.map_err(closed)?;
        held.clear();
        held.extend_from_slice(&current[..length]);
    }
    // Without a word the data was not as written; that is what the caller reports.
    approved.await.map_err(|_| HandOverError::Closed)?;
    sink.write_all(&held).await.map_err(closed)?;
    sink.shutdown().await.map_err(closed)
}

fn unreadable(id: &BackupId, error: &HandOverError) -> Failure {
    match error {
        HandOverError::Decrypt => Failure::new(
            Reason::DecryptionFailed,
            format!("backup {id} cannot be decrypted with the secret key that was given"),
        ),
        HandOverError::Closed => Failure::new(
            Reason::ArtefactAltered,
            format!("the data of backup {id} has no readable dump in it"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use backup_format::{Destination, FORMAT, Totals, overall_digest};
    use object_store::memory::InMemory;
    use rstest::rstest;

    use super::*;
    use crate::hash::hex_sha256;

    const NAME: &str = "data-1.pgdump";

    async fn stored(data: &[u8]) -> (Storage, BackupId) {
        let destination = Destination::S3 { bucket: "test".to_owned(), prefix: String::new() };
        let storage = Storage::on(Arc::new(InMemory::new()), destination);
        let id: BackupId = "b1".parse().expect("is an id");
        let mut upload = storage.begin_upload(&id, NAME, 0).await.expect("begins");
        upload.write(data.to_vec()).await.expect("is written");
        upload.finish().await.expect("is finished");
        (storage, id)
    }

    fn manifest(id: &BackupId, data: &[u8]) -> Manifest {
        let at = jiff::Timestamp::UNIX_EPOCH;
        let part = Part { name: NAME.to_owned(), size: data.len() as u64, sha256: hex_sha256(data) };
        Manifest {
            format: FORMAT,
            backup_id: id.clone(),
            owner: "a/b/c".to_owned(),
            started_at: at,
            snapshot_at: at,
            completed_at: at,
            engine_version: "1.3.0".to_owned(),
            recorded_engine_version: None,
            schema_version: 3,
            server_version: "15".to_owned(),
            pg_dump_version: "15".to_owned(),
            totals: Totals::default(),
            key_block: 1,
            parts: vec![part],
            encryption: None,
            digest: overall_digest(&[]),
            rows: Vec::new(),
        }
    }

    /// Data that is altered between the check and the load is found by the load itself, while it can still be taken back.
    #[rstest]
    #[case::small(100)]
    #[case::large(3 * PIECE + 17)]
    #[tokio::test]
    async fn the_end_of_altered_data_is_never_handed_over(#[case] length: usize) {
        let written = vec![7; length];
        let (storage, id) = stored(&written).await;
        let mut sink = Vec::new();
        let whole = manifest(&id, &written);
        read_data(&storage, &whole, None, &mut sink, OnEarlyEnd::Stop).await.expect("is whole");
        assert!(sink == written);

        let mut other = written.clone();
        other[0] ^= 1;
        let mut sink = Vec::new();
        let result = read_data(&storage, &manifest(&id, &other), None, &mut sink, OnEarlyEnd::Stop).await;
        assert_eq!(result.map_err(|failure| failure.reason), Err(Reason::ArtefactAltered));
        assert!(sink.len() < length, "{} of {length} bytes were handed over", sink.len());
    }
}
